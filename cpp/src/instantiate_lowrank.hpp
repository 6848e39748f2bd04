#pragma once

#include <vector>

#include "ritz/compiled/lowrank.hpp"

namespace ritz::compiled {

/// The element of largest modulus, the first of several.
template <Field T>
WideOf<T> largest_element(VectorView<const T> u) {
  WideOf<T> element{};
  for (const T x : u) {
    if (std::abs(static_cast<WideOf<T>>(x)) > std::abs(element)) {
      element = static_cast<WideOf<T>>(x);
    }
  }
  return element;
}
template <Field T>
WideOf<T> largest_element(const HostSpace<T>&, VectorView<const T> u) {
  return largest_element(u);
}
template <Field T>
WideOf<T> largest_element(const CudaSpace<T>& space, VectorView<const T> u) {
  std::vector<T> host(static_cast<std::size_t>(u.size));
  space.queue().download(u.data, host.data(), host.size() * sizeof(T));
  return largest_element(VectorView<const T>{host.data(), u.size});
}

template <Space S>
RangefinderOutcome LowRank<S>::rangefinder(S& space, const OperatorRef<T>& A,
                                           const RangefinderOptions& opt,
                                           function_ref<BlockView<T>(Index)> to,
                                           const Monitor& monitor) {
  return ritz::rangefinder(space, A, opt, to, monitor);
}

template <Space S>
SvdLowrankOutcome LowRank<S>::svd_lowrank(S& space, const OperatorRef<T>& A,
                                          const SvdLowrankOptions& opt,
                                          function_ref<TripletsView<T>(Index)> to,
                                          const Monitor& monitor) {
  TripletsView<T> came;
  const auto keep = [&](Index rank) { return came = to(rank); };
  const SvdLowrankOutcome out = ritz::svd_lowrank(space, A, opt, keep, monitor);
  for (Index i = 0; i < out.rank; ++i) {
    const VectorView<T> u = came.U.column(i), v = came.V.column(i);
    const auto element = largest_element(space, VectorView<const T>(u));
    const double size = std::abs(element);
    if (!(size > 0.0) || element == size) continue;
    const WideOf<T> phase = conjugate(element) / size;
    space.scale(phase, u);
    space.scale(phase, v);
  }
  return out;
}

}  // namespace ritz::compiled
