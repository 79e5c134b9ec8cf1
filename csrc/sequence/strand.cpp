#include "sequence/strand.h"

#include <algorithm>

namespace rnnpack::sequence {
namespace {

// Chunks that overlap must be several, or there would be nothing to overlap.
constexpr std::size_t overlapping_chunks = 8;

}  // namespace

template <class T>
strand<T>::strand(cell_list cells, const run_args<T>& args, row_range rows, strand_form form, arena& memory)
    : args_(&args), rows_(rows), timesteps_(args.timesteps), rings_(form.layers_overlap ? 2 : 1) {
  if (args.row_splits != nullptr) {
    timesteps_ = 0;
    for (std::size_t row = 0; row < rows.count; ++row) timesteps_ = std::max(timesteps_, length(row));
  }
  if (timesteps_ == 0) timesteps_ = 1;  // ragged rows without any timestep: one empty step
  chunk_steps_ = chunk_steps(cells, rows.count, timesteps_);
  if (form.layers_overlap)
    chunk_steps_ = std::clamp<std::size_t>(timesteps_ / (overlapping_chunks * cells.size()), 1, chunk_steps_);
  const std::size_t most_slots = checked_product(chunk_steps_, rows.count);

  std::size_t widest = 0;
  for (const packed_cell<T>* cell : cells) widest = std::max(widest, projected_values(*cell));
  const auto projection = [&](const packed_cell<T>& cell) {
    return memory.take<T>(checked_product(most_slots, form.layers_overlap ? projected_values(cell) : widest));
  };
  T* shared = form.layers_overlap ? nullptr : projection(*cells.front());
  layers_.reserve(cells.size());
  spaces_.reserve(cells.size() * form.members);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const packed_cell<T>& cell = *cells[i];  // the same cell may stand in a stack twice
    layer_dropout<T> dropout;
    if (args.dropout != nullptr)
      dropout = layer_dropout<T>(cell, args.dropout[i], rows, args.batch, most_slots, memory);
    for (unsigned member = 0; member < form.members; ++member)
      spaces_.emplace_back(cell, rows.count, most_slots, dropout, memory);
    layers_.emplace_back(cell, rows.count, shared != nullptr ? shared : projection(cell), &spaces_[i * form.members],
                         dropout, memory);
    if (i + 1 == cells.size()) break;
    for (std::size_t ring = 0; ring < rings_; ++ring) {
      between_.push_back(memory.take<T>(checked_product(most_slots, cell.outputs())));
      between_rows_.push_back(memory.take<const T*>(most_slots));
      for (std::size_t slot = 0; slot < most_slots; ++slot)
        between_rows_.back()[slot] = between_.back() + slot * cell.outputs();
    }
  }
  // A chunk's slots are read until the last layer is done with it.
  const std::size_t chunks_in_flight = form.layers_overlap ? rings_ * cells.size() : 1;
  for (std::size_t i = 0; i < chunks_in_flight; ++i) slots_.emplace_back(chunk_steps_, rows.count, memory);
  has_output_ = memory.take<std::uint8_t>(rows.count);
  std::fill_n(has_output_, rows.count, std::uint8_t{0});
}

template <class T>
std::size_t strand<T>::length(std::size_t row) const {
  const std::size_t* splits = args_->row_splits;
  if (splits == nullptr) return args_->timesteps;
  return splits[rows_.first + row + 1] - splits[rows_.first + row];
}

template <class T>
std::size_t strand<T>::physical(std::size_t step, std::size_t row) const {
  return args_->go_backwards ? length(row) - 1 - step : step;
}

template <class T>
bool strand<T>::unmasked(std::size_t step, std::size_t row) const {
  if (args_->row_splits != nullptr) return step < length(row);
  return args_->mask == nullptr || args_->mask[static_cast<std::ptrdiff_t>(physical(step, row)) * args_->mask_time +
                                               static_cast<std::ptrdiff_t>(rows_.first + row) * args_->mask_batch] != 0;
}

template <class T>
const T* strand<T>::input(std::size_t step, std::size_t row) const {
  std::size_t time = physical(step, row);
  if (args_->row_splits != nullptr) time += args_->row_splits[rows_.first + row];
  return args_->inputs + static_cast<std::ptrdiff_t>(time) * args_->inputs_time +
         static_cast<std::ptrdiff_t>(rows_.first + row) * args_->inputs_batch;
}

template <class T>
T* strand<T>::output(std::size_t step, std::size_t row) const {
  std::size_t time = 0;
  if (args_->return_sequences) {
    time = args_->turn_outputs ? length(row) - 1 - step : step;
    if (args_->row_splits != nullptr) time += args_->row_splits[rows_.first + row];
  }
  return args_->outputs + static_cast<std::ptrdiff_t>(time) * args_->outputs_time +
         static_cast<std::ptrdiff_t>(rows_.first + row) * args_->outputs_batch;
}

template <class T>
void strand<T>::start() {
  std::size_t state = 0;
  for (layer<T>& one : layers_) {
    one.start(args_->initial_states + state, rows_);
    state += one.cell().states();
  }
}

