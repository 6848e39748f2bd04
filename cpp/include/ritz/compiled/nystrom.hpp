// Nyström approximations on host memory with type-erased operators.
#pragma once

#include "ritz/lowrank/nystrom.hpp"
#include "ritz/lowrank/nystrom_generalized.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API NystromOutcome nystrom(HostSpace<T>& space, const OperatorRef<T>& A,
                                NystromSketchWorkspace<HostSpace<T>>& ws, const NystromOptions& opt,
                                const Monitor& monitor);

template <Field T>
RITZ_API GeneralizedNystromOutcome nystrom_generalized(
    HostSpace<T>& space, const OperatorRef<T>& A, GeneralizedNystromWorkspace<HostSpace<T>>& ws,
    const GeneralizedNystromOptions& opt, const Monitor& monitor);

}  // namespace ritz::compiled
