// What Python, the sequence engine and the kernels agree on: the words for a cell.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rnnpack {

// The values index the kernel tables.
enum class cell_kind : std::int32_t { simple_rnn, lstm, gru, gru_reset_before, peephole_lstm, projected_lstm };
inline constexpr int cell_kinds = 6;

// Column blocks of a cell's kernels.
constexpr std::size_t gates_of(cell_kind kind) {
  switch (kind) {
    case cell_kind::lstm:
    case cell_kind::peephole_lstm:
    case cell_kind::projected_lstm: return 4;
    case cell_kind::gru:
    case cell_kind::gru_reset_before: return 3;
    case cell_kind::simple_rnn: break;
  }
  return 1;
}

// State vectors of a cell: h, or h and c.
constexpr std::size_t states_of(cell_kind kind) {
  const bool has_c = kind == cell_kind::lstm || kind == cell_kind::peephole_lstm || kind == cell_kind::projected_lstm;
  return has_c ? 2 : 1;
}

// What weights, and the rows that they are multiplied with, are rounded to. Sums, gates and states keep the cell's
// type.
enum class precision : std::int32_t { full, bfloat16, int8 };

enum class activation : std::int32_t {
  linear,
  tanh,
  sigmoid,
  hard_sigmoid,
  relu,
  elu,
  selu,
  softplus,
  softsign,
  swish,
  gelu,
  exponential,
};

// `main` transforms the candidate (and the LSTM's output), `recurrent` the gates.
struct activation_pair {
  activation main;
  activation recurrent;
};

// Whether a cell computes with Keras' defaults, which kernels have compiled in.
constexpr bool are_defaults(cell_kind kind, activation_pair pair) {
  return pair.main == activation::tanh && (kind == cell_kind::simple_rnn || pair.recurrent == activation::sigmoid);
}

}  // namespace rnnpack
