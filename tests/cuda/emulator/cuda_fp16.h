// CUDA's half: the bits of an IEEE binary16.
#pragma once

#include <bit>
#include <cstdint>

#include "device.h"

struct __half {
  unsigned short bits;
};

inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }

// Rounds to nearest, ties to even; every NaN becomes the one that a GPU writes.
inline __half __float2half_rn(float value) {
  if (value != value) return {0x7fff};
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<unsigned short>(bits >> 16 & 0x8000);
  const std::uint32_t size = bits & 0x7fffffff;
  const auto signed_half = [sign](std::uint32_t half) { return __half{static_cast<unsigned short>(sign | half)}; };
  if (size >= 0x477ff000) return signed_half(0x7c00);  // 65520, half way between the largest half and the next
  if (size < 0x38800000) {                             // 2^-14: below, halves are as dense as floats above 0.5
    const float rounded = std::bit_cast<float>(size) + 0.5F;
    return signed_half(std::bit_cast<std::uint32_t>(rounded) - std::bit_cast<std::uint32_t>(0.5F));
  }
  return signed_half((size + 0xfff + (size >> 13 & 1) - (std::uint32_t{127 - 15} << 23)) >> 13);
}

inline float __half2float(__half value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000) << 16;
  const std::uint32_t size = value.bits & 0x7fff;
  const auto signed_float = [sign](std::uint32_t bits) { return std::bit_cast<float>(sign | bits); };
  if (size >= 0x7c00) return signed_float(0x7f800000 | (size & 0x3ff) << 13);
  if (size < 0x400) return signed_float(std::bit_cast<std::uint32_t>(static_cast<float>(size) * 0x1p-24F));
  return signed_float((size << 13) + (std::uint32_t{127 - 15} << 23));
}
