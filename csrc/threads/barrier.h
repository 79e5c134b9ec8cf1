// A meeting point for the few threads that share the steps of a sequence.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "threads/spin.h"

namespace rnnpack::threads {

inline constexpr unsigned most_members = 16;

// Every member writes a flag of its own and reads those of the others: one cache line moves per pair of members, and
// no atomic read-modify-write is needed.
class barrier {
 public:
  // All members call it equally often; returns when all have come, with the nanoseconds lost to a late one.
  std::int64_t arrive(unsigned member, unsigned members) {
    const std::uint32_t meeting = flags_[member].came.load(std::memory_order_relaxed) + 1;
    flags_[member].came.store(meeting, std::memory_order_release);
    std::int64_t lost = 0;
    for (unsigned other = 0; other < members; ++other) {
      if (other == member) continue;
      lost += wait_until([&flag = flags_[other].came, meeting] {
        // The difference is right also after the counter has wrapped around.
        return static_cast<std::int32_t>(flag.load(std::memory_order_acquire) - meeting) >= 0;
      });
    }
    return lost;
  }

 private:
  struct alignas(64) flag {
    std::atomic<std::uint32_t> came{0};
  };
  std::array<flag, most_members> flags_{};
};

}  // namespace rnnpack::threads
