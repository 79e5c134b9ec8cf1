#include "gemm/packed_cell.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace rnnpack {
namespace {

// Sums of int8 products are 32 bits wide, a product is at most 255 * 127.
constexpr std::size_t longest_int8_product = std::size_t{0x7fffffff} / (255 * 127);

bool stays_within_one(activation which) {
  return which == activation::tanh || which == activation::sigmoid || which == activation::hard_sigmoid ||
         which == activation::softsign;
}

// A bias in the order of a pass's accumulators.
template <class T>
buffer<T> pack_bias(const std::vector<T>& bias, std::size_t gates, std::size_t units, const pass_kernels<T>& pass) {
  const packed_matrix packed = pack<T>({.data = bias.data(), .rows = 1, .gates = gates, .units = units}, {}, pass);
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
      format_(find_kernels<T>(table, kind_, units_).format),
      input_scaling_{.range = ranges.inputs, .cut_off = true},
      state_scaling_{.range = ranges.states, .cut_off = true} {
  if (format_.kind == precision::int8 && std::max(input_size_, units_) > longest_int8_product)
    throw std::invalid_argument("precision: int8 takes at most " + std::to_string(longest_int8_product) +
                                " inputs and units, got " + std::to_string(input_size_) + " and " +
                                std::to_string(units_));
  // First states may lie beyond, then their rows have scales of their own.
  if (stays_within_one(activations_.main)) state_scaling_ = {.range = 1, .cut_off = false};
  const cell_kernels<T>& kernels = find_kernels<T>(table, kind_, units_);
  const std::size_t gates = gates_of(kind_);
  // What the accumulators of the projection start with: the input bias, and for gru's z and r both biases.
  std::vector<T> bias(gates * units_, T(0));
  std::vector<T> candidate_bias(kind_ == cell_kind::gru ? units_ : 0, T(0));
  if (weights.bias != nullptr) {
    std::copy_n(weights.bias, gates * units_, bias.begin());
    if (kind_ == cell_kind::gru) {
      const T* recurrent = weights.bias + gates * units_;
      for (std::size_t i = 0; i < 2 * units_; ++i) bias[i] += recurrent[i];
      std::copy_n(recurrent + 2 * units_, units_, candidate_bias.begin());
    }
  }
  const weight_matrix<T> input{.data = weights.kernel, .rows = input_size_, .gates = gates, .units = units_};
  const weight_matrix<T> recurrent{.data = weights.recurrent_kernel, .rows = units_, .gates = gates, .units = units_};
  for (int p = 0; p < kernels.passes; ++p) {
    const pass_kernels<T>& pass = kernels.pass[p];
    const std::size_t blocks = (units_ + pass.width - 1) / pass.width;
    padded_units_ = std::max(padded_units_, blocks * pass.width);
    packed_pass<T> packed{
        &pass, blocks, pack(input, format_, pass), pack(recurrent, format_, pass), pack_bias(bias, gates, units_, pass),
        {}};
    if (!candidate_bias.empty()) {
      const pass_kernels<T> one_gate{.first_gate = 0, .gates = 1, .width = pass.width};
      packed.candidate_bias = pack_bias(candidate_bias, 1, units_, one_gate);
    }
    passes_.push_back(std::move(packed));
  }
}

template <class T>
std::size_t packed_cell<T>::bytes() const {
  std::size_t bytes = 0;
  for (const packed_pass<T>& pass : passes_) {
    bytes += pass.input.bytes() + pass.recurrent.bytes();
    bytes += (pass.bias.size() + pass.candidate_bias.size()) * sizeof(T);
  }
  return bytes;
}

template <class T>
bool packed_cell<T>::default_activations() const {
  const bool gated = kind_ != cell_kind::simple_rnn;
  return activations_.main == activation::tanh && (!gated || activations_.recurrent == activation::sigmoid);
}

template class packed_cell<float>;
template class packed_cell<double>;

}  // namespace rnnpack
