// The names by which Python calls what is an enumeration here.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/cell.h"

namespace rnnpack::bindings {

template <class E>
using name_list = std::vector<std::pair<std::string_view, E>>;

inline const name_list<cell_kind>& kinds() {
  static const name_list<cell_kind> names{
      {"simple_rnn", cell_kind::simple_rnn},
      {"lstm", cell_kind::lstm},
      {"gru", cell_kind::gru},
      {"gru_reset_before", cell_kind::gru_reset_before},
      {"peephole_lstm", cell_kind::peephole_lstm},
      {"projected_lstm", cell_kind::projected_lstm},
  };
  return names;
}

inline const name_list<activation>& activations() {
  static const name_list<activation> names{
      {"linear", activation::linear},     {"tanh", activation::tanh},
      {"sigmoid", activation::sigmoid},   {"hard_sigmoid", activation::hard_sigmoid},
      {"relu", activation::relu},         {"elu", activation::elu},
      {"selu", activation::selu},         {"softplus", activation::softplus},
      {"softsign", activation::softsign}, {"swish", activation::swish},
      {"gelu", activation::gelu},         {"exponential", activation::exponential},
  };
  return names;
}

template <class E>
E find(const name_list<E>& names, std::string_view name, const std::string& argument) {
  std::string known;
  for (const auto& [known_name, value] : names) {
    if (known_name == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(known_name);
  }
  throw pybind11::value_error(argument + ": expected one of " + known + ", got '" + std::string(name) + "'");
}

inline activation_pair find_activations(std::string_view main, std::string_view recurrent) {
  return {.main = find(activations(), main, "activation"),
          .recurrent = find(activations(), recurrent, "recurrent_activation")};
}

template <class E>
std::string_view name_of(const name_list<E>& names, E wanted) {
  for (const auto& [name, value] : names)
    if (value == wanted) return name;
  return {};
}

}  // namespace rnnpack::bindings
