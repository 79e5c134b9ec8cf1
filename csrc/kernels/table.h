// The list of cells, which passes each one takes and how many vectors of units a block holds: one table per
// instruction set and precision.
#pragma once

#include "activations/activations.h"
#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/peephole_lstm.h"
#include "cells/projected_lstm.h"
#include "cells/simple_rnn.h"
#include "gemm/formats.h"
#include "gemm/project.h"
#include "sequence/step.h"

namespace rnnpack::kernels {

template <class F, class Cell, int UnitVectors>
constexpr pass_kernels<typename F::vector::value_type> pass() {
  return {Cell::first_gate,
          Cell::gates,
          UnitVectors * F::vector::lanes,
          &gemm::project<F, Cell::gates * UnitVectors, 1>,
          &sequence::step<F, Cell, UnitVectors, 1, activations::default_pair>,
          &sequence::step<F, Cell, UnitVectors, 1, activations::any_pair>,
          &gemm::project<F, Cell::gates * UnitVectors, Cell::gates>,
          &sequence::step<F, Cell, UnitVectors, Cell::gates, activations::any_pair>};
}

// The pass of a product and nothing else: whatever the activations, and dropout does not reach it.
template <class F, int UnitVectors>
constexpr pass_kernels<typename F::vector::value_type> output_pass() {
  constexpr auto step = &sequence::step<F, cells::projected_lstm_output, UnitVectors, 1, activations::default_pair>;
  return {.gates = 1, .width = UnitVectors * F::vector::lanes, .step = step, .step_generic = step, .step_gated = step};
}

template <class F>
struct list {
  using T = typename F::vector::value_type;
  static constexpr cell_kernels<T> narrow_simple_rnn{F::format, 1, {pass<F, cells::simple_rnn, 1>(), {}}};
  static constexpr cell_kernels<T> narrow_projected_lstm{
      F::format, 2, {pass<F, cells::projected_lstm_gates, 1>(), output_pass<F, 1>()}};
  static constexpr cell_kernels<T> by_kind[cell_kinds] = {
      {F::format, 1, {pass<F, cells::simple_rnn, 4>(), {}}},
      {F::format, 1, {pass<F, cells::lstm, 1>(), {}}},
      {F::format, 1, {pass<F, cells::gru, 1>(), {}}},
      {F::format, 2, {pass<F, cells::gru_reset_before_gates, 2>(), pass<F, cells::gru_reset_before_candidate, 4>()}},
      {F::format, 1, {pass<F, cells::peephole_lstm, 1>(), {}}},
      {F::format, 2, {pass<F, cells::projected_lstm_gates, 1>(), output_pass<F, 4>()}},
  };

  static const cell_kernels<T>& find(cell_kind kind, std::size_t outputs) {
    // A block of four vectors would be mostly padding.
    if (outputs <= 2 * F::vector::lanes) {
      if (kind == cell_kind::simple_rnn) return narrow_simple_rnn;
      if (kind == cell_kind::projected_lstm) return narrow_projected_lstm;
    }
    return by_kind[static_cast<int>(kind)];
  }
};

template <class F32, class F64>
constexpr kernel_table full_table(const char* isa) noexcept {
  return {isa, &list<gemm::full_precision<F32>>::find, &list<gemm::full_precision<F64>>::find};
}

template <class Products>
constexpr kernel_table bfloat16_table(const char* isa) noexcept {
  return {isa, &list<gemm::bfloat16_format<Products>>::find, nullptr};
}

template <class Products>
constexpr kernel_table int8_table(const char* isa) noexcept {
  return {isa, &list<gemm::int8_format<Products>>::find, nullptr};
}

}  // namespace rnnpack::kernels
