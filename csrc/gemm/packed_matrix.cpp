#include "gemm/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace rnnpack {
namespace {

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits | 0x400000) >> 16);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Calls f(column of the matrix, place among the packed columns) for each column of the pass's gates.
template <class T, class F>
void for_each_column(const weight_matrix<T>& matrix, const pass_kernels<T>& pass, F f) {
  const auto width = static_cast<std::size_t>(pass.width);
  for (std::size_t unit = 0; unit < matrix.units; ++unit) {
    for (int gate = 0; gate < pass.gates; ++gate) {
      const std::size_t place = (unit / width * pass.gates + gate) * width + unit % width;
      f((pass.first_gate + gate) * matrix.units + unit, place);
    }
  }
}

// Writes convert(value, place of its column) for all values. Rows are walked in the outer loop, as they lie in memory.
template <class W, class T, class Convert>
buffer<std::byte> pack_values(const weight_matrix<T>& matrix, std::size_t depth, const pass_kernels<T>& pass,
                              Convert convert) {
  const auto width = static_cast<std::size_t>(pass.width);
  const auto gates = static_cast<std::size_t>(pass.gates);
  const std::size_t blocks = (matrix.units + width - 1) / width;
  const std::size_t depths = (matrix.rows + depth - 1) / depth;
  const std::size_t line = gates * width;  // columns of a block
  buffer<std::byte> packed(checked_product(blocks, depths, line, depth, sizeof(W)));
  W* const to = reinterpret_cast<W*>(packed.data());
  std::fill_n(to, packed.size() / sizeof(W), W(0));
  for (std::size_t row = 0; row < matrix.rows; ++row) {
    const T* from = matrix.data + row * matrix.gates * matrix.units;
    for_each_column(matrix, pass, [&](std::size_t column, std::size_t place) {
      const std::size_t group = place / line * depths + row / depth;
      to[(group * line + place % line) * depth + row % depth] = convert(from[column], place);
    });
  }
  return packed;
}

// The kernels add 128 to operands, to make them unsigned: sums begin with what that is going to be too much.
packed_matrix pack_int8(const weight_matrix<float>& matrix, std::size_t depth, const pass_kernels<float>& pass) {
  const auto width = static_cast<std::size_t>(pass.width);
  const std::size_t columns = (matrix.units + width - 1) / width * pass.gates * width;
  packed_matrix packed{.panels = {}, .column_scale = buffer<float>(columns), .offsets = buffer<std::int32_t>(columns)};
  float* const scale = packed.column_scale.data();
  std::int32_t* const offset = packed.offsets.data();
  std::fill_n(scale, columns, 0.0F);
  std::fill_n(offset, columns, 0);
  for_each_column(matrix, pass, [&](std::size_t column, std::size_t place) {
    float most = 0;
    for (std::size_t row = 0; row < matrix.rows; ++row) {
      const float magnitude = std::abs(matrix.data[row * matrix.gates * matrix.units + column]);
      if (magnitude > most || std::isnan(magnitude)) most = magnitude;  // nothing is larger than NaN
    }
    // No whole numbers stand for NaN or infinity: such a column only gives NaN.
    scale[place] = std::isfinite(most) ? most / 127 : std::numeric_limits<float>::quiet_NaN();
  });
  packed.panels = pack_values<std::int8_t>(matrix, depth, pass, [&](float value, std::size_t place) {
    if (!(scale[place] > 0)) return std::int8_t{0};
    const float whole = std::clamp(std::nearbyint(value / scale[place]), -127.0F, 127.0F);
    offset[place] -= 128 * static_cast<std::int32_t>(whole);
    return static_cast<std::int8_t>(whole);
  });
  return packed;
}

}  // namespace

template <class T>
packed_matrix pack(const weight_matrix<T>& matrix, const number_format<T>& format, const pass_kernels<T>& pass) {
  const auto depth = static_cast<std::size_t>(format.depth);
  if constexpr (std::is_same_v<T, float>) {
    if (format.kind == precision::int8) return pack_int8(matrix, depth, pass);
    if (format.kind == precision::bfloat16) {
      return {.panels = pack_values<std::uint16_t>(matrix, depth, pass,
                                                   [](float value, std::size_t) { return to_bfloat16(value); }),
              .column_scale = {},
              .offsets = {}};
    }
  }
  return {.panels = pack_values<T>(matrix, depth, pass, [](T value, std::size_t) { return value; }),
          .column_scale = {},
          .offsets = {}};
}

template packed_matrix pack<float>(const weight_matrix<float>&, const number_format<float>&,
                                   const pass_kernels<float>&);
template packed_matrix pack<double>(const weight_matrix<double>&, const number_format<double>&,
                                    const pass_kernels<double>&);

}  // namespace rnnpack
