// In which form weights and the rows they are multiplied with are stored, and how a register tile multiplies them.
// A format F for a vector type V offers:
//   vector, sum       V, and the type of the accumulators
//   value             of an encoded row; row(a, i) points to the i-th row's
//   weights, operand  what load() and broadcast() put into registers, `depth` values of k at once
//   multiply          sum + operand * weights
//   scaled            whether sums are whole numbers that need the scales of row and column
//   most_rows         of a tile with so many vectors
// Formats of reduced precision build on the few operations that simd/<instruction set>_products.h has for them.
#pragma once

#include "api/kernels.h"

namespace rnnpack::gemm {

constexpr int most_tile_rows = 8;

constexpr int limited_rows(int fit) { return fit < 1 ? 1 : (fit > most_tile_rows ? most_tile_rows : fit); }

// Values as they are.
template <class V>
struct full_precision {
  using vector = V;
  using sum = V;
  using value = typename V::value_type;
  using weights = V;
  using operand = V;
  static constexpr bool scaled = false;
  static constexpr int depth = 1;
  static constexpr std::size_t vector_bytes = V::lanes * sizeof(value);
  static constexpr number_format<value> format{};

  // Accumulators, the broadcasts or the panel's vectors, and one spare.
  static constexpr int most_rows(int vectors) {
    return limited_rows(V::registers >= 32 ? (V::registers - vectors - 2) / vectors
                                           : (V::registers - 1) / (vectors + 1));
  }
  static const value* row(const operand_rows<value>& a, std::size_t i) { return a.values[i]; }
  static weights load(const std::byte* p) { return V::load(reinterpret_cast<const value*>(p)); }
  static operand broadcast(const value* row, std::size_t k) { return V::broadcast(row[k]); }
  static sum multiply(operand x, weights b, sum acc) { return fma(x, b, acc); }
};

// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
template <class V>
void encode_bfloat16(const encode_args<float>& args) {
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* __restrict from = args.from[row];
    auto* __restrict to = reinterpret_cast<std::uint16_t*>(args.to + row * args.row_bytes);
    for (std::size_t i = 0; i < args.k; ++i) {
      const auto bits = __builtin_bit_cast(std::uint32_t, from[i]);
      const std::uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
      const std::uint32_t quiet = bits | 0x400000;
      to[i] = static_cast<std::uint16_t>(((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
    }
    if (args.k % 2 != 0) to[args.k] = 0;
  }
}

// The largest magnitude; NaN or infinity where there is one.
inline constexpr float least_magnitude = 1e-30F;  // rows that stay below count as zeros

template <class V>
float magnitude_of(const float* from, std::size_t k) {
  std::int32_t most = 0;  // magnitudes of floats order as whole numbers do, NaN above all
  for (std::size_t i = 0; i < k; ++i) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, from[i]) & 0x7fffffff;
    most = bits > most ? bits : most;
  }
  return __builtin_bit_cast(float, most);
}

// Rounds to whole numbers of -127 to 127 and adds 128, as products take unsigned operands. A row with NaN or infinity
// gets the scale NaN.
template <class V>
void encode_int8(const encode_args<float>& args) {
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* __restrict from = args.from[row];
    auto* __restrict to = reinterpret_cast<std::uint8_t*>(args.to + row * args.row_bytes);
    const float magnitude = magnitude_of<V>(from, args.k);
    const bool finite = magnitude <= 3.4028234664e38F;
    const bool ranged = args.scale.range > 0 && (args.scale.cut_off || magnitude <= args.scale.range);
    const float range = ranged ? args.scale.range : magnitude;
    const float factor = finite && range >= least_magnitude ? 127 / range : 0;
    args.row_scale[row] = finite ? range / 127 : __builtin_nanf("");
    for (std::size_t i = 0; i < args.k; ++i) {
      float x = from[i] * factor;
      x = x < -127 ? -127 : x;
      x = x > 127 ? 127 : x;
      // Adding 1.5 * 2^23 leaves the nearest whole number, ties to even, in the last bits.
      const float shifted = x + 12582912.0F;
      to[i] = static_cast<std::uint8_t>((__builtin_bit_cast(std::uint32_t, shifted) & 0xff) ^ 0x80);
    }
    for (std::size_t i = args.k; i % 4 != 0; ++i) to[i] = 0;
  }
}

// Products is the instruction set's way to multiply.
template <class Products>
struct bfloat16_format : Products {
  using vector = typename Products::vector;
  using sum = vector;
  using value = std::uint16_t;
  static constexpr bool scaled = false;
  static constexpr int depth = 2;
  static constexpr std::size_t vector_bytes = vector::lanes * depth * sizeof(value);
  static constexpr number_format<float> format{precision::bfloat16, depth, sizeof(value), &encode_bfloat16<vector>};

  static constexpr int most_rows(int vectors) { return limited_rows(Products::tile_rows(vectors)); }
  static const value* row(const operand_rows<float>& a, std::size_t i) {
    return reinterpret_cast<const value*>(a.encoded + i * a.row_bytes);
  }
};

template <class Products>
struct int8_format : Products {
  using vector = typename Products::vector;
  using value = std::uint8_t;
  static constexpr bool scaled = true;
  static constexpr int depth = 4;
  static constexpr std::size_t vector_bytes = vector::lanes * depth * sizeof(value);
  static constexpr number_format<float> format{precision::int8, depth, sizeof(value), &encode_int8<vector>};

  static constexpr int most_rows(int vectors) { return limited_rows(Products::tile_rows(vectors)); }
  static const value* row(const operand_rows<float>& a, std::size_t i) {
    return reinterpret_cast<const value*>(a.encoded + i * a.row_bytes);
  }
};

}  // namespace rnnpack::gemm
