// What a prepared call does with plain arguments: one direction or two, from arrays to the layer's result.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/plain_keywords.h"
#include "bindings/signals.h"
#include "bindings/state_nest.h"
#include "sequence/run.h"

namespace rnnpack::bindings {

// How the outputs of two directions become one result.
enum class merging : std::uint8_t { concatenate, list, add, multiply, average };

struct plain_form {
  bool time_major;
  bool go_backwards;  // of the first direction
  bool return_sequences;
  bool return_state;
  bool zero_output_for_mask;
  bool stateful;
  merging merge;
  std::array<std::optional<Py_ssize_t>, 2> sizes;  // that the inputs' first axes must have
  py::object carrying;                             // (outputs, mask): the outputs, which carry the mask
};

struct plain_arguments {
  PyObject* inputs;
  PyObject* states;
  py::object mask;                    // or null
  std::span<PyObject* const> layers;  // that record the states, one for each direction
};

// Below so many floating-point operations a call keeps the interpreter lock: taking it again can cost more than the
// call, when other threads want it too. About 20 microseconds.
constexpr double small_call_flops = 1.5e6;

inline py::object taken(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

inline PyObject* states_name() {
  static PyObject* const name = PyUnicode_InternFromString("_states");
  return name;
}

template <class T>
class plain_stacks {
 public:
  explicit plain_stacks(std::vector<state_nest<T>> stacks) : stacks_(std::move(stacks)) {
    for (const state_nest<T>& one : stacks_)
      if (one.input_size() != stacks_.front().input_size())
        throw py::value_error("stacks: expected equal numbers of input features, got " +
                              std::to_string(stacks_.front().input_size()) + " and " +
                              std::to_string(one.input_size()));
  }

  // The result of the layer's call, or None where an argument is not plain.
  py::object run(const plain_form& form, const plain_arguments& given) const {
    const array* const inputs = plain_array<T>(given.inputs, 3);
    if (inputs == nullptr || !accepts(form, *inputs)) return py::none();
    const array* const mask = given.mask ? plain_mask(given.mask.ptr(), *inputs) : nullptr;
    if (mask == nullptr && given.mask) return py::none();
    const Py_ssize_t batch = inputs->dimensions[form.time_major ? 1 : 0];
    std::array<first_states<T>, 2> first;
    if (!read_states(form, given, batch, first)) return py::none();

    std::vector<py::object> outputs = new_outputs(form, *inputs);
    std::array<std::vector<py::object>, 2> last;
    std::array<std::vector<T*>, 2> last_data;
    std::array<sequence::direction<T>, 2> directions;
    for (std::size_t i = 0; i < stacks_.size(); ++i) {
      run_args<T> args = read_args(form, *inputs, mask);
      args.initial_states = stacks_[i].pointers(first[i]);
      if (form.stateful || form.return_state) {
        last[i] = stacks_[i].arrays(batch);
        for (const py::object& state : last[i]) last_data[i].push_back(data_of<T>(state));
        args.final_states = last_data[i].data();
      }
      if (i == 1) {
        args.go_backwards = !args.go_backwards;
        args.turn_outputs = true;
      }
      write_to(form, *inputs, outputs, i, args);
      directions[i] = {.cells = stacks_[i].cells(), .args = args};
    }
    compute({directions.data(), stacks_.size()}, given);

    merge(form, outputs);
    if (mask != nullptr && form.return_sequences)
      for (py::object& one : outputs) one = carrying(form, one, given.mask);
    return finish(form, given, batch, std::move(outputs), std::move(last));
  }

 private:
  using array = py::detail::PyArray_Proxy;

  bool accepts(const plain_form& form, const array& inputs) const {
    for (const std::size_t axis : {0, 1})
      if (inputs.dimensions[axis] == 0 || form.sizes[axis].value_or(inputs.dimensions[axis]) != inputs.dimensions[axis])
        return false;
    return inputs.dimensions[2] == static_cast<Py_ssize_t>(stacks_.front().input_size());
  }

  // The recorded or given first states, if any; false: not plain.
  bool read_states(const plain_form& form, const plain_arguments& given, Py_ssize_t batch,
                   std::array<first_states<T>, 2>& first) const {
    if (form.stateful) return given.states == Py_None && read_recorded(given.layers, batch, first);
    if (given.states == Py_None) return true;
    const auto items = items_of(given.states);
    if (!items || items->size() % stacks_.size() != 0) return false;
    const std::size_t share = items->size() / stacks_.size();
    for (std::size_t i = 0; i < stacks_.size(); ++i)
      if (!stacks_[i].read(items->subspan(i * share, share), batch, first[i])) return false;
    return true;
  }

  bool read_recorded(std::span<PyObject* const> layers, Py_ssize_t batch, std::array<first_states<T>, 2>& first) const {
    if (layers.size() != stacks_.size()) return false;
    for (std::size_t i = 0; i < stacks_.size(); ++i) {
      const py::object recorded = taken(PyObject_GenericGetAttr(layers[i], states_name()));
      const auto items = items_of(recorded.ptr());
      if (!items || !stacks_[i].read(*items, batch, first[i])) return false;
    }
    return true;
  }

  // Length of the last axis of the array that the direction writes to.
  std::size_t width(const plain_form& form, std::size_t direction) const {
    const auto size = [this](std::size_t i) { return stacks_[i].outputs(); };
    return stacks_.size() == 2 && form.merge == merging::concatenate ? size(0) + size(1) : size(direction);
  }

  std::vector<py::object> new_outputs(const plain_form& form, const array& inputs) const {
    const auto* const sizes = inputs.dimensions;
    const Py_ssize_t batch = sizes[form.time_major ? 1 : 0];
    const std::size_t steps = form.return_sequences ? static_cast<std::size_t>(sizes[form.time_major ? 0 : 1]) : 1;
    const std::size_t count = form.merge == merging::concatenate ? 1 : stacks_.size();
    std::vector<py::object> outputs;
    outputs.reserve(2);
    for (std::size_t i = 0; i < count; ++i) {
      require_addressable(sizeof(T), static_cast<std::size_t>(batch), steps, width(form, i));
      const auto last = static_cast<Py_ssize_t>(width(form, i));
      outputs.push_back(form.return_sequences ? new_array<T>({sizes[0], sizes[1], last}) : new_array<T>({batch, last}));
    }
    return outputs;
  }

  run_args<T> read_args(const plain_form& form, const array& inputs, const array* mask) const {
    const int time = form.time_major ? 0 : 1;
    constexpr auto item = static_cast<Py_ssize_t>(sizeof(T));
    return {.batch = static_cast<std::size_t>(inputs.dimensions[1 - time]),
            .timesteps = static_cast<std::size_t>(inputs.dimensions[time]),
            .inputs = reinterpret_cast<const T*>(inputs.data),
            .inputs_time = inputs.strides[time] / item,
            .inputs_batch = inputs.strides[1 - time] / item,
            .mask = mask == nullptr ? nullptr : reinterpret_cast<const std::uint8_t*>(mask->data),
            .mask_time = mask == nullptr ? 0 : mask->strides[time],
            .mask_batch = mask == nullptr ? 0 : mask->strides[1 - time],
            .go_backwards = form.go_backwards,
            .return_sequences = form.return_sequences,
            .zero_output_for_mask = form.zero_output_for_mask};
  }

  void write_to(const plain_form& form, const array& inputs, const std::vector<py::object>& outputs,
                std::size_t direction, run_args<T>& args) const {
    const bool shared = direction == 1 && outputs.size() == 1;
    const auto step = static_cast<Py_ssize_t>(width(form, direction));
    const Py_ssize_t line = form.return_sequences ? inputs.dimensions[1] * step : step;
    const bool time_first = form.return_sequences && form.time_major;
    args.outputs = data_of<T>(outputs[shared ? 0 : direction]) + (shared ? stacks_[0].outputs() : 0);
    args.outputs_time = !form.return_sequences ? 0 : (time_first ? line : step);
    args.outputs_batch = time_first ? step : line;
  }

  // NumPy adds and multiplies, with its own rules for numbers that are too large; in place, as the outputs are new.
  static void merge(const plain_form& form, std::vector<py::object>& outputs) {
    if (outputs.size() == 1 || form.merge == merging::list) return;
    const auto operation = form.merge == merging::multiply ? &PyNumber_InPlaceMultiply : &PyNumber_InPlaceAdd;
    py::object merged = taken(operation(outputs[0].ptr(), outputs[1].ptr()));
    if (form.merge == merging::average) merged = taken(PyNumber_InPlaceTrueDivide(merged.ptr(), two()));
    outputs.assign(1, merged);
  }

  // Of the outputs' dtype: NumPy would take its time to see that an int fits.
  static PyObject* two() {
    static PyObject* const number = [] {
      py::object made = new_array<T>({});
      *data_of<T>(made) = 2;
      return made.release().ptr();
    }();
    return number;
  }

  static py::object carrying(const plain_form& form, const py::object& outputs, const py::object& mask) {
    const std::array<PyObject*, 2> arguments{outputs.ptr(), mask.ptr()};
    return taken(PyObject_Vectorcall(form.carrying.ptr(), arguments.data(), arguments.size(), nullptr));
  }

  static void compute(std::span<const sequence::direction<T>> directions, const plain_arguments& given) {
    double flops = 0;
    for (const sequence::direction<T>& one : directions)
      for (const packed_cell<T>* cell : one.cells) flops += static_cast<double>(cell->bytes());
    flops *= static_cast<double>(directions[0].args.batch * directions[0].args.timesteps) * 2 / sizeof(T);
    signal_check signals;
    const interruption question = signals.question();
    status result = status::ok;
    if (flops < small_call_flops) {
      result = sequence::run<T>(directions, question);
    } else {
      const auto inputs = py::reinterpret_borrow<py::object>(given.inputs);
      const lock_released released;
      result = sequence::run<T>(directions, question);
    }
    if (result == status::interrupted) throw py::error_already_set();
  }

  // Records and returns. Nothing is recorded before all that can fail has succeeded.
  py::object finish(const plain_form& form, const plain_arguments& given, Py_ssize_t batch,
                    std::vector<py::object> results, std::array<std::vector<py::object>, 2> last) const {
    std::array<py::object, 2> records;
    for (std::size_t i = 0; i < stacks_.size(); ++i) {
      if (form.return_state)
        for (py::object& entry : stacks_[i].entries(form.stateful ? stacks_[i].copies(last[i], batch) : last[i]))
          results.push_back(std::move(entry));
      if (form.stateful) {
        std::vector<py::object> entries = stacks_[i].entries(std::move(last[i]));
        records[i] = list_of(entries);
      }
    }
    py::object result = results.size() == 1 ? std::move(results.front()) : list_of(results);
    // Not by way of the class's __setattr__: an interrupt inside would leave one direction recorded.
    for (std::size_t i = 0; form.stateful && i < stacks_.size(); ++i)
      if (PyObject_GenericSetAttr(given.layers[i], states_name(), records[i].ptr()) != 0) throw py::error_already_set();
    return result;
  }

  std::vector<state_nest<T>> stacks_;
};

}  // namespace rnnpack::bindings
