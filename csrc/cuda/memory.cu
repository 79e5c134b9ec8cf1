#include "cuda/memory.h"

namespace rnnpack::cuda {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // others in the process ask for it, and would think the failure theirs
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error) + " (" +
                           cudaGetErrorName(error) + ")");
}

device_memory take_device_memory(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "taking device memory");
  return device_memory(static_cast<std::byte*>(memory));
}

pinned_memory take_pinned_memory(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "taking pinned memory");
  return pinned_memory(static_cast<std::byte*>(memory));
}

owned_stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return owned_stream(stream);
}

owned_event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  return owned_event(event);
}

std::byte* workspace::take_bytes(std::size_t bytes) {
  constexpr std::size_t alignment = 256;
  const std::size_t begin = used_;
  const std::size_t padded = checked_product((bytes + alignment - 1) / alignment, alignment);
  if (padded > std::size_t{1} << 62 || begin > std::size_t{1} << 62) throw std::bad_alloc();
  used_ = begin + padded;
  return memory_ == nullptr ? nullptr : memory_ + begin;
}

}  // namespace rnnpack::cuda
