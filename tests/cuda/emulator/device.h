// What kernels see: keywords, built-in variables, and the operations in which threads meet.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

// Set by the engine before it goes on with a thread.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
inline constexpr int warpSize = 32;

namespace emulator {

// Threads may only meet at the same place of the source.
using place = std::source_location;

void meet_block(const place& where);

// What the lanes of a warp give each other.
struct warp_values {
  static constexpr std::size_t largest = 32;
  std::uint32_t present;  // the lanes that came
  alignas(8) std::array<std::array<std::byte, largest>, 32> of;
};

// Gives a value to the lanes in `mask`, and waits until all of them came that have not returned from the kernel. What
// they gave stays valid until this thread meets them for the second time after this.
const warp_values& meet_warp(std::uint32_t mask, const void* value, std::size_t bytes, const place& where);

std::uint32_t lane();

// Code of the emulator in headers, whose accesses to memory are not the kernel's: see engine/accesses.h.
#define EMULATOR_CODE __attribute__((no_sanitize("thread")))

// What lies between is the kernel's.
void begin_kernel_code();
void end_kernel_code();

// Ends the kernel with an error.
[[noreturn]] void fail(const char* why, const place& where);

template <class T>
EMULATOR_CODE T given(const warp_values& values, std::uint32_t lane, const place& where) {
  if ((values.present >> lane & 1) == 0) fail("a lane reads the value of one that is not there", where);
  T value;
  std::memcpy(&value, values.of[lane].data(), sizeof(T));
  return value;
}

// The value of the lane that `source` names to this one, within its part of `width` lanes; its own where none is named.
template <class T, class Source>
EMULATOR_CODE T shuffle(std::uint32_t mask, T value, int width, const place& where, Source source) {
  static_assert(std::is_arithmetic_v<T>);
  const warp_values& values = meet_warp(mask, &value, sizeof(T), where);
  const int first = static_cast<int>(lane()) / width * width;
  const int from = source(static_cast<int>(lane()) - first);
  return from < 0 || from >= width ? value : given<T>(values, static_cast<std::uint32_t>(first + from), where);
}

}  // namespace emulator

inline void __syncthreads(emulator::place where = emulator::place::current()) { emulator::meet_block(where); }

inline void __syncwarp(std::uint32_t mask = 0xffffffff, emulator::place where = emulator::place::current()) {
  emulator::meet_warp(mask, nullptr, 0, where);
}

template <class T>
T __shfl_sync(std::uint32_t mask, T value, int source, int width = warpSize,
              emulator::place where = emulator::place::current()) {
  return emulator::shuffle(mask, value, width, where, [=](int /*lane*/) { return (source % width + width) % width; });
}

template <class T>
T __shfl_down_sync(std::uint32_t mask, T value, unsigned delta, int width = warpSize,
                   emulator::place where = emulator::place::current()) {
  return emulator::shuffle(mask, value, width, where, [=](int lane) { return lane + static_cast<int>(delta); });
}

template <class T>
T __shfl_xor_sync(std::uint32_t mask, T value, int bits, int width = warpSize,
                  emulator::place where = emulator::place::current()) {
  return emulator::shuffle(mask, value, width, where, [=](int lane) { return lane ^ bits; });
}

inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }

// nvcc's min and max take mixed types, too.
template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}
