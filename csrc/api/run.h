// One call: what the bindings hand to the sequence engine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rnnpack {

enum class status : std::int32_t { ok, interrupted };

// Strides count values (mask: bytes) and may be zero or negative. A step's position in time is physical;
// the engine walks it backwards when told to. Outputs are in the order of processing.
template <class T>
struct run_args {
  std::size_t batch;
  std::size_t timesteps;
  const T* inputs;  // [timesteps][batch][input_size], the last axis contiguous
  std::ptrdiff_t inputs_time;
  std::ptrdiff_t inputs_batch;
  const std::uint8_t* mask;  // [timesteps][batch], 0 = masked; null = nothing is masked
  std::ptrdiff_t mask_time;
  std::ptrdiff_t mask_batch;
  bool go_backwards;
  bool return_sequences;
  bool zero_output_for_mask;
  const T* const* initial_states;  // per cell h (and c), each [batch][units] contiguous; null = zeros
  T* const* final_states;          // the same, written
  T* outputs;                      // [timesteps][batch][units], or [batch][units] of the last step
  std::ptrdiff_t outputs_time;
  std::ptrdiff_t outputs_batch;
  // Asked between steps, every few milliseconds unless one step takes longer; false stops the call with
  // status::interrupted. Runs in the caller's floating-point mode.
  bool (*keep_going)(void*);
  void* keep_going_context;
};

}  // namespace rnnpack
