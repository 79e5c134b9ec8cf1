// The threads that work on a call, and whether it goes on.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>

#include "api/kernels.h"
#include "api/run.h"
#include "sequence/fp_mode.h"
#include "threads/barrier.h"

namespace rnnpack::sequence {

// One for a call; the calling thread asks Python now and then, the others see what it was told.
class supervisor {
 public:
  explicit supervisor(const interruption& question) : question_(question) {}

  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  // By the calling thread only. Not every time: looking at a clock would show in short steps.
  bool ask(std::size_t work, const flush_denormals& mode) {
    constexpr std::size_t work_between_questions = std::size_t{1} << 26;  // rows times bytes of weights
    work_ += work;
    if (work_ < work_between_questions) return !stopped();
    work_ = 0;
    if (!mode.suspended([this] { return question_.keep_going(question_.context); })) stopped_.store(true);
    return !stopped();
  }

 private:
  const interruption& question_;
  std::atomic<bool> stopped_{false};
  std::size_t work_ = 0;  // since the last question
};

// Where the members of a crew meet. They leave with the same answer to the question whether to go on.
class meeting {
 public:
  std::int64_t arrive(unsigned member, unsigned members, bool go_on, bool& answer) {
    // Two answers alternate: one is only written again after everybody has read it.
    const unsigned turn = turns_[member].count++ & 1;
    if (member == 0) answers_[turn].store(go_on, std::memory_order_relaxed);
    const std::int64_t lost = barrier_.arrive(member, members);
    answer = answers_[turn].load(std::memory_order_relaxed);
    return lost;
  }

 private:
  struct alignas(64) turn_count {
    unsigned count = 0;
  };
  threads::barrier barrier_;
  std::array<std::atomic<bool>, 2> answers_{};
  std::array<turn_count, threads::most_members> turns_{};
};

// What a thread knows of its place: it runs strands alone, or is one of several members that share each step.
class crew {
 public:
  crew(supervisor& over, const flush_denormals& mode, bool is_caller) : over_(over), mode_(mode), caller_(is_caller) {}
  crew(supervisor& over, const flush_denormals& mode, meeting& place, unsigned member, unsigned members)
      : over_(over), mode_(mode), caller_(member == 0), place_(&place), member_(member), members_(members) {}

  unsigned member() const { return member_; }
  std::int64_t lost() const { return lost_; }

  // Whether the call goes on; `work` is about to be done.
  bool go_on(std::size_t work) { return caller_ ? over_.ask(work, mode_) : !over_.stopped(); }

  // Waits for the other members; whether the call goes on, the same answer for all.
  bool meet(std::size_t work = 0) {
    if (members_ == 1) return true;
    bool answer = true;
    lost_ += place_->arrive(member_, members_, member_ != 0 || over_.ask(work, mode_), answer);
    return answer;
  }

  bool shares() const { return members_ > 1; }

  // This member's part of a number of blocks; in whole pairs, as kernels take them for a single row, if there are many.
  block_range part(std::size_t blocks) const {
    const std::size_t together = blocks < 4 * std::size_t{members_} ? 1 : 2;
    const auto cut = [&](std::size_t member) {
      return std::min(blocks, together * ((blocks + together - 1) / together * member / members_));
    };
    return {.begin = cut(member_), .end = cut(member_ + 1)};
  }

 private:
  supervisor& over_;
  const flush_denormals& mode_;
  bool caller_;
  meeting* place_ = nullptr;
  unsigned member_ = 0;
  unsigned members_ = 1;
  std::int64_t lost_ = 0;
};

}  // namespace rnnpack::sequence
