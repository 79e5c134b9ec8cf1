// The memory of a call: taken piece by piece, given back all at once, kept for the next call of the thread.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "memory/buffer.h"

namespace rnnpack {

// Hands out aligned, uninitialised arrays that live until reset(). After the first call of a kind all of them come
// from one block, without a call to the allocator and with its pages already mapped.
class arena {
 public:
  // An array of `size` objects of a trivial type. Throws std::bad_alloc.
  template <class T>
  T* take(std::size_t size) {
    static_assert(std::is_trivially_destructible_v<T>);
    const std::size_t bytes = (checked_product(sizeof(T), size) + line - 1) / line * line;
    if (blocks_.empty() || bytes > blocks_.back().size() - used_) grow(bytes);
    std::byte* place = blocks_.back().data() + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(place);
  }

  // All arrays are invalid from here on. Several blocks become one that would have held everything.
  void reset() {
    if (blocks_.size() > 1) {
      std::size_t total = 0;
      for (const auto& block : blocks_) total += block.size();
      blocks_.clear();
      if (total <= kept) wanted_ = total;
    } else if (!blocks_.empty() && blocks_.back().size() > kept) {
      blocks_.clear();
    }
    used_ = 0;
  }

 private:
  static constexpr std::size_t line = 64;
  static constexpr std::size_t smallest = std::size_t{64} << 10;
  static constexpr std::size_t kept = std::size_t{64} << 20;  // a thread keeps no more than this between calls

  void grow(std::size_t bytes) {
    std::size_t size = bytes < smallest ? smallest : bytes;
    if (size < wanted_) size = wanted_;
    wanted_ = 0;
    blocks_.emplace_back(size);
    used_ = 0;
  }

  std::vector<buffer<std::byte>> blocks_;
  std::size_t used_ = 0;    // of the last block
  std::size_t wanted_ = 0;  // size of the next block, from the call before
};

// The calling thread's arena while this object lives. A call made from within a call, as a signal handler may do,
// gets a new one.
class thread_arena {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  thread_arena() : arena_(std::exchange(idle(), nullptr)) {
    if (arena_ == nullptr) arena_ = std::make_unique<arena>();
  }
  ~thread_arena() {
    arena_->reset();
    idle() = std::move(arena_);
  }
  thread_arena(const thread_arena&) = delete;
  thread_arena& operator=(const thread_arena&) = delete;

  arena& operator*() const { return *arena_; }

 private:
  static std::unique_ptr<arena>& idle() {
    thread_local std::unique_ptr<arena> kept;
    return kept;
  }

  std::unique_ptr<arena> arena_;
};

}  // namespace rnnpack
