// Memory and copies.
#include <cstring>
#include <vector>

#include "engine/runtime.h"

using emulator::allocation;
using emulator::call;
using emulator::failure;
using emulator::machine;
using emulator::refuse;
using emulator::reports;
using emulator::stream;
using emulator::this_thread;

namespace {

struct rectangle {
  std::byte* to;
  std::size_t to_pitch;
  const std::byte* from;
  std::size_t from_pitch;
  std::size_t width;
  std::size_t height;
};

void move(const rectangle& area) {
  for (std::size_t row = 0; row < area.height; ++row)
    std::memmove(area.to + row * area.to_pitch, area.from + row * area.from_pitch, area.width);
}

std::size_t span(std::size_t pitch, std::size_t width, std::size_t height) { return pitch * (height - 1) + width; }

// What is wrong with a place that work of a device is about to use; nothing is known about pageable memory.
std::optional<std::string> objection(machine& here, const void* address, std::size_t bytes, int device) {
  const allocation* const one = here.allocations.find(address);
  if (one == nullptr) return std::nullopt;
  if (!here.allocations.contains(address, bytes)) return "beyond the end of an allocation";
  if (one->device_memory && one->device != device) return "memory of another device than the stream's";
  return std::nullopt;
}

bool on_device(machine& here, const void* address) {
  const allocation* const one = here.allocations.find(address);
  return one != nullptr && one->device_memory;
}

bool pageable(machine& here, const void* address) { return here.allocations.find(address) == nullptr; }

// Device memory must be there when the stream has come to the copy.
void check_still_there(machine& here, const void* address, std::size_t bytes) {
  const allocation* const one = here.allocations.find(address);
  if (one == nullptr || !here.allocations.contains(address, bytes) || !one->begun)
    throw failure{cudaErrorIllegalAddress, "a copy from or to memory that the stream does not have yet or any more"};
}

cudaError_t check_direction(machine& here, const rectangle& area, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device != on_device(here, area.to))
    return refuse(cudaErrorInvalidValue, to_device ? "a copy to host memory that is said to go to a device"
                                                   : "a copy to a device that is said to go to the host");
  if (from_device != on_device(here, area.from))
    return refuse(cudaErrorInvalidValue, from_device ? "a copy from host memory that is said to come from a device"
                                                     : "a copy from a device that is said to come from the host");
  return cudaSuccess;
}

// Pageable memory is read at once, and when it is written, the caller waits, as in CUDA.
cudaError_t copy(machine& here, const rectangle& area, cudaMemcpyKind kind, cudaStream_t handle, bool wait) {
  const std::shared_ptr<stream> on = here.stream_of(handle);
  if (!on || on->device != this_thread().device)
    return refuse(cudaErrorInvalidResourceHandle, "a copy on a stream that is not the current device's");
  if (area.width == 0 || area.height == 0) return cudaSuccess;
  if (area.height > 1 && (area.to_pitch < area.width || area.from_pitch < area.width))
    return refuse(cudaErrorInvalidPitchValue, "a pitch smaller than the width");
  if (const cudaError_t error = check_direction(here, area, kind); error != cudaSuccess) return error;
  const std::size_t to_bytes = span(area.to_pitch, area.width, area.height);
  const std::size_t from_bytes = span(area.from_pitch, area.width, area.height);
  if (auto why = objection(here, area.to, to_bytes, on->device))
    return refuse(cudaErrorInvalidValue, "a copy to " + *why);
  if (auto why = objection(here, area.from, from_bytes, on->device))
    return refuse(cudaErrorInvalidValue, "a copy from " + *why);

  const bool to_pageable = pageable(here, area.to);
  const bool from_pageable = pageable(here, area.from);
  if (to_pageable || from_pageable) emulator::not_captured(*on);
  std::vector<std::byte> staged;
  if (from_pageable) staged.assign(area.from, area.from + from_bytes);
  const emulator::point end = here.queues.add(on, [=, &here, staged = std::move(staged)] {
    rectangle ready = area;
    if (from_pageable) ready.from = staged.data();
    if (!from_pageable) check_still_there(here, area.from, from_bytes);
    if (!to_pageable) check_still_there(here, area.to, to_bytes);
    move(ready);
  });
  if (wait || to_pageable) here.queues.finish(end);
  return cudaSuccess;
}

cudaError_t allocate(machine& here, void** memory, std::size_t bytes, bool device_memory) {
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  const int device = this_thread().device;
  *memory = here.allocations.allocate(device, bytes, device_memory);
  if (*memory == nullptr && device_memory) {  // some may be released by what is still queued
    here.queues.finish_device(device);
    *memory = here.allocations.allocate(device, bytes, device_memory);
  }
  return *memory == nullptr ? refuse(cudaErrorMemoryAllocation, "out of memory") : cudaSuccess;
}

