// The strands of a call at work, by one thread or several.
#pragma once

#include <cstdint>
#include <vector>

#include "sequence/crew.h"
#include "sequence/split.h"
#include "sequence/strand.h"

namespace rnnpack::sequence {

// How the strands of a split are to be made.
strand_form form_of(const split& plan);

// Runs all strands. Whoever has run a strand finishes it, if `finish`; a stopped one stays unfinished.
template <class T>
status execute(std::vector<strand<T>>& strands, const split& plan, bool finish, const interruption& question);

extern template status execute<float>(std::vector<strand<float>>&, const split&, bool, const interruption&);
extern template status execute<double>(std::vector<strand<double>>&, const split&, bool, const interruption&);

}  // namespace rnnpack::sequence
