// The one emulated machine, and what its runtime functions have in common.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>

#include "engine/fibers.h"
#include "engine/memory.h"
#include "engine/streams.h"
#include "runtime_api.h"

namespace emulator {

struct machine {
  std::mutex lock;
  memory allocations;
  streams queues;
  std::map<cudaStream_t, std::shared_ptr<stream>> stream_handles;
  std::map<cudaEvent_t, std::shared_ptr<event>> event_handles;
  std::map<const void*, std::shared_ptr<graph>> graph_handles;  // of graphs, and of those made ready to launch
  std::optional<failure> unreported;  // of work that ran in a call whose result nobody looks at
  std::uint64_t launches = 0;

  std::shared_ptr<stream> stream_of(cudaStream_t handle);  // null: there is none
  std::shared_ptr<event> event_of(cudaEvent_t handle);
};

machine& the_machine();

// Of the calling thread. Trivial, for calls that come when thread-local objects are gone.
struct thread_state {
  int device;
  cudaError_t last_error;
  cudaStreamCaptureMode capture_mode;
  cudaError_t explained;  // by `why`
  char why[512];
};

thread_state& this_thread();

// For calls that no captured stream can have.
void not_while_capturing(machine& here);
void not_captured(const stream& one);

int device_count();

// Remembers the words for cudaGetErrorString.
cudaError_t refuse(cudaError_t error, const std::string& why);

enum class reports { always, later };  // later: the result of the call says nothing about work queued before

// Runs one API function under the lock. A failure of queued work drops all that is queued, and is reported once.
template <class Function>
cudaError_t call(Function function, reports when = reports::always) {
  machine& here = the_machine();
  const std::scoped_lock guard(here.lock);
  thread_state& thread = this_thread();
  const auto run = [&]() -> cudaError_t {
    if (device_count() == 0) return cudaErrorNoDevice;
    if (when == reports::always && here.unreported) {
      const failure earlier = *here.unreported;
      here.unreported.reset();
      return refuse(earlier.error, earlier.why);
    }
    try {
      return function(here);
    } catch (const failure& failed) {
      here.queues.drop_all();
      if (when == reports::later) here.unreported = failed;
      return refuse(failed.error, failed.why);
    } catch (const refusal& refused) {
      return refuse(refused.error, refused.why);
    } catch (const std::bad_alloc&) {
      return cudaErrorMemoryAllocation;
    }
  };
  const cudaError_t error = run();
  if (error != cudaSuccess && error != cudaErrorNotReady) thread.last_error = error;
  return error;
}

}  // namespace emulator
