// min ‖b − A x‖² + damp² ‖x‖² for a tall A: a sketch gives a preconditioner and a start, iterative
// refinement of the normal equations the accuracy of Householder QR.
//
// Epperly, Meier, Nakatsukasa: Fast randomized least-squares solvers can be just as accurate and
// stable as classical direct solvers. arXiv:2406.03468, 2024 (SPIR, FOSSILS). Epperly: Fast and
// forward stable randomized algorithms for linear least-squares problems. SIAM J. Matrix Anal.
// Appl. 45, 2024.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/lstsq/backward_error.hpp"
#include "ritz/lstsq/correction.hpp"
#include "ritz/lstsq/lstsq_options.hpp"
#include "ritz/lstsq/rows.hpp"
#include "ritz/lstsq/sketched_problem.hpp"

namespace ritz {

/// With S A D = Q R, D the scaling of the columns of S A to norm 1, and P = D R⁻¹:
///
///     x = P QᴴSb;  then until the backward error of x is small:  r = b − A x,
///     (PᴴAᴴA P) y = Pᴴ Aᴴ r  to 1e-8,  x = x + P y.
///
/// The singular values of A P lie in 1 ± √(n/d), so that an iteration gains √(n/d). One solution
/// for the residual is not enough: its rounding errors are those of the normal equations.
///
/// Costs: a pass over A for the sketch, one an iteration, one a refinement, 2 d n² flops for R.
/// Memory: d n numbers for S A, n² for R and for each of up to eight columns of b, nothing of the
/// size of A.
template <Field T, class Rows>
class LstsqRun {
 public:
  using W = WideOf<T>;
  static constexpr double kUnit = std::numeric_limits<RealOf<T>>::epsilon() / 2.0;
  /// Columns of b that go through A together.
  static constexpr Index kGroup = 8;

  LstsqRun(Rows& A, BlockView<const T> B, BlockView<T> X, const LstsqOptions& opt,
           const Monitor& monitor, std::span<LstsqOutcome> outcomes)
      : A_(A), B_(B), X_(X), opt_(opt), monitor_(monitor), out_(outcomes), n_(A.cols()) {
    if (A.rows() < n_) {
      throw InvalidArgument("A has shape (" + std::to_string(A.rows()) + ", " + std::to_string(n_) +
                            "); randomized least squares needs m ≥ n: lsqr, lsmr and craig take "
                            "any shape");
    }
    target_ = opt.rtol > 0.0 ? opt.rtol : 2.0 * kUnit;
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 1000;
  }

  /// make_sketch(d) is a Sketch of d rows.
  template <class MakeSketch>
  LstsqAccount run(const MakeSketch& make_sketch) {
    for (Index j = 0; j < X_.cols; ++j) space_.fill(0.0, X_.column(j));
    if (start()) {
      if (A_.form_products() >= monitor_.max_products) {
        for (const Index j : open_) end(j, Status::max_products);
      } else if (prepare(make_sketch)) {
        const std::vector<Index> all = open_;
        for (std::size_t first = 0; first < all.size(); first += kGroup) {
          const auto last = std::min(first + kGroup, all.size());
          open_.assign(all.begin() + static_cast<std::ptrdiff_t>(first),
                       all.begin() + static_cast<std::ptrdiff_t>(last));
          if (stop_) {
            for (const Index j : open_) end(j, *stop_);
          } else {
            refine();
          }
        }
      }
    }
    account_.products = A_.products();
    account_.passes = A_.passes();
    account_.seconds = clock_.seconds();
    return account_;
  }

 private:
  using Solver = Correction<T, Rows>;
  struct Best {
    std::vector<T> x;
    LstsqOutcome outcome;
    int idle = 0;
  };
  static constexpr double kShare = 1e-8;
  // The first solve ends where the paper's does: ‖r‖ ≤ 10 u (‖A‖ ‖x‖ + 0.04 κ ‖b − A x‖).
  static constexpr double kFloor = 10.0, kKept = 0.04;

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  LstsqOutcome& out(Index j) { return out_[at(j)]; }
  void end(Index j, Status status) {
    out(j).status = status;
    out(j).products = A_.products();
    out(j).seconds = clock_.seconds();
  }
  void end(Index j, Status status, double error) {
    out(j).residual = out(j).normal_residual = out(j).backward_error = error;
    out(j).verified = true;
    end(j, status);
  }

