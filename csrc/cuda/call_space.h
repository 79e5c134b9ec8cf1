// What a call keeps in device memory while it runs.
#pragma once

#include <span>
#include <vector>

#include "cuda/packed_cell.h"

namespace rnnpack::cuda {

// Memory of one cell of a stack; rows are the call's.
template <class F>
struct cell_space {
  const packed_cell* cell = nullptr;
  std::int64_t h_stride = 0;     // values of a padded row of h, and of operands made from it
  std::int64_t c_stride = 0;     // the same of c
  typename F::sum* h = nullptr;  // [rows][h_stride]
  typename F::sum* c = nullptr;  // [rows][c_stride]; scratch of two passes; null if there is neither
  // [chunk + 1][rows][h_stride]: h before each step of a chunk, and after the last.
  typename F::operand* slots = nullptr;
  typename F::operand* halfway = nullptr;  // [rows][c_stride]: what a second pass multiplies

  typename F::operand* slot(std::int64_t rows, std::int64_t step) const { return slots + step * rows * h_stride; }
};

template <class F>
struct direction_space {
  const direction* given = nullptr;
  std::vector<cell_space<F>> cells = {};
  typename F::operand* inputs = nullptr;  // [chunk][rows][padded]
  std::int64_t padded_inputs = 0;
  typename F::sum* projected[2] = {};  // of each pass, [chunk][rows][tiles][tile_columns]
  std::int64_t* first_live = nullptr;  // [rows], or null where nothing is masked
};

template <class F>
struct call_space {
  std::int64_t chunk_steps;
  std::vector<direction_space<F>> directions;

  // Shares the memory out, or only counts where it has none.
  call_space(const call& one, std::span<const direction> directions, workspace& memory);
};

}  // namespace rnnpack::cuda
