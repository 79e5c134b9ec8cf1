// DLPack's data structures, versions 0.x and 1.x: how libraries show one another their arrays. The layout is that of
// the specification.
#pragma once

#include <cstdint>

namespace rnnpack::dlpack {

struct version_number {
  std::uint32_t major;
  std::uint32_t minor;
};

struct device {
  std::int32_t type;
  std::int32_t id;
};

struct data_type {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct tensor {
  void* data;
  dlpack::device device;
  std::int32_t ndim;
  data_type dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in values; null: rows follow one another
  std::uint64_t byte_offset;
};

struct managed_tensor {
  static constexpr const char* capsule_name = "dltensor";

  dlpack::tensor tensor;
  void* manager;
  void (*deleter)(managed_tensor*);
};

// Since version 1.0; the members up to the flags stay in every version to come.
struct versioned_tensor {
  static constexpr const char* capsule_name = "dltensor_versioned";
  static constexpr std::uint32_t known_major = 1;

  version_number version;
  void* manager;
  void (*deleter)(versioned_tensor*);
  std::uint64_t flags;
  dlpack::tensor tensor;
};

}  // namespace rnnpack::dlpack
