// Nyström approximations on memory of the host or of a device, with type-erased operators.
#pragma once

#include "ritz/lowrank/nystrom.hpp"
#include "ritz/lowrank/nystrom_generalized.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// For HostSpace and CudaSpace.
template <Space S>
struct RITZ_API Nystrom {
  using T = typename S::Value;

  static NystromOutcome hermitian(S& space, const OperatorRef<T>& A, NystromSketchWorkspace<S>& ws,
                                  const NystromOptions& opt, const Monitor& monitor);
  static GeneralizedNystromOutcome generalized(S& space, const OperatorRef<T>& A,
                                               GeneralizedNystromWorkspace<S>& ws,
                                               const GeneralizedNystromOptions& opt,
                                               const Monitor& monitor);
};

}  // namespace ritz::compiled
