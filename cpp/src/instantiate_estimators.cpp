#include "ritz/compiled/estimators.hpp"

namespace ritz::compiled {

template <Field T>
TraceOutcome<T> trace(HostSpace<T>& space, const OperatorRef<T>& A,
                      TraceWorkspace<HostSpace<T>>& ws, const TraceOptions& opt,
                      const Monitor& monitor, Checkpoint checkpoint) {
  return ritz::trace(space, A, ws, opt, monitor, std::move(checkpoint));
}

template <Field T>
ElementwiseOutcome diagonal(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<T> value,
                            VectorView<T> variance, DiagonalWorkspace<HostSpace<T>>& ws,
                            const ElementwiseOptions& opt, const Monitor& monitor) {
  return ritz::diagonal(space, A, value, variance, ws, opt, monitor);
}

template <Field T>
ElementwiseOutcome row_norms2(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<T> value,
                              VectorView<T> variance, RowNormsWorkspace<HostSpace<T>>& ws,
                              const ElementwiseOptions& opt, const Monitor& monitor) {
  return ritz::row_norms2(space, A, value, variance, ws, opt, monitor);
}

template TraceOutcome<float> trace<float>(HostSpace<float>&, const OperatorRef<float>&,
                                          TraceWorkspace<HostSpace<float>>&, const TraceOptions&,
                                          const Monitor&, Checkpoint);
template ElementwiseOutcome diagonal<float>(HostSpace<float>&, const OperatorRef<float>&,
                                            VectorView<float>, VectorView<float>,
                                            DiagonalWorkspace<HostSpace<float>>&,
                                            const ElementwiseOptions&, const Monitor&);
template ElementwiseOutcome row_norms2<float>(HostSpace<float>&, const OperatorRef<float>&,
                                              VectorView<float>, VectorView<float>,
                                              RowNormsWorkspace<HostSpace<float>>&,
                                              const ElementwiseOptions&, const Monitor&);

template TraceOutcome<double> trace<double>(HostSpace<double>&, const OperatorRef<double>&,
                                            TraceWorkspace<HostSpace<double>>&, const TraceOptions&,
                                            const Monitor&, Checkpoint);
template ElementwiseOutcome diagonal<double>(HostSpace<double>&, const OperatorRef<double>&,
                                             VectorView<double>, VectorView<double>,
                                             DiagonalWorkspace<HostSpace<double>>&,
                                             const ElementwiseOptions&, const Monitor&);
template ElementwiseOutcome row_norms2<double>(HostSpace<double>&, const OperatorRef<double>&,
                                               VectorView<double>, VectorView<double>,
                                               RowNormsWorkspace<HostSpace<double>>&,
                                               const ElementwiseOptions&, const Monitor&);

template TraceOutcome<std::complex<float>> trace<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    TraceWorkspace<HostSpace<std::complex<float>>>&, const TraceOptions&, const Monitor&,
    Checkpoint);
template ElementwiseOutcome diagonal<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    VectorView<std::complex<float>>, VectorView<std::complex<float>>,
    DiagonalWorkspace<HostSpace<std::complex<float>>>&, const ElementwiseOptions&, const Monitor&);
template ElementwiseOutcome row_norms2<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    VectorView<std::complex<float>>, VectorView<std::complex<float>>,
    RowNormsWorkspace<HostSpace<std::complex<float>>>&, const ElementwiseOptions&, const Monitor&);

template TraceOutcome<std::complex<double>> trace<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    TraceWorkspace<HostSpace<std::complex<double>>>&, const TraceOptions&, const Monitor&,
    Checkpoint);
template ElementwiseOutcome diagonal<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    VectorView<std::complex<double>>, VectorView<std::complex<double>>,
    DiagonalWorkspace<HostSpace<std::complex<double>>>&, const ElementwiseOptions&, const Monitor&);
template ElementwiseOutcome row_norms2<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    VectorView<std::complex<double>>, VectorView<std::complex<double>>,
    RowNormsWorkspace<HostSpace<std::complex<double>>>&, const ElementwiseOptions&, const Monitor&);

}  // namespace ritz::compiled
