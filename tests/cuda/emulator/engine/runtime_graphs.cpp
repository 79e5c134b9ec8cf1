// Graphs captured from a stream. A capture may not fork to other streams, nor have memory of its own.
#include "engine/runtime.h"

using emulator::call;
using emulator::graph;
using emulator::machine;
using emulator::refuse;
using emulator::reports;
using emulator::stream;
using emulator::this_thread;

namespace emulator {

void not_while_capturing(machine& here) { here.queues.not_while_capturing(this_thread().capture_mode); }

void not_captured(const stream& one) {
  if (!one.capture) return;
  one.capture->invalid = true;
  throw refusal{cudaErrorStreamCaptureUnsupported, "a call that no captured stream can have"};
}

}  // namespace emulator

namespace {

std::shared_ptr<graph> find(machine& here, const void* handle) {
  const auto found = here.graph_handles.find(handle);
  return found == here.graph_handles.end() ? nullptr : found->second;
}

cudaError_t no_graph() { return refuse(cudaErrorInvalidValue, "a graph that does not exist"); }

cudaError_t destroy(const void* handle) {
  return call([&](machine& here) { return here.graph_handles.erase(handle) == 1 ? cudaSuccess : no_graph(); },
              reports::later);
}

}  // namespace

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(this_thread().capture_mode, *mode);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call([&](machine& here) -> cudaError_t {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    if (!one) return refuse(cudaErrorInvalidResourceHandle, "a stream that does not exist");
    *status = !one->capture           ? cudaStreamCaptureStatusNone
              : one->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call([&](machine& here) -> cudaError_t {
    const std::shared_ptr<stream> one = here.stream_of(handle);
    if (!one) return refuse(cudaErrorInvalidResourceHandle, "a stream that does not exist");
    if (one->legacy || one->capture)
      return refuse(cudaErrorStreamCaptureUnsupported, "the default stream, or one that is captured already");
    one->capture = std::make_shared<graph>(graph{.mode = mode, .captured_by = std::this_thread::get_id()});
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* made) {
  return call([&](machine& here) -> cudaError_t {
    *made = nullptr;
    const std::shared_ptr<stream> one = here.stream_of(handle);
    if (!one || !one->capture) return refuse(cudaErrorInvalidValue, "a stream that is not captured");
    const std::shared_ptr<graph> captured = std::move(one->capture);
    if (captured->invalid) return refuse(cudaErrorStreamCaptureInvalidated, "a call before spoilt the capture");
    *made = reinterpret_cast<cudaGraph_t>(captured.get());
    here.graph_handles.emplace(*made, captured);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t handle, unsigned long long /*flags*/) {
  return call([&](machine& here) -> cudaError_t {
    const std::shared_ptr<graph> from = find(here, handle);
    if (!from) return no_graph();
    const auto ready = std::make_shared<graph>(*from);
    *made = reinterpret_cast<cudaGraphExec_t>(ready.get());
    here.graph_handles.emplace(*made, ready);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return call([&](machine& here) -> cudaError_t {
    const std::shared_ptr<graph> ready = find(here, handle);
    const std::shared_ptr<stream> to = here.stream_of(stream_handle);
    if (!ready) return no_graph();
    if (!to) return refuse(cudaErrorInvalidResourceHandle, "a graph for a stream that does not exist");
    here.queues.add(to, [ready] {
      for (const emulator::work& one : ready->all) one();
    });
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) { return destroy(handle); }
cudaError_t cudaGraphDestroy(cudaGraph_t handle) { return destroy(handle); }
