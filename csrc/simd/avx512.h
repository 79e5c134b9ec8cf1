// Vectors of AVX-512. Every instruction set's header offers this same small vocabulary:
//   types      f32, f64 with value_type, mask, lanes, registers
//   memory     load, store, store_partial (the first n lanes), broadcast; f32 also load_partial, zeros beyond
//   arithmetic + - * / fma min_of max_of abs_of round_even
//   choice     less, select, copy_sign
//   scaling    scale2(v, n): v * 2^n for whole n whose power of two is a normal number
// min_of(a, b) and max_of(a, b) answer b when either is NaN, so the constant goes first.
#pragma once

#include <immintrin.h>

namespace rnnpack::avx512 {

struct f32 {
  using value_type = float;
  using mask = __mmask16;
  static constexpr int lanes = 16;
  static constexpr int registers = 32;
  __m512 v;
  static f32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static f32 load_partial(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(static_cast<mask>((1u << n) - 1u), p)};
  }
  static f32 broadcast(float x) { return {_mm512_set1_ps(x)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store_partial(float* p, int n) const { _mm512_mask_storeu_ps(p, static_cast<mask>((1u << n) - 1u), v); }
};

inline f32 operator+(f32 a, f32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline f32 operator-(f32 a, f32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline f32 operator*(f32 a, f32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline f32 operator/(f32 a, f32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline f32 fma(f32 a, f32 b, f32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline f32 min_of(f32 a, f32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline f32 max_of(f32 a, f32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline f32 abs_of(f32 a) { return {_mm512_abs_ps(a.v)}; }
inline f32 round_even(f32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline f32::mask less(f32 a, f32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
inline f32 select(f32::mask m, f32 yes, f32 no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }
inline f32 copy_sign(f32 magnitude, f32 sign) {
  // 0xCA: take the sign bit from `sign`, all other bits from `magnitude`.
  const __m512i bit = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  return {_mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign.v), _mm512_castps_si512(magnitude.v), 0xCA))};
}
inline f32 scale2(f32 a, f32 n) { return {_mm512_scalef_ps(a.v, n.v)}; }

struct f64 {
  using value_type = double;
  using mask = __mmask8;
  static constexpr int lanes = 8;
  static constexpr int registers = 32;
  __m512d v;
  static f64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static f64 broadcast(double x) { return {_mm512_set1_pd(x)}; }
  void store(double* p) const { _mm512_storeu_pd(p, v); }
  void store_partial(double* p, int n) const { _mm512_mask_storeu_pd(p, static_cast<mask>((1u << n) - 1u), v); }
};

inline f64 operator+(f64 a, f64 b) { return {_mm512_add_pd(a.v, b.v)}; }
inline f64 operator-(f64 a, f64 b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline f64 operator*(f64 a, f64 b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline f64 operator/(f64 a, f64 b) { return {_mm512_div_pd(a.v, b.v)}; }
inline f64 fma(f64 a, f64 b, f64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline f64 min_of(f64 a, f64 b) { return {_mm512_min_pd(a.v, b.v)}; }
inline f64 max_of(f64 a, f64 b) { return {_mm512_max_pd(a.v, b.v)}; }
inline f64 abs_of(f64 a) { return {_mm512_abs_pd(a.v)}; }
inline f64 round_even(f64 a) { return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline f64::mask less(f64 a, f64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
inline f64 select(f64::mask m, f64 yes, f64 no) { return {_mm512_mask_blend_pd(m, no.v, yes.v)}; }
inline f64 copy_sign(f64 magnitude, f64 sign) {
  const __m512i bit = _mm512_set1_epi64(static_cast<long long>(0x8000000000000000ull));
  return {_mm512_castsi512_pd(
      _mm512_ternarylogic_epi64(bit, _mm512_castpd_si512(sign.v), _mm512_castpd_si512(magnitude.v), 0xCA))};
}
inline f64 scale2(f64 a, f64 n) { return {_mm512_scalef_pd(a.v, n.v)}; }

}  // namespace rnnpack::avx512
