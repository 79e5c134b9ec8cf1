// The LSTM whose output is projected (Sak et al. 2014): h' = (o act(c')) P. The first pass is that of lstm.h, on a
// recurrent product with the shorter h; the second one multiplies what the first left.
#pragma once

#include "cells/lstm.h"

namespace rnnpack::cells {

using projected_lstm_gates = lstm;

struct projected_lstm_output : pass_traits {
  static constexpr int gates = 1;
  static constexpr bool takes_inputs = false;

  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], V /*candidate_input*/, V& h, V& /*c*/,
                             const Activations& /*act*/) {
    h = gate[0];
  }
};

}  // namespace rnnpack::cells
