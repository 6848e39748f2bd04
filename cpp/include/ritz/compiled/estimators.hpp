// The estimators of traces, diagonals and row norms on memory of the host or of a device, with
// type-erased operators.
#pragma once

#include "ritz/function/diagonal.hpp"
#include "ritz/function/row_norms.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// For HostSpace and CudaSpace.
template <Space S>
struct RITZ_API Estimators {
  using T = typename S::Value;

  static TraceOutcome<T> trace(S& space, const OperatorRef<T>& A, TraceWorkspace<S>& ws,
                               const TraceOptions& opt, const Monitor& monitor,
                               const Checkpoint& checkpoint);
  static ElementwiseOutcome diagonal(S& space, const OperatorRef<T>& A, VectorView<T> value,
                                     VectorView<T> variance, DiagonalWorkspace<S>& ws,
                                     const ElementwiseOptions& opt, const Monitor& monitor);
  static ElementwiseOutcome row_norms2(S& space, const OperatorRef<T>& A, VectorView<T> value,
                                       VectorView<T> variance, RowNormsWorkspace<S>& ws,
                                       const ElementwiseOptions& opt, const Monitor& monitor);
};

}  // namespace ritz::compiled
