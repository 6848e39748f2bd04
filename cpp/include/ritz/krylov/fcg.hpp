// Flexible conjugate gradients: A x = b for Hermitian positive definite A and a preconditioner that
// may change from call to call, such as an iteration of its own: each direction is made
// A-orthogonal to the last few explicitly.
//
// Golub, Ye: Inexact preconditioned conjugate gradient method with inner-outer iteration. SIAM J.
// Sci. Comput. 21, 1999 (one direction: the β of Polak and Ribière); Notay: Flexible conjugate
// gradients. SIAM J. Sci. Comput. 22, 2000 (several).
#pragma once

#include <vector>

#include "ritz/krylov/linear_run.hpp"

namespace ritz {

struct FcgOptions : LinearOptions {
  Index memory = 1;  ///< directions to be orthogonal to: one is enough for most, and costs no more
                     ///< memory than CG

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("memory", memory);
  }
};

struct FcgOutcome : Outcome {
  /// dᴴAd / dᴴd of the direction of negative curvature; NaN if there is none.
  double curvature = Iteration::kNone;

  template <class F>
  void visit(F f) const {
    f("curvature", curvature);
  }
};

/// Vectors of length n: r, `memory` directions p and their products q, and z with a preconditioner;
/// on the host, the numbers pᴴq.
template <Space S>
struct FcgWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index, Index n, const FcgOptions& opt, bool preconditioned) {
    if (opt.memory < 1) throw InvalidArgument("memory must be at least 1");
    arena.begin(space, (2 * opt.memory + (preconditioned ? 2 : 1)) * Arena<S>::padded(n));
    P = arena.block(n, opt.memory);
    Q = arena.block(n, opt.memory);
    r = arena.vector(n);
    z = preconditioned ? arena.vector(n) : r;
    pq.assign(static_cast<std::size_t>(opt.memory), 0.0);
  }
  std::size_t bytes() const { return arena.bytes() + pq.capacity() * sizeof(double); }

  FrameStack frames;
  Arena<S> arena;
  BlockView<T> P, Q;
  VectorView<T> r, z;
  std::vector<double> pq;
};

/// Memory movement per iteration, in vectors of length n, without the operator:
///   qᴴz 2   p = z − βp 3   pᴴq 2   pᴴr 2   x += αp 3   {r −= αq, ‖r‖} 3   total 15, and 5 for each
///   further direction
/// Three reads an iteration, and one for each direction.
struct Fcg {
  static constexpr std::string_view kName = "fcg";
  using Options = FcgOptions;
  using Outcome = FcgOutcome;
  template <Space S>
  using Workspace = FcgWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, FcgWorkspace<S>& ws, const FcgOptions& opt, FcgOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, P, Q, r, z, pq] = ws;
    const auto x = run.x;

    while (co_await run.residual(r)) {
      Index made = 0;
      bool again = true;
      while (again) {
        if (run.M) co_await run.M.apply(r, z);
        // p = z − Σ (q_jᴴz / p_jᴴq_j) p_j over the directions kept; the new one replaces the
        // oldest.
        const Index now = made % opt.memory, kept = std::min(made, opt.memory);
        const auto p = P.column(now), q = Q.column(now);
        const auto overlap = [&](Index j) {
          return space.read(space.dot(Q.column(j), z)) / pq[static_cast<std::size_t>(j)];
        };
        if (kept == opt.memory) {
          space.axpby(1.0, z, -overlap(now), p);
        } else {
          space.copy(z, p);
        }
        for (Index j = 0; j < kept; ++j) {
          if (j != now) space.axpby(-overlap(j), P.column(j), 1.0, p);
        }
        ++made;

        co_await run.A.apply(p, q);
        const double curvature = space.read(space.real_dot(p, q));
        const auto pr = space.read(space.dot(p, r));
        const bool finite = std::isfinite(curvature) && std::isfinite(std::abs(pr));
        if (!finite) {
          ++out.iterations;
          run.end(Status::nonfinite);
          co_return;
        }
        if (curvature <= 0.0) {
          out.curvature = curvature / space.read(space.norm2(p));
          run.direction = p;
          run.end(Status::negative_curvature);
          co_return;
        }
        if (!(std::real(pr) > 0.0)) {  // pᴴr = zᴴr: r is orthogonal to the directions kept
          run.end(Status::indefinite_preconditioner);
          co_return;
        }
        pq[static_cast<std::size_t>(now)] = curvature;
        const auto alpha = pr / curvature;
        space.axpby(alpha, p, 1.0, x);
        const double residual = run.norm(space.axpy_norm2(-alpha, q, r));
        again = co_await run.iterated(residual);
      }
    }
  }
};

/// Solves A x = b for Hermitian positive definite A.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
FcgOutcome fcg(S& space, const Op& A, VectorView<const typename S::Value> b,
               VectorView<typename S::Value> x, FcgWorkspace<S>& ws, const FcgOptions& opt = {},
               const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Fcg, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
