// Inputs and mask of a call, and its outputs.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "bindings/arguments.h"

namespace rnnpack::bindings {

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

}  // namespace rnnpack::bindings
