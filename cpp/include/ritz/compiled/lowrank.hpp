// `rangefinder` and `svd_lowrank` on memory of the host or of a device, with type-erased operators.
#pragma once

#include "ritz/core/function_ref.hpp"
#include "ritz/lowrank/rangefinder.hpp"
#include "ritz/lowrank/svd_lowrank.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// For HostSpace and CudaSpace.
template <Space S>
struct RITZ_API LowRank {
  using T = typename S::Value;

  /// Q into the block that `to` returns for its number of columns.
  static RangefinderOutcome rangefinder(S& space, const OperatorRef<T>& A,
                                        const RangefinderOptions& opt,
                                        function_ref<BlockView<T>(Index)> to,
                                        const Monitor& monitor);
  /// Triplets into what `to` returns for their number. Of each left vector, the element of largest
  /// modulus, the first of several, is real and positive: the host looks through U for it.
  static SvdLowrankOutcome svd_lowrank(S& space, const OperatorRef<T>& A,
                                       const SvdLowrankOptions& opt,
                                       function_ref<TripletsView<T>(Index)> to,
                                       const Monitor& monitor);
};

}  // namespace ritz::compiled
