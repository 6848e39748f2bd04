// The scalars of SYMMLQ; see symmlq.hpp.
#pragma once

#include "ritz/krylov/lanczos_recurrence.hpp"

namespace ritz {

struct SymmlqRecurrence : LanczosRecurrence {
  static constexpr std::int32_t kNumber = 1;

  double preconditioned = 0.0;
  double right = 0.0;                    ///< γζ_k = −(ε ζ_{k−2} + δ ζ_{k−1})
  double zeta = 0.0, zeta_before = 0.0;  ///< ζ_{k−1}, ζ_{k−2}
  double lq = 0.0, cg = 0.0;             ///< ‖r_L‖, ‖r_C‖
  /// x_C = x_L + by_last w̄, before this step.
  double by_last = 0.0;
  /// x += to_x_w w̄ + to_x_v z,  w̄ = to_w_v z + to_w_w w̄, with the next z.
  double to_x_w = 0.0, to_x_v = 0.0, to_w_v = 0.0, to_w_w = 1.0;

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kProject) {
      project(sums[0]);
      return;
    }
    if (!extend<Math>(sums[0], sums[1])) return;
    if (steps > 0.0) right = -(qr.epsilon * zeta_before + qr.delta * zeta);
    const double along = std::abs(right) * (norm_u / beta);
    const double across =
        beta_next > 0.0 ? std::abs(qr.epsilon_next * zeta) * (norm_u_next / beta_next) : 0.0;
    lq = preconditioned > 0.0 ? along + across : Math::hypot(along, across);
    cg = qr.gamma_bar == 0.0 ? INFINITY : phibar * (norm_u_next / std::abs(qr.gamma_bar));
    residual = std::min(lq, cg);
    by_last = right / qr.gamma_bar;
    if (!(residual > target)) {
      running = 0.0;
      steps += 1.0;
      return;
    }
    advance();
    // w_k = c w̄_k + s v_{k+1},  x += ζ w_k,  w̄_{k+1} = s w̄_k − c v_{k+1}.
    zeta_before = zeta;
    zeta = right / qr.gamma;
    to_x_w = zeta * qr.c;
    to_x_v = zeta * qr.s / beta;
    to_w_v = -qr.c / beta;
    to_w_w = qr.s;
    phibar *= qr.s;
  }
};

}  // namespace ritz
