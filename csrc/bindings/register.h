// One function a thing that Python sees; module.cpp calls them.
#pragma once

#include <pybind11/pybind11.h>

namespace rnnpack::bindings {

void register_packed_cell(pybind11::module_& module);
void register_run(pybind11::module_& module);
void register_plain_call(pybind11::module_& module);
void register_stream(pybind11::module_& module);
void register_threads(pybind11::module_& module);
void register_cuda(pybind11::module_& module);
void register_cuda_cell(pybind11::module_& module);
void register_cuda_run(pybind11::module_& module);
void register_cuda_call(pybind11::module_& module);
void register_dlpack(pybind11::module_& module);

}  // namespace rnnpack::bindings
