// `rangefinder` and `svd_lowrank` on host memory with type-erased operators.
#pragma once

#include "ritz/core/function_ref.hpp"
#include "ritz/lowrank/rangefinder.hpp"
#include "ritz/lowrank/svd_lowrank.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// Q into the block that `to` returns for its number of columns.
template <Field T>
RITZ_API RangefinderOutcome rangefinder(HostSpace<T>& space, const OperatorRef<T>& A,
                                        const RangefinderOptions& opt,
                                        function_ref<BlockView<T>(Index)> to,
                                        const Monitor& monitor);

/// Triplets into what `to` returns for their number. Of each left vector, the element of largest
/// modulus, the first of several, is real and positive.
template <Field T>
RITZ_API SvdLowrankOutcome svd_lowrank(HostSpace<T>& space, const OperatorRef<T>& A,
                                       const SvdLowrankOptions& opt,
                                       function_ref<TripletsView<T>(Index)> to,
                                       const Monitor& monitor);

}  // namespace ritz::compiled
