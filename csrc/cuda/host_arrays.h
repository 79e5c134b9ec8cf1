// Calls on arrays in the host's memory: in by way of pinned buffers, run, and out.
#pragma once

#include "api/cuda.h"

namespace rnnpack::cuda {

// See `plugin::run_on_host_arrays`. False: interrupted.
bool run_on_host_arrays(const call& one, const interruption* question);

}  // namespace rnnpack::cuda
