// A call that never ends: step after step, with the states kept in place between them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "gemm/packed_cell.h"
#include "memory/arena.h"
#include "sequence/execute.h"

namespace rnnpack::sequence {

template <class T>
class stream {  // NOLINT(*-special-member-functions): neither copied nor moved, as strands point to its args_
 public:
  using cell_list = std::span<const packed_cell<T>* const>;

  // The cells must live as long as the stream. States start at zero. Throws std::bad_alloc.
  stream(cell_list cells, std::size_t batch);
  ~stream() = default;
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;

  std::size_t batch() const { return args_.batch; }

  // One timestep: inputs [batch][input_size] and outputs [batch][units], last axes contiguous. Does not allocate, and
  // is never interrupted halfway.
  void step(const T* inputs, std::ptrdiff_t inputs_batch, T* outputs, std::ptrdiff_t outputs_batch);

  // States of all rows: per cell h (and c), each [batch][units] contiguous; null in load() = zeros.
  void load(const T* const* states);
  void save(T* const* states);
  void zero_row(std::size_t row);

 private:
  std::vector<const packed_cell<T>*> cells_;
  arena memory_;
  run_args<T> args_{};
  split plan_;
  std::vector<strand<T>> strands_;
};

extern template class stream<float>;
extern template class stream<double>;

}  // namespace rnnpack::sequence
