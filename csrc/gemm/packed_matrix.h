// One matrix of a cell's weights in the order and the numbers in which a pass's kernels read it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "api/kernels.h"
#include "memory/buffer.h"

namespace rnnpack {

struct packed_matrix {
  buffer<std::byte> panels;      // [blocks][rows / depth][gates][width][depth]
  buffer<float> column_scale;    // int8: [blocks][gates][width]
  buffer<std::int32_t> offsets;  // int8: the same

  weight_panels view() const { return {panels.data(), column_scale.data(), offsets.data()}; }
  std::size_t bytes() const { return panels.size() + (column_scale.size() + offsets.size()) * sizeof(float); }
};

// A matrix in Keras' layout.
template <class T>
struct weight_matrix {
  const T* data;  // (rows, gates * units)
  std::size_t rows;
  std::size_t gates;
  std::size_t units;
};

// The columns of a pass's gates, block by block; what sticks out is zero. bfloat16: rounded to nearest, ties to even.
// int8: whole numbers of -127 to 127, in each column its largest magnitude / 127.
template <class T>
packed_matrix pack(const weight_matrix<T>& matrix, const number_format<T>& format, const pass_kernels<T>& pass);

extern template packed_matrix pack<float>(const weight_matrix<float>&, const number_format<float>&,
                                          const pass_kernels<float>&);
extern template packed_matrix pack<double>(const weight_matrix<double>&, const number_format<double>&,
                                           const pass_kernels<double>&);

}  // namespace rnnpack
