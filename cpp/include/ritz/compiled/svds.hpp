// `svds`, `norm2` and `frobenius_norm` on host memory with type-erased operators.
#pragma once

#include "ritz/eigen/frobenius.hpp"
#include "ritz/eigen/norm2.hpp"
#include "ritz/eigen/svds.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API SvdsOutcome svds(HostSpace<T>& space, const OperatorRef<T>& A, std::span<double> s,
                          std::span<double> residuals, BlockView<T> U, BlockView<T> V,
                          SvdsWorkspace<HostSpace<T>>& ws, const SvdsOptions& opt,
                          const Monitor& monitor, Checkpoint* checkpoint,
                          BlockView<const T> deflate);

template <Field T>
RITZ_API Norm2Outcome norm2(HostSpace<T>& space, const OperatorRef<T>& A,
                            SvdsWorkspace<HostSpace<T>>& ws, const Norm2Options& opt,
                            const Monitor& monitor);

template <Field T>
RITZ_API FrobeniusOutcome frobenius_norm(HostSpace<T>& space, const OperatorRef<T>& A,
                                         const FrobeniusOptions& opt, const Monitor& monitor);

}  // namespace ritz::compiled
