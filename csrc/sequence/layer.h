// One cell of a strand at work: projects a chunk of inputs, then takes the chunk's steps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gemm/packed_cell.h"
#include "memory/arena.h"
#include "sequence/chunk.h"
#include "sequence/crew.h"
#include "sequence/dropout.h"
#include "sequence/encoder.h"
#include "sequence/layer_state.h"

namespace rnnpack::sequence {

// What each member of a crew has for itself: where the rows of the current step find their old states and put the new
// ones, see step_args, and the encoded rows of its products.
template <class T>
struct workspace {
  const T** old_h;
  T** new_h;
  T** c;
  T** y;
  T** halfway;
  std::uint8_t* side;  // [rows of the strand] which buffer holds a row's h
  encoder<T> encode_inputs;
  encoder<T> encode_states;
  encoder<T> encode_halfway;

  workspace(const packed_cell<T>& cell, std::size_t rows, std::size_t slots, const layer_dropout<T>& dropout,
            arena& memory)
      : old_h(memory.take<const T*>(rows)),
        new_h(memory.take<T*>(rows)),
        c(memory.take<T*>(rows)),
        y(memory.take<T*>(rows)),
        halfway(memory.take<T*>(rows)),
        side(memory.take<std::uint8_t>(rows)),
        encode_inputs(cell.format(), cell.input_scaling(), cell.input_size(),
                      checked_product(slots, dropout.input_sources()), memory),
        encode_states(cell.format(), cell.state_scaling(), cell.outputs(),
                      checked_product(rows, dropout.state_sources()), memory) {
    if (cell.kind() == cell_kind::projected_lstm)
      encode_halfway = encoder<T>(cell.format(), cell.halfway_scaling(), cell.units(), rows, memory);
  }
};

template <class T>
class layer {
 public:
  // projected: room for one chunk, pass by pass, [block][slot][gate][width]; layers that never run at the same time
  // may share it. spaces: one for each member of the crew.
  layer(const packed_cell<T>& cell, std::size_t rows, T* projected, workspace<T>* spaces,
        const layer_dropout<T>& dropout, arena& memory)
      : cell_(&cell), state_(cell, rows, memory), projected_(projected), spaces_(spaces), dropout_(dropout) {}

  const packed_cell<T>& cell() const { return *cell_; }
  void save(T* const* states, std::size_t first_row) const { state_.save(states, first_row, spaces_[0].side); }
  const T* h(std::size_t row) const { return state_.h(spaces_[0].side[row], row); }

  // Reads first states, see layer_state::load.
  void start(const T* const* states, row_range rows) {
    state_.load(states, rows.first);
    std::fill_n(spaces_[0].side, rows.count, std::uint8_t{0});
  }

  // A member learns from member 0 where the states are.
  void join(unsigned member, std::size_t rows) {
    if (member > 0) std::copy_n(spaces_[0].side, rows, spaces_[member].side);
  }

  void zero_state(std::size_t row) { state_.zero(spaces_[0].side[row], row); }

  // inputs: [slots] rows of the cell's input size.
  void project(const chunk_slots<T>& chunk, const T* const* inputs, const crew& here) {
    const std::size_t slots = chunk.slots();
    if (slots == 0) return;
    const T* const* from = dropout_.mask_inputs(chunk, inputs);
    const operand_rows<T> rows = spaces_[here.member()].encode_inputs(from, slots * dropout_.input_sources());
    T* to = projected_;
    for (const packed_pass<T>& pass : cell_->passes()) {
      if (!pass.takes_inputs()) continue;
      const bool gated = dropout_.gated_inputs();
      const project_args<T> args{.a = gated ? rows.from(pass.kernels->first_gate * slots) : rows,
                                 .rows = slots,
                                 .k = cell_->input_size(),
                                 .weights = pass.input.view(),
                                 .bias = pass.bias.data(),
                                 .blocks = here.part(pass.blocks),
                                 .gx = to};
      (gated ? pass.kernels->project_gated : pass.kernels->project)(args);
      to += slots * pass.projected_values();
    }
  }

  // Takes one step. output(i, row): where row, the i-th unmasked one of the step, puts its output; null: nowhere.
  template <class Output>
  bool take_step(const chunk_slots<T>& chunk, std::size_t step, crew& here, bool wants_output, Output output) {
    const std::size_t first = chunk.step_begin[step];
    const std::size_t rows = chunk.step_begin[step + 1] - first;
    workspace<T>& at = spaces_[here.member()];
    const std::size_t* row_of = chunk.row + first;
    // Every other step goes through the weights from their end: what the step before used last is still in the cache,
    // where a walk in one direction would find nothing of weights larger than it.
    const bool descending = at.side[row_of[0]] != 0;
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t row = row_of[i];
      const std::size_t side = at.side[row];
      at.side[row] ^= 1;
      at.old_h[i] = state_.h(side, row);
      at.new_h[i] = state_.h(1 - side, row);
      at.c[i] = state_.c(row);
      at.halfway[i] = state_.halfway(row);
      if (wants_output) at.y[i] = output(i, row);
    }
    const T* gx = projected_;
    const std::size_t passes = cell_->passes().size();
    for (std::size_t p = 0; p < passes; ++p) {
      if (p > 0 && !here.meet()) return false;
      const packed_pass<T>& pass = cell_->passes()[p];
      const T* from = pass.takes_inputs() ? gx + first * pass.stride() : nullptr;
      run_pass(pass, p == 0, p + 1 == passes, at, row_of, rows, from, chunk.slots(), wants_output, descending, here);
      gx += chunk.slots() * pass.projected_values();
    }
    return true;
  }

 private:
  void run_pass(const packed_pass<T>& pass, bool first, bool last, const workspace<T>& at, const std::size_t* row_of,
                std::size_t rows, const T* gx, std::size_t slots, bool wants_output, bool descending,
                const crew& here) {
    // The second of two passes multiplies what the first one left. Dropout is for what meets recurrent weights.
    const T* const* from = at.old_h;
    if (!first) from = at.halfway;
    if (pass.takes_inputs()) from = dropout_.mask_states(*pass.kernels, row_of, from, rows);
    const encoder<T>& encode = pass.takes_inputs() ? at.encode_states : at.encode_halfway;
    const step_args<T> step{.rows = rows,
                            .k = pass.k,
                            .units = pass.units,
                            .a = encode(from, dropout_.gated_states() ? rows * pass.kernels->gates : rows),
                            .h = at.old_h,
                            .c = at.c,
                            .out = last ? at.new_h : at.halfway,
                            .y = last && wants_output ? at.y : nullptr,
                            .weights = pass.recurrent.view(),
                            .candidate_bias = pass.candidate_bias.data(),
                            .peepholes = pass.peepholes.data(),
                            .blocks = here.part(pass.blocks),
                            .descending = descending,
                            .gx = gx,
                            .gx_block = slots * pass.stride(),
                            .activations = cell_->activations()};
    const pass_kernels<T>& kernels = *pass.kernels;
    (dropout_.gated_states() ? kernels.step_gated
                             : (cell_->default_activations() ? kernels.step : kernels.step_generic))(step);
  }

  const packed_cell<T>* cell_;
  layer_state<T> state_;
  T* projected_;
  workspace<T>* spaces_;  // [members]
  layer_dropout<T> dropout_;
};

}  // namespace rnnpack::sequence
