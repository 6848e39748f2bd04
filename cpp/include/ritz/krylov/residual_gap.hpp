// How far the residual of a recurrence may have drifted from b − A x, and when to replace it.
//
// Van der Vorst, Ye: Residual replacement strategies for Krylov subspace iterative methods for the
// convergence of true residuals. SIAM J. Sci. Comput. 22, 2000. A replacement is worth its product
// when the gap has grown to √ε of a residual that was above it so far: earlier it is not needed,
// later the recurrence has lost what it knew.
#pragma once

#include <cmath>

#include "ritz/core/types.hpp"

namespace ritz {

class ResidualGap {
 public:
  /// `eps`: of the vectors' precision.
  explicit ResidualGap(double eps) : eps_(eps) {}

  /// After a true residual was evaluated.
  void reset(double residual, double norm_a, double norm_x) {
    gap_ = start_ = eps_ * (residual + norm_a * norm_x);
    residual_ = residual;
  }
  /// After an iteration: whether the residual should be replaced now.
  bool grown(double residual, double norm_a, double norm_x) {
    const double bound = std::sqrt(eps_);
    const bool was_small = gap_ <= bound * residual_;
    gap_ += eps_ * (residual + norm_a * norm_x);
    residual_ = residual;
    return was_small && gap_ > bound * residual && gap_ > 1.1 * start_;
  }

 private:
  double eps_, gap_ = 0.0, start_ = 0.0, residual_ = 0.0;
};

}  // namespace ritz
