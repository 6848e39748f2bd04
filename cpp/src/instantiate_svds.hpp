#pragma once

#include "ritz/compiled/svds.hpp"

namespace ritz::compiled {

template <Space S>
SvdsOutcome SingularValues<S>::svds(S& space, const OperatorRef<T>& A, std::span<double> s,
                                    std::span<double> residuals, BlockView<T> U, BlockView<T> V,
                                    SvdsWorkspace<S>& ws, const SvdsOptions& opt,
                                    const Monitor& monitor, Checkpoint* checkpoint,
                                    BlockView<const T> deflate) {
  return ritz::svds(space, A, s, residuals, U, V, ws, opt, monitor, checkpoint, deflate);
}

template <Space S>
Norm2Outcome SingularValues<S>::norm2(S& space, const OperatorRef<T>& A, SvdsWorkspace<S>& ws,
                                      const Norm2Options& opt, const Monitor& monitor) {
  return ritz::norm2(space, A, ws, opt, monitor);
}

template <Space S>
FrobeniusOutcome SingularValues<S>::frobenius_norm(S& space, const OperatorRef<T>& A,
                                                   const FrobeniusOptions& opt,
                                                   const Monitor& monitor) {
  return ritz::frobenius_norm(space, A, opt, monitor);
}

}  // namespace ritz::compiled
