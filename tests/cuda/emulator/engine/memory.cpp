#include "engine/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace emulator {

namespace {

constexpr std::size_t alignment = 256;  // cudaMalloc's
constexpr std::size_t guard_bytes = 4096;
constexpr std::size_t most_buried_bytes = std::size_t{4} << 20;
// A NaN in all formats, other than that of fresh memory.
constexpr unsigned char guard_pattern[2] = {0xfd, 0xff};

std::size_t whole_block(std::size_t bytes) {
  return guard_bytes + (bytes + guard_bytes + alignment - 1) / alignment * alignment;
}

// The bytes beside the allocation: before it, and behind it.
struct guard {
  std::byte* begin;
  std::size_t bytes;
};
guard before(const allocation& one) { return {one.memory - guard_bytes, guard_bytes}; }
guard behind(const allocation& one) {
  return {one.memory + one.bytes, whole_block(one.bytes) - guard_bytes - one.bytes};
}

void paint(const guard& area) {
  for (std::size_t i = 0; i < area.bytes; ++i) area.begin[i] = std::byte{guard_pattern[i % 2]};
}

bool untouched(const guard& area) {
  std::byte pattern[256];
  paint({pattern, sizeof pattern});
  for (std::size_t i = 0; i < area.bytes; i += sizeof pattern)
    if (std::memcmp(area.begin + i, pattern, std::min(sizeof pattern, area.bytes - i)) != 0) return false;
  return true;
}

std::string name(const allocation& one) {
  return "an allocation of " + std::to_string(one.bytes) + " bytes" +
         (one.device_memory ? " on device " + std::to_string(one.device) : " of pinned memory");
}

std::optional<std::string> damage(const allocation& one) {
  if (!untouched(before(one))) return "something wrote before the beginning of " + name(one);
  if (!untouched(behind(one))) return "something wrote behind the end of " + name(one);
  return std::nullopt;
}

bool all_ones(const allocation& one) {
  return one.memory[0] == std::byte{0xff} && std::memcmp(one.memory, one.memory + 1, one.bytes - 1) == 0;
}

}  // namespace

void* memory::allocate(int device, std::size_t bytes, bool device_memory) {
  if (device_memory && (bytes > device_bytes || used_[device] > device_bytes - bytes)) return nullptr;
  auto* const block = static_cast<std::byte*>(std::aligned_alloc(alignment, whole_block(bytes)));
  if (block == nullptr) return nullptr;
  const allocation made{block + guard_bytes, bytes, device, device_memory};
  paint(before(made));
  paint(behind(made));
  std::memset(made.memory, 0xff, bytes);
  if (device_memory) used_[device] += bytes;
  live_.emplace(reinterpret_cast<std::uintptr_t>(made.memory), made);
  return made.memory;
}

std::optional<std::string> memory::release(void* memory) {
  const auto found = live_.find(reinterpret_cast<std::uintptr_t>(memory));
  if (found == live_.end()) return "memory is released that was not allocated";
  const allocation dead = found->second;
  live_.erase(found);
  if (dead.device_memory) used_[dead.device] -= dead.bytes;
  std::optional<std::string> damaged = damage(dead);
  std::optional<std::string> late = bury(dead);
  return damaged ? damaged : late;
}

std::optional<std::string> memory::bury(const allocation& dead) {
  std::memset(dead.memory, 0xff, dead.bytes);
  buried_.push_back(dead);
  buried_bytes_ += dead.bytes;
  std::optional<std::string> late;
  while (buried_bytes_ > most_buried_bytes) {
    const allocation oldest = buried_.front();
    buried_.pop_front();
    buried_bytes_ -= oldest.bytes;
    if (!all_ones(oldest)) late = "something wrote into " + name(oldest) + " after it had been released";
    std::free(oldest.memory - guard_bytes);
  }
  return late;
}

allocation* memory::find(const void* address) {
  allocation* const one = near(address);
  if (one == nullptr) return nullptr;
  return static_cast<std::size_t>(static_cast<const std::byte*>(address) - one->memory) < one->bytes ? one : nullptr;
}

allocation* memory::near(const void* address) {
  const auto next = live_.upper_bound(reinterpret_cast<std::uintptr_t>(address));
  return next == live_.begin() ? nullptr : &std::prev(next)->second;
}

bool memory::contains(const void* address, std::size_t bytes) {
  const allocation* const one = find(address);
  return one != nullptr &&
         bytes <= one->bytes - static_cast<std::size_t>(static_cast<const std::byte*>(address) - one->memory);
}

std::optional<std::string> memory::check() const {
  for (const auto& [address, one] : live_)
    if (auto damaged = damage(one)) return damaged;
  for (const allocation& one : buried_)
    if (!all_ones(one)) return "something wrote into " + name(one) + " after it had been released";
  return std::nullopt;
}

}  // namespace emulator
