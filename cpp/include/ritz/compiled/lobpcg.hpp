// `lobpcg` on memory of the host or of a device, with type-erased operators.
#pragma once

#include "ritz/eigen/lobpcg.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// For HostSpace and CudaSpace.
template <Space S>
struct RITZ_API Lobpcg {
  using T = typename S::Value;

  /// B and M may be absent, Y empty.
  static LobpcgOutcome solve(S& space, const OperatorRef<T>& A, BlockView<T> X,
                             std::span<double> values, std::span<double> residuals,
                             LobpcgWorkspace<S>& ws, const LobpcgOptions& opt,
                             const Monitor& monitor, const OptionalOperator<T>& B,
                             const OptionalOperator<T>& M, BlockView<const T> Y);
};

}  // namespace ritz::compiled
