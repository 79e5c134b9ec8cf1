// Keras' LSTM, column blocks i, f, candidate, o: c' = f c + i act(candidate), h' = o act(c').
#pragma once

#include "cells/traits.h"

namespace rnnpack::cells {

struct lstm : pass_traits {
  static constexpr int gates = 4;
  static constexpr bool reads_c = true;
  static constexpr bool writes_c = true;

  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], V /*candidate_input*/, V& h, V& c, const Activations& act) {
    const V f = act.recurrent(gate[1]);
    c = fma(f, c, act.gated(gate[0], gate[2]));
    h = act.gated(gate[3], c);
  }
};

}  // namespace rnnpack::cells
