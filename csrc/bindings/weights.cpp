#include "bindings/weights.h"

#include "bindings/names.h"

namespace rnnpack::bindings {
namespace {

// The matrix that only cells of one kind have.
template <class T>
std::optional<py::array_t<T>> own_matrix(cell_kind kind, cell_kind owner, const py::object& value,
                                         const std::string& name) {
  if (kind == owner) return contiguous<T>(require_dtype<T>(value, name));
  if (!value.is_none())
    throw py::value_error(name + ": expected None for kind '" + std::string(name_of(kinds(), kind)) +
                          "', got an array");
  return std::nullopt;
}

template <class T>
std::optional<py::array_t<T>> if_given(const py::object& value, const std::string& name) {
  if (value.is_none()) return std::nullopt;
  return contiguous<T>(require_dtype<T>(value, name));
}

template <class T>
const T* data_or_null(const std::optional<py::array_t<T>>& array) {
  return array ? array->data() : nullptr;
}

}  // namespace

template <class T>
weight_arrays<T>::weight_arrays(cell_kind kind, const weight_objects& given)
    : kind_(kind),
      kernel_(contiguous<T>(require_dtype<T>(given.kernel, "kernel"))),
      recurrent_kernel_(contiguous<T>(require_dtype<T>(given.recurrent_kernel, "recurrent_kernel"))),
      peepholes_(own_matrix<T>(kind, cell_kind::peephole_lstm, given.peepholes, "peepholes")),
      projection_kernel_(own_matrix<T>(kind, cell_kind::projected_lstm, given.projection_kernel, "projection_kernel")),
      bias_(if_given<T>(given.bias, "bias")) {
  if (recurrent_kernel_.ndim() != 2 || recurrent_kernel_.shape(0) < 1)
    throw py::value_error("recurrent_kernel: expected shape (units, gates * units) with units >= 1, got " +
                          shape_text(recurrent_kernel_));
  outputs_ = recurrent_kernel_.shape(0);
  units_ = outputs_;
  if (projection_kernel_) {
    units_ = projection_kernel_->ndim() == 2 ? projection_kernel_->shape(0) : 0;
    if (units_ < 1 || projection_kernel_->shape(1) != outputs_)
      throw py::value_error("projection_kernel: expected shape (units, " + std::to_string(outputs_) +
                            ") with units >= 1, got " + shape_text(*projection_kernel_));
  }
  const py::ssize_t columns = static_cast<py::ssize_t>(gates_of(kind)) * units_;
  require_shape(recurrent_kernel_, {outputs_, columns}, "recurrent_kernel");
  if (peepholes_) require_shape(*peepholes_, {3, units_}, "peepholes");
  if (kernel_.ndim() != 2) throw py::value_error("kernel: expected 2 dimensions, got shape " + shape_text(kernel_));
  require_shape(kernel_, {kernel_.shape(0), columns}, "kernel");
  if (bias_)
    require_shape(*bias_, kind == cell_kind::gru ? std::vector{py::ssize_t{2}, columns} : std::vector{columns}, "bias");
}

template <class T>
cell_weights<T> weight_arrays<T>::weights(activation_pair activations) const {
  return {.kind = kind_,
          .activations = activations,
          .input_size = static_cast<std::size_t>(kernel_.shape(0)),
          .units = static_cast<std::size_t>(units_),
          .outputs = static_cast<std::size_t>(outputs_),
          .kernel = kernel_.data(),
          .recurrent_kernel = recurrent_kernel_.data(),
          .bias = data_or_null(bias_),
          .peepholes = data_or_null(peepholes_),
          .projection_kernel = data_or_null(projection_kernel_)};
}

template class weight_arrays<float>;
template class weight_arrays<double>;

}  // namespace rnnpack::bindings
