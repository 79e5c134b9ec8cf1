// Calls of native objects without pybind11's dispatcher, which would take longer than a small step.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <new>

namespace rnnpack::bindings {

// Makes f(self, args, size) what `object(*args)` does; keywords are not taken. f returns a new reference or throws.
template <class Object, pybind11::object (*Call)(Object&, PyObject* const*, Py_ssize_t)>
void set_call(PyHeapTypeObject* heap_type) {
  heap_type->ht_type.tp_call = [](PyObject* self, PyObject* args, PyObject* keywords) -> PyObject* {
    try {
      if (keywords != nullptr && PyDict_GET_SIZE(keywords) > 0)
        throw pybind11::type_error("expected no keyword arguments");
      auto& object = *reinterpret_cast<Object*>(
          reinterpret_cast<pybind11::detail::instance*>(self)->get_value_and_holder().value_ptr());
      return Call(object, &PyTuple_GET_ITEM(args, 0), PyTuple_GET_SIZE(args)).release().ptr();
    } catch (pybind11::error_already_set& error) {
      error.restore();
    } catch (const pybind11::builtin_exception& error) {
      error.set_error();
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
  };
}

}  // namespace rnnpack::bindings
