// The scalars of LSMR; see lsmr.hpp, and §2.8 and §5 of the paper for the names.
#pragma once

#include "ritz/krylov/least_squares_recurrence.hpp"

namespace ritz {

struct LsmrRecurrence : GolubKahanRecurrence {
  static constexpr std::int32_t kNumber = 3;

  double damp = 0.0;
  // The two QR factorisations (§2.8, "sym_ortho" = Givens by hypot).
  double zetabar = 0.0, alphabar = 0.0, rho = 1.0, rhobar = 1.0, cbar = 1.0, sbar = 0.0, zeta = 0.0;
  // The estimate of ‖r‖ (§5.1).
  double betadd = 0.0, betad = 0.0, rhodold = 1.0, tautildeold = 0.0, thetatilde = 0.0;
  double damped2 = 0.0;  ///< the part of ‖r‖² that the damping rows hold
  // The estimate of cond(A) (§5.3).
  double max_rhobar = 0.0, min_rhobar = INFINITY;
  /// h̄ = h + by_hbar h̄,  x += by_step h̄,  h = by_next V + by_h h.
  double by_hbar = 0.0, by_step = 0.0, by_next = 0.0, by_h = 1.0;

  enum Phase { kU, kV, kX };

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kU) {
      measure_u<Math>(sums[0]);
    } else if (phase == kV) {
      if (measure_v<Math>(sums[0])) {
        rotate<Math>();
      } else {
        by_hbar = by_step = by_next = 0.0;
        by_h = 1.0;
      }
    } else {
      norm_x = Math::sqrt(sums[0]);
      close();
    }
  }

 private:
  template <class Math>
  constexpr void rotate() {
    // Rotation Q̂ takes the damping row into ᾱ.
    const double alphahat = Math::hypot(alphabar, damp);
    const double chat = alphabar / alphahat, shat = damp / alphahat;
    // Rotation Q turns the lower bidiagonal into the upper one R.
    const double rhoold = rho;
    rho = Math::hypot(alphahat, beta);
    const double c = alphahat / rho, s = beta / rho;
    const double thetanew = s * alpha;
    alphabar = c * alpha;
    // Rotation Q̄ turns Rᴴ into R̄.
    const double rhobarold = rhobar, zetaold = zeta;
    const double thetabar = sbar * rho, rhotemp = cbar * rho;
    rhobar = Math::hypot(cbar * rho, thetanew);
    cbar = cbar * rho / rhobar;
    sbar = thetanew / rhobar;
    zeta = cbar * zetabar;
    zetabar = -sbar * zetabar;

    // h̄ = h − (θ̄ρ / (ρ_{k−1} ρ̄_{k−1})) h̄,  x = x + (ζ / (ρρ̄)) h̄,  h = v − (θ/ρ) h.
    by_hbar = -(thetabar * rho) / (rhoold * rhobarold);
    by_step = zeta / (rho * rhobar);
    by_next = alpha > 0.0 ? 1.0 / alpha : 0.0;
    by_h = -thetanew / rho;

    // Estimate of ‖r‖: apply Q̂, Q to the right-hand side, then Q̃ to R̃.
    const double betaacute = chat * betadd, betacheck = -shat * betadd;
    const double betahat = c * betaacute;
    betadd = -s * betaacute;
    const double thetatildeold = thetatilde;
    const double rhotildeold = Math::hypot(rhodold, thetabar);
    const double ctildeold = rhodold / rhotildeold, stildeold = thetabar / rhotildeold;
    thetatilde = stildeold * rhobar;
    rhodold = ctildeold * rhobar;
    betad = -stildeold * betad + ctildeold * betahat;
    tautildeold = (zetaold - thetatildeold * tautildeold) / rhotildeold;
    const double taud = (zeta - thetatilde * tautildeold) / rhodold;
    damped2 += betacheck * betacheck;
    residual = Math::sqrt(damped2 + (betad - taud) * (betad - taud) + betadd * betadd);
    normal_residual = std::abs(zetabar);

    // Estimate of cond(A); ρ̄₀ = 1 is no singular value.
    if (steps > 1.0) {
      max_rhobar = std::max(max_rhobar, rhobarold);
      min_rhobar = std::min(min_rhobar, rhobarold);
    }
    cond_a = std::max(max_rhobar, rhotemp) / std::min(min_rhobar, rhotemp);
  }
};

}  // namespace ritz
