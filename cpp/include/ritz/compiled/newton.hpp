// The nonlinear methods on host memory.
#pragma once

#include "ritz/newton/levenberg_marquardt.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// `loss` null means half the sum of squares.
template <RealField T>
RITZ_API LevenbergMarquardtOutcome
levenberg_marquardt(HostSpace<T>& space, AbstractModel<T>& model, AbstractLoss<T>* loss,
                    VectorView<T> x, LevenbergMarquardtWorkspace<HostSpace<T>>& ws,
                    const LevenbergMarquardtOptions& opt, const Monitor& monitor);

}  // namespace ritz::compiled
