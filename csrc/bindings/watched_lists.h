// Lists whose items a prepared call depends on: Python code may change them in place, unseen.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace rnnpack::bindings {

class watched_lists {
 public:
  // Throws py::type_error where an item is no list.
  explicit watched_lists(const pybind11::sequence& lists) {
    for (const pybind11::handle list : lists) {
      if (!PyList_Check(list.ptr())) throw pybind11::type_error("watched: expected lists");
      const auto found = pybind11::reinterpret_borrow<pybind11::list>(list);
      lists_.push_back({.list = found, .items = pybind11::tuple(found)});
    }
  }

  bool unchanged() const {
    for (const auto& [list, items] : lists_) {
      const Py_ssize_t size = PyList_GET_SIZE(list.ptr());
      if (size != PyTuple_GET_SIZE(items.ptr())) return false;
      for (Py_ssize_t i = 0; i < size; ++i)
        if (PyList_GET_ITEM(list.ptr(), i) != PyTuple_GET_ITEM(items.ptr(), i)) return false;
    }
    return true;
  }

 private:
  struct snapshot {
    pybind11::list list;
    pybind11::tuple items;
  };
  std::vector<snapshot> lists_;
};

}  // namespace rnnpack::bindings