// The allocation that begins at the address and may be released, or null.
allocation* releasable(machine& here, void* memory, bool device_memory) {
  allocation* const one = here.allocations.find(memory);
  const bool found = one != nullptr && one->memory == memory && one->device_memory == device_memory && !one->releasing;
  return found ? one : nullptr;
}

void release(machine& here, void* memory) {
  if (auto damage = here.allocations.release(memory)) throw failure{cudaErrorIllegalAddress, *damage};
}

cudaError_t not_allocated() { return refuse(cudaErrorInvalidValue, "memory is released that is not allocated"); }

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return call([&](machine& here) {
    emulator::not_while_capturing(here);
    return allocate(here, memory, bytes, true);
  });
}

cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> on = here.stream_of(handle);
    if (!on || on->device != this_thread().device)
      return refuse(cudaErrorInvalidResourceHandle, "memory on a stream that is not the current device's");
    emulator::not_captured(*on);  // CUDA can have memory in graphs; this emulator cannot
    const cudaError_t error = allocate(here, memory, bytes, true);
    if (error != cudaSuccess || *memory == nullptr) return error;
    here.allocations.find(*memory)->begun = false;
    here.queues.add(on, [&here, address = *memory] {
      if (allocation* const one = here.allocations.find(address)) one->begun = true;
    });
    return cudaSuccess;
  });
}

// Waits for the whole device, since anything queued there may use the memory.
cudaError_t cudaFree(void* memory) {
  return call(
      [&](machine& here) {
        if (memory == nullptr) return cudaSuccess;
        emulator::not_while_capturing(here);
        const allocation* const one = releasable(here, memory, true);
        if (one == nullptr) return not_allocated();
        here.queues.finish_device(one->device);
        release(here, memory);
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t handle) {
  return call(
      [&](machine& here) {
        if (memory == nullptr) return cudaSuccess;
        const std::shared_ptr<stream> on = here.stream_of(handle);
        allocation* const one = releasable(here, memory, true);
        if (one == nullptr) return not_allocated();
        if (!on || on->device != one->device)
          return refuse(cudaErrorInvalidResourceHandle, "memory is released on a stream of another device");
        emulator::not_captured(*on);
        one->releasing = true;
        here.queues.add(on, [&here, memory] { release(here, memory); });
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return call([&](machine& here) {
    emulator::not_while_capturing(here);
    return allocate(here, memory, bytes, false);
  });
}

cudaError_t cudaFreeHost(void* memory) {
  return call(
      [&](machine& here) {
        if (memory == nullptr) return cudaSuccess;
        emulator::not_while_capturing(here);
        if (releasable(here, memory, false) == nullptr) return not_allocated();
        for (int device = 0; device < emulator::device_count(); ++device) here.queues.finish_device(device);
        release(here, memory);
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  return call(
      [&](machine& here) {
        const allocation* const one = here.allocations.find(address);
        auto* const pointer = const_cast<void*>(address);
        if (one == nullptr)
          *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, pointer};
        else if (one->device_memory)
          *attributes = {cudaMemoryTypeDevice, one->device, pointer, nullptr};
        else
          *attributes = {cudaMemoryTypeHost, one->device, pointer, pointer};
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call([&](machine& here) {
    emulator::not_while_capturing(here);
    return copy(here, {static_cast<std::byte*>(to), bytes, static_cast<const std::byte*>(from), bytes, bytes, 1}, kind,
                nullptr, true);
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  return call([&](machine& here) {
    return copy(here, {static_cast<std::byte*>(to), bytes, static_cast<const std::byte*>(from), bytes, bytes, 1}, kind,
                handle, false);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t handle) {
  return call([&](machine& here) {
    return copy(here,
                {static_cast<std::byte*>(to), to_pitch, static_cast<const std::byte*>(from), from_pitch, width, height},
                kind, handle, false);
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> on = here.stream_of(handle);
    if (!on || on->device != this_thread().device)
      return refuse(cudaErrorInvalidResourceHandle, "a memset on a stream that is not the current device's");
    if (bytes == 0) return cudaSuccess;
    if (!on_device(here, memory)) return refuse(cudaErrorInvalidValue, "a memset of memory that is not a device's");
    if (auto why = objection(here, memory, bytes, on->device))
      return refuse(cudaErrorInvalidValue, "a memset of " + *why);
    here.queues.add(on, [=, &here] {
      check_still_there(here, memory, bytes);
      std::memset(memory, value, bytes);
    });
    return cudaSuccess;
  });
}
