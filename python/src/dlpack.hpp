// The structures of DLPack 1.x that arrays of a device come and go by;
// https://dmlc.github.io/dlpack
#pragma once

#include <cstdint>

namespace ritz::python::dlpack {

inline constexpr std::int32_t kHost = 1, kCuda = 2;

struct Device {
  std::int32_t type, id;
};
struct DataType {
  std::uint8_t code, bits;  // code: 2 floating, 5 complex
  std::uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // null: by rows, without gaps
  std::uint64_t byte_offset;
};
/// In a capsule named "dltensor", renamed "used_dltensor" by who takes it.
struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct Version {
  std::uint32_t major, minor;
};
/// In a capsule named "dltensor_versioned".
struct ManagedVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};
inline constexpr std::uint64_t kReadOnly = 1;

}  // namespace ritz::python::dlpack
