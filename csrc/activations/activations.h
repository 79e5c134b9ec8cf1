// Element-wise activations on a vector type V, for float and double and every instruction set.
// Formulas are Keras 2.9's; hard_sigmoid is its clip(0.2 x + 0.5, 0, 1). NaN stays NaN.
#pragma once

#include "activations/exponential.h"
#include "api/cell.h"

namespace rnnpack::activations {

// tanh(x) = m / (m + 2) with m = exp(2|x|) - 1: no cancellation near zero, saturates before exp overflows.
template <class V>
constexpr V tanh_numerator(V x) {
  using T = typename V::value_type;
  const V limit = V::broadcast(limits<T>::tanh_is_one);
  return exponential_minus_one(min_of(limit, abs_of(x)) * V::broadcast(T(2)));
}

template <class V>
constexpr V tanh(V x) {
  const V m = tanh_numerator(x);
  return copy_sign(m / (m + V::broadcast(typename V::value_type(2))), x);
}

template <class V>
constexpr V sigmoid_denominator(V x) {
  using T = typename V::value_type;
  return V::broadcast(T(1)) + exponential_in_range(V::broadcast(T(0)) - x);
}

// Below -exp_range it stays at the smallest normal number, where 1 / (1 + exp(-x)) is a denormal or zero.
template <class V>
constexpr V sigmoid(V x) {
  return V::broadcast(typename V::value_type(1)) / sigmoid_denominator(x);
}

// sigmoid(gate) * tanh(x) with one division. Where the product of the denominators overflows, the result, then below
// the smallest normal number, is zero.
template <class V>
constexpr V sigmoid_times_tanh(V gate, V x) {
  const V m = tanh_numerator(x);
  return copy_sign(m / (sigmoid_denominator(gate) * (m + V::broadcast(typename V::value_type(2)))), x);
}

template <class V>
constexpr V hard_sigmoid(V x) {
  using T = typename V::value_type;
  const V line = fma(V::broadcast(T(0.2)), x, V::broadcast(T(0.5)));
  return max_of(V::broadcast(T(0)), min_of(V::broadcast(T(1)), line));
}

template <class V>
constexpr V relu(V x) {
  return max_of(V::broadcast(typename V::value_type(0)), x);
}

// exp(x) - 1 below zero, x above. The exponential only sees x <= 0.
template <class V>
constexpr V elu(V x) {
  const V zero = V::broadcast(typename V::value_type(0));
  return select(less(zero, x), x, exponential_minus_one(min_of(zero, x)));
}

// Klambauer et al. 2017, "Self-Normalizing Neural Networks": scale and scale * alpha.
template <class V>
constexpr V selu(V x) {
  using T = typename V::value_type;
  const V zero = V::broadcast(T(0));
  const V negative = exponential_minus_one(min_of(zero, x)) * V::broadcast(T(1.67326324235437728));
  return V::broadcast(T(1.05070098735548049)) * select(less(zero, x), x, negative);
}

// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
template <class V>
constexpr V softplus(V x) {
  using T = typename V::value_type;
  const V zero = V::broadcast(T(0));
  return max_of(zero, x) + log_one_plus(exponential_in_range(zero - abs_of(x)));
}

template <class V>
constexpr V softsign(V x) {
  return x / (V::broadcast(typename V::value_type(1)) + abs_of(x));
}

// With the unclamped exponential: x times the floor of sigmoid would be wrong for very negative x.
template <class V>
constexpr V swish(V x) {
  using T = typename V::value_type;
  return x / (V::broadcast(T(1)) + exponential(V::broadcast(T(0)) - x));
}

// x * Phi(x); for negative x through erfc, which keeps the relative accuracy of the tail.
template <class V>
constexpr V gelu(V x) {
  using T = typename V::value_type;
  const V zero = V::broadcast(T(0));
  const V half_tail = V::broadcast(T(0.5)) * erfc_of_magnitude(abs_of(x) * V::broadcast(T(0.70710678118654752)));
  const V phi = select(less(x, zero), half_tail, V::broadcast(T(1)) - half_tail);
  return x * phi;
}

// The choice is the same for a whole call, so the branch predictor makes it free.
template <class V>
constexpr V apply(activation which, V x) {
  switch (which) {
    case activation::tanh: return tanh(x);
    case activation::sigmoid: return sigmoid(x);
    case activation::hard_sigmoid: return hard_sigmoid(x);
    case activation::relu: return relu(x);
    case activation::elu: return elu(x);
    case activation::selu: return selu(x);
    case activation::softplus: return softplus(x);
    case activation::softsign: return softsign(x);
    case activation::swish: return swish(x);
    case activation::gelu: return gelu(x);
    case activation::exponential: return exponential(x);
    case activation::linear: break;
  }
  return x;
}

// The pair a cell uses, and gated(g, x) = recurrent(g) * main(x): Keras' defaults, known to the compiler ...
template <class V>
struct default_pair {
  constexpr explicit default_pair(activation_pair) {}
  constexpr V main(V x) const { return tanh(x); }
  constexpr V recurrent(V x) const { return sigmoid(x); }
  constexpr V gated(V gate, V x) const { return sigmoid_times_tanh(gate, x); }
};

// ... or any other.
template <class V>
struct any_pair {
  activation_pair chosen;
  constexpr explicit any_pair(activation_pair pair) : chosen(pair) {}
  [[gnu::noinline]] constexpr V main(V x) const { return apply(chosen.main, x); }
  [[gnu::noinline]] constexpr V recurrent(V x) const { return apply(chosen.recurrent, x); }
  constexpr V gated(V gate, V x) const { return recurrent(gate) * main(x); }
};

}  // namespace rnnpack::activations
