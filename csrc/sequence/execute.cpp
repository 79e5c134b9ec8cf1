#include "sequence/execute.h"

#include <atomic>

#include "sequence/fp_mode.h"
#include "threads/pool.h"

namespace rnnpack::sequence {
namespace {

// Strands that never meet: whoever is free takes the next one. As for all tasks here, work() returns the nanoseconds
// that the thread has lost waiting for others.
template <class T>
class strand_tasks {
 public:
  strand_tasks(std::vector<strand<T>>& strands, bool finish, supervisor& over)
      : strands_(strands), finish_(finish), over_(over) {}

  std::int64_t work(unsigned member) {
    const flush_denormals flushed;
    crew here(over_, flushed, member == 0);
    for (std::size_t i = next_++; i < strands_.size() && strands_[i].run(here); i = next_++)
      if (finish_) strands_[i].finish();
    return 0;
  }

 private:
  std::vector<strand<T>>& strands_;
  bool finish_;
  supervisor& over_;
  std::atomic<std::size_t> next_{0};
};

// The (layer, chunk) pairs of one strand, taken in an order in which everything a pair needs was taken before it.
template <class T>
class layer_tasks {
 public:
  layer_tasks(strand<T>& one, supervisor& over) : strand_(one), over_(over), done_(one.layers()) {
    const std::size_t diagonals = one.chunks() + one.layers() - 1;
    for (std::size_t diagonal = 0; diagonal < diagonals; ++diagonal)
      for (std::size_t layer = 0; layer < one.layers() && layer <= diagonal; ++layer)
        if (diagonal - layer < one.chunks()) tasks_.push_back({.layer = layer, .chunk = diagonal - layer});
  }

  std::int64_t work(unsigned member) {
    const flush_denormals flushed;
    crew here(over_, flushed, member == 0);
    std::int64_t lost = 0;
    for (std::size_t i = next_++; i < tasks_.size(); i = next_++) {
      const auto [layer, chunk] = tasks_[i];
      lost += wait_for_inputs(layer, chunk);
      if (!over_.stopped()) {  // else only the bookkeeping goes on, so that nobody waits for ever
        if (layer == 0) strand_.collect(chunk);
        strand_.project(layer, chunk, here);
        strand_.step(layer, chunk, here);
      }
      done_[layer].chunks.store(chunk + 1, std::memory_order_release);
    }
    return lost;
  }

 private:
  struct task {
    std::size_t layer;
    std::size_t chunk;
  };
  struct alignas(64) progress {
    std::atomic<std::size_t> chunks{0};
  };

  std::int64_t wait_for(std::size_t layer, std::size_t chunks) const {
    return threads::wait_until(
        [&done = done_[layer].chunks, chunks] { return done.load(std::memory_order_acquire) >= chunks; });
  }

  std::int64_t wait_for_inputs(std::size_t layer, std::size_t chunk) const {
    std::int64_t lost = wait_for(layer, chunk);
    if (layer > 0) lost += wait_for(layer - 1, chunk + 1);
    // The layer above must have read what this one wrote two chunks ago, as its place is used again.
    if (layer + 1 < done_.size() && chunk >= 2) lost += wait_for(layer + 1, chunk - 1);
    return lost;
  }

  strand<T>& strand_;
  supervisor& over_;
  std::vector<task> tasks_;
  std::vector<progress> done_;
  std::atomic<std::size_t> next_{0};
};

// Every step is taken by all members together. Those who come before the first step stay until the end.
template <class T>
class unit_tasks {
 public:
  unit_tasks(strand<T>& one, supervisor& over) : strand_(one), over_(over) {}

  void begin(unsigned members) { members_.store(members, std::memory_order_release); }

  std::int64_t work(unsigned member) {
    threads::wait_until([this] { return members_.load(std::memory_order_acquire) != 0; });
    const flush_denormals flushed;
    crew here(over_, flushed, place_, member, members_.load(std::memory_order_relaxed));
    strand_.run(here);
    return here.lost();
  }

 private:
  meeting place_;
  strand<T>& strand_;
  supervisor& over_;
  std::atomic<unsigned> members_{0};  // 0 while it is open who they will be
};

template <class Tasks>
std::int64_t call_work(void* tasks, unsigned member) {
  return static_cast<Tasks*>(tasks)->work(member);
}

template <class Tasks>
void run_team(unsigned threads, Tasks& tasks) {
  threads::team team(threads, &call_work<Tasks>, &tasks);
  team.add_lost(tasks.work(0));
}

template <class T>
void run_units(unsigned threads, unit_tasks<T>& tasks) {
  // Waiting for a parked thread costs little beside what sharing is going to save.
  constexpr std::int64_t patience_ns = 100'000;
  threads::team team(threads, &call_work<unit_tasks<T>>, &tasks);
  team.wait_for_members(threads, patience_ns);
  tasks.begin(team.close());
  team.add_lost(tasks.work(0));
}

}  // namespace

strand_form form_of(const split& plan) {
  return {.members = plan.how == split::kind::units ? plan.threads : 1,
          .layers_overlap = plan.how == split::kind::layers};
}

template <class T>
status execute(std::vector<strand<T>>& strands, const split& plan, bool finish, const interruption& question) {
  supervisor over(question);
  if (plan.how == split::kind::layers || plan.how == split::kind::units) {
    strand<T>& one = strands.front();
    if (plan.how == split::kind::layers) {
      layer_tasks<T> tasks(one, over);
      run_team(plan.threads, tasks);
    } else {
      unit_tasks<T> tasks(one, over);
      run_units(plan.threads, tasks);
    }
    if (finish && !over.stopped()) one.finish();
  } else {
    strand_tasks<T> tasks(strands, finish, over);
    run_team(plan.threads, tasks);
  }
  return over.stopped() ? status::interrupted : status::ok;
}

template status execute<float>(std::vector<strand<float>>&, const split&, bool, const interruption&);
template status execute<double>(std::vector<strand<double>>&, const split&, bool, const interruption&);

}  // namespace rnnpack::sequence
