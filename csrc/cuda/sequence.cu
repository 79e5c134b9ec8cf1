#include "cuda/sequence.h"

#include <algorithm>
#include <span>

#include "cuda/format_list.h"
#include "cuda/packed_cell.h"

namespace rnnpack::cuda {

// In time_loop_<format>.cu.
template <class F>
std::size_t workspace_bytes_in(const call& one, std::span<const direction> alike);
template <class F>
bool run_in(const call& one, std::span<const direction> alike, std::byte* memory, cudaStream_t stream,
            const interruption* question);

namespace {

// Whether two cells can share kernels.
bool alike(const packed_cell& a, const packed_cell& b) {
  return a.kind == b.kind && a.format == b.format && a.input_size == b.input_size && a.units == b.units &&
         a.outputs == b.outputs && a.activations.main == b.activations.main &&
         a.activations.recurrent == b.activations.recurrent;
}

bool alike(const direction& a, const direction& b) {
  return std::equal(a.cells, a.cells + a.cell_count, b.cells, b.cells + b.cell_count,
                    [](const packed_cell* one, const packed_cell* other) { return alike(*one, *other); });
}

// The directions that run together: both, or each alone.
std::size_t together(const call& one) {
  return one.direction_count == 2 && alike(one.directions[0], one.directions[1]) ? 2 : 1;
}

number_format format_of(const direction& way) { return way.cells[0]->format; }

}  // namespace

std::size_t workspace_bytes(const call& one) {
  const std::span<const direction> all(one.directions, one.direction_count);
  std::size_t most = 0;
  for (std::size_t i = 0; i < all.size(); i += together(one)) {
    const std::size_t bytes = with_format(
        format_of(all[i]), [&]<class F>() { return workspace_bytes_in<F>(one, all.subspan(i, together(one))); });
    most = std::max(most, bytes);
  }
  return most;
}

bool run(const call& one, std::byte* memory, cudaStream_t stream, const interruption* question) {
  const std::span<const direction> all(one.directions, one.direction_count);
  for (std::size_t i = 0; i < all.size(); i += together(one)) {
    const bool done = with_format(format_of(all[i]), [&]<class F>() {
      return run_in<F>(one, all.subspan(i, together(one)), memory, stream, question);
    });
    if (!done) return false;
  }
  return true;
}

}  // namespace rnnpack::cuda
