// The floors of a card: what a barrier, a launch and a byte cost. Prints one line of JSON, times in seconds and rates
// in bytes a second, each the median of several repeats.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

constexpr int repeats = 9;
constexpr int threads = 256;
constexpr std::size_t mebibyte = 1 << 20;

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

// Median seconds of what `work` puts on the stream.
double seconds(cudaStream_t stream, const std::function<void()>& work) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<float> found;
  for (int i = -2; i < repeats; ++i) {
    check(cudaEventRecord(begin, stream), "record");
    work();
    check(cudaEventRecord(end, stream), "record");
    check(cudaEventSynchronize(end), "run");
    check(cudaGetLastError(), "launch");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "elapsed");
    if (i >= 0) found.push_back(milliseconds);
  }
  check(cudaEventDestroy(begin), "event");
  check(cudaEventDestroy(end), "event");
  std::sort(found.begin(), found.end());
  return found[repeats / 2] * 1e-3;
}

__device__ void add_release(unsigned* flag) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(flag) : "memory");
}

__device__ void store_release(unsigned* flag, unsigned value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

__device__ unsigned load_acquire(const unsigned* flag) {
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}

// All blocks add to one counter, and wait for it.
__global__ void counter_barriers(unsigned* counter, int steps) {
  for (int step = 1; step <= steps; ++step) {
    __syncthreads();
    if (threadIdx.x == 0) {
      add_release(counter);
      while (load_acquire(counter) < unsigned(step) * gridDim.x) {
      }
    }
    __syncthreads();
  }
}

// Every block raises a flag of its own, and each of its threads waits for another block's.
__global__ void flag_barriers(unsigned* flags, int steps) {
  for (int step = 1; step <= steps; ++step) {
    __syncthreads();
    if (threadIdx.x == 0) store_release(flags + blockIdx.x, unsigned(step));
    for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x) {
      while (load_acquire(flags + block) < unsigned(step)) {
      }
    }
    __syncthreads();
  }
}

__global__ void cluster_barriers(int steps) {
#if __CUDA_ARCH__ >= 900
  for (int step = 0; step < steps; ++step) {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  }
#endif
}

__global__ void empty() {}

// All threads together read the values, several times.
__global__ void read(const uint4* values, std::size_t count, int times, unsigned* sink) {
  unsigned sum = 0;
  for (int i = 0; i < times; ++i) {
    const std::size_t step = std::size_t(gridDim.x) * blockDim.x;
#pragma unroll 8
    for (std::size_t at = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x; at < count; at += step) {
      const uint4 value = __ldcg(values + at);  // past L1
      sum += value.x ^ value.y ^ value.z ^ value.w;
    }
  }
  if (sum == 0x12345678) *sink = sum;
}

double barrier(cudaStream_t stream, int blocks, bool with_flags) {
  constexpr int steps = 2000;
  unsigned* flags = nullptr;
  check(cudaMalloc(&flags, blocks * sizeof(unsigned)), "memory");
  int count = steps;
  void* arguments[] = {&flags, &count};
  const auto* kernel =
      with_flags ? reinterpret_cast<const void*>(flag_barriers) : reinterpret_cast<const void*>(counter_barriers);
  const double found = seconds(stream, [&] {
    check(cudaMemsetAsync(flags, 0, blocks * sizeof(unsigned), stream), "clear");
    check(cudaLaunchCooperativeKernel(kernel, dim3(blocks), dim3(threads), arguments, 0, stream), "cooperative");
  });
  check(cudaFree(flags), "memory");
  return found / steps;
}

// -1 where the card has no clusters of this size.
double cluster_barrier(cudaStream_t stream, int blocks) {
  constexpr int steps = 2000;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = blocks;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  if (cudaFuncSetAttribute(cluster_barriers, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) != cudaSuccess ||
      cudaOccupancyMaxActiveClusters(&clusters, cluster_barriers, &config) != cudaSuccess || clusters == 0) {
    (void)cudaGetLastError();
    return -1;
  }
  return seconds(stream, [&] { check(cudaLaunchKernelEx(&config, cluster_barriers, steps), "cluster"); }) / steps;
}

double stream_launch(cudaStream_t stream) {
  constexpr int launches = 2000;
  return seconds(stream,
                 [&] {
                   for (int i = 0; i < launches; ++i) empty<<<1, 32, 0, stream>>>();
                 }) /
         launches;
}

double graph_launch(cudaStream_t stream) {
  constexpr int launches = 2000;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < launches; ++i) empty<<<1, 32, 0, stream>>>();
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&exec, graph, 0), "graph");
  const double found = seconds(stream, [&] { check(cudaGraphLaunch(exec, stream), "graph"); });
  check(cudaGraphExecDestroy(exec), "graph");
  check(cudaGraphDestroy(graph), "graph");
  return found / launches;
}

double read_rate(cudaStream_t stream, int multiprocessors, std::size_t bytes, int times) {
  unsigned* memory = nullptr;
  check(cudaMalloc(&memory, bytes + sizeof(uint4)), "memory");
  check(cudaMemset(memory, 0x5a, bytes + sizeof(uint4)), "fill");
  unsigned* sink = memory + bytes / sizeof(unsigned);
  const double found = seconds(stream, [&] {
    read<<<multiprocessors * 4, 512, 0, stream>>>(reinterpret_cast<const uint4*>(memory), bytes / sizeof(uint4), times,
                                                  sink);
  });
  check(cudaFree(memory), "memory");
  return double(bytes) * times / found;
}

double copy_rate(cudaStream_t stream) {
  constexpr std::size_t bytes = 1024 * mebibyte;
  char *from = nullptr, *to = nullptr;
  check(cudaMalloc(&from, bytes), "memory");
  check(cudaMalloc(&to, bytes), "memory");
  check(cudaMemset(from, 0x5a, bytes), "fill");
  const double found =
      seconds(stream, [&] { check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy"); });
  check(cudaFree(from), "memory");
  check(cudaFree(to), "memory");
  return 2.0 * bytes / found;
}

}  // namespace

int main() {
  cudaDeviceProp card{};
  check(cudaGetDeviceProperties(&card, 0), "device");
  cudaStream_t stream;
  check(cudaStreamCreate(&stream), "stream");
  read_rate(stream, card.multiProcessorCount, 256 * mebibyte, 40);  // the clocks rise
  const double counter = barrier(stream, card.multiProcessorCount, false);
  const double flags = barrier(stream, card.multiProcessorCount, true);
  std::printf("{\"multiprocessors\": %d, \"l2_bytes\": %d, \"counter_barrier\": %.4g, \"flag_barrier\": %.4g, ",
              card.multiProcessorCount, card.l2CacheSize, counter, flags);
  for (int blocks : {8, 16}) {
    const double found = cluster_barrier(stream, blocks);
    if (found > 0) std::printf("\"cluster_%d_barrier\": %.4g, ", blocks, found);
  }
  std::printf("\"stream_launch\": %.4g, \"graph_launch\": %.4g, ", stream_launch(stream), graph_launch(stream));
  // A third of the cache: what each of its partitions keeps of the other's data fits as well.
  std::printf("\"l2\": %.4g, ", read_rate(stream, card.multiProcessorCount, std::size_t(card.l2CacheSize) / 3, 50));
  std::printf("\"memory_read\": %.4g, ", read_rate(stream, card.multiProcessorCount, 2048 * mebibyte, 1));
  std::printf("\"memory_copy\": %.4g}\n", copy_rate(stream));
  return 0;
}
