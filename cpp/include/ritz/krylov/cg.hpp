// Conjugate gradients: A x = b for Hermitian positive definite A, minimising the A-norm of the
// error over the Krylov space of the (preconditioned) residual.
//
// Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
// 1952. Model decrease: Strakoš, Tichý: On error estimation in the conjugate gradient method and
// why it works in finite precision computations. ETNA 13, 2002. Quadratic stop: Nash, Sofer:
// Assessing a search direction within a truncated-Newton method. Oper. Res. Lett. 9, 1990.
#pragma once

#include <cmath>

#include "ritz/core/arena.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/op/counted.hpp"

namespace ritz {

struct CgOptions {
  double rtol = 1e-5;           ///< stop at ‖b − Ax‖ ≤ max(rtol ‖b‖, atol): SciPy's default
  double atol = 0.0;            ///< 0: an absolute threshold would depend on the units of b
  Index max_iterations = 0;     ///< 0 means 10 n, as SciPy: finite, yet past any useful run
  bool warm_start = false;      ///< x holds a first guess; false saves the product with it
  bool verify = true;           ///< evaluate b − Ax before claiming convergence: one product
  double quadratic_rtol = 0.0;  ///< also stop when k (Q_k − Q_{k−1}) ≤ this · Q_k, Q the quadratic
                                ///< model; 0 turns it off; for the inside of Newton methods, whose
                                ///< steps need a good model value rather than a small residual
};

/// Stands for M = I and costs nothing.
struct NoPreconditioner {};

/// Vectors of length n: r, p, q, and z with a preconditioner; x is the caller's.
template <Space S>
struct CgWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index n, bool preconditioned) {
    arena.begin(space, (preconditioned ? 4 : 3) * Arena<S>::padded(n));
    for (Vector* v : {&r, &p, &q}) *v = arena.vector(n);
    z = preconditioned ? arena.vector(n) : r;
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  Vector r, p, q, z;
};

struct CgOutcome : Outcome {
  /// Q(x₀) − Q(x), Q(x) = xᴴAx/2 − Re bᴴx, summed over the iterations; NaN where reads are not
  /// free, unless quadratic_rtol asks for every iteration to be read.
  double model_decrease = 0.0;
};

