// GCRO-DR(m, k): GMRES whose cycles keep k approximate eigenvectors U of the eigenvalues nearest 0
// and their orthonormal images C = A U, from cycle to cycle and from system to system.
//
// Parks, de Sturler, Mackey, Johnson, Maiti: Recycling Krylov subspaces for sequences of linear
// systems. SIAM J. Sci. Comput. 28, 2006.
#pragma once

#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/recycled_space.hpp"
#include "ritz/sketch/philox.hpp"

namespace ritz {

struct GcrodrOptions : LinearOptions {
  Index restart = 40;        ///< m, dimension of a cycle's space, U included; at most n
  Index k = 20;              ///< columns of U; at most m − 1: m/2 was the authors' choice
  bool recycle = false;      ///< start from the U that the workspace holds, and leave one there
  Index same_operator = -1;  ///< whether A M is the last run's: 1, 0, or −1 to find out by one
                             ///< product, as against k that make C anew

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("restart", restart);
    f("k", k);
    f("recycle", recycle);
    f("same_operator", same_operator);
  }
};

struct GcrodrOutcome : Outcome {
  double recycled = 0.0;  ///< columns of U that the run started from

  template <class F>
  void visit(F f) const {
    f("recycled", recycled);
  }
};

/// Vectors of length n: k of U, m + 1 of W = [C V], r, and one with a preconditioner.
template <Space S>
struct GcrodrWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index, Index n, const GcrodrOptions& opt, bool preconditioned) {
    if (opt.restart < 1) throw InvalidArgument("restart must be at least 1");
    if (opt.k < 0) throw InvalidArgument("k must not be negative");
    const Index m = std::clamp<Index>(opt.restart, 1, std::max<Index>(n, 1));
    recycled.prepare(space, n, m, std::min(opt.k, m - 1));
    if (!opt.recycle) recycled.held = 0;
    arena.begin(space, (preconditioned ? 2 : 1) * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(2 * (m + 1))));
    r = arena.vector(n);
    if (preconditioned) z = arena.vector(n);
    slots = arena.slots(2 * (m + 1));
    host.resize(static_cast<std::size_t>(2 * (m + 1)));
  }
  std::size_t bytes() const { return arena.bytes() + recycled.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  RecycledSpace<S> recycled;
  VectorView<T> r, z;
  typename S::Slots slots;
  HessenbergLeastSquares<Wide> small;
  std::vector<Wide> host;
  RecyclingAccount account;
};

