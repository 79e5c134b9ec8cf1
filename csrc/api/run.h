// One call: what the bindings hand to the sequence engine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rnnpack {

enum class status : std::int32_t { ok, interrupted };

// Factors that a cell's inputs and previous states are multiplied with, [count][batch][size] contiguous. One set
// serves all gates, or each gate has its own; a count of zero means there are none.
template <class T>
struct dropout_masks {
  const T* input;
  std::size_t input_count;
  const T* state;
  std::size_t state_count;
};

// One direction through one stack of cells. Strides count values (mask: bytes) and may be zero or negative. A step's
// position in time is physical; the engine walks it backwards when told to. Outputs are in the order of processing, or
// turned round, each row for itself.
template <class T>
struct run_args {
  std::size_t batch = 0;
  std::size_t timesteps = 0;  // of the longest row
  const T* inputs = nullptr;  // [timesteps][batch][input_size], the last axis contiguous
  std::ptrdiff_t inputs_time = 0;
  std::ptrdiff_t inputs_batch = 0;
  // [batch + 1], or null. Ragged rows lie one after the other along the time axes of inputs and outputs: row r is
  // timesteps [row_splits[r], row_splits[r + 1]). There is no mask then, and the batch strides are zero.
  const std::size_t* row_splits = nullptr;
  const std::uint8_t* mask = nullptr;  // [timesteps][batch], 0 = masked; null = nothing is masked
  std::ptrdiff_t mask_time = 0;
  std::ptrdiff_t mask_batch = 0;
  bool go_backwards = false;
  bool return_sequences = false;
  bool turn_outputs = false;
  bool zero_output_for_mask = false;
  const T* const* initial_states = nullptr;   // per cell h (and c), each [batch][units] contiguous; null = zeros
  T* const* final_states = nullptr;           // the same, written; null = not wanted
  const dropout_masks<T>* dropout = nullptr;  // [cells], or null
  T* outputs = nullptr;                       // [timesteps][batch][units], or [batch][units] of the last step
  std::ptrdiff_t outputs_time = 0;
  std::ptrdiff_t outputs_batch = 0;
};

// Asked between steps, every few milliseconds unless one step takes longer; false stops the call with
// status::interrupted. Only the calling thread asks, in its own floating-point mode.
struct interruption {
  bool (*keep_going)(void*);
  void* context;
};

}  // namespace rnnpack
