// Denormals are slow and below every activation's accuracy: flushed while a kernel runs, then the caller's mode
// returns.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace rnnpack {

// The processor's floating-point control word and its bits that flush denormals.
namespace fp_control {
#if defined(__SSE2__)
using word = unsigned;
constexpr word flush = 0x8040;  // flush to zero, denormals are zero
inline word read() { return _mm_getcsr(); }
inline void write(word value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
using word = std::uint64_t;
constexpr word flush = word{1} << 24;
inline word read() {
  word value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
inline void write(word value) { asm volatile("msr fpcr, %0" ::"r"(value)); }
#else
using word = unsigned;
constexpr word flush = 0;  // nothing known to switch
inline word read() { return 0; }
inline void write(word) {}
#endif
}  // namespace fp_control

class flush_denormals {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  flush_denormals() : saved_(fp_control::read()) { fp_control::write(saved_ | fp_control::flush); }
  ~flush_denormals() { fp_control::write(saved_); }
  flush_denormals(const flush_denormals&) = delete;
  flush_denormals& operator=(const flush_denormals&) = delete;

  // Calls f in the caller's mode.
  template <class F>
  auto suspended(F f) const {
    fp_control::write(saved_);
    const auto result = f();
    fp_control::write(saved_ | fp_control::flush);
    return result;
  }

 private:
  fp_control::word saved_;
};

}  // namespace rnnpack
