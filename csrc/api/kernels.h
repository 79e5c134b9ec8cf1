// The interface between the sequence engine, which is compiled once, and the kernels, which are
// compiled once per instruction set. Plain structs of pointers and sizes; nothing here allocates.
//
// A cell's step is one or two passes. A pass multiplies by a packed slice of the weights and finishes
// the cell's mathematics on the accumulators. Packed weights are laid out in panels of `width` units,
// [block][k][gate][width], so that one register tile holds all gates of the same units.
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

// gx = bias + a * panels, for many rows of many timesteps at once.
template <class T>
struct project_args {
  const T* const* a;  // [rows] pointers to k values each; the gated kernel: [gates][rows]
  std::size_t rows;
  std::size_t k;
  const T* panels;  // [blocks][k][gates][width]
  const T* bias;    // [blocks][gates][width]
  block_range blocks;
  T* gx;  // [blocks][rows][gates][width]
};

// One pass of one timestep for the rows that are not masked.
template <class T>
struct step_args {
  std::size_t rows;
  std::size_t k;            // length of a row of `a`: the units of the cell
  const T* const* a;        // [rows] what is multiplied by the panels; the gated kernel: [gates][rows]
  const T* const* h;        // [rows] the previous state, padded to whole blocks
  T* const* c;              // [rows] second state or scratch, read and written in place, padded
  T* const* out;            // [rows] where the new state goes, padded
  T* const* y;              // [rows] where the output goes as well, exactly `k` values; may be null
  const T* panels;          // [blocks][k][gates][width]
  const T* candidate_bias;  // [blocks][width] start of a separate candidate's accumulator
  block_range blocks;
  bool descending;       // the order of the blocks
  const T* gx;           // projected inputs of this step: block 0, first row
  std::size_t gx_block;  // distance in values between two blocks of gx
  activation_pair activations;
};

template <class T>
using project_kernel = void (*)(const project_args<T>&);
template <class T>
using step_kernel = void (*)(const step_args<T>&);

template <class T>
struct pass_kernels {
  int first_gate = 0;  // in Keras' order of column blocks
  int gates = 0;
  int width = 0;  // units in a block
  project_kernel<T> project = nullptr;
  step_kernel<T> step = nullptr;          // tanh and sigmoid, inlined
  step_kernel<T> step_generic = nullptr;  // any activation pair
  // Each gate multiplies rows of its own, as under dropout; any activation pair.
  project_kernel<T> project_gated = nullptr;
  step_kernel<T> step_gated = nullptr;
};

template <class T>
struct cell_kernels {
  int passes;
  pass_kernels<T> pass[2];
};

struct kernel_table {
  const char* isa;
  // Kernels for a cell; the best block width depends on the number of units.
  const cell_kernels<float>& (*find_f32)(cell_kind, std::size_t units);
  const cell_kernels<double>& (*find_f64)(cell_kind, std::size_t units);
};

template <class T>
const cell_kernels<T>& find_kernels(const kernel_table& table, cell_kind kind, std::size_t units) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return table.find_f32(kind, units);
  } else {
    return table.find_f64(kind, units);
  }
}

}  // namespace rnnpack
