// CUDA's half: the bits of an IEEE binary16.
#pragma once

#include <bit>

#include "device.h"

struct __half {
  unsigned short bits;
};

inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }

// Rounds to nearest, ties to even; every NaN becomes the one that a GPU writes.
inline __half __float2half_rn(float value) {
  if (value != value) return {0x7fff};
  return {std::bit_cast<unsigned short>(static_cast<_Float16>(value))};
}
inline __half __float2half(float value) { return __float2half_rn(value); }
inline float __half2float(__half value) { return static_cast<float>(std::bit_cast<_Float16>(value.bits)); }
