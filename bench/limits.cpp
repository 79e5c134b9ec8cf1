// What one core can do at best: its multiply-add rate, and how fast it reads from each level of memory.
// Usage: limits BYTES... ; prints {"float32": GFLOP/s, "float64": GFLOP/s, "read": [GB/s for each size]}.
// Compiled for the machine it runs on; part of the benchmark only.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__AVX512F__)
constexpr std::size_t width = 64;
constexpr int accumulators = 24;  // of 32 registers; enough chains to hide the latency of a multiply-add
#elif defined(__AVX__)
constexpr std::size_t width = 32;
constexpr int accumulators = 12;  // of 16 registers
#elif defined(__aarch64__)
constexpr std::size_t width = 16;
constexpr int accumulators = 24;
#else
constexpr std::size_t width = 16;
constexpr int accumulators = 12;
#endif

constexpr int repetitions = 7;  // the best one counts: whatever disturbs only makes it slower
constexpr double least_seconds = 0.02;

using Clock = std::chrono::steady_clock;

template <class Work>
double best_seconds_per_call(Work work) {
  double best = 1e30;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    long calls = 0;
    const auto start = Clock::now();
    double elapsed = 0;
    while (elapsed < least_seconds) {
      work();
      ++calls;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    best = std::min(best, elapsed / static_cast<double>(calls));
  }
  return best;
}

template <class T>
struct Vector {
  typedef T type __attribute__((vector_size(width)));
  static constexpr int lanes = width / sizeof(T);
};

template <class T>
double gflops() {
  using V = typename Vector<T>::type;
  constexpr long steps = 20000;
  volatile T factor = T(0.999), term = T(0.001);  // volatile, so that nothing is worked out beforehand
  volatile V sink{};                              // every lane, or the compiler computes one
  const double seconds = best_seconds_per_call([&] {
    const V a = V{} + factor, b = V{} + term;
    V sums[accumulators];  // all different, or the compiler computes one
    for (int i = 0; i < accumulators; ++i) sums[i] = V{} + static_cast<T>(i);
    for (long step = 0; step < steps; ++step)
#pragma GCC unroll 32
      for (int i = 0; i < accumulators; ++i) sums[i] = sums[i] * a + b;
    V total{};
    for (const V& sum : sums) total += sum;
    sink = total;
  });
  return 2.0 * accumulators * Vector<T>::lanes * steps / seconds / 1e9;
}

double gigabytes_per_second(std::size_t bytes) {
  using V = Vector<float>::type;
  constexpr int streams = 8;  // sums in flight, so that loads and not additions set the pace
  const std::size_t count = bytes / width / streams * streams;
  auto* const data = static_cast<V*>(::operator new(count * width, std::align_val_t{4096}));
  std::memset(static_cast<void*>(data), 1, count * width);
  const long passes = static_cast<long>(std::max<std::size_t>(1, (8u << 20) / bytes));
  volatile V sink{};
  const double seconds = best_seconds_per_call([&] {
    for (long pass = 0; pass < passes; ++pass) {
      V sums[streams] = {};
      for (std::size_t at = 0; at < count; at += streams)
#pragma GCC unroll 8
        for (int i = 0; i < streams; ++i) sums[i] += data[at + i];
      V total{};
      for (const V& sum : sums) total += sum;
      sink = total;
    }
  });
  ::operator delete(data, std::align_val_t{4096});
  return static_cast<double>(count * width) * static_cast<double>(passes) / seconds / 1e9;
}

int main(int argc, char** argv) {
  std::printf("{\"float32\": %.1f, \"float64\": %.1f, \"read\": [", gflops<float>(), gflops<double>());
  for (int i = 1; i < argc; ++i)
    std::printf("%s%.1f", i > 1 ? ", " : "", gigabytes_per_second(std::strtoull(argv[i], nullptr, 10)));
  std::printf("]}\n");
}
