// MINRES: (A − σI) x = b for Hermitian A, indefinite or singular too, minimising ‖b − (A − σI) x‖
// over the Krylov space (in the norm of M with a preconditioner).
//
// Paige, Saunders: Solution of sparse indefinite systems of linear equations. SIAM J. Numer. Anal.
// 12, 1975; symbols as in Choi, Paige, Saunders: MINRES-QLP. SIAM J. Sci. Comput. 33, 2011.
// Negative curvature: Liu, Roosta: MINRES: from negative curvature detection to monotonicity
// properties. SIAM J. Optim. 32, 2022.
//
// Without M, ‖r‖ is the last element φ̄ of the rotated right-hand side. With M that is the norm of r
// in M, which may be anything beside ‖r‖; so r itself follows r_k = s² r_{k−1} − φ̄ c v_{k+1}.
#pragma once

#include "ritz/krylov/minres_recurrence.hpp"
#include "ritz/krylov/symmetric_run.hpp"

namespace ritz {

struct MinresOptions : SymmetricOptions {
  bool npc = false;  ///< end at the first residual with rᴴ(A − σI)r ≤ 0 and return it; off because
                     ///< indefinite systems are what MINRES is for

  template <class F>
  void visit(F f) {
    SymmetricOptions::visit(f);
    f("npc", npc);
  }
};

struct MinresOutcome : SymmetricOutcome {
  /// dᴴ(A − σI)d / dᴴd of the direction of negative curvature; NaN if there is none.
  double curvature = Iteration::kNone;

  template <class F>
  void visit(F f) const {
    SymmetricOutcome::visit(f);
    f("curvature", curvature);
  }
};

/// Vectors of length n: two of Lanczos, p = A v, two directions; z and r with a preconditioner.
template <Space S>
struct MinresWorkspace {
  using T = typename S::Value;
  using Vector = VectorView<T>;

  void prepare(S& space, Index, Index n, const MinresOptions&, bool preconditioned) {
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
///   uᴴp 2   {u = p/β − …, ‖u‖} 4   {w, x} 6   total 12; with M: uᴴz 2, r 3, total 17
/// No reads between two checks where they are not free.
struct Minres {
  static constexpr std::string_view kName = "minres";
  using Options = MinresOptions;
  using Outcome = MinresOutcome;
  using Recurrence = MinresRecurrence;
  template <Space S>
  using Workspace = MinresWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = SymmetricRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, MinresWorkspace<S>& ws, const MinresOptions& opt,
                      MinresOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, l, w, w_before, r] = ws;
    const auto x = run.x;

    while (co_await run.residual(l.u, l.z, l.p, w)) {
      Recurrence start;
      start.npc = opt.npc ? 1.0 : 0.0;
      if (!co_await run.start(l, start)) co_return;
      if (run.M) space.copy(l.u, r);
      auto s = space.keep(start);
      space.freeze_below(s[&Recurrence::running], 0.0);

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
        if (now && !run.goes_on(*now)) {
          if (now->is(SymmetricEvent::negative_curvature)) {
            co_await note_curvature(run, ws, now->curvature, out);
          }
          break;
        }
        // w_k = (v_k − ε w_{k−2} − δ w_{k−1}) / γ,  x += φ w_k.
        space.step3(s[&Recurrence::by_v], l.z, s[&Recurrence::by_w_before], w_before,
                    s[&Recurrence::by_w], w, s[&Recurrence::by_step], x);
        std::swap(w, w_before);
        l.advance();
        again = co_await run.iterated(now);
        if (!again) run.last(s);
      }
    }
  }

 private:
  /// Evaluates the residual, which is the direction to return; with M it is M r.
  template <class R, Space S>
  static Task<> note_curvature(R& run, MinresWorkspace<S>& ws, double curvature,
                               MinresOutcome& out) {
    auto& l = ws.l;
    co_await run.evaluate(l.u);
    if (run.M) co_await run.M.apply(l.u, l.z);
    run.direction = l.z;
    out.curvature = curvature / run.space.read(run.space.norm2(l.z));
    run.end(Status::negative_curvature);
  }
};

/// Solves (A − σI) x = b for Hermitian A.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
MinresOutcome minres(S& space, const Op& A, VectorView<const typename S::Value> b,
                     VectorView<typename S::Value> x, MinresWorkspace<S>& ws,
                     const MinresOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Minres, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
