// The plugin itself, its devices and their memory.
#include <pybind11/stl/filesystem.h>

#include <optional>
#include <tuple>

#include "bindings/arrays.h"
#include "bindings/cuda_plugin.h"
#include "bindings/register.h"

namespace rnnpack::bindings {
namespace {

// A library's file may run code of its own while it is loaded, and be of any name.
void load(const std::filesystem::path& path) {
  PyObject* type = nullptr;
  std::string text;
  {
    const lock_released released;
    try {
      cuda::load(path);
    } catch (const cuda::load_error& error) {
      type = PyExc_OSError;
      text = error.what();
    } catch (const std::runtime_error& error) {
      type = PyExc_RuntimeError;
      text = error.what();
    }
  }
  if (type != nullptr) raise(type, text);
}

std::int32_t count_devices() {
  std::int32_t count = 0;
  ask(cuda::loaded().count_devices, &count);
  return count;
}

py::tuple describe_device(std::int32_t device) {
  cuda::device_info info{};
  ask(cuda::loaded().describe_device, device, &info);
  info.name[sizeof(info.name) - 1] = '\0';
  return py::make_tuple(info.name, py::make_tuple(info.major, info.minor), info.multiprocessors, info.memory_bytes);
}

}  // namespace

void register_cuda(py::module_& module) {
  module.def("cuda_load", &load, py::arg("path"));
  module.def("cuda_device_count", &count_devices);
  module.def("cuda_device_info", &describe_device, py::arg("device"));
}

}  // namespace rnnpack::bindings