/// Solves A x = b. Memory movement per iteration, in vectors of length n, without the operator:
///   pᴴq 2   {r −= αq, rᴴr} 3   {x += αp, p = r + βp} 5   total 10; with M: rᴴz 2, total 12
/// One read an iteration at most, and none between two checks where reads are not free.
template <Space S, LinearOperator<typename S::Value> A, class M = NoPreconditioner>
CgOutcome cg(S& space, const A& op, VectorView<const typename S::Value> b,
             VectorView<typename S::Value> x, CgWorkspace<S>& ws, const CgOptions& opt = {},
             const Monitor& monitor = {}, const M& preconditioner = {}) {
  constexpr bool kPreconditioned = !std::same_as<M, NoPreconditioner>;
  if (op.rows() != op.cols())
    throw InvalidArgument("A must be square: cg solves Hermitian systems");
  check_size("b", b.size, op.rows());
  check_size("x", x.size, op.cols());
  if constexpr (kPreconditioned) {
    if (preconditioner.rows() != x.size || preconditioner.cols() != x.size) {
      throw InvalidArgument("M has shape (" + std::to_string(preconditioner.rows()) + ", " +
                            std::to_string(preconditioner.cols()) + "); it must be that of A, " +
                            std::to_string(x.size) + " square");
    }
  }
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);
  check_tolerance("quadratic_rtol", opt.quadratic_rtol);

  const Clock clock;
  const Index n = x.size;
  const Index limit = opt.max_iterations > 0 ? opt.max_iterations : 10 * n;
  ws.prepare(space, n, kPreconditioned);
  auto& [arena, r, p, q, z] = ws;
  Counted A_(op);
  Counted M_(preconditioner);
  CgOutcome out;
  // Where every iteration is read, the decrease of the model can be summed.
  const bool sums_model = S::kReadsAreFree || opt.quadratic_rtol > 0.0;
  if (!sums_model) out.model_decrease = Iteration::kNone;

  // Thaws on the way out, by an exception of the operator or the observer too.
  struct Thaw {
    S& space;
    ~Thaw() { space.thaw(); }
  } const thaw_at_exit{space};
  const auto finish = [&](Status status, Index iterations) {
    out.status = status;
    out.iterations = iterations;
    out.products = A_.counts;
    out.preconditioner = M_.counts.apply;
    out.seconds = clock.seconds();
    return out;
  };
  // z = M r and rᴴz; without M, z is r itself and rᴴr is passed through.
  const auto precondition = [&](auto rr) {
    if constexpr (kPreconditioned) {
      M_.apply(r, z);
      return space.real_dot(r, z);
    } else {
      return rr;
    }
  };
  // q = b − A x, its norm; p is not touched.
  const auto true_residual = [&] {
    A_.apply(x, q);
    return std::sqrt(space.read(space.axpby_norm2(1.0, b, -1.0, q)));
  };

  const double bb = right_hand_side_norm2(space, b, opt.rtol, r);
  if (!opt.warm_start) space.fill(0.0, x);
  out.target = std::max(opt.rtol * std::sqrt(bb), opt.atol);
  if (bb == 0.0) {  // x = 0 solves it exactly
    space.fill(0.0, x);
    out.residual = 0.0;
    out.verified = true;
    return finish(Status::converged, 0);
  }
  if (!std::isfinite(bb)) return finish(Status::nonfinite, 0);

  if (opt.warm_start) {
    out.residual = true_residual();
    space.copy(q, r);
  } else {
    space.copy(b, r);
    out.residual = std::sqrt(bb);
  }
  if (!std::isfinite(out.residual)) return finish(Status::nonfinite, 0);
  if (out.residual <= out.target) {
    out.verified = true;
    return finish(Status::converged, 0);
  }
  auto rz = precondition(space.norm2(r));
  if (kPreconditioned && !(space.read(rz) > 0.0)) {
    return finish(
        std::isfinite(space.read(rz)) ? Status::indefinite_preconditioner : Status::nonfinite, 0);
  }
  space.copy(z, p);
  double checked = INFINITY;  // the true residual at the last check that failed

  for (Index k = 0; k < limit; ++k) {
    A_.apply(p, q);
    const auto pq = space.real_dot(p, q);
    const auto rr = space.axpy_norm2(-ratio(rz, pq), q, r);  // r −= αq
    const auto rz_next = precondition(rr);

    const bool due = monitor.due<S>(k) || k + 1 == limit || opt.quadratic_rtol > 0.0;
    double gain = 0.0;
    if (due) {
      const double curvature = space.read(pq);
      const double residual2 = space.read(rr);
      if (!std::isfinite(curvature)) return finish(Status::nonfinite, k + 1);
      // A space that froze some iterations ago reports no curvature any more.
      const bool frozen = !S::kReadsAreFree && residual2 <= out.target * out.target;
      if (curvature <= 0.0 && !frozen) return finish(Status::negative_curvature, k);
      if (!std::isfinite(residual2)) return finish(Status::nonfinite, k + 1);
      if (kPreconditioned && !(space.read(rz_next) > 0.0) && residual2 > 0.0) {
        return finish(std::isfinite(space.read(rz_next)) ? Status::indefinite_preconditioner
                                                         : Status::nonfinite,
                      k + 1);
      }
      out.residual = std::sqrt(residual2);
      if (sums_model) {
        const double rz_now = space.read(rz);
        gain = rz_now * (rz_now / curvature) / 2.0;
        out.model_decrease += gain;
      }
    }

    space.axpy_xpby(ratio(rz, pq), p, x, ratio(rz_next, rz), z);  // x += αp, p = z + βp
    space.freeze_below(rr, out.target * out.target);
    rz = rz_next;
    if (!due) continue;

    Iteration now;
    now.iteration = k + 1;
    now.products = A_.counts;
    now.residual = out.residual;
    now.x = x.data;
    now.size = n;
    now.clock = &clock;
    const auto stop = monitor.check(now);

    if (out.residual <= out.target) {
      if (!opt.verify) return finish(Status::converged, k + 1);
      space.thaw();
      out.residual = true_residual();
      out.verified = true;
      if (!std::isfinite(out.residual)) return finish(Status::nonfinite, k + 1);
      if (out.residual <= out.target) return finish(Status::converged, k + 1);
      // The recurrence has drifted from the truth. Start again from the true residual, unless the
      // last restart already failed to halve it.
      if (out.residual > 0.5 * checked) return finish(Status::precision_limit, k + 1);
      checked = out.residual;
      space.copy(q, r);
      rz = precondition(space.norm2(r));
      space.copy(z, p);
      out.verified = false;
    }
    if (opt.quadratic_rtol > 0.0 &&
        static_cast<double>(k + 1) * gain <= opt.quadratic_rtol * out.model_decrease) {
      return finish(Status::converged, k + 1);
    }
    if (stop) return finish(*stop, k + 1);
  }
  return finish(Status::max_iterations, limit);
}

}  // namespace ritz
