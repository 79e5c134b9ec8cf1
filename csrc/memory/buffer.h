// Memory of the engine: aligned, sized with overflow checks, freed by its owner.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rnnpack {

// The product of sizes; std::bad_alloc where it cannot be addressed.
template <class... Sizes>
std::size_t checked_product(std::size_t first, Sizes... rest) {
  std::size_t product = first;
  const auto times = [&product](std::size_t factor) {
    if (factor != 0 && product > std::numeric_limits<std::ptrdiff_t>::max() / factor) throw std::bad_alloc();
    product *= factor;
  };
  (times(static_cast<std::size_t>(rest)), ...);
  return product;
}

// An uninitialised array of numbers that starts on a cache line. Large ones ask for huge pages: the weights are
// streamed once a timestep, and a page walk every 4 KiB shows.
template <class T>
class buffer {
 public:
  buffer() = default;
  explicit buffer(std::size_t size) : data_(allocate(size)), size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct release {
    void operator()(T* p) const { std::free(p); }  // NOLINT(*-no-malloc,*-owning-memory): aligned_alloc
  };

  static constexpr std::size_t line = 64;
  static constexpr std::size_t huge_page = std::size_t{2} << 20;

  static T* allocate(std::size_t size) {
    std::size_t bytes = checked_product(sizeof(T), size == 0 ? 1 : size);
    const std::size_t alignment = bytes >= huge_page ? huge_page : line;
    bytes = checked_product((bytes + alignment - 1) / alignment, alignment);
    void* p = std::aligned_alloc(alignment, bytes);  // NOLINT(*-owning-memory): owned by unique_ptr
    if (p == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == huge_page) madvise(p, bytes, MADV_HUGEPAGE);  // advice: refusal changes speed only
#endif
    return static_cast<T*>(p);
  }

  std::unique_ptr<T, release> data_;
  std::size_t size_ = 0;
};

}  // namespace rnnpack
