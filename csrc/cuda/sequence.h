// One call on one device: the time loop, as a sequence of kernels on a stream.
//
// Time is cut into chunks. For each chunk a product projects the inputs of all its steps, then a kernel or two take
// each step. What a cell multiplies next is kept as operands, one slot a step: the next cell of a stack projects a
// chunk's slots as its inputs.
#pragma once

#include "api/cuda.h"
#include "cuda/memory.h"

namespace rnnpack::cuda {

// Device memory that `run` needs.
std::size_t workspace_bytes(const call& one);

// Puts the call on the stream; see `plugin::run`. False: interrupted.
bool run(const call& one, std::byte* memory, cudaStream_t stream, const interruption* question);

}  // namespace rnnpack::cuda
