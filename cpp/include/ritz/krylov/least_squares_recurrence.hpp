// The scalars that methods on the Golub-Kahan process of A share, and when they end.
#pragma once

#include <algorithm>

#include "ritz/space/recurrence.hpp"

namespace ritz {

/// What a method knows of its iterate.
struct LeastSquaresNumbers {
  double residual = 0.0;         ///< ‖[b − Ax; damp (x − x₀)]‖
  double normal_residual = 0.0;  ///< ‖Aᴴ(b − Ax) − damp² (x − x₀)‖
  double norm_a = 0.0;           ///< largest ‖Av‖ or ‖Aᴴu‖ seen
  double cond_a = 1.0;           ///< estimate of cond([A; damp I])
  double norm_x = 0.0;
};

/// The two bounds, either of which ends a run.
struct LeastSquaresBounds {
  double atol = 0.0;
  double btol_b = 0.0;  ///< btol ‖b‖

  constexpr double of_residual(const LeastSquaresNumbers& now) const {
    return btol_b + atol * now.norm_a * now.norm_x;
  }
  constexpr double of_normal_residual(const LeastSquaresNumbers& now) const {
    return atol * now.norm_a * now.residual;
  }
  /// The smaller of the two measures over its bound: it must come to 1.
  constexpr double measure(const LeastSquaresNumbers& now) const {
    if (now.residual == 0.0 || now.normal_residual == 0.0) return 0.0;
    return std::min(now.residual / of_residual(now), now.normal_residual / of_normal_residual(now));
  }
};

/// What ended a method before its numbers came to their bounds.
enum class LeastSquaresEvent { none, nonfinite, breakdown, indefinite_preconditioner };

/// What the recurrences of the methods share.
struct LeastSquaresRecurrence : LeastSquaresNumbers {
  double running = 1.0;  ///< 0 from the end on: vectors and scalars stay what they are then
  double event = 0.0;    ///< a LeastSquaresEvent; the step that found it is not counted
  double steps = 0.0;
  double exhausted = 0.0;  ///< 1 once there is nothing to continue with
  LeastSquaresBounds bounds;
  double slack = 0.0;   ///< the measure to come to, below 1 where a verification has failed
  double conlim = 0.0;  ///< 0 for none

  constexpr void end(LeastSquaresEvent what) {
    running = 0.0;
    event = static_cast<double>(what);
  }
  constexpr bool is(LeastSquaresEvent what) const { return event == static_cast<double>(what); }
  /// Once x and its numbers are those of this step.
  constexpr void close() {
    const bool ends =
        exhausted > 0.0 || !(bounds.measure(*this) > slack) || (conlim > 0.0 && cond_a >= conlim);
    if (ends || !is_finite(residual) || !is_finite(normal_residual)) running = 0.0;
  }
};

/// U = βu and V = αv are kept unnormalised: U = by_q q + by_u U for q = A V, and V = by_t t + by_v
/// V for t = Aᴴ U.
struct GolubKahanRecurrence : LeastSquaresRecurrence {
  double alpha = 0.0, alpha_before = 0.0, beta = 0.0, beta_next = 0.0;
  double by_q = 0.0, by_u = 0.0, by_t = 0.0, by_v = 0.0;

  /// With β u = r and α v = Aᴴu for the residual r.
  constexpr void begin() {
    beta = residual;
    alpha = normal_residual / beta;
    by_q = 1.0 / alpha;
    by_u = -alpha / beta;
  }
  /// β_{k+1} = ‖U‖
  template <class Math>
  constexpr void measure_u(double uu) {
    beta_next = Math::sqrt(uu);
    by_t = beta_next > 0.0 ? 1.0 / beta_next : 0.0;
    by_v = -beta_next / alpha;
  }
  /// α_{k+1} = ‖V‖; false if it or β is not finite, and x is to be left alone.
  template <class Math>
  constexpr bool measure_v(double vv) {
    const double alpha_next = beta_next > 0.0 ? Math::sqrt(vv) : 0.0;
    if (!is_finite(beta_next) || !is_finite(alpha_next)) {
      end(LeastSquaresEvent::nonfinite);
      return false;
    }
    // ‖Av‖ and ‖Aᴴu‖. The Frobenius norm of the bidiagonal, as in the papers, grows without bound
    // once u and v lose their orthogonality, and the tolerance of the stopping test with it.
    norm_a = std::max(norm_a,
                      std::max(Math::hypot(alpha, beta_next), Math::hypot(alpha_next, beta_next)));
    alpha_before = alpha;
    beta = beta_next;
    alpha = alpha_next;
    by_q = 1.0 / alpha;
    by_u = -alpha / beta;
    exhausted = alpha > 0.0 && beta > 0.0 ? 0.0 : 1.0;
    steps += 1.0;
    return true;
  }
};

}  // namespace ritz
