// Flexible conjugate gradients: A x = b for Hermitian positive definite A and a preconditioner that
// may change from call to call, such as an iteration of its own: each direction is made
// A-orthogonal to the last few explicitly.
//
// Golub, Ye: Inexact preconditioned conjugate gradient method with inner-outer iteration. SIAM J.
// Sci. Comput. 21, 1999 (one direction: the β of Polak and Ribière); Notay: Flexible conjugate
// gradients. SIAM J. Sci. Comput. 22, 2000 (several).
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "ritz/krylov/fcg_recurrence.hpp"
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
/// the numbers pᴴq.
template <Space S>
struct FcgWorkspace {
  using T = typename S::Value;
  using Direction = decltype(std::declval<S&>().keep(FcgDirection{}));

  void prepare(S& space, Index, Index n, const FcgOptions& opt, bool preconditioned) {
    if (opt.memory < 1) throw InvalidArgument("memory must be at least 1");
    directions.clear();
    arena.begin(space, (2 * opt.memory + (preconditioned ? 2 : 1)) * Arena<S>::padded(n));
    P = arena.block(n, opt.memory);
    Q = arena.block(n, opt.memory);
    r = arena.vector(n);
    z = preconditioned ? arena.vector(n) : r;
    directions.reserve(static_cast<std::size_t>(opt.memory));
    for (Index j = 0; j < opt.memory; ++j) directions.push_back(space.keep(FcgDirection{}));
  }
  std::size_t bytes() const { return arena.bytes() + directions.capacity() * sizeof(Direction); }

  FrameStack frames;
  Arena<S> arena;
  BlockView<T> P, Q;
  VectorView<T> r, z;
  std::vector<Direction> directions;  // after the arena, whose memory holds the device
};

/// Memory movement per iteration, in vectors of length n, without the operator:
///   qᴴz 2   p = z − βp 3   pᴴq 2   pᴴr 2   x += αp 3   {r −= αq, ‖r‖} 3   total 15, and 5 for each
///   further direction
/// No reads between two checks where they are not free.
struct Fcg {
  static constexpr std::string_view kName = "fcg";
  using Options = FcgOptions;
  using Outcome = FcgOutcome;
  using Recurrence = FcgRecurrence;
  template <Space S>
  using Workspace = FcgWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, FcgWorkspace<S>& ws, const FcgOptions& opt, FcgOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, P, Q, r, z, directions] = ws;
    const auto x = run.x;
    const auto direction = [&directions = directions](Index j) -> auto& {
      return directions[static_cast<std::size_t>(j)];
    };

    while (co_await run.residual(r)) {
      Recurrence start;
      run.begin(start);
      auto s = space.keep(start);
      space.freeze_below(s[&Recurrence::running], 0.0);

      Index made = 0;
      bool again = true;
      while (again) {
        if (run.M) co_await run.M.apply(r, z);
        // p = z − Σ (q_jᴴz / p_jᴴq_j) p_j over the directions kept; the new one replaces the
        // oldest.
        const Index column = made % opt.memory, kept = std::min(made, opt.memory);
        const auto p = P.column(column), q = Q.column(column);
        const auto overlap = [&](Index j) {
          return ratio(space.dot(Q.column(j), z), direction(j)[&FcgDirection::pq]);
        };
        if (kept == opt.memory) {
          space.axpby(1.0, z, -overlap(column), p);
        } else {
          space.copy(z, p);
        }
        for (Index j = 0; j < kept; ++j) {
          if (j != column) space.axpby(-overlap(j), P.column(j), 1.0, p);
        }
        ++made;

        co_await run.A.apply(p, q);
        const auto pq = space.real_dot(p, q);
        space.advance(direction(column), 0, pq);
        space.advance(s, Recurrence::kStep, pq, space.dot(p, r));
        // An end is known here where reads are free; elsewhere what follows changes nothing then.
        if (!space.freeze_below(s[&Recurrence::running], 0.0)) {
          space.axpby(s[&Recurrence::alpha], p, 1.0, x);
          space.advance(s, Recurrence::kResidual, space.axpy_norm2(s[&Recurrence::by_q], q, r));
        }
        const Recurrence* now = run.look(s);
        if (now && !now->is(LinearEvent::none)) break;
        again = co_await run.iterated(now);
      }
      const Recurrence& last = run.last(s);
      if (!again) continue;
      if (last.is(LinearEvent::negative_curvature)) {
        const auto p = P.column(static_cast<Index>(last.steps) % opt.memory);
        out.curvature = last.curvature / space.read(space.norm2(p));
        run.direction = p;
        run.end(Status::negative_curvature);
      } else {
        run.end(last.is(LinearEvent::nonfinite) ? Status::nonfinite
                                                : Status::indefinite_preconditioner);
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
