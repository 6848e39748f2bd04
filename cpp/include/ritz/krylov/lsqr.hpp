// LSQR: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by Golub-Kahan bidiagonalisation; it minimises
// the objective over the Krylov space, as conjugate gradients on the normal equations would.
//
// Paige, Saunders: LSQR: an algorithm for sparse linear equations and sparse least squares. ACM
// TOMS 8, 1982. Symbols are the paper's; U = βu, V = αv and W = αw are kept unnormalised, which
// saves a pass over each. Radius: as Steihaug's for conjugate gradients; from x = 0 the norms of
// the iterates grow.
#pragma once

#include "ritz/krylov/bidiagonal_qr.hpp"
#include "ritz/krylov/boundary.hpp"
#include "ritz/krylov/least_squares_run.hpp"

namespace ritz {

struct LsqrOptions : LeastSquaresOptions {
  double radius = INFINITY;  ///< keep ‖x‖ ≤ this: for the inside of trust-region methods
  bool variance = false;     ///< estimate the diagonal of (AᴴA + damp² I)⁻¹: one vector

  template <class F>
  void visit(F f) {
    LeastSquaresOptions::visit(f);
    f("radius", radius);
    f("variance", variance);
  }
};
using LsqrOutcome = LeastSquaresOutcome;

/// Vectors: U and q of length m; V, t, W of length n, x₀ for a damped warm start, and the variance.
template <Space S>
struct LsqrWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n, const LsqrOptions& opt, bool) {
    const Index count = 3 + (opt.keeps_x0() ? 1 : 0) + (opt.variance ? 1 : 0);
    arena.begin(space, 2 * Arena<S>::padded(m) + count * Arena<S>::padded(n));
    for (Vector* v : {&U, &q}) *v = arena.vector(m);
    for (Vector* v : {&V, &t, &W}) *v = arena.vector(n);
    if (opt.keeps_x0()) x0 = arena.vector(n);
    if (opt.variance) variance = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector U, q, V, t, W, x0, variance;
};

/// Memory movement per iteration, without the operator: U 3m, V 3n, {x, W} 5n: total 3m + 8n; one n
/// more from a warm start, which needs ‖x‖, three with a radius or the variance.
/// Two reads an iteration: the scalar recurrences live on the host.
struct Lsqr {
  static constexpr std::string_view kName = "lsqr";
  static constexpr bool kAnyShape = true;
  using Options = LsqrOptions;
  using Outcome = LsqrOutcome;
  template <Space S>
  using Workspace = LsqrWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LeastSquaresRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, LsqrWorkspace<S>& ws, const LsqrOptions& opt, LsqrOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, U, q, V, t, W, x0, variance] = ws;
    const auto x = run.x;
    Boundary boundary(opt.radius);
    if (run.M) throw InvalidArgument("lsqr takes no M: give it the operator A M, and x = M y");

    if (opt.variance) {
      space.fill(0.0, variance);
      run.direction = variance;
    }

    // β u = b − A x₀, α v = Aᴴu, w = v.
    if (!co_await run.start(U, t, x0)) co_return;
    double beta = out.residual, alpha = out.normal_residual / beta;
    space.axpby(1.0 / beta, t, 0.0, V);
    space.copy(V, W);
    BidiagonalQr qr(alpha, beta, opt.damp);
    boundary.start(out.norm_x);

    bool again = true;
    while (again) {
      // Golub-Kahan: U = A v − α u, V = Aᴴu − β v.
      co_await run.A.apply(V, q);
      const double beta_next = run.norm(space.axpby_norm2(1.0 / alpha, q, -alpha / beta, U));
      double alpha_next = 0.0;
      if (beta_next > 0.0) {
        co_await run.A.apply_adjoint(U, t);
        alpha_next = run.norm(space.axpby_norm2(1.0 / beta_next, t, -beta_next / alpha, V));
      }
      if (!std::isfinite(beta_next) || !std::isfinite(alpha_next)) {
        ++out.iterations;
        run.end(Status::nonfinite);
        co_return;
      }
      // ‖Av‖ and ‖Aᴴu‖: see lsmr.hpp for why not the norm of B.
      out.norm_a =
          std::max({out.norm_a, std::hypot(alpha, beta_next), std::hypot(alpha_next, beta_next)});
      qr.next(alpha_next, beta_next);

      const double step = qr.phi / (qr.rho * alpha);
      if (boundary) {
        const double xw = space.read(space.real_dot(x, W)), ww = space.read(space.norm2(W));
        if (boundary.reached_by(step, xw, ww)) {
          // Between the last iterate and this one, whose normal residuals are orthogonal.
          const double share = boundary.share(step, xw, ww);
          space.axpby(share * step, W, 1.0, x);
          out.residual = std::hypot(qr.residual, (1.0 - share) * qr.phi);
          out.normal_residual =
              std::hypot(share * qr.normal_residual, (1.0 - share) * out.normal_residual);
          out.norm_x = run.norm(space.norm2(x));
          ++out.iterations;
          run.end(Status::boundary);
          co_return;
        }
      }
      // Σ |w/ρ|² is the diagonal of V (RᴴR)⁻¹ Vᴴ.
      if (opt.variance) space.add_squares(1.0 / (qr.rho * alpha) / (qr.rho * alpha), W, variance);
      // x = x + (φ/ρ) w, w = v − (θ/ρ) w.
      space.axpy_xpby(step, W, x, -qr.theta / qr.rho * (alpha_next / alpha), V);
      beta = beta_next;
      alpha = alpha_next;

      out.residual = qr.residual;
      out.normal_residual = qr.normal_residual;
      out.cond_a = qr.lq.condition;
      out.norm_x = boundary         ? boundary.norm()
                   : opt.warm_start ? run.norm(space.norm2(x))
                                    : qr.lq.norm;
      // α or β = 0 ends the process.
      again = co_await run.iterated(!(alpha > 0.0 && beta > 0.0));
      if (!again) {
        out.norm_x = run.norm(space.norm2(x));
        again = co_await run.unverified(q, t);
      }
    }
  }
};

/// Solves the (damped) least-squares problem.
template <Space S, AdjointOperator<typename S::Value> Op>
LsqrOutcome lsqr(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, LsqrWorkspace<S>& ws, const LsqrOptions& opt = {},
                 const Monitor& monitor = {}) {
  return Stepper<Lsqr, S, Op>(space, A, b, x, ws, opt, monitor).finish();
}

}  // namespace ritz
