// What one cell of a stack remembers between timesteps, for all rows of a strand.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gemm/packed_cell.h"
#include "memory/arena.h"

namespace rnnpack::sequence {

// h lives in two buffers: a step reads one and writes the other, row by row, so that a masked row simply stays where it
// is; whoever takes the steps keeps the side each row is on. c is updated in place. Rows are padded to whole blocks;
// what the padding holds never enters a product or an output.
template <class T>
class layer_state {
 public:
  layer_state(const packed_cell<T>& cell, std::size_t rows, arena& memory)
      : cell_(&cell),
        stride_(cell.padded_units()),
        h_stride_(cell.padded_outputs()),
        rows_(rows),
        h_(memory.take<T>(checked_product(2, rows, h_stride_))),
        c_(has_c(cell) ? memory.take<T>(checked_product(rows, stride_)) : nullptr),
        halfway_(cell.passes().size() > 1 ? memory.take<T>(checked_product(rows, stride_)) : nullptr) {}

  // states: h (and c) of all rows of the call, each [batch][units] contiguous; null = zeros. Puts rows on side 0.
  void load(const T* const* states, std::size_t first_row) {
    load_rows(states[0], first_row, cell_->outputs(), h_stride_, h_);
    if (c_ != nullptr) load_rows(cell_->states() == 2 ? states[1] : nullptr, first_row, cell_->units(), stride_, c_);
  }

  void save(T* const* states, std::size_t first_row, const std::uint8_t* side) const {
    const std::size_t outputs = cell_->outputs();
    const std::size_t units = cell_->units();
    for (std::size_t row = 0; row < rows_; ++row) {
      std::copy_n(h(side[row], row), outputs, states[0] + (first_row + row) * outputs);
      if (cell_->states() == 2) std::copy_n(c_ + row * stride_, units, states[1] + (first_row + row) * units);
    }
  }

  void zero(std::size_t side, std::size_t row) {
    std::fill_n(h(side, row), h_stride_, T(0));
    if (c_ != nullptr) std::fill_n(c(row), stride_, T(0));
  }

  T* h(std::size_t side, std::size_t row) const { return h_ + (side * rows_ + row) * h_stride_; }
  T* c(std::size_t row) const { return c_ == nullptr ? nullptr : c_ + row * stride_; }
  T* halfway(std::size_t row) const { return halfway_ == nullptr ? nullptr : halfway_ + row * stride_; }

 private:
  static bool has_c(const packed_cell<T>& cell) { return cell.states() == 2 || cell.passes().size() > 1; }

  void load_rows(const T* from, std::size_t first_row, std::size_t size, std::size_t stride, T* to) {
    for (std::size_t row = 0; row < rows_; ++row, to += stride) {
      std::size_t real = 0;
      if (from != nullptr) {
        real = size;
        std::copy_n(from + (first_row + row) * size, size, to);
      }
      std::fill(to + real, to + stride, T(0));
    }
  }

  const packed_cell<T>* cell_;
  std::size_t stride_;
  std::size_t h_stride_;
  std::size_t rows_;
  T* h_;        // [2][rows][h_stride]
  T* c_;        // [rows][stride]; scratch for gru_reset_before's z; null if the cell has neither
  T* halfway_;  // [rows][stride]; what a second pass multiplies: gru_reset_before's r h, projected_lstm's o act(c)
};

}  // namespace rnnpack::sequence
