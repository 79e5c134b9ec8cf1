// The weights of one cell, packed once for the kernels that will read them. Immutable afterwards.
#pragma once

#include <cstddef>
#include <vector>

#include "api/kernels.h"
#include "gemm/packed_matrix.h"
#include "memory/buffer.h"

namespace rnnpack {

// Weights in Keras' layout: column blocks of `units` columns, one a gate.
template <class T>
struct cell_weights {
  cell_kind kind;
  activation_pair activations;
  std::size_t input_size;
  std::size_t units;
  std::size_t outputs;         // size of h; the units where it is not projected
  const T* kernel;             // (input_size, gates * units)
  const T* recurrent_kernel;   // (outputs, gates * units)
  const T* bias;               // (gates * units), (2, gates * units) for gru, or null
  const T* peepholes;          // (3, units), peephole_lstm only
  const T* projection_kernel;  // (units, outputs), projected_lstm only
};

// Magnitudes that inputs and states were seen to have, for int8; zero: not known.
struct operand_ranges {
  float inputs = 0;
  float states = 0;
};

template <class T>
struct packed_pass {
  const pass_kernels<T>* kernels = nullptr;
  std::size_t k = 0;         // values of a row that it multiplies
  std::size_t units = 0;     // that it computes
  std::size_t blocks = 0;    // of them
  packed_matrix input;       // input_size rows; empty if it takes no inputs
  packed_matrix recurrent;   // k rows
  buffer<T> bias;            // [blocks][gates][width]
  buffer<T> candidate_bias;  // [blocks][width], gru only
  buffer<T> peepholes;       // [blocks][peepholes][width], peephole_lstm only

  bool takes_inputs() const { return kernels->project != nullptr; }
  // Values of one projected row in one block.
  std::size_t stride() const { return static_cast<std::size_t>(kernels->gates) * kernels->width; }
  // ... and in all of them.
  std::size_t projected_values() const { return takes_inputs() ? blocks * stride() : 0; }
};

template <class T>
class packed_cell {
 public:
  // Throws std::invalid_argument where a product is too long for the sums of the table's precision.
  packed_cell(const kernel_table& table, const cell_weights<T>& weights, operand_ranges ranges);

  cell_kind kind() const { return kind_; }
  const char* isa() const { return isa_; }
  std::size_t input_size() const { return input_size_; }
  std::size_t units() const { return units_; }
  std::size_t outputs() const { return outputs_; }  // size of h
  // Whole blocks of every pass.
  std::size_t padded_units() const { return padded_units_; }
  std::size_t padded_outputs() const { return padded_outputs_; }
  std::size_t states() const { return states_; }
  std::size_t state_size(std::size_t state) const { return state == 0 ? outputs_ : units_; }  // of h, of c
  std::size_t bytes() const;
  activation_pair activations() const { return activations_; }
  bool default_activations() const { return are_defaults(kind_, activations_); }
  const number_format<T>& format() const { return format_; }
  scaling input_scaling() const { return input_scaling_; }
  scaling state_scaling() const { return state_scaling_; }
  scaling halfway_scaling() const { return halfway_scaling_; }  // of what a second pass without inputs multiplies
  const std::vector<packed_pass<T>>& passes() const { return passes_; }

 private:
  packed_pass<T> pack_pass(const pass_kernels<T>& kernels, const cell_weights<T>& weights) const;

  cell_kind kind_;
  const char* isa_;
  activation_pair activations_;
  std::size_t input_size_;
  std::size_t units_;
  std::size_t outputs_;
  std::size_t states_;
  std::size_t padded_units_ = 0;
  std::size_t padded_outputs_ = 0;
  number_format<T> format_;
  scaling input_scaling_;
  scaling state_scaling_;
  scaling halfway_scaling_{};
  std::vector<packed_pass<T>> passes_;
};

extern template class packed_cell<float>;
extern template class packed_cell<double>;

}  // namespace rnnpack
