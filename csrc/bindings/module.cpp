#include <pybind11/pybind11.h>

#include "bindings/register.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native recurrent kernels of rnnpack; the typed contract is _core.pyi.";
  rnnpack::bindings::register_packed_cell(module);
  rnnpack::bindings::register_run(module);
  rnnpack::bindings::register_plain_call(module);
  rnnpack::bindings::register_stream(module);
  rnnpack::bindings::register_threads(module);
  rnnpack::bindings::register_cuda(module);
  rnnpack::bindings::register_cuda_cell(module);
  rnnpack::bindings::register_cuda_run(module);
  rnnpack::bindings::register_cuda_call(module);
  rnnpack::bindings::register_dlpack(module);
}
