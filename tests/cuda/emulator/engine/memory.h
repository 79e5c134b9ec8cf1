// Device memory, which is the host's: every allocation a block of its own between guard bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace emulator {

struct allocation {
  std::byte* memory;
  std::size_t bytes;
  int device;
  bool device_memory;      // else pinned host memory
  bool begun = true;       // for cudaMallocAsync: its stream has come that far
  bool releasing = false;  // for cudaFreeAsync: it was called, and its stream has not come that far
};

class memory {
 public:
  static constexpr std::size_t device_bytes = std::size_t{1} << 30;

  // Filled with 0xff, which is NaN in all formats; null: the device has not that much left.
  void* allocate(int device, std::size_t bytes, bool device_memory);
  // Filled with 0xff again, and kept for a while to find late writes. Returns what is wrong with it.
  std::optional<std::string> release(void* memory);

  // The allocation that the address lies in, or null.
  allocation* find(const void* address);
  // The last allocation before the address, or null: for words about stray accesses.
  allocation* near(const void* address);
  // Whether [address, address + bytes) lies inside an allocation.
  bool contains(const void* address, std::size_t bytes);

  // The first stray write that is found anywhere.
  std::optional<std::string> check() const;

 private:
  std::optional<std::string> bury(const allocation& dead);

  std::map<std::uintptr_t, allocation> live_;
  std::deque<allocation> buried_;
  std::size_t buried_bytes_ = 0;
  std::map<int, std::size_t> used_;
};

}  // namespace emulator
