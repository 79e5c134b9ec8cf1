// The list of cells, which passes each one takes and how many vectors of units a block holds: one table per
// instruction set.
#pragma once

#include "activations/activations.h"
#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/simple_rnn.h"
#include "gemm/project.h"
#include "sequence/step.h"

namespace rnnpack::kernels {

template <class V, class Cell, int UnitVectors>
constexpr pass_kernels<typename V::value_type> pass() {
  return {Cell::first_gate,
          Cell::gates,
          UnitVectors * V::lanes,
          &gemm::project<V, Cell::gates * UnitVectors, 1>,
          &sequence::step<V, Cell, UnitVectors, 1, activations::default_pair>,
          &sequence::step<V, Cell, UnitVectors, 1, activations::any_pair>,
          &gemm::project<V, Cell::gates * UnitVectors, Cell::gates>,
          &sequence::step<V, Cell, UnitVectors, Cell::gates, activations::any_pair>};
}

template <class V>
struct list {
  using T = typename V::value_type;
  static constexpr cell_kernels<T> narrow_simple_rnn{1, {pass<V, cells::simple_rnn, 1>(), {}}};
  static constexpr cell_kernels<T> by_kind[cell_kinds] = {
      {1, {pass<V, cells::simple_rnn, 4>(), {}}},
      {1, {pass<V, cells::lstm, 1>(), {}}},
      {1, {pass<V, cells::gru, 1>(), {}}},
      {2, {pass<V, cells::gru_reset_before_gates, 2>(), pass<V, cells::gru_reset_before_candidate, 4>()}},
  };

  static const cell_kernels<T>& find(cell_kind kind, std::size_t units) {
    // A block of four vectors would be mostly padding.
    if (kind == cell_kind::simple_rnn && units <= 2 * V::lanes) return narrow_simple_rnn;
    return by_kind[static_cast<int>(kind)];
  }
};

template <class F32, class F64>
constexpr kernel_table table(const char* isa) noexcept {
  return {isa, &list<F32>::find, &list<F64>::find};
}

}  // namespace rnnpack::kernels
