// h' = act(gate), gate = x K + b + h R.
#pragma once

#include "cells/traits.h"

namespace rnnpack::cells {

struct simple_rnn : pass_traits {
  static constexpr int gates = 1;

  // gate: accumulated pre-activations; h, c: old states, changed to the new ones.
  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], V /*candidate_input*/, V& h, V& /*c*/, const Activations& act) {
    h = act.main(gate[0]);
  }
};

}  // namespace rnnpack::cells
