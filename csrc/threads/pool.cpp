#include "threads/pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "threads/placement.h"
#include "threads/spin.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>

#include <csignal>
#endif

namespace rnnpack::threads {
namespace {

// A worker spins this long after its last job: calls that follow each other closely find it awake, and an idle
// process burns no more than this.
constexpr std::int64_t awake_ns = 60'000;

// So many calls that parked helpers come too late for, each soon after the one before, wake them.
constexpr int calls_before_waking = 4;
constexpr std::int64_t soon_ns = 300'000;

// Helpers earn the time they save and pay for the time they cost. What they have earned lately, up to this much, pays
// for a processor that was taken away from one of them now and then, as happens on every machine.
constexpr std::int64_t most_earned_ns = 20'000'000;

// When they owe time, calls run alone for this many times as long, four times longer at each relapse, so that a
// processor that stays busy costs less than a hundredth. One that was busy for a while is soon tried again.
constexpr std::int64_t rest_factor = 10;
constexpr int most_relapses = 2;
constexpr std::int64_t longest_rest_ns = 1'000'000'000;

// Signals are for the threads of the program.
class signals_blocked {  // NOLINT(*-special-member-functions): neither copied nor moved
#if defined(__unix__) || defined(__APPLE__)
 public:
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
#endif
};

std::atomic<unsigned>& thread_limit() {
  static constinit std::atomic<unsigned> threads{1};
  return threads;
}

}  // namespace

// Lives as long as the process: workers may be parked in it when the program exits.
class pool {
 public:
  static pool& instance() {
    pool* found = current().load(std::memory_order_acquire);
    if (found != nullptr) return *found;
#if defined(__unix__) || defined(__APPLE__)
    static std::once_flag once;
    // A child of fork has none of the workers, and perhaps a locked lock: it starts with a new pool.
    std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { current().store(nullptr); }); });
