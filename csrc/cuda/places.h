// Where a row's step lies in the caller's arrays. A step counts in the order of processing; its position in time is
// physical.
#pragma once

#include <cuda_runtime.h>

#include "api/cuda.h"

namespace rnnpack::cuda {

struct places {
  std::int64_t timesteps;
  const std::int64_t* row_splits;  // [batch + 1] where rows are ragged, else null
  const std::uint8_t* mask;        // [timesteps][batch], or null
  std::int64_t mask_time;
  std::int64_t mask_batch;
  std::int64_t inputs_time;
  std::int64_t inputs_batch;
  std::int64_t outputs_time;
  std::int64_t outputs_batch;
  bool go_backwards;
  bool turn_outputs;

  __device__ std::int64_t length(std::int64_t row) const {
    return row_splits == nullptr ? timesteps : row_splits[row + 1] - row_splits[row];
  }
  // Whether the row takes the step: ragged rows end, others are masked here and there.
  __device__ bool live(std::int64_t step, std::int64_t row) const {
    if (row_splits != nullptr) return step < length(row);
    return mask == nullptr || mask[physical(step, row) * mask_time + row * mask_batch] != 0;
  }
  // Offsets in values, of the first feature.
  __device__ std::int64_t input(std::int64_t step, std::int64_t row) const {
    return (physical(step, row) + start(row)) * inputs_time + row * inputs_batch;
  }
  __device__ std::int64_t output(std::int64_t step, std::int64_t row) const {
    return ((turn_outputs ? length(row) - 1 - step : step) + start(row)) * outputs_time + row * outputs_batch;
  }

 private:
  __device__ std::int64_t physical(std::int64_t step, std::int64_t row) const {
    return go_backwards ? length(row) - 1 - step : step;
  }
  __device__ std::int64_t start(std::int64_t row) const { return row_splits == nullptr ? 0 : row_splits[row]; }
};

}  // namespace rnnpack::cuda
