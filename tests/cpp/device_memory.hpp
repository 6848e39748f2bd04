// Vectors and operators of the tests in the memory of a device.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "problems.hpp"
#include "ritz/space/cuda.hpp"
#include "space_operations.hpp"

namespace ritz::testing {

template <class T>
std::vector<T> download(device::DeviceQueue& queue, const T* from, Index count) {
  std::vector<T> to(at(count));
  queue.download(from, to.data(), to.size() * sizeof(T));
  return to;
}

template <class T>
class DeviceVector {
 public:
  template <Field F>
  DeviceVector(const CudaSpace<F>& space, const std::vector<T>& from)
      : DeviceVector(space.queue(), from) {}
  DeviceVector(device::DeviceQueue& queue, const std::vector<T>& from)
      : queue_(&queue),
        size_(static_cast<Index>(from.size())),
        memory_(queue.allocate(from.size() * sizeof(T))) {
    set(from);
  }

  void set(const std::vector<T>& from) {
    queue_->upload(data(), from.data(), from.size() * sizeof(T));
  }
  T* data() const { return static_cast<T*>(memory_.get()); }
  Index size() const { return size_; }
  VectorView<T> view() const { return {data(), size_}; }
  std::vector<T> host() const { return download(*queue_, data(), size_); }

 private:
  device::DeviceQueue* queue_;
  Index size_;
  std::shared_ptr<void> memory_;
};

template <Field T>
typename CudaSpace<T>::Slots slots_of(const DeviceVector<WideOf<T>>& x) {
  return {x.data(), at(x.size())};
}

/// A case of the operations in device memory.
template <Field T>
struct DeviceData : Operands<DeviceData<T>, T> {
  using Base = Operands<DeviceData<T>, T>;
  using Wide = WideOf<T>;

  DeviceData(CudaSpace<T>& where, const Data<T>& from)
      : Base(from.n),
        space(where),
        origin(from),
        given(where, from.memory),
        memory(where, from.memory),
        coefficients(where, from.coefficients),
        results(where, from.results) {}

  /// As before every operation.
  void reset() {
    CudaSpace<T>(space.queue().shared_from_this()).copy(given.view(), memory.view());
    results.set(origin.results);
    sums.reset();
  }
  /// What an operation has made of it.
  Data<T> host() const {
    Data<T> came = origin;
    came.memory = memory.host();
    came.results = sums ? *sums : results.host();
    return came;
  }

  T* start() { return memory.data() + origin.first; }
  std::span<const Wide> numbers(std::size_t from) { return origin.numbers(from); }
  typename CudaSpace<T>::Slots slots(std::size_t from) {
    return slots_of<T>(coefficients).subspan(from, Base::kNumbers - from);
  }
  typename CudaSpace<T>::Slots out() { return slots_of<T>(results); }
  void put(std::size_t k, Wide sum) {
    if (!sums) sums = origin.results;
    (*sums)[k] = sum;
  }
  void zero_some() {
    Data<T> changed = origin;
    changed.zero_some();
    memory.set(changed.memory);
  }

  CudaSpace<T>& space;
  Data<T> origin;
  DeviceVector<T> given, memory;
  DeviceVector<Wide> coefficients, results;
  std::optional<std::vector<Wide>> sums;  // those that were read
};

/// An operator of the host: its vectors travel there and back.
template <class A, Field T>
struct Staged {
  device::DeviceQueue& queue;
  const A& inner;

  Index rows() const { return inner.rows(); }
  Index cols() const { return inner.cols(); }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    const std::vector<T> from = download(queue, x.data, x.size);
    std::vector<T> to(at(y.size));
    inner.apply(testing::view(from), testing::view(to));
    queue.upload(y.data, to.data(), to.size() * sizeof(T));
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const
    requires AdjointOperator<A, T>
  {
    const std::vector<T> from = download(queue, x.data, x.size);
    std::vector<T> to(at(y.size));
    inner.apply_adjoint(testing::view(from), testing::view(to));
    queue.upload(y.data, to.data(), to.size() * sizeof(T));
  }
};

template <Field T, class A>
Staged<A, T> staged(const CudaSpace<T>& space, const A& inner) {
  return {space.queue(), inner};
}

/// A function of the emulated device for tests; null on another.
template <class F>
F* emulated(const char* name) {
  const char* path = std::getenv("RITZ_CUDA_LIBRARY");
  void* library = path != nullptr ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : nullptr;
  if (library == nullptr) return nullptr;
  void* function = dlsym(library, name);
  dlclose(library);
  return reinterpret_cast<F*>(function);
}

/// Allocations on the device so far, where it counts them.
inline std::optional<std::uint64_t> device_allocations() {
  auto* count = emulated<std::uint64_t()>("ritz_emulated_allocations");
  if (count == nullptr) return std::nullopt;
  return count();
}

}  // namespace ritz::testing
