#include "gemm/packed_cell.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "gemm/bias.h"

namespace rnnpack {
namespace {

// Sums of int8 products are 32 bits wide, a product is at most 255 * 127.
constexpr std::size_t longest_int8_product = std::size_t{0x7fffffff} / 255 / 127;

bool stays_within_one(activation which) {
  return which == activation::tanh || which == activation::sigmoid || which == activation::hard_sigmoid ||
         which == activation::softsign;
}

// A vector for each gate, in the order of a pass's accumulators.
template <class T>
buffer<T> pack_bias(const T* bias, std::size_t gates, std::size_t units, const pass_kernels<T>& pass) {
  const packed_matrix packed = pack<T>({.data = bias, .rows = 1, .gates = gates, .units = units}, {}, pass);
  buffer<T> values(packed.panels.size() / sizeof(T));
  std::memcpy(values.data(), packed.panels.data(), packed.panels.size());
  return values;
}

}  // namespace

template <class T>
packed_cell<T>::packed_cell(const kernel_table& table, const cell_weights<T>& weights, operand_ranges ranges)
    : kind_(weights.kind),
      isa_(table.isa),
      activations_(weights.activations),
      input_size_(weights.input_size),
      units_(weights.units),
      outputs_(weights.outputs),
      states_(states_of(kind_)),
      format_(find_kernels<T>(table, kind_, outputs_).format),
      input_scaling_{.range = ranges.inputs, .cut_off = true},
      state_scaling_{.range = ranges.states, .cut_off = true} {
  if (format_.kind == precision::int8 && std::max({input_size_, units_, outputs_}) > longest_int8_product)
    throw std::invalid_argument("precision: int8 takes at most " + std::to_string(longest_int8_product) +
                                " inputs and units, got " + std::to_string(input_size_) + " and " +
                                std::to_string(std::max(units_, outputs_)));
  // Not all rows keep to it, then those have scales of their own: first states may lie beyond.
  if (stays_within_one(activations_.main))
    (kind_ == cell_kind::projected_lstm ? halfway_scaling_ : state_scaling_) = {.range = 1, .cut_off = false};
  const cell_kernels<T>& kernels = find_kernels<T>(table, kind_, outputs_);
  for (int p = 0; p < kernels.passes; ++p) {
    passes_.push_back(pack_pass(kernels.pass[p], weights));
    const packed_pass<T>& pass = passes_.back();
    std::size_t& padded = pass.takes_inputs() ? padded_units_ : padded_outputs_;
    padded = std::max(padded, pass.blocks * pass.kernels->width);
  }
  if (kind_ != cell_kind::projected_lstm) padded_outputs_ = padded_units_;
}

template <class T>
packed_pass<T> packed_cell<T>::pack_pass(const pass_kernels<T>& kernels, const cell_weights<T>& weights) const {
  const std::size_t gates = gates_of(kind_);
  packed_pass<T> pass;
  pass.kernels = &kernels;
  pass.k = pass.takes_inputs() ? outputs_ : units_;
  pass.units = pass.takes_inputs() ? units_ : outputs_;
  pass.blocks = (pass.units + kernels.width - 1) / kernels.width;
  if (!pass.takes_inputs()) {
    pass.recurrent =
        pack<T>({.data = weights.projection_kernel, .rows = pass.k, .gates = 1, .units = pass.units}, format_, kernels);
    return pass;
  }
  pass.input =
      pack<T>({.data = weights.kernel, .rows = input_size_, .gates = gates, .units = units_}, format_, kernels);
  pass.recurrent =
      pack<T>({.data = weights.recurrent_kernel, .rows = pass.k, .gates = gates, .units = units_}, format_, kernels);
  pass.bias = pack_bias(input_bias(weights.kind, weights.units, weights.bias).data(), gates, units_, kernels);
  if (kind_ == cell_kind::gru)
    pass.candidate_bias =
        pack_bias(candidate_bias(weights.units, weights.bias).data(), 1, units_, {.gates = 1, .width = kernels.width});
  if (kind_ == cell_kind::peephole_lstm)
    pass.peepholes = pack_bias(weights.peepholes, 3, units_, {.gates = 3, .width = kernels.width});
  return pass;
}

template <class T>
std::size_t packed_cell<T>::bytes() const {
  std::size_t bytes = 0;
  for (const packed_pass<T>& pass : passes_) {
    bytes += pass.input.bytes() + pass.recurrent.bytes();
    bytes += (pass.bias.size() + pass.candidate_bias.size() + pass.peepholes.size()) * sizeof(T);
  }
  return bytes;
}

template class packed_cell<float>;
template class packed_cell<double>;

}  // namespace rnnpack
