// A library that is loaded while the program runs.
#pragma once

#include <filesystem>
#include <memory>

namespace rnnpack::cuda {

class shared_library {
 public:
  // Throws load_error with the system's reason.
  explicit shared_library(const std::filesystem::path& file);

  // Address of an exported symbol; null where there is none.
  void* find(const char* symbol) const;

  // Lets the library stay when this object goes.
  void keep() { static_cast<void>(handle_.release()); }  // NOLINT(bugprone-unused-return-value): that is the point

 private:
  struct closing {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, closing> handle_;
};

}  // namespace rnnpack::cuda