  /// Norms of b; false if there is nothing to solve for.
  bool start() {
    for (Index j = 0; j < B_.cols; ++j) {
      out(j) = {};
      out(j).target = target_;
      out(j).norm_b = std::sqrt(space_.norm2(B_.column(j)));
      if (!std::isfinite(out(j).norm_b)) {
        end(j, Status::nonfinite);
      } else if (out(j).norm_b == 0.0) {
        end(j, Status::converged, 0.0);
      } else {
        open_.push_back(j);
      }
    }
    return !open_.empty();
  }

  /// The factor and the start that it gives; false if that ends the run.
  template <class MakeSketch>
  bool prepare(const MakeSketch& make_sketch) {
    const LstsqPlan plan =
        LstsqPlan::of(A_.rows(), n_, B_.cols, A_.pass_work(), Rows::kInMemory, opt_);
    account_.method = plan.method;
    account_.d = plan.d;
    problem_ = SketchedProblem<T>::of(A_, B_, plan, opt_.damp, make_sketch);
    if (!problem_.factor) {
      for (const Index j : open_) {
        if (problem_.finite) {  // A = 0
          end(j, Status::converged, 0.0);
          out(j).residual = out(j).norm_b;
        } else {
          end(j, Status::nonfinite);
        }
      }
      return false;
    }
    SketchedFactor<W>& factor = *problem_.factor;
    account_.rank = factor.rank();
    account_.condition = factor.condition();
    std::vector<double> norm_b;
    for (Index j = 0; j < B_.cols; ++j) norm_b.push_back(out(j).norm_b);
    backward_.emplace(factor.triangle(), problem_.size, std::move(norm_b));
    SmallMatrix<W> X(n_, B_.cols);
    factor.solve_sketched(X.view());
    for (const Index j : open_) round(&X(0, j), j);
    return true;
  }

  std::vector<W> wide(Index j) const {
    std::vector<W> x(at(n_));
    std::transform(X_.column(j).begin(), X_.column(j).end(), x.begin(),
                   [](T a) { return static_cast<W>(a); });
    return x;
  }
  void round(const W* x, Index j) {
    std::transform(x, x + n_, X_.column(j).data, [](W a) { return static_cast<T>(a); });
  }

  void refine() {
    g_ = SmallMatrix<W>(n_, B_.cols);
    best_.assign(at(B_.cols), {});
    for (Index pass = 0;; ++pass) {
      measure();
      if (open_.empty()) return;
      if (pass == opt_.refinements) {
        for (const Index j : open_) end_with_best(j);
        return;
      }
      for (const Index j : open_) out(j).refinements = pass + 1;
      const auto stop = correct();
      if (!stop) continue;
      if (*stop == Status::max_iterations) measure();
      for (const Index j : open_) end(j, *stop);
      stop_ = stop;
      return;
    }
  }

  /// r, g = Aᴴr and the backward error of the open columns; ends those that are done.
  void measure() {
    std::vector<double> r2(at(B_.cols));
    for (std::size_t i = 0; i < open_.size();) {  // neighbours share the reading of A
      std::size_t k = i + 1;
      while (k < open_.size() && open_[k] == open_[k - 1] + 1) ++k;
      const Index first = open_[i], count = static_cast<Index>(k - i);
      A_.residual(B_.columns(first, count), BlockView<const T>(X_).columns(first, count),
                  g_.view().columns(first, count), std::span(r2).subspan(at(first), at(count)));
      i = k;
    }
    std::vector<Index> still;
    for (const Index j : open_) {
      if (!measure_column(j, r2[at(j)])) still.push_back(j);
    }
    open_ = std::move(still);
  }

  /// True if column j is done.
  bool measure_column(Index j, double r2) {
    LstsqOutcome& o = out(j);
    const double damp2 = opt_.damp * opt_.damp;
    const std::vector<W> x = wide(j);
    double x2 = 0.0, g2 = 0.0;
    std::vector<W> g(at(n_));
    for (Index i = 0; i < n_; ++i) {
      if (opt_.damp > 0.0) g_(i, j) -= damp2 * x[at(i)];
      x2 += std::norm(x[at(i)]);
      g2 += std::norm(g_(i, j));
      g[at(i)] = problem_.factor->scale()[at(i)] * g_(i, j);
    }
    o.residual = std::sqrt(r2 + damp2 * x2);
    backward_->set(j, o.residual, problem_.factor->scaled_norm(x));
    o.normal_residual = std::sqrt(g2);
    o.norm_x = std::sqrt(x2);
    o.backward_error = backward_->estimate(j, g);
    o.verified = true;
    if (!std::isfinite(o.backward_error)) {
      end(j, Status::nonfinite);
    } else if (o.backward_error <= target_) {
      end(j, Status::converged);
    } else {
      return at_its_best(j);
    }
    return true;
  }

