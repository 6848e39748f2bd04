#include "ritz/compiled/svds.hpp"

namespace ritz::compiled {

template <Field T>
SvdsOutcome svds(HostSpace<T>& space, const OperatorRef<T>& A, std::span<double> s,
                 std::span<double> residuals, BlockView<T> U, BlockView<T> V,
                 SvdsWorkspace<HostSpace<T>>& ws, const SvdsOptions& opt, const Monitor& monitor,
                 Checkpoint* checkpoint, BlockView<const T> deflate) {
  return ritz::svds(space, A, s, residuals, U, V, ws, opt, monitor, checkpoint, deflate);
}

template <Field T>
Norm2Outcome norm2(HostSpace<T>& space, const OperatorRef<T>& A, SvdsWorkspace<HostSpace<T>>& ws,
                   const Norm2Options& opt, const Monitor& monitor) {
  return ritz::norm2(space, A, ws, opt, monitor);
}

template <Field T>
FrobeniusOutcome frobenius_norm(HostSpace<T>& space, const OperatorRef<T>& A,
                                const FrobeniusOptions& opt, const Monitor& monitor) {
  return ritz::frobenius_norm(space, A, opt, monitor);
}

template SvdsOutcome svds<float>(HostSpace<float>&, const OperatorRef<float>&, std::span<double>,
                                 std::span<double>, BlockView<float>, BlockView<float>,
                                 SvdsWorkspace<HostSpace<float>>&, const SvdsOptions&,
                                 const Monitor&, Checkpoint*, BlockView<const float>);
template Norm2Outcome norm2<float>(HostSpace<float>&, const OperatorRef<float>&,
                                   SvdsWorkspace<HostSpace<float>>&, const Norm2Options&,
                                   const Monitor&);
template SvdsOutcome svds<double>(HostSpace<double>&, const OperatorRef<double>&, std::span<double>,
                                  std::span<double>, BlockView<double>, BlockView<double>,
                                  SvdsWorkspace<HostSpace<double>>&, const SvdsOptions&,
                                  const Monitor&, Checkpoint*, BlockView<const double>);
template Norm2Outcome norm2<double>(HostSpace<double>&, const OperatorRef<double>&,
                                    SvdsWorkspace<HostSpace<double>>&, const Norm2Options&,
                                    const Monitor&);
template SvdsOutcome svds<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&, std::span<double>,
    std::span<double>, BlockView<std::complex<float>>, BlockView<std::complex<float>>,
    SvdsWorkspace<HostSpace<std::complex<float>>>&, const SvdsOptions&, const Monitor&, Checkpoint*,
    BlockView<const std::complex<float>>);
template Norm2Outcome norm2<std::complex<float>>(HostSpace<std::complex<float>>&,
                                                 const OperatorRef<std::complex<float>>&,
                                                 SvdsWorkspace<HostSpace<std::complex<float>>>&,
                                                 const Norm2Options&, const Monitor&);
template SvdsOutcome svds<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&, std::span<double>,
    std::span<double>, BlockView<std::complex<double>>, BlockView<std::complex<double>>,
    SvdsWorkspace<HostSpace<std::complex<double>>>&, const SvdsOptions&, const Monitor&,
    Checkpoint*, BlockView<const std::complex<double>>);
template Norm2Outcome norm2<std::complex<double>>(HostSpace<std::complex<double>>&,
                                                  const OperatorRef<std::complex<double>>&,
                                                  SvdsWorkspace<HostSpace<std::complex<double>>>&,
                                                  const Norm2Options&, const Monitor&);
template FrobeniusOutcome frobenius_norm<float>(HostSpace<float>&, const OperatorRef<float>&,
                                                const FrobeniusOptions&, const Monitor&);
template FrobeniusOutcome frobenius_norm<double>(HostSpace<double>&, const OperatorRef<double>&,
                                                 const FrobeniusOptions&, const Monitor&);
template FrobeniusOutcome frobenius_norm<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    const FrobeniusOptions&, const Monitor&);
template FrobeniusOutcome frobenius_norm<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    const FrobeniusOptions&, const Monitor&);

}  // namespace ritz::compiled
