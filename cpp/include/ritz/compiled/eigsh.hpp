// `eigsh` on host memory with type-erased operators.
#pragma once

#include "ritz/eigen/eigsh.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
using HermitianProblem = ritz::HermitianProblem<T, OperatorRef<T>, OptionalOperator<T>,
                                                OptionalOperator<T>, OptionalOperator<T>>;

template <Field T>
RITZ_API EigshOutcome eigsh(HostSpace<T>& space, const HermitianProblem<T>& problem,
                            const EigshResults<T>& results, EigshWorkspace<HostSpace<T>>& ws,
                            const EigshOptions& opt, const Monitor& monitor,
                            const Checkpoint& checkpoint);

}  // namespace ritz::compiled
