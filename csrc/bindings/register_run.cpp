#include "bindings/arguments.h"
#include "bindings/register.h"
#include "bindings/signals.h"
#include "sequence/run.h"

namespace rnnpack::bindings {
namespace {

struct run_flags {
  bool time_major;
  bool go_backwards;
  bool return_sequences;
  bool zero_output_for_mask;
};

// Inputs and mask of a call, dense or ragged.
template <class T>
struct call_inputs {
  plane<T> values;
  std::optional<plane<bool>> mask;
  std::vector<std::size_t> row_splits;
  py::ssize_t batch = 0;
  py::ssize_t steps = 0;  // of the longest row
  int time = 1;           // axis

  call_inputs(const py::object& value, const py::object& mask_value, const py::object& splits, std::size_t input_size,
              bool time_major)
      : values(readable_inputs<T>(value, input_size, splits.is_none() ? 3 : 2)) {
    if (splits.is_none()) {
      time = time_major ? 0 : 1;
      steps = values.shape[time];
      batch = values.shape[1 - time];
      mask = readable_mask(mask_value, values.shape);
    } else {
      if (!mask_value.is_none()) throw py::value_error("mask: expected None with ragged inputs");
      time = 0;
      read_splits(splits);
    }
    if (steps == 0)
      throw py::value_error("inputs: expected at least one timestep, got shape " + shape_text(values.array));
  }

  // The arguments of one direction, without states and outputs.
  run_args<T> args(bool go_backwards, bool return_sequences, bool zero_output_for_mask) const {
    return {.batch = static_cast<std::size_t>(batch),
            .timesteps = static_cast<std::size_t>(steps),
            .inputs = values.data,
            .inputs_time = values.strides[time],
            .inputs_batch = row_splits.empty() ? values.strides[1 - time] : 0,
            .row_splits = row_splits.empty() ? nullptr : row_splits.data(),
            .mask = mask ? reinterpret_cast<const std::uint8_t*>(mask->data) : nullptr,
            .mask_time = mask ? mask->strides[time] : 0,
            .mask_batch = mask ? mask->strides[1 - time] : 0,
            .go_backwards = go_backwards,
            .return_sequences = return_sequences,
            .zero_output_for_mask = zero_output_for_mask};  // the bindings of each function fill in the rest
  }

  // Shape of the outputs of `units` units: as the inputs, or (batch, units).
  std::vector<py::ssize_t> output_shape(bool return_sequences, std::size_t units) const {
    require_addressable(sizeof(T), static_cast<std::size_t>(batch),
                        return_sequences ? static_cast<std::size_t>(steps) : 1, units);
    const auto last = static_cast<py::ssize_t>(units);
    if (!return_sequences) return {batch, last};
    if (!row_splits.empty()) return {values.shape[0], last};
    return {values.shape[0], values.shape[1], last};
  }

  // Lets a direction write to columns of the outputs, from `first` on.
  void write_to(run_args<T>& args, py::array_t<T>& outputs, std::size_t first) const {
    const auto stride = [&outputs](int axis) { return outputs.strides(axis) / outputs.itemsize(); };
    args.outputs = outputs.mutable_data() + first;
    if (!args.return_sequences) {
      args.outputs_batch = stride(0);
    } else {
      args.outputs_time = stride(time);
      args.outputs_batch = row_splits.empty() ? stride(1 - time) : 0;
    }
  }

