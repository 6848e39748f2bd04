// GMRES(m): A x = b for general A, minimising ‖b − A x‖ over the Krylov space of the residual,
// begun anew after m iterations. FGMRES, which shares the loop, lets the preconditioner change.
//
// Saad, Schultz: GMRES: a generalized minimal residual algorithm for solving nonsymmetric linear
// systems. SIAM J. Sci. Stat. Comput. 7, 1986. Saad: A flexible inner-outer preconditioned GMRES
// algorithm. SIAM J. Sci. Comput. 14, 1993.
#pragma once

#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/linear_run.hpp"

namespace ritz {

struct GmresOptions : LinearOptions {
  Index restart = 20;  ///< iterations in a cycle, at most n: SciPy's default; memory grows with it

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("restart", restart);
  }
};

/// Vectors of length n: m + 1 of the basis; with a preconditioner 2 more in GMRES, m in FGMRES.
template <Space S>
struct GmresWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index, Index n, const GmresOptions& opt, bool preconditioned,
               bool flexible) {
    if (opt.restart < 1) throw InvalidArgument("restart must be at least 1");
    const Index m = std::clamp<Index>(opt.restart, 1, std::max<Index>(n, 1));
    const Index directions = preconditioned ? (flexible ? m : 2) : 0;
    arena.begin(space, (m + 1 + directions) * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(2 * m)));
    V = arena.block(n, m + 1);
    Z = arena.block(n, directions);
    slots = arena.slots(2 * m);
    host.resize(static_cast<std::size_t>(2 * m));
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  BlockView<T> V, Z;
  typename S::Slots slots;
  std::vector<Wide> host;
  HessenbergLeastSquares<Wide> small;
};

/// Memory movement in step j, counted from 1, in vectors of length n, without the operator:
///   h = Vᴴw j+1   {w −= V h, g = Vᴴw} j+2   ‖w‖ 1   w/‖w‖ 2   total 2j + 6
///   and where g is not small {w −= V g, ‖w‖} j+2
/// and 2 m + 4 at the end of a cycle. The preconditioner M stands on the right, A M (M⁻¹ x) = b, so
/// that the residual minimised is that of A x = b. One read an iteration, of a column that was made
/// two iterations before where a device is to run ahead: up to two products more than needed. The
/// residual that starts a cycle is taken from the basis and costs no product.
template <bool kFlexible>
struct GmresMethod {
  static constexpr std::string_view kName = kFlexible ? "fgmres" : "gmres";
  using Options = GmresOptions;
  using Outcome = ritz::Outcome;
  template <Space S>
  struct Workspace : GmresWorkspace<S> {
    void prepare(S& space, Index m, Index n, const GmresOptions& opt, bool preconditioned) {
      GmresWorkspace<S>::prepare(space, m, n, opt, preconditioned, kFlexible);
    }
  };
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, Workspace<S>& ws, const GmresOptions&, Outcome& out) {
    using T = typename S::Value;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    auto& space = run.space;
    auto& [frames, arena, V, Z, slots, host, small] = static_cast<GmresWorkspace<S>&>(ws);
    const Index m = V.cols - 1;
    ArnoldiColumns<S> columns(space, slots);
    const Index ahead = run.lags() ? columns.kMost : 1;

    double begun = INFINITY;  // the residual with which a Krylov space began that has ended
    while (co_await run.residual(V.column(0))) {
      if (out.residual > 0.5 * begun) {
        out.verified = true;
        run.end(Status::stagnation);
        co_return;
      }
      begun = INFINITY;
      double beta = out.residual;
      space.scale(1.0 / beta, V.column(0));
      bool again = true;
      while (again) {
        small.begin(m, beta);
        bool extended = true;  // whether the Krylov space has grown usefully
        columns.restart();
        while (again && extended && (columns.begun() < m || columns.waiting() > 0)) {
          const Index j = columns.begun();
          if (j < m && run.has_room(columns.waiting())) {
            const VectorView<T> w = V.column(j + 1);
            if (run.M) {
              const VectorView<T> z = Z.column(kFlexible ? j : 0);
              co_await run.M.apply(V.column(j), z);
              co_await run.A.apply(z, w);
            } else {
              co_await run.A.apply(V.column(j), w);
            }
            columns.begin(V.columns(0, j + 1), w);
            if (j + 1 < m && columns.waiting() < ahead) continue;
          }
          const auto step = columns.take(host);
          if (!std::isfinite(step.length)) {
            ++out.iterations;
            run.end(Status::nonfinite);
            break;
          }
          extended = small.append(host, step.beta, step.length, kEps) && step.beta > 0.0;
          again = co_await run.iterated(small.residual(), false);
        }

        // x += M V y; FGMRES has kept Z = M V.
        const Index k = small.cols();
        const auto y = std::span(host).first(static_cast<std::size_t>(k));
        small.solve(y);
        if (!run.M) {
          space.axpy_columns(V.columns(0, k), y, run.x);
        } else if constexpr (kFlexible) {
          space.axpy_columns(Z.columns(0, k), y, run.x);
        } else if (k > 0) {
          space.fill(0.0, Z.column(0));
          space.axpy_columns(V.columns(0, k), y, Z.column(0));
          co_await run.M.apply(Z.column(0), Z.column(1));
          space.axpby(1.0, Z.column(1), 1.0, run.x);
        }
        if (!again || run.ended()) break;
        if (!extended) {  // another space, of the true residual, may go on
          begun = beta;
          break;
        }
        if (small.residual() > (1.0 - kEps) * beta) {  // the next cycle would be this one again
          run.end(Status::stagnation);
          break;
        }
        if (run.accumulate) {
          beta = co_await run.replaced(V.column(0));
          if (!(beta > out.target)) break;
          space.scale(1.0 / beta, V.column(0));
        } else {
          beta = small.residual();
          small.residual_direction(host);
          space.combine(V.columns(0, k + 1), {host.data(), k + 1, 1, k + 1});
        }
      }
    }
  }
};

using Gmres = GmresMethod<false>;

/// Solves A x = b.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome gmres(S& space, const Op& A, VectorView<const typename S::Value> b,
              VectorView<typename S::Value> x, Gmres::Workspace<S>& ws,
              const GmresOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Gmres, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
