#include "cuda/time_loop.h"

namespace rnnpack::cuda {

template std::size_t workspace_bytes_in<bfloat16_format>(const call&, std::span<const direction>);
template bool run_in<bfloat16_format>(const call&, std::span<const direction>, std::byte*, cudaStream_t,
                                      const interruption*);

}  // namespace rnnpack::cuda
