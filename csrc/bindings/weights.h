// The weights of a cell: checked, and in the layout that packing reads.
#pragma once

#include <optional>

#include "bindings/arrays.h"
#include "gemm/packed_cell.h"

namespace rnnpack::bindings {

// As Python gives them; those that the cell does not have are None.
struct weight_objects {
  const py::object& kernel;
  const py::object& recurrent_kernel;
  const py::object& bias;
  const py::object& peepholes;
  const py::object& projection_kernel;
};

// The same, contiguous. Throws py::type_error or py::value_error where dtypes or shapes do not fit.
template <class T>
class weight_arrays {
 public:
  weight_arrays(cell_kind kind, const weight_objects& given);

  // Valid while the arrays live.
  cell_weights<T> weights(activation_pair activations) const;

 private:
  using array = py::array_t<T>;

  cell_kind kind_;
  // Contiguous first, checked then: making a copy may let other threads change the shape of the original.
  array kernel_;
  array recurrent_kernel_;
  std::optional<array> peepholes_;
  std::optional<array> projection_kernel_;
  std::optional<array> bias_;
  py::ssize_t units_ = 0;
  py::ssize_t outputs_ = 0;
};

extern template class weight_arrays<float>;
extern template class weight_arrays<double>;

}  // namespace rnnpack::bindings
