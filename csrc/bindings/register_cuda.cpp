// The plugin itself, its devices and their memory.
#include <pybind11/stl/filesystem.h>

#include <string>

#include "bindings/arrays.h"
#include "bindings/cuda_names.h"
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

void require_address(std::uintptr_t address, const std::string& name) {
  if (address == 0) throw py::value_error(name + ": expected an address, got 0");
}

void merge(std::int32_t device, const std::string& mode, const std::string& element, std::size_t count,
           std::uintptr_t a, std::uintptr_t b, std::uintptr_t to, std::uintptr_t stream) {
  const cuda::merge_mode how = find(merge_modes(), mode, "mode");
  const cuda::element type = find(elements(), element, "element");
  if (count == 0) return;
  require_address(a, "a");
  require_address(b, "b");
  require_address(to, "to");
  ask(cuda::loaded().merge, device, how, type, count, pointer_to(a), pointer_to(b), pointer_to(to), pointer_to(stream));
}

void order(std::int32_t device, std::uintptr_t earlier, std::uintptr_t later) {
  if (earlier != later) ask(cuda::loaded().order, device, pointer_to(earlier), pointer_to(later));
}

std::uintptr_t allocate(std::int32_t device, std::size_t bytes, std::uintptr_t stream) {
  void* memory = nullptr;
  if (bytes > 0) ask(cuda::loaded().allocate, device, bytes, pointer_to(stream), &memory);
  return reinterpret_cast<std::uintptr_t>(memory);
}

// Keeps the interpreter lock: memory is also released while the interpreter ends.
void release(std::int32_t device, std::uintptr_t address, std::uintptr_t stream) {
  if (address != 0) cuda::loaded().release(device, pointer_to(address), pointer_to(stream));
}

void copy(std::int32_t device, std::uintptr_t to, std::uintptr_t from, std::size_t bytes, std::uintptr_t stream) {
  if (bytes == 0) return;
  require_address(to, "to");
  require_address(from, "from_");
  ask(cuda::loaded().copy, device, pointer_to(to), pointer_to(from), bytes, pointer_to(stream));
}

std::int32_t owner_of(std::uintptr_t address) {
  std::int32_t device = -1;
  ask(cuda::loaded().owner_of, pointer_to(address), &device);
  return device;
}

}  // namespace

void register_cuda(py::module_& module) {
  module.def("cuda_load", &load, py::arg("path"));
  module.def("cuda_device_count", &count_devices);
  module.def("cuda_device_info", &describe_device, py::arg("device"));
  module.def("cuda_merge", &merge, py::arg("device"), py::arg("mode"), py::arg("element"), py::arg("count"),
             py::arg("a"), py::arg("b"), py::arg("to"), py::arg("stream"));
  module.def("cuda_order", &order, py::arg("device"), py::arg("earlier"), py::arg("later"));
  module.def("cuda_allocate", &allocate, py::arg("device"), py::arg("nbytes"), py::arg("stream"));
  module.def("cuda_release", &release, py::arg("device"), py::arg("address"), py::arg("stream"));
  module.def("cuda_copy", &copy, py::arg("device"), py::arg("to"), py::arg("from_"), py::arg("nbytes"),
             py::arg("stream"));
  module.def("cuda_owner_of", &owner_of, py::arg("address"));
}

}  // namespace rnnpack::bindings
