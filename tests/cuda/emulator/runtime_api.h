// The host's side of CUDA's runtime: the functions that csrc/cuda and the tests use, with CUDA's names and numbers.
// Unlike in CUDA they are exported from the library, so that tests can make streams and device memory of their own.
#pragma once

#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "device.h"
#include "vector_types.h"

#define CUDART_VERSION 13000
#define EMULATED_CUDA extern "C" __attribute__((visibility("default")))

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidPitchValue = 12,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorStreamCaptureImplicit = 906,
  cudaErrorUnknown = 999,
};

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
inline const cudaStream_t cudaStreamLegacy = reinterpret_cast<cudaStream_t>(1);
inline const cudaStream_t cudaStreamPerThread = reinterpret_cast<cudaStream_t>(2);

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated,
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed,
};

inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  std::size_t sharedMemPerBlock;
  std::size_t sharedMemPerBlockOptin;
  int major;
  int minor;
  int multiProcessorCount;
  int maxThreadsPerBlock;
  int warpSize;
  int regsPerBlock;
  int l2CacheSize;
};

struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void* devicePointer;
  void* hostPointer;
};

// Of launches; none is emulated.
struct cudaLaunchAttribute;

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

EMULATED_CUDA cudaError_t cudaGetDeviceCount(int* count);
EMULATED_CUDA cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
EMULATED_CUDA cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
EMULATED_CUDA cudaError_t cudaGetDevice(int* device);
EMULATED_CUDA cudaError_t cudaSetDevice(int device);
EMULATED_CUDA cudaError_t cudaDeviceSynchronize();

EMULATED_CUDA const char* cudaGetErrorName(cudaError_t error);
EMULATED_CUDA const char* cudaGetErrorString(cudaError_t error);
EMULATED_CUDA cudaError_t cudaGetLastError();
EMULATED_CUDA cudaError_t cudaPeekAtLastError();

EMULATED_CUDA cudaError_t cudaMalloc(void** memory, std::size_t bytes);
EMULATED_CUDA cudaError_t cudaFree(void* memory);
EMULATED_CUDA cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaMallocHost(void** memory, std::size_t bytes);
EMULATED_CUDA cudaError_t cudaFreeHost(void* memory);
EMULATED_CUDA cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address);

EMULATED_CUDA cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind);
EMULATED_CUDA cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                                          cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                            std::size_t width, std::size_t height, cudaMemcpyKind kind,
                                            cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);

EMULATED_CUDA cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
EMULATED_CUDA cudaError_t cudaStreamDestroy(cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaStreamSynchronize(cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaStreamQuery(cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
EMULATED_CUDA cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
EMULATED_CUDA cudaError_t cudaEventDestroy(cudaEvent_t event);
EMULATED_CUDA cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
EMULATED_CUDA cudaError_t cudaEventSynchronize(cudaEvent_t event);
EMULATED_CUDA cudaError_t cudaEventQuery(cudaEvent_t event);

EMULATED_CUDA cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);
EMULATED_CUDA cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
EMULATED_CUDA cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
EMULATED_CUDA cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
EMULATED_CUDA cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long flags = 0);
EMULATED_CUDA cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
EMULATED_CUDA cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
EMULATED_CUDA cudaError_t cudaGraphDestroy(cudaGraph_t graph);

namespace emulator {
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread);
}  // namespace emulator

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...), Actual&&... actual) {
  static_assert((std::is_trivially_copyable_v<Expected> && ...), "arguments are copied to the device byte by byte");
  static_assert((std::size_t{0} + ... + sizeof(Expected)) <= 4096, "a kernel's arguments have at most 4 KiB");
  const std::tuple<Expected...> arguments(std::forward<Actual>(actual)...);
  return emulator::launch(*config, reinterpret_cast<const void*>(kernel), [kernel, arguments] {
    std::apply(
        [kernel](auto... copies) {
          emulator::begin_kernel_code();
          kernel(copies...);
          emulator::end_kernel_code();
        },
        arguments);
  });
}
