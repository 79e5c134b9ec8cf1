#include <pybind11/stl.h>

#include <array>
#include <chrono>
#include <limits>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/packed_cell_object.h"
#include "bindings/register.h"
#include "sequence/run.h"

namespace rnnpack::bindings {
namespace {

using clock = std::chrono::steady_clock;

// Looks for Ctrl-C a few times a second; taking the lock more often would cost other threads.
struct signal_check {
  clock::time_point last = clock::now();

  static bool keep_going(void* context) {
    auto& self = *static_cast<signal_check*>(context);
    const clock::time_point now = clock::now();
    if (now - self.last < std::chrono::milliseconds(50)) return true;
    self.last = now;
    const py::gil_scoped_acquire locked;
    return PyErr_CheckSignals() == 0;
  }
};

struct run_flags {
  bool time_major;
  bool go_backwards;
  bool return_sequences;
  bool zero_output_for_mask;
};

template <class T>
std::vector<const packed_cell<T>*> unwrap(const std::vector<py::object>& objects) {
  std::vector<const packed_cell<T>*> cells;
  for (const py::object& object : objects) {
    const auto* cell = std::get_if<packed_cell<T>>(&object.cast<const packed_cell_object&>().cell);
    if (cell == nullptr) throw py::type_error(std::string("cells: expected PackedCell of dtype ") + dtype_name<T>());
    if (!cells.empty() && cell->input_size() != cells.back()->units())
      throw py::value_error("cells: expected cell " + std::to_string(cells.size()) + " to read " +
                            std::to_string(cells.back()->units()) + " features, it reads " +
                            std::to_string(cell->input_size()));
    cells.push_back(cell);
  }
  return cells;
}

// What the engine needs of an array, noted in one go: a copy made for another argument may let other threads run,
// and those may change the array's shape.
template <class T>
struct plane {
  py::array array;  // keeps the memory alive
  const T* data;
  std::array<py::ssize_t, 2> shape{};
  std::array<py::ssize_t, 2> strides{};  // in values
};

template <class T>
plane<T> plane_of(const py::array& array) {
  constexpr py::ssize_t item = sizeof(T);
  const auto* data = static_cast<const T*>(array.data());
  const std::array shape{array.shape(0), array.shape(1)};
  const std::array strides{array.strides(0) / item, array.strides(1) / item};
  return {.array = array, .data = data, .shape = shape, .strides = strides};
}

// The inputs themselves, or a copy where the engine could not read them in place.
template <class T>
plane<T> readable_inputs(const py::object& value, std::size_t input_size) {
  py::array inputs = require_dtype<T>(value, "inputs");
  const auto check = [input_size](const py::array& array) {
    if (array.ndim() != 3) throw py::value_error("inputs: expected 3 dimensions, got shape " + shape_text(array));
    if (array.shape(2) != static_cast<py::ssize_t>(input_size))
      throw py::value_error("inputs: expected " + std::to_string(input_size) +
                            " features on the last axis, got shape " + shape_text(array));
  };
  check(inputs);
  const bool aligned = (inputs.flags() & aligned_flag) != 0;
  const bool rows_contiguous = inputs.shape(2) <= 1 || inputs.strides(2) == static_cast<py::ssize_t>(sizeof(T));
  if (!aligned || !rows_contiguous) {
    inputs = contiguous<T>(inputs);
    check(inputs);
  }
  return plane_of<T>(inputs);
}

void require_addressable(std::size_t item, std::size_t batch, std::size_t steps, std::size_t units) {
  auto left = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  for (const std::size_t factor : {item, batch, steps, units})
    if (factor > 0) left /= factor;
  if (left == 0)
    throw py::value_error("inputs: " + std::to_string(batch) + " rows of " + std::to_string(steps) +
                          " timesteps with " + std::to_string(units) + " units give outputs too large to address");
}

// First states, checked and contiguous, and arrays for the final ones.
template <class T>
struct state_arrays {
  std::vector<py::array_t<T>> held;
  std::vector<const T*> initial;
  std::vector<T*> final_pointers;
  py::list final_states;

  state_arrays(const std::vector<const packed_cell<T>*>& cells, const std::optional<std::vector<py::object>>& given,
               py::ssize_t batch) {
    std::size_t index = 0;
    for (const packed_cell<T>* cell : cells) {
      const std::vector<py::ssize_t> shape{batch, static_cast<py::ssize_t>(cell->units())};
      for (std::size_t i = 0; i < cell->states(); ++i, ++index) {
        initial.push_back(given && index < given->size() ? hold((*given)[index], index, shape) : nullptr);
        py::array_t<T> result(shape);
        final_pointers.push_back(result.mutable_data());
        final_states.append(std::move(result));
      }
    }
    if (given && given->size() != index)
      throw py::value_error("states: expected " + std::to_string(index) + " arrays, got " +
                            std::to_string(given->size()));
  }

