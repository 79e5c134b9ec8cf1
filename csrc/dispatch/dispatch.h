// Which instruction sets this build holds and this machine runs. The only room that knows they exist.
#pragma once

#include <string_view>
#include <vector>

#include "api/kernels.h"

namespace rnnpack {

// Tables of a precision that this machine can run, the best first; never empty.
const std::vector<const kernel_table*>& available_kernels(precision kind);

// The best table that needs no more than the instruction set `isa`, or the best of all for an empty name. Throws
// std::invalid_argument naming what this machine has.
const kernel_table& select_kernels(std::string_view isa, precision kind);

}  // namespace rnnpack
