#include "engine/accesses.h"

#include <link.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>

#include "engine/fibers.h"
#include "engine/runtime.h"

namespace emulator {

thread_local bool checking_accesses = false;

namespace {

struct range {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool has(std::uintptr_t address, std::size_t bytes) const { return address >= begin && address + bytes <= end; }
};

// This library: its static variables are shared memory and constants.
range find_library() {
  range found;
  const auto look = [](dl_phdr_info* info, std::size_t /*size*/, void* to) {
    range all{~std::uintptr_t{0}, 0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& part = info->dlpi_phdr[i];
      if (part.p_type != PT_LOAD) continue;
      all.begin = std::min(all.begin, info->dlpi_addr + part.p_vaddr);
      all.end = std::max(all.end, info->dlpi_addr + part.p_vaddr + part.p_memsz);
    }
    const bool here = all.has(reinterpret_cast<std::uintptr_t>(&find_library), 1);
    if (here) *static_cast<range*>(to) = all;
    return here ? 1 : 0;
  };
  dl_iterate_phdr(look, &found);
  return found;
}

struct byte_history {
  moment write;
  moment read;
  bool written = false;
  bool was_read = false;
  bool read_by_many = false;  // since the threads last met, by `read.thread` and others
};

constexpr std::size_t page_bytes = 256;

struct page {
  std::uint64_t kernel = 0;
  std::array<byte_history, page_bytes> bytes;
};

class access_checker {
 public:
  void begin() {
    ++kernel_;
    last_ = {};
  }

  void check(std::uintptr_t address, std::size_t bytes, bool write, std::uintptr_t code) {
    if (stack_of_thread(address, bytes)) return;
    const bool shared = library_.has(address, bytes);
    if (!shared && !allocated(address, bytes))
      fail_with(cudaErrorIllegalAddress,
                std::string(write ? "a write to " : "a read from ") + describe(address, bytes) + place_of(code));
    const moment now = current_moment();
    for (std::size_t i = 0; i < bytes;) {
      page& one = page_of(address + i);
      for (std::size_t at = (address + i) % page_bytes; at < page_bytes && i < bytes; ++at, ++i)
        if (races(one.bytes[at], now, write, shared))
          fail_with(cudaErrorLaunchFailure, "a race for " + describe(address + i, 1) + place_of(code));
    }
  }

 private:
  bool allocated(std::uintptr_t address, std::size_t bytes) {
    if (last_.has(address, bytes)) return true;
    const allocation* const one = the_machine().allocations.find(reinterpret_cast<const void*>(address));
    if (one == nullptr || !one->begun) return false;
    const auto begin = reinterpret_cast<std::uintptr_t>(one->memory);
    last_ = {begin, begin + one->bytes};
    return last_.has(address, bytes);
  }

  std::string describe(std::uintptr_t address, std::size_t bytes) {
    const std::string size = std::to_string(bytes) + " bytes";
    if (library_.has(address, bytes)) return size + " of shared memory";
    allocation* const one = the_machine().allocations.near(reinterpret_cast<const void*>(address));
    if (one == nullptr) return size + " that are no device memory";
    const auto offset = static_cast<std::ptrdiff_t>(address - reinterpret_cast<std::uintptr_t>(one->memory));
    return size + " at " + std::to_string(offset) + " of an allocation of " + std::to_string(one->bytes) + " bytes";
  }

  std::string place_of(std::uintptr_t code) const {
    std::ostringstream text;
    text << ", by the code at 0x" << std::hex << code - library_.begin;
    return text.str();
  }

  page& page_of(std::uintptr_t address) {
    std::unique_ptr<page>& one = pages_[address / page_bytes];
    if (!one) one = std::make_unique<page>();
    if (one->kernel != kernel_) *one = {.kernel = kernel_, .bytes = {}};
    return *one;
  }

  // Whether what was done then comes before what is done now, in any order of threads and blocks.
  static bool ordered(const moment& then, const moment& now) {
    if (then.block != now.block) return false;
    if (then.thread == now.thread || then.barrier < now.barrier) return true;
    return then.thread / 32 == now.thread / 32 && then.warp_sync < now.warp_sync;
  }

  // Whether no barrier of a block lies between.
  static bool same_meeting(const moment& then, const moment& now) {
    return then.block != now.block || then.barrier == now.barrier;
  }

  // Notes an access to one byte, and says whether it races with an earlier one.
  static bool races(byte_history& byte, const moment& now, bool write, bool shared) {
    const std::uint32_t last_block = byte.was_read ? byte.read.block : byte.write.block;
    if (shared && last_block != now.block) byte = {};  // every block has shared memory of its own
    const bool after_write = !byte.written || ordered(byte.write, now);
    const bool many = byte.read_by_many && same_meeting(byte.read, now);
    const bool after_reads = !byte.was_read || (ordered(byte.read, now) && !many);
    if (write) {
      byte = {};
      byte.write = now;
      byte.written = true;
      return !after_write || !after_reads;
    }
    const bool another = byte.read.thread != now.thread || byte.read.block != now.block;
    byte.read_by_many = byte.was_read && same_meeting(byte.read, now) && (byte.read_by_many || another);
    byte.read = now;
    byte.was_read = true;
    return !after_write;
  }

  const range library_ = find_library();
  range last_;
  std::uint64_t kernel_ = 0;
  std::unordered_map<std::uintptr_t, std::unique_ptr<page>> pages_;
};

access_checker& checker() {
  static access_checker* const one = std::make_unique<access_checker>().release();
  return *one;
}

void check(const void* address, std::size_t bytes, bool write, const void* code) {
  if (!checking_accesses) return;
  const engine_section here;
  checker().check(reinterpret_cast<std::uintptr_t>(address), bytes, write, reinterpret_cast<std::uintptr_t>(code));
}

}  // namespace

void begin_accesses() { checker().begin(); }

}  // namespace emulator

// What the compiler calls: see gcc/sanitizer.def.
#define EMULATED_ACCESS(bytes)                                           \
  extern "C" void __tsan_read##bytes(const void* address) {              \
    emulator::check(address, bytes, false, __builtin_return_address(0)); \
  }                                                                      \
  extern "C" void __tsan_write##bytes(const void* address) {             \
    emulator::check(address, bytes, true, __builtin_return_address(0));  \
  }
EMULATED_ACCESS(1)
EMULATED_ACCESS(2)
EMULATED_ACCESS(4)
EMULATED_ACCESS(8)
EMULATED_ACCESS(16)
#undef EMULATED_ACCESS

extern "C" {

void __tsan_init() {}
void __tsan_read_range(const void* address, std::size_t bytes) {
  emulator::check(address, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, std::size_t bytes) {
  emulator::check(address, bytes, true, __builtin_return_address(0));
}

// Of host code: as if they were not instrumented.
void __tsan_vptr_update(void** /*pointer*/, void* /*value*/) {}
void __tsan_vptr_read(void** /*pointer*/) {}
char __tsan_atomic8_load(const volatile char* from, int /*order*/) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_load(const volatile int* from, int /*order*/) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_fetch_add(volatile int* to, int amount, int /*order*/) {
  return __atomic_fetch_add(to, amount, __ATOMIC_SEQ_CST);
}

}  // extern "C"
