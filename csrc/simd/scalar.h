// "Vectors" of one number, for machines without a header of their own and as the plain reading of
// the others. The vocabulary is explained in simd/avx512.h.
#pragma once

#include <cstdint>

namespace rnnpack::scalar {

template <class T>
struct number {
  using value_type = T;
  using mask = bool;
  static constexpr int lanes = 1;
  static constexpr int registers = 16;
  T v;
  static number load(const T* p) { return {*p}; }
  static number load_partial(const T* p, int n) { return {n > 0 ? *p : T(0)}; }
  static number broadcast(T x) { return {x}; }
  void store(T* p) const { *p = v; }
  void store_partial(T* p, int n) const {
    if (n > 0) *p = v;
  }
};
using f32 = number<float>;
using f64 = number<double>;

template <class T>
number<T> operator+(number<T> a, number<T> b) {
  return {a.v + b.v};
}
template <class T>
number<T> operator-(number<T> a, number<T> b) {
  return {a.v - b.v};
}
template <class T>
number<T> operator*(number<T> a, number<T> b) {
  return {a.v * b.v};
}
template <class T>
number<T> operator/(number<T> a, number<T> b) {
  return {a.v / b.v};
}
template <class T>
number<T> fma(number<T> a, number<T> b, number<T> c) {
  return {a.v * b.v + c.v};
}
template <class T>
number<T> min_of(number<T> a, number<T> b) {
  return {a.v < b.v ? a.v : b.v};
}
template <class T>
number<T> max_of(number<T> a, number<T> b) {
  return {a.v > b.v ? a.v : b.v};
}
template <class T>
bool less(number<T> a, number<T> b) {
  return a.v < b.v;
}
template <class T>
number<T> select(bool m, number<T> yes, number<T> no) {
  return m ? yes : no;
}

inline f32 abs_of(f32 a) { return {__builtin_fabsf(a.v)}; }
inline f64 abs_of(f64 a) { return {__builtin_fabs(a.v)}; }
inline f32 copy_sign(f32 a, f32 sign) { return {__builtin_copysignf(a.v, sign.v)}; }
inline f64 copy_sign(f64 a, f64 sign) { return {__builtin_copysign(a.v, sign.v)}; }

// Adding and subtracting 1.5 * 2^(mantissa bits) rounds to the nearest even whole number; exact for
// the magnitudes the activations use (below 2^21).
inline f32 round_even(f32 a) { return {(a.v + 12582912.0f) - 12582912.0f}; }
inline f64 round_even(f64 a) { return {(a.v + 6755399441055744.0) - 6755399441055744.0}; }

inline f32 scale2(f32 a, f32 n) {
  const std::int32_t whole = n.v == n.v ? static_cast<std::int32_t>(n.v) : 0;
  return {a.v * __builtin_bit_cast(float, (whole + 127) << 23)};
}
inline f64 scale2(f64 a, f64 n) {
  const std::int64_t whole = n.v == n.v ? static_cast<std::int64_t>(n.v) : 0;
  return {a.v * __builtin_bit_cast(double, (whole + 1023) << 52)};
}

}  // namespace rnnpack::scalar
