// Denormals are slow and below every activation's accuracy: flushed while a kernel runs, then the caller's mode
// returns.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace rnnpack {

#if defined(__SSE2__)
class flush_denormals {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  flush_denormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | flush_to_zero | denormals_are_zero); }
  ~flush_denormals() { _mm_setcsr(saved_); }
  flush_denormals(const flush_denormals&) = delete;
  flush_denormals& operator=(const flush_denormals&) = delete;

  // Calls f in the caller's mode.
  template <class F>
  auto suspended(F f) const {
    _mm_setcsr(saved_);
    const auto result = f();
    _mm_setcsr(saved_ | flush_to_zero | denormals_are_zero);
    return result;
  }

 private:
  static constexpr unsigned flush_to_zero = 0x8000;
  static constexpr unsigned denormals_are_zero = 0x0040;
  unsigned saved_;
};
#elif defined(__aarch64__)
class flush_denormals {
 public:
  flush_denormals() : saved_(read()) { write(saved_ | flush_to_zero); }
  ~flush_denormals() { write(saved_); }
  flush_denormals(const flush_denormals&) = delete;
  flush_denormals& operator=(const flush_denormals&) = delete;

  template <class F>
  auto suspended(F f) const {
    write(saved_);
    const auto result = f();
    write(saved_ | flush_to_zero);
    return result;
  }

 private:
  static constexpr std::uint64_t flush_to_zero = std::uint64_t{1} << 24;
  static std::uint64_t read() {
    std::uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(std::uint64_t value) { asm volatile("msr fpcr, %0" ::"r"(value)); }
  std::uint64_t saved_;
};
#else
class flush_denormals {
 public:
  flush_denormals() {}

  template <class F>
  auto suspended(F f) const {
    return f();
  }
};
#endif

}  // namespace rnnpack
