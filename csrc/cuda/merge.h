// Both directions of a Bidirectional made into one, value by value.
#pragma once

#include "cuda/elements.h"
#include "cuda/transfer.h"

namespace rnnpack::cuda {

struct merge_args {
  merge_mode mode;
  element type;
  std::int64_t count;
  const void* a;
  const void* b;
  void* to;
};

// One thread reads and writes a value, so `to` may be `a` or `b`.
template <class Sum>
__global__ void __launch_bounds__(transfer_threads, transfer_blocks)
    merge_values(const __grid_constant__ merge_args args) {
  const std::int64_t threads = std::int64_t{gridDim.x} * transfer_threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * transfer_threads + threadIdx.x; i < args.count; i += threads) {
    const Sum a = load_element<Sum>(args.type, args.a, i);
    const Sum b = load_element<Sum>(args.type, args.b, i);
    const Sum sum = args.mode == merge_mode::mul ? a * b : a + b;
    store_element(args.type, args.to, i, args.mode == merge_mode::ave ? sum / Sum(2) : sum);
  }
}

}  // namespace rnnpack::cuda
