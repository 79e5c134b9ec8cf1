// Rows of a call cut into groups that cost about the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "api/run.h"

namespace rnnpack::sequence {

template <class T>
std::size_t unmasked_steps(const run_args<T>& args, std::size_t row) {
  if (args.row_splits != nullptr) return args.row_splits[row + 1] - args.row_splits[row];
  if (args.mask == nullptr) return args.timesteps;
  const std::uint8_t* at = args.mask + static_cast<std::ptrdiff_t>(row) * args.mask_batch;
  std::size_t steps = 0;
  for (std::size_t step = 0; step < args.timesteps; ++step, at += args.mask_time) steps += *at != 0 ? 1 : 0;
  return steps;
}

// [groups + 1] where each group begins and the last one ends; no group is empty. groups: 1 to args.batch. A batch that
// is sorted by length would be shared unevenly if groups had equal numbers of rows.
template <class T>
std::vector<std::size_t> cut_rows(const run_args<T>& args, std::size_t groups) {
  std::vector<std::size_t> cost(args.batch + 1, 0);  // of the rows before a row
  for (std::size_t row = 0; row < args.batch; ++row) cost[row + 1] = cost[row] + 1 + unmasked_steps(args, row);
  std::vector<std::size_t> cuts(groups + 1, 0);
  cuts[groups] = args.batch;
  for (std::size_t group = 1; group < groups; ++group) {
    const std::size_t target = cost.back() / groups * group;
    const auto found = std::lower_bound(cost.begin(), cost.end(), target) - cost.begin();
    cuts[group] = std::clamp<std::size_t>(found, cuts[group - 1] + 1, args.batch - (groups - group));
  }
  return cuts;
}

}  // namespace rnnpack::sequence
