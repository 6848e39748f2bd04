// `svds`, `norm2` and `frobenius_norm` on memory of the host or of a device, with type-erased
// operators.
#pragma once

#include "ritz/eigen/frobenius.hpp"
#include "ritz/eigen/norm2.hpp"
#include "ritz/eigen/svds.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// For HostSpace and CudaSpace.
template <Space S>
struct RITZ_API SingularValues {
  using T = typename S::Value;

  static SvdsOutcome svds(S& space, const OperatorRef<T>& A, std::span<double> s,
                          std::span<double> residuals, BlockView<T> U, BlockView<T> V,
                          SvdsWorkspace<S>& ws, const SvdsOptions& opt, const Monitor& monitor,
                          Checkpoint* checkpoint, BlockView<const T> deflate);
  static Norm2Outcome norm2(S& space, const OperatorRef<T>& A, SvdsWorkspace<S>& ws,
                            const Norm2Options& opt, const Monitor& monitor);
  static FrobeniusOutcome frobenius_norm(S& space, const OperatorRef<T>& A,
                                         const FrobeniusOptions& opt, const Monitor& monitor);
};

}  // namespace ritz::compiled
