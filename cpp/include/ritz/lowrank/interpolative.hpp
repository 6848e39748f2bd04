// The interpolative decomposition A ≈ A_J X: columns J of A itself, and X with X_J = I, both from a
// sketch Y = S A of a few rows by a QR factorisation with column pivoting.
// Halko, Martinsson, Tropp: Finding structure with randomness. SIAM Review 53, 2011, section 5.2.
#pragma once

#include <limits>
#include <numeric>
#include <optional>

#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/lowrank/skeleton_source.hpp"
#include "ritz/lowrank/sketch_skeleton.hpp"

namespace ritz {

struct InterpolativeOptions {
  Index rank = 0;           ///< at most this many columns; 0: as many as `tol` takes
  double tol = 0.0;         ///< ‖A − A_J X‖_F ≤ tol ‖A‖_F by their estimates; 0: `rank` columns
  Index oversampling = 10;  ///< rows of the sketch beyond the columns, at least 2
  double share = 0.0;       ///< and at least this many for each column

  Index rows_for(Index k) const {
    return k +
           std::max(oversampling, static_cast<Index>(std::ceil(share * static_cast<double>(k))));
  }
  /// The largest rank that a sketch of d rows is enough for.
  Index rank_from(Index d) const {
    const auto k = static_cast<Index>(static_cast<double>(d) / (1.0 + share));
    return std::max<Index>(std::min(d - oversampling, k), 0);
  }

  template <class F>
  void visit(const F& f) {
    f("rank", rank);
    f("tol", tol);
    f("oversampling", oversampling);
    f("share", share);
  }
};

/// A ≈ A_J X, or C X with C = A_J where that was asked for.
template <Field T>
struct Interpolative {
  std::vector<Index> columns;  ///< J, in the order in which they were chosen
  SmallMatrix<T> X, C;
};

/// `residual` is the error estimate.
struct InterpolativeOutcome : Outcome {
  Index rank = 0;
  double norm = 0.0;  ///< estimate of ‖A‖_F
  Index sketch = 0;   ///< rows of the sketch
};

/// One run of `interpolative`. Its sketch may go on to be used, with a smaller tolerance too.
template <Field T>
class InterpolativeRun {
 public:
  using W = WideOf<T>;

  InterpolativeRun(HostSpace<T>& space, SkeletonSource<T>& source, const InterpolativeOptions& opt,
                   const Monitor& monitor)
      : s_(space), source_(source), opt_(opt), monitor_(monitor) {
    check_tolerance("tol", opt.tol);
    if (opt.rank < 0) throw InvalidArgument("rank must be at least 0");
    if (opt.rank == 0 && opt.tol == 0.0) throw InvalidArgument("rank or tol is needed");
    if (opt.oversampling < 2) throw InvalidArgument("oversampling must be at least 2");
    check_tolerance("share", opt.share);
  }

  /// Chooses the columns; with a tolerance, the sketch doubles until the estimate meets it.
  InterpolativeOutcome run(double tol) {
    const Index m = source_.rows(), n = source_.cols(), most = std::min(m, n);
    if (most == 0) return finish(Status::converged);
    const Index wanted = opt_.rank > 0 ? std::min(opt_.rank, most) : most;
    Index d = opt_.rows_for(wanted);
    if (tol > 0.0) d = std::min(d, std::max(kFirst, 2 * opt_.oversampling));
    for (d = std::max(d, Y_.rows);; d *= 2) {
      d = std::min(d, m);
      const auto stop = pending_ = extend(d);
      if (stop && Y_.rows < d) return finish(*stop);
      if (!finite()) return finish(Status::nonfinite);
      factor_.emplace(Y_, exact_, m);
      const Index allowed = exact_ ? d : opt_.rank_from(d);
      const Index last = std::min({factor_->rank(), wanted, allowed});
      choose(tol, last);
      const bool met = out_.residual <= out_.target;
      if (tol == 0.0 || met) return finish(Status::converged);
      if (last == factor_->rank() && (exact_ || last < allowed)) {
        return finish(Status::precision_limit);
      }
      if (last == wanted && (opt_.rank > 0 || exact_)) return finish(Status::max_iterations);
      if (stop) return finish(*stop);
    }
  }

