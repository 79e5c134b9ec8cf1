// h' = act(gate), gate = x K + b + h R.
#pragma once

namespace rnnpack::cells {

struct simple_rnn {
  static constexpr int first_gate = 0;
  static constexpr int gates = 1;
  static constexpr bool separate_candidate = false;  // is the last gate's input part kept apart?
  static constexpr bool reads_h = false;
  static constexpr bool reads_c = false;
  static constexpr bool writes_c = false;

  // gate: accumulated pre-activations; h, c: old states, changed to the new ones.
  template <class V, class Activations>
  static void step(const V (&gate)[gates], V /*candidate_input*/, V& h, V& /*c*/, const Activations& act) {
    h = act.main(gate[0]);
  }
};

}  // namespace rnnpack::cells
