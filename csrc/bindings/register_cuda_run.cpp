#include "bindings/cuda_cell.h"
#include "bindings/cuda_plugin.h"
#include "bindings/register.h"
#include "bindings/run_arrays.h"
#include "bindings/signals.h"

namespace rnnpack::bindings {
namespace {

template <class T>
struct cuda_direction {
  std::span<const cuda_cell* const> cells;
  run_args<T> args;

  cuda_lists lists() const {
    cuda_lists made(cells);
    const std::size_t states = count_states(cells);
    made.initial_states.assign(args.initial_states, args.initial_states + states);
    made.final_states.assign(args.final_states, args.final_states + states);
    return made;
  }

  cuda::direction with(cuda_lists& lists) const {
    return {.cells = lists.cells.data(),
            .cell_count = lists.cells.size(),
            .inputs = args.inputs,
            .inputs_time = args.inputs_time,
            .inputs_batch = args.inputs_batch,
            .inputs_feature = 1,
            .initial_states = lists.initial_states.data(),
            .final_states = lists.final_states.data(),
            .outputs = args.outputs,
            .outputs_time = args.outputs_time,
            .outputs_batch = args.outputs_batch,
            .go_backwards = args.go_backwards,
            .turn_outputs = args.turn_outputs};
  }
};

struct gpu {
  using object = cuda_cell;
  template <class T>
  using direction = cuda_direction<T>;

  static bool doubles(const cell_objects& cells) { return cuda_cell_in(cells.front()).doubles(); }

  template <class T>
  static std::vector<const cuda_cell*> cells(const cell_objects& objects) {
    return unwrap_cuda(objects, sizeof(T) == sizeof(double));
  }

  template <class T>
  static void run(std::span<const direction<T>> given) {
    const cuda_cell& first = *given.front().cells.front();
    for (const direction<T>& one : given) require_one_device(one.cells, first.device());
    const run_args<T>& shared = given.front().args;
    if (shared.batch == 0) return;
    std::vector<cuda_lists> lists;
    std::vector<cuda::direction> directions;
    for (const direction<T>& one : given) {
      lists.push_back(one.lists());
      directions.push_back(one.with(lists.back()));
    }
    std::vector<std::int64_t> row_splits;
    if (shared.row_splits != nullptr) row_splits.assign(shared.row_splits, shared.row_splits + shared.batch + 1);
    const cuda::call call{.batch = shared.batch,
                          .timesteps = shared.timesteps,
                          .elements = first.doubles() ? cuda::element::float64 : cuda::element::float32,
                          .row_splits = row_splits.empty() ? nullptr : row_splits.data(),
                          .mask = shared.mask,
                          .mask_time = shared.mask_time,
                          .mask_batch = shared.mask_batch,
                          .return_sequences = shared.return_sequences,
                          .zero_output_for_mask = shared.zero_output_for_mask,
                          .directions = directions.data(),
                          .direction_count = directions.size()};
    signal_check signals;
    const interruption question = signals.question();
    ask(first.plugin().run_on_host_arrays, &call, &question);
  }
};

py::tuple run(const py::sequence& cells, const py::object& inputs, const py::object& states, const py::object& mask,
              bool time_major, bool go_backwards, bool return_sequences, bool zero_output_for_mask,
              const py::object& row_splits) {
  return run_arrays<gpu>({.cells = cells, .states = states, .dropout = py::none()},
                         {.inputs = inputs, .mask = mask, .row_splits = row_splits},
                         {.time_major = time_major,
                          .go_backwards = go_backwards,
                          .return_sequences = return_sequences,
                          .zero_output_for_mask = zero_output_for_mask});
}

py::tuple run_bidirectional(const py::sequence& forward, const py::sequence& backward, const py::object& inputs,
                            const py::object& forward_states, const py::object& backward_states, const py::object& mask,
                            bool time_major, bool go_backwards, bool return_sequences, bool zero_output_for_mask,
                            bool concatenate, const py::object& row_splits) {
  return run_arrays_both_ways<gpu>({.cells = forward, .states = forward_states, .dropout = py::none()},
                                   {.cells = backward, .states = backward_states, .dropout = py::none()},
                                   {.inputs = inputs, .mask = mask, .row_splits = row_splits},
                                   {.time_major = time_major,
                                    .go_backwards = go_backwards,
                                    .return_sequences = return_sequences,
                                    .zero_output_for_mask = zero_output_for_mask},
                                   concatenate);
}

}  // namespace

void register_cuda_run(py::module_& module) {
  module.def("cuda_run", &run, py::arg("cells"), py::arg("inputs"), py::arg("states"), py::arg("mask"),
             py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
             py::arg("zero_output_for_mask"), py::arg("row_splits") = py::none());
  module.def("cuda_run_bidirectional", &run_bidirectional, py::arg("forward_cells"), py::arg("backward_cells"),
             py::arg("inputs"), py::arg("forward_states"), py::arg("backward_states"), py::arg("mask"),
             py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
             py::arg("zero_output_for_mask"), py::arg("concatenate"), py::arg("row_splits") = py::none());
}

}  // namespace rnnpack::bindings
