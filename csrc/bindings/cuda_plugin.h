// Calls of the CUDA plugin, and its errors as Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string_view>

#include "bindings/interpreter_lock.h"
#include "plugin/plugin.h"

namespace rnnpack::bindings {

// Addresses and streams are plain numbers to Python.
inline void* pointer_to(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

// Throws an exception of this type; the text may be of any bytes.
[[noreturn]] void raise(PyObject* type, std::string_view text);

// Throws the exception for a function that did not end well. An interrupted one has left Python's exception.
void require_success(cuda::result ended, const cuda::failure& why);

// Calls a function of the plugin with these arguments, without the interpreter lock.
template <class... Parameters, class... Arguments>
void ask(cuda::result (*function)(Parameters...), Arguments... arguments) {
  cuda::failure why{};
  cuda::result ended = cuda::result::ok;
  {
    const lock_released released;
    ended = function(arguments..., &why);
  }
  require_success(ended, why);
}

}  // namespace rnnpack::bindings
