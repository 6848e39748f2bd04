// CRAIG: min ‖x − x₀‖ subject to A x = b for any A and a b in its range, by Golub-Kahan
// bidiagonalisation; it minimises the error ‖x − x*‖ over the Krylov space of Aᴴr.
//
// Craig: The N-step iteration procedures. J. Math. Phys. 34, 1955. Paige: Bidiagonalization of
// matrices and solution of linear equations. SIAM J. Numer. Anal. 11, 1974. Saunders: Solution of
// sparse rectangular systems using LSQR and CRAIG. BIT 35, 1995, whose symbols these are; U = βu
// and V = αv are kept unnormalised, which saves a pass over each.
#pragma once

#include <limits>

#include "ritz/krylov/craig_recurrence.hpp"
#include "ritz/krylov/linear_run.hpp"

namespace ritz {

using CraigOptions = LinearOptions;
using CraigOutcome = Outcome;

/// Vectors: U and q of length m; V and t of length n.
template <Space S>
struct CraigWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n, const CraigOptions&, bool) {
    arena.begin(space, 2 * Arena<S>::padded(m) + 2 * Arena<S>::padded(n));
    for (Vector* v : {&U, &q}) *v = arena.vector(m);
    for (Vector* v : {&V, &t}) *v = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector U, q, V, t;
};

/// A linear run whose operator has an adjoint.
template <Space S, class Op, class P>
class CraigRun : public LinearRun<S, Op, P> {
  using Base = LinearRun<S, Op, P>;
  using Base::out_;
  using typename Base::Iterated;

 public:
  using Base::iterated, Base::space;

  CraigRun(const Problem<S, Op, P>& given, const CraigOptions& opt, Outcome& out)
      : Base(given, opt, out) {
    require_adjoint(given.A);
  }

  /// A process from the residual that was evaluated.
  CraigRecurrence begin(double norm_a) {
    begun_ = out_.iterations;
    CraigRecurrence s;
    s.residual = s.start = s.beta = out_.residual;
    s.target = out_.target;
    s.epsilon = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    s.norm_a = norm_a;
    s.by_t = 1.0 / s.beta;
    s.qr = BidiagonalQr(0.0, s.beta, 0.0);
    return s;
  }
  /// Ends an iteration; null where the recurrence was not looked at.
  Iterated iterated(const CraigRecurrence* now) {
    return now ? Base::iterated(now->residual) : Base::iterated();
  }
  /// The recurrence after its last step, which the iterations and the residual of the outcome
  /// become those of.
  template <class Kept>
  const CraigRecurrence& last(Kept& kept) {
    space.thaw();
    const CraigRecurrence& now = space.read(kept);
    const bool unfinished = now.is(CraigEvent::nonfinite);
    out_.iterations = begun_ + static_cast<Index>(now.steps) + (unfinished ? 1 : 0);
    out_.residual = now.residual;
    return now;
  }

 private:
  Index begun_ = 0;  // iterations before this process
};

/// Memory movement per iteration, without the operator: V 3n, x 3n, U 3m: total 3m + 6n.
/// No reads between two checks where they are not free.
struct Craig {
  static constexpr std::string_view kName = "craig";
  static constexpr bool kAnyShape = true;
  using Options = CraigOptions;
  using Outcome = CraigOutcome;
  using Recurrence = CraigRecurrence;
  template <Space S>
  using Workspace = CraigWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = CraigRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, CraigWorkspace<S>& ws, const CraigOptions&, CraigOutcome&) {
    auto& space = run.space;
    auto& [frames, arena, U, q, V, t] = ws;
    const auto x = run.x;
    if (run.M) throw InvalidArgument("craig takes no preconditioner M");
    double norm_a = 0.0;
    double lost_at = INFINITY;  // the residual from which the last process led nowhere

    // β u = r = b − A x
    while (co_await run.residual(U)) {
      auto s = space.keep(run.begin(norm_a));
      bool again = true;
      while (again) {
        // V = Aᴴu − β v
        co_await run.A.apply_adjoint(U, t);
        space.advance(s, Recurrence::kV,
                      space.axpby_norm2(s[&Recurrence::by_t], t, s[&Recurrence::by_v], V));
        // An end is known here where reads are free; elsewhere what follows changes nothing then.
        if (!space.freeze_below(s[&Recurrence::running], 0.0)) {
          // x = x + ζ v,  U = A v − α u.
          space.axpby(s[&Recurrence::by_step], V, 1.0, x);
          co_await run.A.apply(V, q);
          space.advance(s, Recurrence::kU,
                        space.axpby_norm2(s[&Recurrence::by_q], q, s[&Recurrence::by_u], U));
        }
        const Recurrence* now = run.look(s);
        if (now && !now->is(CraigEvent::none)) break;
        again = co_await run.iterated(now);
      }
      const Recurrence& now = run.last(s);
      if (run.ended()) co_return;
      norm_a = now.norm_a;
      if (now.is(CraigEvent::nonfinite)) {
        run.end(Status::nonfinite);
      } else if (now.is(CraigEvent::no_solution)) {
        // A process that was led astray by rounding is begun anew, from the true residual, unless
        // the last one did not bring that down either.
        if (now.alpha == 0.0 || now.start > 0.5 * lost_at) run.end(Status::breakdown);
        lost_at = now.start;
      }
    }
  }
};

/// Solves the consistent system A x = b for the x nearest to x₀. One without a solution ends with
/// Status::breakdown or a limit, and an x that is of no use: least squares are for `lsqr`.
template <Space S, AdjointOperator<typename S::Value> Op>
CraigOutcome craig(S& space, const Op& A, VectorView<const typename S::Value> b,
                   VectorView<typename S::Value> x, CraigWorkspace<S>& ws,
                   const CraigOptions& opt = {}, const Monitor& monitor = {}) {
  return Stepper<Craig, S, Op>(space, A, b, x, ws, opt, monitor).finish();
}

}  // namespace ritz
