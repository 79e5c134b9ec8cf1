#include "sequence/stream.h"

#include <algorithm>

#include "threads/pool.h"

namespace rnnpack::sequence {

template <class T>
stream<T>::stream(cell_list cells, std::size_t batch)
    : cells_(cells.begin(), cells.end()), plan_(choose_split<T>(cells, 1, batch, 1, false)) {
  args_.batch = batch;
  args_.timesteps = 1;
  args_.return_sequences = true;
  strands_.reserve(plan_.row_groups);
  for (std::size_t group = 0; group < plan_.row_groups; ++group) {
    const std::size_t begin = batch * group / plan_.row_groups;
    const std::size_t end = batch * (group + 1) / plan_.row_groups;
    strands_.emplace_back(cells_, args_, row_range{.first = begin, .count = end - begin}, form_of(plan_), memory_);
  }
  std::size_t states = 0;
  for (const packed_cell<T>* cell : cells_) states += cell->states();
  const std::vector<const T*> zeros(states, nullptr);
  load(zeros.data());
}

template <class T>
void stream<T>::step(const T* inputs, std::ptrdiff_t inputs_batch, T* outputs, std::ptrdiff_t outputs_batch) {
  args_.inputs = inputs;
  args_.inputs_batch = inputs_batch;
  args_.outputs = outputs;
  args_.outputs_batch = outputs_batch;
  split now = plan_;  // as far as threads are still allowed and have lately paid
  if (now.threads > 1) now.threads = std::min(now.threads, threads::prospects().threads);
  execute(strands_, now, false, {.keep_going = [](void*) { return true; }, .context = nullptr});
}

template <class T>
void stream<T>::load(const T* const* states) {
  args_.initial_states = states;
  for (strand<T>& one : strands_) one.start();
}

template <class T>
void stream<T>::save(T* const* states) {
  args_.final_states = states;
  for (strand<T>& one : strands_) one.finish();
}

template <class T>
void stream<T>::zero_row(std::size_t row) {
  for (strand<T>& one : strands_) one.zero_states(row);
}

template class stream<float>;
template class stream<double>;

}  // namespace rnnpack::sequence
