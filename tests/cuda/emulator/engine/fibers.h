// The threads of a block as fibers: one runs until it waits for others, then the next.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/accesses.h"
#include "runtime_api.h"

namespace emulator {

// What went wrong, as CUDA says it and in words.
struct failure {
  cudaError_t error;
  std::string why;
};

struct kernel_launch {
  dim3 grid;
  dim3 block;
  std::function<void()> thread;
};

// In which order threads and blocks run.
struct order {
  enum class kind { forward, backward, shuffled } kind = kind::forward;
  std::uint64_t seed = 0;
};

// Runs all blocks, or those before the failure.
std::optional<failure> run_kernel(const kernel_launch& kernel, const order& order);

// Of the thread of a kernel that runs.
moment current_moment();
bool stack_of_thread(std::uintptr_t address, std::size_t bytes);

// Of the kernel that runs; outside of kernels the text goes to the error stream.
void fail_with(cudaError_t error, const std::string& why);

}  // namespace emulator
