// Keras' GRU, column blocks z, r, candidate: h' = z h + (1 - z) candidate.
// reset_after:  candidate = act(x_h + r (h R_h + b_h)), one pass.
// reset_before: candidate = act(x_h + (r h) R_h), which needs r before the second product, so two passes.
#pragma once

#include "cells/traits.h"

namespace rnnpack::cells {

template <class V>
constexpr V interpolate(V z, V h, V candidate) {
  const V one = V::broadcast(typename V::value_type(1));
  return fma(z, h, (one - z) * candidate);
}

struct gru : pass_traits {
  static constexpr int gates = 3;
  static constexpr bool separate_candidate = true;
  static constexpr bool reads_h = true;

  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], V candidate_input, V& h, V& /*c*/, const Activations& act) {
    const V z = act.recurrent(gate[0]);
    const V r = act.recurrent(gate[1]);
    h = interpolate(z, h, act.main(fma(r, gate[2], candidate_input)));
  }
};

// First pass: leaves z in c and r h in h.
struct gru_reset_before_gates : pass_traits {
  static constexpr int gates = 2;
  static constexpr bool reads_h = true;
  static constexpr bool writes_c = true;

  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], V /*candidate_input*/, V& h, V& c, const Activations& act) {
    c = act.recurrent(gate[0]);
    h = act.recurrent(gate[1]) * h;
  }
};

// Second pass: multiplies r h, finds z in c.
struct gru_reset_before_candidate : pass_traits {
  static constexpr int first_gate = 2;
  static constexpr int gates = 1;
  static constexpr bool reads_h = true;
  static constexpr bool reads_c = true;

  template <class V, class Activations>
  static constexpr void step(const V (&gate)[gates], V /*candidate_input*/, V& h, V& c, const Activations& act) {
    h = interpolate(c, h, act.main(gate[0]));
  }
};

}  // namespace rnnpack::cells
