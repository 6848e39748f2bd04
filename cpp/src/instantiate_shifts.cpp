#include "ritz/compiled/linear.hpp"

namespace ritz::compiled {

template <Field T>
Outcome cg_shifts(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<const T> b,
                  BlockView<T> X, std::span<const double> shifts,
                  CgShiftsWorkspace<HostSpace<T>>& ws, const CgShiftsOptions& opt,
                  const Monitor& monitor, std::span<Outcome> outcomes) {
  return ritz::cg_shifts(space, A, b, X, shifts, ws, opt, monitor, outcomes);
}

template <Field T>
Outcome lsqr_damps(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<const T> b,
                   BlockView<T> X, std::span<const double> damps,
                   LsqrDampsWorkspace<HostSpace<T>>& ws, const LsqrDampsOptions& opt,
                   const Monitor& monitor, std::span<LeastSquaresOutcome> outcomes) {
  return ritz::lsqr_damps(space, A, b, X, damps, ws, opt, monitor, outcomes);
}

template Outcome cg_shifts<float>(HostSpace<float>&, const OperatorRef<float>&,
                                  VectorView<const float>, BlockView<float>,
                                  std::span<const double>, CgShiftsWorkspace<HostSpace<float>>&,
                                  const CgShiftsOptions&, const Monitor&, std::span<Outcome>);
template Outcome lsqr_damps<float>(HostSpace<float>&, const OperatorRef<float>&,
                                   VectorView<const float>, BlockView<float>,
                                   std::span<const double>, LsqrDampsWorkspace<HostSpace<float>>&,
                                   const LsqrDampsOptions&, const Monitor&,
                                   std::span<LeastSquaresOutcome>);
template Outcome cg_shifts<double>(HostSpace<double>&, const OperatorRef<double>&,
                                   VectorView<const double>, BlockView<double>,
                                   std::span<const double>, CgShiftsWorkspace<HostSpace<double>>&,
                                   const CgShiftsOptions&, const Monitor&, std::span<Outcome>);
template Outcome lsqr_damps<double>(HostSpace<double>&, const OperatorRef<double>&,
                                    VectorView<const double>, BlockView<double>,
                                    std::span<const double>, LsqrDampsWorkspace<HostSpace<double>>&,
                                    const LsqrDampsOptions&, const Monitor&,
                                    std::span<LeastSquaresOutcome>);
template Outcome cg_shifts<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    VectorView<const std::complex<float>>, BlockView<std::complex<float>>, std::span<const double>,
    CgShiftsWorkspace<HostSpace<std::complex<float>>>&, const CgShiftsOptions&, const Monitor&,
    std::span<Outcome>);
template Outcome lsqr_damps<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    VectorView<const std::complex<float>>, BlockView<std::complex<float>>, std::span<const double>,
    LsqrDampsWorkspace<HostSpace<std::complex<float>>>&, const LsqrDampsOptions&, const Monitor&,
    std::span<LeastSquaresOutcome>);
template Outcome cg_shifts<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    VectorView<const std::complex<double>>, BlockView<std::complex<double>>,
    std::span<const double>, CgShiftsWorkspace<HostSpace<std::complex<double>>>&,
    const CgShiftsOptions&, const Monitor&, std::span<Outcome>);
template Outcome lsqr_damps<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    VectorView<const std::complex<double>>, BlockView<std::complex<double>>,
    std::span<const double>, LsqrDampsWorkspace<HostSpace<std::complex<double>>>&,
    const LsqrDampsOptions&, const Monitor&, std::span<LeastSquaresOutcome>);

}  // namespace ritz::compiled
