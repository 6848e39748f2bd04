#pragma once

#include "ritz/compiled/lobpcg.hpp"

namespace ritz::compiled {

template <Space S>
LobpcgOutcome Lobpcg<S>::solve(S& space, const OperatorRef<T>& A, BlockView<T> X,
                               std::span<double> values, std::span<double> residuals,
                               LobpcgWorkspace<S>& ws, const LobpcgOptions& opt,
                               const Monitor& monitor, const OptionalOperator<T>& B,
                               const OptionalOperator<T>& M, BlockView<const T> Y) {
  return lobpcg(space, A, X, values, residuals, ws, opt, monitor, B, M, Y);
}

}  // namespace ritz::compiled
