// sGMRES: A x = b for general A by a Krylov basis that is only locally orthogonal, over which a
// random sketch of the residual is minimised. GMRES without the cost of its orthogonalisation.
//
// Nakatsukasa, Tropp: Fast and accurate randomized algorithms for linear systems and eigenvalue
// problems. SIAM J. Matrix Anal. Appl. 45, 2024. When to restart, and with which truncation: Burke,
// Carson, Ma: On the numerical stability of sketched GMRES. arXiv 2503.19086, 2025.
#pragma once

#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/sketched_basis.hpp"

namespace ritz {

struct SgmresOptions : LinearOptions {
  Index restart = 100;     ///< vectors of a cycle's basis, at most n; memory grows with it
  Index truncation = 4;    ///< basis vectors that a new one is made orthogonal to, at first
  std::uint64_t seed = 0;  ///< of the sketches

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("restart", restart);
    f("truncation", truncation);
    f("seed", seed);
  }
};

/// Vectors of length n: m + 1 of the basis, the correction, and one with a preconditioner.
template <Space S>
struct SgmresWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index, Index n, const SgmresOptions& opt, bool preconditioned) {
    if (opt.restart < 1) throw InvalidArgument("restart must be at least 1");
    if (opt.truncation < 1) throw InvalidArgument("truncation must be at least 1");
    const Index m = std::clamp<Index>(opt.restart, 1, std::max<Index>(n, 1));
    const Index directions = preconditioned ? 2 : 1;
    arena.begin(space, (m + 1 + directions) * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(2 * (m + 1))));
    V = arena.block(n, m + 1);
    Z = arena.block(n, directions);
    slots = arena.slots(2 * (m + 1));
    host.resize(static_cast<std::size_t>(2 * (m + 1)));
    if (first_window(opt) < m) sketched.prepare(space, n, m);
  }
  std::size_t bytes() const { return arena.bytes() + sketched.bytes(); }
  /// All vectors, which makes it GMRES, where a space cannot sketch.
  Index first_window(const SgmresOptions& opt) const {
    return SketchedBasis<S>::kExists ? std::min(opt.truncation, V.cols - 1) : V.cols - 1;
  }

  FrameStack frames;
  Arena<S> arena;
  BlockView<T> V, Z;
  typename S::Slots slots;
  std::vector<Wide> host;
  SketchedBasis<S> sketched;
  HessenbergLeastSquares<Wide> small;
};