template <class T>
void strand<T>::finish() {
  std::size_t state = 0;
  for (layer<T>& one : layers_) {
    if (args_->final_states == nullptr) break;
    one.save(args_->final_states + state, rows_.first);
    state += one.cell().states();
  }
  if (args_->return_sequences) return;
  for (std::size_t row = 0; row < rows_.count; ++row) copy_or_zero(row, has_output_[row] != 0, output(0, row));
}

template <class T>
void strand<T>::zero_states(std::size_t row) {
  if (row < rows_.first || row - rows_.first >= rows_.count) return;
  for (layer<T>& one : layers_) one.zero_state(row - rows_.first);
}

template <class T>
void strand<T>::collect(std::size_t index) {
  chunk_slots<T>& chunk = slots(index);
  chunk.first_step = index * chunk_steps_;
  chunk.steps = std::min(chunk_steps_, timesteps_ - chunk.first_step);
  std::size_t slot = 0;
  for (std::size_t step = 0; step < chunk.steps; ++step) {
    chunk.step_begin[step] = slot;
    for (std::size_t row = 0; row < rows_.count; ++row) {
      if (!unmasked(chunk.first_step + step, row)) continue;
      chunk.row[slot] = row;
      chunk.input[slot] = input(chunk.first_step + step, row);
      ++slot;
    }
  }
  chunk.step_begin[chunk.steps] = slot;
}

template <class T>
void strand<T>::project(std::size_t index, std::size_t chunk, const crew& here) {
  const T* const* inputs = slots(chunk).input;
  if (index > 0) inputs = between_rows_[(index - 1) * rings_ + chunk % rings_];
  layers_[index].project(slots(chunk), inputs, here);
}

template <class T>
bool strand<T>::step(std::size_t index, std::size_t chunk_index, crew& here) {
  layer<T>& one = layers_[index];
  const chunk_slots<T>& chunk = slots(chunk_index);
  const bool last = index + 1 == layers_.size();
  const std::size_t outputs = one.cell().outputs();
  const std::size_t bytes_per_row = one.cell().bytes();
  T* const next_inputs = last ? nullptr : between(index, chunk_index);
  const std::size_t steps = chunk.steps;  // after the last meeting member 0 may already collect the next chunk
  for (std::size_t step = 0; step < steps; ++step) {
    const std::size_t first = chunk.step_begin[step];
    const std::size_t rows = chunk.step_begin[step + 1] - first;
    const std::size_t work = (rows + 1) * bytes_per_row;  // a masked step takes time as well
    if (!here.shares() && !here.go_on(work)) return false;
    if (rows > 0) {
      const auto place = [&](std::size_t i, std::size_t row) {
        return last ? output(chunk.first_step + step, row) : next_inputs + (first + i) * outputs;
      };
      if (!one.take_step(chunk, step, here, !last || args_->return_sequences, place)) return false;
    }
    if (!here.meet(work)) return false;
    if (last && here.member() == 0) {
      note_outputs(chunk, step);
      if (rows < rows_.count && args_->return_sequences) fill_masked(chunk, step);
    }
  }
  return true;
}

template <class T>
bool strand<T>::run(crew& here) {
  // Before member 0 goes on, after the first meeting.
  for (layer<T>& one : layers_) one.join(here.member(), rows_.count);
  for (std::size_t chunk = 0; chunk < chunks(); ++chunk) {
    if (here.member() == 0) collect(chunk);
    if (!here.meet()) return false;
    for (std::size_t layer = 0; layer < layers(); ++layer) {
      project(layer, chunk, here);
      if (!here.meet()) return false;
      if (!step(layer, chunk, here)) return false;
    }
  }
  return true;
}

template <class T>
void strand<T>::note_outputs(const chunk_slots<T>& chunk, std::size_t step) {
  for (std::size_t slot = chunk.step_begin[step]; slot < chunk.step_begin[step + 1]; ++slot)
    has_output_[chunk.row[slot]] = 1;
}

// A masked step repeats the row's previous output; before the first output, or when asked, it is zero; ragged rows that
// have ended have no place for it. The step's unmasked rows are in ascending order; the mask itself is not read again.
template <class T>
void strand<T>::fill_masked(const chunk_slots<T>& chunk, std::size_t step) {
  if (args_->row_splits != nullptr) return;
  std::size_t slot = chunk.step_begin[step];
  const std::size_t end = chunk.step_begin[step + 1];
  for (std::size_t row = 0; row < rows_.count; ++row) {
    if (slot < end && chunk.row[slot] == row) {
      ++slot;
    } else {
      copy_or_zero(row, has_output_[row] != 0 && !args_->zero_output_for_mask, output(chunk.first_step + step, row));
    }
  }
}

template <class T>
void strand<T>::copy_or_zero(std::size_t row, bool copy, T* to) const {
  const std::size_t outputs = layers_.back().cell().outputs();
  if (copy) {
    std::copy_n(layers_.back().h(row), outputs, to);
  } else {
    std::fill_n(to, outputs, T(0));
  }
}

template class strand<float>;
template class strand<double>;

}  // namespace rnnpack::sequence
