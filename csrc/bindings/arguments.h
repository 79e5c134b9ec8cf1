// The arguments of a call: checked, and turned into what the engine reads.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "api/run.h"
#include "bindings/arrays.h"
#include "bindings/packed_cell_object.h"

namespace rnnpack::bindings {

// Cells of one stack, kept alive: the caller's sequence may change while they are in use.
using cell_objects = std::vector<py::object>;

template <class Object = packed_cell_object>
cell_objects hold_cells(const py::sequence& cells, const std::string& name) {
  const auto wanted = [] { return std::string(py::str(py::type::of<Object>().attr("__name__"))); };
  cell_objects held;
  for (py::object cell : cells) {
    if (!py::isinstance<Object>(cell))
      throw py::type_error(name + ": expected " + wanted() + ", got " + std::string(py::str(py::type::of(cell))));
    held.push_back(std::move(cell));
  }
  if (held.empty()) throw py::value_error(name + ": expected at least one " + wanted());
  return held;
}

// One cell more on top of a stack. Throws py::value_error where it does not read what the last one gives.
template <class Cell>
void append_cell(std::vector<const Cell*>& cells, const Cell* cell) {
  if (!cells.empty() && cell->input_size() != cells.back()->outputs())
    throw py::value_error("cells: expected cell " + std::to_string(cells.size()) + " to read " +
                          std::to_string(cells.back()->outputs()) + " features, it reads " +
                          std::to_string(cell->input_size()));
  cells.push_back(cell);
}

bool holds_doubles(const cell_objects& cells);

// The packed cells inside. Throws py::type_error or py::value_error where dtypes or sizes do not fit.
template <class T>
std::vector<const packed_cell<T>*> unwrap(const cell_objects& objects);

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

// Inputs of `rank` 3, or 2 for ragged values: the array itself, or a copy where the engine could not read it in place.
template <class T>
plane<T> readable_inputs(const py::object& value, std::size_t input_size, int rank);

std::optional<plane<bool>> readable_mask(const py::object& value, const std::array<py::ssize_t, 2>& shape);

// Outputs must be addressable: `steps` rows of `units` for each of `batch`.
void require_addressable(std::size_t item, std::size_t batch, std::size_t steps, std::size_t units);

// First states, checked and contiguous, and arrays for the final ones.
template <class T>
struct state_arrays {
  std::vector<py::array_t<T>> held;
  std::vector<const T*> initial;
  std::vector<T*> final_pointers;
  py::list final_states;

  // given: None, or a sequence with h (and c) of every cell, each (batch, units).
  template <class Cell>
  state_arrays(const std::vector<const Cell*>& cells, const py::object& given, py::ssize_t batch);
};

// Dropout masks of a stack: None, or for each cell a pair of None or arrays (count, batch, size).
template <class T>
struct dropout_arrays {
  std::vector<py::array_t<T>> held;
  std::vector<dropout_masks<T>> masks;

  template <class Cell>
  dropout_arrays(const std::vector<const Cell*>& cells, const py::object& given, py::ssize_t batch);
  const dropout_masks<T>* data() const { return masks.empty() ? nullptr : masks.data(); }
};

template <class T>
template <class Cell>
state_arrays<T>::state_arrays(const std::vector<const Cell*>& cells, const py::object& given, py::ssize_t batch) {
  std::vector<py::object> values;
  if (!given.is_none())
    for (const py::handle value : given) values.push_back(py::reinterpret_borrow<py::object>(value));
  for (const Cell* cell : cells) {
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
template <class Cell>
dropout_arrays<T>::dropout_arrays(const std::vector<const Cell*>& cells, const py::object& given, py::ssize_t batch) {
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

}  // namespace rnnpack::bindings
