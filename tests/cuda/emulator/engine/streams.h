// Streams as lazy queues: work is done when someone waits for it, and only what that needs is done.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/fibers.h"
#include "runtime_api.h"

namespace emulator {

struct stream;

// A stream's state after its first `count` pieces of work.
struct point {
  std::shared_ptr<stream> on;
  std::uint64_t count;
};

// Throws `failure` when it fails.
using work = std::function<void()>;

// What a stream was given while it was captured. Captures of one stream alone are emulated.
struct graph {
  cudaStreamCaptureMode mode;
  std::thread::id captured_by;
  std::vector<work> all{};
  bool invalid = false;
};

// A call that cannot be done and changes nothing, unlike a `failure` of what was queued.
struct refusal {
  cudaError_t error;
  std::string why;
};

struct task {
  work run;
  std::vector<point> after;
};

struct stream {
  int device;
  bool legacy;    // the default stream: ordered with all blocking ones
  bool blocking;  // not made with cudaStreamNonBlocking
  bool retired = false;
  std::deque<task> queue{};
  std::uint64_t issued = 0;
  std::uint64_t done = 0;
  std::shared_ptr<graph> capture{};  // null: it is not captured
};

struct event {
  int device;
  std::optional<point> recorded{};
  std::weak_ptr<graph> captured{};  // it was recorded into
};

class streams {
 public:
  // cudaStreamLegacy and cudaStreamPerThread of a device; for simplicity all threads share the latter.
  std::shared_ptr<stream> legacy(int device);
  std::shared_ptr<stream> per_thread(int device);
  std::shared_ptr<stream> make(int device, bool blocking);
  // Takes no more work; what it has is still done.
  void retire(const std::shared_ptr<stream>& one);

  // Puts work at the end of a stream, or of the graph that is captured from it. It begins when all `after` are reached.
  point add(const std::shared_ptr<stream>& to, work run, std::vector<point> after = {});

  // Invalidates the captures during which a thread may not do something that no graph can have, if there are any.
  void not_while_capturing(cudaStreamCaptureMode thread_mode);

  // Does what is needed to reach the point.
  void finish(const point& until);
  void finish_device(int device);
  // Does one piece of work on the way to the point, if it was not reached yet; says whether it was.
  bool advance(const point& until);

  // Nothing that was queued will be done.
  void drop_all();

 private:
  std::shared_ptr<stream> keep(const stream& made);
  void step(stream& on);

  std::vector<std::shared_ptr<stream>> all_;
  std::map<int, std::shared_ptr<stream>> legacy_;
  std::map<int, std::shared_ptr<stream>> per_thread_;
};

}  // namespace emulator
