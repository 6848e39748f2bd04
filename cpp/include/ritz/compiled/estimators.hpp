// The estimators of traces and diagonals on host memory with type-erased operators.
#pragma once

#include "ritz/function/trace.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API TraceOutcome<T> trace(HostSpace<T>& space, const OperatorRef<T>& A,
                               TraceWorkspace<HostSpace<T>>& ws, const TraceOptions& opt,
                               const Monitor& monitor);

}  // namespace ritz::compiled
