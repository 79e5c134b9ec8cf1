// Steps are taken in chunks: a cell's inputs are projected for a whole chunk, as one product that reads the input
// weights once, before its recurrent steps consume the result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "gemm/packed_cell.h"
#include "memory/arena.h"

namespace rnnpack::sequence {

// Some rows of a call.
struct row_range {
  std::size_t first;
  std::size_t count;
};

// Values that all passes of a cell project for one row.
template <class T>
std::size_t projected_values(const packed_cell<T>& cell) {
  std::size_t values = 0;
  for (const packed_pass<T>& pass : cell.passes()) values += pass.projected_values();
  return values;
}

// Steps in a chunk. Small weights stay in the second-level cache, and the projection should fit in beside them; large
// ones come from further away, and more rows must share each reading. A chunk grows until either size is reached.
// Chosen by measurement (Zen 4, 1 MiB of second-level cache).
template <class T>
std::size_t chunk_steps(std::span<const packed_cell<T>* const> cells, std::size_t rows, std::size_t timesteps) {
  constexpr std::size_t small_weights = std::size_t{5} << 20;
  rows = std::max<std::size_t>(rows, 1);
  std::size_t widest = 1;
  std::size_t weights = 0;
  for (const packed_cell<T>* cell : cells) {
    widest = std::max(widest, projected_values(*cell));
    weights = std::max(weights, cell->bytes());
  }
  const bool small = weights <= small_weights;
  const std::size_t wanted_bytes = small ? std::size_t{256} << 10 : std::size_t{4} << 20;
  const std::size_t wanted_rows = small ? 128 : 768;
  const std::size_t by_bytes = wanted_bytes / checked_product(widest, sizeof(T), rows);
  const std::size_t by_rows = (wanted_rows + rows - 1) / rows;
  return std::clamp<std::size_t>(std::max(by_bytes, by_rows), 1, timesteps);
}

// The unmasked (step, row) pairs of a chunk, the slots, step by step; only these cost arithmetic.
template <class T>
struct chunk_slots {
  std::size_t first_step = 0;
  std::size_t steps = 0;
  std::size_t* step_begin;  // [steps + 1] first slot of a step
  std::size_t* row;         // [slots]
  const T** input;          // [slots] the first cell's inputs

  chunk_slots(std::size_t most_steps, std::size_t rows, arena& memory)
      : step_begin(memory.take<std::size_t>(most_steps + 1)),
        row(memory.take<std::size_t>(checked_product(most_steps, rows))),
        input(memory.take<const T*>(checked_product(most_steps, rows))) {}

  std::size_t slots() const { return step_begin[steps]; }
};

}  // namespace rnnpack::sequence
