// `eigsh` on memory of the host or of a device, with type-erased operators.
#pragma once

#include "ritz/eigen/eigsh.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
using HermitianProblem = ritz::HermitianProblem<T, OperatorRef<T>, OptionalOperator<T>,
                                                OptionalOperator<T>, OptionalOperator<T>>;

/// For HostSpace and CudaSpace.
template <class S>
RITZ_API EigshOutcome eigsh(S& space, const HermitianProblem<typename S::Value>& problem,
                            const EigshResults<typename S::Value>& results, EigshWorkspace<S>& ws,
                            const EigshOptions& opt, const Monitor& monitor,
                            const Checkpoint& checkpoint);

}  // namespace ritz::compiled
