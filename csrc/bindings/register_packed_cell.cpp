#include <cmath>
#include <memory>
#include <string_view>

#include "bindings/interpreter_lock.h"
#include "bindings/names.h"
#include "bindings/packed_cell_object.h"
#include "bindings/register.h"
#include "bindings/slots.h"
#include "bindings/weights.h"
#include "dispatch/dispatch.h"

namespace rnnpack::bindings {
namespace {

const name_list<precision>& precisions() {
  static const name_list<precision> names{
      {"full", precision::full}, {"bfloat16", precision::bfloat16}, {"int8", precision::int8}};
  return names;
}

// A cell as its kernels want it.
struct cell_plan {
  const kernel_table& table;
  cell_kind kind;
  activation_pair activations;
  operand_ranges ranges;
};

template <class T>
packed_cell<T> pack(const cell_plan& plan, const weight_objects& given) {
  const weight_arrays<T> arrays(plan.kind, given);
  const lock_released released;
  return packed_cell<T>(plan.table, arrays.weights(plan.activations), plan.ranges);
}

float checked_range(double range, const std::string& name) {
  const auto single = static_cast<float>(range);
  if (!(single >= 0) || !std::isfinite(single))
    throw py::value_error(name + ": expected a finite number, at least 0, got " + std::to_string(range));
  return single;
}

std::unique_ptr<packed_cell_object> make_packed_cell(const std::string& kind, const py::object& kernel,
                                                     const py::object& recurrent_kernel, const py::object& bias,
                                                     const std::string& main, const std::string& recurrent,
                                                     const std::string& isa, const std::string& wanted,
                                                     double input_range, double state_range,
                                                     const py::object& peepholes, const py::object& projection_kernel) {
  const precision reduced = find(precisions(), wanted, "precision");
  const activation_pair pair = find_activations(main, recurrent);
  const cell_plan plan{.table = select_kernels(isa, reduced),
                       .kind = find(kinds(), kind, "kind"),
                       .activations = pair,
                       .ranges = {.inputs = checked_range(input_range, "input_range"),
                                  .states = checked_range(state_range, "state_range")}};
  const bool wide = py::isinstance<py::array>(kernel) &&
                    py::reinterpret_borrow<py::array>(kernel).dtype().equal(py::dtype::of<double>());
  if (wide && reduced != precision::full)
    throw py::type_error("kernel: expected float32 with precision '" + wanted + "', got float64");
  const weight_objects weights{.kernel = kernel,
                               .recurrent_kernel = recurrent_kernel,
                               .bias = bias,
                               .peepholes = peepholes,
                               .projection_kernel = projection_kernel};
  if (wide) return std::make_unique<packed_cell_object>(packed_cell_object{pack<double>(plan, weights)});
  return std::make_unique<packed_cell_object>(packed_cell_object{pack<float>(plan, weights)});
}

template <class T>
constexpr const char* dtype_of(const packed_cell<T>&) {
  return dtype_name<T>();
}

}  // namespace

void register_packed_cell(py::module_& module) {
  module.def(
      "available_isas",
      [](const std::string& wanted) {
        std::vector<std::string> names;
        for (const kernel_table* table : available_kernels(find(precisions(), wanted, "precision")))
          names.emplace_back(table->isa);
        return names;
      },
      py::arg("precision") = "full");
  module.def(
      "selected_isa",
      [](const std::string& isa, const std::string& wanted) {
        return select_kernels(isa, find(precisions(), wanted, "precision")).isa;
      },
      py::arg("isa"), py::arg("precision") = "full");
  py::class_<packed_cell_object>(module, "PackedCell", py::is_final(), plain_metaclass(),
                                 py::custom_type_setup(&make_on_construction))
      .def_static("_make", &make_packed_cell, py::arg("kind"), py::arg("kernel"), py::arg("recurrent_kernel"),
                  py::arg("bias"), py::arg("activation"), py::arg("recurrent_activation"), py::arg("isa") = "",
                  py::arg("precision") = "full", py::arg("input_range") = 0.0, py::arg("state_range") = 0.0,
                  py::arg("peepholes") = py::none(), py::arg("projection_kernel") = py::none())
      .def_property_readonly("kind",
                             [](const packed_cell_object& o) {
                               return visit(o, [](const auto& c) { return name_of(kinds(), c.kind()); });
                             })
      .def_property_readonly(
          "isa", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.isa(); }); })
      .def_property_readonly(
          "dtype", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return dtype_of(c); }); })
      .def_property_readonly("precision",
                             [](const packed_cell_object& o) {
                               return visit(o, [](const auto& c) { return name_of(precisions(), c.format().kind); });
                             })
      .def_property_readonly(
          "input_size",
          [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.input_size(); }); })
      .def_property_readonly(
          "units", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.units(); }); })
      .def_property_readonly(
          "output_size",
          [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.outputs(); }); })
      .def_property_readonly(
          "state_count", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.states(); }); })
      .def_property_readonly(
          "nbytes", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.bytes(); }); });
}

}  // namespace rnnpack::bindings
