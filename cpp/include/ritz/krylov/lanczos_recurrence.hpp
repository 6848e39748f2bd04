// The scalars of a method on the Lanczos process of A − σI: the process, the QR factorisation of
// its tridiagonal matrix, and whether to go on.
#pragma once

#include <algorithm>

#include "ritz/krylov/linear_recurrence.hpp"
#include "ritz/krylov/tridiagonal_qr.hpp"

namespace ritz {

/// What ended a process before its residual came to the target.
enum class SymmetricEvent {
  none,
  hopeless,
  negative_curvature,
  indefinite_preconditioner,
  nonfinite
};

/// What a run asks of the scalars of its method.
struct SymmetricRecurrence : ProcessRecurrence<double, SymmetricEvent> {
  double norm_a = 0.0;     ///< a lower bound of ‖A − σI‖ so far
  double condition = 0.0;  ///< an estimate so far
};

/// u = βv and z = M u are kept unnormalised; without M, z is u. The bound of ‖A − σI‖ is the
/// largest column of T, the condition that of R.
struct LanczosRecurrence : SymmetricRecurrence {
  /// Steps with the sums zᴴp; ‖u‖² and uᴴz of the next vector; ‖r‖², with a preconditioner.
  enum Phase { kProject, kExtend, kResidual };

  double shift = 0.0;  ///< σ, if zᴴp does not contain it
  double noise = 0.0;  ///< ‖A r‖ / (‖A‖‖r‖) that is taken for rounding

  double beta = 0.0, beta_before = 0.0, beta_next = 0.0, alpha = 0.0;
  double norm_u = 0.0, norm_u_next = 0.0;  ///< ‖u‖, which is β without a preconditioner
  /// β_{k+1} v_{k+1} = by_p p + by_u u + by_u_before u_before for p = (A − σI) z.
  double by_p = 0.0, by_u = 0.0, by_u_before = 0.0;

  TridiagonalQr qr;
  double phibar = 0.0;           ///< the last element of the rotated right-hand side β₁ e₁
  double normal_residual = 0.0;  ///< ‖(A − σI) r‖ before this step

  /// α from zᴴp, and how to form the next vector.
  constexpr void project(double zp) {
    const double ritz = zp / (beta * beta);
    alpha = ritz - shift;
    by_p = 1.0 / beta;
    by_u = -ritz / beta;
    by_u_before = steps > 0.0 ? -beta / beta_before : 0.0;
  }

  /// The next column, from the norms of the next vector as it is, uu, and in M, uz; false if the
  /// process ends here.
  ///
  /// In exact arithmetic ‖A r‖ reaches zero if the system is inconsistent. In floating point it
  /// comes down to about √ε ‖A‖‖r‖ and rises again, x growing without bound: what A r still holds
  /// would change ‖r‖ by ε only. So a value below 2√ε is suspect if moreover two steps in a row
  /// would reduce ‖r‖ by less than half a percent (c < 0.1), or if the Krylov space is exhausted;
  /// and one below `noise` always: there the signs of what follows are noise.
  template <class Math>
  constexpr bool extend(double uu, double uz) {
    if (uu == 0.0) uz = 0.0;
    if (!is_finite(alpha) || !is_finite(uu)) return end(SymmetricEvent::nonfinite, true);
    if (!is_finite(uz)) return end(SymmetricEvent::nonfinite, true);
    if (uz <= 0.0 && uu > 0.0) return end(SymmetricEvent::indefinite_preconditioner, true);
    beta_next = Math::sqrt(uz);
    norm_u_next = Math::sqrt(uu);
    const bool first = steps == 0.0;
    qr.extend<Math>(first ? 0.0 : beta, alpha, beta_next);
    normal_residual = phibar * qr.root;
    norm_a = std::max(norm_a, qr.norm);
    const double root_eps = Math::sqrt(epsilon), small = 2.0 * root_eps * norm_a;
    const double c = std::max(std::abs(qr.c), std::abs(qr.c_before));
    const bool exhausted = qr.gamma <= 2.0 * root_eps * qr.norm;
    if (qr.root <= noise * norm_a || (!first && qr.root <= small && (exhausted || c <= 0.1))) {
      return end(SymmetricEvent::hopeless);
    }
    condition = qr.condition();
    return true;
  }

  /// To the next step.
  constexpr void advance() {
    norm_u = norm_u_next;
    beta_before = beta;
    beta = beta_next;
    steps += 1.0;
  }
};

}  // namespace ritz