#endif
    auto made = std::make_unique<pool>();
    if (current().compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) return *made.release();
    return *found;
  }

  prospect prospects() const {
    const unsigned threads = thread_limit().load(std::memory_order_relaxed);
    const std::int64_t rest = rest_until_.load(std::memory_order_relaxed);
    if (rest != 0 && now_ns() < rest) return {.threads = 1, .awake = false};
    return {.threads = threads, .awake = awake_.load(std::memory_order_relaxed) > 0};
  }

  // Opens the door to a job. False: another team is at work, or there is nobody to help.
  bool open(unsigned width, team::work f, void* context) {
    if (width < 2 || busy_.exchange(true, std::memory_order_acquire)) return false;
    const std::size_t helpers = ensure_workers(width - 1);
    if (helpers == 0) {
      release();
      return false;
    }
    f_ = f;
    context_ = context;
    workers_lost_.store(0, std::memory_order_relaxed);
    width_ = static_cast<std::uint32_t>(helpers) + 1;
    door_.store(opened | helpers << places_shift, std::memory_order_release);
    call(helpers);
    return true;
  }

  void expect_more() {
    const std::int64_t now = now_ns();
    const bool soon = now - last_expected_.exchange(now, std::memory_order_relaxed) < soon_ns;
    if (!soon) expected_.store(0, std::memory_order_relaxed);
    if (expected_.fetch_add(1, std::memory_order_relaxed) + 1 < calls_before_waking) return;
    expected_.store(0, std::memory_order_relaxed);
    if (busy_.exchange(true, std::memory_order_acquire)) return;
    call(ensure_workers(thread_limit().load(std::memory_order_relaxed) - 1));  // they find the door closed, and spin
    release();
  }

  // Closes the door; the number of workers that came through it.
  unsigned close() {
    const std::uint64_t before = door_.fetch_and(~opened, std::memory_order_acq_rel);
    return width_ - 1 - static_cast<unsigned>(before >> places_shift & count_mask);
  }

  // Workers that have come in so far.
  unsigned arrived() const {
    return width_ - 1 - static_cast<unsigned>(door_.load(std::memory_order_acquire) >> places_shift & count_mask);
  }

  // The nanoseconds that members lose at the end: the caller waiting for a late worker, or the other way round, as when
  // the caller's own processor has been taken away.
  std::int64_t wait_until_empty() const {
    const std::int64_t here = now_ns();
    const std::int64_t lost = wait_until([this] { return (door_.load(std::memory_order_acquire) & count_mask) == 0; });
    return lost > 0 ? lost : std::max<std::int64_t>(0, here - last_left_.load(std::memory_order_relaxed));
  }

  // What the worker of this team that waited longest has lost inside its work.
  std::int64_t workers_lost() const { return workers_lost_.load(std::memory_order_relaxed); }

  // Learns from a team of `members` that took `elapsed` ns, of which it lost some by waiting for each other.
  void judge(unsigned members, std::int64_t elapsed, std::int64_t lost) {
    if (members < 2) return;
    // What the caller alone would have taken, less a fifth: sharing makes the work itself longer.
    const std::int64_t alone = static_cast<std::int64_t>(members) * (elapsed - lost) * 4 / 5;
    earned_ = std::min(earned_ + alone - elapsed, most_earned_ns);
    if (earned_ == most_earned_ns) relapses_ = 0;
    if (earned_ >= 0) return;
    const std::int64_t rest = std::min(-earned_ * rest_factor << 2 * relapses_, longest_rest_ns);
    rest_until_.store(now_ns() + rest, std::memory_order_relaxed);
    relapses_ = std::min(relapses_ + 1, most_relapses);
    earned_ = 0;
  }

  void release() { busy_.store(false, std::memory_order_release); }

 private:
  struct alignas(64) worker {
    std::atomic<std::uint32_t> called{0};
    placement::handle thread{};
    placement place;
  };

  static std::atomic<pool*>& current() {
    static std::atomic<pool*> pointer{nullptr};
    return pointer;
  }

  void call(std::size_t helpers) {
    for (std::size_t i = 0; i < helpers; ++i) {
      workers_[i]->place.keep_away(workers_[i]->thread);
      workers_[i]->called.fetch_add(1, std::memory_order_release);
      workers_[i]->called.notify_one();
    }
  }

  // Starts missing workers; how many of the `wanted` there are.
  std::size_t ensure_workers(std::size_t wanted) {
    try {
      if (workers_.size() < wanted) workers_.reserve(wanted);
      while (workers_.size() < wanted) {
        auto made = std::make_unique<worker>();
        const signals_blocked blocked;
        std::thread thread(&pool::serve, this, made.get());
        made->thread = thread.native_handle();
        thread.detach();  // it never ends, so the handle stays good
        workers_.push_back(std::move(made));
      }
    } catch (const std::exception&) {  // the system has no more threads or memory to give: fewer will do
      return workers_.size();
    }
    return std::min(workers_.size(), wanted);
  }

  void serve(worker* self) {
    std::uint32_t seen = 0;
    std::int64_t patience = awake_ns;
    awake_.fetch_add(1, std::memory_order_relaxed);
    for (;;) {
      seen = next_call(*self, seen, patience);
      unsigned member = 0;
      if (!enter(member)) {  // woken for the call after this one
        patience = soon_ns;
        continue;
      }
      patience = awake_ns;
      const std::int64_t lost = f_(context_, member);
      if (lost > workers_lost_.load(std::memory_order_relaxed)) workers_lost_.store(lost, std::memory_order_relaxed);
      last_left_.store(now_ns(), std::memory_order_relaxed);
      door_.fetch_sub(1, std::memory_order_release);
    }
  }

  // Spins for a while, then parks until the worker is called.
  std::uint32_t next_call(worker& self, std::uint32_t seen, std::int64_t patience) {
    for (const std::int64_t until = now_ns() + patience; now_ns() < until;) {
      for (int i = 0; i < 50; ++i) {
        const std::uint32_t called = self.called.load(std::memory_order_acquire);
        if (called != seen) return called;
        relax();
      }
    }
    awake_.fetch_sub(1, std::memory_order_relaxed);
    self.called.wait(seen, std::memory_order_acquire);
    awake_.fetch_add(1, std::memory_order_relaxed);
    return self.called.load(std::memory_order_acquire);
  }

  // Through the door, if it is open and a place is left.
  bool enter(unsigned& member) {
    std::uint64_t state = door_.load(std::memory_order_acquire);
    for (;;) {
      const std::uint64_t places = state >> places_shift & count_mask;
      if ((state & opened) == 0 || places == 0) return false;
      const std::uint64_t inside = state - (std::uint64_t{1} << places_shift) + 1;
      if (door_.compare_exchange_weak(state, inside, std::memory_order_acq_rel)) {
        member = width_ - static_cast<unsigned>(places);
        return true;
      }
    }
  }

  // The door: the number of workers inside, of places left, and whether it is open.
  static constexpr std::uint64_t count_mask = 0xffff;
  static constexpr int places_shift = 16;
  static constexpr std::uint64_t opened = std::uint64_t{1} << 32;
  alignas(64) std::atomic<std::uint64_t> door_{0};
  team::work f_ = nullptr;
  void* context_ = nullptr;
  std::uint32_t width_ = 1;

  std::atomic<std::int64_t> workers_lost_{0};
  std::atomic<std::int64_t> last_left_{0};

  std::atomic<bool> busy_{false};  // a team is at work; the members around are its caller's
  std::vector<std::unique_ptr<worker>> workers_;
  std::int64_t earned_ = 0;  // nanoseconds
  int relapses_ = 0;         // rests since helpers had earned all that they can
  std::atomic<std::int64_t> rest_until_{0};
  std::atomic<int> awake_{0};
  std::atomic<std::int64_t> last_expected_{0};
  std::atomic<int> expected_{0};  // calls in a row
};

unsigned limit() { return thread_limit().load(std::memory_order_relaxed); }

void set_limit(unsigned threads) { thread_limit().store(threads, std::memory_order_relaxed); }

prospect prospects() {
  if (limit() < 2) return {.threads = 1, .awake = false};
  return pool::instance().prospects();
}

void expect_more() { pool::instance().expect_more(); }

team::team(unsigned width, work f, void* context) : pool_(width < 2 ? nullptr : &pool::instance()) {
  if (pool_ == nullptr) return;
  start_ = now_ns();
  if (!pool_->open(width, f, context)) pool_ = nullptr;
}

void team::wait_for_members(unsigned width, std::int64_t nanoseconds) const {
  if (pool_ == nullptr) return;
  const std::int64_t until = now_ns() + nanoseconds;
  while (1 + pool_->arrived() < width && now_ns() < until) relax();
}

unsigned team::close() {
  if (pool_ != nullptr && open_) members_ += pool_->close();
  open_ = false;
  return members_;
}

team::~team() {
  close();
  if (pool_ == nullptr) return;
  if (members_ > 1) add_lost(pool_->wait_until_empty() + pool_->workers_lost());
  pool_->judge(members_, now_ns() - start_, lost_);
  pool_->release();
}

}  // namespace rnnpack::threads
