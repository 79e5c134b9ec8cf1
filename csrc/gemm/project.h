// gx = bias + a W for the rows of many timesteps at once.
#pragma once

#include "api/kernels.h"
#include "gemm/tile.h"

namespace rnnpack::gemm {

template <class F, int Vectors, int Sources>
struct projection {
  using V = typename F::vector;
  using Product = product<F, Vectors, Sources>;

  const project_args<typename V::value_type>& args;
  std::size_t block;

  template <int Panels, int Rows>
  void tile(std::size_t first) const {
    V sums[Panels][Rows][Vectors];
    const Product one{args.a, args.weights, args.rows, args.k, block};
    one.template compute<Panels, Rows>(sums, first, [&](int p, int /*row*/, int n) {
      return V::load(args.bias + (block + p) * Product::stride + n * V::lanes);
    });
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) {
      auto* to = args.gx + ((block + p) * args.rows + first) * Product::stride;
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < Vectors; ++n) sums[p][m][n].store(to + m * Product::stride + n * V::lanes);
    }
  }

  template <int Rows>
  [[gnu::noinline]] void run(std::size_t first) const {
    tile<1, Rows>(first);
  }
};

// Sources: 1, or the number of gates for the gated kernel.
template <class F, int Vectors, int Sources>
void project(const project_args<typename F::vector::value_type>& args) {
  using Projection = projection<F, Vectors, Sources>;
  if (args.rows == 1) {  // two panels at once, or the chains of additions would wait for each other
    std::size_t block = args.blocks.begin;
    for (; block + 1 < args.blocks.end; block += 2) Projection{args, block}.template tile<2, 1>(0);
    if (block < args.blocks.end) Projection{args, block}.template tile<1, 1>(0);
    return;
  }
  // Rows are taken in groups that stay in the second-level cache while all panels pass by.
  constexpr std::size_t group_bytes = std::size_t{256} << 10;
  const std::size_t fit = group_bytes / (sizeof(typename F::value) * (args.k + 1));
  const std::size_t group = fit < 64 ? 64 : fit;
  for (std::size_t begin = 0; begin < args.rows; begin += group) {
    const std::size_t end = begin + group < args.rows ? begin + group : args.rows;
    for (std::size_t block = args.blocks.begin; block < args.blocks.end; ++block)
      for_each_tile<F::most_rows(Vectors)>(begin, end, Projection{args, block});
  }
}

}  // namespace rnnpack::gemm
