// Solves PᴴAᴴA P y = c approximately, where A P is nearly orthonormal: conjugate gradients, or the
// heavy ball with the parameters that the distortion of a Gaussian sketch makes optimal.
//
// Epperly, Meier, Nakatsukasa: Fast randomized least-squares solvers can be just as accurate and
// stable as classical direct solvers. arXiv:2406.03468, 2024. Momentum: Ozaslan, Pilanci,
// Arikan: Iterative Hessian sketch with momentum. ICASSP 2019.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/lstsq/backward_error.hpp"
#include "ritz/lstsq/lstsq_options.hpp"
#include "ritz/space/host.hpp"

namespace ritz {

/// With M = Pᴴ(AᴴA + damp²)P, whose eigenvalues lie in (1 ± √(n/d))²: an iteration gains √(n/d).
/// Costs: one product with AᴴA and O(n²) an iteration and a column. Where the sketch distorts more,
/// as it may for few columns or a small d, the heavy ball can fail; the next solve is then by
/// conjugate gradients.
template <Field T, class Rows>
class Correction {
 public:
  using W = WideOf<T>;

  struct Column {
    Index j;                  // of the right-hand side
    std::vector<W> x;         // what P y is added to
    double norm_r = 0.0;      // ‖b − A x‖
    std::vector<W> y, r;      // r = c − M y, c = Pᴴ Aᴴ (b − A x)
    std::vector<W> p, old;    // the direction of conjugate gradients; with momentum c, and y before
    double rho = 0.0;         // ‖r‖², with momentum ‖c‖²
    double error = 0.0;       // the backward error that y leaves in exact arithmetic
    double goal = 0.0;        // what it is to come down to
    double floor = 0.0;       // of ‖r‖: below this it is rounding
    double least = INFINITY;  // error, and the iterations since
    int idle = 0;
    Index iterations = 0;
    bool finite = true;
  };

  Correction(Rows& A, SketchedFactor<W>& factor, BackwardError<W>& backward,
             const LstsqOptions& opt, const Monitor& monitor, const Clock& clock,
             LstsqAccount& account)
      : A_(A),
        factor_(factor),
        backward_(backward),
        opt_(opt),
        monitor_(monitor),
        clock_(clock),
        account_(account),
        n_(A.cols()) {}

  /// y = 0 for c = Pᴴ Aᴴ (b − A x) of the right-hand side j.
  static Column column(Index j, std::vector<W> x, double norm_r, const std::vector<W>& c) {
    return {j, std::move(x), norm_r, std::vector<W>(c.size()), c, c, {}, norm2(c)};
  }

  /// x + P y
  std::vector<W> iterate(const Column& c) {
    SmallMatrix<W> y(factor_.rank(), 1), x(n_, 1);
    y.data = c.y;
    factor_.apply(y.view(), x.view());
    for (std::size_t i = 0; i < c.x.size(); ++i) x.data[i] += c.x[i];
    return x.data;
  }

