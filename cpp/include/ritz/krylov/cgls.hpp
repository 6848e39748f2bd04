// CGLS: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by conjugate gradients on the normal equations
// without forming AᴴA; the same iterates as LSQR, and room for a preconditioner.
//
// Björck, Elfving, Strakoš: Stability of conjugate gradient and Lanczos methods for linear least
// squares problems. SIAM J. Matrix Anal. Appl. 19, 1998: r is kept, and s = Aᴴr − damp² (x − x₀)
// formed from it, which is what the attainable accuracy hangs on. Radius: see boundary.hpp.
#pragma once

#include <limits>

#include "ritz/krylov/bidiagonal_qr.hpp"
#include "ritz/krylov/boundary.hpp"
#include "ritz/krylov/least_squares_run.hpp"

namespace ritz {

struct CglsOptions : LeastSquaresOptions {
  double radius = INFINITY;  ///< keep ‖x‖ ≤ this, in the norm of M⁻¹ with a preconditioner

  template <class F>
  void visit(F f) {
    LeastSquaresOptions::visit(f);
    f("radius", radius);
  }
};
using CglsOutcome = LeastSquaresOutcome;

/// Vectors: r and q of length m; s, p of length n, z with a preconditioner, and x₀ for a damped
/// warm start.
template <Space S>
struct CglsWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n, const CglsOptions& opt, bool preconditioned) {
    const Index count = 2 + (preconditioned ? 1 : 0) + (opt.keeps_x0() ? 1 : 0);
    arena.begin(space, 2 * Arena<S>::padded(m) + count * Arena<S>::padded(n));
    for (Vector* v : {&r, &q}) *v = arena.vector(m);
    for (Vector* v : {&s, &p}) *v = arena.vector(n);
    z = preconditioned ? arena.vector(n) : s;
    if (opt.keeps_x0()) x0 = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector r, q, s, p, z, x0;
};

/// Memory movement per iteration, without the operator: ‖q‖² m, r 3m, ‖s‖² n, x 3n, p 3n: total
/// 4m + 7n; ‖p‖² n and sᴴz 2n more with M, ‖p‖² n, Re xᴴp 2n and s 2n with damping.
/// Four reads an iteration: the stopping tests take norms of r, s and x.
struct Cgls {
  static constexpr std::string_view kName = "cgls";
  static constexpr bool kAnyShape = true;
  using Options = CglsOptions;
  using Outcome = CglsOutcome;
  template <Space S>
  using Workspace = CglsWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LeastSquaresRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, CglsWorkspace<S>& ws, const CglsOptions& opt, CglsOutcome& out) {
    constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    auto& space = run.space;
    auto& [frames, arena, r, q, s, p, z, x0] = ws;
    const auto x = run.x;
    const bool preconditioned = static_cast<bool>(run.M);
    const double damp2 = opt.damp * opt.damp;
    const bool damped = opt.damp > 0.0;
    Boundary boundary(opt.radius);
    if (boundary && preconditioned && opt.warm_start) {
      throw InvalidArgument("radius with M cannot start from x0: its norm takes M⁻¹");
    }

    // r = b − A x, s = Aᴴr − damp² (x − x₀).
    if (!co_await run.start(r, s, x0)) co_return;
    boundary.start(out.norm_x);
    double moved2 = 0.0;  // ‖x − x₀‖²

    // Each pass of this loop starts the recurrence from residuals that were evaluated.
    bool again = true;
    while (again) {
      double gamma = out.normal_residual * out.normal_residual;
      if (preconditioned) {
        co_await run.M.apply(s, z);
        gamma = space.read(space.real_dot(s, z));
        if (!(gamma > 0.0)) {
          run.end(std::isfinite(gamma) ? Status::indefinite_preconditioner : Status::nonfinite);
          co_return;
        }
      }
      space.copy(z, p);
      // Re xᴴp and ‖p‖² in the norm of M⁻¹.
      double xp = boundary ? space.read(space.real_dot(x, s)) : 0.0, pp = gamma;
      BidiagonalLq lq;

      bool going = true;
      while (going) {
        co_await run.A.apply(p, q);
        const double qq = space.read(space.norm2(q));
        const double p2 = preconditioned || damped ? space.read(space.norm2(p)) : pp;
        const double delta = qq + damp2 * p2;
        if (!(delta > 0.0) || !std::isfinite(delta)) {
          // A p = 0 for a p in the range of Aᴴ: what is called the adjoint is not.
          ++out.iterations;
          run.end(std::isfinite(delta) ? Status::breakdown : Status::nonfinite);
          co_return;
        }
        out.norm_a = std::max(out.norm_a, std::sqrt(qq / p2));
        double alpha = gamma / delta;
        const bool leaves = boundary && boundary.reached_by(alpha, xp, pp);
        if (leaves) alpha *= boundary.share(alpha, xp, pp);

        if (damped) {
          double dp = space.read(space.real_dot(x, p));
          if (opt.keeps_x0()) dp -= space.read(space.real_dot(x0, p));
          moved2 += alpha * (2.0 * dp + alpha * p2);
        }
        out.norm_x = run.norm(space.axpy_norm2(alpha, p, x));
        const double rr = space.read(space.axpy_norm2(-alpha, q, r));
        co_await run.A.apply_adjoint(r, s);
        if (damped) space.axpby(-damp2, x, 1.0, s);
        if (opt.keeps_x0()) space.axpby(damp2, x0, 1.0, s);
        const double ss = space.read(space.norm2(s));
        out.residual = std::sqrt(rr + damp2 * std::max(moved2, 0.0));
        out.normal_residual = std::sqrt(ss);
        if (leaves) {
          ++out.iterations;
          run.end(std::isfinite(ss) ? Status::boundary : Status::nonfinite);
          co_return;
        }

        double gamma_next = ss;
        if (preconditioned && ss > 0.0) {
          co_await run.M.apply(s, z);
          gamma_next = space.read(space.real_dot(s, z));
          if (!(gamma_next > 0.0)) {
            ++out.iterations;
            run.end(std::isfinite(gamma_next) ? Status::indefinite_preconditioner
                                              : Status::nonfinite);
            co_return;
          }
        }
        const double beta = gamma_next / gamma;
        space.axpby(1.0, z, beta, p);
        if (boundary) xp = space.read(space.real_dot(x, s)) + beta * (xp + alpha * pp);
        pp = gamma_next + beta * beta * pp;
        gamma = gamma_next;
        // α and β are the bidiagonal R of LSQR.
        const double rho = 1.0 / std::sqrt(alpha);
        lq.next(rho, rho * std::sqrt(beta), 0.0);
        out.cond_a = lq.condition;
        going = co_await run.iterated();
        // An s that is nothing but the rounding of r would lead p into the null space of A, and x
        // away in steps of α ≈ (eps ‖A‖)⁻²: look at the truth instead.
        if (out.normal_residual <= kEps * out.norm_a * out.residual) going = false;
      }
      again = co_await run.unverified(r, s);
    }
  }
};

/// Solves the (damped) least-squares problem; M approximates (AᴴA + damp² I)⁻¹.
template <Space S, AdjointOperator<typename S::Value> Op, class P = NoPreconditioner>
CglsOutcome cgls(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, CglsWorkspace<S>& ws, const CglsOptions& opt = {},
                 const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Cgls, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
