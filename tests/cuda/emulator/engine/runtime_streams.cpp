// Streams and events.
#include "engine/runtime.h"

using emulator::call;
using emulator::event;
using emulator::machine;
using emulator::refuse;
using emulator::reports;
using emulator::stream;
using emulator::this_thread;

namespace {

cudaError_t no_stream() { return refuse(cudaErrorInvalidResourceHandle, "a stream that does not exist"); }
cudaError_t no_event() { return refuse(cudaErrorInvalidResourceHandle, "an event that does not exist"); }

void nothing() {}

}  // namespace

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> made = here.queues.make(this_thread().device, (flags & cudaStreamNonBlocking) == 0);
    *handle = reinterpret_cast<cudaStream_t>(made.get());
    here.stream_handles.emplace(*handle, made);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call(
      [&](machine& here) {
        const auto found = here.stream_handles.find(handle);
        if (found == here.stream_handles.end()) return no_stream();
        here.queues.retire(found->second);
        here.stream_handles.erase(found);
        return cudaSuccess;
      },
      reports::later);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    if (!one) return no_stream();
    here.queues.finish(here.queues.add(one, nothing));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    if (!one) return no_stream();
    return here.queues.advance({one, one->issued}) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned /*flags*/) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    const std::shared_ptr<event> awaited = here.event_of(event_handle);
    if (!one) return no_stream();
    if (!awaited) return no_event();
    if (awaited->recorded) here.queues.add(one, nothing, {*awaited->recorded});
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned /*flags*/) {
  return call([&](machine& here) {
    const auto made = std::make_shared<event>(event{.device = this_thread().device});
    *handle = reinterpret_cast<cudaEvent_t>(made.get());
    here.event_handles.emplace(*handle, made);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call([&](machine& here) { return here.event_handles.erase(handle) == 1 ? cudaSuccess : no_event(); },
              reports::later);
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  return call([&](machine& here) {
    const std::shared_ptr<event> one = here.event_of(handle);
    const std::shared_ptr<stream> on = here.stream_of(stream_handle);
    if (!one) return no_event();
    if (!on) return no_stream();
    if (one->device != on->device)
      return refuse(cudaErrorInvalidResourceHandle, "an event of another device than the stream's");
    one->recorded = here.queues.add(on, nothing);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<event> one = here.event_of(handle);
    if (!one) return no_event();
    if (one->recorded) here.queues.finish(*one->recorded);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<event> one = here.event_of(handle);
    if (!one) return no_event();
    return !one->recorded || here.queues.advance(*one->recorded) ? cudaSuccess : cudaErrorNotReady;
  });
}

// Nothing is captured here.
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call([&](machine& here) {
    *status = cudaStreamCaptureStatusNone;
    return here.stream_of(handle) ? cudaSuccess : no_stream();
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  static thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  std::swap(current, *mode);
  return cudaSuccess;
}
