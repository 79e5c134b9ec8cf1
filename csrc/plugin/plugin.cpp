#include "plugin/plugin.h"

#include <atomic>
#include <mutex>
#include <string>
#include <system_error>

#include "plugin/shared_library.h"

namespace rnnpack::cuda {
namespace {

// Written with the mutex held, and only once.
struct plugin_state {
  std::mutex loading;
  std::filesystem::path file;
  std::atomic<const plugin*> functions{nullptr};
};

plugin_state& state() {
  static plugin_state one;
  return one;
}

}  // namespace

void load(const std::filesystem::path& file) {
  std::error_code error;
  const std::filesystem::path full = std::filesystem::absolute(file, error).lexically_normal();
  if (error) throw load_error("'" + file.string() + "': " + error.message());
  plugin_state& current = state();
  const std::scoped_lock lock(current.loading);
  if (current.functions.load() != nullptr) {
    if (full == current.file) return;
    throw std::runtime_error(full.string() + ": the CUDA plugin has already been loaded from " + current.file.string());
  }
  shared_library library(full);
  const auto entry = reinterpret_cast<plugin_entry>(library.find(plugin_entry_name));
  if (entry == nullptr) throw std::runtime_error(full.string() + ": this library is no plugin of rnnpack");
  const plugin* const functions = entry(interface_version);
  if (functions == nullptr || functions->version != interface_version)
    throw std::runtime_error(full.string() + ": this CUDA plugin belongs to another version of rnnpack");
  library.keep();
  current.file = full;
  current.functions.store(functions);
}

const plugin& loaded() {
  const plugin* const functions = state().functions.load();
  if (functions == nullptr) throw std::runtime_error("no CUDA plugin has been loaded");
  return *functions;
}

}  // namespace rnnpack::cuda
