// The time loop in one format; a file of its own for each, as they compile side by side.
#pragma once

#include "cuda/call_space.h"
#include "cuda/launch.h"
#include "cuda/pass_list.h"

namespace rnnpack::cuda {

// Rounds up to whole blocks.
constexpr std::int64_t padded(std::size_t size, std::int64_t block) {
  return (static_cast<std::int64_t>(size) + block - 1) / block * block;
}

// Projected inputs of a chunk should stay in the second-level cache of a large card, and a chunk should be long enough
// that its product is a large one.
inline constexpr std::size_t chunk_bytes = std::size_t{32} << 20;

// Values of one row of projected inputs.
inline std::int64_t projected_values(const packed_pass& pass) { return std::int64_t{pass.input.tiles} * tile_columns; }
inline std::int64_t projected_values(const packed_cell& cell) {
  std::int64_t values = 0;
  for (const packed_pass& pass : cell.passes) values += projected_values(pass);
  return values;
}

template <class F>
call_space<F>::call_space(const call& one, std::span<const direction> given, workspace& memory) {
  using sum = typename F::sum;
  using operand = typename F::operand;
  const std::size_t batch = one.batch;
  std::int64_t widest = 1;
  for (const direction& way : given)
    for (std::size_t i = 0; i < way.cell_count; ++i) widest = std::max(widest, projected_values(*way.cells[i]));
  const std::size_t step_bytes = checked_product(batch, widest, sizeof(sum));
  chunk_steps = static_cast<std::int64_t>(std::clamp<std::size_t>(chunk_bytes / step_bytes, 1, one.timesteps));
  for (const direction& way : given) {
    direction_space<F> space{.given = &way};
    const std::size_t slots = checked_product(chunk_steps, batch);
    space.padded_inputs = padded(way.cells[0]->input_size, F::k_block);
    space.inputs = memory.take<operand>(checked_product(slots, space.padded_inputs));
    space.first_live = one.mask == nullptr && one.row_splits == nullptr ? nullptr : memory.take<std::int64_t>(batch);
    for (int pass = 0; pass < 2; ++pass) {
      std::int64_t values = 0;
      for (std::size_t i = 0; i < way.cell_count; ++i)
        if (const auto& passes = way.cells[i]->passes; static_cast<std::size_t>(pass) < passes.size())
          values = std::max(values, projected_values(passes[pass]));
      space.projected[pass] = memory.take<sum>(checked_product(slots, values));
    }
    for (std::size_t i = 0; i < way.cell_count; ++i) {
      const packed_cell& cell = *way.cells[i];
      cell_space<F> own{
          .cell = &cell, .h_stride = padded(cell.outputs, F::k_block), .c_stride = padded(cell.units, F::k_block)};
      const bool two_passes = cell.passes.size() > 1;
      own.h = memory.take<sum>(checked_product(batch, own.h_stride));
      own.c = cell.states() == 2 || two_passes ? memory.take<sum>(checked_product(batch, own.c_stride)) : nullptr;
      own.slots = memory.take<operand>(checked_product(chunk_steps + 1, batch, own.h_stride));
      own.halfway = two_passes ? memory.take<operand>(checked_product(batch, own.c_stride)) : nullptr;
      space.cells.push_back(own);
    }
    directions.push_back(std::move(space));
  }
}

// One direction, or two that are alike but for their weights and arrays: those share every kernel.
template <class F>
class time_loop {
 public:
  using sum = typename F::sum;
  using operand = typename F::operand;

  time_loop(const call& one, std::span<const direction> given, std::byte* memory, cudaStream_t stream)
      : call_(one),
        memory_(memory),
        space_(one, given, memory_),
        stream_(stream),
        rows_(static_cast<std::int64_t>(one.batch)) {}

  std::size_t bytes() const { return memory_.bytes(); }

  bool run(const interruption* question) {
    for (auto& way : space_.directions) start(way);
    const auto timesteps = static_cast<std::int64_t>(call_.timesteps);
    for (std::int64_t first = 0; first < timesteps; first += space_.chunk_steps) {
      const std::int64_t steps = std::min(space_.chunk_steps, timesteps - first);
      for (auto& way : space_.directions) encode(way, first, steps);
      for (std::size_t cell = 0; cell < space_.directions.front().cells.size(); ++cell) {
        project(cell, steps);
        for (std::int64_t step = 0; step < steps; ++step) {
          if (step % steps_between_questions == 0 && !question->keep_going(question->context)) return false;
          take_step(cell, first, step);
        }
        if (first + steps < timesteps) keep_last_slot(cell, steps);
      }
    }
    for (auto& way : space_.directions) finish(way);
    return true;
  }

 private:
  static constexpr std::int64_t steps_between_questions = 64;