/// Memory movement in step j of a cycle, counted from 1, in vectors of length n, without the
/// operator: 2 (k + j) + 6 to 3 (k + j) + 8, as in GMRES with the k columns of C in the basis; at
/// the end of a cycle (k + 1) (m − k + 1) + 4 m to choose the next U. A M stands for A: the
/// preconditioner is on the right and the residual that of A x = b.
struct Gcrodr {
  static constexpr std::string_view kName = "gcrodr";
  using Options = GcrodrOptions;
  using Outcome = GcrodrOutcome;
  template <Space S>
  using Workspace = GcrodrWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, GcrodrWorkspace<S>& ws, const GcrodrOptions& opt,
                      GcrodrOutcome& out) {
    using T = typename S::Value;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    auto& space = run.space;
    auto& [frames, arena, recycled, r, z, slots, small, host, account] = ws;
    const BlockView<T> W = recycled.W;
    const Index m = W.cols - 1;
    bool begun = false, set_up = false;
    double start = 0.0;
    out.recycled = static_cast<double>(recycled.held);
    if (recycled.held == 0) {
      // Multiplied by zeros later, which must not meet a NaN.
      for (Index i = 0; i < recycled.U.cols; ++i) space.fill(0.0, recycled.U.column(i));
    }

    double ended = INFINITY;  // the residual with which a Krylov space began that has ended
    while (co_await run.residual(r)) {
      if (out.residual > 0.5 * ended) {
        out.verified = true;
        run.end(Status::stagnation);
        break;
      }
      ended = INFINITY;
      double beta = out.residual;
      bool again = true;
      if (recycled.held > 0) {
        // After a run of its own, C is doubted only if the residual has drifted.
        bool changed = begun && beta > 2.0 * out.target;
        if (!begun) {
          changed = opt.same_operator == 0;
          if (opt.same_operator < 0) {
            const bool same = co_await unchanged(run, ws);
            changed = !same;
          }
          set_up = changed;
        }
        if (changed) co_await make_images(run, ws);
        if (run.ended()) break;
      }
      if (!begun) start = beta;
      begun = true;
      if (recycled.held > 0) {
        // x += M U Cᴴr, r −= C Cᴴr
        beta = orthogonalize(space, W.columns(0, recycled.held), r, slots, host);
        const auto c = std::span(host).first(static_cast<std::size_t>(recycled.held));
        const VectorView<T> u = W.column(m);
        space.fill(0.0, u);
        space.axpy_columns(recycled.U.columns(0, recycled.held), c, u);
        co_await add_direction(run, ws, u);
        if (beta <= out.target) again = co_await run.iterated(beta);
      }
      if (again) {
        space.copy(r, W.column(recycled.held));
        space.scale(1.0 / beta, W.column(recycled.held));
      }

      while (again) {
        const Index held = recycled.held, steps = m - held;
        const auto G = recycled.images();
        small.begin(steps, beta);
        bool extended = true;   // whether the Krylov space has grown usefully
        Index rows = held + 1;  // columns of W that are there
        for (Index j = 0; again && extended && j < steps; ++j) {
          const Index at = held + j;
          co_await product(run, ws, W.column(at), W.column(at + 1));
          const auto step =
              arnoldi_step(space, W.columns(0, at + 1), W.column(at + 1), slots, host);
          if (!std::isfinite(step.length)) {
            ++out.iterations;
            run.end(Status::nonfinite);
            break;
          }
          std::fill_n(&G(0, at), m + 1, WideOf<T>{});
          std::copy_n(host.begin(), at + 1, &G(0, at));
          G(at + 1, at) = step.beta;
          if (step.beta > 0.0) ++rows;
          extended = small.append(std::span(host).subspan(static_cast<std::size_t>(held)),
                                  step.beta, step.length, kEps) &&
                     step.beta > 0.0;
          again = co_await run.iterated(small.residual(), false);
        }

        // x += M (V y − U B y), B = Cᴴ A M V the first rows of G.
        const Index cols = small.cols();
        const auto c = std::span(host).first(static_cast<std::size_t>(held));
        const auto y =
            std::span(host).subspan(static_cast<std::size_t>(held), static_cast<std::size_t>(cols));
        small.solve(y);
        for (Index i = 0; i < held; ++i) {
          WideOf<T> sum{};
          for (Index j = 0; j < cols; ++j) sum -= G(i, held + j) * y[static_cast<std::size_t>(j)];
          c[static_cast<std::size_t>(i)] = sum;
        }
        space.fill(0.0, r);
        space.axpy_columns(recycled.U.columns(0, held), c, r);
        space.axpy_columns(W.columns(held, cols), y, r);
        co_await add_direction(run, ws, r);

        const bool over = !again || run.ended();
        if (out.status == Status::nonfinite || (over && !opt.recycle)) break;
        if (!over && !extended) {  // another space, of the true residual, may go on
          ended = beta;
          break;
        }
        if (!over && small.residual() > (1.0 - kEps) * beta) run.end(Status::stagnation);
        // A short last cycle has little to add to a U that is there.
        if (over && held > 0 && cols <= recycled.U.cols) break;
        rows = std::min(rows, held + cols + 1);
        recycled.choose(space, slots, host, small, cols, rows, !over && !run.ended());
        if (over || run.ended()) break;
        beta = small.residual();
      }
    }

    if (out.status == Status::nonfinite) recycled.held = 0;
    if (opt.recycle && !account.worthwhile(std::log(start / out.residual), out.products.total(),
                                           out.recycled > 0.0, set_up)) {
      recycled.held = 0;
    }
  }

 private:
  /// w = A M v
  template <class R, Space S>
  static Task<> product(R& run, GcrodrWorkspace<S>& ws, VectorView<typename S::Value> v,
                        VectorView<typename S::Value> w) {
    if (run.M) {
      co_await run.M.apply(v, ws.z);
      co_await run.A.apply(ws.z, w);
    } else {
      co_await run.A.apply(v, w);
    }
  }
  /// x += M u
  template <class R, Space S>
  static Task<> add_direction(R& run, GcrodrWorkspace<S>& ws, VectorView<typename S::Value> u) {
    if (run.M) {
      co_await run.M.apply(u, ws.z);
      run.space.axpby(1.0, ws.z, 1.0, run.x);
    } else {
      run.space.axpby(1.0, u, 1.0, run.x);
    }
  }

  /// Whether A M U = C still, by one product with a combination of all columns.
  template <class R, Space S>
  static Task<bool> unchanged(R& run, GcrodrWorkspace<S>& ws) {
    using T = typename S::Value;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    auto& space = run.space;
    auto& recycled = ws.recycled;
    const Index m = recycled.W.cols - 1;
    const VectorView<T> u = recycled.W.column(m), w = recycled.W.column(m - 1);
    const auto weights = std::span(ws.host).first(static_cast<std::size_t>(recycled.held));
    double norm2 = 0.0;
    for (Index i = 0; i < recycled.held; ++i) {
      // The signs leave no combination out for good.
      const double size = std::sqrt(space.read(space.norm2(recycled.U.column(i))));
      weights[static_cast<std::size_t>(i)] = philox::sign(0, 0, i) / size;
      norm2 += 1.0 / (size * size);
    }
    space.fill(0.0, u);
    space.axpy_columns(recycled.U.columns(0, recycled.held), weights, u);
    co_await product(run, ws, u, w);
    const double difference2 =
        space.read(space.subtract_norm2(recycled.W.columns(0, recycled.held), weights, w));
    co_return difference2 <= kEps* norm2;  // half the digits: a residual is verified later
  }

  /// C R = A M U, U = U R⁻¹, without columns whose images depend on the others'.
  template <class R, Space S>
  static Task<> make_images(R& run, GcrodrWorkspace<S>& ws) {
    auto& space = run.space;
    auto& recycled = ws.recycled;
    const auto R_ = recycled.triangle();
    const Index before = recycled.held;
    recycled.held = 0;  // what an exception leaves behind
    Index count = 0;
    for (Index i = 0; i < before; ++i) {
      const VectorView<typename S::Value> c = recycled.W.column(count);
      co_await product(run, ws, recycled.U.column(i), c);
      const auto step = arnoldi_step(space, recycled.W.columns(0, count), c, ws.slots, ws.host);
      if (!std::isfinite(step.length)) {
        run.end(Status::nonfinite);
        co_return;
      }
      if (step.beta == 0.0) continue;
      space.copy(recycled.U.column(i), recycled.U.column(count));
      std::copy_n(ws.host.begin(), count, &R_(0, count));
      R_(count, count) = step.beta;
      ++count;
    }
    recycled.normalize(space, count, ws.slots);
  }
};

/// Solves A x = b, and where `opt.recycle` says so the next systems faster.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
GcrodrOutcome gcrodr(S& space, const Op& A, VectorView<const typename S::Value> b,
                     VectorView<typename S::Value> x, GcrodrWorkspace<S>& ws,
                     const GcrodrOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Gcrodr, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
