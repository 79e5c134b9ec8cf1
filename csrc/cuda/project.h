// The inputs of many steps at once: bias + inputs * kernel, for all gates of a pass.
#pragma once

#include "cuda/product.h"

namespace rnnpack::cuda {

template <class F>
struct project_work {
  static constexpr int tiles = 4;

  struct args {
    product_args<typename F::operand> product;
    const typename F::sum* bias;  // [tiles][tile_columns]
    typename F::sum* projected;   // [rows][tiles][tile_columns]
  };

  static __device__ void finish(const args& args, std::int64_t row, std::int32_t group, int column,
                                const typename F::sum (&totals)[tiles]) {
    const std::int64_t row_values = std::int64_t{args.product.tiles} * tile_columns;
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
      const std::int32_t tile = group * tiles + n;
      if (tile >= args.product.tiles) return;
      const std::int32_t place = tile * tile_columns + column;
      args.projected[row * row_values + place] = args.bias[place] + totals[n];
    }
  }
};

}  // namespace rnnpack::cuda
