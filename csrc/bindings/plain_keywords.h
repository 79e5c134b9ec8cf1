// The keyword arguments of a layer's call on the short way.
#pragma once

#include <optional>

#include "bindings/fast_array.h"

namespace rnnpack::bindings {

struct plain_keywords {
  py::object mask;         // null: none
  bool inference = false;  // whether training=False
};

// The keywords where they are none but `mask` and `training`, and the latter is None, True or False; nothing runs.
inline std::optional<plain_keywords> read_keywords(PyObject* given) {
  static PyObject* const mask_name = PyUnicode_InternFromString("mask");
  static PyObject* const training_name = PyUnicode_InternFromString("training");
  plain_keywords found;
  if (!PyDict_CheckExact(given)) return std::nullopt;
  if (PyDict_GET_SIZE(given) == 0) return found;
  PyObject* name = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(given, &position, &name, &value) != 0) {
    // Names in a call are interned; others are merely unusual.
    if (name == mask_name) {
      if (value != Py_None) found.mask = py::reinterpret_borrow<py::object>(value);
    } else if (name == training_name && (value == Py_None || value == Py_False || value == Py_True)) {
      found.inference = value == Py_False;
    } else {
      return std::nullopt;
    }
  }
  return found;
}

// The bools of a mask with the inputs' two first axes; null: not plain.
inline const py::detail::PyArray_Proxy* plain_mask(PyObject* mask, const py::detail::PyArray_Proxy& inputs) {
  const auto* array = as_array(mask);
  const bool fits = array != nullptr && array->nd == 2 && is_native_dtype<bool>(array->descr) &&
                    array->dimensions[0] == inputs.dimensions[0] && array->dimensions[1] == inputs.dimensions[1];
  return fits ? array : nullptr;
}

}  // namespace rnnpack::bindings
