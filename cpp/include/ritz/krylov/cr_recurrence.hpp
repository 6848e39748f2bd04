// The scalars of conjugate residuals; see cr.hpp.
#pragma once

#include "ritz/krylov/lanczos_recurrence.hpp"

namespace ritz {

struct CrRecurrence : SymmetricRecurrence {
  static constexpr std::int32_t kNumber = 6;

  /// Steps with the sums zᴴs and, with a preconditioner, zᴴr; qᴴMq; ‖r‖².
  enum Phase { kRayleigh, kStep, kResidual };

  double preconditioned = 0.0;
  double zs = 0.0;
  /// p = z + beta p,  q = s + beta q;  r += by_q q,  z += by_q M q,  x += alpha p. They are zero
  /// where an event leaves the iteration unfinished.
  double beta = 0.0, alpha = 0.0, by_q = 0.0;

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kRayleigh) {
      if (!(residual > target)) running = 0.0;
      if (running > 0.0) turn(sums[0], preconditioned > 0.0 ? sums[1] : residual * residual);
    } else if (phase == kStep) {
      if (running > 0.0) measure(sums[0]);
    } else if (running > 0.0) {
      residual = Math::sqrt(sums[0]);
      steps += 1.0;
    }
  }

 private:
  constexpr void turn(double zs_next, double zr) {
    const double zs_before = zs;
    zs = zs_next;
    beta = alpha = by_q = 0.0;
    if (!is_finite(zs) || !is_finite(zr)) {
      end(SymmetricEvent::nonfinite, true);
      return;
    }
    if (!(zr > 0.0)) {
      end(SymmetricEvent::indefinite_preconditioner);
      return;
    }
    const double rayleigh = zs / zr;
    norm_a = std::max(norm_a, std::abs(rayleigh));
    // A residual of the null space has a Rayleigh quotient of some ε ‖A‖, the square of what
    // its ‖A r‖ comes down to; smaller eigenvalues, or negative ones of this size, this
    // precision cannot tell from zero.
    if (rayleigh <= 4.0 * epsilon * norm_a && rayleigh >= -30.0 * epsilon * norm_a) {
      end(SymmetricEvent::hopeless);
    } else if (zs < 0.0) {
      end(SymmetricEvent::negative_curvature);
    } else if (zs_before > 0.0) {
      beta = zs / zs_before;
    }
  }

  constexpr void measure(double qq) {
    if (!is_finite(qq)) {
      end(SymmetricEvent::nonfinite, true);
    } else if (!(qq > 0.0)) {
      end(SymmetricEvent::indefinite_preconditioner);
    } else {
      alpha = zs / qq;
      by_q = -alpha;
    }
  }
};

}  // namespace ritz
