// The LSTM whose gates see its c (Gers and Schmidhuber 2000): before their activation i and f get p c, o gets p c'.
// Everything else is as in lstm.h.
#pragma once

#include "cells/lstm.h"

namespace rnnpack::cells {

struct peephole_lstm : lstm {
  static constexpr int peepholes = 3;  // of i, f and o

  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], const V (&peephole)[peepholes], V& h, V& c,
                             const Activations& act) {
    const V f = act.recurrent(fma(peephole[1], c, gate[1]));
    c = fma(f, c, act.gated(fma(peephole[0], c, gate[0]), gate[2]));
    h = act.gated(fma(peephole[2], c, gate[3]), c);
  }
};

}  // namespace rnnpack::cells
