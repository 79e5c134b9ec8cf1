// The formats, and a call with the one of a name.
#pragma once

#include "cuda/formats.h"

namespace rnnpack::cuda {

template <class Work>
decltype(auto) with_format(number_format format, Work work) {
  switch (format) {
    case number_format::float64: return work.template operator()<float64_format>();
    case number_format::tfloat32: return work.template operator()<tfloat32_format>();
    case number_format::bfloat16: return work.template operator()<bfloat16_format>();
    case number_format::float16: return work.template operator()<float16_format>();
    case number_format::float32: break;
  }
  return work.template operator()<float32_format>();
}

}  // namespace rnnpack::cuda
