// Every access to memory that a kernel makes, where it was compiled with -fsanitize=thread: what compute-sanitizer's
// memcheck and racecheck look for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

// Of the thread that runs: when and by whom an access is made.
struct moment {
  std::uint32_t block = 0;
  std::uint16_t thread = 0;
  std::uint16_t barrier = 0;    // how many the block has passed
  std::uint32_t warp_sync = 0;  // how many __syncwarp the thread has passed
};

// Whether this operating system thread runs a kernel's own code; off in the engine.
extern thread_local bool checking_accesses;

// Forgets what earlier kernels did.
void begin_accesses();

// The kernel's code goes on when this is over.
class engine_section {
 public:
  engine_section() : before_(checking_accesses) { checking_accesses = false; }
  engine_section(const engine_section&) = delete;
  engine_section& operator=(const engine_section&) = delete;
  ~engine_section() { checking_accesses = before_; }

 private:
  bool before_;
};

}  // namespace emulator
