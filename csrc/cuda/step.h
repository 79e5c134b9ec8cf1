// One pass of one timestep, for all rows: what becomes of the sums is the cell's own mathematics.
#pragma once

#include "activations/activations.h"
#include "cuda/places.h"
#include "cuda/product.h"
#include "simd/cuda.h"

namespace rnnpack::cuda {

template <class F, class Pass, template <class> class Pair>
struct step_work {
  using sum = typename F::sum;
  using operand = typename F::operand;
  using V = number<sum>;
  static constexpr int tiles = Pass::gates;

  struct args {
    product_args<operand> product;
    places where;
    std::int64_t step;
    std::int32_t units;         // that the pass computes
    const sum* projected;       // [rows][tiles][tile_columns], biases included; null for a pass without inputs
    const sum* candidate_bias;  // [padded units]
    const sum* peepholes;       // [peepholes][padded units]
    sum* h;                     // [rows][h_stride] previous state; the last pass changes it
    sum* c;                     // [rows][c_stride] second state or scratch, in place
    std::int64_t h_stride;
    std::int64_t c_stride;
    operand* next;  // [rows][next_stride] what is multiplied next, by the following step or pass
    std::int64_t next_stride;
    bool last_pass;
    // Sequence outputs of the stack's last cell; else null.
    void* outputs;
    element outputs_type;
    bool zero_output_for_mask;
    const std::int64_t* first_live;  // [rows] the first step that is not masked; null: step 0
    activation_pair activations;
  };

  static __device__ void finish(const args& args, std::int64_t row, std::int32_t group, int column,
                                const sum (&totals)[tiles]) {
    const std::int32_t unit = group * tile_columns + column;
    if (unit >= args.units) return;
    const bool live = args.where.live(args.step, row);
    sum* const state = args.h + row * args.h_stride + unit;
    V h{};
    if (Pass::reads_h || (!live && args.last_pass)) h.v = *state;
    if (live || !args.last_pass) h = stepped(args, row, group, column, totals, h, live);
    args.next[row * args.next_stride + unit] = encode<operand>(h.v);
    if (!args.last_pass) return;
    if (live) *state = h.v;
    if (args.outputs != nullptr) put_output(args, row, unit, h.v, live);
  }

 private:
  // The new h, and c in place.
  static __device__ V stepped(const args& args, std::int64_t row, std::int32_t group, int column,
                              const sum (&totals)[tiles], V h, bool live) {
    const std::int32_t unit = group * tile_columns + column;
    const std::int32_t padded_units = args.product.tiles / tiles * tile_columns;
    V gate[tiles];
    V candidate_input{};
#pragma unroll
    for (int g = 0; g < tiles; ++g) {
      gate[g].v = totals[g];
      if constexpr (Pass::takes_inputs) {
        const std::int64_t place = (row * args.product.tiles + std::int64_t{group} * tiles + g) * tile_columns + column;
        const V projected{args.projected[place]};
        if (Pass::separate_candidate && g == tiles - 1) {
          candidate_input = projected;
          gate[g] = gate[g] + V{args.candidate_bias[unit]};
        } else {
          gate[g] = gate[g] + projected;
        }
      }
    }
    V c{};
    sum* const second = args.c + row * args.c_stride + unit;
    if constexpr (Pass::reads_c) c.v = *second;
    const Pair<V> activations(args.activations);
    if constexpr (Pass::peepholes > 0) {
      V peephole[Pass::peepholes];
#pragma unroll
      for (int i = 0; i < Pass::peepholes; ++i) peephole[i].v = args.peepholes[i * padded_units + unit];
      Pass::step(gate, peephole, h, c, activations);
    } else {
      Pass::step(gate, candidate_input, h, c, activations);
    }
    if (Pass::writes_c && live) *second = c.v;
    return h;
  }

  // A masked step repeats the row's previous output; before the first output, or when asked, it is zero; ragged rows
  // that have ended have no place for it.
  static __device__ void put_output(const args& args, std::int64_t row, std::int32_t unit, sum h, bool live) {
    if (!live) {
      if (args.where.row_splits != nullptr) return;
      const bool repeats = !args.zero_output_for_mask && args.first_live[row] < args.step;
      if (!repeats) h = 0;
    }
    store_element(args.outputs_type, args.outputs, args.where.output(args.step, row) + unit, h);
  }
};

}  // namespace rnnpack::cuda
