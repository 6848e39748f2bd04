// The scalars of flexible conjugate gradients; see fcg.hpp.
#pragma once

#include "ritz/krylov/linear_recurrence.hpp"

namespace ritz {

struct FcgRecurrence : LinearRecurrence {
  static constexpr std::int32_t kNumber = 10;

  /// Steps with the sums pᴴq and pᴴr; ‖r‖².
  enum Phase { kStep, kResidual };

  PaddedReal curvature;  ///< pᴴq
  /// x += alpha p,  r += by_q q.
  Number alpha, by_q;

  template <class Math>
  constexpr void step(int phase, const Number (&sums)[kStepSums]) {
    if (!(running > 0.0)) return;
    if (phase == kStep) {
      curvature = sums[0].re;
      const Number pr = sums[1];
      if (!is_finite(curvature) || !is_finite(pr.re) || !is_finite(pr.im)) {
        end(LinearEvent::nonfinite, true);
      } else if (curvature <= 0.0) {
        end(LinearEvent::negative_curvature);
      } else if (!(pr.re > 0.0)) {  // pᴴr = zᴴr: r is orthogonal to the directions kept
        end(LinearEvent::indefinite_preconditioner);
      } else {
        alpha = pr / Number(curvature);
        by_q = -alpha;
      }
    } else {
      close(Math::sqrt(sums[0].re));
    }
  }
};

/// What stays of a direction that is kept, beside its vectors.
struct FcgDirection {
  static constexpr std::int32_t kNumber = 11;
  static constexpr bool kStartsItself = true;
  using Number = device::Complex<double>;

  Number pq;  ///< pᴴq, in the type of inner products

  template <class Math>
  constexpr void step(int, const Number (&sums)[kStepSums]) {
    pq = sums[0];
  }
};

}  // namespace ritz
