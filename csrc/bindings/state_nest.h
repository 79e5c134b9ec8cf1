// States on the short ways, in the nests in which layers hold them: a list with one entry for each state of a cell. For
// a stack there is one entry for each of its cells instead, in turn a list where that cell has two states.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "bindings/fast_array.h"
#include "gemm/packed_cell.h"

namespace rnnpack::bindings {

// First states of one direction, kept alive: the caller's lists may lose their items meanwhile.
template <class T>
struct first_states {
  std::vector<const T*> data;  // empty = zeros
  std::vector<py::object> held;
};

// The items of exactly a list or a tuple; none of anything else. Valid until Python code runs.
inline std::optional<std::span<PyObject* const>> items_of(PyObject* object) {
  if (!PyList_CheckExact(object) && !PyTuple_CheckExact(object)) return std::nullopt;
  return std::span<PyObject* const>(PySequence_Fast_ITEMS(object),
                                    static_cast<std::size_t>(PySequence_Fast_GET_SIZE(object)));
}

// A new list of these objects, which are taken over. Throws py::error_already_set.
inline py::object list_of(std::span<py::object> items) {
  PyObject* const list = PyList_New(static_cast<Py_ssize_t>(items.size()));
  if (list == nullptr) throw py::error_already_set();
  for (std::size_t i = 0; i < items.size(); ++i)
    PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), items[i].release().ptr());
  return py::reinterpret_steal<py::object>(list);
}

// The cells of one direction, and whether the layer has them as a stack.
template <class T>
class state_nest {
 public:
  state_nest(std::vector<const packed_cell<T>*> cells, bool stacked) : cells_(std::move(cells)), stacked_(stacked) {
    for (const packed_cell<T>* cell : cells_) count_ += cell->states();
    zeros_.assign(count_, nullptr);
  }

  const std::vector<const packed_cell<T>*>& cells() const { return cells_; }
  std::size_t input_size() const { return cells_.front()->input_size(); }
  std::size_t outputs() const { return cells_.back()->outputs(); }  // size of them

  // Notes where the states of `batch` rows lie; false unless they have exactly the form, shapes and layout of the
  // engine's.
  bool read(std::span<PyObject* const> entries, Py_ssize_t batch, first_states<T>& states) const {
    states.data.reserve(count_);
    states.held.reserve(count_);
    if (!stacked_) return read_cell(*cells_.front(), entries, batch, states);
    if (entries.size() != cells_.size()) return false;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const auto own = cells_[i]->states() == 1 ? entries.subspan(i, 1) : items_of(entries[i]);
      if (!own || !read_cell(*cells_[i], *own, batch, states)) return false;
    }
    return true;
  }

  // What the engine reads.
  const T* const* pointers(const first_states<T>& states) const {
    return states.data.empty() ? zeros_.data() : states.data.data();
  }

  // New arrays for the states of `batch` rows.
  std::vector<py::object> arrays(Py_ssize_t batch) const {
    std::vector<py::object> made;
    made.reserve(count_);
    for (const packed_cell<T>* cell : cells_)
      for (std::size_t i = 0; i < cell->states(); ++i)
        made.push_back(new_array<T>({batch, static_cast<Py_ssize_t>(cell->state_size(i))}));
    return made;
  }

  // New arrays with the values of those that `arrays` made.
  std::vector<py::object> copies(const std::vector<py::object>& originals, Py_ssize_t batch) const {
    std::vector<py::object> made = arrays(batch);
    std::size_t next = 0;
    for (const packed_cell<T>* cell : cells_)
      for (std::size_t i = 0; i < cell->states(); ++i, ++next)
        std::memcpy(data_of<T>(made[next]), data_of<T>(originals[next]),
                    sizeof(T) * static_cast<std::size_t>(batch) * cell->state_size(i));
    return made;
  }

  // The entries of the nest of these arrays.
  std::vector<py::object> entries(std::vector<py::object> arrays) const {
    if (!stacked_) return arrays;
    std::vector<py::object> nested;
    nested.reserve(cells_.size());
    std::span<py::object> left(arrays);
    for (const packed_cell<T>* cell : cells_) {
      const auto own = left.first(cell->states());
      nested.push_back(own.size() == 1 ? std::move(own.front()) : list_of(own));
      left = left.subspan(own.size());
    }
    return nested;
  }

 private:
  static bool read_cell(const packed_cell<T>& cell, std::span<PyObject* const> items, Py_ssize_t batch,
                        first_states<T>& states) {
    if (items.size() != cell.states()) return false;
    for (std::size_t i = 0; i < items.size(); ++i) {
      PyObject* const item = items[i];
      const auto size = static_cast<Py_ssize_t>(cell.state_size(i));
      const auto* state = plain_array<T>(item, 2);
      if (state == nullptr || state->dimensions[0] != batch || state->dimensions[1] != size ||
          (batch > 1 && state->strides[0] != size * static_cast<Py_ssize_t>(sizeof(T))))
        return false;
      states.data.push_back(reinterpret_cast<const T*>(state->data));
      states.held.push_back(py::reinterpret_borrow<py::object>(item));
    }
    return true;
  }

  std::vector<const packed_cell<T>*> cells_;
  bool stacked_;
  std::size_t count_ = 0;
  std::vector<const T*> zeros_;
};

}  // namespace rnnpack::bindings
