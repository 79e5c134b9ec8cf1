// What the core and the CUDA plugin agree on. The plugin is a library of its own, found and loaded at run time; it
// exports one function, `rnnpack_cuda_plugin`, and everything that passes between the two is plain C: no exceptions, no
// objects of the standard library, no memory that one side takes and the other gives back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "api/cell.h"
#include "api/run.h"

namespace rnnpack::cuda {

// Changes with every change of this file, and of the enums and structs that it takes from api/cell.h and api/run.h: a
// plugin of another version is refused.
inline constexpr std::uint32_t interface_version = 1;

// What weights, and the rows that they are multiplied with, are rounded to. Sums, gates and states are floats, or for
// float64 doubles.
enum class number_format : std::int32_t { float32, tfloat32, bfloat16, float16, float64 };

// What the values of a call's inputs, states and outputs are stored as. float64 goes with the format of that name, the
// others with all other formats.
enum class element : std::int32_t { float32, float64, bfloat16, float16 };

constexpr std::size_t size_of(element type) {
  switch (type) {
    case element::float32: return 4;
    case element::float64: return 8;
    case element::bfloat16:
    case element::float16: break;
  }
  return 2;
}

// How a function of the plugin ended; all but `ok` and `interrupted` come with a text. `invalid`: an argument that no
// GPU could take.
enum class result : std::int32_t { ok, out_of_memory, failed, interrupted, invalid };

struct failure {
  char text[512];
};

struct device_info {
  char name[256];
  std::int32_t major;  // compute capability
  std::int32_t minor;
  std::int32_t multiprocessors;
  std::uint64_t memory_bytes;
};

// Weights in host memory and Keras' layout, contiguous; floats, or doubles for the format float64.
struct cell_weights {
  cell_kind kind;
  number_format format;
  activation_pair activations;
  std::size_t input_size;
  std::size_t units;
  std::size_t outputs;            // size of h; the units where it is not projected
  const void* kernel;             // (input_size, gates * units)
  const void* recurrent_kernel;   // (outputs, gates * units)
  const void* bias;               // (gates * units), (2, gates * units) for gru, or null
  const void* peepholes;          // (3, units), peephole_lstm only
  const void* projection_kernel;  // (units, outputs), projected_lstm only
};

// Weights packed in a device's memory; only the plugin knows what is inside.
struct packed_cell;

// One direction through one stack of cells. Strides count values and may be zero or negative. See run_args for the
// meaning of the flags.
struct direction {
  const packed_cell* const* cells;
  std::size_t cell_count;
  const void* inputs;  // [timesteps][batch][input_size]
  std::ptrdiff_t inputs_time;
  std::ptrdiff_t inputs_batch;
  std::ptrdiff_t inputs_feature;  // of arrays in the host's memory always 1
  const void* const*
      initial_states;         // per cell h (and c), each [batch][size] contiguous; null, as a whole or one: zeros
  void* const* final_states;  // the same, written; null as a whole: not wanted
  void* outputs;              // [timesteps][batch][outputs], or [batch][outputs] of the last step
  std::ptrdiff_t outputs_time;
  std::ptrdiff_t outputs_batch;  // the last axis is contiguous
  bool go_backwards;
  bool turn_outputs;
};

// One call: one direction or two, which agree in batch and timesteps. All cells are on one device, and those of a
// direction of one format; float64 goes with nothing else. Every pointer inside
// is to memory of that device in `run`, and to the host's in `run_on_host_arrays`; arrays of structs and of pointers
// are the host's in both and may go when the function returns.
struct call {
  std::size_t batch;      // at least 1
  std::size_t timesteps;  // of the longest row, at least 1
  element elements;
  // [batch + 1], or null. Ragged rows lie one after the other along the time axes of inputs and outputs: row r is
  // timesteps [row_splits[r], row_splits[r + 1]). Bounds ascend from 0 to the rows' sum. There is no mask
  // then, and the batch strides are zero.
  const std::int64_t* row_splits;
  const std::uint8_t* mask;  // [timesteps][batch], 0 = masked; null = nothing is masked
  std::ptrdiff_t mask_time;
  std::ptrdiff_t mask_batch;
  bool return_sequences;
  bool zero_output_for_mask;
  const direction* directions;
  std::size_t direction_count;
};

enum class merge_mode : std::int32_t { sum, mul, ave };

// The plugin's functions. `stream` is a cudaStream_t: null is the legacy default stream. Functions may be called from
// any thread, and leave the thread's current device as it was. No pointer to an `interruption` may be null.
struct plugin {
  std::uint32_t version;

  // Number of devices that can be used; with none, `failed` and the reason.
  result (*count_devices)(std::int32_t* count, failure* why);
  result (*describe_device)(std::int32_t device, device_info* info, failure* why);

  // Packs weights and copies them to the device; waits until they are there.
  result (*make_cell)(std::int32_t device, const cell_weights* weights, packed_cell** made, failure* why);
  void (*free_cell)(packed_cell* cell);
  std::size_t (*cell_bytes)(const packed_cell* cell);  // of device memory

  // Bytes of device memory that `run` needs for this call, aligned to 256.
  std::size_t (*workspace_bytes)(const call* one);
  // Puts the whole call on the stream and returns. Takes no memory, waits for nothing, and so may be captured into a
  // CUDA graph. Cells, arrays and workspace must live until the stream has run it.
  result (*run)(const call* one, void* workspace, void* stream, const interruption* question, failure* why);
  // The same for arrays in the host's memory: copied in and out by way of pinned buffers on a stream of its own;
  // returns when the outputs are there. Interrupted and failed calls leave outputs undefined.
  result (*run_on_host_arrays)(const call* one, const interruption* question, failure* why);

  // to[i] = a[i] merged with b[i], for `count` contiguous values; `to` may be `a` or `b`.
  result (*merge)(std::int32_t device, merge_mode mode, element type, std::size_t count, const void* a, const void* b,
                  void* to, void* stream, failure* why);

  // What is put on the stream `later` from now on runs after what is on `earlier` now. Waits for nothing.
  result (*order)(std::int32_t device, void* earlier, void* later, failure* why);

  // Device memory in the order of a stream. It may be released on another stream of the device, when nothing on other
  // streams uses it any more.
  result (*allocate)(std::int32_t device, std::size_t bytes, void* stream, void** memory, failure* why);
  void (*release)(std::int32_t device, void* memory, void* stream);
  // Copies between the host and a device, or within one, and waits for it.
  result (*copy)(std::int32_t device, void* to, const void* from, std::size_t bytes, void* stream, failure* why);

  // Whose memory an address lies in: a device's number, or -1 for the host's and for addresses that CUDA does not know.
  result (*owner_of)(const void* address, std::int32_t* device, failure* why);
};

// The plugin's only exported symbol. Null: the plugin is of another version.
using plugin_entry = const plugin* (*)(std::uint32_t version);
inline constexpr const char* plugin_entry_name = "rnnpack_cuda_plugin";

}  // namespace rnnpack::cuda
