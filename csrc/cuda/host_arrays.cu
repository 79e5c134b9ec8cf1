#include "cuda/host_arrays.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/packed_cell.h"
#include "cuda/pinned_copy.h"
#include "cuda/sequence.h"

namespace rnnpack::cuda {
namespace {

// Copiers that no call uses at the moment.
class copier_pool {
 public:
  static constexpr std::size_t most_idle = 2;  // of a device: each holds memory that others could use

  std::unique_ptr<pinned_copier> take(int device) {
    {
      const std::scoped_lock locked(mutex_);
      auto& idle = idle_[device];
      if (!idle.empty()) {
        auto copier = std::move(idle.back());
        idle.pop_back();
        return copier;
      }
    }
    return std::make_unique<pinned_copier>();
  }
  void give_back(int device, std::unique_ptr<pinned_copier> copier) {
    copier->tidy();
    const std::scoped_lock locked(mutex_);
    if (idle_[device].size() < most_idle) idle_[device].push_back(std::move(copier));
  }
  void clear(int device) {
    std::vector<std::unique_ptr<pinned_copier>> idle;
    const std::scoped_lock locked(mutex_);
    idle_[device].swap(idle);
  }

 private:
  std::mutex mutex_;
  std::map<int, std::vector<std::unique_ptr<pinned_copier>>> idle_;
};

// Host rows are read or written; which of them is the copier's business.
std::byte* bytes_of(const void* data) {
  return static_cast<std::byte*>(const_cast<void*>(data));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

// Two axes of rows in the host's memory, the one with longer strides outside, as the device gets them without gaps.
struct rows_and_strides {
  host_rows rows;
  std::ptrdiff_t device_time;  // in values
  std::ptrdiff_t device_batch;
};

rows_and_strides two_axes(const void* data, std::size_t timesteps, std::ptrdiff_t time, std::size_t batch,
                          std::ptrdiff_t batch_stride, std::size_t values, std::size_t value_bytes) {
  const bool batch_outside = std::abs(batch_stride) >= std::abs(time);
  const auto in_bytes = [&](std::ptrdiff_t stride) { return stride * static_cast<std::ptrdiff_t>(value_bytes); };
  const host_rows rows{.data = bytes_of(data),
                       .outer = batch_outside ? batch : timesteps,
                       .inner = batch_outside ? timesteps : batch,
                       .outer_stride = in_bytes(batch_outside ? batch_stride : time),
                       .inner_stride = in_bytes(batch_outside ? time : batch_stride),
                       .row_bytes = values * value_bytes};
  const auto inner = static_cast<std::ptrdiff_t>(values);
  const auto outer = inner * static_cast<std::ptrdiff_t>(rows.inner);
  return {.rows = rows, .device_time = batch_outside ? inner : outer, .device_batch = batch_outside ? outer : inner};
}

// The call's arrays in device memory. Made twice: without memory, to learn how much it takes, and with.
class device_arrays {
 public:
  device_arrays(const call& host, workspace memory)
      : host_(host),
        memory_(memory),
        device_(host),
        ragged_rows_(host.row_splits == nullptr ? 0 : static_cast<std::size_t>(host.row_splits[host.batch])) {
    place_shared();
    directions_.reserve(host.direction_count);
    for (std::size_t i = 0; i < host.direction_count; ++i) place(i);
    device_.directions = directions_.data();
    run_memory_ = memory_.take<std::byte>(workspace_bytes(host));
  }
  device_arrays(const device_arrays&) = delete;
  device_arrays& operator=(const device_arrays&) = delete;
  device_arrays(device_arrays&&) = delete;
  device_arrays& operator=(device_arrays&&) = delete;
  ~device_arrays() = default;

  std::size_t bytes() const { return memory_.bytes(); }

  void copy_in(pinned_copier& copier) const {
    for (const copy& one : in_) copier.in(one.device, merged(one.host));
  }
  bool run(cudaStream_t stream, const interruption* question) const {
    return cuda::run(device_, run_memory_, stream, question);
  }
  void copy_out(pinned_copier& copier) const {
    for (const copy& one : out_) copier.out(merged(one.host), one.device);
  }

 private:
  struct copy {
    host_rows host;
    std::byte* device;
  };

  std::byte* take(const host_rows& rows) {
    return memory_.take<std::byte>(checked_product(rows.count(), rows.row_bytes));
  }
  std::byte* take_in(const host_rows& rows) {
    in_.push_back({.host = rows, .device = take(rows)});
    return in_.back().device;
  }
  std::byte* take_out(const host_rows& rows) {
    out_.push_back({.host = rows, .device = take(rows)});
    return out_.back().device;
  }
  static host_rows contiguous(const void* data, std::size_t bytes) {
    return {.data = bytes_of(data), .outer = 1, .inner = 1, .outer_stride = 0, .inner_stride = 0, .row_bytes = bytes};
  }

  void place_shared() {
    if (host_.row_splits != nullptr)
      device_.row_splits = reinterpret_cast<const std::int64_t*>(
          take_in(contiguous(host_.row_splits, (host_.batch + 1) * sizeof(std::int64_t))));
    if (host_.mask == nullptr) return;
    const auto mask = two_axes(host_.mask, host_.timesteps, host_.mask_time, host_.batch, host_.mask_batch, 1, 1);
    device_.mask = reinterpret_cast<const std::uint8_t*>(take_in(mask.rows));
    device_.mask_time = mask.device_time;
    device_.mask_batch = mask.device_batch;
  }

  rows_and_strides sequence_rows(const void* data, std::ptrdiff_t time, std::ptrdiff_t batch,
                                 std::size_t values) const {
    const std::size_t item = size_of(host_.elements);
    if (host_.row_splits == nullptr) return two_axes(data, host_.timesteps, time, host_.batch, batch, values, item);
    rows_and_strides rows = two_axes(data, ragged_rows_, time, 1, 0, values, item);
    rows.device_batch = 0;  // a row's place is in the splits
    rows.device_time = static_cast<std::ptrdiff_t>(values);
    return rows;
  }

  void place(std::size_t index) {
    const direction& host = host_.directions[index];
    direction device = host;
    place_inputs(host, device);
    place_states(host, device);
    const std::size_t outputs = host.cells[host.cell_count - 1]->outputs;
    const std::size_t item = size_of(host_.elements);
    const auto rows = host_.return_sequences
                          ? sequence_rows(host.outputs, host.outputs_time, host.outputs_batch, outputs)
                          : two_axes(host.outputs, 1, 0, host_.batch, host.outputs_batch, outputs, item);
    device.outputs = take_out(rows.rows);
    device.outputs_time = rows.device_time;
    device.outputs_batch = rows.device_batch;
    directions_.push_back(device);
  }

  void place_inputs(const direction& host, direction& device) {
    if (!directions_.empty() && host_.directions[0].inputs == host.inputs &&
        host_.directions[0].inputs_time == host.inputs_time && host_.directions[0].inputs_batch == host.inputs_batch) {
      device.inputs = directions_.front().inputs;
      device.inputs_time = directions_.front().inputs_time;
      device.inputs_batch = directions_.front().inputs_batch;
    } else {
      const auto rows = sequence_rows(host.inputs, host.inputs_time, host.inputs_batch, host.cells[0]->input_size);
      device.inputs = take_in(rows.rows);
      device.inputs_time = rows.device_time;
      device.inputs_batch = rows.device_batch;
    }
    device.inputs_feature = 1;
  }

  void place_states(const direction& host, direction& device) {
    auto& initial = initial_[directions_.size()];
    auto& final = final_[directions_.size()];
    const std::size_t item = size_of(host_.elements);
    std::size_t state = 0;
    for (std::size_t i = 0; i < host.cell_count; ++i) {
      for (std::size_t which = 0; which < host.cells[i]->states(); ++which, ++state) {
        const std::size_t size = which == 0 ? host.cells[i]->outputs : host.cells[i]->units;
        const std::size_t bytes = checked_product(host_.batch, size, item);
        const void* given = host.initial_states == nullptr ? nullptr : host.initial_states[state];
        initial.push_back(given == nullptr ? nullptr : take_in(contiguous(given, bytes)));
        if (host.final_states != nullptr) final.push_back(take_out(contiguous(host.final_states[state], bytes)));
      }
    }
    device.initial_states = initial.data();
    device.final_states = host.final_states == nullptr ? nullptr : final.data();
  }

  const call& host_;
  workspace memory_;
  call device_;
  std::size_t ragged_rows_ = 0;
  std::vector<direction> directions_;
  std::array<std::vector<const void*>, 2> initial_;
  std::array<std::vector<void*>, 2> final_;
  std::vector<copy> in_;
  std::vector<copy> out_;
  std::byte* run_memory_ = nullptr;
};

// Never destroyed: when the process ends, CUDA may be gone before, and threads may still be here.
copier_pool& pool() {
  static copier_pool& all = *std::make_unique<copier_pool>().release();
  return all;
}

}  // namespace

void release_idle_memory(int device) {
  const current_device here(device);
  const relaxed_capture allowed;
  pool().clear(device);
}

bool run_on_host_arrays(const call& one, const interruption* question) {
  const int device = one.directions[0].cells[0]->device;
  const current_device here(device);
  const relaxed_capture allowed;
  const std::size_t bytes = device_arrays(one, workspace(nullptr)).bytes();
  // Not given back where something fails: copies may be under way.
  std::unique_ptr<pinned_copier> copier = pool().take(device);
  const device_arrays arrays(one, workspace(copier->device_block(bytes)));
  arrays.copy_in(*copier);
  const bool done = arrays.run(copier->stream(), question);
  if (done) arrays.copy_out(*copier);
  copier->synchronize();
  pool().give_back(device, std::move(copier));
  return done;
}

}  // namespace rnnpack::cuda
