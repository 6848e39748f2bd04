// `eigsh` on host memory with type-erased operators.
#pragma once

#include "ritz/eigen/eigsh.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API EigshOutcome eigsh(HostSpace<T>& space, const OperatorRef<T>& A, std::span<double> values,
                            std::span<double> residuals, BlockView<T> vectors,
                            EigshWorkspace<HostSpace<T>>& ws, const EigshOptions& opt,
                            const Monitor& monitor);

}  // namespace ritz::compiled
