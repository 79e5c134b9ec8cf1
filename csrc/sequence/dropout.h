// Dropout inside a cell: rows of inputs and states are multiplied with masks before a product sees them.
#pragma once

#include <algorithm>

#include "api/run.h"
#include "gemm/packed_cell.h"
#include "memory/arena.h"
#include "sequence/chunk.h"

namespace rnnpack::sequence {

// The masks of one cell and room for masked rows; without masks everything passes through.
template <class T>
class layer_dropout {
 public:
  layer_dropout() = default;

  // slots: the most a chunk has.
  layer_dropout(const packed_cell<T>& cell, const dropout_masks<T>& masks, row_range rows, std::size_t batch,
                std::size_t slots, arena& memory)
      : masks_(masks), first_row_(rows.first), batch_(batch), inputs_(cell.input_size()), outputs_(cell.outputs()) {
    const auto room = [&memory](std::size_t count, std::size_t lines, std::size_t size, const T**& pointers) {
      pointers = memory.take<const T*>(checked_product(count, lines));
      return memory.take<T>(checked_product(count, lines, size));
    };
    if (masks.input_count > 0) masked_inputs_ = room(masks.input_count, slots, inputs_, input_pointers_);
    if (masks.state_count > 0) masked_states_ = room(masks.state_count, rows.count, outputs_, state_pointers_);
  }

  bool gated_inputs() const { return masks_.input_count > 1; }
  bool gated_states() const { return masks_.state_count > 1; }
  // How many masked rows a row becomes.
  std::size_t input_sources() const { return std::max<std::size_t>(masks_.input_count, 1); }
  std::size_t state_sources() const { return std::max<std::size_t>(masks_.state_count, 1); }

  // [slots] rows, or [gates][slots] for the gated kernel.
  const T* const* mask_inputs(const chunk_slots<T>& chunk, const T* const* from) {
    if (masks_.input_count == 0) return from;
    multiply(from, chunk.slots(), inputs_, chunk.row, masks_.input, masks_.input_count, masked_inputs_,
             input_pointers_);
    return input_pointers_;
  }

  // What a pass multiplies: [rows] rows, or [gates of the pass][rows]. row_of: [rows] rows of the strand.
  const T* const* mask_states(const pass_kernels<T>& pass, const std::size_t* row_of, const T* const* from,
                              std::size_t rows) {
    if (masks_.state_count == 0) return from;
    const std::size_t first = gated_states() ? static_cast<std::size_t>(pass.first_gate) : 0;
    const std::size_t count = gated_states() ? static_cast<std::size_t>(pass.gates) : 1;
    multiply(from, rows, outputs_, row_of, masks_.state + first * batch_ * outputs_, count, masked_states_,
             state_pointers_);
    return state_pointers_;
  }

 private:
  // to[mask][line] = from[line] * masks[mask][row of the line]
  void multiply(const T* const* from, std::size_t lines, std::size_t size, const std::size_t* row_of, const T* masks,
                std::size_t count, T* to, const T** pointers) const {
    for (std::size_t mask = 0; mask < count; ++mask) {
      for (std::size_t line = 0; line < lines; ++line, to += size) {
        const T* factors = masks + (mask * batch_ + first_row_ + row_of[line]) * size;
        std::transform(from[line], from[line] + size, factors, to, [](T value, T factor) { return value * factor; });
        *pointers++ = to;
      }
    }
  }

  dropout_masks<T> masks_{};
  std::size_t first_row_ = 0;
  std::size_t batch_ = 0;
  std::size_t inputs_ = 0;
  std::size_t outputs_ = 0;
  T* masked_inputs_ = nullptr;          // [count][slots][input_size]
  T* masked_states_ = nullptr;          // [count][rows][units]
  const T** input_pointers_ = nullptr;  // [count][slots]
  const T** state_pointers_ = nullptr;  // [count][rows]
};

}  // namespace rnnpack::sequence
