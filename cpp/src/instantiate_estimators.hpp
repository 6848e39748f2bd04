#pragma once

#include "ritz/compiled/estimators.hpp"

namespace ritz::compiled {

template <Space S>
TraceOutcome<typename S::Value> Estimators<S>::trace(S& space, const OperatorRef<T>& A,
                                                     TraceWorkspace<S>& ws, const TraceOptions& opt,
                                                     const Monitor& monitor,
                                                     const Checkpoint& checkpoint) {
  return ritz::trace(space, A, ws, opt, monitor, checkpoint);
}

template <Space S>
ElementwiseOutcome Estimators<S>::diagonal(S& space, const OperatorRef<T>& A, VectorView<T> value,
                                           VectorView<T> variance, DiagonalWorkspace<S>& ws,
                                           const ElementwiseOptions& opt, const Monitor& monitor) {
  return ritz::diagonal(space, A, value, variance, ws, opt, monitor);
}

template <Space S>
ElementwiseOutcome Estimators<S>::row_norms2(S& space, const OperatorRef<T>& A, VectorView<T> value,
                                             VectorView<T> variance, RowNormsWorkspace<S>& ws,
                                             const ElementwiseOptions& opt,
                                             const Monitor& monitor) {
  return ritz::row_norms2(space, A, value, variance, ws, opt, monitor);
}

}  // namespace ritz::compiled
