#include "ritz/compiled/nystrom.hpp"

namespace ritz::compiled {

template <Field T>
NystromOutcome nystrom(HostSpace<T>& space, const OperatorRef<T>& A,
                       NystromSketchWorkspace<HostSpace<T>>& ws, const NystromOptions& opt,
                       const Monitor& monitor) {
  return ritz::nystrom(space, A, ws, opt, monitor);
}

template <Field T>
GeneralizedNystromOutcome nystrom_generalized(HostSpace<T>& space, const OperatorRef<T>& A,
                                              GeneralizedNystromWorkspace<HostSpace<T>>& ws,
                                              const GeneralizedNystromOptions& opt,
                                              const Monitor& monitor) {
  return ritz::nystrom_generalized(space, A, ws, opt, monitor);
}

template NystromOutcome nystrom<float>(HostSpace<float>&, const OperatorRef<float>&,
                                       NystromSketchWorkspace<HostSpace<float>>&,
                                       const NystromOptions&, const Monitor&);
template NystromOutcome nystrom<double>(HostSpace<double>&, const OperatorRef<double>&,
                                        NystromSketchWorkspace<HostSpace<double>>&,
                                        const NystromOptions&, const Monitor&);
template NystromOutcome nystrom<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    NystromSketchWorkspace<HostSpace<std::complex<float>>>&, const NystromOptions&, const Monitor&);
template NystromOutcome nystrom<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    NystromSketchWorkspace<HostSpace<std::complex<double>>>&, const NystromOptions&,
    const Monitor&);

template GeneralizedNystromOutcome nystrom_generalized<float>(
    HostSpace<float>&, const OperatorRef<float>&, GeneralizedNystromWorkspace<HostSpace<float>>&,
    const GeneralizedNystromOptions&, const Monitor&);
template GeneralizedNystromOutcome nystrom_generalized<double>(
    HostSpace<double>&, const OperatorRef<double>&, GeneralizedNystromWorkspace<HostSpace<double>>&,
    const GeneralizedNystromOptions&, const Monitor&);
template GeneralizedNystromOutcome nystrom_generalized<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    GeneralizedNystromWorkspace<HostSpace<std::complex<float>>>&, const GeneralizedNystromOptions&,
    const Monitor&);
template GeneralizedNystromOutcome nystrom_generalized<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    GeneralizedNystromWorkspace<HostSpace<std::complex<double>>>&, const GeneralizedNystromOptions&,
    const Monitor&);

}  // namespace ritz::compiled
