// The estimators of traces, diagonals and row norms on host memory with type-erased operators.
#pragma once

#include "ritz/function/diagonal.hpp"
#include "ritz/function/row_norms.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API TraceOutcome<T> trace(HostSpace<T>& space, const OperatorRef<T>& A,
                               TraceWorkspace<HostSpace<T>>& ws, const TraceOptions& opt,
                               const Monitor& monitor, Checkpoint checkpoint = {});

template <Field T>
RITZ_API ElementwiseOutcome diagonal(HostSpace<T>& space, const OperatorRef<T>& A,
                                     VectorView<T> value, VectorView<T> variance,
                                     DiagonalWorkspace<HostSpace<T>>& ws,
                                     const ElementwiseOptions& opt, const Monitor& monitor);

template <Field T>
RITZ_API ElementwiseOutcome row_norms2(HostSpace<T>& space, const OperatorRef<T>& A,
                                       VectorView<T> value, VectorView<T> variance,
                                       RowNormsWorkspace<HostSpace<T>>& ws,
                                       const ElementwiseOptions& opt, const Monitor& monitor);

}  // namespace ritz::compiled
