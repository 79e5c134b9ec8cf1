// Stands in for CUDA's <cuda_runtime.h> when csrc/cuda/*.cu are compiled by the host's compiler, so that the very same
// kernels and the code that starts them run on the CPU. Only what they use is here:
//
//   vector_types.h  float4, dim3, ...              device.h  keywords, built-in variables, barriers, shuffles
//   runtime_api.h   memory, streams, events, launches
//   cuda_fp16.h, cuda_bf16.h                       16-bit floats
//   cuda/instructions.h                            the tensor cores; shadows csrc/cuda/instructions.h
//   engine/         what runs it all: fibers.h (the threads of a block), memory.h, streams.h, runtime.cpp
//
// The emulator is hard where a GPU would only be lucky. Threads and blocks run in an order of the tester's choosing;
// nothing on a stream happens before someone waits for it; fresh memory is NaN; writes beside an allocation, misaligned
// vectors, indices outside of arrays and threads that miss a barrier become CUDA errors with a text. An error is
// reported once, by the next call that waits or launches, and all queued work is dropped; unlike a GPU's context the
// emulator lives on after that.
//
// Environment variables, read at each launch or call:
//   RNNPACK_EMULATOR_ORDER    of threads and blocks: "forward" (default), "backward", or a number that seeds a shuffle
//   RNNPACK_EMULATOR_CHECK    1: look for stray writes after each kernel, not only when memory is released; the tests
//                             also build kernels whose every access is checked (engine/accesses.h)
//   RNNPACK_EMULATOR_LAUNCHES a file that gets a line for each launch of a kernel
//   RNNPACK_EMULATOR_DEVICES  how many devices there are; default 1
#pragma once

#include "device.h"
#include "runtime_api.h"
#include "vector_types.h"
