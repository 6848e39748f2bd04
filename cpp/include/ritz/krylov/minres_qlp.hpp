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

#include "ritz/krylov/minres_qlp_recurrence.hpp"
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
/// No reads between two checks where they are not free.
struct MinresQlp {
  static constexpr std::string_view kName = "minres_qlp";
  using Options = MinresQlpOptions;
  using Outcome = MinresQlpOutcome;
  using Recurrence = MinresQlpRecurrence;
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
      Recurrence start;
      if (!co_await run.start(l, start)) co_return;
      if (run.M) space.copy(l.u, r);
      space.fill(0.0, w);
      space.fill(0.0, w_before);
      auto s = space.keep(start);
      space.freeze_below(s[&Recurrence::running], 0.0);

      Index steps = 0;
      bool again = true;
      while (again) {
        co_await run.extend(l, s);
        if (run.M) {
          space.advance(
              s, Recurrence::kResidual,
              space.axpby_norm2(s[&Recurrence::by_v_next], l.u_next, s[&Recurrence::by_r], r));
        }
        const Recurrence* now = run.look(s);
        if (now) out.normal_residual = now->normal_residual;  // of x_{k−1}
        if (now && !run.goes_on(*now)) break;

        // The reflections of W; column k − 2 is final, and x without the last two columns.
        space.add3_norm2(s[&Recurrence::to_x_w], w_before, s[&Recurrence::to_x_v], l.z, 1.0, x);
        space.axpby(s[&Recurrence::to_w_v], l.z, s[&Recurrence::to_w_w], w_before);
        space.rotate2(s[&Recurrence::cosine], s[&Recurrence::sine], w, w_before);
        std::swap(w, w_before);
        ++steps;
        l.advance();
        again = co_await run.iterated(now, false);
      }
      const Recurrence& last = run.last(s);
      // Each step changed the names, also those that a device did not make.
      if ((steps - static_cast<Index>(last.steps)) % 2 != 0) std::swap(w, w_before);
      space.add3_norm2(last.mu1, w_before, last.mu, w, 1.0, x);
    }
  }
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
