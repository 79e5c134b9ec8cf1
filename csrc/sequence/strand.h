// Some rows of one direction of a call, through the whole stack of cells: what one thread can do without any other.
#pragma once

#include <span>
#include <vector>

#include "api/run.h"
#include "gemm/packed_cell.h"
#include "memory/arena.h"
#include "sequence/chunk.h"
#include "sequence/crew.h"
#include "sequence/layer.h"

namespace rnnpack::sequence {

// How a strand is going to be run.
struct strand_form {
  unsigned members = 1;         // threads that share each step
  bool layers_overlap = false;  // a layer may be busy with a chunk while the one below is with the next
};

template <class T>
class strand {
 public:
  using cell_list = std::span<const packed_cell<T>* const>;

  // All memory that the run needs is taken here. Throws std::bad_alloc.
  strand(cell_list cells, const run_args<T>& args, row_range rows, strand_form form, arena& memory);

  std::size_t layers() const { return layers_.size(); }
  std::size_t chunks() const { return (timesteps_ + chunk_steps_ - 1) / chunk_steps_; }

  // Reads the first states. finish() writes the final ones, and the last outputs where sequences are not asked for.
  void start();
  void finish();

  // What a chunk takes, layer by layer; false: the call was stopped. Nothing that one call of these writes is read by
  // another one, except as the methods say.
  void collect(std::size_t chunk);                                       // before anything else of this chunk
  void project(std::size_t layer, std::size_t chunk, const crew& here);  // after the layer below took its steps
  bool step(std::size_t layer, std::size_t chunk, crew& here);

  // The whole strand, by one thread or by all members of a crew.
  bool run(crew& here);

  // Sets the states of a row of the call to zero, if it is one of this strand.
  void zero_states(std::size_t row);

 private:
  std::size_t length(std::size_t row) const;
  std::size_t physical(std::size_t step, std::size_t row) const;
  bool unmasked(std::size_t step, std::size_t row) const;
  const T* input(std::size_t step, std::size_t row) const;
  T* output(std::size_t step, std::size_t row) const;
  void note_outputs(const chunk_slots<T>& chunk, std::size_t step);
  void fill_masked(const chunk_slots<T>& chunk, std::size_t step);
  void copy_or_zero(std::size_t row, bool copy, T* to) const;

  chunk_slots<T>& slots(std::size_t chunk) { return slots_[chunk % slots_.size()]; }
  // What a layer hands to the next one, [slot][outputs].
  T* between(std::size_t layer, std::size_t chunk) { return between_[layer * rings_ + chunk % rings_]; }

  const run_args<T>* args_;
  row_range rows_;
  std::size_t timesteps_ = 0;
  std::size_t chunk_steps_ = 1;
  std::size_t rings_;  // chunks that may be on their way between two layers
  std::vector<layer<T>> layers_;
  std::vector<chunk_slots<T>> slots_;
  std::vector<workspace<T>> spaces_;     // [layers][members]
  std::vector<T*> between_;              // [layers - 1][rings]
  std::vector<const T**> between_rows_;  // [layers - 1][rings] pointers to each slot of it
  std::uint8_t* has_output_;             // [rows]
};

extern template class strand<float>;
extern template class strand<double>;

}  // namespace rnnpack::sequence
