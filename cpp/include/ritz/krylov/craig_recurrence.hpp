// The scalars of CRAIG; see craig.hpp.
#pragma once

#include <algorithm>

#include "ritz/krylov/bidiagonal_qr.hpp"

namespace ritz {

/// What ended a process before its residual came to the target.
enum class CraigEvent { none, no_solution, nonfinite };

/// U = βu and V = αv are kept unnormalised: V = by_t t + by_v V for t = Aᴴ U, and U = by_q q + by_u
/// U for q = A V.
struct CraigRecurrence {
  static constexpr std::int32_t kNumber = 7;

  double running = 1.0;  ///< 0 from the end on: vectors and scalars stay what they are then
  double event = 0.0;    ///< a CraigEvent, which leaves x alone
  double steps = 0.0;
  double residual = 0.0;  ///< β|ζ|
  double target = 0.0;
  double start = 0.0;    ///< the residual that the process began with
  double epsilon = 0.0;  ///< of the vectors' precision
  double norm_a = 0.0;   ///< largest ‖Av‖ or ‖Aᴴu‖ seen

  double alpha = 0.0, beta = 0.0, zeta = -1.0;
  double by_t = 0.0, by_v = 0.0, by_q = 0.0, by_u = 0.0;
  double by_step = 0.0;  ///< x += by_step V
  BidiagonalQr qr;

  enum Phase { kV, kU };

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kV) {
      measure_v<Math>(sums[0]);
    } else {
      measure_u<Math>(sums[0]);
    }
  }

  constexpr bool is(CraigEvent what) const { return event == static_cast<double>(what); }

 private:
  /// α_{k+1} = ‖V‖, and the step of x.
  template <class Math>
  constexpr void measure_v(double vv) {
    alpha = Math::sqrt(vv);
    if (!is_finite(alpha)) return end(CraigEvent::nonfinite);
    if (steps == 0.0) {
      qr.rhobar = alpha;
      qr.normal_residual = alpha * beta;
    } else {
      norm_a = std::max(norm_a, Math::hypot(alpha, beta));
      qr.next<Math>(alpha, beta);
    }
    // Where least squares over the same space, LSQR, would end with a residual, there is no
    // solution to be found; nor where r has grown beyond ‖A‖ ‖x*‖ for any x* that the precision can
    // tell.
    if (!(qr.normal_residual > epsilon * norm_a * qr.residual) || epsilon * residual > start) {
      return end(CraigEvent::no_solution);
    }
    zeta *= -beta / alpha;
    by_step = zeta / alpha;
    by_q = 1.0 / alpha;
    by_u = -alpha / beta;
  }
  /// β_{k+1} = ‖U‖, of r = −β ζ u.
  template <class Math>
  constexpr void measure_u(double uu) {
    beta = Math::sqrt(uu);
    norm_a = std::max(norm_a, std::max(alpha, Math::hypot(alpha, beta)));
    residual = beta * std::abs(zeta);
    steps += 1.0;
    if (!(residual > target)) {
      running = 0.0;
      return;
    }
    by_t = 1.0 / beta;
    by_v = -beta / alpha;
  }
  constexpr void end(CraigEvent what) {
    running = 0.0;
    event = static_cast<double>(what);
  }
};

}  // namespace ritz
