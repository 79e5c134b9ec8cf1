// What one cell of a stack remembers between timesteps, for all rows of the batch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gemm/packed_cell.h"

namespace rnnpack::sequence {

// h lives in two buffers: a step reads one and writes the other, row by row, so that a masked row simply stays
// where it is. c is updated in place. Rows are padded to whole blocks; what the padding holds never enters a product or
// an output.
template <class T>
class layer_state {
 public:
  layer_state(const packed_cell<T>& cell, std::size_t batch)
      : cell_(cell),
        stride_(cell.padded_units()),
        batch_(batch),
        h_(checked_product(2, batch, stride_)),
        c_(cell.kind() == cell_kind::lstm || cell.passes().size() > 1 ? checked_product(batch, stride_) : 0),
        reset_h_(cell.passes().size() > 1 ? checked_product(batch, stride_) : 0),
        side_(batch, 0) {}

  // states: h (and c), each [batch][units] contiguous, null = zeros.
  void load(const T* const* states) {
    load_rows(states[0], h_.data());
    if (c_.size() > 0) load_rows(cell_.states() == 2 ? states[1] : nullptr, c_.data());
  }

  void save(T* const* states) const {
    for (std::size_t row = 0; row < batch_; ++row) {
      std::copy_n(h(row), cell_.units(), states[0] + row * cell_.units());
      if (cell_.states() == 2) std::copy_n(c_.data() + row * stride_, cell_.units(), states[1] + row * cell_.units());
    }
  }

  const T* h(std::size_t row) const { return h_.data() + (side_[row] * batch_ + row) * stride_; }
  T* next_h(std::size_t row) { return h_.data() + ((1 - side_[row]) * batch_ + row) * stride_; }
  T* c(std::size_t row) { return c_.size() > 0 ? c_.data() + row * stride_ : nullptr; }
  T* reset_h(std::size_t row) { return reset_h_.size() > 0 ? reset_h_.data() + row * stride_ : nullptr; }
  void advance(std::size_t row) { side_[row] ^= 1; }

 private:
  void load_rows(const T* from, T* to) {
    for (std::size_t row = 0; row < batch_; ++row, to += stride_) {
      std::size_t real = 0;
      if (from != nullptr) {
        real = cell_.units();
        std::copy_n(from + row * real, real, to);
      }
      std::fill(to + real, to + stride_, T(0));
    }
  }

  const packed_cell<T>& cell_;
  std::size_t stride_;
  std::size_t batch_;
  buffer<T> h_;        // [2][batch][stride]
  buffer<T> c_;        // [batch][stride]; scratch for gru_reset_before's z
  buffer<T> reset_h_;  // [batch][stride]; gru_reset_before's r h
  std::vector<std::uint8_t> side_;
};

}  // namespace rnnpack::sequence