/// With V the basis of a cycle, A M V_j = V_{j+1} H̄ and S V = Q R in the sketch S of d rows, y
/// minimises ‖S (r − A M V y)‖ = ‖‖S r‖ e₁ − R H̄ y‖: another Hessenberg problem, in coordinates
/// that are orthonormal under S however ill-conditioned V is.
///
/// What is told as the residual bounds the true one in all but one of some thousand iterations:
/// sketched, the least residual over j vectors is shorter than the true one by about 1 − j/d.
///
/// A cycle ends early where rounding spoils it: where that of V y, relatively u |R| |y| / |R y|,
/// reaches all digits of the correction, or where its image, u ‖A M‖ |y|, reaches the residual.
/// If also u cond(S V) > 1, the next cycle orthogonalises against twice as many vectors. One that
/// could gain little makes room for cycles of GMRES itself, so that what GMRES solves is solved.
/// The true residual starts each cycle and never grows.
///
/// Memory movement an iteration, in vectors of length n, without the operator, k being the
/// truncation: 2k + 5 and the sketch, a read and the time of some ten; m + 8 at the end of a
/// cycle. Small work: about 4 m² d flops a cycle.
struct Sgmres {
  static constexpr std::string_view kName = "sgmres";
  using Options = SgmresOptions;
  using Outcome = ritz::Outcome;
  template <Space S>
  using Workspace = SgmresWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, SgmresWorkspace<S>& ws, const SgmresOptions& opt, Outcome& out) {
    using T = typename S::Value;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    auto& space = run.space;
    auto& [frames, arena, V, Z, slots, host, sketched, small] = ws;
    const Index m = V.cols - 1;
    const VectorView<T> r = V.column(1);

    Cycle cycle;
    cycle.window = ws.first_window(opt);
    while (co_await run.residual(r)) {
      if (cycle.number > 0 && !take_stock(run, ws, cycle, out)) co_return;
      cycle.start = out.residual;
      cycle.sketched = cycle.window < m;
      cycle.cut = false;
      space.axpby(1.0 / cycle.start, r, 0.0, V.column(0));
      double rho = cycle.start;
      if (cycle.sketched) {
        rho *=
            sketched.begin(space, opt.seed + static_cast<std::uint64_t>(cycle.number), V.column(0));
      }
      ++cycle.number;
      small.begin(m, rho);

      bool again = true;
      for (Index j = 0; again && !cycle.cut && j < m; ++j) {
        const VectorView<T> w = V.column(j + 1);
        if (run.M) {
          co_await run.M.apply(V.column(j), Z.column(0));
          co_await run.A.apply(Z.column(0), w);
        } else {
          co_await run.A.apply(V.column(j), w);
        }
        auto step = arnoldi(space, V, j, cycle, slots, host);
        if (!std::isfinite(step.length)) {
          ++out.iterations;
          run.end(Status::nonfinite);
          break;
        }
        if (cycle.sketched) {
          const Index first = std::max<Index>(0, j + 1 - cycle.window);
          step = sketched.extend(space, w, first, step, slots, host);
        }
        cycle.cut = !small.append(host, step.beta, step.length, kEps) || !(step.beta > 0.0);
        if (cycle.sketched && !cycle.cut) cycle.cut = sketched.spoiled(small, kEps);
        cycle.promised = small.residual();
        if (cycle.sketched) cycle.promised *= sketched.inflation(small.cols());
        again = co_await run.iterated(cycle.promised, false);
      }

      co_await add_correction(run, ws);
      if (run.ended() && cycle.sketched && out.status != Status::nonfinite) {
        tell(run, ws, cycle, out);
      }
    }
  }

 private:
  struct Cycle {
    Index number = 0;
    Index window = 0;       // vectors that a new one is made orthogonal to
    bool sketched = false;  // fewer than all
    bool cut = false;       // ended before its last column, and not by what `iterated` said
    double start = 0.0, promised = 0.0;  // residuals: the true one, and what is said of the last
  };

  /// w = A M v_j against the window, in one pass unless that is to be orthonormal. `host` becomes
  /// the coefficients.
  template <Space S>
  static ArnoldiStep arnoldi(S& space, BlockView<typename S::Value> V, Index j, const Cycle& cycle,
                             typename S::Slots slots, std::span<WideOf<typename S::Value>> host) {
    using T = typename S::Value;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    const VectorView<T> w = V.column(j + 1);
    if (!cycle.sketched) return arnoldi_step<S>(space, V.columns(0, j + 1), w, slots, host);
    const Index count = std::min(cycle.window, j + 1);
    const BlockView<const T> near = V.columns(j + 1 - count, count);
    const auto h = slots.first(static_cast<std::size_t>(count));
    space.project(near, w, h);
    const double beta = std::sqrt(space.read(space.subtract_norm2(near, h, w)));
    space.read(h, host.first(h.size()));
    double length = beta;
    for (std::size_t i = 0; i < h.size(); ++i) length = std::hypot(length, std::abs(host[i]));
    if (std::isfinite(length) && beta <= kEps * length) {
      space.fill(0.0, w);
      return {length, 0.0};
    }
    space.scale(1.0 / beta, w);
    return {length, beta};
  }

  /// x += M V y; the correction is kept.
  template <class R, Space S>
  static Task<> add_correction(R& run, SgmresWorkspace<S>& ws) {
    auto& space = run.space;
    const VectorView<typename S::Value> first = ws.Z.column(0), last = ws.Z.column(ws.Z.cols - 1);
    const Index k = ws.small.cols();
    const auto y = std::span(ws.host).first(static_cast<std::size_t>(k));
    ws.small.solve(y);
    space.fill(0.0, first);
    space.axpy_columns(ws.V.columns(0, k), y, first);
    if (run.M && k > 0) {
      co_await run.M.apply(first, last);
    } else {
      space.copy(first, last);
    }
    space.axpby(1.0, last, 1.0, run.x);
  }

  /// The residual of x by the basis, ‖V (β e₁ − H̄ y)‖, after an end that nothing has checked.
  template <class R, Space S>
  static void tell(R& run, SgmresWorkspace<S>& ws, const Cycle& cycle, Outcome& out) {
    const auto k = static_cast<std::size_t>(ws.small.cols());
    const auto y = std::span(ws.host).first(k), t = std::span(ws.host).subspan(k, k + 1);
    ws.sketched.remainder(cycle.start, y, t);
    const VectorView<typename S::Value> r = ws.Z.column(0);
    run.space.fill(0.0, r);
    run.space.axpy_columns(ws.V.columns(0, ws.small.cols() + 1), t, r);
    out.residual = std::sqrt(run.space.read(run.space.norm2(r)));
  }

  /// What the residual that has been evaluated says of the cycle before: chooses the next one's
  /// window. False if the run has ended.
  template <class R, Space S>
  static bool take_stock(R& run, SgmresWorkspace<S>& ws, Cycle& cycle, Outcome& out) {
    using T = typename S::Value;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    constexpr double kLittle = 0.9;  // a sketch may cost a tenth of the residual
    const bool halved = out.residual <= 0.5 * cycle.start;
    const auto end = [&](Status status) {
      out.verified = true;
      return run.end(status);
    };
    if (!cycle.sketched) {
      if (cycle.cut && !halved) return end(Status::stagnation);
      if (!halved && cycle.promised < 0.25 * cycle.start) return end(Status::precision_limit);
      if (cycle.promised > (1.0 - kEps) * cycle.start) return end(Status::stagnation);
      return true;
    }
    const Index m = ws.V.cols - 1;
    const bool little = out.residual > kLittle * cycle.start;
    if (little) shorten(run, ws, cycle, out);
    if (cycle.cut && ws.sketched.condition() * kEps > 1.0) {
      cycle.window = std::min(2 * cycle.window, m);
    } else if (little || (cycle.cut && !halved)) {
      cycle.window = m;
    }
    return true;
  }

  /// Takes the best multiple of the last correction: x −= γ c, r += γ A c.
  template <class R, Space S>
  static void shorten(R& run, SgmresWorkspace<S>& ws, const Cycle& cycle, Outcome& out) {
    auto& space = run.space;
    const auto r = ws.V.column(1), before = ws.V.column(0);  // `before` over its length
    const double beta = cycle.start, rr = out.residual * out.residual;
    const auto c = space.read(space.dot(before, r));
    const double ww = beta * beta - 2.0 * beta * std::real(c) + rr;  // w = A c
    if (!(ww > 0.0)) return;
    const auto gamma = -(beta * c - rr) / ww;
    const double norm2 =
        space.read(space.axpby_norm2(gamma * beta, before, decltype(gamma)(1.0) - gamma, r));
    space.axpby(-gamma, ws.Z.column(ws.Z.cols - 1), 1.0, run.x);
    out.residual = std::sqrt(norm2);
  }
};

/// Solves A x = b.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome sgmres(S& space, const Op& A, VectorView<const typename S::Value> b,
               VectorView<typename S::Value> x, SgmresWorkspace<S>& ws,
               const SgmresOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Sgmres, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
