// How a warp multiplies: 16 rows of operands by a tile of 8 columns of weights, k values at a time. A lane = 4 g + t
// reads 16 bytes of rows g and g + 8, and its part of the tile; it gets the sums of columns 2t and 2t + 1.
//
// Which of k's values a lane takes is free as long as rows and weights agree. So the weights are packed such that a
// lane's values are neighbours in a row: one load of 16 bytes where the tensor cores' own order would need two of 4.
#pragma once

#include "cuda/elements.h"
#include "cuda/instructions.h"

namespace rnnpack::cuda {

inline constexpr int tile_columns = 8;
inline constexpr int tile_rows = 16;

template <class T, int N>
struct alignas(16) lane_values {
  T v[N];
};

// Full precision, without tensor cores: all four lanes of a row read the same values of it.
template <class T>
struct plain_format {
  using sum = T;
  using operand = T;
  static constexpr int k_block = 16 / sizeof(T);
  using row_part = lane_values<T, k_block>;
  using tile_part = lane_values<T, 2 * k_block>;

  // Where the weight of a column and of k lies in the tile's block.
  static constexpr int place(int k, int column) { return (column / 2 * k_block + k) * 2 + column % 2; }
  static constexpr int row_offset(int /*lane*/) { return 0; }
  static constexpr int tile_offset(int lane) { return lane % 4 * 2 * k_block; }

  // sums: (row g: columns 2t, 2t + 1), (row g + 8: the same).
  static __device__ void multiply(sum (&sums)[4], const row_part& upper, const row_part& lower, const tile_part& tile) {
#pragma unroll
    for (int k = 0; k < k_block; ++k) {
      sums[0] += upper.v[k] * tile.v[2 * k];
      sums[1] += upper.v[k] * tile.v[2 * k + 1];
      sums[2] += lower.v[k] * tile.v[2 * k];
      sums[3] += lower.v[k] * tile.v[2 * k + 1];
    }
  }
};

// Tensor cores: a block of k is two of their steps.
template <class Operand>
struct tensor_format {
  using sum = float;
  using operand = Operand;
  static constexpr int lane_k = 16 / sizeof(Operand);  // values of k that a lane takes
  static constexpr int k_block = 4 * lane_k;
  using row_part = lane_values<std::uint32_t, 4>;
  using tile_part = lane_values<std::uint32_t, 4>;

  static constexpr int place(int k, int column) { return (column * 4 + k / lane_k) * lane_k + k % lane_k; }
  static constexpr int row_offset(int lane) { return lane % 4 * lane_k; }
  static constexpr int tile_offset(int lane) { return lane * lane_k; }

  static __device__ void multiply(sum (&sums)[4], const row_part& upper, const row_part& lower, const tile_part& tile) {
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
      const std::uint32_t a[4] = {upper.v[half], lower.v[half], upper.v[half + 1], lower.v[half + 1]};
      const std::uint32_t b[2] = {tile.v[half], tile.v[half + 1]};
      if constexpr (__is_same(Operand, __nv_bfloat16)) {
        multiply_add_bf16(sums, a, b);
      } else if constexpr (__is_same(Operand, __half)) {
        multiply_add_f16(sums, a, b);
      } else {
        multiply_add_tf32(sums, a, b);
      }
    }
  }
};

using float64_format = plain_format<double>;
using float32_format = plain_format<float>;
using tfloat32_format = tensor_format<tfloat32>;
using bfloat16_format = tensor_format<__nv_bfloat16>;
using float16_format = tensor_format<__half>;

}  // namespace rnnpack::cuda
