// What lies between the caller's arrays and the products: inputs and states in, states and last outputs out.
#pragma once

#include "cuda/elements.h"
#include "cuda/places.h"

namespace rnnpack::cuda {

inline constexpr int warp_size = 32;
inline constexpr int transfer_threads = 256;
inline constexpr int transfer_blocks = 4;  // at once on a multiprocessor; see split_blocks

// Calls work(row) for the rows of this warp.
template <class Work>
__device__ void for_each_row(std::int64_t rows, Work work) {
  const std::int64_t warps = std::int64_t{gridDim.x} * (transfer_threads / warp_size);
  const std::int64_t first = (std::int64_t{blockIdx.x} * transfer_threads + threadIdx.x) / warp_size;
  for (std::int64_t row = first; row < rows; row += warps) work(row);
}

// Calls work(index) for the values of a row that are this lane's.
template <class Work>
__device__ void for_each_value(std::int64_t values, Work work) {
  for (std::int64_t i = threadIdx.x % warp_size; i < values; i += warp_size) work(i);
}

// Inputs of a chunk's steps as operands, in the order of processing, with zeros behind the last feature and in masked
// rows, which are not read.
template <class Operand>
struct encode_args {
  places where;
  const void* inputs;
  element type;
  std::int64_t inputs_feature;
  std::int64_t first_step;
  std::int64_t batch;
  std::int64_t rows;  // steps * batch
  std::int64_t input_size;
  std::int64_t padded;  // values of an operand row
  Operand* operands;    // [steps][batch][padded]
};

template <class Operand, class Sum>
__global__ void __launch_bounds__(transfer_threads, transfer_blocks)
    encode_inputs(const __grid_constant__ encode_args<Operand> args) {
  for_each_row(args.rows, [&](std::int64_t slot) {
    const std::int64_t step = args.first_step + slot / args.batch;
    const std::int64_t row = slot % args.batch;
    const std::int64_t features = args.where.live(step, row) ? args.input_size : 0;
    const std::int64_t begin = features == 0 ? 0 : args.where.input(step, row);
    for_each_value(args.padded, [&](std::int64_t feature) {
      Sum value = 0;
      if (feature < features) value = load_element<Sum>(args.type, args.inputs, begin + feature * args.inputs_feature);
      args.operands[slot * args.padded + feature] = encode<Operand>(value);
    });
  });
}

// A state at the beginning of a call: given values or zeros, and zeros in the padding; as an operand too.
template <class Operand, class Sum>
struct load_state_args {
  const void* given;  // [rows][size], or null
  element type;
  std::int64_t rows;
  std::int64_t size;
  Sum* state;  // [rows][stride]
  std::int64_t stride;
  Operand* operands;  // [rows][padded]
  std::int64_t padded;
};

template <class Operand, class Sum>
__global__ void __launch_bounds__(transfer_threads, transfer_blocks)
    load_state(const __grid_constant__ load_state_args<Operand, Sum> args) {
  const std::int64_t width = args.padded > args.stride ? args.padded : args.stride;
  for_each_row(args.rows, [&](std::int64_t row) {
    for_each_value(width, [&](std::int64_t unit) {
      Sum value = 0;
      if (args.given != nullptr && unit < args.size)
        value = load_element<Sum>(args.type, args.given, row * args.size + unit);
      if (unit < args.stride) args.state[row * args.stride + unit] = value;
      if (unit < args.padded) args.operands[row * args.padded + unit] = encode<Operand>(value);
    });
  });
}

// States, or the last outputs, at the end of a call. Rows that never had an output give zeros where asked.
template <class Sum>
struct store_state_args {
  const Sum* state;  // [rows][stride]
  std::int64_t stride;
  std::int64_t rows;
  std::int64_t size;
  void* to;  // [rows] at a distance of to_stride
  element type;
  std::int64_t to_stride;
  const std::int64_t* first_live;  // [rows], or null
  std::int64_t steps;              // first_live of rows without any output
};

template <class Sum>
__global__ void __launch_bounds__(transfer_threads, transfer_blocks)
    store_state(const __grid_constant__ store_state_args<Sum> args) {
  for_each_row(args.rows, [&](std::int64_t row) {
    const bool empty = args.first_live != nullptr && args.first_live[row] >= args.steps;
    for_each_value(args.size, [&](std::int64_t unit) {
      const Sum value = empty ? Sum(0) : args.state[row * args.stride + unit];
      store_element(args.type, args.to, row * args.to_stride + unit, value);
    });
  });
}

// For each row the first step that is not masked, or the number of timesteps: a warp looks through a row.
struct first_live_args {
  places where;
  std::int64_t rows;
  std::int64_t* first_live;  // [rows]
};

// A template only so that each file that uses it may have its own.
template <class Args>
__global__ void __launch_bounds__(transfer_threads, transfer_blocks)
    find_first_live(const __grid_constant__ Args args) {
  for_each_row(args.rows, [&](std::int64_t row) {
    const std::int64_t steps = args.where.timesteps;
    std::int64_t first = steps;
    for (std::int64_t step = threadIdx.x % warp_size; step < steps && first == steps; step += warp_size)
      if (args.where.live(step, row)) first = step;
#pragma unroll
    for (int distance = warp_size / 2; distance > 0; distance /= 2) {
      const std::int64_t other = __shfl_xor_sync(0xffffffffu, static_cast<long long>(first), distance);
      first = other < first ? other : first;
    }
    if (threadIdx.x % warp_size == 0) args.first_live[row] = first;
  });
}

}  // namespace rnnpack::cuda
