#include <cstdlib>
#include <memory>

#include "bindings/arguments.h"
#include "bindings/epoch.h"
#include "bindings/fast_array.h"
#include "bindings/register.h"
#include "bindings/signals.h"
#include "bindings/slots.h"
#include "bindings/watched_lists.h"
#include "sequence/run.h"

namespace rnnpack::bindings {
namespace {

struct call_flags {
  bool time_major;
  bool go_backwards;
  bool return_sequences;
  bool return_state;
};

// Below so many floating-point operations a call keeps the interpreter lock: taking it again can cost more than the
// call, when other threads want it too. About 20 microseconds.
constexpr double small_call_flops = 1.5e6;

class plain_call {
 public:
  plain_call(const py::sequence& cells, call_flags flags, const py::sequence& watched, std::uint64_t checked_at)
      : objects_(hold_cells(cells, "cells")), flags_(flags), watched_(watched), epoch_(checked_at), isa_(wanted_isa()) {
    if (holds_doubles(objects_)) {
      doubles_ = unwrap<double>(objects_);
    } else {
      floats_ = unwrap<float>(objects_);
    }
  }

  // (inputs, initial_state, keywords): the result of the layer's call, or None where anything is not plain.
  static py::object call(plain_call& self, PyObject* const* args, Py_ssize_t count) {
    if (count != 3) throw py::type_error("expected inputs, initial_state and keywords");
    const bool plain = self.epoch_ == epoch() && PyDict_CheckExact(args[2]) && PyDict_GET_SIZE(args[2]) == 0 &&
                       self.watched_.unchanged() && self.isa_ == wanted_isa();
    if (!plain) return py::none();
    return self.doubles_.empty() ? self.run(self.floats_, args[0], args[1]) : self.run(self.doubles_, args[0], args[1]);
  }

 private:
  // os.environ writes through to the environment that the C library reads.
  static std::string_view wanted_isa() {
    const char* const value = std::getenv("RNNPACK_ISA");
    return value == nullptr ? std::string_view() : value;
  }

  // The data of first states, kept alive: the caller's list may lose its items meanwhile.
  template <class T>
  struct states_of {
    std::array<const T*, 2> data{};
    std::array<py::object, 2> held;
  };

  // The data of first states in the order and shapes of the cell's; false: not plain.
  template <class T>
  static bool read_states(PyObject* given, Py_ssize_t batch, const packed_cell<T>& cell, states_of<T>& states) {
    if (given == Py_None) return true;
    const bool list = PyList_CheckExact(given);
    if (!list && !PyTuple_CheckExact(given)) return false;
    const auto count = static_cast<Py_ssize_t>(cell.states());
    if ((list ? PyList_GET_SIZE(given) : PyTuple_GET_SIZE(given)) != count) return false;
    for (Py_ssize_t i = 0; i < count; ++i) {
      PyObject* const item = list ? PyList_GET_ITEM(given, i) : PyTuple_GET_ITEM(given, i);
      const auto* state = plain_array<T>(item, 2);
      const auto units = static_cast<Py_ssize_t>(cell.units());
      if (state == nullptr || state->dimensions[0] != batch || state->dimensions[1] != units ||
          (batch > 1 && state->strides[0] != units * static_cast<Py_ssize_t>(sizeof(T))))
        return false;
      states.data[i] = reinterpret_cast<const T*>(state->data);
      states.held[i] = py::reinterpret_borrow<py::object>(item);
    }
    return true;
  }

