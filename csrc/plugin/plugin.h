// The CUDA plugin: loaded from a file at run time, once, and never unloaded.
#pragma once

#include <filesystem>
#include <stdexcept>

#include "api/cuda.h"

namespace rnnpack::cuda {

// The file cannot be loaded as a library.
class load_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Loads the plugin; from a file that it has been loaded from already: nothing. Throws load_error, or
// std::runtime_error where the library is no plugin of this version, or another one has been loaded. After an error
// another file may be tried. Thread safe.
void load(const std::filesystem::path& file);

// The plugin. Throws std::runtime_error where none has been loaded. Thread safe.
const plugin& loaded();

}  // namespace rnnpack::cuda
