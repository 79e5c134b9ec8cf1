#include "sequence/run.h"

#include <algorithm>
#include <vector>

#include "sequence/fp_mode.h"
#include "sequence/layer_state.h"

namespace rnnpack::sequence {
namespace {

// Steps are taken in chunks: a cell's inputs are projected for a whole chunk, as one product that reads the input
// weights once, before its recurrent steps consume the result. Small weights stay in the second-level cache, and the
// projection should fit in beside them; large ones come from further away, and more rows must share each reading.
// A chunk grows until either size is reached. Chosen by measurement (Zen 4, 1 MiB of second-level cache).
struct chunk_size {
  std::size_t bytes;
  std::size_t rows;
};
constexpr std::size_t small_weights = std::size_t{1} << 20;
constexpr chunk_size beside_small_weights{.bytes = std::size_t{512} << 10, .rows = 256};
constexpr chunk_size beside_large_weights{.bytes = std::size_t{4} << 20, .rows = 768};

template <class T>
class sequence_run {
 public:
  sequence_run(std::span<const packed_cell<T>* const> cells, const run_args<T>& args)
      : cells_(cells), args_(args), chunk_(chunk_steps()) {
    const std::size_t rows = checked_product(chunk_, args.batch);
    std::size_t projected = 0;
    std::size_t between = 0;
    std::size_t state = 0;
    layers_.reserve(cells.size());
    for (std::size_t layer = 0; layer < cells.size(); ++layer) {
      const packed_cell<T>& cell = *cells[layer];  // the same cell may stand in a stack twice
      projected = std::max(projected, projected_values(cell));
      if (layer + 1 < cells.size()) between = std::max(between, cell.units());
      layers_.emplace_back(cell, args.batch);
      layers_.back().load(args.initial_states + state);
      state += cell.states();
    }
    projected_ = buffer<T>(checked_product(rows, projected));
    between_ = buffer<T>(checked_product(rows, between));
    slot_row_.resize(rows);
    slot_input_.resize(rows);
    step_begin_.resize(chunk_ + 1);
    old_h_.resize(args.batch);
    for (auto* pointers : {&c_, &new_h_, &y_, &reset_h_}) pointers->resize(args.batch);
    has_output_.assign(args.batch, 0);
  }

  status run() {
    for (std::size_t begin = 0; begin < args_.timesteps; begin += chunk_) {
      const std::size_t steps = std::min(chunk_, args_.timesteps - begin);
      collect_rows(begin, steps);
      for (std::size_t layer = 0; layer < cells_.size(); ++layer)
        if (!run_layer(layer, begin, steps)) return status::interrupted;
    }
    finish();
    return status::ok;
  }

 private:
  // Values that the widest pass list of a cell projects for one row.
  static std::size_t projected_values(const packed_cell<T>& cell) {
    std::size_t values = 0;
    for (const packed_pass<T>& pass : cell.passes()) values += pass.blocks * pass.stride();
    return values;
  }

  std::size_t chunk_steps() const {
    std::size_t widest = 1;
    std::size_t weights = 0;
    for (const packed_cell<T>* cell : cells_) {
      widest = std::max(widest, projected_values(*cell));
      weights = std::max(weights, cell->bytes());
    }
    const chunk_size& wanted = weights <= small_weights ? beside_small_weights : beside_large_weights;
    const std::size_t batch = std::max<std::size_t>(args_.batch, 1);
    const std::size_t by_bytes = wanted.bytes / checked_product(widest, sizeof(T), batch);
    const std::size_t by_rows = (wanted.rows + batch - 1) / batch;
    return std::clamp<std::size_t>(std::max(by_bytes, by_rows), 1, args_.timesteps);
  }

  std::size_t physical(std::size_t step) const { return args_.go_backwards ? args_.timesteps - 1 - step : step; }

