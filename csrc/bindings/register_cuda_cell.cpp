#include "bindings/cuda_cell.h"
#include "bindings/cuda_names.h"
#include "bindings/cuda_plugin.h"
#include "bindings/register.h"
#include "bindings/slots.h"
#include "bindings/weights.h"

namespace rnnpack::bindings {

cuda_cell::cuda_cell(const cuda::plugin& plugin, std::int32_t device, const cuda::cell_weights& weights)
    : kind_(weights.kind),
      format_(weights.format),
      device_(device),
      input_size_(weights.input_size),
      units_(weights.units),
      outputs_(weights.outputs),
      packed_(nullptr, {.plugin = &plugin}) {
  cuda::packed_cell* made = nullptr;
  ask(plugin.make_cell, device, &weights, &made);
  packed_.reset(made);
}

std::vector<const cuda_cell*> unwrap_cuda(const cell_objects& objects, bool doubles) {
  std::vector<const cuda_cell*> cells;
  for (const py::object& object : objects) {
    const cuda_cell& cell = cuda_cell_in(object);
    if (cell.doubles() != doubles)
      throw py::type_error(std::string("cells: expected CudaCell of dtype ") + (doubles ? "float64" : "float32"));
    if (!cells.empty() && cell.format() != cells.front()->format())
      throw py::value_error("cells: expected all of one number format, got " +
                            std::string(name_of(formats(), cells.front()->format())) + " and " +
                            std::string(name_of(formats(), cell.format())));
    append_cell(cells, &cell);
  }
  return cells;
}

void require_one_device(std::span<const cuda_cell* const> cells, std::int32_t device) {
  for (const cuda_cell* cell : cells)
    if (cell->device() != device)
      throw py::value_error("cells: expected all on one device, got cuda:" + std::to_string(device) +
                            " and cuda:" + std::to_string(cell->device()));
}

namespace {

struct cell_choice {
  cell_kind kind;
  cuda::number_format format;
  activation_pair activations;
  std::int32_t device;
};

template <class T>
std::unique_ptr<cuda_cell> make(const cell_choice& choice, const weight_objects& given) {
  const weight_arrays<T> arrays(choice.kind, given);
  const cell_weights<T> host = arrays.weights(choice.activations);
  return std::make_unique<cuda_cell>(cuda::loaded(), choice.device,
                                     cuda::cell_weights{.kind = host.kind,
                                                        .format = choice.format,
                                                        .activations = host.activations,
                                                        .input_size = host.input_size,
                                                        .units = host.units,
                                                        .outputs = host.outputs,
                                                        .kernel = host.kernel,
                                                        .recurrent_kernel = host.recurrent_kernel,
                                                        .bias = host.bias,
                                                        .peepholes = host.peepholes,
                                                        .projection_kernel = host.projection_kernel});
}

std::unique_ptr<cuda_cell> make_cuda_cell(const std::string& kind, const py::object& kernel,
                                          const py::object& recurrent_kernel, const py::object& bias,
                                          const std::string& main, const std::string& recurrent, std::int32_t device,
                                          const std::string& format, const py::object& peepholes,
                                          const py::object& projection_kernel) {
  const cell_choice choice{.kind = find(kinds(), kind, "kind"),
                           .format = find(formats(), format, "number_format"),
                           .activations = find_activations(main, recurrent),
                           .device = device};
  if (device < 0)
    throw py::value_error("device: expected the number of a device, at least 0, got " + std::to_string(device));
  const weight_objects weights{.kernel = kernel,
                               .recurrent_kernel = recurrent_kernel,
                               .bias = bias,
                               .peepholes = peepholes,
                               .projection_kernel = projection_kernel};
  return (choice.format == cuda::number_format::float64 ? make<double> : make<float>)(choice, weights);
}

}  // namespace

void register_cuda_cell(py::module_& module) {
  py::class_<cuda_cell>(module, "CudaCell", py::is_final(), plain_metaclass(),
                        py::custom_type_setup(&make_on_construction))
      .def_static("_make", &make_cuda_cell, py::arg("kind"), py::arg("kernel"), py::arg("recurrent_kernel"),
                  py::arg("bias"), py::arg("activation"), py::arg("recurrent_activation"), py::arg("device"),
                  py::arg("number_format"), py::arg("peepholes") = py::none(),
                  py::arg("projection_kernel") = py::none())
      .def_property_readonly("kind", [](const cuda_cell& cell) { return name_of(kinds(), cell.kind()); })
      .def_property_readonly("number_format", [](const cuda_cell& cell) { return name_of(formats(), cell.format()); })
      .def_property_readonly("device", &cuda_cell::device)
      .def_property_readonly("dtype", [](const cuda_cell& cell) { return cell.doubles() ? "float64" : "float32"; })
      .def_property_readonly("input_size", &cuda_cell::input_size)
      .def_property_readonly("units", &cuda_cell::units)
      .def_property_readonly("output_size", &cuda_cell::outputs)
      .def_property_readonly("state_count", &cuda_cell::states)
      .def_property_readonly("nbytes", &cuda_cell::bytes);
}

}  // namespace rnnpack::bindings
