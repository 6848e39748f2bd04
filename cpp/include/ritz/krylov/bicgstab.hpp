// BiCGSTAB: A x = b for general A by short recurrences, products of BiCG's residual polynomial and
// of minimising ones of degree 1.
//
// Van der Vorst: Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
// nonsymmetric linear systems. SIAM J. Sci. Stat. Comput. 13, 1992.
#pragma once

#include <limits>

#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/shadow.hpp"

namespace ritz {

struct BicgstabOptions : LinearOptions {};

/// Vectors of length n: r (s within an iteration), the shadow r̂, p, v, t, and with a
/// preconditioner p̂ and ŝ; x is the caller's.
template <Space S>
struct BicgstabWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index, Index n, const BicgstabOptions&, bool preconditioned) {
    arena.begin(space, (preconditioned ? 7 : 5) * Arena<S>::padded(n));
    for (Vector* u : {&r, &rhat, &p, &v, &t}) *u = arena.vector(n);
    phat = preconditioned ? arena.vector(n) : p;
    shat = preconditioned ? arena.vector(n) : r;
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector r, rhat, p, v, t, phat, shat;
};

/// Memory movement per iteration, of two products, in vectors of length n, without the operator:
///   {r̂ᴴv, ‖v‖} 2   s = r − αv, ‖s‖ 3   {tᴴs, ‖t‖} 2   x += αp̂ + ωŝ 4   r = s − ωt, ‖r‖ 3
///   r̂ᴴr 2   p = r + β(p − ωv) 4   total 20
/// The preconditioner stands on the right, so that ‖r‖ is the residual of A x = b.
struct Bicgstab {
  static constexpr std::string_view kName = "bicgstab";
  using Options = BicgstabOptions;
  using Outcome = ritz::Outcome;
  template <Space S>
  using Workspace = BicgstabWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, BicgstabWorkspace<S>& ws, const BicgstabOptions&, Outcome& out) {
    // An inner product below this share of its factors' norms holds rounding errors only.
    constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    auto& space = run.space;
    auto& [frames, arena, r, rhat, p, v, t, phat, shat] = ws;
    ShadowRestarts restarts;

    while (co_await run.residual(r)) {
      space.copy(r, rhat);
      double shadow = out.residual;  // ‖r̂‖
      WideOf<typename S::Value> rho = shadow * shadow;
      space.copy(r, p);
      bool again = true, broken = false;
      while (again) {
        if (broken) {
          if (!restarts.allowed(out.residual)) {
            run.end(Status::breakdown);
            co_return;
          }
          shadow = restarts.draw(space, r, out.residual, rhat);
          rho = space.read(space.dot(rhat, r));
          space.copy(r, p);
        }

        if (run.M) co_await run.M.apply(p, phat);
        co_await run.A.apply(phat, v);
        const auto [rhat_v, vv] = space.dots({{rhat, v}, {v, v}});
        const auto sigma = space.read(rhat_v);
        const double size_v = std::sqrt(std::real(space.read(vv)));
        if (!std::isfinite(size_v)) {
          ++out.iterations;
          run.end(Status::nonfinite);
          co_return;
        }
        broken = std::abs(sigma) <= kEps * shadow * size_v;
        if (broken) continue;
        const auto alpha = rho / sigma;
        const double size_s = run.norm(space.axpy_norm2(-alpha, v, r));
        double residual = size_s;
        WideOf<typename S::Value> omega{};
        if (size_s > out.target) {
          if (run.M) co_await run.M.apply(r, shat);
          co_await run.A.apply(shat, t);
          const auto [t_s, tt] = space.dots({{t, r}, {t, t}});
          const double size_t2 = std::real(space.read(tt));
          if (!std::isfinite(size_t2)) {
            ++out.iterations;
            run.end(Status::nonfinite);
            co_return;
          }
          const auto cosine = space.read(t_s);
          if (std::abs(cosine) > kEps * size_s * std::sqrt(size_t2)) omega = cosine / size_t2;
        }
        if (omega == 0.0) {
          space.axpby(alpha, phat, 1.0, run.x);
        } else {
          space.add3_norm2(alpha, phat, omega, shat, 1.0, run.x);
          residual = run.norm(space.axpy_norm2(-omega, t, r));
        }
        again = co_await run.iterated(residual);
        if (!again) break;

        const auto rho_next = space.read(space.dot(rhat, r));
        broken = omega == 0.0 || std::abs(rho_next) <= kEps * shadow * residual;
        if (broken) continue;
        const auto beta = (rho_next / rho) * (alpha / omega);
        space.add3_norm2(1.0, r, -beta * omega, v, beta, p);
        rho = rho_next;
      }
    }
  }
};

/// Solves A x = b.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome bicgstab(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, BicgstabWorkspace<S>& ws,
                 const BicgstabOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Bicgstab, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
