// The scalars that MINRES, MINRES-QLP and SYMMLQ share.
//
// Paige, Saunders: Solution of sparse indefinite systems of linear equations. SIAM J. Numer. Anal.
// 12, 1975. Estimates: Choi, Paige, Saunders: MINRES-QLP. SIAM J. Sci. Comput. 33, 2011. Nothing is
// held away from zero by an absolute number, so that a scaled operator gives scaled numbers.
#pragma once

#include <algorithm>
#include <cmath>

#include "ritz/space/recurrence.hpp"

namespace ritz {

/// The QR factorisation, by reflections, of the tridiagonal matrix T of the Lanczos process, one
/// column at a time. Symbols as in Choi, Paige, Saunders: column k of R is (ε, δ, γ).
struct TridiagonalQr {
  double c = -1.0, s = 0.0, c_before = -1.0;
  double gamma_bar = 0.0, gamma = 0.0, delta = 0.0, epsilon = 0.0, epsilon_next = 0.0;
  double gamma_max = 0.0, gamma_min = INFINITY;
  double norm = 0.0;  ///< largest column of T
  /// ‖A r‖ / ‖r‖ of the residual before this column.
  double root = 0.0;
  double delta_bar = 0.0;

  /// Column (β_k, α_k, β_{k+1}); β_1 is none.
  template <class Math = HostMath>
  constexpr void extend(double beta, double alpha, double beta_next) {
    norm = std::max(norm, Math::hypot(Math::hypot(beta, alpha), beta_next));
    delta = c * delta_bar + s * alpha;
    epsilon = epsilon_next;
    gamma_bar = s * delta_bar - c * alpha;
    epsilon_next = s * beta_next;
    delta_bar = -c * beta_next;
    root = Math::hypot(gamma_bar, delta_bar);
    gamma = Math::hypot(gamma_bar, beta_next);
    c_before = c;
    c = gamma > 0.0 ? gamma_bar / gamma : 0.0;
    s = gamma > 0.0 ? beta_next / gamma : 1.0;
  }
  /// Takes γ into the estimate of the condition number.
  constexpr double condition() {
    gamma_max = std::max(gamma_max, gamma);
    gamma_min = std::min(gamma_min, gamma);
    return gamma_max / gamma_min;
  }
};

}  // namespace ritz
