#include "bindings/register.h"
#include "bindings/run_arrays.h"
#include "bindings/signals.h"
#include "sequence/run.h"

namespace rnnpack::bindings {
namespace {

struct cpu {
  using object = packed_cell_object;
  template <class T>
  using direction = sequence::direction<T>;

  static bool doubles(const cell_objects& cells) { return holds_doubles(cells); }

  template <class T>
  static std::vector<const packed_cell<T>*> cells(const cell_objects& objects) {
    return unwrap<T>(objects);
  }

  template <class T>
  static void run(std::span<const direction<T>> directions) {
    signal_check signals;
    const interruption question = signals.question();
    status result = status::ok;
    {
      const lock_released released;
      result = sequence::run<T>(directions, question);
    }
    if (result == status::interrupted) throw py::error_already_set();
  }
};

py::tuple run(const py::sequence& cells, const py::object& inputs, const py::object& states, const py::object& mask,
              bool time_major, bool go_backwards, bool return_sequences, bool zero_output_for_mask,
              const py::object& row_splits, const py::object& dropout) {
  return run_arrays<cpu>({.cells = cells, .states = states, .dropout = dropout},
                         {.inputs = inputs, .mask = mask, .row_splits = row_splits},
                         {.time_major = time_major,
                          .go_backwards = go_backwards,
                          .return_sequences = return_sequences,
                          .zero_output_for_mask = zero_output_for_mask});
}

py::tuple run_bidirectional(const py::sequence& forward, const py::sequence& backward, const py::object& inputs,
                            const py::object& forward_states, const py::object& backward_states, const py::object& mask,
                            bool time_major, bool go_backwards, bool return_sequences, bool zero_output_for_mask,
                            bool concatenate, const py::object& row_splits, const py::object& forward_dropout,
                            const py::object& backward_dropout) {
  return run_arrays_both_ways<cpu>({.cells = forward, .states = forward_states, .dropout = forward_dropout},
                                   {.cells = backward, .states = backward_states, .dropout = backward_dropout},
                                   {.inputs = inputs, .mask = mask, .row_splits = row_splits},
                                   {.time_major = time_major,
                                    .go_backwards = go_backwards,
                                    .return_sequences = return_sequences,
                                    .zero_output_for_mask = zero_output_for_mask},
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
