// The ball ‖x‖ ≤ radius of a trust region, and where a step leaves it.
//
// Steihaug: The conjugate gradient method and trust regions in large scale optimization. SIAM J.
// Numer. Anal. 20, 1983.
#pragma once

#include <cmath>

#include "ritz/core/error.hpp"

namespace ritz {

/// Follows ‖x‖² from step to step; x += a w with the inner products Re xᴴw and ‖w‖².
class Boundary {
 public:
  explicit Boundary(double radius) : radius2_(radius * radius), bounded_(radius2_ != INFINITY) {
    if (!(radius > 0.0)) throw InvalidArgument("radius must be positive");
  }

  /// Whether there is a boundary at all.
  explicit operator bool() const { return bounded_; }

  void start(double norm_x) {
    xx_ = norm_x * norm_x;
    if (xx_ > radius2_) throw InvalidArgument("x0 lies outside the radius");
  }
  /// Whether x + a w lies on the boundary or beyond; if not, x is there now.
  bool reached_by(double a, double xw, double ww) {
    const double next = xx_ + a * (2.0 * xw + a * ww);
    if (next >= radius2_) return true;
    xx_ = next;
    return false;
  }
  /// The share of the step a for which x + share a w meets the boundary: the positive root, in the
  /// form that does not cancel.
  double share(double a, double xw, double ww) const {
    xw *= a;
    ww *= a * a;
    const double inside = radius2_ - xx_, root = std::sqrt(xw * xw + ww * inside);
    return xw > 0.0 ? inside / (xw + root) : (root - xw) / ww;
  }
  double norm() const { return std::sqrt(xx_); }

 private:
  double radius2_;
  bool bounded_;
  double xx_ = 0.0;
};

}  // namespace ritz
