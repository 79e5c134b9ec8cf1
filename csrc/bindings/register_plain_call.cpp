#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "bindings/epoch.h"
#include "bindings/plain_stacks.h"
#include "bindings/register.h"
#include "bindings/slots.h"
#include "bindings/watched_lists.h"

namespace rnnpack::bindings {
namespace {

// os.environ writes through to the environment that the C library reads.
std::string_view wanted_isa() {
  const char* const value = std::getenv("RNNPACK_ISA");
  return value == nullptr ? std::string_view() : value;
}

merging merging_of(const std::optional<std::string>& name) {
  if (!name) return merging::list;
  if (*name == "concat") return merging::concatenate;
  if (*name == "sum") return merging::add;
  if (*name == "mul") return merging::multiply;
  if (*name == "ave") return merging::average;
  throw py::value_error("merge_mode: expected concat, sum, mul, ave or None, got " + *name);
}

// Cells of one direction, and whether the layer has them as a stack.
using given_stack = std::pair<py::sequence, bool>;

class plain_call {
 public:
  plain_call(const std::vector<given_stack>& stacks, plain_form form, bool drops, const py::sequence& watched,
             std::uint64_t checked_at)
      : objects_(held(stacks)),
        stacks_(nests(objects_, stacks)),
        form_(std::move(form)),
        drops_(drops),
        watched_(watched),
        epoch_(checked_at),
        isa_(wanted_isa()) {}

  // (inputs, initial_state, keywords, *layers): the result of the layer's call, or None where anything is not plain.
  static py::object call(plain_call& self, PyObject* const* args, Py_ssize_t count) {
    if (count < 3) throw py::type_error("expected inputs, initial_state, keywords and the layers that record");
    std::optional<plain_keywords> keywords = self.current() ? read_keywords(args[2]) : std::nullopt;
    if (!keywords || (self.drops_ && !keywords->inference)) return py::none();
    const plain_arguments given{.inputs = args[0],
                                .states = args[1],
                                .mask = std::move(keywords->mask),
                                .layers = {args + 3, static_cast<std::size_t>(count - 3)}};
    return std::visit([&](const auto& stacks) { return stacks.run(self.form_, given); }, self.stacks_);
  }

  // Whether nothing has changed since the checks.
  bool current() const { return epoch_ == epoch() && watched_.unchanged() && isa_ == wanted_isa(); }

 private:
  using any_stacks = std::variant<plain_stacks<float>, plain_stacks<double>>;

  static std::vector<cell_objects> held(const std::vector<given_stack>& stacks) {
    if (stacks.empty() || stacks.size() > 2) throw py::value_error("stacks: expected one or two");
    std::vector<cell_objects> objects;
    objects.reserve(stacks.size());
    for (const auto& [cells, stacked] : stacks) objects.push_back(hold_cells(cells, "cells"));
    return objects;
  }

  template <class T>
  static any_stacks nests_of(const std::vector<cell_objects>& objects, const std::vector<given_stack>& stacks) {
    std::vector<state_nest<T>> made;
    made.reserve(stacks.size());
    for (std::size_t i = 0; i < stacks.size(); ++i) made.emplace_back(unwrap<T>(objects[i]), stacks[i].second);
    return plain_stacks<T>(std::move(made));
  }

  static any_stacks nests(const std::vector<cell_objects>& objects, const std::vector<given_stack>& stacks) {
    return holds_doubles(objects.front()) ? nests_of<double>(objects, stacks) : nests_of<float>(objects, stacks);
  }

  std::vector<cell_objects> objects_;
  any_stacks stacks_;
  plain_form form_;
  bool drops_;  // in training mode
  watched_lists watched_;
  std::uint64_t epoch_;
  std::string isa_;
};

}  // namespace

void register_plain_call(py::module_& module) {
  module.def("touch", [] { ++epoch(); });
  module.def("epoch", [] { return epoch(); });
  py::class_<plain_call>(module, "PlainCall", py::is_final(), plain_metaclass(),
                         py::custom_type_setup(&make_callable<plain_call, &plain_call::call>))
      .def_static(
          "_make",
          [](const std::vector<given_stack>& stacks, bool time_major, bool go_backwards, bool return_sequences,
             bool return_state, bool zero_output_for_mask, bool stateful, bool drops,
             const std::optional<std::string>& merge_mode, const std::array<std::optional<Py_ssize_t>, 2>& sizes,
             const py::object& carrying, const py::sequence& watched, std::uint64_t checked_at) {
            return std::make_unique<plain_call>(stacks,
                                                plain_form{.time_major = time_major,
                                                           .go_backwards = go_backwards,
                                                           .return_sequences = return_sequences,
                                                           .return_state = return_state,
                                                           .zero_output_for_mask = zero_output_for_mask,
                                                           .stateful = stateful,
                                                           .merge = merging_of(merge_mode),
                                                           .sizes = sizes,
                                                           .carrying = carrying},
                                                drops, watched, checked_at);
          },
          py::arg("stacks"), py::arg("time_major"), py::arg("go_backwards"), py::arg("return_sequences"),
          py::arg("return_state"), py::arg("zero_output_for_mask"), py::arg("stateful"), py::arg("drops"),
          py::arg("merge_mode"), py::arg("sizes"), py::arg("carrying"), py::arg("watched"), py::arg("epoch"))
      .def("current", &plain_call::current);
}

}  // namespace rnnpack::bindings
