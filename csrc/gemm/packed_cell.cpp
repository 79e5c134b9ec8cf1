#include "gemm/packed_cell.h"

#include <algorithm>

namespace rnnpack {
namespace {

// Copies columns [first unit of the block, + width) of each of the pass's gates; what sticks out is zero.
template <class T>
buffer<T> pack_rows(const T* matrix, std::size_t rows, std::size_t units, std::size_t gates_in_cell,
                    const pass_kernels<T>& pass, std::size_t blocks) {
  const std::size_t gates = pass.gates;
  const std::size_t width = pass.width;
  buffer<T> packed(checked_product(blocks, rows, gates, width));
  T* to = packed.data();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t unit = block * width;
    const std::size_t real = std::min(width, units - unit);
    for (std::size_t row = 0; row < rows; ++row) {
      const T* line = matrix + row * gates_in_cell * units;
      for (std::size_t gate = 0; gate < gates; ++gate, to += width) {
        std::copy_n(line + (pass.first_gate + gate) * units + unit, real, to);
        std::fill_n(to + real, width - real, T(0));
      }
    }
  }
  return packed;
}

}  // namespace

template <class T>
packed_cell<T>::packed_cell(const kernel_table& table, const cell_weights<T>& weights)
    : kind_(weights.kind),
      isa_(table.isa),
      activations_(weights.activations),
      input_size_(weights.input_size),
      units_(weights.units) {
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
  for (int p = 0; p < kernels.passes; ++p) {
    const pass_kernels<T>& pass = kernels.pass[p];
    const std::size_t blocks = (units_ + pass.width - 1) / pass.width;
    padded_units_ = std::max(padded_units_, blocks * pass.width);
    packed_pass<T> packed{&pass,
                          blocks,
                          pack_rows(weights.kernel, input_size_, units_, gates, pass, blocks),
                          pack_rows(weights.recurrent_kernel, units_, units_, gates, pass, blocks),
                          pack_rows(bias.data(), 1, units_, gates, pass, blocks),
                          {}};
    if (!candidate_bias.empty()) {
      const pass_kernels<T> one_gate{.first_gate = 0, .gates = 1, .width = pass.width};
      packed.candidate_bias = pack_rows(candidate_bias.data(), 1, units_, 1, one_gate, blocks);
    }
    passes_.push_back(std::move(packed));
  }
}

template <class T>
std::size_t packed_cell<T>::bytes() const {
  std::size_t values = 0;
  for (const packed_pass<T>& pass : passes_)
    values += pass.input_panels.size() + pass.recurrent_panels.size() + pass.bias.size() + pass.candidate_bias.size();
  return values * sizeof(T);
}

template <class T>
bool packed_cell<T>::default_activations() const {
  const bool gated = kind_ != cell_kind::simple_rnn;
  return activations_.main == activation::tanh && (!gated || activations_.recurrent == activation::sigmoid);
}

template class packed_cell<float>;
template class packed_cell<double>;

}  // namespace rnnpack
