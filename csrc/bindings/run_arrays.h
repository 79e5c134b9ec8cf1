// Whole sequences in NumPy arrays, through one stack of cells or through two, whatever computes them.
//
// What computes is a Device: `object` is what Python holds as its cells; `doubles` and `cells<T>` look into such
// objects, see holds_doubles and unwrap; `direction<T>` has the cells and the arguments of one direction, and `run<T>`
// computes one or two of them, or throws.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "bindings/call_inputs.h"

namespace rnnpack::bindings {

struct stack_arguments {
  const py::sequence& cells;
  const py::object& states;
  const py::object& dropout;
};

struct sequence_arguments {
  const py::object& inputs;
  const py::object& mask;
  const py::object& row_splits;
};

template <class Device, class T>
py::tuple run_stack(const cell_objects& objects, const stack_arguments& stack, const sequence_arguments& given,
                    run_flags flags) {
  const auto cells = Device::template cells<T>(objects);
  const call_inputs<T> inputs(given.inputs, given.mask, given.row_splits, cells.front()->input_size(),
                              flags.time_major);
  py::array_t<T> outputs(inputs.output_shape(flags.return_sequences, cells.back()->outputs()));
  state_arrays<T> states(cells, stack.states, inputs.batch);
  const dropout_arrays<T> dropout(cells, stack.dropout, inputs.batch);
  run_args<T> args = inputs.args(flags.go_backwards, flags.return_sequences, flags.zero_output_for_mask);
  args.initial_states = states.initial.data();
  args.final_states = states.final_pointers.data();
  args.dropout = dropout.data();
  inputs.write_to(args, outputs, 0);
  const typename Device::template direction<T> one{.cells = cells, .args = args};
  Device::template run<T>({&one, 1});
  return py::make_tuple(std::move(outputs), std::move(states.final_states));
}

template <class Device>
py::tuple run_arrays(const stack_arguments& stack, const sequence_arguments& given, run_flags flags) {
  const cell_objects held = hold_cells<typename Device::object>(stack.cells, "cells");
  return (Device::doubles(held) ? run_stack<Device, double> : run_stack<Device, float>)(held, stack, given, flags);
}

template <class Device, class T>
py::tuple run_pair(const std::array<cell_objects, 2>& objects, const std::array<stack_arguments, 2>& stacks,
                   const sequence_arguments& given, run_flags flags, bool concatenate) {
  const std::array cells{Device::template cells<T>(objects[0]), Device::template cells<T>(objects[1])};
  if (cells[0].front()->input_size() != cells[1].front()->input_size())
    throw py::value_error("backward_cells: expected " + std::to_string(cells[0].front()->input_size()) +
                          " input features, got " + std::to_string(cells[1].front()->input_size()));
  const call_inputs<T> inputs(given.inputs, given.mask, given.row_splits, cells[0].front()->input_size(),
                              flags.time_major);
  const std::array sizes{cells[0].back()->outputs(), cells[1].back()->outputs()};
  std::vector<py::array_t<T>> outputs;
  if (concatenate) {
    outputs.emplace_back(inputs.output_shape(flags.return_sequences, sizes[0] + sizes[1]));
  } else {
    for (const std::size_t size : sizes) outputs.emplace_back(inputs.output_shape(flags.return_sequences, size));
  }
  std::vector<state_arrays<T>> states;
  std::vector<dropout_arrays<T>> dropout;
  std::vector<typename Device::template direction<T>> directions;
  for (const std::size_t i : {0, 1}) {
    states.emplace_back(cells[i], stacks[i].states, inputs.batch);
    dropout.emplace_back(cells[i], stacks[i].dropout, inputs.batch);
    run_args<T> args = inputs.args(flags.go_backwards != (i == 1), flags.return_sequences, flags.zero_output_for_mask);
    args.initial_states = states[i].initial.data();
    args.final_states = states[i].final_pointers.data();
    args.dropout = dropout[i].data();
    inputs.write_to(args, outputs[concatenate ? 0 : i], concatenate && i == 1 ? sizes[0] : 0);
    args.turn_outputs = i == 1;
    directions.push_back({.cells = cells[i], .args = args});
  }
  Device::template run<T>(directions);
  py::list results;
  for (py::array_t<T>& output : outputs) results.append(std::move(output));
  return py::make_tuple(std::move(results), std::move(states[0].final_states), std::move(states[1].final_states));
}

// In opposite directions; with `concatenate` the outputs lie side by side in one array.
template <class Device>
py::tuple run_arrays_both_ways(const stack_arguments& forward, const stack_arguments& backward,
                               const sequence_arguments& given, run_flags flags, bool concatenate) {
  using object = typename Device::object;
  const std::array held{hold_cells<object>(forward.cells, "forward_cells"),
                        hold_cells<object>(backward.cells, "backward_cells")};
  return (Device::doubles(held[0]) ? run_pair<Device, double> : run_pair<Device, float>)(held, {forward, backward},
                                                                                         given, flags, concatenate);
}

}  // namespace rnnpack::bindings