  bool unmasked(std::size_t step, std::size_t row) const {
    return args_.mask == nullptr || args_.mask[static_cast<std::ptrdiff_t>(physical(step)) * args_.mask_time +
                                               static_cast<std::ptrdiff_t>(row) * args_.mask_batch] != 0;
  }

  // Lists the chunk's unmasked (step, row) pairs, step by step; only these cost arithmetic.
  void collect_rows(std::size_t begin, std::size_t steps) {
    std::size_t slot = 0;
    for (std::size_t step = 0; step < steps; ++step) {
      step_begin_[step] = slot;
      const T* line = args_.inputs + static_cast<std::ptrdiff_t>(physical(begin + step)) * args_.inputs_time;
      for (std::size_t row = 0; row < args_.batch; ++row) {
        if (!unmasked(begin + step, row)) continue;
        slot_row_[slot] = row;
        slot_input_[slot] = line + static_cast<std::ptrdiff_t>(row) * args_.inputs_batch;
        ++slot;
      }
    }
    step_begin_[steps] = slot;
  }

  // False: the caller wants the call to stop.
  bool run_layer(std::size_t layer, std::size_t begin, std::size_t steps) {
    const packed_cell<T>& cell = *cells_[layer];
    const bool last = layer + 1 == cells_.size();
    const std::size_t bytes_per_row = cell.bytes();
    project(cell, step_begin_[steps]);
    for (std::size_t step = 0; step < steps; ++step) {
      const std::size_t first = step_begin_[step];
      const std::size_t rows = step_begin_[step + 1] - first;
      if (!keep_going((rows + 1) * bytes_per_row)) return false;  // a masked step takes time as well
      if (rows > 0) {
        gather(layer, begin + step, first, rows, last);
        take_step(cell, first, rows, step_begin_[steps], last && !args_.return_sequences);
      }
      if (last && rows < args_.batch && args_.return_sequences) fill_masked(begin + step, first, first + rows);
    }
    if (!last) {
      for (std::size_t slot = 0; slot < step_begin_[steps]; ++slot)
        slot_input_[slot] = between_.data() + slot * cell.units();
    }
    return true;
  }

  // Asks the caller, but not after every step: looking at a clock would show in short ones.
  bool keep_going(std::size_t work) {
    constexpr std::size_t work_between_questions = std::size_t{1} << 26;  // rows times bytes of weights
    work_ += work;
    if (work_ < work_between_questions) return true;
    work_ = 0;
    return flushed_.suspended([this] { return args_.keep_going(args_.keep_going_context); });
  }

  void project(const packed_cell<T>& cell, std::size_t rows) {
    if (rows == 0) return;
    T* to = projected_.data();
    for (const packed_pass<T>& pass : cell.passes()) {
      pass.kernels->project({.a = slot_input_.data(),
                             .rows = rows,
                             .k = cell.input_size(),
                             .panels = pass.input_panels.data(),
                             .bias = pass.bias.data(),
                             .blocks = pass.blocks,
                             .gx = to});
      to += pass.blocks * rows * pass.stride();
    }
  }

  // Where each unmasked row of this step finds its old state and puts the new one.
  void gather(std::size_t layer, std::size_t step, std::size_t first, std::size_t rows, bool last) {
    layer_state<T>& state = layers_[layer];
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t row = slot_row_[first + i];
      old_h_[i] = state.h(row);
      new_h_[i] = state.next_h(row);
      c_[i] = state.c(row);
      reset_h_[i] = state.reset_h(row);
      if (!last) {
        y_[i] = between_.data() + (first + i) * cells_[layer]->units();
      } else if (args_.return_sequences) {
        y_[i] = output(step, row);
      }
      state.advance(row);
      if (last) has_output_[row] = 1;
    }
  }

  T* output(std::size_t step, std::size_t row) const {
    return args_.outputs + static_cast<std::ptrdiff_t>(step) * args_.outputs_time +
           static_cast<std::ptrdiff_t>(row) * args_.outputs_batch;
  }

