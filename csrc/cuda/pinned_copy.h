// Copies between pageable host memory and a device, through two pinned buffers: while one is on its way the other is
// filled or emptied.
#pragma once

#include <array>

#include "cuda/memory.h"

namespace rnnpack::cuda {

// Rows of bytes in host memory, [outer][inner] at any distance from each other.
struct host_rows {
  std::byte* data;
  std::size_t outer;
  std::size_t inner;
  std::ptrdiff_t outer_stride;
  std::ptrdiff_t inner_stride;
  std::size_t row_bytes;

  std::size_t count() const { return outer * inner; }
  std::byte* row(std::size_t index) const {
    return data + static_cast<std::ptrdiff_t>(index / inner) * outer_stride +
           static_cast<std::ptrdiff_t>(index % inner) * inner_stride;
  }
};

// The same bytes in the same order as fewer, longer rows, where rows touch.
host_rows merged(host_rows rows);

// A stream with its buffers, and device memory that is kept from call to call. One call uses it at a time.
class pinned_copier {
 public:
  static constexpr std::size_t buffer_bytes = std::size_t{4} << 20;

  pinned_copier();
  pinned_copier(const pinned_copier&) = delete;
  pinned_copier& operator=(const pinned_copier&) = delete;
  pinned_copier(pinned_copier&&) = delete;
  pinned_copier& operator=(pinned_copier&&) = delete;
  // Waits: where a call failed, copies may still be under way.
  ~pinned_copier() { cudaStreamSynchronize(stream()); }
  cudaStream_t stream() const { return stream_.get(); }
  std::byte* device_block(std::size_t bytes);
  // Gives a large block back.
  void tidy();

  // The device's side is contiguous. `out` returns when the host has everything.
  void in(std::byte* to, const host_rows& from);
  void out(const host_rows& to, const std::byte* from);
  void synchronize() const;

 private:
  struct buffer {
    pinned_memory memory;
    owned_event free;  // when the last copy that used it is done
  };

  owned_stream stream_;
  device_memory block_;
  std::size_t block_bytes_ = 0;
  std::array<buffer, 2> buffers_;
};

}  // namespace rnnpack::cuda
