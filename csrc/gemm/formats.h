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

// Calls f(vector, first index) for all k values; what the last vector has too many is zero.
template <class V, class F>
[[gnu::always_inline]] inline void for_each_vector(const float* from, std::size_t k, const F& f) {
  std::size_t i = 0;
  for (; i + V::lanes <= k; i += V::lanes) f(V::load(from + i), i);
  if (i < k) f(V::load_partial(from + i, static_cast<int>(k - i)), i);
}

// Rows end on whole cache lines, so the last vector of one is stored as a whole. Vectors of a single value leave the
// second half of the last pair to be cleared: it is multiplied with a weight of zero, which NaN does not forgive.
template <class V>
void encode_bfloat16(const encode_args<float>& args) {
  for (std::size_t row = 0; row < args.rows; ++row) {
    auto* to = reinterpret_cast<std::uint16_t*>(args.to + row * args.row_bytes);
    for_each_vector<V>(args.from[row], args.k, [to](V x, std::size_t i) { store_bfloat16(to + i, x); });
    if (V::lanes == 1 && args.k % 2 != 0) to[args.k] = 0;
  }
}

// One row of whole numbers. A row with NaN or infinity gets the scale NaN.
template <class V, class Magnitudes>
struct int8_row {
  const float* from;
  std::size_t k;
  std::uint8_t* to;

  // Rounds from * 127 / range; returns the largest magnitude of the row.
  float round(float range) const {
    constexpr float least = 1e-30F;  // a row that stays below counts as zeros
    const V factor = V::broadcast(range >= least ? 127 / range : 0);
    const V most = V::broadcast(127);
    Magnitudes seen;
    for_each_vector<V>(from, k, [&](V x, std::size_t i) {
      seen.include(x);
      store_int8(to + i, max_of(V::broadcast(-127), min_of(most, x * factor)));
    });
    return seen.largest();
  }

  float magnitude() const {
    Magnitudes seen;
    for_each_vector<V>(from, k, [&](V x, std::size_t) { seen.include(x); });
    return seen.largest();
  }

  // The row's scale.
  float encode(scaling scale) const {
    constexpr float largest = 3.4028234664e38F;
    float range = scale.range;
    if (range > 0) {
      const float found = round(range);
      if (found <= range) return range / 127;
      if (scale.cut_off) return found <= largest ? range / 127 : __builtin_nanf("");
      range = found;
    } else {
      range = magnitude();
    }
    if (!(range <= largest)) return __builtin_nanf("");
    round(range);
    return range / 127;
  }
};

template <class V, class Magnitudes>
void encode_int8(const encode_args<float>& args) {
  for (std::size_t row = 0; row < args.rows; ++row) {
    auto* to = reinterpret_cast<std::uint8_t*>(args.to + row * args.row_bytes);
    args.row_scale[row] = int8_row<V, Magnitudes>{args.from[row], args.k, to}.encode(args.scale);
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
  static constexpr number_format<float> format{precision::int8, depth, sizeof(value),
                                               &encode_int8<vector, typename Products::magnitudes>};

  static constexpr int most_rows(int vectors) { return limited_rows(Products::tile_rows(vectors)); }
  static const value* row(const operand_rows<float>& a, std::size_t i) {
    return reinterpret_cast<const value*>(a.encoded + i * a.row_bytes);
  }
};

}  // namespace rnnpack::gemm
