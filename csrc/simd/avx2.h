// Vectors of AVX2 with FMA. The vocabulary is explained in simd/avx512.h.
#pragma once

#include <immintrin.h>

namespace rnnpack::avx2 {

struct f32 {
  using value_type = float;
  struct mask {
    __m256 v;
  };
  static constexpr int lanes = 8;
  static constexpr int registers = 16;
  __m256 v;
  static f32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static f32 load_partial(const float* p, int n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
  static f32 broadcast(float x) { return {_mm256_set1_ps(x)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store_partial(float* p, int n) const { _mm256_maskstore_ps(p, first_lanes(n), v); }

 private:
  static __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

inline f32 operator+(f32 a, f32 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline f32 operator-(f32 a, f32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline f32 operator*(f32 a, f32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline f32 operator/(f32 a, f32 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline f32 fma(f32 a, f32 b, f32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline f32 min_of(f32 a, f32 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline f32 max_of(f32 a, f32 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline f32 abs_of(f32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline f32 round_even(f32 a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline f32::mask less(f32 a, f32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline f32 select(f32::mask m, f32 yes, f32 no) { return {_mm256_blendv_ps(no.v, yes.v, m.v)}; }
inline f32 copy_sign(f32 magnitude, f32 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.v), _mm256_and_ps(bit, sign.v))};
}
inline f32 scale2(f32 a, f32 n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)))};
}

struct f64 {
  using value_type = double;
  struct mask {
    __m256d v;
  };
  static constexpr int lanes = 4;
  static constexpr int registers = 16;
  __m256d v;
  static f64 load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static f64 broadcast(double x) { return {_mm256_set1_pd(x)}; }
  void store(double* p) const { _mm256_storeu_pd(p, v); }
  void store_partial(double* p, int n) const {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    _mm256_maskstore_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane), v);
  }
};

inline f64 operator+(f64 a, f64 b) { return {_mm256_add_pd(a.v, b.v)}; }
inline f64 operator-(f64 a, f64 b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline f64 operator*(f64 a, f64 b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline f64 operator/(f64 a, f64 b) { return {_mm256_div_pd(a.v, b.v)}; }
inline f64 fma(f64 a, f64 b, f64 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline f64 min_of(f64 a, f64 b) { return {_mm256_min_pd(a.v, b.v)}; }
inline f64 max_of(f64 a, f64 b) { return {_mm256_max_pd(a.v, b.v)}; }
inline f64 abs_of(f64 a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
inline f64 round_even(f64 a) { return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline f64::mask less(f64 a, f64 b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
inline f64 select(f64::mask m, f64 yes, f64 no) { return {_mm256_blendv_pd(no.v, yes.v, m.v)}; }
inline f64 copy_sign(f64 magnitude, f64 sign) {
  const __m256d bit = _mm256_set1_pd(-0.0);
  return {_mm256_or_pd(_mm256_andnot_pd(bit, magnitude.v), _mm256_and_pd(bit, sign.v))};
}
inline f64 scale2(f64 a, f64 n) {
  const __m256i exponent = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n.v)), _mm256_set1_epi64x(1023));
  return {_mm256_mul_pd(a.v, _mm256_castsi256_pd(_mm256_slli_epi64(exponent, 52)))};
}

}  // namespace rnnpack::avx2
