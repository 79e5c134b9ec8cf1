// gx = bias + a W for the rows of many timesteps at once.
#pragma once

#include "api/kernels.h"
#include "gemm/tile.h"

namespace rnnpack::gemm {

template <class V, int Vectors, int Sources>
struct projection {
  using T = typename V::value_type;
  static constexpr std::size_t stride = Vectors * V::lanes;  // values of one row in one block

  const project_args<T>& args;
  std::size_t block;

  template <int Panels, int Rows>
  void tile(std::size_t first) const {
    V acc[Panels][Rows][Vectors];
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < Vectors; ++n) acc[p][m][n] = V::load(args.bias + (block + p) * stride + n * V::lanes);
    const std::size_t panel = args.k * stride;
    accumulate<V, Panels, Rows, Vectors, Sources>(acc, args.a + first, args.rows, args.panels + block * panel, panel,
                                                  args.k);
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) {
      T* to = args.gx + ((block + p) * args.rows + first) * stride;
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < Vectors; ++n) acc[p][m][n].store(to + m * stride + n * V::lanes);
    }
  }

  template <int Rows>
  [[gnu::noinline]] void run(std::size_t first) const {
    tile<1, Rows>(first);
  }
};

// Sources: 1, or the number of gates for the gated kernel.
template <class V, int Vectors, int Sources>
void project(const project_args<typename V::value_type>& args) {
  using T = typename V::value_type;
  using Projection = projection<V, Vectors, Sources>;
  if (args.rows == 1) {  // two panels at once, or the chains of additions would wait for each other
    std::size_t block = args.blocks.begin;
    for (; block + 1 < args.blocks.end; block += 2) Projection{args, block}.template tile<2, 1>(0);
    if (block < args.blocks.end) Projection{args, block}.template tile<1, 1>(0);
    return;
  }
  // Rows are taken in groups that stay in the second-level cache while all panels pass by.
  constexpr std::size_t group_bytes = std::size_t{256} << 10;
  const std::size_t fit = group_bytes / (sizeof(T) * (args.k + 1));
  const std::size_t group = fit < 64 ? 64 : fit;
  for (std::size_t begin = 0; begin < args.rows; begin += group) {
    const std::size_t end = begin + group < args.rows ? begin + group : args.rows;
    for (std::size_t block = args.blocks.begin; block < args.blocks.end; ++block)
      for_each_tile<max_rows<V>(Vectors)>(begin, end, Projection{args, block});
  }
}

}  // namespace rnnpack::gemm
