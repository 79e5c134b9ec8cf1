// exp, expm1, log1p and erfc on a vector type V: the transcendental core of all activations.
// exp(x) = 2^n (1 + p(r)) with n = round(x / ln 2), r = x - n ln 2, |r| <= ln 2 / 2, and
// p(r) = expm1(r) = r + r^2 q(r). q interpolates (expm1(r) - r) / r^2 at Chebyshev nodes of that interval
// (own computation, 40 digits): absolute error of p below 8e-9 (degree 4) and 2e-17 (degree 9).
#pragma once

#include "api/cell.h"

namespace rnnpack::activations {

template <class T>
struct limits;

template <>
struct limits<float> {
  static constexpr float tanh_is_one = 9.1f;       // 1 - tanh(9.02) is half an ulp of 1
  static constexpr float exp_range = 87.3365f;     // 2^n stays normal for |x| up to here
  static constexpr float ln2_high = 0.693359375f;  // few bits, so that n * ln2_high is exact
  static constexpr float ln2_low = -2.12194440e-4f;
};

template <>
struct limits<double> {
  static constexpr double tanh_is_one = 19.1;
  static constexpr double exp_range = 708.3964;
  static constexpr double ln2_high = 6.93145751953125e-1;
  static constexpr double ln2_low = 1.42860682030941723212e-6;
};

template <class V, int N>
constexpr V horner(V x, const typename V::value_type (&coefficients)[N]) {
  V sum = V::broadcast(coefficients[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, V::broadcast(coefficients[i]));
  return sum;
}

template <class V>
constexpr V small_exponential_minus_one(V r) {
  if constexpr (sizeof(typename V::value_type) == sizeof(float)) {
    constexpr float q[] = {0.5f, 0.16666576989698776f, 0.041666554617204574f, 0.0083631790527225774f,
                           0.0013926183587713495f};
    return fma(r * r, horner(r, q), r);
  } else {
    constexpr double q[] = {0.50000000000000010,    0.16666666666666667,    0.041666666666624128,
                            0.0083333333333300618,  0.0013888888917213717,  0.00019841269863053617,
                            2.4801521295954375e-05, 2.7557268459997065e-06, 2.7620088445409748e-07,
                            2.5100385495510319e-08};
    return fma(r * r, horner(r, q), r);
  }
}

template <class V>
struct reduced {
  V n;         // whole number of powers of two
  V fraction;  // expm1 of what is left
};

template <class V>
constexpr reduced<V> reduce(V x) {
  using T = typename V::value_type;
  const V n = round_even(x * V::broadcast(T(1.44269504088896341)));
  V r = fma(n, V::broadcast(-limits<T>::ln2_high), x);
  r = fma(n, V::broadcast(-limits<T>::ln2_low), r);
  return {n, small_exponential_minus_one(r)};
}

// exp(x) with x clamped to where the result is a normal number.
template <class V>
constexpr V exponential_in_range(V x) {
  using T = typename V::value_type;
  const V limit = V::broadcast(limits<T>::exp_range);
  const V clamped = max_of(V::broadcast(-limits<T>::exp_range), min_of(limit, x));
  const reduced<V> e = reduce(clamped);
  return scale2(V::broadcast(T(1)) + e.fraction, e.n);
}

// exp(x) for all x: infinity above the range and zero far below it, by scaling twice with half the exponent.
template <class V>
constexpr V exponential(V x) {
  using T = typename V::value_type;
  const V limit = V::broadcast(T(1.1) * limits<T>::exp_range);
  const V clamped = max_of(V::broadcast(T(0)) - limit, min_of(limit, x));
  const reduced<V> e = reduce(clamped);
  const V half = round_even(e.n * V::broadcast(T(0.5)));
  return scale2(scale2(V::broadcast(T(1)) + e.fraction, half), e.n - half);
}

// exp(x) - 1 without cancellation, for x up to exp_range; below -exp_range it is -1.
template <class V>
constexpr V exponential_minus_one(V x) {
  using T = typename V::value_type;
  const reduced<V> e = reduce(max_of(V::broadcast(-limits<T>::exp_range), x));
  const V power = scale2(V::broadcast(T(1)), e.n);
  return fma(power, e.fraction, power - V::broadcast(T(1)));
}

// log(1 + u) for 0 <= u <= 1: 2 atanh(s) with s = u / (2 + u) <= 1/3, by its Taylor series; the first
// omitted term is below s^2k / (2k + 1) = 1e-8 (8 terms) and 3e-18 (18 terms) of the sum.
template <class V>
constexpr V log_one_plus(V u) {
  using T = typename V::value_type;
  constexpr int terms = sizeof(T) == sizeof(float) ? 8 : 18;
  const V s = u / (V::broadcast(T(2)) + u);
  const V square = s * s;
  V sum = V::broadcast(T(1) / T(2 * terms - 1));
  for (int k = terms - 2; k >= 0; --k) sum = fma(sum, square, V::broadcast(T(1) / T(2 * k + 1)));
  return (s + s) * sum;
}

// erfc(x) for x >= 0: (1 + 2x) exp(x^2) erfc(x) is smooth in t = (x - 3.75) / (x + 3.75), the mapping of
// Shepherd and Laframboise (Math. Comp. 36, 1981). Coefficients: Chebyshev interpolation of degree 22
// (own computation, 40 digits), absolute error 2e-16.
template <class V>
constexpr V erfc_of_magnitude(V x) {
  using T = typename V::value_type;
  constexpr T coefficients[] = {
      T(1.2375126308378276),     T(-0.14024059858554521),    T(0.0035854154854663069),   T(0.082276738489991588),
      T(-0.10880393014193915),   T(0.092304321164356212),    T(-0.058693398584491790),   T(0.028362277371369460),
      T(-0.0097465796208157493), T(0.0017556261692312737),   T(0.00029371408777632881),  T(-0.00029015536565259998),
      T(5.1647371223944006e-05), T(2.2387592754981247e-05),  T(-1.1439615226722316e-05), T(-9.7929757086230621e-07),
      T(1.7438576941252097e-06), T(-5.0816876096635251e-08), T(-2.4996534016724147e-07), T(1.8778484220606911e-08),
      T(3.2564971770903664e-08), T(-1.9527867496015813e-09), T(-2.7293902901405837e-09)};
  // Beyond 28 the tail is below the smallest double; the clamp keeps t finite for infinite x.
  const V bounded = min_of(V::broadcast(T(28)), x);
  const V centre = V::broadcast(T(3.75));
  const V t = (bounded - centre) / (bounded + centre);
  const V numerator = horner(t, coefficients) * exponential_in_range(V::broadcast(T(0)) - bounded * bounded);
  return numerator / fma(V::broadcast(T(2)), bounded, V::broadcast(T(1)));
}

}  // namespace rnnpack::activations
