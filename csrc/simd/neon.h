// Vectors of aarch64's Advanced SIMD (NEON). The vocabulary is explained in simd/avx512.h.
#pragma once

#include <arm_neon.h>

namespace rnnpack::neon {

struct f32 {
  using value_type = float;
  struct mask {
    uint32x4_t v;
  };
  static constexpr int lanes = 4;
  static constexpr int registers = 32;
  float32x4_t v;
  static f32 load(const float* p) { return {vld1q_f32(p)}; }
  static f32 load_partial(const float* p, int n) {
    float lane[lanes] = {};
    for (int i = 0; i < n; ++i) lane[i] = p[i];
    return {vld1q_f32(lane)};
  }
  static f32 broadcast(float x) { return {vdupq_n_f32(x)}; }
  void store(float* p) const { vst1q_f32(p, v); }
  void store_partial(float* p, int n) const {
    float lane[lanes];
    vst1q_f32(lane, v);
    for (int i = 0; i < n; ++i) p[i] = lane[i];
  }
};

inline f32 operator+(f32 a, f32 b) { return {vaddq_f32(a.v, b.v)}; }
inline f32 operator-(f32 a, f32 b) { return {vsubq_f32(a.v, b.v)}; }
inline f32 operator*(f32 a, f32 b) { return {vmulq_f32(a.v, b.v)}; }
inline f32 operator/(f32 a, f32 b) { return {vdivq_f32(a.v, b.v)}; }
inline f32 fma(f32 a, f32 b, f32 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline f32 min_of(f32 a, f32 b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
inline f32 max_of(f32 a, f32 b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline f32 abs_of(f32 a) { return {vabsq_f32(a.v)}; }
inline f32 round_even(f32 a) { return {vrndnq_f32(a.v)}; }
inline f32::mask less(f32 a, f32 b) { return {vcltq_f32(a.v, b.v)}; }
inline f32 select(f32::mask m, f32 yes, f32 no) { return {vbslq_f32(m.v, yes.v, no.v)}; }
inline f32 copy_sign(f32 magnitude, f32 sign) { return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v)}; }
inline f32 scale2(f32 a, f32 n) {
  const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n.v), vdupq_n_s32(127));
  return {vmulq_f32(a.v, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)))};
}

struct f64 {
  using value_type = double;
  struct mask {
    uint64x2_t v;
  };
  static constexpr int lanes = 2;
  static constexpr int registers = 32;
  float64x2_t v;
  static f64 load(const double* p) { return {vld1q_f64(p)}; }
  static f64 broadcast(double x) { return {vdupq_n_f64(x)}; }
  void store(double* p) const { vst1q_f64(p, v); }
  void store_partial(double* p, int n) const {
    if (n > 0) p[0] = vgetq_lane_f64(v, 0);
    if (n > 1) p[1] = vgetq_lane_f64(v, 1);
  }
};

inline f64 operator+(f64 a, f64 b) { return {vaddq_f64(a.v, b.v)}; }
inline f64 operator-(f64 a, f64 b) { return {vsubq_f64(a.v, b.v)}; }
inline f64 operator*(f64 a, f64 b) { return {vmulq_f64(a.v, b.v)}; }
inline f64 operator/(f64 a, f64 b) { return {vdivq_f64(a.v, b.v)}; }
inline f64 fma(f64 a, f64 b, f64 c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
inline f64 min_of(f64 a, f64 b) { return {vbslq_f64(vcltq_f64(a.v, b.v), a.v, b.v)}; }
inline f64 max_of(f64 a, f64 b) { return {vbslq_f64(vcgtq_f64(a.v, b.v), a.v, b.v)}; }
inline f64 abs_of(f64 a) { return {vabsq_f64(a.v)}; }
inline f64 round_even(f64 a) { return {vrndnq_f64(a.v)}; }
inline f64::mask less(f64 a, f64 b) { return {vcltq_f64(a.v, b.v)}; }
inline f64 select(f64::mask m, f64 yes, f64 no) { return {vbslq_f64(m.v, yes.v, no.v)}; }
inline f64 copy_sign(f64 magnitude, f64 sign) {
  return {vbslq_f64(vdupq_n_u64(0x8000000000000000ull), sign.v, magnitude.v)};
}
inline f64 scale2(f64 a, f64 n) {
  const int64x2_t exponent = vaddq_s64(vcvtnq_s64_f64(n.v), vdupq_n_s64(1023));
  return {vmulq_f64(a.v, vreinterpretq_f64_s64(vshlq_n_s64(exponent, 52)))};
}

}  // namespace rnnpack::neon
