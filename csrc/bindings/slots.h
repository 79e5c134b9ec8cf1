// What pybind11's classes do not offer: objects that are complete from the start, and calls without its dispatcher,
// which would take longer than a small step.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <new>

namespace rnnpack::bindings {

// The metaclass of ordinary classes, in place of pybind11's own.
inline pybind11::metaclass plain_metaclass() {
  return pybind11::metaclass(pybind11::handle(reinterpret_cast<PyObject*>(&PyType_Type)));
}

// Makes Class(...) call the static method _make: there is no moment, and no __new__, in which Python holds an object
// without a value.
inline void make_on_construction(PyHeapTypeObject* heap_type) {
  heap_type->ht_type.tp_new = [](PyTypeObject* type, PyObject* args, PyObject* keywords) -> PyObject* {
    PyObject* make = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "_make");
    if (make == nullptr) return nullptr;
    PyObject* object = PyObject_Call(make, args, keywords);
    Py_DECREF(make);
    return object;
  };
  heap_type->ht_type.tp_init = [](PyObject*, PyObject*, PyObject*) { return 0; };
}

// Makes f(self, args, size) what `object(*args)` does; keywords are not taken. f returns a new reference or throws.
template <class Object, pybind11::object (*Call)(Object&, PyObject* const*, Py_ssize_t)>
void make_callable(PyHeapTypeObject* heap_type) {
  make_on_construction(heap_type);
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
