#include "sequence/run.h"

#include <vector>

#include "memory/arena.h"
#include "sequence/execute.h"
#include "sequence/row_groups.h"

namespace rnnpack::sequence {

template <class T>
status run(std::span<const direction<T>> directions, const interruption& question) {
  const run_args<T>& first = directions.front().args;
  if (first.batch == 0) return status::ok;
  const split plan = choose_split<T>(directions.front().cells, directions.size(), first.batch, first.timesteps,
                                     first.dropout != nullptr);
  const thread_arena memory;
  std::vector<strand<T>> strands;
  strands.reserve(plan.row_groups * directions.size());
  std::vector<std::size_t> cuts;
  if (plan.row_groups > 1) cuts = cut_rows(first, plan.row_groups);
  for (std::size_t group = 0; group < plan.row_groups; ++group) {
    row_range rows{.first = 0, .count = first.batch};
    if (!cuts.empty()) rows = {.first = cuts[group], .count = cuts[group + 1] - cuts[group]};
    for (const direction<T>& one : directions) {
      strands.emplace_back(one.cells, one.args, rows, form_of(plan), *memory);
      strands.back().start();
    }
  }
  return execute(strands, plan, true, question);
}

template status run<float>(std::span<const direction<float>>, const interruption&);
template status run<double>(std::span<const direction<double>>, const interruption&);

}  // namespace rnnpack::sequence