  void take_step(const packed_cell<T>& cell, std::size_t first, std::size_t rows, std::size_t slots,
                 bool discard_output) {
    const T* gx = projected_.data();
    for (std::size_t p = 0; p < cell.passes().size(); ++p) {
      const packed_pass<T>& pass = cell.passes()[p];
      const bool final_pass = p + 1 == cell.passes().size();
      // The second of two passes multiplies what the first one left in reset_h.
      const T* const* from = old_h_.data();
      if (p == 1) from = reset_h_.data();
      const step_args<T> step{.rows = rows,
                              .k = cell.units(),
                              .a = from,
                              .h = old_h_.data(),
                              .c = c_.data(),
                              .out = final_pass ? new_h_.data() : reset_h_.data(),
                              .y = final_pass && !discard_output ? y_.data() : nullptr,
                              .panels = pass.recurrent_panels.data(),
                              .candidate_bias = pass.candidate_bias.data(),
                              .blocks = pass.blocks,
                              .gx = gx + first * pass.stride(),
                              .gx_block = slots * pass.stride(),
                              .activations = cell.activations()};
      (cell.default_activations() ? pass.kernels->step : pass.kernels->step_generic)(step);
      gx += pass.blocks * slots * pass.stride();
    }
  }

  // A masked step repeats the row's previous output; before the first output, or when asked, it is zero. The
  // step's unmasked rows, slots [slot, end), are in ascending order; the mask itself is not read again.
  void fill_masked(std::size_t step, std::size_t slot, std::size_t end) {
    const std::size_t units = cells_.back()->units();
    for (std::size_t row = 0; row < args_.batch; ++row) {
      if (slot < end && slot_row_[slot] == row) {
        ++slot;
      } else {
        copy_or_zero(row, has_output_[row] && !args_.zero_output_for_mask, output(step, row), units);
      }
    }
  }

  void copy_or_zero(std::size_t row, bool copy, T* to, std::size_t units) const {
    if (copy) {
      std::copy_n(layers_.back().h(row), units, to);
    } else {
      std::fill_n(to, units, T(0));
    }
  }

  void finish() {
    std::size_t state = 0;
    for (std::size_t layer = 0; layer < cells_.size(); ++layer) {
      layers_[layer].save(args_.final_states + state);
      state += cells_[layer]->states();
    }
    if (args_.return_sequences) return;
    for (std::size_t row = 0; row < args_.batch; ++row)
      copy_or_zero(row, has_output_[row] != 0, output(0, row), cells_.back()->units());
  }

  std::span<const packed_cell<T>* const> cells_;
  const run_args<T>& args_;
  std::size_t chunk_;
  std::vector<layer_state<T>> layers_;
  buffer<T> projected_;  // one cell's projected inputs of a chunk, pass by pass, [block][slot][gate][width]
  buffer<T> between_;    // [slot][units]: the chunk's outputs of one cell, the next one's inputs
  // A slot is an unmasked (step, row) pair of the chunk.
  std::vector<std::size_t> slot_row_;
  std::vector<const T*> slot_input_;
  std::vector<std::size_t> step_begin_;  // [step] first slot
  // Pointers of the current step's rows, see step_args.
  std::vector<const T*> old_h_;
  std::vector<T*> c_, new_h_, y_, reset_h_;
  std::vector<std::uint8_t> has_output_;
  std::size_t work_ = 0;  // since the caller was last asked
  flush_denormals flushed_;
};

}  // namespace

template <class T>
status run(std::span<const packed_cell<T>* const> cells, const run_args<T>& args) {
  if (args.batch == 0) return status::ok;
  return sequence_run<T>(cells, args).run();
}

template status run<float>(std::span<const packed_cell<float>* const>, const run_args<float>&);
template status run<double>(std::span<const packed_cell<double>* const>, const run_args<double>&);

}  // namespace rnnpack::sequence
