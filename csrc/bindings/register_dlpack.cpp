#include <pybind11/stl.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/cuda_plugin.h"
#include "bindings/dlpack.h"
#include "bindings/register.h"

namespace rnnpack::bindings {
namespace {

namespace py = pybind11;

constexpr std::size_t most_axes = 32;

// Values of an array of this shape. Throws py::value_error where it is none, or no memory has so many bytes.
std::int64_t count_values(const std::vector<std::int64_t>& shape, std::int64_t bits) {
  if (shape.size() > most_axes)
    throw py::value_error("shape: expected at most 32 axes, got " + std::to_string(shape.size()));
  std::int64_t count = 1;
  std::int64_t left = std::numeric_limits<std::int64_t>::max() / std::max<std::int64_t>(1, (bits + 7) / 8);
  for (const std::int64_t size : shape) {
    if (size < 0) throw py::value_error("shape: expected sizes of at least 0, got " + std::to_string(size));
    // An axis of no values does not make the others' product harmless: strides are made of it.
    left /= std::max<std::int64_t>(1, size);
    count *= left == 0 ? 0 : size;
  }
  if (left == 0) throw py::value_error("shape: expected an array that memory can hold");
  return count;
}

// The array that a capsule shows; it lives as long as the capsule does.
const dlpack::tensor& tensor_in(const py::object& capsule) {
  if (!PyCapsule_CheckExact(capsule.ptr()))
    throw py::type_error("capsule: expected a DLPack capsule, got " + std::string(py::str(py::type::of(capsule))));
  const char* const name = PyCapsule_GetName(capsule.ptr());
  const std::string_view called = name == nullptr ? "" : name;
  if (called == dlpack::managed_tensor::capsule_name)
    return static_cast<const dlpack::managed_tensor*>(PyCapsule_GetPointer(capsule.ptr(), name))->tensor;
  if (called == dlpack::versioned_tensor::capsule_name) {
    const auto& managed = *static_cast<const dlpack::versioned_tensor*>(PyCapsule_GetPointer(capsule.ptr(), name));
    if (managed.version.major != dlpack::versioned_tensor::known_major)
      throw py::value_error("capsule: expected DLPack of version 1, got " + std::to_string(managed.version.major) +
                            "." + std::to_string(managed.version.minor));
    return managed.tensor;
  }
  raise(PyExc_ValueError,
        "capsule: expected one named dltensor or dltensor_versioned, which nobody has consumed, got '" +
            std::string(called) + "'");
}

py::tuple read(const py::object& capsule) {
  const dlpack::tensor& tensor = tensor_in(capsule);
  if (tensor.ndim < 0 || std::cmp_greater(tensor.ndim, most_axes))
    throw py::value_error("capsule: expected 0 to 32 axes, got " + std::to_string(tensor.ndim));
  if (tensor.ndim > 0 && tensor.shape == nullptr) throw py::value_error("capsule: expected a shape, got none");
  const std::vector<std::int64_t> shape(tensor.shape, tensor.shape + tensor.ndim);
  std::optional<std::vector<std::int64_t>> strides;
  if (tensor.strides != nullptr) strides.emplace(tensor.strides, tensor.strides + tensor.ndim);
  const std::int64_t bits = std::int64_t{tensor.dtype.bits} * tensor.dtype.lanes;
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.data);
  if (count_values(shape, bits) > 0 && address == 0)
    throw py::value_error("capsule: expected the address of " + std::string(py::str(py::cast(shape))) +
                          " values, got none");
  if (tensor.byte_offset > std::numeric_limits<std::uintptr_t>::max() - address)
    throw py::value_error("capsule: expected an offset inside memory, got " + std::to_string(tensor.byte_offset));
  return py::make_tuple(address + static_cast<std::uintptr_t>(tensor.byte_offset), py::tuple(py::cast(shape)),
                        strides ? py::object(py::tuple(py::cast(*strides))) : py::none(),
                        py::make_tuple(tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes),
                        py::make_tuple(tensor.device.type, tensor.device.id));
}

// An array that is shown to another library, and the object that owns its memory.
struct shown_array {
  dlpack::managed_tensor managed{};
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  py::object owner;
};

// The consumer may be any thread, with or without the interpreter lock, and may come when there is no interpreter any
// more; the owner then stays for the rest of the process.
void give_back(dlpack::managed_tensor* managed) {
  std::unique_ptr<shown_array> array(static_cast<shown_array*>(managed->manager));
  if (Py_IsInitialized() == 0 || interpreter_ends()) {
    array->owner.release();
    return;
  }
  const py::gil_scoped_acquire locked;
  const py::error_scope kept;  // the owner may run code of its own
  array.reset();
}

// Where nobody has consumed the capsule, nobody else will call the deleter.
void give_back_unconsumed(PyObject* capsule) {
  constexpr const char* name = dlpack::managed_tensor::capsule_name;
  if (PyCapsule_IsValid(capsule, name) == 0) return;
  auto* const managed = static_cast<dlpack::managed_tensor*>(PyCapsule_GetPointer(capsule, name));
  managed->deleter(managed);
}

py::object make(const py::object& owner, std::uintptr_t address, const std::vector<std::int64_t>& shape,
                const std::pair<std::uint8_t, std::uint8_t>& code_bits,
                const std::pair<std::int32_t, std::int32_t>& device) {
  if (count_values(shape, code_bits.second) > 0 && address == 0) throw py::value_error("address: expected one, got 0");
  auto array = std::make_unique<shown_array>();
  array->owner = owner;
  array->shape = shape;
  array->strides.assign(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis-- > 1;)
    array->strides[axis - 1] = array->strides[axis] * std::max<std::int64_t>(1, shape[axis]);
  array->managed = {.tensor = {.data = pointer_to(address),
                               .device = {.type = device.first, .id = device.second},
                               .ndim = static_cast<std::int32_t>(shape.size()),
                               .dtype = {.code = code_bits.first, .bits = code_bits.second, .lanes = 1},
                               .shape = array->shape.data(),
                               .strides = array->strides.data(),
                               .byte_offset = 0},
                    .manager = array.get(),
                    .deleter = &give_back};
  PyObject* const capsule = PyCapsule_New(&array->managed, dlpack::managed_tensor::capsule_name, &give_back_unconsumed);
  if (capsule == nullptr) throw py::error_already_set();
  [[maybe_unused]] const shown_array* const kept = array.release();  // the capsule's
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace

void register_dlpack(py::module_& module) {
  module.def("read_dlpack", &read, py::arg("capsule"));
  module.def("make_dlpack", &make, py::arg("owner"), py::arg("address"), py::arg("shape"), py::arg("code_bits"),
             py::arg("device"));
}

}  // namespace rnnpack::bindings
