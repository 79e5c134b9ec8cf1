// What Python holds as PackedCell: a packed cell of either dtype.
#pragma once

#include <utility>
#include <variant>

#include "gemm/packed_cell.h"

namespace rnnpack::bindings {

struct packed_cell_object {
  std::variant<packed_cell<float>, packed_cell<double>> cell;
};

// Calls f(cell) with the packed cell inside.
template <class F>
decltype(auto) visit(const packed_cell_object& object, F&& f) {
  return std::visit(std::forward<F>(f), object.cell);
}

}  // namespace rnnpack::bindings