  places where(const direction_space<F>& way) const {
    const direction& given = *way.given;
    return {.timesteps = static_cast<std::int64_t>(call_.timesteps),
            .row_splits = call_.row_splits,
            .mask = call_.mask,
            .mask_time = call_.mask_time,
            .mask_batch = call_.mask_batch,
            .inputs_time = given.inputs_time,
            .inputs_batch = given.inputs_batch,
            .outputs_time = given.outputs_time,
            .outputs_batch = given.outputs_batch,
            .go_backwards = given.go_backwards,
            .turn_outputs = given.turn_outputs};
  }

  unsigned count() const { return static_cast<unsigned>(space_.directions.size()); }
  const packed_cell& first_cell(std::size_t cell) const { return *space_.directions.front().cells[cell].cell; }

  // States at the beginning. Padding of operands is written here, and never again.
  void start(direction_space<F>& way) {
    std::size_t state = 0;
    const auto given = [&](std::size_t index) -> const void* {
      return way.given->initial_states == nullptr ? nullptr : way.given->initial_states[index];
    };
    for (const cell_space<F>& one : way.cells) {
      const packed_cell& cell = *one.cell;
      if (cell.outputs % F::k_block != 0) clear(one.slots, (space_.chunk_steps + 1) * rows_ * one.h_stride);
      load(given(state), cell.outputs, one.h, one.h_stride, one.slots, one.h_stride);
      if (one.c != nullptr)
        load(cell.states() == 2 ? given(state + 1) : nullptr, cell.units, one.c, one.c_stride, nullptr, 0);
      if (one.halfway != nullptr && cell.units % F::k_block != 0) clear(one.halfway, rows_ * one.c_stride);
      state += cell.states();
    }
    if (way.first_live != nullptr)
      launch_rows(find_first_live<first_live_args>, rows_, stream_,
                  first_live_args{.where = where(way), .rows = rows_, .first_live = way.first_live},
                  "reading the mask");
  }

  void clear(operand* values, std::int64_t count) {
    check(cudaMemsetAsync(values, 0, count * sizeof(operand), stream_), "clearing memory");
  }

  void load(const void* given, std::size_t size, sum* state, std::int64_t stride, operand* operands,
            std::int64_t width) {
    launch_rows(load_state<operand, sum>, rows_, stream_,
                load_state_args<operand, sum>{.given = given,
                                              .type = call_.elements,
                                              .rows = rows_,
                                              .size = static_cast<std::int64_t>(size),
                                              .state = state,
                                              .stride = stride,
                                              .operands = operands,
                                              .padded = width},
                "reading initial states");
  }

  void encode(direction_space<F>& way, std::int64_t first, std::int64_t steps) {
    launch_rows(encode_inputs<operand, sum>, steps * rows_, stream_,
                encode_args<operand>{.where = where(way),
                                     .inputs = way.given->inputs,
                                     .type = call_.elements,
                                     .inputs_feature = way.given->inputs_feature,
                                     .first_step = first,
                                     .batch = rows_,
                                     .rows = steps * rows_,
                                     .input_size = static_cast<std::int64_t>(way.cells.front().cell->input_size),
                                     .padded = way.padded_inputs,
                                     .operands = way.inputs},
                "reading inputs");
  }

  // The inputs of a chunk for one cell of the stack: those of the call, or the slots of the cell before.
  void project(std::size_t cell, std::int64_t steps) {
    for (std::size_t pass = 0; pass < first_cell(cell).passes.size(); ++pass) {
      if (first_cell(cell).passes[pass].input.values == nullptr) continue;
      works<typename project_work<F>::args> both{};
      for (unsigned i = 0; i < count(); ++i) {
        const direction_space<F>& way = space_.directions[i];
        const packed_pass& weights = way.cells[cell].cell->passes[pass];
        const operand* inputs = cell == 0 ? way.inputs : way.cells[cell - 1].slot(rows_, 1);
        both.of[i] = {.product = product(weights.input, inputs, steps * rows_),
                      .bias = static_cast<const sum*>(weights.bias),
                      .projected = way.projected[pass]};
      }
      launch_product<F, project_work<F>, has_tall>(both, count(), first_cell(cell).multiprocessors, stream_,
                                                   "projecting inputs");
    }
  }

  void take_step(std::size_t cell, std::int64_t first, std::int64_t step) {
    const packed_cell& like = first_cell(cell);
    for (std::size_t pass = 0; pass < like.passes.size(); ++pass) {
      with_pass(like.kind, pass, [&]<class Pass>() {
        if (like.default_activations() || !Pass::takes_inputs) {
          launch_step<Pass, activations::default_pair, has_tall>(cell, pass, first, step);
        } else {
          launch_step<Pass, activations::any_pair, false>(cell, pass, first, step);
        }
      });
    }
  }

