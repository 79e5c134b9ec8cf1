// The time loop over a stack of cells.
#pragma once

#include <span>

#include "api/run.h"
#include "gemm/packed_cell.h"

namespace rnnpack::sequence {

// Runs the whole sequence through the cells, the output of one being the input of the next. Thread safe: cells are
// only read. Throws std::bad_alloc before anything is written; interrupted calls leave outputs undefined.
template <class T>
status run(std::span<const packed_cell<T>* const> cells, const run_args<T>& args);

extern template status run<float>(std::span<const packed_cell<float>* const>, const run_args<float>&);
extern template status run<double>(std::span<const packed_cell<double>* const>, const run_args<double>&);

}  // namespace rnnpack::sequence
