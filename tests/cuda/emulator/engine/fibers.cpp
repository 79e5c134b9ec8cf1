#include "engine/fibers.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "device.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace emulator {

namespace {

constexpr std::size_t stack_bytes = std::size_t{128} << 10;
constexpr std::size_t guard_bytes = 4096;  // below the stack: to overflow it ends the process rather than others' data

struct fiber {
  std::byte* memory = nullptr;
  jmp_buf here{};        // where it goes on
  bool entered = false;  // its loop over kernels has begun
  enum class state { ready, waiting, returned } state = state::ready;
  place where{};  // that it waits at
  std::uint32_t warp_syncs = 0;
  uint3 index{};

  fiber() {
    void* const got = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) throw std::bad_alloc();
    memory = static_cast<std::byte*>(got);
    mprotect(memory, guard_bytes, PROT_NONE);
  }
  ~fiber() { munmap(memory, guard_bytes + stack_bytes); }
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;
};

// Lanes of one warp that wait for each other. Two tables take turns: before the second is given away again, all lanes
// have read the first.
struct warp_meeting {
  std::uint32_t mask;
  std::uint32_t arrived = 0;
  place where{};
  int turn = 0;
  warp_values values[2]{};
};

struct warp {
  std::uint32_t returned = 0;
  std::deque<warp_meeting> meetings;  // by mask
};