 private:
  const T* hold(const py::object& value, std::size_t index, const std::vector<py::ssize_t>& shape) {
    const std::string name = "states[" + std::to_string(index) + "]";
    held.push_back(contiguous<T>(require_dtype<T>(value, name)));
    require_shape(held.back(), shape, name);
    return held.back().data();
  }
};

std::optional<plane<bool>> readable_mask(const py::object& value, const std::array<py::ssize_t, 2>& shape) {
  if (value.is_none()) return std::nullopt;
  const py::array mask = require_dtype<bool>(value, "mask");
  require_shape(mask, {shape[0], shape[1]}, "mask");
  return plane_of<bool>(mask);
}

template <class T>
py::tuple run_cells(const std::vector<py::object>& objects, const py::object& inputs_value,
                    const std::optional<std::vector<py::object>>& states_value, const py::object& mask_value,
                    run_flags flags) {
  const auto cells = unwrap<T>(objects);
  const plane<T> inputs = readable_inputs<T>(inputs_value, cells.front()->input_size());
  const int time = flags.time_major ? 0 : 1;
  const py::ssize_t steps = inputs.shape[time];
  const py::ssize_t batch = inputs.shape[1 - time];
  const auto units = static_cast<py::ssize_t>(cells.back()->units());
  if (steps == 0)
    throw py::value_error("inputs: expected at least one timestep, got shape " + shape_text(inputs.array));
  require_addressable(sizeof(T), batch, flags.return_sequences ? steps : 1, units);
  state_arrays<T> states(cells, states_value, batch);
  const std::optional<plane<bool>> mask = readable_mask(mask_value, inputs.shape);
  py::array_t<T> outputs(flags.return_sequences ? std::vector<py::ssize_t>{inputs.shape[0], inputs.shape[1], units}
                                                : std::vector<py::ssize_t>{batch, units});
  const std::array<py::ssize_t, 2> output_strides{outputs.strides(0) / outputs.itemsize(),
                                                  outputs.strides(1) / outputs.itemsize()};
  signal_check signals;
  const run_args<T> args{.batch = static_cast<std::size_t>(batch),
                         .timesteps = static_cast<std::size_t>(steps),
                         .inputs = inputs.data,
                         .inputs_time = inputs.strides[time],
                         .inputs_batch = inputs.strides[1 - time],
                         .mask = mask ? reinterpret_cast<const std::uint8_t*>(mask->data) : nullptr,
                         .mask_time = mask ? mask->strides[time] : 0,
                         .mask_batch = mask ? mask->strides[1 - time] : 0,
                         .go_backwards = flags.go_backwards,
                         .return_sequences = flags.return_sequences,
                         .zero_output_for_mask = flags.zero_output_for_mask,
                         .initial_states = states.initial.data(),
                         .final_states = states.final_pointers.data(),
                         .outputs = outputs.mutable_data(),
                         .outputs_time = flags.return_sequences ? output_strides[time] : 0,
                         .outputs_batch = output_strides[flags.return_sequences ? 1 - time : 0],
                         .keep_going = &signal_check::keep_going,
                         .keep_going_context = &signals};
  status result = status::ok;
  {
    const py::gil_scoped_release released;
    result = sequence::run<T>(cells, args);
  }
  if (result == status::interrupted) throw py::error_already_set();
  return py::make_tuple(std::move(outputs), std::move(states.final_states));
}

py::tuple run(const py::sequence& cells, const py::object& inputs, const std::optional<std::vector<py::object>>& states,
              const py::object& mask, bool time_major, bool go_backwards, bool return_sequences,
              bool zero_output_for_mask) {
  // Own references: the caller's sequence may change, or make its items anew, while the cells are in use.
  std::vector<py::object> held;
  for (py::object cell : cells) {
    if (!py::isinstance<packed_cell_object>(cell))
      throw py::type_error("cells: expected PackedCell, got " + std::string(py::str(py::type::of(cell))));
    held.push_back(std::move(cell));
  }
  if (held.empty()) throw py::value_error("cells: expected at least one PackedCell");
  const run_flags flags{.time_major = time_major,
                        .go_backwards = go_backwards,
                        .return_sequences = return_sequences,
                        .zero_output_for_mask = zero_output_for_mask};
  if (std::holds_alternative<packed_cell<double>>(held.front().cast<const packed_cell_object&>().cell))
    return run_cells<double>(held, inputs, states, mask, flags);
  return run_cells<float>(held, inputs, states, mask, flags);
}

}  // namespace

void register_run(py::module_& module) {
  module.def("run", &run, py::arg("cells"), py::arg("inputs"), py::arg("states"), py::arg("mask"),
             py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
             py::arg("zero_output_for_mask"));
}

}  // namespace rnnpack::bindings
