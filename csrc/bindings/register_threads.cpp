#include <pybind11/pybind11.h>

#include "bindings/register.h"
#include "threads/pool.h"

namespace rnnpack::bindings {

namespace py = pybind11;

void register_threads(py::module_& module) {
  module.def("thread_limit", &threads::limit);
  module.def("set_thread_limit", &threads::set_limit, py::arg("threads"));
}

}  // namespace rnnpack::bindings
