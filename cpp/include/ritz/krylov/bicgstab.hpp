// BiCGSTAB: A x = b for general A by short recurrences, products of BiCG's residual polynomial and
// of minimising ones of degree 1.
//
// Van der Vorst: Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
// nonsymmetric linear systems. SIAM J. Sci. Stat. Comput. 13, 1992.
#pragma once

#include "ritz/krylov/bicgstab_recurrence.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/shadow.hpp"

namespace ritz {

struct BicgstabOptions : LinearOptions {};

/// Vectors of length n: r (s within an iteration), the shadow r̂, p, v, t, and with a
/// preconditioner p̂ and ŝ; x is the caller's.
template <Space S>
struct BicgstabWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index, Index n, const BicgstabOptions&, bool preconditioned) {
    arena.begin(space, (preconditioned ? 7 : 5) * Arena<S>::padded(n));
    for (Vector* u : {&r, &rhat, &p, &v, &t}) *u = arena.vector(n);
    phat = preconditioned ? arena.vector(n) : p;
    shat = preconditioned ? arena.vector(n) : r;
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector r, rhat, p, v, t, phat, shat;
};

/// Memory movement per iteration, of two products, in vectors of length n, without the operator:
///   {r̂ᴴv, ‖v‖} 2   s = r − αv, ‖s‖ 3   {tᴴs, ‖t‖} 2   x += αp̂ + ωŝ 4   r = s − ωt, ‖r‖ 3
///   r̂ᴴr 2   p = r + β(p − ωv) 4   total 20
/// The preconditioner stands on the right, so that ‖r‖ is the residual of A x = b. No reads between
/// two checks where they are not free; there the second product is made even if s meets the target.
struct Bicgstab {
  static constexpr std::string_view kName = "bicgstab";
  using Options = BicgstabOptions;
  using Outcome = ritz::Outcome;
  using Recurrence = BicgstabRecurrence;
  template <Space S>
  using Workspace = BicgstabWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, BicgstabWorkspace<S>& ws, const BicgstabOptions&, Outcome& out) {
    auto& space = run.space;
    auto& [frames, arena, r, rhat, p, v, t, phat, shat] = ws;
    ShadowRestarts restarts;

    while (co_await run.residual(r)) {
      space.copy(r, rhat);
      space.copy(r, p);
      Recurrence start;
      run.begin(start);
      start.shadow = out.residual;
      start.rho = out.residual * out.residual;
      auto s = space.keep(start);
      space.freeze_below(s[&Recurrence::running], 0.0);

      bool again = true, broken = false;
      while (again) {
        if (broken) {
          // A device has kept x and its residual r since.
          Recurrence next = run.last(s);
          if (!restarts.allowed(next.residual)) {
            run.end(Status::breakdown);
            co_return;
          }
          next.shadow = restarts.draw(space, r, next.residual, rhat);
          next.rho = to_number(space.read(space.dot(rhat, r)));
          space.copy(r, p);
          next.resume();
          space.assign(s, next);
          space.freeze_below(s[&Recurrence::running], 0.0);
        }

        if (run.M) co_await run.M.apply(p, phat);
        co_await run.A.apply(phat, v);
        const auto [rhat_v, vv] = space.dots({{rhat, v}, {v, v}});
        space.advance(s, Recurrence::kBiorthogonal, rhat_v, vv);
        // An end is known here where reads are free; elsewhere what follows changes nothing then.
        if (!space.freeze_below(s[&Recurrence::running], 0.0)) {
          space.advance(s, Recurrence::kHalf, space.axpy_norm2(s[&Recurrence::by_v], v, r));
          if (S::kReadsAreFree && !space.read(s).goes_on_from_s()) {
            space.axpby(s[&Recurrence::alpha], phat, 1.0, run.x);
            space.advance(s, Recurrence::kResidual);
          } else {
            if (run.M) co_await run.M.apply(r, shat);
            co_await run.A.apply(shat, t);
            const auto [t_s, tt] = space.dots({{t, r}, {t, t}});
            space.advance(s, Recurrence::kMinimise, t_s, tt);
            if (!space.freeze_below(s[&Recurrence::running], 0.0)) {
              space.add3_norm2(s[&Recurrence::alpha], phat, s[&Recurrence::omega], shat, 1.0,
                               run.x);
              space.advance(s, Recurrence::kResidual, space.axpy_norm2(s[&Recurrence::by_t], t, r));
            }
          }
        }
        const Recurrence* now = run.look(s);
        if (now && now->is(LinearEvent::nonfinite)) {
          run.last(s);
          run.end(Status::nonfinite);
          co_return;
        }
        broken = now && now->is(LinearEvent::breakdown);
        if (broken) continue;
        again = co_await run.iterated(now);
        if (!again) {
          run.last(s);
          break;
        }

        space.advance(s, Recurrence::kDirection, space.dot(rhat, r));
        broken = space.freeze_below(s[&Recurrence::running], 0.0);
        if (broken) continue;
        space.add3_norm2(1.0, r, s[&Recurrence::by_v_next], v, s[&Recurrence::beta], p);
      }
    }
  }
};

/// Solves A x = b.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome bicgstab(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, BicgstabWorkspace<S>& ws,
                 const BicgstabOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Bicgstab, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
