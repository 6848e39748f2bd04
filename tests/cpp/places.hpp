// A device and the host as places where the same text of a test runs a method.
#pragma once

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "device_memory.hpp"
#include "ritz/op/operator_ref.hpp"

namespace ritz::testing {

/// As DeviceVector, on the host.
template <Field T>
class HostVector {
 public:
  explicit HostVector(std::vector<T> from) : x_(std::move(from)) {}

  T* data() const { return x_.data(); }
  Index size() const { return static_cast<Index>(x_.size()); }
  VectorView<T> view() const { return {data(), size()}; }
  std::vector<T> host() const { return x_; }

 private:
  mutable std::vector<T> x_;
};

/// A space, with the ways to bring vectors and operators of the host there.
template <class S>
struct Place;

template <Field T>
struct Place<CudaSpace<T>> {
  using Space = CudaSpace<T>;

  DeviceVector<T> vector(const std::vector<T>& from) const { return {space, from}; }
  template <class A>
  Staged<A, T> on(const A& a) const {
    return staged(space, a);
  }
  std::vector<T> get(VectorView<const T> x) const {
    return download(space.queue(), x.data, x.size);
  }
  void put(const std::vector<T>& from, VectorView<T> to) const {
    space.queue().upload(to.data, from.data(), from.size() * sizeof(T));
  }

  Space space{0};
};

template <Field T>
struct Place<ReferenceSpace<T>> {
  using Space = ReferenceSpace<T>;

  HostVector<T> vector(const std::vector<T>& from) const { return HostVector<T>(from); }
  template <class A>
  const A& on(const A& a) const {
    return a;
  }
  std::vector<T> get(VectorView<const T> x) const { return {x.begin(), x.end()}; }
  void put(const std::vector<T>& from, VectorView<T> to) const {
    std::copy(from.begin(), from.end(), to.begin());
  }

  Space space;
};

template <class P>
using SpaceOf = typename std::remove_cvref_t<P>::Space;

/// All of x as columns of so many rows.
template <class V>
auto columns_of(const V& x, Index rows) {
  using T = std::remove_pointer_t<decltype(x.data())>;
  return BlockView<T>{x.data(), rows, x.size() / rows, rows};
}

/// What run(place) returns on the device and on the host.
template <Field T, class Run>
auto on_both(const Run& run) {
  Place<CudaSpace<T>> there;
  Place<ReferenceSpace<T>> here;
  return std::pair{run(there), run(here)};
}

/// What run() returns when it is called again, which allocates nothing on the device.
template <class Run>
auto again(const Run& run) {
  run();
  const auto before = device_allocations();
  auto came = run();
  if (before) CHECK(*device_allocations() == *before);
  return came;
}

/// Likewise what run(A) returns, whose outcome must count the products of A as A itself does.
template <Field T, class Run, class A>
auto counted(const Run& run, const A& matrix) {
  const auto op = faulty<T>(matrix);
  auto came = again([&] {
    op.applied = op.adjoint = 0;
    return run(op);
  });
  CHECK(came.out.products.total() == op.applied + op.adjoint);
  return came;
}

}  // namespace ritz::testing
