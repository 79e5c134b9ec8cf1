// CUDA's resources and errors as C++ knows them. Exceptions end at the plugin's interface.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "memory/buffer.h"

namespace rnnpack::cuda {

// Throws std::bad_alloc or std::runtime_error, which says what failed.
void check(cudaError_t error, const char* what);

// Makes a device the thread's current one for a while. To put the old one back is to use it: CUDA then makes a context
// there where there was none.
class current_device {
 public:
  explicit current_device(int device) {
    check(cudaGetDevice(&before_), "asking for the current device");
    if (device != before_) check(cudaSetDevice(device), "choosing the device");
    device_ = device;
  }
  current_device(const current_device&) = delete;
  current_device& operator=(const current_device&) = delete;
  current_device(current_device&&) = delete;
  current_device& operator=(current_device&&) = delete;
  ~current_device() {
    if (device_ != before_) cudaSetDevice(before_);
  }

 private:
  int before_ = 0;
  int device_ = 0;
};

// Lets the thread take memory while a stream is captured: what it does then is no part of the graph.
class relaxed_capture {
 public:
  relaxed_capture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  relaxed_capture(const relaxed_capture&) = delete;
  relaxed_capture& operator=(const relaxed_capture&) = delete;
  relaxed_capture(relaxed_capture&&) = delete;
  relaxed_capture& operator=(relaxed_capture&&) = delete;
  ~relaxed_capture() { cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// Device memory for as long as it is owned. Taking and releasing it waits for the device.
struct free_device_memory {
  void operator()(std::byte* memory) const { cudaFree(memory); }
};
using device_memory = std::unique_ptr<std::byte, free_device_memory>;
device_memory take_device_memory(std::size_t bytes);

// Host memory that the device can copy while the processor does something else.
struct free_pinned_memory {
  void operator()(std::byte* memory) const { cudaFreeHost(memory); }
};
using pinned_memory = std::unique_ptr<std::byte, free_pinned_memory>;
pinned_memory take_pinned_memory(std::size_t bytes);

struct destroy_stream {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
using owned_stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, destroy_stream>;
// Not ordered with the legacy default stream.
owned_stream make_stream();

struct destroy_event {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using owned_event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, destroy_event>;
owned_event make_event();

// Shares one block of memory out, 256 bytes aligned; without memory it only counts.
class workspace {
 public:
  explicit workspace(std::byte* memory) : memory_(memory) {}

  template <class T>
  T* take(std::size_t count) {
    return reinterpret_cast<T*>(take_bytes(checked_product(count, sizeof(T))));
  }
  std::size_t bytes() const { return used_; }

 private:
  std::byte* take_bytes(std::size_t bytes);

  std::byte* memory_;
  std::size_t used_ = 0;
};

}  // namespace rnnpack::cuda
