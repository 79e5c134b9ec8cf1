// What a cell's products read in reduced precision: rows of inputs and states, rounded. In full precision, the rows
// themselves.
#pragma once

#include "gemm/packed_cell.h"
#include "memory/arena.h"

namespace rnnpack::sequence {

// Room for the encoded rows of one product; every member of a crew has its own, and encodes all rows for itself.
template <class T>
class encoder {
 public:
  encoder() = default;

  // k: values of a row; rows: the most that are encoded at a time.
  encoder(const number_format<T>& format, scaling scale, std::size_t k, std::size_t rows, arena& memory)
      : encode_(format.encode), scale_(scale), k_(k) {
    if (encode_ == nullptr) return;
    const auto depth = static_cast<std::size_t>(format.depth);
    row_bytes_ = checked_product((k + depth - 1) / depth, depth, format.operand_bytes);
    row_bytes_ = (row_bytes_ + line - 1) / line * line;
    encoded_ = memory.take<std::byte>(checked_product(rows, row_bytes_));
    if (format.kind == precision::int8) row_scale_ = memory.take<float>(rows);
  }

  operand_rows<T> operator()(const T* const* rows, std::size_t count) const {
    if (encode_ == nullptr) return {.values = rows};
    encode_({.from = rows,
             .rows = count,
             .k = k_,
             .scale = scale_,
             .to = encoded_,
             .row_bytes = row_bytes_,
             .row_scale = row_scale_});
    return {.encoded = encoded_, .row_bytes = row_bytes_, .scale = row_scale_};
  }

 private:
  static constexpr std::size_t line = 64;

  encode_kernel<T> encode_ = nullptr;
  scaling scale_{};
  std::size_t k_ = 0;
  std::size_t row_bytes_ = 0;
  std::byte* encoded_ = nullptr;  // [rows][row_bytes]
  float* row_scale_ = nullptr;    // [rows]
};

}  // namespace rnnpack::sequence
