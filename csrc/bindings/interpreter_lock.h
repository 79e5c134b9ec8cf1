// The interpreter's lock during long work, also in threads that are still at work when the interpreter ends.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace rnnpack::bindings {

inline bool interpreter_ends() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

// Gives the lock up while it lives. Before 3.14 a thread that asks for the lock of an ending interpreter is unwound by
// force, which C++ answers by ending the process at the first destructor; a thread that comes back so late sleeps
// instead until the process ends.
class lock_released {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  lock_released() : state_(PyEval_SaveThread()) {}
  ~lock_released() {
    if (interpreter_ends()) sleep();
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // the interpreter came to its end while this waited for the lock
      sleep();
    }
  }
  lock_released(const lock_released&) = delete;
  lock_released& operator=(const lock_released&) = delete;

 private:
  [[noreturn]] static void sleep() {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }

  PyThreadState* state_;
};

}  // namespace rnnpack::bindings
