// Products of reduced precision with AVX-512. Every instruction set's header offers:
//   i32       vectors of whole numbers: load, to_float
//   magnitude  the largest magnitude of many vectors: include, largest; NaN is larger than all
//   store_bfloat16, store_int8  a vector of floats rounded to the nearest, ties to even; int8 adds 128
//   bfloat16  vector, weights, operand: two values of k for each lane; load, broadcast, multiply, tile_rows
//   int8      the same with four values, signed weights and unsigned operands, exact; and sum
// and, where processors have instructions of their own for them, bfloat16_dot and int8_dot. Those are written in
// assembly: this code is compiled for machines without them, and the compiler must not use them anywhere else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/avx512.h"

namespace rnnpack::avx512 {

struct i32 {
  __m512i v;
  static i32 load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
  f32 to_float() const { return {_mm512_cvtepi32_ps(v)}; }
};

// Magnitudes of floats order as whole numbers do.
struct magnitude {
  __m512i v = _mm512_setzero_si512();
  void include(f32 x) {
    v = _mm512_max_epi32(v, _mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7fffffff)));
  }
  float largest() const { return __builtin_bit_cast(float, _mm512_reduce_max_epi32(v)); }
};

inline void store_bfloat16(std::uint16_t* p, f32 x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(quiet, 16)));
}

inline void store_int8(std::uint8_t* p, f32 x) {
  const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x.v));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))));
}

// Four bytes of a row in every lane.
inline __m512i broadcast_bytes(const void* p) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}

struct bfloat16_dot {
  using vector = f32;
  using weights = __m512i;
  using operand = __m512i;
  static constexpr int tile_rows(int vectors) { return (f32::registers - vectors - 2) / vectors; }
  static weights load(const std::byte* p) { return _mm512_loadu_si512(p); }
  static operand broadcast(const std::uint16_t* row, std::size_t i) { return broadcast_bytes(row + 2 * i); }
  static f32 multiply(operand x, weights b, f32 acc) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(acc.v) : "v"(b), "v"(x));
    return acc;
  }
};

struct int8_dot {
  using vector = f32;
  using magnitudes = magnitude;
  using sum = i32;
  using weights = __m512i;
  using operand = __m512i;
  static constexpr int tile_rows(int vectors) { return (f32::registers - vectors - 2) / vectors; }
  static weights load(const std::byte* p) { return _mm512_loadu_si512(p); }
  static operand broadcast(const std::uint8_t* row, std::size_t i) { return broadcast_bytes(row + 4 * i); }
  static i32 multiply(operand x, weights b, i32 acc) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc.v) : "v"(x), "v"(b));
    return acc;
  }
};

// The two values of each lane, widened.
struct pair {
  __m512 low;
  __m512 high;
};

inline pair widened(__m512i values) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(values, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(values, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

struct bfloat16 {
  using vector = f32;
  using weights = pair;
  using operand = pair;
  static constexpr int tile_rows(int vectors) { return (f32::registers - 2 * vectors - 3) / vectors; }
  static weights load(const std::byte* p) { return widened(_mm512_loadu_si512(p)); }
  static operand broadcast(const std::uint16_t* row, std::size_t i) { return widened(broadcast_bytes(row + 2 * i)); }
  static f32 multiply(operand x, weights b, f32 acc) {
    return {_mm512_fmadd_ps(x.high, b.high, _mm512_fmadd_ps(x.low, b.low, acc.v))};
  }
};

// The four bytes of each lane as 16-bit numbers: the first and third, the second and fourth.
struct halves {
  __m512i even;
  __m512i odd;
};

struct int8 {
  using vector = f32;
  using magnitudes = magnitude;
  using sum = i32;
  using weights = halves;
  using operand = halves;
  static constexpr int tile_rows(int vectors) { return (f32::registers - 2 * vectors - 4) / vectors; }
  static weights load(const std::byte* p) {
    const __m512i bytes = _mm512_loadu_si512(p);
    return {_mm512_srai_epi16(_mm512_slli_epi16(bytes, 8), 8), _mm512_srai_epi16(bytes, 8)};
  }
  static operand broadcast(const std::uint8_t* row, std::size_t i) {
    const __m512i bytes = broadcast_bytes(row + 4 * i);
    return {_mm512_and_si512(bytes, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(bytes, 8)};
  }
  static i32 multiply(operand x, weights b, i32 acc) {
    const __m512i products = _mm512_add_epi32(_mm512_madd_epi16(x.even, b.even), _mm512_madd_epi16(x.odd, b.odd));
    return {_mm512_add_epi32(acc.v, products)};
  }
};

}  // namespace rnnpack::avx512
