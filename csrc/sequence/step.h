// One pass of one timestep: the recurrent product in registers, the cell's mathematics on the accumulators.
#pragma once

#include "api/kernels.h"
#include "gemm/tile.h"

namespace rnnpack::sequence {

// Sources: 1, or the number of gates for the gated kernel.
template <class F, class Cell, int UnitVectors, int Sources, class Activations>
struct step_pass {
  using V = typename F::vector;
  using T = typename V::value_type;
  static constexpr int vectors = Cell::gates * UnitVectors;
  static constexpr std::size_t width = UnitVectors * V::lanes;
  static constexpr std::size_t stride = vectors * V::lanes;
  static constexpr int candidate = (Cell::gates - 1) * UnitVectors;  // first vector of the last gate

  const step_args<T>& args;
  const Activations& activations;
  std::size_t block;

  const T* projected(int p, std::size_t row) const { return args.gx + (block + p) * args.gx_block + row * stride; }

  // Fetches what the block's tiles start from. It lies far away, where no hardware prefetcher looks.
  void prefetch_projected() const {
    constexpr std::size_t line = 64 / sizeof(T);
    const T* next = projected(0, 0);
    for (std::size_t i = 0; i < args.rows * stride; i += line) __builtin_prefetch(next + i, 0, 2);
  }

  // What a sum begins with.
  [[gnu::always_inline]] V base(int p, std::size_t row, int n) const {
    if constexpr (!Cell::takes_inputs) return V::broadcast(T(0));
    return Cell::separate_candidate && n >= candidate
               ? V::load(args.candidate_bias + (block + p) * width + (n - candidate) * V::lanes)
               : V::load(projected(p, row) + n * V::lanes);
  }

  [[gnu::always_inline]] void finish(const V (&sum)[vectors], int p, std::size_t row) const {
#pragma GCC unroll 4
    for (int u = 0; u < UnitVectors; ++u) {
      const std::size_t unit = (block + p) * width + u * V::lanes;
      V gate[Cell::gates];
#pragma GCC unroll 4
      for (int g = 0; g < Cell::gates; ++g) gate[g] = sum[g * UnitVectors + u];
      V candidate_input{}, h{}, c{};
      if constexpr (Cell::separate_candidate) candidate_input = V::load(projected(p, row) + (candidate + u) * V::lanes);
      if constexpr (Cell::reads_h) h = V::load(args.h[row] + unit);
      if constexpr (Cell::reads_c) c = V::load(args.c[row] + unit);
      if constexpr (Cell::peepholes > 0) {
        V peephole[Cell::peepholes];
#pragma GCC unroll 4
        for (int i = 0; i < Cell::peepholes; ++i)
          peephole[i] = V::load(args.peepholes + ((block + p) * Cell::peepholes + i) * width + u * V::lanes);
        Cell::step(gate, peephole, h, c, activations);
      } else {
        Cell::step(gate, candidate_input, h, c, activations);
      }
      if constexpr (Cell::writes_c) c.store(args.c[row] + unit);
      h.store(args.out[row] + unit);
      if (args.y != nullptr) store_output(h, args.y[row], unit);
    }
  }

  void store_output(V h, T* y, std::size_t unit) const {
    if (unit + V::lanes <= args.units) {
      h.store(y + unit);
    } else if (unit < args.units) {
      h.store_partial(y + unit, static_cast<int>(args.units - unit));
    }
  }

  template <int Panels, int Rows>
  void tile(std::size_t first) const {
    V sums[Panels][Rows][vectors];
    const gemm::product<F, vectors, Sources> one{args.a, args.weights, args.rows, args.k, block};
    one.template compute<Panels, Rows>(sums, first, [&](int p, int m, int n) { return base(p, first + m, n); });
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m) finish(sums[p][m], p, first + m);
  }

  template <int Rows>
  [[gnu::noinline]] void run(std::size_t first) const {
    tile<1, Rows>(first);
  }
};

template <class F, class Cell, int UnitVectors, int Sources, template <class> class Pair>
void step(const step_args<typename F::vector::value_type>& args) {
  using Activations = Pair<typename F::vector>;
  using Pass = step_pass<F, Cell, UnitVectors, Sources, Activations>;
  const Activations activations(args.activations);
  const auto [begin, end] = args.blocks;
  if (args.rows == 1) {  // two panels at once, or the chains of additions would wait for each other
    const std::size_t pairs = (end - begin + 1) / 2;
    for (std::size_t i = 0; i < pairs; ++i) {
      const Pass pass{args, activations, begin + 2 * (args.descending ? pairs - 1 - i : i)};
      pass.block + 1 < end ? pass.template tile<2, 1>(0) : pass.template tile<1, 1>(0);
    }
    return;
  }
  for (std::size_t i = begin; i < end; ++i) {
    const Pass pass{args, activations, args.descending ? begin + end - 1 - i : i};
    if (Cell::takes_inputs && i + 1 < end)
      Pass{args, activations, args.descending ? pass.block - 1 : pass.block + 1}.prefetch_projected();
    gemm::for_each_tile<F::most_rows(Pass::vectors)>(0, args.rows, pass);
  }
}

}  // namespace rnnpack::sequence
