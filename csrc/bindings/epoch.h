// A number that changes whenever anything may have changed on which a prepared call depends.
#pragma once

#include <cstdint>

namespace rnnpack::bindings {

// Read and written with the interpreter lock held. Layers, cells and weights count it up; whoever has prepared
// something at an older number checks everything again.
inline std::uint64_t& epoch() {
  static constinit std::uint64_t number = 1;
  return number;
}

}  // namespace rnnpack::bindings
