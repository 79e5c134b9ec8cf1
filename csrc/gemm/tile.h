// The register tile: Rows rows of `a` times one or more panels of Vectors vectors, accumulated in registers.
// A sum runs over k in one order whatever the tile's height, so a row's bits never depend on its neighbours.
#pragma once

#include <cstddef>

#include "api/kernels.h"

namespace rnnpack::gemm {

// One product: `a` times the panels of a block and, at need, of the next one. F is the format, see gemm/formats.h; one
// source of rows serves all vectors, or each of several an equal share of them.
template <class F, int Vectors, int Sources>
struct product {
  using V = typename F::vector;
  using T = typename V::value_type;
  static constexpr int share = Vectors / Sources;
  static constexpr std::size_t stride = Vectors * V::lanes;  // columns of a block

  const operand_rows<T>& a;
  const weight_panels& weights;
  std::size_t rows;  // distance between two sources in `a`
  std::size_t k;
  std::size_t block;

  // sums[panel][row][vector] = base(panel, row, vector) + a * panels, for Rows rows from `first` on.
  template <int Panels, int Rows, class Base>
  [[gnu::always_inline]] void compute(V (&sums)[Panels][Rows][Vectors], std::size_t first, const Base& base) const {
    if constexpr (F::scaled) {
      typename F::sum whole[Panels][Rows][Vectors];
      for_each<Panels, Rows>(
          [&](int p, int m, int n) { whole[p][m][n] = F::sum::load(weights.offsets + column(p, n)); });
      accumulate<Panels, Rows>(whole, first);
      for_each<Panels, Rows>([&](int p, int m, int n) {
        const V row_scale = V::broadcast(a.scale[(n / share) * (Sources > 1 ? rows : 0) + first + m]);
        const V scale = row_scale * V::load(weights.column_scale + column(p, n));
        sums[p][m][n] = fma(whole[p][m][n].to_float(), scale, base(p, m, n));
      });
    } else {
      for_each<Panels, Rows>([&](int p, int m, int n) { sums[p][m][n] = base(p, m, n); });
      accumulate<Panels, Rows>(sums, first);
    }
  }

 private:
  std::size_t column(int p, int n) const { return (block + p) * stride + n * V::lanes; }

  template <int Panels, int Rows, class Do>
  [[gnu::always_inline]] static void for_each(const Do& act) {
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < Vectors; ++n) act(p, m, n);
  }

  template <int Panels, int Rows>
  [[gnu::always_inline]] void accumulate(typename F::sum (&acc)[Panels][Rows][Vectors], std::size_t first) const {
    const typename F::value* row[Rows][Sources];
    for (int m = 0; m < Rows; ++m)
      for (int s = 0; s < Sources; ++s) row[m][s] = F::row(a, s * rows + first + m);
    const std::size_t depths = (k + F::depth - 1) / F::depth;
    const std::size_t panel_bytes = depths * Vectors * F::vector_bytes;
    const std::byte* panel = weights.panels + block * panel_bytes;
    for (std::size_t i = 0; i < depths; ++i, panel += Vectors * F::vector_bytes) {
#pragma GCC unroll 2
      for (int p = 0; p < Panels; ++p) {
        typename F::weights b[Vectors];
#pragma GCC unroll 8
        for (int n = 0; n < Vectors; ++n) b[n] = F::load(panel + p * panel_bytes + n * F::vector_bytes);
#pragma GCC unroll 8
        for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
          for (int s = 0; s < Sources; ++s) {
            const typename F::operand x = F::broadcast(row[m][s], i);
#pragma GCC unroll 8
            for (int n = s * share; n < (s + 1) * share; ++n) acc[p][m][n] = F::multiply(x, b[n], acc[p][m][n]);
          }
        }
      }
    }
  }
};

template <int Height, class Tile>
[[gnu::always_inline]] inline void run_height(int height, std::size_t first, const Tile& tile) {
  if constexpr (Height > 1) {
    if (height < Height) return run_height<Height - 1>(height, first, tile);
  }
  tile.template run<Height>(first);
}

// Splits the rows [begin, end) into tiles of nearly equal height, at most Max; calls tile.run<height>(first row).
template <int Max, class Tile>
[[gnu::always_inline]] inline void for_each_tile(std::size_t begin, std::size_t end, const Tile& tile) {
  const std::size_t tiles = (end - begin + Max - 1) / Max;
  std::size_t first = begin;
  for (std::size_t i = 1; i <= tiles; ++i) {
    const std::size_t last = begin + (end - begin) * i / tiles;
    run_height<Max>(static_cast<int>(last - first), first, tile);
    first = last;
  }
}

}  // namespace rnnpack::gemm
