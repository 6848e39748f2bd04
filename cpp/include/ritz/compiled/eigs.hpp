// `eigs` on host memory with type-erased operators.
#pragma once

#include "ritz/eigen/eigs.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// M, its solve and the checkpoint may be absent.
template <Field T>
RITZ_API EigsOutcome eigs(HostSpace<T>& space, const OperatorRef<T>& A, const EigsPairs<T>& pairs,
                          EigsWorkspace<HostSpace<T>>& ws, const EigsOptions& opt,
                          const Monitor& monitor, const OptionalOperator<T>& M,
                          const OptionalOperator<T>& solve, Checkpoint* checkpoint);

}  // namespace ritz::compiled
