// The weights of one cell in a device's memory, in the order in which the products read them.
#pragma once

#include <vector>

#include "api/cuda.h"
#include "cuda/memory.h"

namespace rnnpack::cuda {

// [tiles][k_blocks][k_block * tile_columns]: the tiles of a group of units are its gates.
struct packed_matrix {
  const void* values = nullptr;
  std::int32_t tiles = 0;
  std::int32_t k_blocks = 0;
};

struct packed_pass {
  std::size_t units = 0;  // that it computes
  packed_matrix input;    // without values if it takes no inputs
  packed_matrix recurrent;
  const void* bias = nullptr;            // [tiles][tile_columns]: what projected inputs begin with
  const void* candidate_bias = nullptr;  // [padded units], gru only
  const void* peepholes = nullptr;       // [3][padded units], peephole_lstm only
};

struct packed_cell {
  int device = 0;
  int multiprocessors = 0;
  cell_kind kind = cell_kind::simple_rnn;
  number_format format = number_format::float32;
  activation_pair activations{};
  std::size_t input_size = 0;
  std::size_t units = 0;
  std::size_t outputs = 0;  // size of h
  std::vector<packed_pass> passes;
  device_memory memory;
  std::size_t bytes = 0;

  // That a caller sees: h, or h and c.
  std::size_t states() const { return states_of(kind); }
  bool default_activations() const { return are_defaults(kind, activations); }
};

std::unique_ptr<packed_cell> pack_cell(int device, const cell_weights& weights);

}  // namespace rnnpack::cuda
