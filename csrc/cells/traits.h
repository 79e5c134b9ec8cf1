// What a cell's pass is like unless its own header says otherwise.
#pragma once

namespace rnnpack::cells {

struct pass_traits {
  static constexpr int first_gate = 0;               // in the order of column blocks
  static constexpr bool takes_inputs = true;         // do sums begin with projected inputs, or with zero?
  static constexpr bool separate_candidate = false;  // is the last gate's input part kept apart?
  static constexpr int peepholes = 0;                // weights of each unit that step() gets
  static constexpr bool reads_h = false;
  static constexpr bool reads_c = false;
  static constexpr bool writes_c = false;
};

}  // namespace rnnpack::cells
