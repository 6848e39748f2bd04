// Conjugate gradients: A x = b for Hermitian positive definite A, minimising the A-norm of the
// error over the Krylov space of the (preconditioned) residual.
//
// Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
// 1952. Model decrease: Strakoš, Tichý: On error estimation in the conjugate gradient method and
// why it works in finite precision computations. ETNA 13, 2002. Quadratic stop: Nash, Sofer:
// Assessing a search direction within a truncated-Newton method. Oper. Res. Lett. 9, 1990.
// Radius: see boundary.hpp.
#pragma once

#include <cmath>
#include <limits>

#include "ritz/krylov/boundary.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/residual_gap.hpp"

namespace ritz {

struct CgOptions : LinearOptions {
  double radius = INFINITY;       ///< keep ‖x‖ ≤ this, in the norm of M⁻¹ with a preconditioner
  bool replace_residual = false;  ///< replace r by b − Ax when the gap between them has grown;
                                  ///< always done where x is kept in a higher precision, without
                                  ///< which it helps rarely: a restart at the end does as well
  double quadratic_rtol = 0.0;  ///< also stop when k (Q_k − Q_{k−1}) ≤ this · Q_k, Q the quadratic
                                ///< model; 0 turns it off; for the inside of Newton methods, whose
                                ///< steps need a good model value rather than a small residual

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("radius", radius);
    f("replace_residual", replace_residual);
    f("quadratic_rtol", quadratic_rtol);
  }
};

/// Vectors of length n: r, p, q, and z with a preconditioner; x is the caller's.
template <Space S>
struct CgWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index, Index n, const CgOptions&, bool preconditioned) {
    arena.begin(space, (preconditioned ? 4 : 3) * Arena<S>::padded(n));
    for (Vector* v : {&r, &p, &q}) *v = arena.vector(n);
    z = preconditioned ? arena.vector(n) : r;
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector r, p, q, z;
};

struct CgOutcome : Outcome {
  /// Q(x₀) − Q(x), Q(x) = xᴴAx/2 − Re bᴴx, summed over the iterations; NaN where reads are not
  /// free, unless an option asks for every iteration to be read.
  double model_decrease = 0.0;
  /// dᴴAd / dᴴd of the direction of negative curvature; NaN if there is none.
  double curvature = Iteration::kNone;

  template <class F>
  void visit(F f) const {
    f("model_decrease", model_decrease);
    f("curvature", curvature);
  }
};

