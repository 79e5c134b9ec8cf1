// Products of reduced precision with NEON. The vocabulary is explained in simd/avx512_products.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/neon.h"

namespace rnnpack::neon {

struct i32 {
  int32x4_t v;
  static i32 load(const std::int32_t* p) { return {vld1q_s32(p)}; }
  f32 to_float() const { return {vcvtq_f32_s32(v)}; }
};

struct magnitude {
  int32x4_t v = vdupq_n_s32(0);
  void include(f32 x) { v = vmaxq_s32(v, vandq_s32(vreinterpretq_s32_f32(x.v), vdupq_n_s32(0x7fffffff))); }
  float largest() const { return __builtin_bit_cast(float, vmaxvq_s32(v)); }
};

inline void store_bfloat16(std::uint16_t* p, f32 x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  vst1_u16(p, vshrn_n_u32(vbslq_u32(vceqq_f32(x.v, x.v), rounded, quiet), 16));
}

inline void store_int8(std::uint8_t* p, f32 x) {
  const int16x4_t words = vmovn_s32(vcvtnq_s32_f32(x.v));
  const uint8x8_t bytes = veor_u8(vreinterpret_u8_s8(vmovn_s16(vcombine_s16(words, words))), vdup_n_u8(0x80));
  vst1_lane_u32(reinterpret_cast<std::uint32_t*>(p), vreinterpret_u32_u8(bytes), 0);
}

// The two values of each lane, widened.
struct pair {
  float32x4_t low;
  float32x4_t high;
};

inline pair widened(uint32x4_t values) {
  return {vreinterpretq_f32_u32(vshlq_n_u32(values, 16)),
          vreinterpretq_f32_u32(vandq_u32(values, vdupq_n_u32(0xffff0000u)))};
}

struct bfloat16 {
  using vector = f32;
  using weights = pair;
  using operand = pair;
  static constexpr int tile_rows(int vectors) { return (f32::registers - 2 * vectors - 3) / vectors; }
  static weights load(const std::byte* p) {
    return widened(vreinterpretq_u32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p))));
  }
  static operand broadcast(const std::uint16_t* row, std::size_t i) {
    std::uint32_t values;
    __builtin_memcpy(&values, row + 2 * i, sizeof(values));
    return widened(vdupq_n_u32(values));
  }
  static f32 multiply(operand x, weights b, f32 acc) {
    return {vfmaq_f32(vfmaq_f32(acc.v, x.low, b.low), x.high, b.high)};
  }
};

// The bytes of two lanes each, widened.
struct halves {
  int16x8_t low;
  int16x8_t high;
};

struct int8 {
  using vector = f32;
  using magnitudes = magnitude;
  using sum = i32;
  using weights = halves;
  using operand = int16x8_t;  // the same four numbers twice
  static constexpr int tile_rows(int vectors) { return (f32::registers - 2 * vectors - 6) / vectors; }
  static weights load(const std::byte* p) {
    const int8x16_t bytes = vld1q_s8(reinterpret_cast<const std::int8_t*>(p));
    return {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
  }
  static operand broadcast(const std::uint8_t* row, std::size_t i) {
    std::uint32_t bytes;
    __builtin_memcpy(&bytes, row + 4 * i, sizeof(bytes));
    return vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(bytes))));
  }
  static i32 multiply(operand x, weights b, i32 acc) {
    return {vaddq_s32(acc.v, vpaddq_s32(two_lanes(x, b.low), two_lanes(x, b.high)))};
  }

 private:
  // Sums of the first and second pair of products, lane by lane.
  static int32x4_t two_lanes(int16x8_t x, int16x8_t b) {
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(b)), vmull_high_s16(x, b));
  }
};

}  // namespace rnnpack::neon
