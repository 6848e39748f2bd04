// CGLS: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by conjugate gradients on the normal equations
// without forming AᴴA; the same iterates as LSQR, and room for a preconditioner.
//
// Björck, Elfving, Strakoš: Stability of conjugate gradient and Lanczos methods for linear least
// squares problems. SIAM J. Matrix Anal. Appl. 19, 1998: r is kept, and s = Aᴴr − damp² (x − x₀)
// formed from it, which is what the attainable accuracy hangs on. Radius: see boundary.hpp.
#pragma once

#include <limits>

#include "ritz/krylov/boundary.hpp"
#include "ritz/krylov/cgls_recurrence.hpp"
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
/// No reads between two checks where they are not free, unless there is a radius.
struct Cgls {
  static constexpr std::string_view kName = "cgls";
  static constexpr bool kAnyShape = true;
  using Options = CglsOptions;
  using Outcome = CglsOutcome;
  using Recurrence = CglsRecurrence;
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
    const auto subtract_damping = [&] {
      if (damped) space.axpby(-damp2, x, 1.0, s);
      if (opt.keeps_x0()) space.axpby(damp2, x0, 1.0, s);
    };
    Recurrence first;
    first.damp2 = damp2;
    first.epsilon = kEps;

    // Each pass of this loop starts the recurrence from residuals that were evaluated.
    bool again = true;
    while (again) {
      first.gamma = out.normal_residual * out.normal_residual;
      if (preconditioned) {
        co_await run.M.apply(s, z);
        first.gamma = space.read(space.real_dot(s, z));
        if (!(first.gamma > 0.0)) {
          run.end(std::isfinite(first.gamma) ? Status::indefinite_preconditioner
                                             : Status::nonfinite);
          co_return;
        }
      }
      first.pp = first.gamma;
      auto scalars = space.keep(run.begin(first));
      space.copy(z, p);
      double xp = boundary ? space.read(space.real_dot(x, s)) : 0.0;  // Re xᴴp in the norm of M⁻¹

      bool going = true;
      while (going) {
        co_await run.A.apply(p, q);
        const auto qq = space.norm2(q);
        if (preconditioned || damped) {
          space.advance(scalars, Recurrence::kQAndP, qq, space.norm2(p));
        } else {
          space.advance(scalars, Recurrence::kQ, qq);
        }
        // An end is known here where reads are free; elsewhere what follows changes nothing then.
        if (!space.freeze_below(scalars[&Recurrence::running], 0.0)) {
          bool leaves = false;
          if (boundary) {
            Recurrence now = space.read(scalars);
            leaves = now.running > 0.0 && boundary.reached_by(now.alpha, xp, now.pp);
            if (leaves) {
              now.shorten(boundary.share(now.alpha, xp, now.pp));
              space.assign(scalars, now);
            }
            xp += now.alpha * now.pp;
          }

          if (opt.keeps_x0()) {
            const auto along = space.real_dot(x, p);
            space.advance(scalars, Recurrence::kMoved, along, space.real_dot(x0, p));
          } else if (damped) {
            space.advance(scalars, Recurrence::kMoved, space.real_dot(x, p));
          }
          const auto xx = space.axpy_norm2(scalars[&Recurrence::alpha], p, x);
          const auto rr = space.axpy_norm2(scalars[&Recurrence::by_q], q, r);
          co_await run.A.apply_adjoint(r, s);
          subtract_damping();
          const bool gamma_to_come = preconditioned || leaves;
          space.advance(scalars,
                        gamma_to_come ? Recurrence::kNumbers : Recurrence::kNumbersAndGamma, xx, rr,
                        space.norm2(s));
          if (leaves) {
            const Index iterations = out.iterations + 1;
            run.last(scalars);
            out.iterations = iterations;
            run.end(std::isfinite(out.normal_residual) ? Status::boundary : Status::nonfinite);
            co_return;
          }
          if (preconditioned && !space.freeze_below(scalars[&Recurrence::running], 0.0)) {
            co_await run.M.apply(s, z);
            space.advance(scalars, Recurrence::kGamma, space.real_dot(s, z));
          }
          space.axpby(1.0, z, scalars[&Recurrence::beta], p);
          if (boundary) xp = space.read(space.real_dot(x, s)) + space.read(scalars).beta * xp;
        }
        const Recurrence* now = run.look(scalars);
        going = co_await run.iterated(now);
        if (now && !(now->running > 0.0)) going = false;
      }
      first.moved2 = run.last(scalars).moved2;
      again = co_await run.unverified(r, s);
      if (again && damped && !opt.verify && !S::kReadsAreFree) {
        // Iterations behind the host's back have left Aᴴr in s.
        co_await run.A.apply_adjoint(r, s);
        subtract_damping();
      }
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
