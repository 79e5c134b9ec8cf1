#include "sequence/split.h"

#include <algorithm>

#include "threads/barrier.h"

namespace rnnpack::sequence {
namespace {

// A model of the processor, good enough to compare splits (measured on Zen 4, AVX-512; others have other figures, but
// similar relations).
constexpr double flops_per_ns = 95;
constexpr double cache_bytes_per_ns = 100;  // weights that stay in a core's second-level cache
constexpr double bytes_per_ns = 60;         // weights that come from further away
constexpr double private_cache = 768 << 10;
constexpr double step_ns = 60;      // a step's own overhead
constexpr double meeting_ns = 300;  // all members meet, and read what the others wrote

// Helpers that are still awake join within a microsecond; parked ones take some 50.
constexpr double least_ns_awake = 30e3;
constexpr double least_ns_parked = 250e3;
// A split must promise this much, for what the model does not know.
constexpr double worth_while = 0.8;

struct cost {
  double project_flops = 0;  // of one row
  double step_flops = 0;     // of one row
  double step_bytes = 0;     // read by a step, whatever the number of rows
};

template <class T>
cost cost_of(const packed_cell<T>& cell) {
  double projected = 0;
  double products = 0;
  double bytes = 0;
  for (const packed_pass<T>& pass : cell.passes()) {
    projected += static_cast<double>(pass.projected_values());
    products += static_cast<double>(pass.blocks * pass.stride() * pass.k);
    bytes += static_cast<double>(pass.recurrent.bytes());
  }
  // Doubles have half as many lanes; an instruction of reduced precision does `depth` multiplications in each.
  const double weight = (sizeof(T) == sizeof(float) ? 1.0 : 2.0) / cell.format().depth;
  return {.project_flops = 2 * weight * projected * static_cast<double>(cell.input_size()),
          .step_flops = 2 * weight * products,
          .step_bytes = bytes};
}

// One layer's time for some rows, with the units of each step shared by `members` threads.
double layer_ns(const cost& of, double rows, double steps, double members) {
  const double bytes = of.step_bytes / members;
  const double reading = bytes / (bytes <= private_cache ? cache_bytes_per_ns : bytes_per_ns);
  const double step = std::max(rows * of.step_flops / members / flops_per_ns, reading);
  const double projection = rows * of.project_flops / members / flops_per_ns;
  return steps * (projection + step + step_ns + (members > 1 ? meeting_ns : 0));
}

}  // namespace

template <class T>
split choose_split(std::span<const packed_cell<T>* const> cells, std::size_t directions, std::size_t batch,
                   std::size_t timesteps, bool dropout) {
  if (threads::limit() < 2) return {};
  const auto steps = static_cast<double>(timesteps);
  const auto strand_ns = [&](double rows, double members) {
    double total = 0;
    for (const packed_cell<T>* cell : cells) total += layer_ns(cost_of(*cell), rows, steps, members);
    return total;
  };
  const auto rows = static_cast<double>(batch);
  const double alone = static_cast<double>(directions) * strand_ns(rows, 1);
  if (alone < least_ns_awake) return {};
  const threads::prospect now = threads::prospects();
  if (now.threads < 2) return {};
  if (!now.awake && alone < least_ns_parked) {
    threads::expect_more();
    return {};
  }

  split best;
  double best_ns = worth_while * alone;
  const auto consider = [&](double ns, const split& candidate) {
    if (ns >= best_ns) return;
    best_ns = ns;
    best = candidate;
  };
  const std::size_t most_groups = std::min<std::size_t>(now.threads, batch);
  for (std::size_t groups = 1; groups <= most_groups; ++groups) {
    const std::size_t strands = groups * directions;
    if (strands < 2) continue;
    const std::size_t rounds = (strands + now.threads - 1) / now.threads;
    const std::size_t rows_each = (batch + groups - 1) / groups;
    consider(static_cast<double>(rounds) * strand_ns(static_cast<double>(rows_each), 1),
             {.how = split::kind::strands,
              .threads = static_cast<unsigned>(std::min<std::size_t>(strands, now.threads)),
              .row_groups = groups});
  }
  if (directions == 1 && cells.size() > 1 && timesteps > 1) {
    const auto members = static_cast<unsigned>(std::min<std::size_t>(now.threads, cells.size()));
    double slowest = 0;
    for (const packed_cell<T>* cell : cells) slowest = std::max(slowest, layer_ns(cost_of(*cell), rows, steps, 1));
    // The last layer ends some chunks after the first one.
    const double late = 1 + 1.0 / 8;
    consider(late * std::max(slowest, alone / members), {.how = split::kind::layers, .threads = members});
  }
  if (directions == 1 && !dropout) {
    for (unsigned members = 2; members <= std::min(now.threads, threads::most_members); ++members)
      consider(strand_ns(rows, members), {.how = split::kind::units, .threads = members});
  }
  return best;
}

template split choose_split<float>(std::span<const packed_cell<float>* const>, std::size_t, std::size_t, std::size_t,
                                   bool);
template split choose_split<double>(std::span<const packed_cell<double>* const>, std::size_t, std::size_t, std::size_t,
                                    bool);

}  // namespace rnnpack::sequence
