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

cudaError_t captured_event() {
  return refuse(cudaErrorStreamCaptureUnsupported, "an event that was recorded into a graph");
}

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
    emulator::not_captured(*one);
    here.queues.finish(here.queues.add(one, nothing));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    if (!one) return no_stream();
    emulator::not_captured(*one);
    return here.queues.advance({one, one->issued}) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned /*flags*/) {
  return call([&](machine& here) {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    const std::shared_ptr<event> awaited = here.event_of(event_handle);
    if (!one) return no_stream();
    if (!awaited) return no_event();
    if (one->capture != awaited->captured.lock())
      return refuse(cudaErrorStreamCaptureIsolation, "a captured stream and one that is not wait for each other");
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
    one->captured = on->capture;
    one->recorded = here.queues.add(on, nothing);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<event> one = here.event_of(handle);
    if (!one) return no_event();
    if (!one->captured.expired()) return captured_event();
    if (one->recorded) here.queues.finish(*one->recorded);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call([&](machine& here) {
    const std::shared_ptr<event> one = here.event_of(handle);
    if (!one) return no_event();
    if (!one->captured.expired()) return captured_event();
    return !one->recorded || here.queues.advance(*one->recorded) ? cudaSuccess : cudaErrorNotReady;
  });
}
