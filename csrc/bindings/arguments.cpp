#include "bindings/arguments.h"

#include <limits>

namespace rnnpack::bindings {

bool holds_doubles(const cell_objects& cells) {
  return std::holds_alternative<packed_cell<double>>(cells.front().cast<const packed_cell_object&>().cell);
}

template <class T>
std::vector<const packed_cell<T>*> unwrap(const cell_objects& objects) {
  std::vector<const packed_cell<T>*> cells;
  for (const py::object& object : objects) {
    const auto* cell = std::get_if<packed_cell<T>>(&object.cast<const packed_cell_object&>().cell);
    if (cell == nullptr) throw py::type_error(std::string("cells: expected PackedCell of dtype ") + dtype_name<T>());
    append_cell(cells, cell);
  }
  return cells;
}

template <class T>
plane<T> readable_inputs(const py::object& value, std::size_t input_size, int rank) {
  py::array inputs = require_dtype<T>(value, "inputs");
  const auto check = [input_size, rank](const py::array& array) {
    if (array.ndim() != rank)
      throw py::value_error("inputs: expected " + std::to_string(rank) + " dimensions, got shape " + shape_text(array));
    if (array.shape(rank - 1) != static_cast<py::ssize_t>(input_size))
      throw py::value_error("inputs: expected " + std::to_string(input_size) +
                            " features on the last axis, got shape " + shape_text(array));
  };
  check(inputs);
  const bool aligned = (inputs.flags() & aligned_flag) != 0;
  const bool rows_contiguous =
      inputs.shape(rank - 1) <= 1 || inputs.strides(rank - 1) == static_cast<py::ssize_t>(sizeof(T));
  if (!aligned || !rows_contiguous) {
    inputs = contiguous<T>(inputs);
    check(inputs);
  }
  return plane_of<T>(inputs);
}

std::optional<plane<bool>> readable_mask(const py::object& value, const std::array<py::ssize_t, 2>& shape) {
  if (value.is_none()) return std::nullopt;
  const py::array mask = require_dtype<bool>(value, "mask");
  require_shape(mask, {shape[0], shape[1]}, "mask");
  return plane_of<bool>(mask);
}

void require_addressable(std::size_t item, std::size_t batch, std::size_t steps, std::size_t units) {
  auto left = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  for (const std::size_t factor : {item, batch, steps, units})
    if (factor > 0) left /= factor;
  if (left == 0)
    throw py::value_error("inputs: " + std::to_string(batch) + " rows of " + std::to_string(steps) +
                          " timesteps with " + std::to_string(units) + " units give outputs too large to address");
}

template std::vector<const packed_cell<float>*> unwrap<float>(const cell_objects&);
template std::vector<const packed_cell<double>*> unwrap<double>(const cell_objects&);
template plane<float> readable_inputs<float>(const py::object&, std::size_t, int);
template plane<double> readable_inputs<double>(const py::object&, std::size_t, int);

}  // namespace rnnpack::bindings
