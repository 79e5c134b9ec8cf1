#include <cmath>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/interpreter_lock.h"
#include "bindings/packed_cell_object.h"
#include "bindings/register.h"
#include "bindings/slots.h"
#include "dispatch/dispatch.h"

namespace rnnpack::bindings {
namespace {

template <class E>
using name_list = std::vector<std::pair<std::string_view, E>>;

const name_list<cell_kind>& kinds() {
  static const name_list<cell_kind> names{
      {"simple_rnn", cell_kind::simple_rnn},
      {"lstm", cell_kind::lstm},
      {"gru", cell_kind::gru},
      {"gru_reset_before", cell_kind::gru_reset_before},
  };
  return names;
}

const name_list<activation>& activations() {
  static const name_list<activation> names{
      {"linear", activation::linear},     {"tanh", activation::tanh},
      {"sigmoid", activation::sigmoid},   {"hard_sigmoid", activation::hard_sigmoid},
      {"relu", activation::relu},         {"elu", activation::elu},
      {"selu", activation::selu},         {"softplus", activation::softplus},
      {"softsign", activation::softsign}, {"swish", activation::swish},
      {"gelu", activation::gelu},         {"exponential", activation::exponential},
  };
  return names;
}

const name_list<precision>& precisions() {
  static const name_list<precision> names{
      {"full", precision::full}, {"bfloat16", precision::bfloat16}, {"int8", precision::int8}};
  return names;
}

template <class E>
E find(const name_list<E>& names, std::string_view name, const std::string& argument) {
  std::string known;
  for (const auto& [known_name, value] : names) {
    if (known_name == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(known_name);
  }
  throw py::value_error(argument + ": expected one of " + known + ", got '" + std::string(name) + "'");
}

template <class E>
std::string_view name_of(const name_list<E>& names, E wanted) {
  for (const auto& [name, value] : names)
    if (value == wanted) return name;
  return {};
}

// A cell as its kernels want it.
struct cell_plan {
  const kernel_table& table;
  cell_kind kind;
  activation_pair activations;
  operand_ranges ranges;
};

template <class T>
packed_cell<T> pack(const cell_plan& plan, const py::object& kernel, const py::object& recurrent_kernel,
                    const py::object& bias) {
  // Contiguous first, checked then: making a copy may let other threads change the shape of the original.
  const auto input = contiguous<T>(require_dtype<T>(kernel, "kernel"));
  const auto recurrent = contiguous<T>(require_dtype<T>(recurrent_kernel, "recurrent_kernel"));
  if (recurrent.ndim() != 2 || recurrent.shape(0) < 1)
    throw py::value_error("recurrent_kernel: expected shape (units, gates * units) with units >= 1, got " +
                          shape_text(recurrent));
  const py::ssize_t units = recurrent.shape(0);
  const py::ssize_t columns = static_cast<py::ssize_t>(gates_of(plan.kind)) * units;
  require_shape(recurrent, {units, columns}, "recurrent_kernel");
  if (input.ndim() != 2) throw py::value_error("kernel: expected 2 dimensions, got shape " + shape_text(input));
  require_shape(input, {input.shape(0), columns}, "kernel");
  py::array_t<T> bias_values;
  if (!bias.is_none()) {
    bias_values = contiguous<T>(require_dtype<T>(bias, "bias"));
    const bool two_rows = plan.kind == cell_kind::gru;
    require_shape(bias_values, two_rows ? std::vector<py::ssize_t>{2, columns} : std::vector<py::ssize_t>{columns},
                  "bias");
  }
  const cell_weights<T> weights{.kind = plan.kind,
                                .activations = plan.activations,
                                .input_size = static_cast<std::size_t>(input.shape(0)),
                                .units = static_cast<std::size_t>(units),
                                .kernel = input.data(),
                                .recurrent_kernel = recurrent.data(),
                                .bias = bias.is_none() ? nullptr : bias_values.data()};
  const lock_released released;
  return packed_cell<T>(plan.table, weights, plan.ranges);
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
                                                     double input_range, double state_range) {
  const precision reduced = find(precisions(), wanted, "precision");
  const activation_pair pair{.main = find(activations(), main, "activation"),
                             .recurrent = find(activations(), recurrent, "recurrent_activation")};
  const cell_plan plan{.table = select_kernels(isa, reduced),
                       .kind = find(kinds(), kind, "kind"),
                       .activations = pair,
                       .ranges = {.inputs = checked_range(input_range, "input_range"),
                                  .states = checked_range(state_range, "state_range")}};
  const bool wide = py::isinstance<py::array>(kernel) &&
                    py::reinterpret_borrow<py::array>(kernel).dtype().equal(py::dtype::of<double>());
  if (wide && reduced != precision::full)
    throw py::type_error("kernel: expected float32 with precision '" + wanted + "', got float64");
  if (wide)
    return std::make_unique<packed_cell_object>(packed_cell_object{pack<double>(plan, kernel, recurrent_kernel, bias)});
  return std::make_unique<packed_cell_object>(packed_cell_object{pack<float>(plan, kernel, recurrent_kernel, bias)});
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
                  py::arg("precision") = "full", py::arg("input_range") = 0.0, py::arg("state_range") = 0.0)
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
          "state_count", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.states(); }); })
      .def_property_readonly(
          "nbytes", [](const packed_cell_object& o) { return visit(o, [](const auto& c) { return c.bytes(); }); });
}

}  // namespace rnnpack::bindings
