// Calls on arrays in the host's memory: in by way of pinned buffers, run, and out.
#pragma once

#include "api/cuda.h"

namespace rnnpack::cuda {

// See `plugin::run_on_host_arrays`. False: interrupted.
bool run_on_host_arrays(const call& one, const interruption* question);

// Gives back what calls keep between them on a device.
void release_idle_memory(int device);

}  // namespace rnnpack::cuda
