// Which instruction sets this build holds and this machine runs. The only room that knows they exist.
#pragma once

#include <string_view>
#include <vector>

#include "api/kernels.h"

namespace rnnpack {

// Tables this machine can run, the best first; never empty.
const std::vector<const kernel_table*>& available_kernels();

// The table named `isa`, or the best for an empty name. Throws std::invalid_argument naming what is available.
const kernel_table& select_kernels(std::string_view isa);

}  // namespace rnnpack
