#pragma once

#include "ritz/compiled/nystrom.hpp"

namespace ritz::compiled {

template <Space S>
NystromOutcome Nystrom<S>::hermitian(S& space, const OperatorRef<T>& A,
                                     NystromSketchWorkspace<S>& ws, const NystromOptions& opt,
                                     const Monitor& monitor) {
  return nystrom(space, A, ws, opt, monitor);
}

template <Space S>
GeneralizedNystromOutcome Nystrom<S>::generalized(S& space, const OperatorRef<T>& A,
                                                  GeneralizedNystromWorkspace<S>& ws,
                                                  const GeneralizedNystromOptions& opt,
                                                  const Monitor& monitor) {
  return nystrom_generalized(space, A, ws, opt, monitor);
}

}  // namespace ritz::compiled
