#include "engine/streams.h"

namespace emulator {
namespace {

// A real stream takes about so much work; who gives it more waits for room.
constexpr std::size_t most_waiting = 1024;

}  // namespace

std::shared_ptr<stream> streams::legacy(int device) {
  std::shared_ptr<stream>& one = legacy_[device];
  if (!one) one = keep({.device = device, .legacy = true, .blocking = true});
  return one;
}

std::shared_ptr<stream> streams::per_thread(int device) {
  std::shared_ptr<stream>& one = per_thread_[device];
  if (!one) one = make(device, true);
  return one;
}

std::shared_ptr<stream> streams::make(int device, bool blocking) {
  return keep({.device = device, .legacy = false, .blocking = blocking});
}

std::shared_ptr<stream> streams::keep(const stream& made) {
  std::erase_if(all_, [](const auto& one) { return one->retired && one->queue.empty(); });
  return all_.emplace_back(std::make_shared<stream>(made));
}

void streams::retire(const std::shared_ptr<stream>& one) { one->retired = true; }

point streams::add(const std::shared_ptr<stream>& to, work run, std::vector<point> after) {
  if (to->capture) {
    to->capture->all.push_back(std::move(run));
    return {to, to->issued};
  }
  if (to->legacy) {
    for (const auto& other : all_) {
      if (other->device != to->device || !other->blocking || other == to) continue;
      if (other->capture) {
        other->capture->invalid = true;
        throw refusal{cudaErrorStreamCaptureImplicit, "the default stream is used while a blocking stream is captured"};
      }
      after.push_back({other, other->issued});
    }
  } else if (to->blocking) {
    const std::shared_ptr<stream> first = legacy(to->device);
    after.push_back({first, first->issued});
  }
  std::erase_if(after, [](const point& one) { return one.on->done >= one.count; });
  if (to->queue.size() >= most_waiting) step(*to);
  to->queue.push_back({std::move(run), std::move(after)});
  return {to, ++to->issued};
}

void streams::not_while_capturing(cudaStreamCaptureMode thread_mode) {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return;
  bool forbidden = false;
  for (const auto& one : all_) {
    if (!one->capture || one->capture->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool of_all = one->capture->mode == cudaStreamCaptureModeGlobal;
    if (!of_all && one->capture->captured_by != std::this_thread::get_id()) continue;
    one->capture->invalid = true;
    forbidden = true;
  }
  if (forbidden)
    throw refusal{cudaErrorStreamCaptureUnsupported, "a call that is not permitted while a stream is captured"};
}

void streams::finish(const point& until) {
  while (until.on->done < until.count) step(*until.on);
}

void streams::finish_device(int device) {
  const std::vector<std::shared_ptr<stream>> all = all_;
  for (const auto& one : all)
    if (one->device == device) finish({one, one->issued});
}

bool streams::advance(const point& until) {
  if (until.on->done >= until.count) return true;
  step(*until.on);
  return false;
}

void streams::step(stream& on) {
  const task next = std::move(on.queue.front());
  on.queue.pop_front();
  for (const point& before : next.after) finish(before);
  next.run();
  ++on.done;
}

void streams::drop_all() {
  for (const auto& one : all_) {
    one->queue.clear();
    one->done = one->issued;
  }
}

}  // namespace emulator
