// NumPy arrays at the boundary: checks with one clear message, and views or copies the engine can read.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace rnnpack::bindings {

namespace py = pybind11;

template <class T>
constexpr const char* dtype_name() {
  return sizeof(T) == sizeof(float) ? "float32" : "float64";
}

inline std::string shape_text(const py::array& array) { return py::str(py::object(array.attr("shape"))); }

inline std::string shape_text(const std::vector<py::ssize_t>& shape) { return py::str(py::tuple(py::cast(shape))); }

// `value` as an array of T in the machine's byte order, or TypeError naming the argument.
template <class T>
py::array require_dtype(const py::object& value, const std::string& name) {
  if (!py::isinstance<py::array>(value))
    throw py::type_error(name + ": expected a NumPy array, got " + std::string(py::str(py::type::of(value))));
  auto array = py::reinterpret_borrow<py::array>(value);
  if (!array.dtype().equal(py::dtype::of<T>()))
    throw py::type_error(name + ": expected dtype " + std::string(py::str(py::dtype::of<T>())) + ", got " +
                         std::string(py::str(array.dtype())));
  return array;
}

inline void require_shape(const py::array& array, const std::vector<py::ssize_t>& shape, const std::string& name) {
  const bool same = std::equal(shape.begin(), shape.end(), array.shape(), array.shape() + array.ndim());
  if (!same) throw py::value_error(name + ": expected shape " + shape_text(shape) + ", got " + shape_text(array));
}

constexpr int aligned_flag = py::detail::npy_api::NPY_ARRAY_ALIGNED_;

// The array itself where it is contiguous and aligned, else a copy that is.
template <class T>
py::array_t<T> contiguous(const py::array& array) {
  return py::array_t<T, py::array::c_style | aligned_flag>(array);
}

}  // namespace rnnpack::bindings
