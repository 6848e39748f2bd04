// The scalars of MINRES-QLP; see minres_qlp.hpp.
#pragma once

#include "ritz/krylov/lanczos_recurrence.hpp"

namespace ritz {

struct MinresQlpRecurrence : LanczosRecurrence {
  static constexpr std::int32_t kNumber = 2;

  /// [c s; s −c]
  struct Reflection {
    double c = -1.0, s = 0.0;

    /// Becomes the reflection with (a, b) ↦ (h, 0), and returns h.
    template <class Math>
    constexpr double annihilate(double a, double b) {
      const double h = Math::hypot(a, b);
      c = h > 0.0 ? a / h : -1.0;
      s = h > 0.0 ? b / h : 0.0;
      return h;
    }
  };

  // Row k of L is (η, ϑ, γ); a number behind a name says how many steps it is old. The names that
  // carry over hold zeros before the first step, and the reflections change signs only.
  Reflection right1{}, right2{};
  double tau = 0.0, tau1 = 0.0, tau2 = 0.0;
  double gamma = 0.0, gamma1 = 0.0, gamma2 = 0.0;
  double eta = 0.0, eta1 = 0.0, eta2 = 0.0;
  double theta = 0.0, theta1 = 0.0, theta2 = 0.0;
  double mu = 0.0, mu1 = 0.0, mu2 = 0.0, mu3 = 0.0, mu4 = 0.0;
  /// r = by_r r + by_v_next u_{k+1}.
  double by_r = 1.0, by_v_next = 0.0;
  /// x += to_x_w w_{k−2} + to_x_v z,  w_{k−2} = to_w_v z + to_w_w w_{k−2}; then (w_{k−1}, w_{k−2})
  /// are rotated by (cosine, sine).
  double to_x_w = 0.0, to_x_v = 0.0, to_w_v = 0.0, to_w_w = 1.0, cosine = 1.0, sine = 0.0;

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    if (phase == kProject) {
      if (!(residual > target)) running = 0.0;
      if (running > 0.0) project(sums[0]);
      return;
    }
    if (phase == kResidual) {
      residual = Math::sqrt(sums[0]);
      return;
    }
    if (!extend<Math>(sums[0], sums[1])) return;
    tau2 = tau1;
    tau1 = tau;
    tau = phibar * qr.c;
    by_r = qr.s * qr.s;
    by_v_next = -phibar * qr.c / qr.gamma;
    phibar *= qr.s;
    residual = phibar;

    // Reflection of columns k − 2 and k, by which R begins to turn into L, and of k − 1 and k.
    gamma2 = gamma1;
    gamma1 = gamma;
    theta2 = theta1;
    eta2 = eta1;
    eta1 = eta;
    theta1 = right2.c * theta + right2.s * qr.delta;
    const double delta = right2.s * theta - right2.c * qr.delta;
    eta = right2.s * qr.gamma;
    gamma = -right2.c * qr.gamma;
    gamma1 = right1.annihilate<Math>(gamma1, delta);
    theta = right1.s * gamma;
    gamma *= -right1.c;

    // L μ = τ by forward substitution: the last three elements may still change.
    mu4 = mu3;
    mu3 = mu2;
    mu2 = quotient(tau2 - eta2 * mu4 - theta2 * mu3, gamma2);
    mu1 = quotient(tau1 - eta1 * mu3 - theta1 * mu2, gamma1);
    mu = quotient(tau - eta * mu2 - theta * mu1, gamma);

    // The same reflections of W; column k − 2 is final, and x without the last two columns.
    to_x_w = mu2 * right2.c;
    to_x_v = mu2 * right2.s / beta;
    to_w_v = right2.c / beta;
    to_w_w = -right2.s;
    cosine = right1.c;
    sine = -right1.s;
    gamma1 = right2.annihilate<Math>(gamma1, qr.epsilon_next);
    advance();
  }

 private:
  /// An element of L that vanishes says nothing about μ: zero keeps x short.
  static constexpr double quotient(double above, double below) {
    return below == 0.0 ? 0.0 : above / below;
  }
};

}  // namespace ritz
