// Kernels and functions for test_cuda_emulator.py: what the emulator must do right, and errors that it must find.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/instructions.h"

#define TEST_FUNCTION extern "C" __attribute__((visibility("default")))

namespace {

constexpr int block_threads = 64;

template <class... Expected, class... Actual>
cudaError_t start(cudaStream_t stream, dim3 grid, int threads, void (*kernel)(Expected...), Actual... actual) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, actual...);
}

// One matrix product of a warp: a [16][k], b [k][8], d [16][8], loaded element by element as the PTX ISA draws them.
enum class format : int { bf16, f16, tf32 };

__device__ std::uint32_t pair_of(format kind, float first, float second) {
  const auto bits = [&](float v) {
    return kind == format::bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(v)) : __half_as_ushort(__float2half_rn(v));
  };
  return bits(first) | std::uint32_t{bits(second)} << 16;
}

__global__ void __launch_bounds__(32) product(format kind, const float* a, const float* b, float* d) {
  const int group = threadIdx.x >> 2;
  const int t = threadIdx.x & 3;
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = d[(group + i / 2 * 8) * 8 + t * 2 + i % 2];
  std::uint32_t rows[4];
  std::uint32_t columns[2];
  if (kind == format::tf32) {
    for (int i = 0; i < 4; ++i) rows[i] = __float_as_uint(a[(group + i % 2 * 8) * 8 + t + i / 2 * 4]);
    for (int i = 0; i < 2; ++i) columns[i] = __float_as_uint(b[(t + i * 4) * 8 + group]);
    rnnpack::cuda::multiply_add_tf32(sums, rows, columns);
  } else {
    for (int i = 0; i < 4; ++i) {
      const float* const from = a + (group + i % 2 * 8) * 16 + t * 2 + i / 2 * 8;
      rows[i] = pair_of(kind, from[0], from[1]);
    }
    for (int i = 0; i < 2; ++i) {
      const float* const from = b + (t * 2 + i * 8) * 8 + group;
      columns[i] = pair_of(kind, from[0], from[8]);
    }
    if (kind == format::bf16) rnnpack::cuda::multiply_add_bf16(sums, rows, columns);
    if (kind == format::f16) rnnpack::cuda::multiply_add_f16(sums, rows, columns);
  }
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + t * 2 + i % 2] = sums[i];
}

// Reverses each block's part by way of shared memory; without the barrier a race.
template <bool Barrier>
__global__ void __launch_bounds__(block_threads) reverse(const float* from, float* to) {
  __shared__ float part[block_threads];
  const unsigned first = blockIdx.x * blockDim.x;
  part[threadIdx.x] = from[first + threadIdx.x];
  if (Barrier) __syncthreads();
  to[first + threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
}

// Neighbours in a warp exchange values by way of shared memory. A shuffle lets the lanes meet, but orders no memory.
enum class meeting : int { none, shuffle, warp };

__global__ void __launch_bounds__(block_threads) exchange(meeting kind, const float* from, float* to) {
  __shared__ float part[block_threads];
  part[threadIdx.x] = from[threadIdx.x];
  if (kind == meeting::warp) __syncwarp();
  if (kind == meeting::shuffle) __shfl_sync(0xffffffff, 1, 0);
  to[threadIdx.x] = part[threadIdx.x ^ 1];
}

// All threads of a block read what one of them wrote, and then it is written again.
template <bool SecondBarrier>
__global__ void __launch_bounds__(block_threads) spread(const float* from, float* to) {
  __shared__ float one;
  if (threadIdx.x == 0) one = from[blockIdx.x];
  __syncthreads();
  const float got = one;
  if (SecondBarrier) __syncthreads();
  if (threadIdx.x == 5) one = got + 1;
  __syncthreads();
  to[blockIdx.x * blockDim.x + threadIdx.x] = one + got;
}

// Every block writes its number: whoever comes last wins.
__global__ void last_block(float* to) {
  if (threadIdx.x == 0) *to = static_cast<float>(blockIdx.x);
}

__global__ void shuffles(const float* from, float* down, double* xors, int* broadcast) {
  const float value = from[threadIdx.x];
  down[threadIdx.x] = __shfl_down_sync(0xffffffff, value, 3);
  double sum = value;
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffff, sum, distance);
  xors[threadIdx.x] = sum;
  broadcast[threadIdx.x] = __shfl_sync(0xffffffff, static_cast<int>(threadIdx.x) * 10, 2, 8);
  __syncwarp();
}

