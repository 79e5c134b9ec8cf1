#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "bindings/cuda_cell.h"
#include "bindings/cuda_names.h"
#include "bindings/cuda_plugin.h"
#include "bindings/register.h"
#include "bindings/signals.h"
#include "bindings/slots.h"

namespace rnnpack::bindings {
namespace {

constexpr std::uintptr_t workspace_alignment = 256;

using addresses = std::vector<std::uintptr_t>;
using input_plane = std::tuple<std::uintptr_t, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t>;
using plane_of_two = std::tuple<std::uintptr_t, std::ptrdiff_t, std::ptrdiff_t>;  // address, time and batch stride

// Cells, inputs, addresses of first and of final states, outputs, go_backwards, turn_outputs.
using given_direction =
    std::tuple<py::sequence, input_plane, std::optional<addresses>, std::optional<addresses>, plane_of_two, bool, bool>;

void require(bool fits, const std::string& message) {
  if (!fits) throw py::value_error(message);
}

// A call whose arrays lie in a device's memory.
class cuda_call {
 public:
  // `shape` lacks the directions.
  cuda_call(cuda::call shape, const std::vector<given_direction>& directions) : call_(shape) {
    require(call_.timesteps > 0, "timesteps: expected at least one");
    require(directions.size() == 1 || directions.size() == 2,
            "directions: expected one or two, got " + std::to_string(directions.size()));
    require(call_.row_splits == nullptr || call_.mask == nullptr, "mask: expected None with row_splits");
    for (const given_direction& one : directions) add(one);
    call_.directions = directions_.data();
    call_.direction_count = directions_.size();
    if (call_.batch > 0) workspace_bytes_ = plugin().workspace_bytes(&call_);
    if (workspace_bytes_ == std::numeric_limits<std::size_t>::max())
      raise(PyExc_MemoryError, "no memory could hold what a call of this size needs");
  }

  std::size_t workspace_bytes() const { return workspace_bytes_; }

  void run(std::uintptr_t workspace, std::uintptr_t stream) const {
    if (call_.batch == 0) return;
    require(workspace != 0 || workspace_bytes_ == 0,
            "workspace: expected the address of " + std::to_string(workspace_bytes_) + " bytes, got 0");
    require(workspace % workspace_alignment == 0, "workspace: expected an address aligned to 256 bytes");
    signal_check signals;
    const interruption question = signals.question();
    ask(plugin().run, &call_, pointer_to(workspace), pointer_to(stream), &question);
  }

 private:
  const cuda_cell& first_cell() const { return cuda_cell_in(held_.front().front()); }
  const cuda::plugin& plugin() const { return first_cell().plugin(); }

  void add(const given_direction& given) {
    const auto& [cells, inputs, initial_states, final_states, outputs, go_backwards, turn_outputs] = given;
    held_.push_back(hold_cells<cuda_cell>(cells, "cells"));
    const auto stack = unwrap_cuda(held_.back(), call_.elements == cuda::element::float64);
    require_one_device(stack, first_cell().device());
    require_addressable(cuda::size_of(call_.elements), call_.batch, call_.return_sequences ? call_.timesteps : 1,
                        stack.back()->outputs());
    cuda_lists lists(stack);
    set_states(lists.initial_states, initial_states, count_states(stack), "initial states");
    set_states(lists.final_states, final_states, count_states(stack), "final states");
    for (const void* address : lists.final_states)
      require(call_.batch == 0 || address != nullptr, "final states: expected addresses, got 0");
    const auto [from, from_time, from_batch, from_feature] = inputs;
    const auto [to, to_time, to_batch] = outputs;
    require(call_.batch == 0 || stack.front()->input_size() == 0 || from != 0, "inputs: expected an address, got 0");
    require(call_.batch == 0 || to != 0, "outputs: expected an address, got 0");
    const bool ragged = call_.row_splits != nullptr;
    require(!ragged || (from_batch == 0 && (to_batch == 0 || !call_.return_sequences)),
            "directions: expected batch strides of zero with row_splits");
    directions_.push_back({.cells = lists.cells.data(),
                           .cell_count = lists.cells.size(),
                           .inputs = pointer_to(from),
                           .inputs_time = from_time,
                           .inputs_batch = from_batch,
                           .inputs_feature = from_feature,
                           .initial_states = initial_states ? lists.initial_states.data() : nullptr,
                           .final_states = final_states ? lists.final_states.data() : nullptr,
                           .outputs = pointer_to(to),
                           .outputs_time = to_time,
                           .outputs_batch = to_batch,
                           .go_backwards = go_backwards,
                           .turn_outputs = turn_outputs});
    lists_.push_back(std::move(lists));  // the lists' items stay where they are
  }

  template <class Pointer>
  static void set_states(std::vector<Pointer>& list, const std::optional<addresses>& given, std::size_t count,
                         const std::string& name) {
    if (!given) return;
    require(given->size() == count,
            name + ": expected " + std::to_string(count) + " addresses, got " + std::to_string(given->size()));
    for (const std::uintptr_t address : *given) list.push_back(pointer_to(address));
  }

  std::vector<cell_objects> held_;
  std::vector<cuda_lists> lists_;
  std::vector<cuda::direction> directions_;
  cuda::call call_;
  std::size_t workspace_bytes_ = 0;
};

std::unique_ptr<cuda_call> make_cuda_call(std::size_t batch, std::size_t timesteps, const std::string& element,
                                          std::uintptr_t row_splits, const std::optional<plane_of_two>& mask,
                                          bool return_sequences, bool zero_output_for_mask,
                                          const std::vector<given_direction>& directions) {
  const auto [address, time, across] = mask.value_or(plane_of_two{});
  require(!mask || address != 0 || batch == 0, "mask: expected an address, got 0");
  return std::make_unique<cuda_call>(cuda::call{.batch = batch,
                                                .timesteps = timesteps,
                                                .elements = find(elements(), element, "element"),
                                                .row_splits = static_cast<const std::int64_t*>(pointer_to(row_splits)),
                                                .mask = static_cast<const std::uint8_t*>(pointer_to(address)),
                                                .mask_time = time,
                                                .mask_batch = across,
                                                .return_sequences = return_sequences,
                                                .zero_output_for_mask = zero_output_for_mask,
                                                .directions = nullptr,
                                                .direction_count = 0},
                                     directions);
}

}  // namespace

void register_cuda_call(py::module_& module) {
  py::class_<cuda_call>(module, "CudaCall", py::is_final(), plain_metaclass(),
                        py::custom_type_setup(&make_on_construction))
      .def_static("_make", &make_cuda_call, py::kw_only(), py::arg("batch"), py::arg("timesteps"), py::arg("element"),
                  py::arg("row_splits") = 0, py::arg("mask"), py::arg("return_sequences"),
                  py::arg("zero_output_for_mask"), py::arg("directions"))
      .def_property_readonly("workspace_bytes", &cuda_call::workspace_bytes)
      .def("run", &cuda_call::run, py::arg("workspace"), py::arg("stream"));
}

}  // namespace rnnpack::bindings
