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

struct magnitude {
  __m256i v = _mm256_setzero_si256();
  void include(f32 x) {
    v = _mm256_max_epi32(v, _mm256_and_si256(_mm256_castps_si256(x.v), _mm256_set1_epi32(0x7fffffff)));
  }
  float largest() const {
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return __builtin_bit_cast(float, _mm_cvtsi128_si32(half));
  }
};

// The lower 16 bits of each lane, in order.
inline __m128i lower_words(__m256i lanes) {
  const __m256i words = _mm256_packus_epi32(_mm256_and_si256(lanes, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(words, 0x08));
}

inline void store_bfloat16(std::uint16_t* p, f32 x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
  const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, nan);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), lower_words(_mm256_srli_epi32(chosen, 16)));
}

inline void store_int8(std::uint8_t* p, f32 x) {
  const __m128i words = lower_words(_mm256_cvtps_epi32(x.v));
  const __m128i bytes = _mm_packs_epi16(words, words);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))));
}

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
  using magnitudes = magnitude;
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
