#include "dispatch/dispatch.h"

#include <stdexcept>
#include <string>

extern "C" {
#if defined(__x86_64__)
extern const rnnpack::kernel_table rnnpack_kernels_avx512;
extern const rnnpack::kernel_table rnnpack_kernels_avx2;
#endif
#if defined(__aarch64__)
extern const rnnpack::kernel_table rnnpack_kernels_neon;
#endif
extern const rnnpack::kernel_table rnnpack_kernels_scalar;
}

namespace rnnpack {
namespace {

std::vector<const kernel_table*> find_available() {
  std::vector<const kernel_table*> tables;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) tables.push_back(&rnnpack_kernels_avx512);
  if (avx2) tables.push_back(&rnnpack_kernels_avx2);
#endif
#if defined(__aarch64__)
  tables.push_back(&rnnpack_kernels_neon);  // part of every aarch64 processor
#endif
  tables.push_back(&rnnpack_kernels_scalar);
  return tables;
}

}  // namespace

const std::vector<const kernel_table*>& available_kernels() {
  static const std::vector<const kernel_table*> tables = find_available();
  return tables;
}

const kernel_table& select_kernels(std::string_view isa) {
  if (isa.empty()) return *available_kernels().front();
  std::string names;
  for (const kernel_table* table : available_kernels()) {
    if (isa == table->isa) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument("isa (RNNPACK_ISA): expected an instruction set this machine and build support (" +
                              names + "), got '" + std::string(isa) + "'");
}

}  // namespace rnnpack