  /// Writes J and X, and C = A_J by `rank` more products where `with_columns`.
  void write(Interpolative<T>& to, bool with_columns) {
    const Index k = out_.rank;
    to.X.resize(k, source_.cols());
    to.C.resize(source_.rows(), with_columns ? k : 0);
    to.columns.clear();
    if (!factor_) return;
    to.columns.assign(columns().begin(), columns().end());
    factor_->coefficients(to.X.view());
    if (with_columns) source_.columns_of(columns(), to.C.view());
  }
  /// Whether there is one: a run that was stopped before its sketch was complete has none.
  bool has_skeleton() const { return factor_.has_value(); }
  /// The rows ω of the sketch times A, E ωωᴴ = I; A itself if `exact`.
  SmallMatrix<W>& sketch() { return Y_; }
  bool exact() const { return exact_; }
  std::span<const Index> columns() const {
    return factor_->order().first(static_cast<std::size_t>(out_.rank));
  }
  const Clock& clock() const { return clock_; }
  /// A stop that was asked for when the sketch was complete: for those who have more to do.
  std::optional<Status> pending() const { return pending_; }

  std::optional<Status> observe(Index done) {
    Iteration now;
    now.iteration = done;
    now.products = source_.products();
    now.residual = out_.residual;
    now.clock = &clock_;
    return monitor_.check(now);
  }

 private:
  static constexpr Index kFirst = 32;  // rows of the first sketch for a tolerance
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  /// Makes Y have d rows, or as many as there is time for. A of no more rows is read as it is: it
  /// is its own best sketch.
  std::optional<Status> extend(Index d) {
    const Index m = source_.rows(), n = source_.cols();
    factor_.reset();
    if (d == m && !exact_) {
      Y_.resize(0, n);
      exact_ = true;
    }
    const Index batch = std::min(source_.batch(), std::max<Index>(d - Y_.rows, 1));
    Arena<HostSpace<T>> arena;
    arena.begin(s_, Arena<HostSpace<T>>::padded(n) * batch);
    const BlockView<T> Z = arena.block(n, batch);
    SmallMatrix<W> larger;
    larger.resize(d, n);
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < Y_.rows; ++i) larger(i, j) = Y_(i, j);
    }
    std::optional<Status> stop;
    for (Index done = Y_.rows; done < d && !stop;) {
      const Index count = std::min(batch, d - done);
      if (exact_) {
        std::vector<Index> I(static_cast<std::size_t>(count));
        std::iota(I.begin(), I.end(), done);
        source_.rows_of(I, Z.columns(0, count));
      } else {
        source_.sketch(done, Z.columns(0, count));
      }
      for (Index i = 0; i < count; ++i) {
        for (Index j = 0; j < n; ++j) larger(done + i, j) = static_cast<W>(Z(j, i));
      }
      done += count;
      stop = observe(done);
      if (done == d) Y_ = std::move(larger);
    }
    return stop;
  }

  bool finite() const {
    return std::all_of(Y_.data.begin(), Y_.data.end(),
                       [](const W& y) { return std::isfinite(std::abs(y)); });
  }

  /// The smallest rank up to `last` whose estimate meets the tolerance; `last` without one.
  void choose(double tol, Index last) {
    out_.norm = factor_->norm();
    out_.target = tol * out_.norm;
    Index k = tol > 0.0 ? 0 : last;
    // What is expected says where to look; how far off it was, where to look next.
    for (double off = 1.0;; off = std::max(out_.residual / factor_->expected_error(k), 1.0), ++k) {
      while (k < last && off * factor_->expected_error(k) > out_.target) ++k;
      out_.residual = factor_->error(k);
      if (k == last || out_.residual <= out_.target) break;
    }
    out_.rank = k;
  }

  InterpolativeOutcome finish(Status status) {
    out_.status = status;
    if (!factor_) {
      out_.rank = 0;
      out_.residual = status == Status::converged ? 0.0 : kNone;
    }
    out_.iterations = out_.sketch = Y_.rows;
    out_.products = source_.products();
    out_.verified = status == Status::converged;
    out_.seconds = clock_.seconds();
    return out_;
  }

  HostSpace<T>& s_;
  SkeletonSource<T>& source_;
  InterpolativeOptions opt_;
  Monitor monitor_;
  Clock clock_;
  SmallMatrix<W> Y_;
  bool exact_ = false;
  std::optional<Status> pending_;
  std::optional<SketchSkeleton<T>> factor_;
  InterpolativeOutcome out_;
};

/// A ≈ A_J X. Products: `rows_for(rank)` adjoint ones for an operator, with a tolerance up
/// to twice those that it takes, and `rank` for C; an array is read once a sketch.
template <Field T>
InterpolativeOutcome interpolative(HostSpace<T>& space, SkeletonSource<T>& source,
                                   Interpolative<T>& to, const InterpolativeOptions& opt,
                                   const Monitor& monitor = {}, bool with_columns = false) {
  InterpolativeRun<T> run(space, source, opt, monitor);
  InterpolativeOutcome out = run.run(opt.tol);
  run.write(to, with_columns);
  out.products = source.products();
  return out;
}

}  // namespace ritz
