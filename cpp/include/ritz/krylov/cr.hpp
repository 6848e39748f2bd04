// Conjugate residuals: (A − σI) x = b for Hermitian positive (semi)definite A − σI, minimising ‖r‖
// over the Krylov space as MINRES does (in the norm of M with a preconditioner), with the
// directions of CG and residuals at hand.
//
// Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
// 1952, section 17; Stiefel: Relaxationsmethoden bester Strategie zur Lösung linearer
// Gleichungssysteme. Comment. Math. Helv. 29, 1955. Directions of negative curvature: Dahito,
// Orban: The conjugate residual method in linesearch and trust-region methods. SIAM J. Optim. 29,
// 2019.
#pragma once

#include "ritz/krylov/cr_recurrence.hpp"
#include "ritz/krylov/symmetric_run.hpp"

namespace ritz {

using CrOptions = SymmetricOptions;

struct CrOutcome : SymmetricOutcome {
  /// dᴴ(A − σI)d / dᴴd of the direction of negative curvature; NaN if there is none.
  double curvature = Iteration::kNone;

  template <class F>
  void visit(F f) const {
    SymmetricOutcome::visit(f);
    f("curvature", curvature);
  }
};

/// Vectors of length n: r, s = A z, p, q = A p; z and M q with a preconditioner.
template <Space S>
struct CrWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index, Index n, const CrOptions&, bool preconditioned) {
    arena.begin(space, (preconditioned ? 6 : 4) * Arena<S>::padded(n));
    for (Vector* v : {&r, &s, &p, &q}) *v = arena.vector(n);
    z = preconditioned ? arena.vector(n) : r;
    mq = preconditioned ? arena.vector(n) : q;
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector r, s, p, q, z, mq;
};

/// Memory movement per iteration, in vectors of length n, without the operator:
///   zᴴs 2   p = z + βp 3   {q = s + βq, ‖q‖} 3   {r −= αq, ‖r‖} 3   x += αp 3   total 14;
///   with M: zᴴr 1, qᴴMq 2, z −= αMq 3, total 20
/// No reads between two checks where they are not free.
struct Cr {
  static constexpr std::string_view kName = "cr";
  using Options = CrOptions;
  using Outcome = CrOutcome;
  using Recurrence = CrRecurrence;
  template <Space S>
  using Workspace = CrWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = SymmetricRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, CrWorkspace<S>& ws, const CrOptions& opt, CrOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, r, s, p, q, z, mq] = ws;
    const auto x = run.x;

    while (co_await run.residual(r, z, s, p)) {
      if (run.M) co_await run.M.apply(r, z);
      Recurrence start;
      run.begin(start);
      start.preconditioned = run.M ? 1.0 : 0.0;
      auto c = space.keep(start);
      space.freeze_below(c[&Recurrence::running], 0.0);

      bool again = true;
      while (again) {
        co_await run.A.apply(z, s);
        if (opt.shift != 0.0) space.axpby(-opt.shift, z, 1.0, s);
        const auto zs = space.real_dot(z, s);
        space.advance(c, Recurrence::kRayleigh, zs, run.M ? space.real_dot(z, r) : zs);
        // M need not see what is not finite, where that is known without waiting.
        if (S::kReadsAreFree && !run.goes_on(space.read(c))) break;
        space.axpby(1.0, z, c[&Recurrence::beta], p);
        auto qq = space.axpby_norm2(1.0, s, c[&Recurrence::beta], q);
        if (run.M) {
          co_await run.M.apply(q, mq);
          qq = space.real_dot(q, mq);
        }
        space.advance(c, Recurrence::kStep, qq);
        space.advance(c, Recurrence::kResidual, space.axpy_norm2(c[&Recurrence::by_q], q, r));
        const Recurrence* now = run.look(c);
        if (now && !run.goes_on(*now)) break;
        if (run.M) space.axpby(c[&Recurrence::by_q], mq, 1.0, z);
        space.axpby(c[&Recurrence::alpha], p, 1.0, x);
        again = co_await run.iterated(now);
      }
      const Recurrence& last = run.last(c);
      if (again && last.is(SymmetricEvent::negative_curvature)) {
        out.curvature = last.zs / space.read(space.norm2(z));
        run.direction = z;
        run.end(Status::negative_curvature);
      }
    }
  }
};

/// Solves (A − σI) x = b for Hermitian positive (semi)definite A − σI.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
CrOutcome cr(S& space, const Op& A, VectorView<const typename S::Value> b,
             VectorView<typename S::Value> x, CrWorkspace<S>& ws, const CrOptions& opt = {},
             const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Cr, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
