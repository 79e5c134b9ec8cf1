// Products of reduced precision, number by number. The vocabulary is explained in simd/avx512_products.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/scalar.h"

namespace rnnpack::scalar {

struct i32 {
  std::int32_t v;
  static i32 load(const std::int32_t* p) { return {*p}; }
  f32 to_float() const { return {static_cast<float>(v)}; }
};

struct magnitude {
  std::int32_t v = 0;
  void include(f32 x) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, x.v) & 0x7fffffff;
    v = bits > v ? bits : v;
  }
  float largest() const { return __builtin_bit_cast(float, v); }
};

inline void store_bfloat16(std::uint16_t* p, f32 x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x.v);
  const std::uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
  *p = static_cast<std::uint16_t>((x.v != x.v ? bits | 0x400000 : rounded) >> 16);
}

inline void store_int8(std::uint8_t* p, f32 x) {
  // The nearest whole number is in the last bits of what round_even adds.
  const float shifted = x.v + 12582912.0F;
  *p = static_cast<std::uint8_t>((__builtin_bit_cast(std::uint32_t, shifted) & 0xff) ^ 0x80);
}

struct bfloat16 {
  using vector = f32;
  struct weights {
    float v[2];
  };
  using operand = weights;
  static constexpr int tile_rows(int vectors) { return (f32::registers - 4) / (2 * vectors); }
  static weights load(const std::byte* p) { return broadcast(reinterpret_cast<const std::uint16_t*>(p), 0); }
  static operand broadcast(const std::uint16_t* row, std::size_t i) {
    return {{widened(row[2 * i]), widened(row[2 * i + 1])}};
  }
  static f32 multiply(operand x, weights b, f32 acc) { return {x.v[1] * b.v[1] + (x.v[0] * b.v[0] + acc.v)}; }

 private:
  static float widened(std::uint16_t value) {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(value) << 16);
  }
};

struct int8 {
  using vector = f32;
  using magnitudes = magnitude;
  using sum = i32;
  struct weights {
    std::int8_t v[4];
  };
  struct operand {
    std::uint8_t v[4];
  };
  static constexpr int tile_rows(int vectors) { return (f32::registers - 8) / vectors; }
  static weights load(const std::byte* p) {
    weights loaded;
    __builtin_memcpy(&loaded, p, sizeof(loaded));
    return loaded;
  }
  static operand broadcast(const std::uint8_t* row, std::size_t i) {
    operand loaded;
    __builtin_memcpy(&loaded, row + 4 * i, sizeof(loaded));
    return loaded;
  }
  static i32 multiply(operand x, weights b, i32 acc) {
    for (int i = 0; i < 4; ++i) acc.v += x.v[i] * b.v[i];
    return acc;
  }
};

}  // namespace rnnpack::scalar
