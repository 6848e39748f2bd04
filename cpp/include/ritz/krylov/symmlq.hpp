// SYMMLQ: (A − σI) x = b for Hermitian A, indefinite or singular too, if there is a solution: the
// least error over (A − σI) times the Krylov space (in the norm of M⁻¹ with a preconditioner).
//
// Paige, Saunders: Solution of sparse indefinite systems of linear equations. SIAM J. Numer. Anal.
// 12, 1975. T = L Q with Lᴴ the R of MINRES, so that the scalars are the same; the names are those
// of Choi, Paige, Saunders: MINRES-QLP. SIAM J. Sci. Comput. 33, 2011.
//
// x follows the LQ point x_L, whose error never grows. The Galerkin (CG) point x_C = x_L + ζ̄ w̄ lies
// one direction further, and a run ends at whichever has the smaller residual. Both residuals
// follow from the scalars: r_L = γζ v_k − ε ζ v_{k+1}, for which the sum of the norms stands in
// with M, whose v are not orthonormal, and ‖r_C‖ = (φ̄/|γ̄|) ‖β v_{k+1}‖.
#pragma once

#include "ritz/krylov/symmetric_run.hpp"

namespace ritz {

using SymmlqOptions = SymmetricOptions;
using SymmlqOutcome = SymmetricOutcome;

/// Vectors of length n: two of Lanczos, p = A v, the direction w̄; z with a preconditioner.
template <Space S>
struct SymmlqWorkspace {
  using T = typename S::Value;
  using Vector = VectorView<T>;

  void prepare(S& space, Index, Index n, const SymmlqOptions&, bool preconditioned) {
    arena.begin(space, (preconditioned ? 5 : 4) * Arena<S>::padded(n));
    for (Vector* v : {&l.u, &l.u_next, &l.p, &w}) *v = arena.vector(n);
    l.z = preconditioned ? arena.vector(n) : l.u;
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  LanczosVectors<T> l;
  Vector w;
};

/// Memory movement per iteration, in vectors of length n, without the operator:
///   uᴴp 2   {u = p/β − …, ‖u‖} 4   x 4   w̄ 3   total 13; with M: uᴴz 2, total 15
/// Two reads an iteration, three with M: the scalar recurrences live on the host.
struct Symmlq {
  static constexpr std::string_view kName = "symmlq";
  using Options = SymmlqOptions;
  using Outcome = SymmlqOutcome;
  template <Space S>
  using Workspace = SymmlqWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = SymmetricRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, SymmlqWorkspace<S>& ws, const SymmlqOptions&, SymmlqOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, l, w] = ws;
    const auto x = run.x;

    while (co_await run.residual(l.u, l.z, l.p, w)) {
      if (!co_await run.start(l)) co_return;
      space.axpby(1.0 / l.beta, l.z, 0.0, w);  // w̄_1 = v_1
      double phibar = l.beta;
      double right = phibar;                 // γζ_k = −(ε ζ_{k−2} + δ ζ_{k−1})
      double zeta = 0.0, zeta_before = 0.0;  // ζ_{k−1}, ζ_{k−2}
      TridiagonalQr qr;

      bool again = true;
      while (again) {
        if (!co_await run.extend(l)) co_return;
        qr.extend(l.beta_before > 0.0 ? l.beta : 0.0, l.alpha, l.beta_next);
        if (run.hopeless(qr)) {  // not even MINRES would get any further
          co_await run.evaluate(l.u_next);
          run.end(out.residual <= out.target ? Status::converged : Status::stagnation);
          co_return;
        }
        out.cond_a = qr.condition();
        if (l.beta_before > 0.0) right = -(qr.epsilon * zeta_before + qr.delta * zeta);

        const double along = std::abs(right) * (l.norm_u / l.beta);
        const double across =
            l.beta_next > 0.0 ? std::abs(qr.epsilon_next() * zeta) * (l.norm_u_next / l.beta_next)
                              : 0.0;
        const double lq = run.M ? along + across : std::hypot(along, across);
        const double cg =
            qr.gamma_bar == 0.0 ? INFINITY : phibar * (l.norm_u_next / std::abs(qr.gamma_bar));
        again = co_await run.iterated(std::min(lq, cg), false);
        if (!again) {
          if (cg <= lq) space.axpby(right / qr.gamma_bar, w, 1.0, x);
          break;
        }

        // w_k = c w̄_k + s v_{k+1},  x += ζ w_k,  w̄_{k+1} = s w̄_k − c v_{k+1}.
        l.advance();
        zeta_before = zeta;
        zeta = right / qr.gamma;
        space.add3_norm2(zeta * qr.c, w, zeta * qr.s / l.beta, l.z, 1.0, x);
        space.axpby(-qr.c / l.beta, l.z, qr.s, w);
        phibar *= qr.s;
      }
    }
  }
};

/// Solves (A − σI) x = b for Hermitian A if there is a solution.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
SymmlqOutcome symmlq(S& space, const Op& A, VectorView<const typename S::Value> b,
                     VectorView<typename S::Value> x, SymmlqWorkspace<S>& ws,
                     const SymmlqOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Symmlq, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
