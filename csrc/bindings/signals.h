// Ctrl-C during a long call.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

#include "api/run.h"
#include "bindings/interpreter_lock.h"

namespace rnnpack::bindings {

// Looks for signals a few times a second; taking the lock more often would cost other threads.
class signal_check {
 public:
  interruption question() { return {.keep_going = &keep_going, .context = this}; }

 private:
  using clock = std::chrono::steady_clock;

  static bool keep_going(void* context) {
    auto& self = *static_cast<signal_check*>(context);
    const clock::time_point now = clock::now();
    if (now - self.last_ < std::chrono::milliseconds(50)) return true;
    self.last_ = now;
    if (interpreter_ends()) return true;  // nobody is left to ask
    const pybind11::gil_scoped_acquire locked;
    return PyErr_CheckSignals() == 0;
  }

  clock::time_point last_ = clock::now();
};

}  // namespace rnnpack::bindings
