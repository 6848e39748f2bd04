// The scalars of least squares over a Golub-Kahan process: min ‖β₁ e₁ − B y‖² + damp² ‖y‖² for the
// lower bidiagonal B of diagonal αᵢ and subdiagonal βᵢ₊₁, solved anew for each column that B gains.
//
// Paige, Saunders: LSQR: an algorithm for sparse linear equations and sparse least squares. ACM
// TOMS 8, 1982, whose symbols these are, with rotations in place of its reflections.
#pragma once

#include <algorithm>
#include <cmath>

#include "ritz/space/recurrence.hpp"

namespace ritz {

/// R = L̄ Q̄ for an upper bidiagonal R, a row at a time: ‖R⁻¹ f‖, and an estimate of cond(R) from
/// the diagonal of L̄. Free of constants, so that the units of R do not matter.
struct BidiagonalLq {
  double norm = 0.0;       ///< ‖R⁻¹ f‖
  double condition = 1.0;  ///< largest over smallest element of the diagonal of L̄

  /// R gains the diagonal element ρ, f the element φ; θ is what R will have to the right of ρ.
  template <class Math = HostMath>
  constexpr void next(double rho, double theta, double phi) {
    const double last = cbar_ * rho;
    const double above = phi - sbar_ * rho * z_;
    norm = Math::hypot(finished_, above / last);
    condition = std::max(largest_, last) / std::min(smallest_, last);
    const double diagonal = Math::hypot(last, theta);
    cbar_ = last / diagonal;
    sbar_ = theta / diagonal;
    z_ = above / diagonal;
    finished_ = Math::hypot(finished_, z_);
    largest_ = std::max(largest_, diagonal);
    smallest_ = std::min(smallest_, diagonal);
  }

 private:
  double cbar_ = 1.0, sbar_ = 0.0, z_ = 0.0, finished_ = 0.0;
  double largest_ = 0.0, smallest_ = INFINITY;
};

/// The QR factorisation of [B; damp I] with the right-hand side β₁ e₁, a column at a time.
struct BidiagonalQr {
  double damp = 0.0;
  double phibar = 0.0, rhobar = 0.0;  ///< what the next rotations act on
  double rho = 1.0, theta = 0.0, phi = 0.0;
  double residual = 0.0;         ///< ‖[β₁ e₁ − B y; damp y]‖
  double normal_residual = 0.0;  ///< ‖Bᴴ(β₁ e₁ − B y) − damp² y‖ over the next column of B too
  BidiagonalLq lq;               ///< of R: ‖y‖ and an estimate of cond([B; damp I])

  BidiagonalQr() = default;
  BidiagonalQr(double alpha, double beta, double damping)
      : damp(damping), phibar(beta), rhobar(alpha), residual(beta), normal_residual(alpha * beta) {}

  /// B gains β below its last diagonal element; α is its next one. Then y gains the multiple φ/ρ
  /// of a direction w, and the next w is e − (θ/ρ) w.
  template <class Math = HostMath>
  constexpr void next(double alpha, double beta) {
    // The damping row goes into ρ̄, …
    const double column = Math::hypot(rhobar, damp);
    damped_ = Math::hypot(damped_, damp / column * phibar);
    phibar *= rhobar / column;
    // … then β.
    rho = Math::hypot(column, beta);
    const double c = column / rho, s = beta / rho;
    theta = s * alpha;
    rhobar = c * alpha;
    phi = c * phibar;
    phibar *= -s;
    residual = Math::hypot(phibar, damped_);
    normal_residual = std::abs(phibar) * rhobar;
    lq.next<Math>(rho, theta, phi);
  }

 private:
  double damped_ = 0.0;  // the part of the residual that the damping rows hold
};

}  // namespace ritz
