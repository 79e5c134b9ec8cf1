#include "bindings/arguments.h"

#include <limits>

namespace rnnpack::bindings {

cell_objects hold_cells(const py::sequence& cells, const std::string& name) {
  cell_objects held;
  for (py::object cell : cells) {
    if (!py::isinstance<packed_cell_object>(cell))
      throw py::type_error(name + ": expected PackedCell, got " + std::string(py::str(py::type::of(cell))));
    held.push_back(std::move(cell));
  }
  if (held.empty()) throw py::value_error(name + ": expected at least one PackedCell");
  return held;
}

bool holds_doubles(const cell_objects& cells) {
  return std::holds_alternative<packed_cell<double>>(cells.front().cast<const packed_cell_object&>().cell);
}

template <class T>
std::vector<const packed_cell<T>*> unwrap(const cell_objects& objects) {
  std::vector<const packed_cell<T>*> cells;
  for (const py::object& object : objects) {
    const auto* cell = std::get_if<packed_cell<T>>(&object.cast<const packed_cell_object&>().cell);
    if (cell == nullptr) throw py::type_error(std::string("cells: expected PackedCell of dtype ") + dtype_name<T>());
    if (!cells.empty() && cell->input_size() != cells.back()->outputs())
      throw py::value_error("cells: expected cell " + std::to_string(cells.size()) + " to read " +
                            std::to_string(cells.back()->outputs()) + " features, it reads " +
                            std::to_string(cell->input_size()));
    cells.push_back(cell);
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

template <class T>
state_arrays<T>::state_arrays(const std::vector<const packed_cell<T>*>& cells, const py::object& given,
                              py::ssize_t batch) {
  std::vector<py::object> values;
  if (!given.is_none())
    for (const py::handle value : given) values.push_back(py::reinterpret_borrow<py::object>(value));
  for (const packed_cell<T>* cell : cells) {
    for (std::size_t i = 0; i < cell->states(); ++i) {
      const std::vector<py::ssize_t> shape{batch, static_cast<py::ssize_t>(cell->state_size(i))};
      const std::size_t index = initial.size();
      const T* first = nullptr;
      if (index < values.size()) {
        const std::string name = "states[" + std::to_string(index) + "]";
        held.push_back(contiguous<T>(require_dtype<T>(values[index], name)));
        require_shape(held.back(), shape, name);
        first = held.back().data();
      }
      initial.push_back(first);
      py::array_t<T> result(shape);
      final_pointers.push_back(result.mutable_data());
      final_states.append(std::move(result));
    }
  }
  if (!given.is_none() && values.size() != initial.size())
    throw py::value_error("states: expected " + std::to_string(initial.size()) + " arrays, got " +
                          std::to_string(values.size()));
}

template <class T>
dropout_arrays<T>::dropout_arrays(const std::vector<const packed_cell<T>*>& cells, const py::object& given,
                                  py::ssize_t batch) {
  if (given.is_none()) return;
  std::vector<py::tuple> pairs;
  for (const py::handle pair : given) pairs.push_back(pair.cast<py::tuple>());
  if (pairs.size() != cells.size())
    throw py::value_error("dropout: expected a pair of masks for each of " + std::to_string(cells.size()) +
                          " cells, got " + std::to_string(pairs.size()));
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string name = "dropout[" + std::to_string(i) + "]";
    if (pairs[i].size() != 2) throw py::value_error(name + ": expected masks for inputs and states");
    std::size_t count[2] = {0, 0};
    const T* data[2] = {nullptr, nullptr};
    for (const std::size_t role : {0, 1}) {
      const py::object value = pairs[i][role];
      if (value.is_none()) continue;
      held.push_back(contiguous<T>(require_dtype<T>(value, name)));
      const py::array_t<T>& masks = held.back();
      const std::size_t size = role == 0 ? cells[i]->input_size() : cells[i]->outputs();
      const auto gates = static_cast<py::ssize_t>(gates_of(cells[i]->kind()));
      const py::ssize_t sets = masks.ndim() == 3 ? masks.shape(0) : 0;
      if (sets != 1 && sets != gates)
        throw py::value_error(name + ": expected 1 or " + std::to_string(gates) +
                              " masks of shape (batch, size), got shape " + shape_text(masks));
      require_shape(masks, {sets, batch, static_cast<py::ssize_t>(size)}, name);
      count[role] = static_cast<std::size_t>(sets);
      data[role] = masks.data();
    }
    masks.push_back({.input = data[0], .input_count = count[0], .state = data[1], .state_count = count[1]});
  }
}

template std::vector<const packed_cell<float>*> unwrap<float>(const cell_objects&);
template std::vector<const packed_cell<double>*> unwrap<double>(const cell_objects&);
template plane<float> readable_inputs<float>(const py::object&, std::size_t, int);
template plane<double> readable_inputs<double>(const py::object&, std::size_t, int);
template struct state_arrays<float>;
template struct state_arrays<double>;
template struct dropout_arrays<float>;
template struct dropout_arrays<double>;

}  // namespace rnnpack::bindings
