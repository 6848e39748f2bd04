#include "ritz/compiled.hpp"

namespace ritz::compiled {

template <Field T>
CgOutcome cg(HostSpace<T>& space, const OperatorRef<T>& A, const OperatorRef<T>* M,
             VectorView<const T> b, VectorView<T> x, CgWorkspace<HostSpace<T>>& ws,
             const CgOptions& opt, const Monitor& monitor) {
  if (M == nullptr) return ritz::cg(space, A, b, x, ws, opt, monitor);
  return ritz::cg(space, A, b, x, ws, opt, monitor, *M);
}

template <Field T>
LsmrOutcome lsmr(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<const T> b,
                 VectorView<T> x, LsmrWorkspace<HostSpace<T>>& ws, const LsmrOptions& opt,
                 const Monitor& monitor) {
  return ritz::lsmr(space, A, b, x, ws, opt, monitor);
}

template CgOutcome cg<float>(HostSpace<float>&, const OperatorRef<float>&,
                             const OperatorRef<float>*, VectorView<const float>, VectorView<float>,
                             CgWorkspace<HostSpace<float>>&, const CgOptions&, const Monitor&);
template LsmrOutcome lsmr<float>(HostSpace<float>&, const OperatorRef<float>&,
                                 VectorView<const float>, VectorView<float>,
                                 LsmrWorkspace<HostSpace<float>>&, const LsmrOptions&,
                                 const Monitor&);
template CgOutcome cg<double>(HostSpace<double>&, const OperatorRef<double>&,
                              const OperatorRef<double>*, VectorView<const double>,
                              VectorView<double>, CgWorkspace<HostSpace<double>>&, const CgOptions&,
                              const Monitor&);
template LsmrOutcome lsmr<double>(HostSpace<double>&, const OperatorRef<double>&,
                                  VectorView<const double>, VectorView<double>,
                                  LsmrWorkspace<HostSpace<double>>&, const LsmrOptions&,
                                  const Monitor&);
template CgOutcome cg<std::complex<float>>(HostSpace<std::complex<float>>&,
                                           const OperatorRef<std::complex<float>>&,
                                           const OperatorRef<std::complex<float>>*,
                                           VectorView<const std::complex<float>>,
                                           VectorView<std::complex<float>>,
                                           CgWorkspace<HostSpace<std::complex<float>>>&,
                                           const CgOptions&, const Monitor&);
template LsmrOutcome lsmr<std::complex<float>>(HostSpace<std::complex<float>>&,
                                               const OperatorRef<std::complex<float>>&,
                                               VectorView<const std::complex<float>>,
                                               VectorView<std::complex<float>>,
                                               LsmrWorkspace<HostSpace<std::complex<float>>>&,
                                               const LsmrOptions&, const Monitor&);
template CgOutcome cg<std::complex<double>>(HostSpace<std::complex<double>>&,
                                            const OperatorRef<std::complex<double>>&,
                                            const OperatorRef<std::complex<double>>*,
                                            VectorView<const std::complex<double>>,
                                            VectorView<std::complex<double>>,
                                            CgWorkspace<HostSpace<std::complex<double>>>&,
                                            const CgOptions&, const Monitor&);
template LsmrOutcome lsmr<std::complex<double>>(HostSpace<std::complex<double>>&,
                                                const OperatorRef<std::complex<double>>&,
                                                VectorView<const std::complex<double>>,
                                                VectorView<std::complex<double>>,
                                                LsmrWorkspace<HostSpace<std::complex<double>>>&,
                                                const LsmrOptions&, const Monitor&);

}  // namespace ritz::compiled
