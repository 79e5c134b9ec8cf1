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

cell_objects hold_cells(const py::sequence& cells, const std::string& name);
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
  state_arrays(const std::vector<const packed_cell<T>*>& cells, const py::object& given, py::ssize_t batch);
};

// Dropout masks of a stack: None, or for each cell a pair of None or arrays (count, batch, size).
template <class T>
struct dropout_arrays {
  std::vector<py::array_t<T>> held;
  std::vector<dropout_masks<T>> masks;

  dropout_arrays(const std::vector<const packed_cell<T>*>& cells, const py::object& given, py::ssize_t batch);
  const dropout_masks<T>* data() const { return masks.empty() ? nullptr : masks.data(); }
};

}  // namespace rnnpack::bindings