  template <class Pass, template <class> class Pair, bool HasTall>
  void launch_step(std::size_t cell, std::size_t pass, std::int64_t first, std::int64_t step) {
    using work = step_work<F, Pass, Pair>;
    works<typename work::args> both{};
    for (unsigned i = 0; i < count(); ++i) fill(both.of[i], space_.directions[i], cell, pass, first, step);
    launch_product<F, work, HasTall>(both, count(), first_cell(cell).multiprocessors, stream_, "taking a step");
  }

  template <class Args>
  void fill(Args& args, const direction_space<F>& way, std::size_t cell, std::size_t pass, std::int64_t first,
            std::int64_t step) const {
    const cell_space<F>& one = way.cells[cell];
    const packed_pass& weights = one.cell->passes[pass];
    const bool last_pass = pass + 1 == one.cell->passes.size();
    args = {.product = product(weights.recurrent, pass == 0 ? one.slot(rows_, step) : one.halfway, rows_),
            .where = where(way),
            .step = first + step,
            .units = static_cast<std::int32_t>(weights.units),
            .projected = way.projected[pass] + step * rows_ * projected_values(weights),
            .candidate_bias = static_cast<const sum*>(weights.candidate_bias),
            .peepholes = static_cast<const sum*>(weights.peepholes),
            .h = one.h,
            .c = one.c,
            .h_stride = one.h_stride,
            .c_stride = one.c_stride,
            .next = last_pass ? one.slot(rows_, step + 1) : one.halfway,
            .next_stride = last_pass ? one.h_stride : one.c_stride,
            .last_pass = last_pass,
            .outputs = cell + 1 == way.cells.size() && call_.return_sequences ? way.given->outputs : nullptr,
            .outputs_type = call_.elements,
            .zero_output_for_mask = call_.zero_output_for_mask,
            .first_live = way.first_live,
            .activations = one.cell->activations};
  }

  static product_args<operand> product(const packed_matrix& weights, const operand* operands, std::int64_t rows) {
    return {.operands = operands,
            .rows = rows,
            .weights = static_cast<const operand*>(weights.values),
            .tiles = weights.tiles,
            .k_blocks = weights.k_blocks};
  }

  // What h is after a chunk is what it is before the next.
  void keep_last_slot(std::size_t cell, std::int64_t steps) {
    for (const direction_space<F>& way : space_.directions) {
      const cell_space<F>& one = way.cells[cell];
      check(cudaMemcpyAsync(one.slots, one.slot(rows_, steps), rows_ * one.h_stride * sizeof(operand),
                            cudaMemcpyDeviceToDevice, stream_),
            "keeping a state");
    }
  }

  void finish(direction_space<F>& way) {
    std::size_t state = 0;
    for (const cell_space<F>& one : way.cells) {
      const packed_cell& cell = *one.cell;
      if (way.given->final_states != nullptr) {
        store(one.h, one.h_stride, cell.outputs, way.given->final_states[state], cell.outputs, nullptr);
        if (cell.states() == 2)
          store(one.c, one.c_stride, cell.units, way.given->final_states[state + 1], cell.units, nullptr);
      }
      state += cell.states();
    }
    const cell_space<F>& last = way.cells.back();
    if (!call_.return_sequences)
      store(last.h, last.h_stride, last.cell->outputs, way.given->outputs, way.given->outputs_batch, way.first_live);
  }

  void store(const sum* from, std::int64_t stride, std::size_t size, void* to, std::ptrdiff_t to_stride,
             const std::int64_t* first_live) {
    launch_rows(store_state<sum>, rows_, stream_,
                store_state_args<sum>{.state = from,
                                      .stride = stride,
                                      .rows = rows_,
                                      .size = static_cast<std::int64_t>(size),
                                      .to = to,
                                      .type = call_.elements,
                                      .to_stride = to_stride,
                                      .first_live = first_live,
                                      .steps = static_cast<std::int64_t>(call_.timesteps)},
                "writing states");
  }

  // Sums of doubles do not fit into the registers of a tall kernel.
  static constexpr bool has_tall = sizeof(sum) == sizeof(float);

  const call& call_;
  workspace memory_;
  call_space<F> space_;
  cudaStream_t stream_;
  std::int64_t rows_;
};

template <class F>
std::size_t workspace_bytes_in(const call& one, std::span<const direction> alike) {
  return time_loop<F>(one, alike, nullptr, nullptr).bytes();
}

template <class F>
bool run_in(const call& one, std::span<const direction> alike, std::byte* memory, cudaStream_t stream,
            const interruption* question) {
  return time_loop<F>(one, alike, memory, stream).run(question);
}

}  // namespace rnnpack::cuda
