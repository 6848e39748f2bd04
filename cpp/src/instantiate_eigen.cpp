#include "ritz/compiled.hpp"

namespace ritz::compiled {

template <Field T>
EigshOutcome eigsh(HostSpace<T>& space, const OperatorRef<T>& A, std::span<double> values,
                   std::span<double> residuals, BlockView<T> vectors,
                   EigshWorkspace<HostSpace<T>>& ws, const EigshOptions& opt,
                   const Monitor& monitor) {
  return ritz::eigsh(space, A, values, residuals, vectors, ws, opt, monitor);
}

template <Field T>
TraceOutcome<T> trace(HostSpace<T>& space, const OperatorRef<T>& A,
                      TraceWorkspace<HostSpace<T>>& ws, const TraceOptions& opt,
                      const Monitor& monitor) {
  return ritz::trace(space, A, ws, opt, monitor);
}

template EigshOutcome eigsh<float>(HostSpace<float>&, const OperatorRef<float>&, std::span<double>,
                                   std::span<double>, BlockView<float>,
                                   EigshWorkspace<HostSpace<float>>&, const EigshOptions&,
                                   const Monitor&);
template TraceOutcome<float> trace<float>(HostSpace<float>&, const OperatorRef<float>&,
                                          TraceWorkspace<HostSpace<float>>&, const TraceOptions&,
                                          const Monitor&);
template EigshOutcome eigsh<double>(HostSpace<double>&, const OperatorRef<double>&,
                                    std::span<double>, std::span<double>, BlockView<double>,
                                    EigshWorkspace<HostSpace<double>>&, const EigshOptions&,
                                    const Monitor&);
template TraceOutcome<double> trace<double>(HostSpace<double>&, const OperatorRef<double>&,
                                            TraceWorkspace<HostSpace<double>>&, const TraceOptions&,
                                            const Monitor&);
template EigshOutcome eigsh<std::complex<float>>(HostSpace<std::complex<float>>&,
                                                 const OperatorRef<std::complex<float>>&,
                                                 std::span<double>, std::span<double>,
                                                 BlockView<std::complex<float>>,
                                                 EigshWorkspace<HostSpace<std::complex<float>>>&,
                                                 const EigshOptions&, const Monitor&);
template TraceOutcome<std::complex<float>> trace<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    TraceWorkspace<HostSpace<std::complex<float>>>&, const TraceOptions&, const Monitor&);
template EigshOutcome eigsh<std::complex<double>>(HostSpace<std::complex<double>>&,
                                                  const OperatorRef<std::complex<double>>&,
                                                  std::span<double>, std::span<double>,
                                                  BlockView<std::complex<double>>,
                                                  EigshWorkspace<HostSpace<std::complex<double>>>&,
                                                  const EigshOptions&, const Monitor&);
template TraceOutcome<std::complex<double>> trace<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    TraceWorkspace<HostSpace<std::complex<double>>>&, const TraceOptions&, const Monitor&);

}  // namespace ritz::compiled
