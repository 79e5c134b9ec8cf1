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
      {"peephole_lstm", cell_kind::peephole_lstm},
      {"projected_lstm", cell_kind::projected_lstm},
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

// A cell's weights as Python gives them.
struct weight_objects {
  const py::object& kernel;
  const py::object& recurrent_kernel;
  const py::object& bias;
  const py::object& peepholes;
  const py::object& projection_kernel;
};

// The matrix that only cells of one kind have; empty for the others.
template <class T>
py::array_t<T> own_matrix(const cell_plan& plan, cell_kind owner, const py::object& value, const std::string& name) {
  if (plan.kind == owner) return contiguous<T>(require_dtype<T>(value, name));
  if (!value.is_none())
    throw py::value_error(name + ": expected None for kind '" + std::string(name_of(kinds(), plan.kind)) +
                          "', got an array");
  return py::array_t<T>();
}

template <class T>
packed_cell<T> pack(const cell_plan& plan, const weight_objects& given) {
  // Contiguous first, checked then: making a copy may let other threads change the shape of the original.
  const auto input = contiguous<T>(require_dtype<T>(given.kernel, "kernel"));
  const auto recurrent = contiguous<T>(require_dtype<T>(given.recurrent_kernel, "recurrent_kernel"));
  const auto peepholes = own_matrix<T>(plan, cell_kind::peephole_lstm, given.peepholes, "peepholes");
  const auto projection = own_matrix<T>(plan, cell_kind::projected_lstm, given.projection_kernel, "projection_kernel");
  if (recurrent.ndim() != 2 || recurrent.shape(0) < 1)
    throw py::value_error("recurrent_kernel: expected shape (units, gates * units) with units >= 1, got " +
                          shape_text(recurrent));
  const py::ssize_t outputs = recurrent.shape(0);
  py::ssize_t units = outputs;
  if (plan.kind == cell_kind::projected_lstm) {
    units = projection.ndim() == 2 ? projection.shape(0) : 0;
    if (units < 1 || projection.shape(1) != outputs)
      throw py::value_error("projection_kernel: expected shape (units, " + std::to_string(outputs) +
                            ") with units >= 1, got " + shape_text(projection));
  }
  const py::ssize_t columns = static_cast<py::ssize_t>(gates_of(plan.kind)) * units;
  require_shape(recurrent, {outputs, columns}, "recurrent_kernel");
  if (plan.kind == cell_kind::peephole_lstm) require_shape(peepholes, {3, units}, "peepholes");
  if (input.ndim() != 2) throw py::value_error("kernel: expected 2 dimensions, got shape " + shape_text(input));
  require_shape(input, {input.shape(0), columns}, "kernel");
  py::array_t<T> bias_values;
  if (!given.bias.is_none()) {
    bias_values = contiguous<T>(require_dtype<T>(given.bias, "bias"));
    const bool two_rows = plan.kind == cell_kind::gru;
    require_shape(bias_values, two_rows ? std::vector<py::ssize_t>{2, columns} : std::vector<py::ssize_t>{columns},
                  "bias");
  }
  const cell_weights<T> weights{.kind = plan.kind,
                                .activations = plan.activations,
                                .input_size = static_cast<std::size_t>(input.shape(0)),
                                .units = static_cast<std::size_t>(units),
                                .outputs = static_cast<std::size_t>(outputs),
                                .kernel = input.data(),
                                .recurrent_kernel = recurrent.data(),
                                .bias = given.bias.is_none() ? nullptr : bias_values.data(),
                                .peepholes = peepholes.data(),
                                .projection_kernel = projection.data()};
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
                                                     double input_range, double state_range,
                                                     const py::object& peepholes, const py::object& projection_kernel) {
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