bool same(const place& a, const place& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string text(const place& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

// The block that runs. There is one at a time: the runtime's lock is held.
class block_runner {
 public:
  std::optional<failure> run(const kernel_launch& kernel, const std::vector<unsigned>& first_order,
                             const std::function<void(std::vector<unsigned>&)>& reorder) {
    thread_ = &kernel.thread;
    prepare(kernel.block);
    std::vector<unsigned> sequence = first_order;
    while (returned_ < threads_ && !failure_) {
      bool moved = false;
      for (const unsigned i : sequence) {
        if (fibers_[i]->state != fiber::state::ready) continue;
        moved = true;
        resume(i);
        if (failure_) break;
      }
      if (!moved) failure_ = deadlock();
      reorder(sequence);
    }
    thread_ = nullptr;
    if (failure_) forget_fibers();
    return failure_;
  }

  [[nodiscard]] bool running() const { return thread_ != nullptr; }
  [[nodiscard]] unsigned current() const { return current_; }

  [[noreturn]] void fail(cudaError_t error, const std::string& why) {
    failure_ = failure{error, why + " (thread " + std::to_string(current_) + " of block " + std::to_string(blockIdx.x) +
                                  ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")"};
    _longjmp(scheduler_, 1);
  }

  [[nodiscard]] moment now() const {
    return {.block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x,
            .thread = static_cast<std::uint16_t>(current_),
            .barrier = barriers_,
            .warp_sync = fibers_[current_]->warp_syncs};
  }
  [[nodiscard]] bool own_stack(std::uintptr_t address, std::size_t bytes) const {
    const auto begin = reinterpret_cast<std::uintptr_t>(fibers_[current_]->memory) + guard_bytes;
    return address >= begin && address + bytes <= begin + stack_bytes;
  }

  void meet_block(const place& where) {
    const engine_section here;
    if (block_waiting_ == 0) block_where_ = where;
    if (!same(block_where_, where))
      fail(cudaErrorLaunchFailure,
           "threads of a block wait at different barriers, " + text(block_where_) + " and " + text(where));
    ++block_waiting_;
    in_block_[current_] = true;
    if (!leave_block_if_all_came()) wait(where);
  }

  const warp_values& meet_warp(std::uint32_t mask, const void* value, std::size_t bytes, const place& where) {
    const engine_section here;
    const unsigned lane = current_ % 32;
    if ((mask >> lane & 1) == 0) fail(cudaErrorLaunchFailure, "a lane is not in its own mask, at " + text(where));
    warp_meeting& meeting = meeting_of(warps_[current_ / 32], mask);
    if (meeting.arrived == 0) meeting.where = where;
    if (!same(meeting.where, where))
      fail(cudaErrorLaunchFailure,
           "lanes of a warp wait at different places, " + text(meeting.where) + " and " + text(where));
    warp_values& values = meeting.values[meeting.turn];
    if (bytes > 0) std::memcpy(values.of[lane].data(), value, bytes);
    meeting.arrived |= 1U << lane;
    if (!leave_warp_if_all_came(current_ / 32, meeting)) wait(where);
    if (value == nullptr) ++fibers_[current_]->warp_syncs;  // shuffles order no memory
    return values;
  }

 private:
  void prepare(dim3 shape) {
    threads_ = shape.x * shape.y * shape.z;
    while (fibers_.size() < threads_) fibers_.push_back(std::make_unique<fiber>());
    for (unsigned i = 0; i < threads_; ++i) {
      fibers_[i]->state = fiber::state::ready;
      fibers_[i]->warp_syncs = 0;
      fibers_[i]->index = {i % shape.x, i / shape.x % shape.y, i / shape.x / shape.y};
    }
    warps_.resize(std::max<std::size_t>(warps_.size(), (threads_ + 31) / 32));
    for (warp& warp : warps_) {
      warp.returned = 0;
      for (warp_meeting& meeting : warp.meetings) meeting.arrived = 0;
    }
    if (const unsigned rest = threads_ % 32; rest != 0) warps_[threads_ / 32].returned = ~0U << rest;
    in_block_.assign(threads_, false);
    block_waiting_ = 0;
    barriers_ = 0;
    returned_ = 0;
    failure_.reset();
  }

  static warp_meeting& meeting_of(warp& warp, std::uint32_t mask) {
    for (warp_meeting& meeting : warp.meetings)
      if (meeting.mask == mask) return meeting;
    return warp.meetings.emplace_back(warp_meeting{.mask = mask});
  }

  bool leave_block_if_all_came() {
    if (block_waiting_ == 0 || block_waiting_ + returned_ < threads_) return false;
    for (unsigned i = 0; i < threads_; ++i)
      if (in_block_[i]) fibers_[i]->state = fiber::state::ready;
    in_block_.assign(threads_, false);
    block_waiting_ = 0;
    ++barriers_;
    return true;
  }

  bool leave_warp_if_all_came(unsigned number, warp_meeting& meeting) {
    if (meeting.arrived == 0 || (meeting.arrived | warps_[number].returned) != (meeting.mask | warps_[number].returned))
      return false;
    meeting.values[meeting.turn].present = meeting.arrived;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (meeting.arrived >> lane & 1) fibers_[number * 32 + lane]->state = fiber::state::ready;
    meeting.arrived = 0;
    meeting.turn ^= 1;
    return true;
  }

  // Threads that have returned count as arrived.
  void return_from_kernel() {
    fibers_[current_]->state = fiber::state::returned;
    ++returned_;
    warp& mine = warps_[current_ / 32];
    mine.returned |= 1U << current_ % 32;
    leave_block_if_all_came();
    for (warp_meeting& meeting : mine.meetings) leave_warp_if_all_came(current_ / 32, meeting);
  }

  [[nodiscard]] failure deadlock() const {
    std::string waiting;
    for (unsigned i = 0; i < threads_; ++i) {
      const std::string where = "thread " + std::to_string(i) + " at " + text(fibers_[i]->where);
      if (fibers_[i]->state == fiber::state::waiting && waiting.size() < 200)
        waiting += (waiting.empty() ? "" : ", ") + where;
    }
    return {cudaErrorLaunchFailure, "threads of a block wait for ever for each other: " + waiting};
  }

  // To the fiber, until it waits or returns. Nothing here may change between setjmp and longjmp.
  [[gnu::noinline]] void resume(unsigned i) {
    current_ = i;
    threadIdx = fibers_[i]->index;
    if (_setjmp(scheduler_) != 0) {
      checking_accesses = false;
      return;
    }
    if (fibers_[i]->entered) _longjmp(fibers_[i]->here, 1);
    enter(*fibers_[i]);
  }

  [[noreturn]] static void enter(fiber& one) {
    one.entered = true;
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = one.memory + guard_bytes;
    start.uc_stack.ss_size = stack_bytes;
    start.uc_link = nullptr;
    makecontext(&start, &block_runner::loop, 0);
    setcontext(&start);
    std::abort();
  }

  static void loop();

  void wait(const place& where) {
    fibers_[current_]->state = fiber::state::waiting;
    fibers_[current_]->where = where;
    leave();
  }

  [[gnu::noinline]] void leave() {
    if (_setjmp(fibers_[current_]->here) == 0) _longjmp(scheduler_, 1);
  }

  // Those that were left in the middle of a kernel begin anew with the next.
  void forget_fibers() {
    for (auto& one : fibers_) one->entered = false;
  }

  std::vector<std::unique_ptr<fiber>> fibers_;
  std::vector<warp> warps_;
  const std::function<void()>* thread_ = nullptr;
  unsigned threads_ = 0;
  unsigned current_ = 0;
  unsigned returned_ = 0;
  unsigned block_waiting_ = 0;
  std::uint16_t barriers_ = 0;
  std::vector<bool> in_block_;
  place block_where_{};
  std::optional<failure> failure_;
  jmp_buf scheduler_{};
};

block_runner& runner() {
  // Never destroyed: a thread may run kernels while the process ends.
  static block_runner& one = *std::make_unique<block_runner>().release();
  return one;
}

void block_runner::loop() {
  for (;;) {
    (*runner().thread_)();
    runner().return_from_kernel();
    runner().leave();
  }
}

}  // namespace

std::optional<failure> run_kernel(const kernel_launch& kernel, const order& order) {
  std::mt19937_64 random(order.seed);
  const auto reorder = [&](std::vector<unsigned>& sequence) {
    if (order.kind == order::kind::shuffled) std::shuffle(sequence.begin(), sequence.end(), random);
  };
  const auto sequence_of = [&](std::size_t count) {
    std::vector<unsigned> sequence(count);
    std::iota(sequence.begin(), sequence.end(), 0U);
    if (order.kind == order::kind::backward) std::reverse(sequence.begin(), sequence.end());
    reorder(sequence);
    return sequence;
  };
  begin_accesses();
  gridDim = kernel.grid;
  blockDim = kernel.block;
  const std::vector<unsigned> threads = sequence_of(std::size_t{kernel.block.x} * kernel.block.y * kernel.block.z);
  for (const unsigned i : sequence_of(std::size_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z)) {
    blockIdx = {i % kernel.grid.x, i / kernel.grid.x % kernel.grid.y, i / kernel.grid.x / kernel.grid.y};
    if (auto failed = runner().run(kernel, threads, reorder)) return failed;
  }
  return std::nullopt;
}

moment current_moment() { return runner().now(); }

bool stack_of_thread(std::uintptr_t address, std::size_t bytes) { return runner().own_stack(address, bytes); }

void fail_with(cudaError_t error, const std::string& why) {
  if (runner().running()) runner().fail(error, why);
  std::fprintf(stderr, "CUDA emulator, host code: %s\n", why.c_str());
}

void begin_kernel_code() { checking_accesses = true; }
void end_kernel_code() { checking_accesses = false; }

void meet_block(const place& where) { runner().meet_block(where); }

const warp_values& meet_warp(std::uint32_t mask, const void* value, std::size_t bytes, const place& where) {
  return runner().meet_warp(mask, value, bytes, where);
}

std::uint32_t lane() { return runner().current() % 32; }

void fail(const char* why, const place& where) {
  runner().fail(cudaErrorLaunchFailure, std::string(why) + ", at " + text(where));
}

}  // namespace emulator