  /// Iterates until all columns have come to their goals; `limit`: iterations of the whole run.
  std::optional<Status> solve(std::vector<Column>& columns, Index limit) {
    std::vector<std::size_t> running;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].rho > 0.0) running.push_back(i);
    }
    const Index most = std::min(limit - account_.iterations, iterations_expected());
    std::optional<Status> stop;
    for (Index k = 0; k < most && !running.empty() && !stop; ++k) {
      step(columns, running, k);
      stop = watch(columns);
    }
    if (!stop && account_.iterations >= limit) stop = Status::max_iterations;
    if (momentum_fails_) account_.method = LstsqMethod::spir;
    return stop;
  }

 private:
  static constexpr int kPatience = 8;

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  /// Generously more than eight digits take at √(n/d) an iteration.
  Index iterations_expected() const {
    const double rate = std::sqrt(static_cast<double>(factor_.rank()) /
                                  static_cast<double>(std::max(account_.d, n_ + 1)));
    return static_cast<Index>(std::min(60.0 / -std::log(rate), 1000.0)) + 20;
  }

  static double norm2(std::span<const W> x) {
    return std::accumulate(x.begin(), x.end(), 0.0,
                           [](double s, const W& a) { return s + std::norm(a); });
  }

  /// One iteration of the running columns; those that have come to their goal run no longer.
  void step(std::vector<Column>& columns, std::vector<std::size_t>& running, Index k) {
    const Index rank = factor_.rank(), count = static_cast<Index>(running.size());
    const bool momentum = account_.method == LstsqMethod::momentum;
    if (momentum && k == 0) {  // y = c
      for (const std::size_t i : running) {
        columns[i].old.assign(at(rank), W{});
        columns[i].y = columns[i].r;
      }
    }
    SmallMatrix<W> P(rank, count), Z(n_, count), G(n_, count), M(rank, count);
    for (Index i = 0; i < count; ++i) {
      const Column& c = columns[running[at(i)]];
      std::copy_n((momentum ? c.y : c.p).data(), rank, &P(0, i));
    }
    factor_.apply(P.view(), Z.view());
    arena_.begin(space_, count * Arena<HostSpace<T>>::padded(n_));
    const BlockView<T> rounded = arena_.block(n_, count);
    for (Index i = 0; i < count; ++i) {
      std::transform(&Z(0, i), &Z(0, i) + n_, rounded.column(i).data,
                     [](W a) { return static_cast<T>(a); });
    }
    A_.normal(rounded, G.view());
    const double damp2 = opt_.damp * opt_.damp;
    if (damp2 > 0.0) {
      for (std::size_t i = 0; i < G.data.size(); ++i) G.data[i] += damp2 * Z.data[i];
    }
    factor_.apply_adjoint(G.view(), M.view());
    std::vector<std::size_t> still;
    for (Index i = 0; i < count; ++i) {
      Column& c = columns[running[at(i)]];
      const std::span<const W> product(&M(0, i), at(rank));
      const bool usable = momentum ? residual_of(c, product) : conjugate_step(c, product);
      ++c.iterations;
      c.error = predicted(c);
      c.finite = std::isfinite(c.error) && std::isfinite(norm2(product));
      if (!c.finite || reached(c)) continue;
      if (!usable || stalled(c)) {
        momentum_fails_ |= momentum && norm2(c.r) > c.floor * c.floor;
        continue;
      }
      if (momentum) heavy_ball_step(c);
      still.push_back(running[at(i)]);
    }
    running = std::move(still);
    ++account_.iterations;
  }

  /// Conjugate gradients; false where rounding has made M p useless.
  bool conjugate_step(Column& c, std::span<const W> Mp) {
    double curvature = 0.0;
    for (std::size_t i = 0; i < Mp.size(); ++i) curvature += std::real(conjugate(c.p[i]) * Mp[i]);
    if (!(curvature > 0.0)) return false;
    const double alpha = c.rho / curvature;
    for (std::size_t i = 0; i < Mp.size(); ++i) {
      c.y[i] += alpha * c.p[i];
      c.r[i] -= alpha * Mp[i];
    }
    const double rho = norm2(c.r), beta = rho / c.rho;
    c.rho = rho;
    for (std::size_t i = 0; i < Mp.size(); ++i) c.p[i] = c.r[i] + beta * c.p[i];
    return rho > 0.0 && std::isfinite(rho);
  }

  /// r = c − M y; false if it has grown: the sketch distorts by more than √(n/d).
  static bool residual_of(Column& c, std::span<const W> My) {
    for (std::size_t i = 0; i < My.size(); ++i) c.r[i] = c.p[i] - My[i];  // p holds c
    if (norm2(c.r) <= 100.0 * c.rho) return true;
    c.y.assign(c.y.size(), W{});
    c.r = c.p;
    return false;
  }
  /// y⁺ = y + α (c − M y) + β (y − y⁻), β = n/d, α = (1 − β)².
  void heavy_ball_step(Column& c) const {
    const double beta =
        static_cast<double>(factor_.rank()) / static_cast<double>(std::max(account_.d, n_ + 1));
    const double alpha = (1.0 - beta) * (1.0 - beta);
    for (std::size_t i = 0; i < c.y.size(); ++i) {
      const W y = c.y[i];
      c.y[i] += alpha * c.r[i] + beta * (y - c.old[i]);
      c.old[i] = y;
    }
  }

  /// The backward error that x + P y has in exact arithmetic, with the residual before.
  double predicted(const Column& c) {
    std::vector<W> g(at(n_));
    factor_.lift(c.r, g);
    return backward_.estimate(c.j, g);
  }

  /// Whether x + P y has come to its goal, told with its own norm: a start that the sketch has made
  /// large loses norm with its error.
  bool reached(Column& c) {
    if (c.error > c.goal) return false;
    backward_.set(c.j, c.norm_r, factor_.scaled_norm(iterate(c)));
    c.error = predicted(c);
    return c.error <= c.goal;
  }

  /// Whether r is rounding error: by its size, or because it falls no more.
  bool stalled(Column& c) const {
    c.idle = c.error < 0.9 * c.least ? 0 : c.idle + 1;
    c.least = std::min(c.least, c.error);
    return norm2(c.r) <= c.floor * c.floor || c.idle >= kPatience;
  }

  std::optional<Status> watch(const std::vector<Column>& columns) {
    Iteration now;
    now.iteration = account_.iterations;
    now.products = A_.products();
    now.residual = 0.0;
    for (const Column& c : columns) now.residual = std::max(now.residual, c.error);
    now.clock = &clock_;
    return monitor_.check(now);
  }

  Rows& A_;
  SketchedFactor<W>& factor_;
  BackwardError<W>& backward_;
  const LstsqOptions& opt_;
  const Monitor& monitor_;
  const Clock& clock_;
  LstsqAccount& account_;
  Index n_;
  bool momentum_fails_ = false;
  HostSpace<T> space_;
  Arena<HostSpace<T>> arena_;
};

}  // namespace ritz
