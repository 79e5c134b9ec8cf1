// What Python holds as CudaCell: the weights of one cell in a GPU's memory.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/interpreter_lock.h"
#include "plugin/plugin.h"

namespace rnnpack::bindings {

class cuda_cell {
 public:
  // Packs the weights. Throws as the plugin answers.
  cuda_cell(const cuda::plugin& plugin, std::int32_t device, const cuda::cell_weights& weights);

  cell_kind kind() const { return kind_; }
  cuda::number_format format() const { return format_; }
  bool doubles() const { return format_ == cuda::number_format::float64; }
  std::int32_t device() const { return device_; }
  std::size_t input_size() const { return input_size_; }
  std::size_t units() const { return units_; }
  std::size_t outputs() const { return outputs_; }  // size of h
  std::size_t states() const { return states_of(kind_); }
  std::size_t state_size(std::size_t state) const { return state == 0 ? outputs_ : units_; }  // of h, of c
  std::size_t bytes() const { return plugin().cell_bytes(packed()); }

  const cuda::plugin& plugin() const { return *packed_.get_deleter().plugin; }
  const cuda::packed_cell* packed() const { return packed_.get(); }

 private:
  // May wait for the device. Keeps the interpreter lock where the interpreter ends, which gives it to nobody again.
  struct freeing {
    const cuda::plugin* plugin;
    void operator()(cuda::packed_cell* cell) const {
      std::optional<lock_released> released;
      if (!interpreter_ends()) released.emplace();
      plugin->free_cell(cell);
    }
  };

  cell_kind kind_;
  cuda::number_format format_;
  std::int32_t device_;
  std::size_t input_size_;
  std::size_t units_;
  std::size_t outputs_;
  std::unique_ptr<cuda::packed_cell, freeing> packed_;
};

inline const cuda_cell& cuda_cell_in(const py::object& object) { return object.cast<const cuda_cell&>(); }

// The cells of one stack, which are all of one number format. Throws py::type_error or py::value_error.
std::vector<const cuda_cell*> unwrap_cuda(const cell_objects& objects, bool doubles);

// Throws py::value_error where a call's cells are not on one device.
void require_one_device(std::span<const cuda_cell* const> cells, std::int32_t device);

// The lists that a direction of the plugin's points to.
struct cuda_lists {
  std::vector<const cuda::packed_cell*> cells;
  std::vector<const void*> initial_states;
  std::vector<void*> final_states;

  explicit cuda_lists(std::span<const cuda_cell* const> stack) {
    for (const cuda_cell* cell : stack) cells.push_back(cell->packed());
  }
};

inline std::size_t count_states(std::span<const cuda_cell* const> stack) {
  std::size_t count = 0;
  for (const cuda_cell* cell : stack) count += cell->states();
  return count;
}

}  // namespace rnnpack::bindings
