#include "cuda/pinned_copy.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rnnpack::cuda {
namespace {

// A run of bytes of the rows laid end to end, and a buffer beside it.
template <class Copy>
void for_each_piece(const host_rows& rows, std::size_t begin, std::size_t end, Copy copy) {
  for (std::size_t at = begin; at < end;) {
    const std::size_t within = at % rows.row_bytes;
    const std::size_t bytes = std::min(end - at, rows.row_bytes - within);
    copy(rows.row(at / rows.row_bytes) + within, at - begin, bytes);
    at += bytes;
  }
}

// What a call may leave behind for the next.
constexpr std::size_t most_kept_bytes = std::size_t{256} << 20;

}  // namespace

host_rows merged(host_rows rows) {
  for (int axis = 0; axis < 2; ++axis) {
    if (std::cmp_not_equal(rows.inner_stride, rows.row_bytes) && rows.inner != 1) break;
    rows.row_bytes *= rows.inner;
    rows.inner = rows.outer;
    rows.inner_stride = rows.outer_stride;
    rows.outer = 1;
  }
  return rows;
}

pinned_copier::pinned_copier() : stream_(make_stream()) {
  for (buffer& one : buffers_) one = {.memory = take_pinned_memory(buffer_bytes), .free = make_event()};
}

std::byte* pinned_copier::device_block(std::size_t bytes) {
  if (bytes > block_bytes_) {
    block_.reset();
    block_bytes_ = 0;
    block_ = take_device_memory(bytes);
    block_bytes_ = bytes;
  }
  return block_.get();
}

void pinned_copier::tidy() {
  if (block_bytes_ <= most_kept_bytes) return;
  block_.reset();
  block_bytes_ = 0;
}

void pinned_copier::in(std::byte* to, const host_rows& from) {
  const std::size_t total = checked_product(from.count(), from.row_bytes);
  for (std::size_t begin = 0; begin < total; begin += buffer_bytes) {
    const std::size_t end = std::min(total, begin + buffer_bytes);
    const buffer& one = buffers_[begin / buffer_bytes % 2];
    check(cudaEventSynchronize(one.free.get()), "waiting for a copy");
    for_each_piece(from, begin, end, [&](const std::byte* host, std::size_t offset, std::size_t bytes) {
      std::memcpy(one.memory.get() + offset, host, bytes);
    });
    check(cudaMemcpyAsync(to + begin, one.memory.get(), end - begin, cudaMemcpyHostToDevice, stream()),
          "copying to the device");
    check(cudaEventRecord(one.free.get(), stream()), "copying to the device");
  }
}

void pinned_copier::out(const host_rows& to, const std::byte* from) {
  const std::size_t total = checked_product(to.count(), to.row_bytes);
  const std::size_t pieces = (total + buffer_bytes - 1) / buffer_bytes;
  for (std::size_t piece = 0; piece <= pieces; ++piece) {
    if (piece < pieces) {
      const std::size_t begin = piece * buffer_bytes;
      const buffer& next = buffers_[piece % 2];
      check(cudaMemcpyAsync(next.memory.get(), from + begin, std::min(buffer_bytes, total - begin),
                            cudaMemcpyDeviceToHost, stream()),
            "copying from the device");
      check(cudaEventRecord(next.free.get(), stream()), "copying from the device");
    }
    if (piece == 0) continue;
    const std::size_t begin = (piece - 1) * buffer_bytes;
    const buffer& done = buffers_[(piece - 1) % 2];
    check(cudaEventSynchronize(done.free.get()), "waiting for a copy");
    for_each_piece(to, begin, std::min(total, begin + buffer_bytes),
                   [&](std::byte* host, std::size_t offset, std::size_t bytes) {
                     std::memcpy(host, done.memory.get() + offset, bytes);
                   });
  }
}

void pinned_copier::synchronize() const { check(cudaStreamSynchronize(stream()), "running on the device"); }

}  // namespace rnnpack::cuda
