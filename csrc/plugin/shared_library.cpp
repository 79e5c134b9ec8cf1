#include "plugin/shared_library.h"

#include <string>

#include "plugin/plugin.h"

#if __has_include(<dlfcn.h>)

#include <dlfcn.h>

namespace rnnpack::cuda {

shared_library::shared_library(const std::filesystem::path& file)
    : handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    const char* const reason = dlerror();  // names the file
    throw load_error(reason == nullptr ? file.string() + ": cannot be loaded" : reason);
  }
}

void* shared_library::find(const char* symbol) const { return dlsym(handle_.get(), symbol); }

void shared_library::closing::operator()(void* handle) const { dlclose(handle); }

}  // namespace rnnpack::cuda

#else

namespace rnnpack::cuda {

shared_library::shared_library(const std::filesystem::path& file) {
  throw load_error(file.string() + ": this platform cannot load CUDA plugins");
}

void* shared_library::find(const char*) const { return nullptr; }

void shared_library::closing::operator()(void*) const {}

}  // namespace rnnpack::cuda

#endif
