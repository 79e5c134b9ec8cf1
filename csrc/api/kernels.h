// The interface between the sequence engine, which is compiled once, and the kernels, which are
// compiled once per instruction set. Plain structs of pointers and sizes; nothing here allocates.
//
// A cell's step is one or two passes. A pass multiplies by a packed slice of the weights and finishes
// the cell's mathematics on the accumulators. Packed weights are laid out in panels of `width` units,
// [block][k / depth][gate][width][depth], so that one register tile holds all gates of the same units; depth is how
// many values of k an instruction takes at once, 1 in full precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "api/cell.h"

namespace rnnpack {

// The blocks that a kernel is to compute; threads may share them out.
struct block_range {
  std::size_t begin;
  std::size_t end;
};

// Rows that are multiplied, [rows], or [gates][rows] for gated kernels: pointers to values in full precision, else
// encoded rows one after the other.
template <class T>
struct operand_rows {
  const T* const* values = nullptr;
  const std::byte* encoded = nullptr;
  std::size_t row_bytes = 0;
  const float* scale = nullptr;  // int8: what a row's whole numbers are multiplied with

  operand_rows from(std::size_t row) const {
    if (encoded == nullptr) return {.values = values + row};
    return {.encoded = encoded + row * row_bytes,
            .row_bytes = row_bytes,
            .scale = scale == nullptr ? nullptr : scale + row};
  }
};

// The packed weights of a product.
struct weight_panels {
  const std::byte* panels;      // [blocks][k / depth][gates][width][depth]
  const float* column_scale;    // int8: [blocks][gates][width]
  const std::int32_t* offsets;  // int8: [blocks][gates][width] what the sums begin with
};

// gx = bias + a * weights, for many rows of many timesteps at once.
template <class T>
struct project_args {
  operand_rows<T> a;
  std::size_t rows;
  std::size_t k;
  weight_panels weights;
  const T* bias;  // [blocks][gates][width]
  block_range blocks;
  T* gx;  // [blocks][rows][gates][width]
};

// One pass of one timestep for the rows that are not masked.
template <class T>
struct step_args {
  std::size_t rows;
  std::size_t k;      // length of a row of `a`
  std::size_t units;  // that the pass computes
  operand_rows<T> a;  // what is multiplied by the weights
  const T* const* h;  // [rows] the previous state, padded to whole blocks
  T* const* c;        // [rows] second state or scratch, read and written in place, padded
  T* const* out;      // [rows] where the new state goes, padded
  T* const* y;        // [rows] where the output goes as well, exactly `units` values; may be null
  weight_panels weights;
  const T* candidate_bias;  // [blocks][width] start of a separate candidate's accumulator
  const T* peepholes;       // [blocks][peepholes][width]
  block_range blocks;
  bool descending;       // the order of the blocks
  const T* gx;           // projected inputs of this step: block 0, first row; null for a pass that takes none
  std::size_t gx_block;  // distance in values between two blocks of gx
  activation_pair activations;
};

// Where the values of a row come from whole numbers of -127 to 127: multiplied with range / 127, or where there is no
// range, or a row does not fit into it and may not be cut off, with the row's own largest magnitude / 127.
struct scaling {
  float range = 0;
  bool cut_off = false;
};

// Rows of values turned into what products of reduced precision read.
template <class T>
struct encode_args {
  const T* const* from = nullptr;  // [rows]
  std::size_t rows = 0;
  std::size_t k = 0;
  scaling scale;
  std::byte* to = nullptr;  // [rows][row_bytes]
  std::size_t row_bytes = 0;
  float* row_scale = nullptr;  // [rows], int8 only
};

template <class T>
using encode_kernel = void (*)(const encode_args<T>&);
template <class T>
using project_kernel = void (*)(const project_args<T>&);
template <class T>
using step_kernel = void (*)(const step_args<T>&);

template <class T>
struct pass_kernels {
  int first_gate = 0;  // in Keras' order of column blocks
  int gates = 0;
  int width = 0;                          // units in a block
  project_kernel<T> project = nullptr;    // null: the pass takes no inputs
  step_kernel<T> step = nullptr;          // tanh and sigmoid, inlined
  step_kernel<T> step_generic = nullptr;  // any activation pair
  // Each gate multiplies rows of its own, as under dropout; any activation pair.
  project_kernel<T> project_gated = nullptr;
  step_kernel<T> step_gated = nullptr;
};

// How a table's kernels want operands and weights.
template <class T>
struct number_format {
  precision kind = precision::full;
  int depth = 1;
  std::size_t operand_bytes = sizeof(T);  // of one value of an encoded row
  encode_kernel<T> encode = nullptr;      // null in full precision, which reads values where they are
};

template <class T>
struct cell_kernels {
  number_format<T> format;
  int passes;
  pass_kernels<T> pass[2];
};

struct kernel_table {
  const char* isa;
  // Kernels for a cell; the best block width depends on the size of its output. Reduced precision: null for doubles.
  const cell_kernels<float>& (*find_f32)(cell_kind, std::size_t outputs);
  const cell_kernels<double>& (*find_f64)(cell_kind, std::size_t outputs);
};

template <class T>
const cell_kernels<T>& find_kernels(const kernel_table& table, cell_kind kind, std::size_t outputs) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return table.find_f32(kind, outputs);
  } else {
    return table.find_f64(kind, outputs);
  }
}

}  // namespace rnnpack
