// CRAIG: min ‖x − x₀‖ subject to A x = b for any A and a b in its range, by Golub-Kahan
// bidiagonalisation; it minimises the error ‖x − x*‖ over the Krylov space of Aᴴr.
//
// Craig: The N-step iteration procedures. J. Math. Phys. 34, 1955. Paige: Bidiagonalization of
// matrices and solution of linear equations. SIAM J. Numer. Anal. 11, 1974. Saunders: Solution of
// sparse rectangular systems using LSQR and CRAIG. BIT 35, 1995, whose symbols these are; U = βu
// and V = αv are kept unnormalised, which saves a pass over each.
#pragma once

#include <limits>

#include "ritz/krylov/bidiagonal_qr.hpp"
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
struct CraigRun : LinearRun<S, Op, P> {
  CraigRun(const Problem<S, Op, P>& given, const CraigOptions& opt, Outcome& out)
      : LinearRun<S, Op, P>(given, opt, out) {
    require_adjoint(given.A);
  }
};

/// Memory movement per iteration, without the operator: V 3n, x 3n, U 3m: total 3m + 6n.
/// Two reads an iteration: the scalar recurrences live on the host.
struct Craig {
  static constexpr std::string_view kName = "craig";
  static constexpr bool kAnyShape = true;
  using Options = CraigOptions;
  using Outcome = CraigOutcome;
  template <Space S>
  using Workspace = CraigWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = CraigRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, CraigWorkspace<S>& ws, const CraigOptions&, CraigOutcome& out) {
    constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    auto& space = run.space;
    auto& [frames, arena, U, q, V, t] = ws;
    const auto x = run.x;
    if (run.M) throw InvalidArgument("craig takes no preconditioner M");
    double norm_a = 0.0;        // largest ‖Av‖ or ‖Aᴴu‖ seen
    double lost_at = INFINITY;  // the residual from which the last process led nowhere

    // β u = r = b − A x, α v = Aᴴu.
    while (co_await run.residual(U)) {
      const double start = out.residual;
      co_await run.A.apply_adjoint(U, t);
      double beta = start, alpha = run.norm(space.axpby_norm2(1.0 / beta, t, 0.0, V));
      double zeta = -1.0;
      BidiagonalQr qr(alpha, beta, 0.0);
      bool again = true;
      while (again) {
        if (!std::isfinite(alpha)) {
          ++out.iterations;
          run.end(Status::nonfinite);
          co_return;
        }
        // Where least squares over the same space, LSQR, would end with a residual, there is no
        // solution to be found; nor where r has grown beyond ‖A‖ ‖x*‖ for any x* that the precision
        // can tell. A process that was led astray by rounding is begun anew, from the true
        // residual, unless the last one did not bring that down either.
        if (!(qr.normal_residual > kEps * norm_a * qr.residual) || kEps * out.residual > start) {
          if (alpha == 0.0 || start > 0.5 * lost_at) {
            run.end(Status::breakdown);
            co_return;
          }
          lost_at = start;
          break;
        }
        // x = x + ζ v
        zeta *= -beta / alpha;
        space.axpby(zeta / alpha, V, 1.0, x);
        // U = A v − α u, V = Aᴴu − β v, and r = −β ζ u.
        co_await run.A.apply(V, q);
        const double beta_next = run.norm(space.axpby_norm2(1.0 / alpha, q, -alpha / beta, U));
        norm_a = std::max({norm_a, alpha, std::hypot(alpha, beta_next)});
        beta = beta_next;
        again = co_await run.iterated(beta * std::abs(zeta));
        if (again) {
          co_await run.A.apply_adjoint(U, t);
          const double alpha_next = run.norm(space.axpby_norm2(1.0 / beta, t, -beta / alpha, V));
          norm_a = std::max(norm_a, std::hypot(alpha_next, beta));
          qr.next(alpha_next, beta);
          alpha = alpha_next;
        }
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
