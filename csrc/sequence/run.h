// One call: one or two directions, shared out among threads.
#pragma once

#include <span>

#include "api/run.h"
#include "gemm/packed_cell.h"

namespace rnnpack::sequence {

// One direction: a stack of cells, the output of one being the input of the next, and its arguments.
template <class T>
struct direction {
  std::span<const packed_cell<T>* const> cells;
  run_args<T> args;
};

// Runs the whole sequence in every direction. Thread safe: cells are only read. Directions agree in batch, timesteps
// and row splits. Throws std::bad_alloc before anything is written; interrupted calls leave outputs undefined.
template <class T>
status run(std::span<const direction<T>> directions, const interruption& question);

extern template status run<float>(std::span<const direction<float>>, const interruption&);
extern template status run<double>(std::span<const direction<double>>, const interruption&);

}  // namespace rnnpack::sequence
