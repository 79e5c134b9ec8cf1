// Kernels put on a stream. None waits for the processor, so all of it may be captured into a graph.
#pragma once

#include <algorithm>

#include "cuda/memory.h"
#include "cuda/product.h"
#include "cuda/project.h"
#include "cuda/step.h"
#include "cuda/transfer.h"

namespace rnnpack::cuda {

template <class Args>
void launch(void (*kernel)(Args), dim3 grid, int threads, cudaStream_t stream, const Args& args, const char* what) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, args), what);
}

inline unsigned blocks_of(std::int64_t size, std::int64_t block) {
  return static_cast<unsigned>((size + block - 1) / block);
}

// For kernels whose warps, or threads, go on until everything is done.
template <class Args>
void launch_transfer(void (*kernel)(Args), std::int64_t threads, cudaStream_t stream, const Args& args,
                     const char* what) {
  constexpr unsigned most_blocks = 4096;
  const dim3 grid(std::min(most_blocks, blocks_of(threads, transfer_threads)));
  if (grid.x > 0) launch(kernel, grid, transfer_threads, stream, args, what);
}

template <class Args>
void launch_rows(void (*kernel)(Args), std::int64_t rows, cudaStream_t stream, const Args& args, const char* what) {
  launch_transfer(kernel, rows * warp_size, stream, args, what);
}

// Tall kernels pay where they still give every multiprocessor something to do. Not measured yet.
template <class F, class Work, bool HasTall>
void launch_product(const works<typename Work::args>& both, unsigned count, int multiprocessors, cudaStream_t stream,
                    const char* what) {
  const std::int64_t rows = both.of[0].product.rows;
  const auto groups = static_cast<unsigned>((both.of[0].product.tiles + Work::tiles - 1) / Work::tiles);
  if constexpr (HasTall) {
    const dim3 grid(blocks_of(rows, tall_rows), blocks_of(groups, tall_warps), count);
    if (rows >= tall_rows && std::int64_t{grid.x} * grid.y * count >= multiprocessors) {
      launch(tall_product<F, Work>, grid, tall_threads, stream, both, what);
      return;
    }
  }
  launch(split_product<F, Work>, dim3(blocks_of(rows, tile_rows), groups, count), split_threads, stream, both, what);
}

}  // namespace rnnpack::cuda
