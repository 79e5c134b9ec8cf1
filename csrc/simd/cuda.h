// "Vectors" of one number for device code; the host may call them too. The vocabulary is explained in simd/avx512.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace rnnpack::cuda {

template <class T>
struct number {
  using value_type = T;
  T v;
  static constexpr number broadcast(T x) { return {x}; }
};

template <class T>
constexpr number<T> operator+(number<T> a, number<T> b) {
  return {a.v + b.v};
}
template <class T>
constexpr number<T> operator-(number<T> a, number<T> b) {
  return {a.v - b.v};
}
template <class T>
constexpr number<T> operator*(number<T> a, number<T> b) {
  return {a.v * b.v};
}
template <class T>
constexpr number<T> operator/(number<T> a, number<T> b) {
  return {a.v / b.v};
}
template <class T>
constexpr number<T> min_of(number<T> a, number<T> b) {
  return {a.v < b.v ? a.v : b.v};
}
template <class T>
constexpr number<T> max_of(number<T> a, number<T> b) {
  return {a.v > b.v ? a.v : b.v};
}
template <class T>
constexpr bool less(number<T> a, number<T> b) {
  return a.v < b.v;
}
template <class T>
constexpr number<T> select(bool m, number<T> yes, number<T> no) {
  return m ? yes : no;
}

using f32 = number<float>;
using f64 = number<double>;

__host__ __device__ inline f32 fma(f32 a, f32 b, f32 c) { return {::fmaf(a.v, b.v, c.v)}; }
__host__ __device__ inline f64 fma(f64 a, f64 b, f64 c) { return {::fma(a.v, b.v, c.v)}; }
__host__ __device__ inline f32 abs_of(f32 a) { return {::fabsf(a.v)}; }
__host__ __device__ inline f64 abs_of(f64 a) { return {::fabs(a.v)}; }
__host__ __device__ inline f32 copy_sign(f32 a, f32 sign) { return {::copysignf(a.v, sign.v)}; }
__host__ __device__ inline f64 copy_sign(f64 a, f64 sign) { return {::copysign(a.v, sign.v)}; }
__host__ __device__ inline f32 round_even(f32 a) { return {::rintf(a.v)}; }
__host__ __device__ inline f64 round_even(f64 a) { return {::rint(a.v)}; }

// a times 2^n; the result is a normal number.
__host__ __device__ inline f32 scale2(f32 a, f32 n) {
  const std::int32_t whole = n.v == n.v ? static_cast<std::int32_t>(n.v) : 0;
  return {a.v * __builtin_bit_cast(float, (whole + 127) << 23)};
}
__host__ __device__ inline f64 scale2(f64 a, f64 n) {
  const std::int64_t whole = n.v == n.v ? static_cast<std::int64_t>(n.v) : 0;
  return {a.v * __builtin_bit_cast(double, (whole + 1023) << 52)};
}

}  // namespace rnnpack::cuda
