// The scalars of BiCGSTAB; see bicgstab.hpp.
#pragma once

#include "ritz/krylov/linear_recurrence.hpp"

namespace ritz {

struct BicgstabRecurrence : LinearRecurrence {
  static constexpr std::int32_t kNumber = 9;

  /// Steps with the sums r̂ᴴv and ‖v‖²; ‖s‖²; tᴴs and ‖t‖²; ‖r‖², unless r is s; r̂ᴴr.
  enum Phase { kBiorthogonal, kHalf, kMinimise, kResidual, kDirection };

  PaddedReal shadow;         ///< ‖r̂‖
  PaddedReal half_residual;  ///< ‖s‖
  Number rho;                ///< r̂ᴴr
  /// s = r + by_v v,  x += alpha p̂ + omega ŝ,  r = s + by_t t,  p = r + beta p + by_v_next v.
  Number alpha, by_v, omega, by_t, beta, by_v_next;

  /// Whether s calls for a second product.
  constexpr bool goes_on_from_s() const { return half_residual > target; }

  template <class Math>
  constexpr void step(int phase, const Number (&sums)[kStepSums]) {
    if (!(running > 0.0)) return;
    if (phase == kBiorthogonal) {
      const double size_v = Math::sqrt(sums[1].re);
      if (!is_finite(size_v)) {
        end(LinearEvent::nonfinite, true);
      } else if (is_noise<Math>(sums[0], shadow * size_v)) {
        end(LinearEvent::breakdown);
      } else {
        alpha = rho / sums[0];
        by_v = -alpha;
      }
    } else if (phase == kHalf) {
      half_residual = Math::sqrt(sums[0].re);
      omega = by_t = Number();
    } else if (phase == kMinimise) {
      if (goes_on_from_s()) minimise<Math>(sums[0], sums[1].re);
    } else if (phase == kResidual) {
      close(omega == Number() ? half_residual.value : Math::sqrt(sums[0].re));
    } else {
      if (omega == Number() || is_noise<Math>(sums[0], shadow * residual)) {
        end(LinearEvent::breakdown);
        return;
      }
      beta = sums[0] / rho * (alpha / omega);
      by_v_next = -beta * omega;
      rho = sums[0];
    }
  }

 private:
  /// Whether an inner product holds nothing but rounding errors.
  template <class Math>
  constexpr bool is_noise(Number product, double of_norms) const {
    return Math::hypot(product.re, product.im) <= epsilon * of_norms;
  }
  template <class Math>
  constexpr void minimise(Number ts, double tt) {
    if (!is_finite(tt)) {
      end(LinearEvent::nonfinite, true);
    } else if (!is_noise<Math>(ts, half_residual * Math::sqrt(tt))) {
      omega = ts / tt;
      by_t = -omega;
    }
  }
};

}  // namespace ritz
