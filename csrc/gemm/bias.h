// What sums begin with, from biases in Keras' layout: (gates * units), (2, gates * units) for gru, or null.
#pragma once

#include <algorithm>
#include <vector>

#include "api/cell.h"

namespace rnnpack {

// For projected inputs, (gates * units): the input bias, and for gru's z and r both biases.
template <class T>
std::vector<T> input_bias(cell_kind kind, std::size_t units, const T* given) {
  std::vector<T> bias(gates_of(kind) * units, T(0));
  if (given == nullptr) return bias;
  std::copy_n(given, bias.size(), bias.begin());
  const T* recurrent = given + bias.size();
  for (std::size_t i = 0; kind == cell_kind::gru && i < 2 * units; ++i) bias[i] += recurrent[i];
  return bias;
}

// For the recurrent product of gru's candidate, (units).
template <class T>
std::vector<T> candidate_bias(std::size_t units, const T* given) {
  std::vector<T> bias(units, T(0));
  if (given != nullptr) std::copy_n(given + 5 * units, units, bias.begin());
  return bias;
}

}  // namespace rnnpack
