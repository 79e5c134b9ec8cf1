// Keeps a worker off the processor of the thread it helps.
#pragma once

#include <thread>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace rnnpack::threads {

// The kernel likes to wake a thread where its waker runs, and takes many milliseconds to notice that both compute;
// until then two threads are no faster than one.
class placement {
 public:
  using handle = std::thread::native_handle_type;

#if defined(__linux__)
  // Lets the thread run on all of its processors but the calling thread's, which may have changed since last time.
  void keep_away(handle worker) {
    const int here = sched_getcpu();
    if (here < 0 || here == avoided_) return;
    cpu_set_t now;
    if (pthread_getaffinity_np(worker, sizeof(now), &now) != 0) return;
    // A mask that is not the one set here is the user's wish.
    if (avoided_ < 0 || !CPU_EQUAL(&now, &last_)) allowed_ = now;
    last_ = allowed_;
    CPU_CLR(static_cast<unsigned>(here), &last_);
    if (CPU_COUNT(&last_) == 0) last_ = allowed_;
    pthread_setaffinity_np(worker, sizeof(last_), &last_);  // refusal changes speed only
    avoided_ = here;
  }

 private:
  int avoided_ = -1;
  cpu_set_t allowed_{};
  cpu_set_t last_{};
#else
  void keep_away(handle) {}
#endif
};

}  // namespace rnnpack::threads
