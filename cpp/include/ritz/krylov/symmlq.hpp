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
#include "ritz/krylov/symmlq_recurrence.hpp"

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
/// No reads between two checks where they are not free.
struct Symmlq {
  static constexpr std::string_view kName = "symmlq";
  using Options = SymmlqOptions;
  using Outcome = SymmlqOutcome;
  using Recurrence = SymmlqRecurrence;
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
      Recurrence start;
      if (!co_await run.start(l, start)) co_return;
      start.right = start.phibar;
      start.preconditioned = run.M ? 1.0 : 0.0;
      space.axpby(1.0 / start.beta, l.z, 0.0, w);  // w̄_1 = v_1
      auto s = space.keep(start);
      space.freeze_below(s[&Recurrence::running], 0.0);

      bool again = true;
      while (again) {
        co_await run.extend(l, s);
        const Recurrence* now = run.look(s);
        if (now && !run.goes_on(*now)) {
          if (!now->is(SymmetricEvent::hopeless)) co_return;
          // Not even MINRES would get any further.
          co_await run.evaluate(l.u_next);
          run.end(out.residual <= out.target ? Status::converged : Status::stagnation);
          co_return;
        }
        again = co_await run.iterated(now, false);
        if (!again) {
          const Recurrence& last = run.last(s);
          if (last.cg <= last.lq) space.axpby(last.by_last, w, 1.0, x);
          break;
        }
        // w_k = c w̄_k + s v_{k+1},  x += ζ w_k,  w̄_{k+1} = s w̄_k − c v_{k+1}.
        l.advance();
        space.add3_norm2(s[&Recurrence::to_x_w], w, s[&Recurrence::to_x_v], l.z, 1.0, x);
        space.axpby(s[&Recurrence::to_w_v], l.z, s[&Recurrence::to_w_w], w);
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
