// What a noisy estimate of a residual tells: when to evaluate the true one, and when to give up.
#pragma once

#include <cmath>

#include "ritz/core/types.hpp"

namespace ritz {

/// Tells a random process that has come to its horizon from one that goes on, by the mean square of
/// a residual over the second half of all looks so far and that over the quarter before.
class Plateau {
 public:
  /// Of a process that loses a share with every step, or whose squares fall like 1/k, less is left.
  static constexpr double kSlow = 0.8;
  /// More is left of nothing that still falls.
  static constexpr double kFlat = 0.95;

  /// Adds one look. What is left since the quarter before, where it is time to compare; 0
  /// elsewhere.
  double add(double square) {
    sum_ += square;
    if (++looks_ != next_) return 0.0;
    const double mean = sum_ / static_cast<double>((looks_ + 1) / 2);
    const double left = looks_ < kLeast ? 0.0 : before_ > 0.0 ? mean / before_ : 1.0;
    before_ = mean;
    sum_ = 0.0;
    next_ = 2 * looks_;
    return left;
  }

 private:
  static constexpr Index kLeast = 8;

  Index looks_ = 0, next_ = 1;
  double sum_ = 0.0, before_ = 0.0;
};

/// Which estimates are worth the evaluation of what they estimate.
class Claims {
 public:
  static double ratio(double estimate, double target) {
    return estimate == 0.0 ? 0.0 : estimate / target;
  }
  /// `ratio`: the estimate over its target, at step `step`.
  bool worth(double ratio, Index step) const { return ratio <= slack_ && step >= next_; }

  /// The truth was `measured` > 1 times its target: ask for half of it, and if it does not even
  /// fall, not before as many steps more. True once it has not fallen three times in a row, as
  /// where rows of zeros, which are never drawn, have a right-hand side.
  bool refuted(double measured, Index step) {
    slack_ *= 0.5 / measured;
    const bool fell = measured <= kFall * measured_;
    measured_ = measured;
    if (!fell) next_ = 2 * step;
    refuted_ = fell ? 0 : refuted_ + 1;
    return refuted_ >= kRefuted;
  }

 private:
  static constexpr double kFall = 0.9;
  static constexpr Index kRefuted = 3;

  double slack_ = 1.0, measured_ = INFINITY;
  Index next_ = 0, refuted_ = 0;
};

}  // namespace ritz
