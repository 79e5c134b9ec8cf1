// The threads of the engine. A call asks for a team; workers join while they come in time, and the call never waits
// for one that has not come.
#pragma once

#include <cstdint>

namespace rnnpack::threads {

// How many threads a call may use, its own included; at least 1.
unsigned limit();
void set_limit(unsigned threads);

// What a call may count on now.
struct prospect {
  unsigned threads;  // 1 while helpers have lately cost more than they gave, as beside a busy process
  bool awake;        // whether helpers still spin, or must be woken, which takes some 50 us
};
prospect prospects();

// A call that parked helpers would come too late for. Where such calls follow each other closely the helpers are woken,
// so that the next one finds them awake.
void expect_more();

class pool;

// The calling thread and the workers that have joined it. One team exists at a time; for whoever comes second the
// team is the caller alone.
class team {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  // Returns the nanoseconds that it has lost waiting for other members.
  using work = std::int64_t (*)(void* context, unsigned member);

  // Asks up to width - 1 workers to call f(context, member), with members counted from 1 in the order of arrival.
  // The caller does its own share as member 0. f must not throw.
  team(unsigned width, work f, void* context);
  // Waits until all workers that have joined have returned from f.
  ~team();
  team(const team&) = delete;
  team& operator=(const team&) = delete;

  // Waits until `width` members are there, or for so long.
  void wait_for_members(unsigned width, std::int64_t nanoseconds) const;
  // Nobody can join from now on. Returns the number of members, the caller included.
  unsigned close();
  // Time the caller has lost waiting for members inside f.
  void add_lost(std::int64_t nanoseconds) { lost_ += nanoseconds; }

 private:
  pool* pool_;  // null: the caller is alone
  unsigned members_ = 1;
  bool open_ = true;
  std::int64_t start_ = 0;
  std::int64_t lost_ = 0;
};

}  // namespace rnnpack::threads
