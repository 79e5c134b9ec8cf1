// Devices, errors, streams, events and launches.
#include "engine/runtime.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

namespace emulator {

namespace {

constexpr int multiprocessors = 4;
constexpr int most_threads = 1024;
constexpr std::size_t shared_bytes = std::size_t{48} << 10;
constexpr std::size_t most_shared_bytes = std::size_t{227} << 10;

std::string_view environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<order> order_asked_for(std::uint64_t launch) {
  const std::string_view asked = environment("RNNPACK_EMULATOR_ORDER");
  if (asked.empty() || asked == "forward") return order{order::kind::forward};
  if (asked == "backward") return order{order::kind::backward};
  const auto seed = number<std::uint64_t>(asked);
  if (!seed) return std::nullopt;
  return order{order::kind::shuffled, *seed + launch};
}

// As addr2line understands it.
std::string name_of(const void* kernel) {
  Dl_info info{};
  if (dladdr(kernel, &info) == 0) return "a kernel";
  if (info.dli_sname != nullptr && info.dli_saddr == kernel) return info.dli_sname;
  std::ostringstream name;
  name << "the kernel at 0x" << std::hex << static_cast<const char*>(kernel) - static_cast<const char*>(info.dli_fbase);
  return name.str();
}

cudaError_t check_shape(const cudaLaunchConfig_t& config) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  const bool grid_fits =
      grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535;
  if (!grid_fits) return refuse(cudaErrorInvalidConfiguration, "the grid is empty or too large");
  const bool block_fits = block.x > 0 && block.y > 0 && block.z > 0 && block.z <= 64 && block.x <= most_threads &&
                          block.y <= most_threads && std::uint64_t{block.x} * block.y * block.z <= most_threads;
  if (!block_fits) return refuse(cudaErrorInvalidConfiguration, "the block is empty or too large");
  if (config.dynamicSmemBytes != 0) return refuse(cudaErrorNotSupported, "dynamic shared memory is not emulated");
  if (config.numAttrs != 0) return refuse(cudaErrorNotSupported, "attributes of launches are not emulated");
  return cudaSuccess;
}

// One line a launch: its grid, its block and its kernel.
void note(const cudaLaunchConfig_t& config, const void* kernel) {
  const char* const file = std::getenv("RNNPACK_EMULATOR_LAUNCHES");
  if (file == nullptr) return;
  std::ofstream line(file, std::ios::app);
  for (const dim3& shape : {config.gridDim, config.blockDim})
    line << shape.x << ' ' << shape.y << ' ' << shape.z << ' ';
  line << name_of(kernel) << '\n';
}

}  // namespace

// Never destroyed: static objects release their memory and streams when the process ends.
machine& the_machine() {
  static machine* const one = std::make_unique<machine>().release();
  return *one;
}

thread_state& this_thread() {
  static thread_local thread_state state;
  return state;
}

int device_count() { return std::max(number<int>(environment("RNNPACK_EMULATOR_DEVICES")).value_or(1), 0); }

cudaError_t refuse(cudaError_t error, const std::string& why) {
  thread_state& thread = this_thread();
  thread.explained = error;
  thread.why[why.copy(thread.why, sizeof thread.why - 1)] = '\0';
  return error;
}

std::shared_ptr<stream> machine::stream_of(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return queues.legacy(this_thread().device);
  if (handle == cudaStreamPerThread) return queues.per_thread(this_thread().device);
  const auto found = stream_handles.find(handle);
  return found == stream_handles.end() ? nullptr : found->second;
}

std::shared_ptr<event> machine::event_of(cudaEvent_t handle) {
  const auto found = event_handles.find(handle);
  return found == event_handles.end() ? nullptr : found->second;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  return call([&](machine& here) -> cudaError_t {
    const std::shared_ptr<stream> to = here.stream_of(config.stream);
    if (!to) return refuse(cudaErrorInvalidResourceHandle, "a kernel for a stream that does not exist");
    if (to->device != this_thread().device)
      return refuse(cudaErrorInvalidResourceHandle, "a kernel for a stream of another device than the current one");
    if (const cudaError_t error = check_shape(config); error != cudaSuccess) return error;
    const std::optional<order> order = order_asked_for(here.launches++);
    if (!order) return refuse(cudaErrorInvalidValue, "RNNPACK_EMULATOR_ORDER is not forward, backward or a number");
    note(config, kernel);
    const kernel_launch one{config.gridDim, config.blockDim, std::move(thread)};
    here.queues.add(to, [&here, one, order, kernel] {
      if (auto failed = run_kernel(one, *order)) {
        failed->why += ", in " + name_of(kernel);
        throw *std::move(failed);
      }
      if (environment("RNNPACK_EMULATOR_CHECK") != "1") return;
      if (auto damage = here.allocations.check())
        throw failure{cudaErrorIllegalAddress, *damage + ", in " + name_of(kernel)};
    });
    return cudaSuccess;
  });
}

}  // namespace emulator

using emulator::call;
using emulator::machine;
using emulator::refuse;
using emulator::reports;
using emulator::this_thread;

// Devices

cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulator::device_count();
  return call([](machine&) { return cudaSuccess; }, reports::later);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call(
      [&](machine&) {
        if (device < 0 || device >= emulator::device_count()) return cudaErrorInvalidDevice;
        *properties = {};
        std::strcpy(properties->name, "CUDA emulated on the CPU");
        properties->totalGlobalMem = emulator::memory::device_bytes;
        properties->sharedMemPerBlock = emulator::shared_bytes;
        properties->sharedMemPerBlockOptin = emulator::most_shared_bytes;
        properties->major = 9;
        properties->minor = 0;
        properties->multiProcessorCount = emulator::multiprocessors;
        properties->maxThreadsPerBlock = emulator::most_threads;
        properties->warpSize = 32;
        properties->regsPerBlock = 65536;
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call(
      [&](machine&) {
        if (device < 0 || device >= emulator::device_count()) return cudaErrorInvalidDevice;
        switch (attribute) {
          case cudaDevAttrMultiProcessorCount: *value = emulator::multiprocessors; return cudaSuccess;
        }
        return refuse(cudaErrorInvalidValue, "an attribute that is not emulated");
      },
      reports::later);
}

cudaError_t cudaGetDevice(int* device) {
  return call(
      [&](machine&) {
        *device = this_thread().device;
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaSetDevice(int device) {
  return call(
      [&](machine&) {
        if (device < 0 || device >= emulator::device_count()) return cudaErrorInvalidDevice;
        this_thread().device = device;
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaDeviceSynchronize() {
  return call([](machine& here) {
    emulator::not_while_capturing(here);
    here.queues.finish_device(this_thread().device);
    return cudaSuccess;
  });
}

// Errors

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidPitchValue: return "cudaErrorInvalidPitchValue";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorMisalignedAddress: return "cudaErrorMisalignedAddress";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported: return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureImplicit: return "cudaErrorStreamCaptureImplicit";
    case cudaErrorUnknown: break;
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorNoDevice) return "no CUDA-capable device is detected";
  return error != cudaSuccess && this_thread().explained == error ? this_thread().why : cudaGetErrorName(error);
}

cudaError_t cudaPeekAtLastError() { return this_thread().last_error; }
cudaError_t cudaGetLastError() { return std::exchange(this_thread().last_error, cudaSuccess); }