  /// Ends column j if two refinements in a row have gained less than a factor of 2. The first may
  /// well gain none in the backward error, where it does in x.
  bool at_its_best(Index j) {
    Best& best = best_[at(j)];
    const double error = out(j).backward_error;
    best.idle = error <= 0.5 * best.outcome.backward_error || best.x.empty() ? 0 : best.idle + 1;
    if (best.x.empty() || error < best.outcome.backward_error) {
      best.x.assign(X_.column(j).begin(), X_.column(j).end());
      best.outcome = out(j);
    }
    if (best.idle < 2) return false;
    end_with_best(j);
    return true;
  }
  void end_with_best(Index j) {
    const Best& best = best_[at(j)];
    std::copy(best.x.begin(), best.x.end(), X_.column(j).begin());
    const Index refinements = out(j).refinements, iterations = out(j).iterations;
    out(j) = best.outcome;
    out(j).refinements = refinements;
    out(j).iterations = iterations;
    end(j, Status::precision_limit);
  }

  /// x = x + P y with M y ≈ Pᴴ g for the open columns.
  std::optional<Status> correct() {
    const Index rank = problem_.factor->rank();
    std::vector<typename Solver::Column> columns;
    for (const Index j : open_) {
      SmallMatrix<W> g(n_, 1), c(rank, 1);
      std::copy_n(&g_(0, j), n_, g.data.data());
      problem_.factor->apply_adjoint(g.view(), c.view());
      columns.push_back(Solver::column(j, wide(j), out(j).residual, c.data));
      // Beyond eight digits the recurrence drifts from the residual; most of what is allowed to the
      // error is left to rounding.
      const double error = out(j).backward_error;
      const double share = opt_.refinements == 1 ? 0.0 : kShare * error;
      columns.back().error = error;
      if (out(j).refinements == 1 && opt_.refinements > 1) {
        const double norm_x = problem_.factor->scaled_norm(columns.back().x);
        columns.back().floor =
            kFloor * kUnit *
            (problem_.size * norm_x + kKept * problem_.factor->condition() * out(j).residual);
      }
      columns.back().goal = std::max(0.25 * target_, share);
    }
    Solver solver(A_, *problem_.factor, *backward_, opt_, monitor_, clock_, account_);
    const auto stop = solver.solve(columns, limit_);
    for (const auto& column : columns) {
      round(solver.iterate(column).data(), column.j);
      out(column.j).iterations += column.iterations;
      if (!column.finite) {
        end(column.j, Status::nonfinite);
        std::erase(open_, column.j);
      } else if (stop) {
        out(column.j).backward_error = column.error;
        out(column.j).verified = false;
      }
    }
    return stop;
  }

  Rows& A_;
  BlockView<const T> B_;
  BlockView<T> X_;
  LstsqOptions opt_;
  Monitor monitor_;
  std::span<LstsqOutcome> out_;
  Index n_;
  Clock clock_;
  HostSpace<T> space_;
  LstsqAccount account_;
  double target_ = 0.0;
  Index limit_ = 0;
  std::vector<Index> open_;
  SketchedProblem<T> problem_;
  std::optional<BackwardError<W>> backward_;
  SmallMatrix<W> g_;
  std::vector<Best> best_;
  std::optional<Status> stop_;
};

/// Solves for all columns of B; `outcomes` has one for each.
template <Field T, class Rows, class MakeSketch>
LstsqAccount lstsq(Rows& A, BlockView<const T> B, BlockView<T> X, const MakeSketch& make_sketch,
                   std::span<LstsqOutcome> outcomes, const LstsqOptions& opt = {},
                   const Monitor& monitor = {}) {
  return LstsqRun<T, Rows>(A, B, X, opt, monitor, outcomes).run(make_sketch);
}

}  // namespace ritz
