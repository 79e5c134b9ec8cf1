// Products of rows and packed weights, with the work that follows done on the sums.
//
// A Work says how many tiles of columns belong together (a cell's gates of the same units), and what becomes of their
// sums: `finish(args, row, group, column, totals)`, where column counts within a tile. Two shapes of kernels:
// - split: few rows. The warps of a block share out k, so that many warps read one tile's weights at once.
// - tall: many rows. A warp takes 64 rows, so that weights are read less often.
#pragma once

#include "cuda/formats.h"

namespace rnnpack::cuda {

template <class Operand>
struct product_args {
  const Operand* operands;  // [rows][k_blocks][k_block]
  std::int64_t rows;
  const Operand* weights;  // [tiles][k_blocks][k_block * tile_columns], placed as the format says
  std::int32_t tiles;
  std::int32_t k_blocks;
};

// The same work for one direction or both: blockIdx.z picks.
template <class Args>
struct works {
  Args of[2];
};

__device__ inline int thread_index() { return static_cast<int>(threadIdx.x); }

template <class F, int RowTiles, int Tiles>
struct warp_sums {
  using sum = typename F::sum;
  using operand = typename F::operand;
  sum v[RowTiles][Tiles][4] = {};

  // Adds the products of blocks [begin, end) of k. Rows and tiles beyond the last are read as the last: in bounds, and
  // nobody looks at their sums.
  __device__ void add(const product_args<operand>& args, std::int64_t first_row, std::int32_t first_tile,
                      std::int32_t begin, std::int32_t end) {
    const int lane = thread_index() % 32;
    const std::int64_t row_values = std::int64_t{args.k_blocks} * F::k_block;
    const operand* rows[RowTiles][2];
#pragma unroll
    for (int r = 0; r < RowTiles; ++r)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::int64_t row = first_row + (r * tile_rows + half * 8 + lane / 4);
        rows[r][half] = args.operands + (row < args.rows ? row : args.rows - 1) * row_values + F::row_offset(lane);
      }
    const operand* tiles[Tiles];
#pragma unroll
    for (int n = 0; n < Tiles; ++n) {
      const std::int32_t tile = first_tile + n < args.tiles ? first_tile + n : args.tiles - 1;
      tiles[n] = args.weights + tile * row_values * tile_columns + F::tile_offset(lane);
    }
    for (std::int32_t k = begin; k < end; ++k) {
      typename F::row_part row[RowTiles][2];
#pragma unroll
      for (int r = 0; r < RowTiles; ++r)
#pragma unroll
        for (int half = 0; half < 2; ++half) row[r][half] = at<typename F::row_part>(rows[r][half], k * F::k_block);
#pragma unroll
      for (int n = 0; n < Tiles; ++n) {
        const auto tile = at<typename F::tile_part>(tiles[n], std::int64_t{k} * F::k_block * tile_columns);
#pragma unroll
        for (int r = 0; r < RowTiles; ++r) F::multiply(v[r][n], row[r][0], row[r][1], tile);
      }
    }
  }

 private:
  template <class Part>
  static __device__ Part at(const operand* from, std::int64_t offset) {
    return *reinterpret_cast<const Part*>(from + offset);
  }
};

inline constexpr int split_warps = 8;
inline constexpr int split_threads = split_warps * 32;
// Blocks at once on a multiprocessor: what the registers of their threads must leave room for. Without this number the
// compiler spills registers into memory for the sake of more blocks.
inline constexpr int split_blocks = 2;

template <class F, class Work>
__global__ void __launch_bounds__(split_threads, split_blocks)
    split_product(const __grid_constant__ works<typename Work::args> both) {
  using sum = typename F::sum;
  constexpr int tiles = Work::tiles;
  constexpr int places = tile_rows * tile_columns;
  static_assert(places <= split_threads);
  __shared__ sum parts[split_warps][tiles][places];
  const typename Work::args& args = both.of[blockIdx.z];
  const std::int64_t first_row = std::int64_t{blockIdx.x} * tile_rows;
  const auto group = static_cast<std::int32_t>(blockIdx.y);
  const int warp = thread_index() / 32;
  const int lane = thread_index() % 32;

  const std::int32_t share = (args.product.k_blocks + split_warps - 1) / split_warps;
  const std::int32_t begin = min(warp * share, args.product.k_blocks);
  warp_sums<F, 1, tiles> sums;
  sums.add(args.product, first_row, group * tiles, begin, min(begin + share, args.product.k_blocks));
#pragma unroll
  for (int n = 0; n < tiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8;
      parts[warp][n][row * tile_columns + lane % 4 * 2 + i % 2] = sums.v[0][n][i];
    }
  __syncthreads();

  const int place = thread_index();
  const std::int64_t row = first_row + place / tile_columns;
  if (place >= places || row >= args.product.rows) return;
  sum totals[tiles];
#pragma unroll
  for (int n = 0; n < tiles; ++n) {
    totals[n] = parts[0][n][place];
#pragma unroll
    for (int w = 1; w < split_warps; ++w) totals[n] += parts[w][n][place];
  }
  Work::finish(args, row, group, place % tile_columns, totals);
}

inline constexpr int tall_warps = 4;
inline constexpr int tall_threads = tall_warps * 32;
inline constexpr int tall_blocks = 2;
inline constexpr int tall_row_tiles = 4;
inline constexpr int tall_rows = tall_row_tiles * tile_rows;

template <class F, class Work>
__global__ void __launch_bounds__(tall_threads, tall_blocks)
    tall_product(const __grid_constant__ works<typename Work::args> both) {
  using sum = typename F::sum;
  constexpr int tiles = Work::tiles;
  const typename Work::args& args = both.of[blockIdx.z];
  const std::int64_t first_row = std::int64_t{blockIdx.x} * tall_rows;
  const auto group = static_cast<std::int32_t>(blockIdx.y * tall_warps + threadIdx.x / 32);
  if (group * tiles >= args.product.tiles) return;
  const int lane = thread_index() % 32;

  warp_sums<F, tall_row_tiles, tiles> sums;
  sums.add(args.product, first_row, group * tiles, 0, args.product.k_blocks);
#pragma unroll
  for (int r = 0; r < tall_row_tiles; ++r)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::int64_t row = first_row + (r * tile_rows + lane / 4 + i / 2 * 8);
      if (row >= args.product.rows) continue;
      sum totals[tiles];
#pragma unroll
      for (int n = 0; n < tiles; ++n) totals[n] = sums.v[r][n][i];
      Work::finish(args, row, group, lane % 4 * 2 + i % 2, totals);
    }
}

}  // namespace rnnpack::cuda
