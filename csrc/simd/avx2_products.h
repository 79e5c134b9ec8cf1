// Products of reduced precision with AVX2. The vocabulary is explained in simd/avx512_products.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/avx2.h"

namespace rnnpack::avx2 {

struct i32 {
  __m256i v;
  static i32 load(const std::int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  f32 to_float() const { return {_mm256_cvtepi32_ps(v)}; }
};

inline __m256i load_bytes(const std::byte* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// Four bytes of a row in every lane.
inline __m256i broadcast_bytes(const void* p) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm256_set1_epi32(bytes);
}

// The two values of each lane, widened.
struct pair {
  __m256 low;
  __m256 high;
};

inline pair widened(__m256i values) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(values, 16)),
          _mm256_castsi256_ps(_mm256_and_si256(values, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
}

struct bfloat16 {
  using vector = f32;
  using weights = pair;
  using operand = pair;
  static constexpr int tile_rows(int vectors) { return (f32::registers - 5) / vectors; }
  static weights load(const std::byte* p) { return widened(load_bytes(p)); }
  static operand broadcast(const std::uint16_t* row, std::size_t i) { return widened(broadcast_bytes(row + 2 * i)); }
  static f32 multiply(operand x, weights b, f32 acc) {
    return {_mm256_fmadd_ps(x.high, b.high, _mm256_fmadd_ps(x.low, b.low, acc.v))};
  }
};

// The four bytes of each lane as 16-bit numbers: the first and third, the second and fourth. The instruction that
// multiplies bytes directly would saturate.
struct halves {
  __m256i even;
  __m256i odd;
};

struct int8 {
  using vector = f32;
  using sum = i32;
  using weights = halves;
  using operand = halves;
  static constexpr int tile_rows(int vectors) { return (f32::registers - 5) / vectors; }
  static weights load(const std::byte* p) {
    const __m256i bytes = load_bytes(p);
    return {_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
  }
  static operand broadcast(const std::uint8_t* row, std::size_t i) {
    const __m256i bytes = broadcast_bytes(row + 4 * i);
    return {_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(bytes, 8)};
  }
  static i32 multiply(operand x, weights b, i32 acc) {
    const __m256i products = _mm256_add_epi32(_mm256_madd_epi16(x.even, b.even), _mm256_madd_epi16(x.odd, b.odd));
    return {_mm256_add_epi32(acc.v, products)};
  }
};

}  // namespace rnnpack::avx2
