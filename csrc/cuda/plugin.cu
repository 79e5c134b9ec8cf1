// The plugin's interface: what api/cuda.h lists, with exceptions turned into results.
#include <algorithm>
#include <cstring>
#include <exception>

#include "cuda/host_arrays.h"
#include "cuda/launch.h"
#include "cuda/merge.h"
#include "cuda/packed_cell.h"
#include "cuda/sequence.h"

namespace rnnpack::cuda {
namespace {

// As much of the text as fits, and its end.
template <std::size_t Size>
void write(char (&to)[Size], const char* text) {
  const std::size_t length = std::min(std::strlen(text), Size - 1);
  std::memcpy(to, text, length);
  to[length] = '\0';
}

void write(failure* why, const char* text) {
  if (why != nullptr) write(why->text, text);
}

template <class Work>
result guarded(failure* why, Work work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    write(why, "CUDA: there is not enough memory on the GPU, or of the host's that can be pinned");
    return result::out_of_memory;
  } catch (const std::invalid_argument& error) {
    write(why, error.what());
    return result::invalid;
  } catch (const std::exception& error) {
    write(why, error.what());
    return result::failed;
  }
}

// Calls keep memory for the next one; where it is missing elsewhere, it is given back.
template <class Work>
result with_idle_memory(std::int32_t device, Work work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    release_idle_memory(device);
  }
  return work();
}

result count_devices(std::int32_t* count, failure* why) {
  return guarded(why, [&] {
    int found = 0;
    check(cudaGetDeviceCount(&found), "looking for a GPU");
    if (found == 0) throw std::runtime_error("CUDA: there is no GPU");
    *count = found;
    return result::ok;
  });
}

result describe_device(std::int32_t device, device_info* info, failure* why) {
  return guarded(why, [&] {
    cudaDeviceProp found{};
    check(cudaGetDeviceProperties(&found, device), "asking for the device's properties");
    write(info->name, found.name);
    info->major = found.major;
    info->minor = found.minor;
    info->multiprocessors = found.multiProcessorCount;
    info->memory_bytes = found.totalGlobalMem;
    return result::ok;
  });
}

result make_cell(std::int32_t device, const cell_weights* weights, packed_cell** made, failure* why) {
  return guarded(why, [&] {
    return with_idle_memory(device, [&] {
      *made = pack_cell(device, *weights).release();
      return result::ok;
    });
  });
}

void free_cell(packed_cell* cell) {
  guarded(nullptr, [&] {
    const std::unique_ptr<packed_cell> owned(cell);
    const current_device here(cell->device);
    const relaxed_capture allowed;
    owned->memory.reset();
    return result::ok;
  });
}

std::size_t cell_bytes(const packed_cell* cell) { return cell->bytes; }

std::size_t bytes_for_run(const call* one) {
  std::size_t bytes = 0;
  // Sizes that no memory could hold.
  if (guarded(nullptr, [&] {
        bytes = workspace_bytes(*one);
        return result::ok;
      }) != result::ok)
    return static_cast<std::size_t>(-1);
  return bytes;
}

result run_on_stream(const call* one, void* memory, void* stream, const interruption* question, failure* why) {
  return guarded(why, [&] {
    const current_device here(one->directions[0].cells[0]->device);
    const relaxed_capture allowed;  // a kernel's code is loaded when it first runs
    return run(*one, static_cast<std::byte*>(memory), static_cast<cudaStream_t>(stream), question)
               ? result::ok
               : result::interrupted;
  });
}

result run_host(const call* one, const interruption* question, failure* why) {
  return guarded(why, [&] {
    return with_idle_memory(one->directions[0].cells[0]->device,
                            [&] { return run_on_host_arrays(*one, question) ? result::ok : result::interrupted; });
  });
}

result merge(std::int32_t device, merge_mode mode, element type, std::size_t count, const void* a, const void* b,
             void* to, void* stream, failure* why) {
  return guarded(why, [&] {
    const current_device here(device);
    const relaxed_capture allowed;
    const merge_args args{
        .mode = mode, .type = type, .count = static_cast<std::int64_t>(count), .a = a, .b = b, .to = to};
    launch_transfer(type == element::float64 ? merge_values<double> : merge_values<float>, args.count,
                    static_cast<cudaStream_t>(stream), args, "merging both directions");
    return result::ok;
  });
}

result order(std::int32_t device, void* earlier, void* later, failure* why) {
  return guarded(why, [&] {
    const current_device here(device);
    const relaxed_capture allowed;
    const owned_event reached = make_event();
    check(cudaEventRecord(reached.get(), static_cast<cudaStream_t>(earlier)), "ordering streams");
    check(cudaStreamWaitEvent(static_cast<cudaStream_t>(later), reached.get(), 0), "ordering streams");
    return result::ok;
  });
}

result allocate(std::int32_t device, std::size_t bytes, void* stream, void** memory, failure* why) {
  return guarded(why, [&] {
    const current_device here(device);
    return with_idle_memory(device, [&] {
      check(cudaMallocAsync(memory, std::max<std::size_t>(bytes, 1), static_cast<cudaStream_t>(stream)),
            "taking device memory");
      return result::ok;
    });
  });
}

void release(std::int32_t device, void* memory, void* stream) {
  guarded(nullptr, [&] {
    const current_device here(device);
    if (cudaFreeAsync(memory, static_cast<cudaStream_t>(stream)) != cudaSuccess) cudaGetLastError();
    return result::ok;
  });
}

result copy(std::int32_t device, void* to, const void* from, std::size_t bytes, void* stream, failure* why) {
  return guarded(why, [&] {
    const current_device here(device);
    const auto on = static_cast<cudaStream_t>(stream);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on), "copying");
    check(cudaStreamSynchronize(on), "copying");
    return result::ok;
  });
}

result owner_of(const void* address, std::int32_t* device, failure* why) {
  return guarded(why, [&] {
    const relaxed_capture allowed;
    cudaPointerAttributes found{};
    check(cudaPointerGetAttributes(&found, address), "asking for an address");
    const bool on_device = found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
    *device = on_device ? found.device : -1;
    return result::ok;
  });
}

constexpr plugin functions{.version = interface_version,
                           .count_devices = &count_devices,
                           .describe_device = &describe_device,
                           .make_cell = &make_cell,
                           .free_cell = &free_cell,
                           .cell_bytes = &cell_bytes,
                           .workspace_bytes = &bytes_for_run,
                           .run = &run_on_stream,
                           .run_on_host_arrays = &run_host,
                           .merge = &merge,
                           .order = &order,
                           .allocate = &allocate,
                           .release = &release,
                           .copy = &copy,
                           .owner_of = &owner_of};

}  // namespace
}  // namespace rnnpack::cuda

extern "C" __attribute__((visibility("default"))) const rnnpack::cuda::plugin* rnnpack_cuda_plugin(
    std::uint32_t version) {
  return version == rnnpack::cuda::interface_version ? &rnnpack::cuda::functions : nullptr;
}
