// Arrays on the short ways, where every tenth of a microsecond shows: looked at and made without intermediate objects.
#pragma once

#include "bindings/arrays.h"

namespace rnnpack::bindings {

// A dtype object is made once by NumPy and lives for ever.
template <class T>
PyObject* native_dtype() {
  static PyObject* const dtype = py::dtype::of<T>().release().ptr();
  return dtype;
}

// Equal dtypes need not be one object: they may carry metadata, or come from a change of the byte order.
template <class T>
bool is_native_dtype(PyObject* dtype) {
  return dtype == native_dtype<T>() || py::detail::npy_api::get().PyArray_EquivTypes_(dtype, native_dtype<T>());
}

inline const py::detail::PyArray_Proxy* as_array(PyObject* object) {
  static const auto* const type = py::detail::npy_api::get().PyArray_Type_;
  return Py_TYPE(object) == type ? py::detail::array_proxy(object) : nullptr;
}

// The array inside `object` if it is exactly an ndarray of T with `rank` axes, aligned, the last one contiguous.
template <class T>
const py::detail::PyArray_Proxy* plain_array(PyObject* object, int rank) {
  const auto* array = as_array(object);
  if (array == nullptr || array->nd != rank || !is_native_dtype<T>(array->descr) || (array->flags & aligned_flag) == 0)
    return nullptr;
  constexpr py::ssize_t item = sizeof(T);
  if (array->dimensions[rank - 1] > 1 && array->strides[rank - 1] != item) return nullptr;
  for (int axis = 0; axis < rank; ++axis)
    if (array->dimensions[axis] > 1 && array->strides[axis] % item != 0) return nullptr;
  return array;
}

// A new, uninitialised C-contiguous array. Throws py::error_already_set.
template <class T>
py::object new_array(std::initializer_list<Py_intptr_t> shape) {
  auto& api = py::detail::npy_api::get();
  PyObject* dtype = native_dtype<T>();
  Py_INCREF(dtype);  // taken over by the array
  PyObject* array = api.PyArray_NewFromDescr_(api.PyArray_Type_, dtype, static_cast<int>(shape.size()), shape.begin(),
                                              nullptr, nullptr, 0, nullptr);
  if (array == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

template <class T>
T* data_of(const py::object& array) {
  return reinterpret_cast<T*>(py::detail::array_proxy(array.ptr())->data);
}

}  // namespace rnnpack::bindings
