// The scalars of LSQR; see lsqr.hpp.
#pragma once

#include "ritz/krylov/bidiagonal_qr.hpp"
#include "ritz/krylov/least_squares_recurrence.hpp"

namespace ritz {

struct LsqrRecurrence : GolubKahanRecurrence {
  static constexpr std::int32_t kNumber = 4;

  BidiagonalQr qr;
  /// x += by_step W,  W = V + by_w W.
  double by_step = 0.0, by_w = 0.0;
  /// The variance gains by_square |W|².
  double by_square = 0.0;

  enum Phase { kU, kV, kX, kMeasuredX };

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kU) {
      measure_u<Math>(sums[0]);
    } else if (phase == kV) {
      by_step = by_square = 0.0;
      if (!measure_v<Math>(sums[0])) return;
      qr.next<Math>(alpha, beta);
      const double along = 1.0 / (qr.rho * alpha_before);
      by_step = qr.phi * along;
      by_square = along / (qr.rho * alpha_before);
      by_w = -qr.theta / qr.rho * (alpha / alpha_before);
    } else {
      residual = qr.residual;
      normal_residual = qr.normal_residual;
      cond_a = qr.lq.condition;
      norm_x = phase == kMeasuredX ? Math::sqrt(sums[0]) : qr.lq.norm;
      close();
    }
  }
};

}  // namespace ritz
