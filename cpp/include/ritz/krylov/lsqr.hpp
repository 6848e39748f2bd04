// LSQR: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by Golub-Kahan bidiagonalisation; it minimises
// the objective over the Krylov space, as conjugate gradients on the normal equations would.
//
// Paige, Saunders: LSQR: an algorithm for sparse linear equations and sparse least squares. ACM
// TOMS 8, 1982. Symbols are the paper's; U = βu, V = αv and W = αw are kept unnormalised, which
// saves a pass over each. Radius: as Steihaug's for conjugate gradients; from x = 0 the norms of
// the iterates grow.
#pragma once

#include "ritz/krylov/boundary.hpp"
#include "ritz/krylov/least_squares_run.hpp"
#include "ritz/krylov/lsqr_recurrence.hpp"

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
/// No reads between two checks where they are not free, unless there is a radius.
struct Lsqr {
  static constexpr std::string_view kName = "lsqr";
  static constexpr bool kAnyShape = true;
  using Options = LsqrOptions;
  using Outcome = LsqrOutcome;
  using Recurrence = LsqrRecurrence;
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
    Recurrence first = run.begin(Recurrence{});
    first.qr = BidiagonalQr(first.alpha, first.beta, opt.damp);
    space.axpby(1.0 / first.beta, t, 0.0, V);
    space.copy(V, W);
    auto s = space.keep(first);
    space.freeze_below(s[&Recurrence::running], 0.0);
    boundary.start(out.norm_x);

    bool again = true;
    while (again) {
      // Golub-Kahan: U = A v − α u, V = Aᴴu − β v.
      co_await run.A.apply(V, q);
      space.advance(s, Recurrence::kU,
                    space.axpby_norm2(s[&Recurrence::by_q], q, s[&Recurrence::by_u], U));
      co_await run.A.apply_adjoint(U, t);
      space.advance(s, Recurrence::kV,
                    space.axpby_norm2(s[&Recurrence::by_t], t, s[&Recurrence::by_v], V));

      if (boundary) {
        const Recurrence& now = space.read(s);
        const double xw = space.read(space.real_dot(x, W)), ww = space.read(space.norm2(W));
        if (now.running > 0.0 && boundary.reached_by(now.by_step, xw, ww)) {
          // Between the last iterate and this one, whose normal residuals are orthogonal.
          const double share = boundary.share(now.by_step, xw, ww), rest = 1.0 - share;
          space.axpby(share * now.by_step, W, 1.0, x);
          out.residual = std::hypot(now.qr.residual, rest * now.qr.phi);
          out.normal_residual =
              std::hypot(share * now.qr.normal_residual, rest * out.normal_residual);
          out.norm_x = run.norm(space.norm2(x));
          ++out.iterations;
          run.end(Status::boundary);
          co_return;
        }
      }
      // Σ |w/ρ|² is the diagonal of V (RᴴR)⁻¹ Vᴴ.
      if (opt.variance) space.add_squares(s[&Recurrence::by_square], W, variance);
      // x = x + (φ/ρ) w, w = v − (θ/ρ) w.
      space.axpy_xpby(s[&Recurrence::by_step], W, x, s[&Recurrence::by_w], V);
      if (opt.warm_start) {
        space.advance(s, Recurrence::kMeasuredX, space.norm2(x));
      } else {
        space.advance(s, Recurrence::kX);
      }
      again = co_await run.iterated(run.look(s));
      if (!again) {
        run.last(s);
        out.norm_x = run.norm(space.norm2(x));
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
LsqrOutcome lsqr(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, LsqrWorkspace<S>& ws, const LsqrOptions& opt = {},
                 const Monitor& monitor = {}) {
  return Stepper<Lsqr, S, Op>(space, A, b, x, ws, opt, monitor).finish();
}

}  // namespace ritz
