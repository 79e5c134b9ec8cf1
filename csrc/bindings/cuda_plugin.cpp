#include "bindings/cuda_plugin.h"

#include <algorithm>

namespace rnnpack::bindings {

namespace py = pybind11;

namespace {

PyObject* type_of(cuda::result ended) {
  switch (ended) {
    case cuda::result::out_of_memory: return PyExc_MemoryError;
    case cuda::result::invalid: return PyExc_ValueError;
    default: return PyExc_RuntimeError;
  }
}

}  // namespace

void raise(PyObject* type, std::string_view text) {
  const auto message = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  if (message) PyErr_SetObject(type, message.ptr());
  throw py::error_already_set();
}

void require_success(cuda::result ended, const cuda::failure& why) {
  if (ended == cuda::result::ok) return;
  if (ended == cuda::result::interrupted && PyErr_Occurred() != nullptr) throw py::error_already_set();
  const char* const end = std::ranges::find(why.text, '\0');
  const std::string_view text(why.text, static_cast<std::size_t>(end - why.text));
  raise(type_of(ended), text.empty() ? "the CUDA plugin failed and gave no reason" : text);
}

}  // namespace rnnpack::bindings
