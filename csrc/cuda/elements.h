// Numbers as they are stored: those of the caller's arrays, and the operands of products.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "api/cuda.h"

namespace rnnpack::cuda {

// A float rounded to the 10 bits of mantissa that the tensor cores read, ties away from zero.
struct tfloat32 {
  float v;
};

__host__ __device__ inline tfloat32 to_tfloat32(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  if ((bits & 0x7f800000u) == 0x7f800000u) return {value + value};  // infinity stays, NaN becomes one of the bits read
  return {__builtin_bit_cast(float, (bits + 0x1000u) & ~0x1fffu)};
}

// A sum as an operand of the next product.
template <class Operand, class Sum>
__host__ __device__ inline Operand encode(Sum value) {
  if constexpr (__is_same(Operand, tfloat32)) {
    return to_tfloat32(value);
  } else if constexpr (__is_same(Operand, __nv_bfloat16)) {
    return __float2bfloat16_rn(value);
  } else if constexpr (__is_same(Operand, __half)) {
    return __float2half_rn(value);
  } else {
    return value;
  }
}

template <class Sum>
__device__ inline Sum load_element(element type, const void* from, std::int64_t index) {
  switch (type) {
    case element::float64: return static_cast<Sum>(static_cast<const double*>(from)[index]);
    case element::bfloat16: return static_cast<Sum>(__bfloat162float(static_cast<const __nv_bfloat16*>(from)[index]));
    case element::float16: return static_cast<Sum>(__half2float(static_cast<const __half*>(from)[index]));
    case element::float32: break;
  }
  return static_cast<Sum>(static_cast<const float*>(from)[index]);
}

template <class Sum>
__device__ inline void store_element(element type, void* to, std::int64_t index, Sum value) {
  switch (type) {
    case element::float64: static_cast<double*>(to)[index] = static_cast<double>(value); return;
    case element::bfloat16:
      static_cast<__nv_bfloat16*>(to)[index] = __float2bfloat16_rn(static_cast<float>(value));
      return;
    case element::float16: static_cast<__half*>(to)[index] = __float2half_rn(static_cast<float>(value)); return;
    case element::float32: break;
  }
  static_cast<float*>(to)[index] = static_cast<float>(value);
}

}  // namespace rnnpack::cuda
