// The scalars of MINRES; see minres.hpp.
#pragma once

#include "ritz/krylov/lanczos_recurrence.hpp"

namespace ritz {

struct MinresRecurrence : LanczosRecurrence {
  static constexpr std::int32_t kNumber = 0;

  double npc = 0.0;  ///< whether to end where the curvature along r is not positive
  /// rᴴ(A − σI)r of the residual before this step, where it ended the process.
  double curvature = 0.0;
  /// w_k = by_v z + by_w w_{k−1} + by_w_before w_{k−2},  x += by_step w_k.
  double by_v = 0.0, by_w = 0.0, by_w_before = 0.0, by_step = 0.0;
  /// r = by_r r + by_v_next u_{k+1}.
  double by_r = 1.0, by_v_next = 0.0;

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kProject) {
      if (!(residual > target)) running = 0.0;
      if (running > 0.0) project(sums[0]);
    } else if (phase == kExtend) {
      if (!extend<Math>(sums[0], sums[1])) return;
      // r_{k−1}ᴴ A r_{k−1} = −φ̄² c_{k−1} γ̄_k
      if (npc > 0.0 && qr.c_before * qr.gamma_bar >= 0.0) {
        curvature = -qr.c_before * qr.gamma_bar * phibar * phibar;
        end(SymmetricEvent::negative_curvature);
        return;
      }
      // w_k = (v_k − ε w_{k−2} − δ w_{k−1}) / γ,  x += φ w_k.
      by_v = 1.0 / (beta * qr.gamma);
      by_w = -qr.delta / qr.gamma;
      by_w_before = -qr.epsilon / qr.gamma;
      by_step = phibar * qr.c;
      by_r = qr.s * qr.s;
      by_v_next = -phibar * qr.c / qr.gamma;
      phibar *= qr.s;
      residual = phibar;
      advance();
    } else {
      residual = Math::sqrt(sums[0]);
    }
  }
};

}  // namespace ritz
