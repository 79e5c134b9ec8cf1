// The tensor cores, one lane at a time: shadows csrc/cuda/instructions.h. The fragments are those of the PTX ISA
// ("Matrix Fragments for mma.m16n8k16 with floating point type", "... for mma.m16n8k8"). With lane = 4 g + t, a
// register of 16-bit values holds two neighbours in k, the lower bits the first:
//
//              a[0]            a[1]             a[2]             a[3]             b[0]           b[1]
//   m16n8k16   row g, k 2t..   row g+8, k 2t..  row g, k 2t+8..  row g+8, 2t+8..  k 2t.., col g  k 2t+8.., col g
//   m16n8k8    row g, k t      row g+8, k t     row g, k t+4     row g+8, k t+4   k t, col g     k t+4, col g
//
// and in both d[0], d[1] are row g, columns 2t and 2t + 1, d[2], d[3] the same of row g + 8.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace rnnpack::cuda {

namespace emulated {

struct registers {
  std::uint32_t a[4];
  std::uint32_t b[2];
};

// Value i of a register, as the tensor cores read it.
struct bf16_values {
  static constexpr int in_register = 2;
  static float get(std::uint32_t bits, int i) {
    return __bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(bits >> 16 * i)));
  }
};
struct f16_values {
  static constexpr int in_register = 2;
  static float get(std::uint32_t bits, int i) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(bits >> 16 * i)));
  }
};
struct tf32_values {
  static constexpr int in_register = 1;
  static float get(std::uint32_t bits, int /*i*/) { return std::bit_cast<float>(bits & ~0x1fffU); }
};

template <class Values>
EMULATOR_CODE void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                const emulator::place& where) {
  const registers mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const emulator::warp_values& warp = emulator::meet_warp(0xffffffff, &mine, sizeof mine, where);
  if (warp.present != 0xffffffff) emulator::fail("a matrix product without all lanes of the warp", where);
  const std::uint32_t g = emulator::lane() / 4;
  const std::uint32_t t = emulator::lane() % 4;
  for (std::uint32_t part = 0; part < 2; ++part)  // lower and upper half of k
    for (std::uint32_t k = 0; k < 4; ++k) {       // the lanes that hold it
      const auto row = emulator::given<registers>(warp, g * 4 + k, where);
      for (std::uint32_t column = 0; column < 2; ++column) {
        const auto weights = emulator::given<registers>(warp, (t * 2 + column) * 4 + k, where);
        for (int i = 0; i < Values::in_register; ++i) {
          const float weight = Values::get(weights.b[part], i);
          d[column] += Values::get(row.a[part * 2], i) * weight;
          d[2 + column] += Values::get(row.a[part * 2 + 1], i) * weight;
        }
      }
    }
}

}  // namespace emulated

inline void multiply_add_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              emulator::place where = emulator::place::current()) {
  emulated::multiply_add<emulated::bf16_values>(d, a, b, where);
}

inline void multiply_add_f16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                             emulator::place where = emulator::place::current()) {
  emulated::multiply_add<emulated::f16_values>(d, a, b, where);
}

inline void multiply_add_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              emulator::place where = emulator::place::current()) {
  emulated::multiply_add<emulated::tf32_values>(d, a, b, where);
}

}  // namespace rnnpack::cuda
