// Waiting for another thread that should be about to come.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace rnnpack::threads {

inline std::int64_t now_ns() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

// Lets the other hyper-thread of the core go first for a moment.
inline void relax() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// Waits until done() answers true. After some ten microseconds the other thread may have lost its core, perhaps to
// this one, which then gives its own away again and again. Returns the nanoseconds waited beyond those first ones.
template <class Done>
std::int64_t wait_until(Done done) {
  constexpr int patient_spins = 1000;
  for (int i = 0; i < patient_spins; ++i) {
    if (done()) return 0;
    relax();
  }
  const std::int64_t start = now_ns();
  while (!done()) std::this_thread::yield();
  return now_ns() - start;
}

}  // namespace rnnpack::threads
