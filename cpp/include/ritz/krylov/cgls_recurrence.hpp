// The scalars of CGLS; see cgls.hpp.
#pragma once

#include "ritz/krylov/bidiagonal_qr.hpp"
#include "ritz/krylov/least_squares_recurrence.hpp"

namespace ritz {

struct CglsRecurrence : LeastSquaresRecurrence {
  static constexpr std::int32_t kNumber = 8;

  double damp2 = 0.0;
  double epsilon = 0.0;  ///< of the vectors' precision
  double gamma = 0.0;    ///< sᴴz
  double pp = 0.0;       ///< ‖p‖² in the norm of M⁻¹
  double p2 = 0.0;       ///< ‖p‖²
  double moved2 = 0.0;   ///< ‖x − x₀‖²
  double alpha = 0.0;    ///< x += α p
  double by_q = 0.0;     ///< r += by_q q
  double beta = 0.0;     ///< p = z + β p
  BidiagonalLq lq;       ///< of the bidiagonal R of LSQR, which α and β are

  /// Steps with the sums ‖q‖², and ‖p‖² where it is not that in the norm of M⁻¹; Re xᴴp and
  /// Re x₀ᴴp; ‖x‖², ‖r‖² and ‖s‖², where the last is γ or not; sᴴz.
  enum Phase { kQ, kQAndP, kMoved, kNumbersAndGamma, kNumbers, kGamma };

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kQ) {
      find_alpha<Math>(sums[0], pp);
    } else if (phase == kQAndP) {
      find_alpha<Math>(sums[0], sums[1]);
    } else if (phase == kMoved) {
      moved2 += alpha * (2.0 * (sums[0] - sums[1]) + alpha * p2);
    } else if (phase == kGamma) {
      find_beta<Math>(sums[0]);
    } else {
      norm_x = Math::sqrt(sums[0]);
      residual = Math::sqrt(sums[1] + damp2 * std::max(moved2, 0.0));
      normal_residual = Math::sqrt(sums[2]);
      // There is nothing to ask M where s = 0.
      if (phase == kNumbersAndGamma || !(sums[2] > 0.0)) find_beta<Math>(sums[2]);
    }
  }

  /// Leaves the share of a step that was found to be too long.
  constexpr void shorten(double share) {
    alpha *= share;
    by_q = -alpha;
  }

 private:
  template <class Math>
  constexpr void find_alpha(double qq, double norm2_p) {
    p2 = norm2_p;
    const double delta = qq + damp2 * p2;
    if (!is_finite(delta)) return end(LeastSquaresEvent::nonfinite);
    // A p = 0 for a p in the range of Aᴴ: what is called the adjoint is not.
    if (!(delta > 0.0)) return end(LeastSquaresEvent::breakdown);
    norm_a = std::max(norm_a, Math::sqrt(qq / p2));
    alpha = gamma / delta;
    by_q = -alpha;
  }
  template <class Math>
  constexpr void find_beta(double gamma_next) {
    if (normal_residual > 0.0 && !(gamma_next > 0.0)) {
      return end(is_finite(gamma_next) ? LeastSquaresEvent::indefinite_preconditioner
                                       : LeastSquaresEvent::nonfinite);
    }
    beta = gamma_next / gamma;
    pp = gamma_next + beta * beta * pp;
    gamma = gamma_next;
    const double rho = 1.0 / Math::sqrt(alpha);
    lq.next<Math>(rho, rho * Math::sqrt(beta), 0.0);
    cond_a = lq.condition;
    steps += 1.0;
    close();
    // An s that is nothing but the rounding of r would lead p into the null space of A, and x away
    // in steps of α ≈ (eps ‖A‖)⁻²: look at the truth instead.
    if (normal_residual <= epsilon * norm_a * residual) running = 0.0;
  }
};

}  // namespace ritz
