// MINRES-QLP: the solution of least norm of min ‖b − (A − σI) x‖ for Hermitian A, indefinite,
// singular or ill-conditioned: MINRES with the QR factorisation of the tridiagonal matrix taken on
// to a QLP factorisation, whose error grows with cond(A) where that of MINRES grows with its
// square.
//
// Choi, Paige, Saunders: MINRES-QLP: a Krylov subspace method for indefinite or singular symmetric
// systems. SIAM J. Sci. Comput. 33, 2011; symbols are the paper's. Where the system turns out to
// have no solution, x is lifted to the one of least norm as in symmetric_run.hpp, which holds
// wherever the process is left, instead of by one more step with the last element of L taken for 0.
#pragma once

#include "ritz/krylov/symmetric_run.hpp"

namespace ritz {

using MinresQlpOptions = SymmetricOptions;
using MinresQlpOutcome = SymmetricOutcome;

/// Vectors of length n: two of Lanczos, p = A v, the last two columns of W = V P; z and r with a
/// preconditioner.
template <Space S>
struct MinresQlpWorkspace {
  using T = typename S::Value;
  using Vector = VectorView<T>;

  void prepare(S& space, Index, Index n, const MinresQlpOptions&, bool preconditioned) {
    arena.begin(space, (preconditioned ? 7 : 5) * Arena<S>::padded(n));
    for (Vector* v : {&l.u, &l.u_next, &l.p, &w, &w_before}) *v = arena.vector(n);
    l.z = preconditioned ? arena.vector(n) : l.u;
    r = preconditioned ? arena.vector(n) : l.u;
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  LanczosVectors<T> l;
  Vector w, w_before, r;
};

/// Memory movement per iteration, in vectors of length n, without the operator:
///   uᴴp 2   {u = p/β − …, ‖u‖} 4   x 4   W 3 + 4   total 17; with M: uᴴz 2, r 3, total 22
/// Two reads an iteration, four with M: the scalar recurrences live on the host.
struct MinresQlp {
  static constexpr std::string_view kName = "minres_qlp";
  using Options = MinresQlpOptions;
  using Outcome = MinresQlpOutcome;
  template <Space S>
  using Workspace = MinresQlpWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = SymmetricRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, MinresQlpWorkspace<S>& ws, const MinresQlpOptions&,
                      MinresQlpOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, l, w, w_before, r] = ws;
    const auto x = run.x;
    run.lifts = true;

    while (co_await run.residual(l.u, l.z, l.p, w)) {
      if (!co_await run.start(l)) co_return;
      if (run.M) space.copy(l.u, r);
      space.fill(0.0, w);
      space.fill(0.0, w_before);
      double phibar = l.beta;
      TridiagonalQr qr;
      // Row k of L is (η, ϑ, γ); a number behind a name says how many steps it is old. The names
      // that carry over hold zeros before the first step, and the reflections change signs only.
      Reflection right1, right2;
      double tau = 0.0, tau1 = 0.0, tau2 = 0.0;
      double gamma = 0.0, gamma1 = 0.0, gamma2 = 0.0;
      double eta = 0.0, eta1 = 0.0, eta2 = 0.0;
      double theta = 0.0, theta1 = 0.0, theta2 = 0.0;
      double mu = 0.0, mu1 = 0.0, mu2 = 0.0, mu3 = 0.0, mu4 = 0.0;

      bool again = true;
      while (again) {
        again = co_await run.extend(l);
        if (!again) break;
        qr.extend(l.beta_before > 0.0 ? l.beta : 0.0, l.alpha, l.beta_next);
        out.normal_residual = phibar * qr.root;  // of x_{k−1}
        if (run.hopeless(qr)) {
          run.suspect();
          break;
        }
        out.cond_a = qr.condition();
        tau2 = tau1;
        tau1 = tau;
        tau = phibar * qr.c;
        double residual = phibar * qr.s;
        if (run.M) {
          residual =
              run.norm(space.axpby_norm2(-phibar * qr.c / qr.gamma, l.u_next, qr.s * qr.s, r));
        }
        phibar *= qr.s;

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
        gamma1 = right1.annihilate(gamma1, delta);
        theta = right1.s * gamma;
        gamma *= -right1.c;

        // L μ = τ by forward substitution: the last three elements may still change.
        mu4 = mu3;
        mu3 = mu2;
        mu2 = quotient(tau2 - eta2 * mu4 - theta2 * mu3, gamma2);
        mu1 = quotient(tau1 - eta1 * mu3 - theta1 * mu2, gamma1);
        mu = quotient(tau - eta * mu2 - theta * mu1, gamma);

        // The same reflections of W; column k − 2 is final, and x without the last two columns.
        const double scale = 1.0 / l.beta;
        space.add3_norm2(mu2 * right2.c, w_before, mu2 * right2.s * scale, l.z, 1.0, x);
        space.axpby(right2.c * scale, l.z, -right2.s, w_before);
        space.rotate2(right1.c, -right1.s, w, w_before);
        std::swap(w, w_before);

        gamma1 = right2.annihilate(gamma1, qr.epsilon_next());
        l.advance();
        again = co_await run.iterated(residual, false);
      }
      space.add3_norm2(mu1, w_before, mu, w, 1.0, x);
    }
  }

 private:
  /// [c s; s −c]
  struct Reflection {
    double c = -1.0, s = 0.0;

    /// Becomes the reflection with (a, b) ↦ (h, 0), and returns h.
    double annihilate(double a, double b) {
      const double h = std::hypot(a, b);
      c = h > 0.0 ? a / h : -1.0;
      s = h > 0.0 ? b / h : 0.0;
      return h;
    }
  };
  /// An element of L that vanishes says nothing about μ: zero keeps x short.
  static double quotient(double above, double below) { return below == 0.0 ? 0.0 : above / below; }
};

/// Solves (A − σI) x = b, or minimises the residual, with least ‖x‖.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
MinresQlpOutcome minres_qlp(S& space, const Op& A, VectorView<const typename S::Value> b,
                            VectorView<typename S::Value> x, MinresQlpWorkspace<S>& ws,
                            const MinresQlpOptions& opt = {}, const Monitor& monitor = {},
                            const P& M = {}) {
  return Stepper<MinresQlp, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
