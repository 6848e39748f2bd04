// LSMR: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by Golub-Kahan bidiagonalisation; it minimises
// ‖Aᴴr‖ over the Krylov space, so that the optimality measure falls monotonically.
//
// Fong, Saunders: LSMR: an iterative algorithm for sparse least-squares problems. SIAM J. Sci.
// Comput. 33, 2011. Symbols are the paper's; U = βu and V = αv are kept unnormalised, which saves
// a pass over each. Unlike the paper's reference code the condition estimate leaves out the
// artificial ρ̄₀ = 1, which made it wrong for ‖A‖ far from 1.
#pragma once

#include "ritz/krylov/least_squares_run.hpp"
#include "ritz/krylov/lsmr_recurrence.hpp"

namespace ritz {

using LsmrOptions = LeastSquaresOptions;
using LsmrOutcome = LeastSquaresOutcome;

/// Vectors: U and q of length m; V, t, h, h̄ of length n, and x₀ for a damped warm start.
template <Space S>
struct LsmrWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n, const LsmrOptions& opt, bool) {
    arena.begin(space, 2 * Arena<S>::padded(m) + (opt.keeps_x0() ? 5 : 4) * Arena<S>::padded(n));
    for (Vector* v : {&U, &q}) *v = arena.vector(m);
    for (Vector* v : {&V, &t, &h, &hbar}) *v = arena.vector(n);
    if (opt.keeps_x0()) x0 = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector U, q, V, t, h, hbar, x0;
};

/// Memory movement per iteration, without the operator: U 3m, V 3n, {h̄, x, h} 7n: total 3m + 10n.
/// No reads between two checks where they are not free.
struct Lsmr {
  static constexpr std::string_view kName = "lsmr";
  static constexpr bool kAnyShape = true;
  using Options = LsmrOptions;
  using Outcome = LsmrOutcome;
  using Recurrence = LsmrRecurrence;
  template <Space S>
  using Workspace = LsmrWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LeastSquaresRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, LsmrWorkspace<S>& ws, const LsmrOptions& opt, LsmrOutcome&) {
    auto& space = run.space;
    auto& [frames, arena, U, q, V, t, h, hbar, x0] = ws;
    const auto x = run.x;
    if (run.M) throw InvalidArgument("lsmr takes no M: give it the operator A M, and x = M y");

    // β u = b − A x₀, α v = Aᴴu.
    if (!co_await run.start(U, t, x0)) co_return;
    Recurrence first = run.begin(Recurrence{});
    first.damp = opt.damp;
    first.zetabar = first.alpha * first.beta;
    first.alphabar = first.alpha;
    first.betadd = first.beta;
    space.axpby(1.0 / first.beta, t, 0.0, V);
    space.axpby(1.0 / first.alpha, V, 0.0, h);
    space.fill(0.0, hbar);
    auto s = space.keep(first);
    space.freeze_below(s[&Recurrence::running], 0.0);

    bool again = true;
    while (again) {
      // Golub-Kahan: U = A v − α u, V = Aᴴu − β v.
      co_await run.A.apply(V, q);
      space.advance(s, Recurrence::kU,
                    space.axpby_norm2(s[&Recurrence::by_q], q, s[&Recurrence::by_u], U));
      co_await run.A.apply_adjoint(U, t);
      space.advance(s, Recurrence::kV,
                    space.axpby_norm2(s[&Recurrence::by_t], t, s[&Recurrence::by_v], V));
      // h̄ = h − (θ̄ρ / (ρ_{k−1} ρ̄_{k−1})) h̄,  x = x + (ζ / (ρρ̄)) h̄,  h = v − (θ/ρ) h.
      space.advance(s, Recurrence::kX,
                    space.update3(s[&Recurrence::by_hbar], hbar, s[&Recurrence::by_step], x,
                                  s[&Recurrence::by_next], V, s[&Recurrence::by_h], h));
      again = co_await run.iterated(run.look(s));
      if (!again) {
        run.last(s);
        again = co_await run.unverified(q, t);
        if (again) {
          run.resume(s);
          space.freeze_below(s[&Recurrence::running], 0.0);
        }
      }
    }
  }
};

/// Solves the (damped) least-squares problem.
template <Space S, AdjointOperator<typename S::Value> Op>
LsmrOutcome lsmr(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, LsmrWorkspace<S>& ws, const LsmrOptions& opt = {},
                 const Monitor& monitor = {}) {
  return Stepper<Lsmr, S, Op>(space, A, b, x, ws, opt, monitor).finish();
}

}  // namespace ritz
