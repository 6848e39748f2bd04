// Vectors in device memory as Python sees them, whatever framework they come from.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dlpack.hpp"
#include "ritz/core/view.hpp"
#include "ritz/device/queue.hpp"

namespace ritz::python {

namespace py = pybind11;

/// Lets one Python thread at a time work on a queue, where others may run while it waits. The lock
/// is taken before the GIL, never after it.
class QueueLock {
 public:
  /// Until it ends, the queue is this thread's; what others have let go of meanwhile is released.
  class Hold {
   public:
    explicit Hold(std::shared_ptr<QueueLock> lock);
    ~Hold();
    Hold(const Hold&) = delete;

   private:
    std::shared_ptr<QueueLock> lock_;
  };

  /// The same one for a queue as long as anybody holds it.
  static std::shared_ptr<QueueLock> of(const std::shared_ptr<device::DeviceQueue>& queue);
  /// Releases memory of the queue now, or when who works on it has ended.
  void release(std::shared_ptr<void> memory);

 private:
  void empty();

  std::recursive_mutex running_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<void>> returned_;
};

inline QueueLock::Hold exclusive(const std::shared_ptr<device::DeviceQueue>& queue) {
  return QueueLock::Hold(QueueLock::of(queue));
}

/// `size` elements in the memory of a device, which lives as long as `owner`. Other frameworks take
/// it by __cuda_array_interface__ or DLPack without a copy.
struct DeviceArray {
  void* data = nullptr;
  Index size = 0;
  std::string type;  // as the array interface has it: "<f8"
  std::shared_ptr<device::DeviceQueue> queue;
  std::shared_ptr<void> owner;
  std::vector<Index> shape = {};  // empty for a vector
  bool by_columns = false;        // Fortran order instead of C's

  std::vector<Index> dimensions() const { return shape.empty() ? std::vector{size} : shape; }
  /// From one element to the next along each dimension, in elements.
  std::vector<Index> strides() const;
};

template <Field T>
const char* type_string() {
  if constexpr (std::same_as<T, float>) return "<f4";
  if constexpr (std::same_as<T, double>) return "<f8";
  if constexpr (std::same_as<T, std::complex<float>>) return "<c8";
  return "<c16";
}

/// A new vector of `n` elements of `size` bytes.
DeviceArray new_array(const std::shared_ptr<device::DeviceQueue>& queue, std::string type,
                      std::size_t size, Index n);

/// An array of another framework, without a copy; `name` is what messages call it. Raises for
/// memory of the host or of another device than the queue's, and for elements that do not follow
/// each other in C order.
DeviceArray take_array(const py::object& array, const std::string& name,
                       const std::shared_ptr<device::DeviceQueue>& queue);

template <Field T>
VectorView<T> view_of(const DeviceArray& a) {
  return {static_cast<T*>(a.data), a.size};
}

}  // namespace ritz::python
