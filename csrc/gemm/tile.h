// The register tile: Rows rows of `a` times one or more panels of Vectors vectors, accumulated in registers.
// A sum runs over k in one order whatever the tile's height, so a row's bits never depend on its neighbours.
#pragma once

#include <cstddef>

namespace rnnpack::gemm {

// How many rows fit: Rows * Vectors accumulators, the broadcasts or the panel's vectors, and one spare.
template <class V>
constexpr int max_rows(int vectors) {
  const int fit = V::registers >= 32 ? (V::registers - vectors - 2) / vectors : (V::registers - 1) / (vectors + 1);
  return fit < 1 ? 1 : (fit > 8 ? 8 : fit);
}

// acc[panel][row][vector] += a[source][row][k] * panels[panel][k][vector]. One source of rows serves all vectors, or
// each of several an equal share of them; `rows` is the distance between two sources in `a`.
template <class V, int Panels, int Rows, int Vectors, int Sources>
[[gnu::always_inline]] inline void accumulate(V (&acc)[Panels][Rows][Vectors], const typename V::value_type* const* a,
                                              std::size_t rows, const typename V::value_type* panels,
                                              std::size_t panel_size, std::size_t depth) {
  using T = typename V::value_type;
  constexpr int share = Vectors / Sources;
  const T* row[Rows][Sources];
  for (int m = 0; m < Rows; ++m)
    for (int s = 0; s < Sources; ++s) row[m][s] = a[s * rows + m];
  for (std::size_t k = 0; k < depth; ++k) {
    const T* panel = panels + k * (Vectors * V::lanes);
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) {
      V b[Vectors];
#pragma GCC unroll 8
      for (int n = 0; n < Vectors; ++n) b[n] = V::load(panel + p * panel_size + n * V::lanes);
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
        for (int s = 0; s < Sources; ++s) {
          const V x = V::broadcast(row[m][s][k]);
#pragma GCC unroll 8
          for (int n = s * share; n < (s + 1) * share; ++n) acc[p][m][n] = fma(x, b[n], acc[p][m][n]);
        }
      }
    }
  }
}

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
