// How a call is shared out among threads.
#pragma once

#include <cstddef>
#include <span>

#include "gemm/packed_cell.h"
#include "threads/pool.h"

namespace rnnpack::sequence {

struct split {
  enum class kind {
    alone,
    strands,  // each direction of each group of rows is a task; they never meet
    layers,   // within one strand, tasks are (layer, chunk); a layer follows the one below it
    units,    // all members take every step together, each computes some of the units
  };
  kind how = kind::alone;
  unsigned threads = 1;
  std::size_t row_groups = 1;  // per direction
};

// The cheapest split by estimated time. Every split gives the same bits.
template <class T>
split choose_split(std::span<const packed_cell<T>* const> cells, std::size_t directions, std::size_t batch,
                   std::size_t timesteps, bool dropout);

extern template split choose_split<float>(std::span<const packed_cell<float>* const>, std::size_t, std::size_t,
                                          std::size_t, bool);
extern template split choose_split<double>(std::span<const packed_cell<double>* const>, std::size_t, std::size_t,
                                           std::size_t, bool);

}  // namespace rnnpack::sequence
