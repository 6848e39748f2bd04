#include "ritz/compiled/lowrank.hpp"

namespace ritz::compiled {

namespace {

/// Turns u and v by the same phase, so that the largest element of u is real and positive.
template <Field T>
void fix_phase(HostSpace<T>& space, VectorView<T> u, VectorView<T> v) {
  using W = WideOf<T>;
  double largest = 0.0;
  W element{1.0};
  for (const T x : u) {
    const double size = std::abs(static_cast<W>(x));
    if (size > largest) {
      largest = size;
      element = static_cast<W>(x);
    }
  }
  const W phase = largest > 0.0 ? conjugate(element) / largest : W{1.0};
  if (phase == W{1.0}) return;
  space.scale(phase, u);
  space.scale(phase, v);
}

}  // namespace

template <Field T>
RangefinderOutcome rangefinder(HostSpace<T>& space, const OperatorRef<T>& A,
                               const RangefinderOptions& opt, function_ref<BlockView<T>(Index)> to,
                               const Monitor& monitor) {
  return ritz::rangefinder(space, A, opt, to, monitor);
}

template <Field T>
SvdLowrankOutcome svd_lowrank(HostSpace<T>& space, const OperatorRef<T>& A,
                              const SvdLowrankOptions& opt, function_ref<TripletsView<T>(Index)> to,
                              const Monitor& monitor) {
  TripletsView<T> came;
  const auto keep = [&](Index rank) { return came = to(rank); };
  const SvdLowrankOutcome out = ritz::svd_lowrank(space, A, opt, keep, monitor);
  for (Index i = 0; i < out.rank; ++i) fix_phase(space, came.U.column(i), came.V.column(i));
  return out;
}

template RangefinderOutcome rangefinder<float>(HostSpace<float>&, const OperatorRef<float>&,
                                               const RangefinderOptions&,
                                               function_ref<BlockView<float>(Index)>,
                                               const Monitor&);
template SvdLowrankOutcome svd_lowrank<float>(HostSpace<float>&, const OperatorRef<float>&,
                                              const SvdLowrankOptions&,
                                              function_ref<TripletsView<float>(Index)>,
                                              const Monitor&);
template RangefinderOutcome rangefinder<double>(HostSpace<double>&, const OperatorRef<double>&,
                                                const RangefinderOptions&,
                                                function_ref<BlockView<double>(Index)>,
                                                const Monitor&);
template SvdLowrankOutcome svd_lowrank<double>(HostSpace<double>&, const OperatorRef<double>&,
                                               const SvdLowrankOptions&,
                                               function_ref<TripletsView<double>(Index)>,
                                               const Monitor&);
template RangefinderOutcome rangefinder<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    const RangefinderOptions&, function_ref<BlockView<std::complex<float>>(Index)>, const Monitor&);
template SvdLowrankOutcome svd_lowrank<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    const SvdLowrankOptions&, function_ref<TripletsView<std::complex<float>>(Index)>,
    const Monitor&);
template RangefinderOutcome rangefinder<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    const RangefinderOptions&, function_ref<BlockView<std::complex<double>>(Index)>,
    const Monitor&);
template SvdLowrankOutcome svd_lowrank<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    const SvdLowrankOptions&, function_ref<TripletsView<std::complex<double>>(Index)>,
    const Monitor&);

}  // namespace ritz::compiled
