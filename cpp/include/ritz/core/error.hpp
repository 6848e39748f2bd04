// Misuse is an exception; numerical trouble is a Status and never one.
#pragma once

#include <stdexcept>
#include <string>

#include "ritz/core/types.hpp"

namespace ritz {

/// An argument that no solver could use: names the argument, what came, and what to do.
class InvalidArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A device cannot be used: why, and what to do.
class DeviceUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An operation failed on the device.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The device has no room for `bytes` more; `held` are in use by the same queue.
class DeviceOutOfMemory : public DeviceError {
 public:
  DeviceOutOfMemory(const std::string& what, std::size_t asked, std::size_t in_use)
      : DeviceError(what), bytes(asked), held(in_use) {}
  std::size_t bytes, held;
};

/// Throws unless `argument` has `expected` elements.
inline void check_size(const char* argument, Index came, Index expected) {
  if (came != expected) {
    throw InvalidArgument(std::string(argument) + " has " + std::to_string(came) +
                          " elements; the operator needs " + std::to_string(expected));
  }
}

/// Throws unless a tolerance is a number of at least zero.
inline void check_tolerance(const char* argument, double value) {
  if (!(value >= 0.0)) {
    throw InvalidArgument(std::string(argument) + " is " + std::to_string(value) +
                          "; pass a number of at least 0");
  }
}

}  // namespace ritz