  template <class T>
  py::object run(const std::vector<const packed_cell<T>*>& cells, PyObject* inputs, PyObject* given) const {
    const auto* array = plain_array<T>(inputs, 3);
    if (array == nullptr || array->dimensions[2] != static_cast<Py_ssize_t>(cells.front()->input_size()))
      return py::none();
    const int time = flags_.time_major ? 0 : 1;
    const Py_ssize_t steps = array->dimensions[time];
    const Py_ssize_t batch = array->dimensions[1 - time];
    const packed_cell<T>& last = *cells.back();
    const auto units = static_cast<Py_ssize_t>(last.units());
    states_of<T> first{};
    if (steps == 0 || batch == 0 || (given != Py_None && cells.size() > 1) || !read_states(given, batch, last, first))
      return py::none();
    // Only the start is read by the engine for stacks, whose states all begin at zero here.
    std::vector<const T*> zeros;
    if (cells.size() > 1) zeros.assign(2 * cells.size(), nullptr);
    require_addressable(sizeof(T), static_cast<std::size_t>(batch),
                        flags_.return_sequences ? static_cast<std::size_t>(steps) : 1, last.units());
    py::object outputs = flags_.return_sequences ? new_array<T>({array->dimensions[0], array->dimensions[1], units})
                                                 : new_array<T>({batch, units});
    std::array<py::object, 2> final_states;
    std::array<T*, 2> final_data{};
    if (flags_.return_state) {
      for (std::size_t i = 0; i < last.states(); ++i) {
        final_states[i] = new_array<T>({batch, units});
        final_data[i] = data_of<T>(final_states[i]);
      }
    }
    constexpr auto item = static_cast<Py_ssize_t>(sizeof(T));
    const Py_ssize_t line = flags_.return_sequences ? array->dimensions[1] * units : units;
    const run_args<T> args{
        .batch = static_cast<std::size_t>(batch),
        .timesteps = static_cast<std::size_t>(steps),
        .inputs = reinterpret_cast<const T*>(array->data),
        .inputs_time = array->strides[time] / item,
        .inputs_batch = array->strides[1 - time] / item,
        .go_backwards = flags_.go_backwards,
        .return_sequences = flags_.return_sequences,
        .initial_states = zeros.empty() ? first.data.data() : zeros.data(),
        .final_states = flags_.return_state ? final_data.data() : nullptr,
        .outputs = data_of<T>(outputs),
        .outputs_time = !flags_.return_sequences ? 0 : (flags_.time_major ? line : units),
        .outputs_batch = flags_.return_sequences && flags_.time_major ? units : line,
    };
    run_released<T>({.cells = cells, .args = args}, inputs);
    if (!flags_.return_state) return outputs;
    PyObject* result = PyList_New(1 + static_cast<Py_ssize_t>(last.states()));
    if (result == nullptr) throw py::error_already_set();
    PyList_SET_ITEM(result, 0, outputs.release().ptr());
    for (std::size_t i = 0; i < last.states(); ++i)
      PyList_SET_ITEM(result, 1 + static_cast<Py_ssize_t>(i), final_states[i].release().ptr());
    return py::reinterpret_steal<py::object>(result);
  }

  template <class T>
  static void run_released(const sequence::direction<T>& one, PyObject* inputs) {
    double flops = 0;
    for (const packed_cell<T>* cell : one.cells) flops += static_cast<double>(cell->bytes());
    flops *= static_cast<double>(one.args.batch * one.args.timesteps) * 2 / sizeof(T);
    signal_check signals;
    const interruption question = signals.question();
    status result = status::ok;
    if (flops < small_call_flops) {
      result = sequence::run<T>({&one, 1}, question);
    } else {
      const auto held = py::reinterpret_borrow<py::object>(inputs);
      const lock_released released;
      result = sequence::run<T>({&one, 1}, question);
    }
    if (result == status::interrupted) throw py::error_already_set();
  }

  cell_objects objects_;
  std::vector<const packed_cell<float>*> floats_;
  std::vector<const packed_cell<double>*> doubles_;
  call_flags flags_;
  watched_lists watched_;
  std::uint64_t epoch_;
  std::string isa_;
};

}  // namespace

void register_plain_call(py::module_& module) {
  module.def("touch", [] { ++epoch(); });
  module.def("epoch", [] { return epoch(); });
  py::class_<plain_call>(module, "PlainCall", py::is_final(), plain_metaclass(),
                         py::custom_type_setup(&make_callable<plain_call, &plain_call::call>))
      .def_static(
          "_make",
          [](const py::sequence& cells, bool time_major, bool go_backwards, bool return_sequences, bool return_state,
             const py::sequence& watched, std::uint64_t checked_at) {
            const call_flags flags{.time_major = time_major,
                                   .go_backwards = go_backwards,
                                   .return_sequences = return_sequences,
                                   .return_state = return_state};
            return std::make_unique<plain_call>(cells, flags, watched, checked_at);
          },
          py::arg("cells"), py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
          py::arg("return_state"), py::arg("watched"), py::arg("epoch"));
}

}  // namespace rnnpack::bindings
