#include "ritz/compiled/estimators.hpp"

namespace ritz::compiled {

template <Field T>
TraceOutcome<T> trace(HostSpace<T>& space, const OperatorRef<T>& A,
                      TraceWorkspace<HostSpace<T>>& ws, const TraceOptions& opt,
                      const Monitor& monitor) {
  return ritz::trace(space, A, ws, opt, monitor);
}

template TraceOutcome<float> trace<float>(HostSpace<float>&, const OperatorRef<float>&,
                                          TraceWorkspace<HostSpace<float>>&, const TraceOptions&,
                                          const Monitor&);
template TraceOutcome<double> trace<double>(HostSpace<double>&, const OperatorRef<double>&,
                                            TraceWorkspace<HostSpace<double>>&, const TraceOptions&,
                                            const Monitor&);
template TraceOutcome<std::complex<float>> trace<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    TraceWorkspace<HostSpace<std::complex<float>>>&, const TraceOptions&, const Monitor&);
template TraceOutcome<std::complex<double>> trace<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    TraceWorkspace<HostSpace<std::complex<double>>>&, const TraceOptions&, const Monitor&);

}  // namespace ritz::compiled
