#include <pybind11/stl.h>

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
std::vector<const packed_cell<T>*> unwrap(const std::vector<const packed_cell_object*>& objects) {
  std::vector<const packed_cell<T>*> cells;
  for (const packed_cell_object* object : objects) {
    const auto* cell = object == nullptr ? nullptr : std::get_if<packed_cell<T>>(&object->cell);
    if (cell == nullptr) throw py::type_error(std::string("cells: expected PackedCell of dtype ") + dtype_name<T>());
    if (!cells.empty() && cell->input_size() != cells.back()->units())
      throw py::value_error("cells: expected cell " + std::to_string(cells.size()) + " to read " +
                            std::to_string(cells.back()->units()) + " features, it reads " +
                            std::to_string(cell->input_size()));
    cells.push_back(cell);
  }
  return cells;
}

// The inputs themselves, or a copy where the engine could not read them in place.
template <class T>
py::array readable_inputs(const py::object& value, std::size_t input_size) {
  py::array inputs = require_dtype<T>(value, "inputs");
  if (inputs.ndim() != 3) throw py::value_error("inputs: expected 3 dimensions, got shape " + shape_text(inputs));
  if (inputs.shape(2) != static_cast<py::ssize_t>(input_size))
    throw py::value_error("inputs: expected " + std::to_string(input_size) + " features on the last axis, got shape " +
                          shape_text(inputs));
  const bool aligned = (inputs.flags() & aligned_flag) != 0;
  const bool rows_contiguous = inputs.shape(2) <= 1 || inputs.strides(2) == static_cast<py::ssize_t>(sizeof(T));
  return aligned && rows_contiguous ? inputs : py::array(contiguous<T>(inputs));
}

void require_addressable(std::size_t item, std::size_t batch, std::size_t steps, std::size_t units,
                         const py::array& inputs) {
  auto left = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  for (const std::size_t factor : {item, batch, steps, units})
    if (factor > 0) left /= factor;
  if (left == 0)
    throw py::value_error("inputs: shape " + shape_text(inputs) + " with " + std::to_string(units) +
                          " units gives outputs too large to address");
}

template <class T>
py::tuple run_cells(const std::vector<const packed_cell_object*>& objects, const py::object& inputs_value,
                    const std::optional<std::vector<py::object>>& states, const py::object& mask_value,
                    run_flags flags) {
  const auto cells = unwrap<T>(objects);
  const py::array inputs = readable_inputs<T>(inputs_value, cells.front()->input_size());
  const int time_axis = flags.time_major ? 0 : 1;
  const py::ssize_t steps = inputs.shape(time_axis);
  const py::ssize_t batch = inputs.shape(1 - time_axis);
  const auto units = static_cast<py::ssize_t>(cells.back()->units());
  if (steps == 0) throw py::value_error("inputs: expected at least one timestep, got shape " + shape_text(inputs));
  require_addressable(sizeof(T), batch, flags.return_sequences ? steps : 1, units, inputs);

  std::vector<py::array_t<T>> held;  // keeps contiguous copies alive
  std::vector<const T*> initial;
  std::vector<T*> final_pointers;
  py::list final_states;
  std::size_t index = 0;
  for (const packed_cell<T>* cell : cells) {
    for (std::size_t i = 0; i < cell->states(); ++i, ++index) {
      const std::vector<py::ssize_t> shape{batch, static_cast<py::ssize_t>(cell->units())};
      if (states && index < states->size()) {
        const std::string name = "states[" + std::to_string(index) + "]";
        const py::array state = require_dtype<T>((*states)[index], name);
        require_shape(state, shape, name);
        held.push_back(contiguous<T>(state));
        initial.push_back(held.back().data());
      } else {
        initial.push_back(nullptr);
      }
      py::array_t<T> result(shape);
      final_pointers.push_back(result.mutable_data());
      final_states.append(std::move(result));
    }
  }
  if (states && states->size() != index)
    throw py::value_error("states: expected " + std::to_string(index) + " arrays, got " +
                          std::to_string(states->size()));

  py::array mask;
  if (!mask_value.is_none()) {
    mask = require_dtype<bool>(mask_value, "mask");
    require_shape(mask, {inputs.shape(0), inputs.shape(1)}, "mask");
  }
  py::array_t<T> outputs(flags.return_sequences ? std::vector<py::ssize_t>{inputs.shape(0), inputs.shape(1), units}
                                                : std::vector<py::ssize_t>{batch, units});
  const bool masked = !mask_value.is_none();
  const auto values = [](py::ssize_t bytes) { return bytes / static_cast<py::ssize_t>(sizeof(T)); };
  signal_check signals;
  const run_args<T> args{.batch = static_cast<std::size_t>(batch),
                         .timesteps = static_cast<std::size_t>(steps),
                         .inputs = static_cast<const T*>(inputs.data()),
                         .inputs_time = values(inputs.strides(time_axis)),
                         .inputs_batch = values(inputs.strides(1 - time_axis)),
                         .mask = masked ? static_cast<const std::uint8_t*>(mask.data()) : nullptr,
                         .mask_time = masked ? mask.strides(time_axis) : 0,
                         .mask_batch = masked ? mask.strides(1 - time_axis) : 0,
                         .go_backwards = flags.go_backwards,
                         .return_sequences = flags.return_sequences,
                         .zero_output_for_mask = flags.zero_output_for_mask,
                         .initial_states = initial.data(),
                         .final_states = final_pointers.data(),
                         .outputs = outputs.mutable_data(),
                         .outputs_time = flags.return_sequences ? values(outputs.strides(time_axis)) : 0,
                         .outputs_batch = values(outputs.strides(flags.return_sequences ? 1 - time_axis : 0)),
                         .keep_going = &signal_check::keep_going,
                         .keep_going_context = &signals};
  status result = status::ok;
  {
    const py::gil_scoped_release released;
    result = sequence::run<T>(cells, args);
  }
  if (result == status::interrupted) throw py::error_already_set();
  return py::make_tuple(std::move(outputs), std::move(final_states));
}

py::tuple run(const std::vector<const packed_cell_object*>& cells, const py::object& inputs,
              const std::optional<std::vector<py::object>>& states, const py::object& mask, bool time_major,
              bool go_backwards, bool return_sequences, bool zero_output_for_mask) {
  if (cells.empty() || cells.front() == nullptr) throw py::value_error("cells: expected at least one PackedCell");
  const run_flags flags{.time_major = time_major,
                        .go_backwards = go_backwards,
                        .return_sequences = return_sequences,
                        .zero_output_for_mask = zero_output_for_mask};
  if (std::holds_alternative<packed_cell<double>>(cells.front()->cell))
    return run_cells<double>(cells, inputs, states, mask, flags);
  return run_cells<float>(cells, inputs, states, mask, flags);
}

}  // namespace

void register_run(py::module_& module) {
  module.def("run", &run, py::arg("cells"), py::arg("inputs"), py::arg("states"), py::arg("mask"),
             py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
             py::arg("zero_output_for_mask"));
}

}  // namespace rnnpack::bindings