 private:
  void read_splits(const py::object& splits) {
    const auto array = contiguous<std::int64_t>(require_dtype<std::int64_t>(splits, "row_splits"));
    if (array.ndim() != 1 || array.size() < 1)
      throw py::value_error("row_splits: expected shape (batch + 1,), got " + shape_text(array));
    const std::int64_t* data = array.data();
    batch = array.size() - 1;
    for (py::ssize_t row = 0; row <= batch; ++row) {
      const std::int64_t before = row == 0 ? 0 : data[row - 1];
      if (data[row] < before || (row == 0 && data[0] != 0) || data[row] > values.shape[0])
        throw py::value_error("row_splits: expected increasing numbers from 0 to " + std::to_string(values.shape[0]) +
                              ", got " + std::to_string(data[row]) + " at " + std::to_string(row));
      row_splits.push_back(static_cast<std::size_t>(data[row]));
      steps = std::max<py::ssize_t>(steps, data[row] - before);
    }
    if (data[batch] != values.shape[0])
      throw py::value_error("row_splits: expected the last one to be " + std::to_string(values.shape[0]) + ", got " +
                            std::to_string(data[batch]));
  }
};

template <class T>
void run_all(std::span<const sequence::direction<T>> directions) {
  signal_check signals;
  const interruption question = signals.question();
  status result = status::ok;
  {
    const lock_released released;
    result = sequence::run<T>(directions, question);
  }
  if (result == status::interrupted) throw py::error_already_set();
}

template <class T>
py::tuple run_stack(const cell_objects& objects, const py::object& inputs_value, const py::object& states_value,
                    const py::object& mask_value, run_flags flags, const py::object& splits,
                    const py::object& dropout_value) {
  const auto cells = unwrap<T>(objects);
  const call_inputs<T> inputs(inputs_value, mask_value, splits, cells.front()->input_size(), flags.time_major);
  py::array_t<T> outputs(inputs.output_shape(flags.return_sequences, cells.back()->outputs()));
  state_arrays<T> states(cells, states_value, inputs.batch);
  const dropout_arrays<T> dropout(cells, dropout_value, inputs.batch);
  run_args<T> args = inputs.args(flags.go_backwards, flags.return_sequences, flags.zero_output_for_mask);
  args.initial_states = states.initial.data();
  args.final_states = states.final_pointers.data();
  args.dropout = dropout.data();
  inputs.write_to(args, outputs, 0);
  const sequence::direction<T> one{.cells = cells, .args = args};
  run_all<T>({&one, 1});
  return py::make_tuple(std::move(outputs), std::move(states.final_states));
}

py::tuple run(const py::sequence& cells, const py::object& inputs, const py::object& states, const py::object& mask,
              bool time_major, bool go_backwards, bool return_sequences, bool zero_output_for_mask,
              const py::object& row_splits, const py::object& dropout) {
  const cell_objects held = hold_cells(cells, "cells");
  const run_flags flags{.time_major = time_major,
                        .go_backwards = go_backwards,
                        .return_sequences = return_sequences,
                        .zero_output_for_mask = zero_output_for_mask};
  return (holds_doubles(held) ? run_stack<double> : run_stack<float>)(held, inputs, states, mask, flags, row_splits,
                                                                      dropout);
}

struct stack_arguments {
  const py::object& states;
  const py::object& dropout;
};

template <class T>
py::tuple run_pair(const std::array<cell_objects, 2>& objects, const py::object& inputs_value,
                   const std::array<stack_arguments, 2>& given, const py::object& mask_value, run_flags flags,
                   const py::object& splits, bool concatenate) {
  const std::array cells{unwrap<T>(objects[0]), unwrap<T>(objects[1])};
  if (cells[0].front()->input_size() != cells[1].front()->input_size())
    throw py::value_error("backward_cells: expected " + std::to_string(cells[0].front()->input_size()) +
                          " input features, got " + std::to_string(cells[1].front()->input_size()));
  const call_inputs<T> inputs(inputs_value, mask_value, splits, cells[0].front()->input_size(), flags.time_major);
  const std::array sizes{cells[0].back()->outputs(), cells[1].back()->outputs()};
  std::vector<py::array_t<T>> outputs;
  if (concatenate) {
    outputs.emplace_back(inputs.output_shape(flags.return_sequences, sizes[0] + sizes[1]));
  } else {
    for (const std::size_t size : sizes) outputs.emplace_back(inputs.output_shape(flags.return_sequences, size));
  }
  std::vector<state_arrays<T>> states;
  std::vector<dropout_arrays<T>> dropout;
  std::vector<sequence::direction<T>> directions;
  for (const std::size_t i : {0, 1}) {
    states.emplace_back(cells[i], given[i].states, inputs.batch);
    dropout.emplace_back(cells[i], given[i].dropout, inputs.batch);
    run_args<T> args = inputs.args(flags.go_backwards != (i == 1), flags.return_sequences, flags.zero_output_for_mask);
    args.initial_states = states[i].initial.data();
    args.final_states = states[i].final_pointers.data();
    args.dropout = dropout[i].data();
    inputs.write_to(args, outputs[concatenate ? 0 : i], concatenate && i == 1 ? sizes[0] : 0);
    args.turn_outputs = i == 1;
    directions.push_back({.cells = cells[i], .args = args});
  }
  run_all<T>(directions);
  py::list results;
  for (py::array_t<T>& output : outputs) results.append(std::move(output));
  return py::make_tuple(std::move(results), std::move(states[0].final_states), std::move(states[1].final_states));
}

py::tuple run_bidirectional(const py::sequence& forward, const py::sequence& backward, const py::object& inputs,
                            const py::object& forward_states, const py::object& backward_states, const py::object& mask,
                            bool time_major, bool go_backwards, bool return_sequences, bool zero_output_for_mask,
                            bool concatenate, const py::object& row_splits, const py::object& forward_dropout,
                            const py::object& backward_dropout) {
  const std::array held{hold_cells(forward, "forward_cells"), hold_cells(backward, "backward_cells")};
  const std::array<stack_arguments, 2> given{stack_arguments{.states = forward_states, .dropout = forward_dropout},
                                             stack_arguments{.states = backward_states, .dropout = backward_dropout}};
  const run_flags flags{.time_major = time_major,
                        .go_backwards = go_backwards,
                        .return_sequences = return_sequences,
                        .zero_output_for_mask = zero_output_for_mask};
  return (holds_doubles(held[0]) ? run_pair<double> : run_pair<float>)(held, inputs, given, mask, flags, row_splits,
                                                                       concatenate);
}

}  // namespace

void register_run(py::module_& module) {
  module.def("run", &run, py::arg("cells"), py::arg("inputs"), py::arg("states"), py::arg("mask"),
             py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
             py::arg("zero_output_for_mask"), py::arg("row_splits") = py::none(), py::arg("dropout") = py::none());
  module.def("run_bidirectional", &run_bidirectional, py::arg("forward_cells"), py::arg("backward_cells"),
             py::arg("inputs"), py::arg("forward_states"), py::arg("backward_states"), py::arg("mask"),
             py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
             py::arg("zero_output_for_mask"), py::arg("concatenate"), py::arg("row_splits") = py::none(),
             py::arg("forward_dropout") = py::none(), py::arg("backward_dropout") = py::none());
}

}  // namespace rnnpack::bindings