/// Memory movement per iteration, in vectors of length n, without the operator:
///   pᴴq 2   {r −= αq, rᴴr} 3   {x += αp, p = r + βp} 5   total 10; with M: rᴴz 2, total 12
/// One read an iteration at most, and none between two checks where reads are not free.
struct Cg {
  static constexpr std::string_view kName = "cg";
  using Options = CgOptions;
  using Outcome = CgOutcome;
  template <Space S>
  using Workspace = CgWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, CgWorkspace<S>& ws, const CgOptions& opt, CgOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, r, p, q, z] = ws;
    const auto x = run.x;
    Boundary boundary(opt.radius);
    const bool bounded = static_cast<bool>(boundary);
    check_tolerance("quadratic_rtol", opt.quadratic_rtol);
    if (bounded && run.M && opt.warm_start) {
      throw InvalidArgument("radius with M cannot start from x0: its norm takes M⁻¹");
    }
    if (bounded && run.accumulate) {
      throw InvalidArgument("radius cannot be combined with x in double precision");
    }
    const bool replaces = opt.replace_residual || run.accumulate;
    // Where every iteration is read, the decrease of the model can be summed.
    const bool reads_all = S::kReadsAreFree || opt.quadratic_rtol > 0.0 || bounded || replaces;
    if (!reads_all) out.model_decrease = Iteration::kNone;
    ResidualGap gap(std::numeric_limits<RealOf<typename R::T>>::epsilon());
    double norm_a = 0.0, norm_x = 0.0;  // as last measured
    // Re ⟨x, p⟩ and ‖p‖² in the norm of the radius, by their recurrences.
    double xp = 0.0, pp = 0.0;
    bool indefinite = false;  // A is, as a direction has shown

    while (co_await run.residual(r)) {
      auto rz = space.norm2(r);
      if (run.M) {
        co_await run.M.apply(r, z);
        rz = space.real_dot(r, z);
        if (!(space.read(rz) > 0.0)) {
          run.end(std::isfinite(space.read(rz)) ? Status::indefinite_preconditioner
                                                : Status::nonfinite);
          co_return;
        }
      }
      space.copy(z, p);
      gap.reset(out.residual, norm_a, norm_x);
      // ⟨x, r⟩ = 0 as long as x is of the Krylov space of r.
      const bool elsewhere = opt.warm_start || out.iterations > 0;
      if (bounded) {
        pp = space.read(rz);
        xp = space.read(space.real_dot(x, r));
        if (!run.M) boundary.start(run.norm(space.norm2(x)));
      }

      bool again = true;
      while (again) {
        co_await run.A.apply(p, q);
        const auto pq = space.real_dot(p, q);
        if (bounded) {
          const double curvature = space.read(pq), alpha = space.read(rz) / curvature;
          const bool leaves =
              std::isfinite(curvature) && (curvature <= 0.0 || boundary.reached_by(alpha, xp, pp));
          if (leaves) {
            const double tau = boundary.share(1.0, xp, pp);
            space.axpby(tau, p, 1.0, x);
            out.residual = run.norm(space.axpy_norm2(-tau, q, r));
            out.model_decrease += tau * (space.read(rz) - tau * curvature / 2.0);
            ++out.iterations;
            if (curvature <= 0.0) note_curvature(run, ws, curvature, out);
            run.end(curvature <= 0.0 ? Status::negative_curvature : Status::boundary);
            co_return;
          }
          xp += alpha * pp;
        }
        auto rr = space.axpy_norm2(-ratio(rz, pq), q, r);  // r −= αq
        auto rz_next = rr;
        if (run.M) {
          co_await run.M.apply(r, z);
          rz_next = space.real_dot(r, z);
        }

        const auto seen = run.look(reads_all || indefinite, pq, rr, rz_next);
        double gain = 0.0, residual2 = 0.0;
        if (seen) {
          const double curvature = (*seen)[0], next = (*seen)[2];
          residual2 = (*seen)[1];
          // A space that froze some iterations ago reports no curvature any more.
          const bool frozen = !S::kReadsAreFree && residual2 <= out.target * out.target;
          if (curvature <= 0.0 && std::isfinite(curvature) && !frozen) {
            // Of a p that is gone, where the look came late: the next one like it is not missed.
            indefinite = true;
            if (const double here = space.read(pq); here <= 0.0) {
              note_curvature(run, ws, here, out);
              run.end(Status::negative_curvature);
              co_return;
            }
          }
          if (!std::isfinite(curvature) || !std::isfinite(next) || !std::isfinite(residual2)) {
            ++out.iterations;
            run.end(Status::nonfinite);
            co_return;
          }
          if (!(next > 0.0) && residual2 > 0.0) {
            ++out.iterations;
            run.end(Status::indefinite_preconditioner);
            co_return;
          }
          if (reads_all) {
            const double rz_now = space.read(rz);
            gain = rz_now * (rz_now / curvature) / 2.0;
            out.model_decrease += gain;
          }
        }

        if (replaces && out.iterations % kMeasureEvery == 0) {
          norm_a =
              std::max(norm_a, std::sqrt(space.read(space.norm2(q)) / space.read(space.norm2(p))));
          norm_x = std::sqrt(space.read(space.norm2(x)));
        }
        if (replaces && residual2 > out.target * out.target &&
            gap.grown(std::sqrt(residual2), norm_a, norm_x)) {
          space.axpby(ratio(rz, pq), p, 1.0, x);
          const double replaced = co_await run.replaced(r);
          gap.reset(replaced, norm_a, run.accumulate ? 0.0 : norm_x);
          rr = space.norm2(r);
          residual2 = replaced * replaced;
          rz_next = rr;
          if (run.M) {
            co_await run.M.apply(r, z);
            rz_next = space.real_dot(r, z);
          }
          space.axpby(1.0, z, ratio(rz_next, rz), p);
        } else {
          // x += αp, p = z + βp
          space.axpy_xpby(ratio(rz, pq), p, x, ratio(rz_next, rz), z);
        }
        space.freeze_below(rr, out.target * out.target);
        if (bounded) {
          const double b = space.read(rz_next) / space.read(rz);
          xp *= b;
          if (elsewhere) xp += space.read(space.real_dot(x, r));
          pp = space.read(rz_next) + b * b * pp;
        }
        rz = rz_next;
        const auto iterated = seen ? run.iterated(std::sqrt(residual2)) : run.iterated();
        again = co_await iterated;
        if (run.ended() && !S::kReadsAreFree) out.residual = run.norm(rr);  // not an earlier one
        if (opt.quadratic_rtol > 0.0 && out.residual > out.target &&
            static_cast<double>(out.iterations) * gain <= opt.quadratic_rtol * out.model_decrease) {
          run.end(Status::converged);
          co_return;
        }
      }
    }
  }

 private:
  // Norms for the residual gap: three passes over a vector, so 2 % of the traffic at this rate.
  static constexpr Index kMeasureEvery = 16;

  /// Keeps p as the direction to return.
  template <class R, Space S>
  static void note_curvature(R& run, const CgWorkspace<S>& ws, double curvature, CgOutcome& out) {
    out.curvature = curvature / run.space.read(run.space.norm2(ws.p));
    run.direction = ws.p;
  }
};

/// Solves A x = b for Hermitian positive definite A.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
CgOutcome cg(S& space, const Op& A, VectorView<const typename S::Value> b,
             VectorView<typename S::Value> x, CgWorkspace<S>& ws, const CgOptions& opt = {},
             const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Cg, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
