// What the compiler's -fsanitize=alignment,bounds,null,integer-divide-by-zero calls, in place of libubsan: in a kernel
// such an error ends it as a GPU would. The parameters are those of the compiler's interface, as far as they are used.
#include <cstdint>
#include <string>

#include "engine/fibers.h"

namespace {

struct source_place {
  const char* file;
  std::uint32_t line;
  std::uint32_t column;
};

void report(const source_place& where, cudaError_t error, const std::string& what) {
  const std::string file = where.file;
  emulator::fail_with(error, what + ", at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line));
}

}  // namespace

extern "C" {

void __ubsan_handle_type_mismatch_v1(const source_place* where, std::uintptr_t address) {
  if (address == 0)
    report(*where, cudaErrorIllegalAddress, "a null pointer is used");
  else
    report(*where, cudaErrorMisalignedAddress, "an address is not aligned as its type needs");
}

void __ubsan_handle_out_of_bounds(const source_place* where, std::uintptr_t index) {
  report(*where, cudaErrorIllegalAddress, "index " + std::to_string(index) + " lies outside of its array");
}

void __ubsan_handle_divrem_overflow(const source_place* where, std::uintptr_t /*left*/, std::uintptr_t /*right*/) {
  report(*where, cudaErrorLaunchFailure, "a division by zero");
}

}  // extern "C"