__global__ void add(float* values, float amount) { values[threadIdx.x] += amount; }

__global__ void sum_all(const float* values, std::int64_t count, float* sum) {
  *sum = 0;
  for (std::int64_t i = 0; i < count; ++i) *sum += values[i];
}

// Errors.
enum class error : int {
  missed_barrier,
  two_barriers,
  missing_lane,
  product_without_warp,
  before_memory,
  behind_memory,
  misaligned,
  shared_index,
  null_pointer,
  returned_early,  // allowed: who has returned counts as arrived
};

__global__ void wrong(error kind, float* memory, int count) {
  __shared__ float part[block_threads];
  part[threadIdx.x] = 0;
  const int place = static_cast<int>(threadIdx.x) + (kind == error::shared_index ? 1 : 0);
  switch (kind) {
    case error::missed_barrier:
      if (threadIdx.x == 0) __shfl_sync(0xffffffff, 1.0F, 0);
      __syncthreads();
      break;
    case error::two_barriers:
      if (threadIdx.x % 2 == 0)
        __syncthreads();
      else
        __syncthreads();
      break;
    case error::missing_lane:
      if (threadIdx.x % 32 == 5) return;
      memory[threadIdx.x] = __shfl_sync(0xffffffff, 1.0F, 5);
      break;
    case error::product_without_warp: {
      if (threadIdx.x % 32 == 5) return;
      float d[4] = {};
      const std::uint32_t a[4] = {};
      const std::uint32_t b[2] = {};
      rnnpack::cuda::multiply_add_bf16(d, a, b);
      break;
    }
    case error::before_memory: memory[-1] = 1; break;
    case error::behind_memory: memory[count] = 1; break;
    case error::misaligned: reinterpret_cast<float4*>(memory + 1)->x = 1; break;
    case error::shared_index: part[place] = 1; break;
    case error::null_pointer: *reinterpret_cast<float*>(static_cast<std::uintptr_t>(place - place)) = 1; break;
    case error::returned_early:
      if (threadIdx.x >= 7) return;
      __syncthreads();
      memory[threadIdx.x] = 1;
      break;
  }
}

}  // namespace

TEST_FUNCTION cudaError_t start_product(int kind, const float* a, const float* b, float* d) {
  return start(nullptr, dim3(1), 32, product, static_cast<format>(kind), a, b, d);
}

TEST_FUNCTION cudaError_t start_reverse(bool barrier, int blocks, const float* from, float* to) {
  return start(nullptr, dim3(static_cast<unsigned>(blocks)), block_threads, barrier ? reverse<true> : reverse<false>,
               from, to);
}

TEST_FUNCTION cudaError_t start_exchange(int kind, const float* from, float* to) {
  return start(nullptr, dim3(1), block_threads, exchange, static_cast<meeting>(kind), from, to);
}

TEST_FUNCTION cudaError_t start_spread(bool second_barrier, int blocks, const float* from, float* to) {
  return start(nullptr, dim3(static_cast<unsigned>(blocks)), block_threads,
               second_barrier ? spread<true> : spread<false>, from, to);
}

TEST_FUNCTION cudaError_t start_last_block(int blocks, float* to) {
  return start(nullptr, dim3(static_cast<unsigned>(blocks)), 32, last_block, to);
}

TEST_FUNCTION cudaError_t start_shuffles(const float* from, float* down, double* xors, int* broadcast) {
  return start(nullptr, dim3(1), 32, shuffles, from, down, xors, broadcast);
}

TEST_FUNCTION cudaError_t start_add(float* values, int count, float amount, cudaStream_t stream) {
  return start(stream, dim3(1), count, add, values, amount);
}

TEST_FUNCTION cudaError_t start_sum(const float* values, std::int64_t count, float* sum, cudaStream_t stream) {
  return start(stream, dim3(1), 1, sum_all, values, count, sum);
}

TEST_FUNCTION cudaError_t start_wrong(int kind, float* memory, int count) {
  return start(nullptr, dim3(1), block_threads, wrong, static_cast<error>(kind), memory, count);
}

TEST_FUNCTION std::uint16_t half_of(float value) { return __half_as_ushort(__float2half_rn(value)); }
TEST_FUNCTION std::uint16_t bfloat16_of(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
TEST_FUNCTION float from_half(std::uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
TEST_FUNCTION float from_bfloat16(std::uint16_t bits) { return __bfloat162float(__ushort_as_bfloat16(bits)); }
