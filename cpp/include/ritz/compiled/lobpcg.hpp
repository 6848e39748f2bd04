// `lobpcg` on host memory with type-erased operators.
#pragma once

#include "ritz/eigen/lobpcg.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// B and M may be absent, Y empty.
template <Field T>
RITZ_API LobpcgOutcome lobpcg(HostSpace<T>& space, const OperatorRef<T>& A, BlockView<T> X,
                              std::span<double> values, std::span<double> residuals,
                              LobpcgWorkspace<HostSpace<T>>& ws, const LobpcgOptions& opt,
                              const Monitor& monitor, const OptionalOperator<T>& B,
                              const OptionalOperator<T>& M, BlockView<const T> Y);

}  // namespace ritz::compiled
