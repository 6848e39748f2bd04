// What the estimators of diagonals and of row norms share: options, the outcome, means of vectors
// with the variance of each element, and the run that grows an estimator until it is sure enough.
#pragma once

#include <optional>
#include <string>

#include "ritz/core/monitor.hpp"
#include "ritz/function/probes.hpp"

namespace ritz {

enum class ElementwiseMethod : int {
  automatic = 0,
  hutchinson = 1,     ///< random signs alone
  leave_one_out = 2,  ///< XDiag, or XRowNorm: a low-rank part exactly; needs Aᴴ
  nystrom = 3,        ///< XNysDiag: likewise for positive semidefinite operators, without Aᴴ
  exact = 4,
};

struct ElementwiseOptions {
  Index samples = 100;  ///< at most this many products; enough to form A make the result exact
  double rtol = 0.0;    ///< stop when ‖standard errors‖ ≤ rtol ‖estimate‖; 0 never
  RandomKey seed = {};
  ElementwiseMethod method = ElementwiseMethod::automatic;
  bool symmetric = false;  ///< A = Aᴴ: products with A serve for those with Aᴴ
  bool positive = false;   ///< A is positive semidefinite too, which `automatic` makes use of
  Index block = 1;         ///< columns of a product with sign or unit vectors
  bool keep_path = false;

  template <class F>
  void visit(const F& f) {
    f("samples", samples);
    f("rtol", rtol);
    f("symmetric", symmetric);
    f("positive", positive);
    f("block", block);
    f("keep_path", keep_path);
  }
};

struct ElementwiseOutcome : Outcome {
  /// ‖standard errors‖ after so many products.
  struct Point {
    Index products;
    double stderr_;
  };

  ElementwiseMethod method = ElementwiseMethod::hutchinson;
  std::vector<Point> path;  ///< if it was to be kept
};

/// The mean of vectors, and Σ |e − mean|² by element, one vector after another.
template <Space S>
class ElementwiseMean {
 public:
  using T = typename S::Value;

  ElementwiseMean(VectorView<T> mean, VectorView<T> squares) : mean_(mean), squares_(squares) {}

  void begin(S& space) {
    count_ = 0;
    sum_ = 0.0;
    space.fill(0.0, mean_);
    space.fill(0.0, squares_);
  }
  /// Takes in e, which is overwritten.
  void add(S& space, VectorView<T> e) {
    const auto before = static_cast<double>(count_++);
    const double share = 1.0 / (before + 1.0);
    space.axpby(-1.0, mean_, 1.0, e);
    space.add_squares(before * share, e, squares_);
    if (before > 0.0) sum_ += before * share * space.read(space.norm2(e));
    space.axpby(share, e, 1.0, mean_);
  }
  /// Turns the squares into the variances of the mean's elements, its errors taken for `factor`
  /// times what the spread says.
  void finish(S& space, double factor = 1.0) { space.scale(factor * factor * weight(), squares_); }
  /// The norm of the standard errors.
  double norm() const { return count_ > 1 ? std::sqrt(sum_ * weight()) : INFINITY; }
  Index count() const { return count_; }

 private:
  double weight() const {
    const auto k = static_cast<double>(count_);
    return count_ > 1 ? 1.0 / (k * (k - 1.0)) : INFINITY;
  }

  VectorView<T> mean_, squares_;
  Index count_ = 0;
  double sum_ = 0.0;
};

/// What a stage of a growing estimator found.
struct ElementwiseEstimation {
  double norm = INFINITY;    ///< of the standard errors
  double spread = INFINITY;  ///< the same if the samples were independent
  bool exact = false;
  double variance = 0.0;  ///< summed over the elements, of one sample with signs alone
};

/// The account of a run, and its stages.
template <Space S, class A>
class ElementwiseRun {
 public:
  using T = typename S::Value;

  ElementwiseRun(S& space, const A& op, VectorView<T> value, VectorView<T> variance,
                 const ElementwiseOptions& options, const Monitor& monitor)
      : s_(space),
        A_(op),
        value_(value),
        variance_(variance),
        opt_(options),
        monitor_(monitor),
        budget_(std::min(options.samples, std::max<Index>(monitor.max_products, 1))) {
    if (opt_.samples < 2) throw InvalidArgument("samples must be at least 2: one has no error");
    if (opt_.block < 1) throw InvalidArgument("block must be at least 1");
    check_tolerance("rtol", opt_.rtol);
    s_.fill(0.0, value_);
    s_.fill(0.0, variance_);
  }

 protected:
  static constexpr Index kFirst = 8;   // probes of the first stage
  static constexpr Index kChunk = 32;  // columns of one block product at most
  static constexpr double kTrial = 0.125;

  /// Estimates with more and more probes. `leave()` goes on with signs alone, `exact()` forms all.
  template <class Method, class Leave, class Exact>
  ElementwiseOutcome grow(Method& method, Index last, Index n, const Leave& leave,
                          const Exact& exact) {
    const bool automatic = opt_.method == ElementwiseMethod::automatic;
    last = std::min(budget_ / Method::kProducts, last);
    if (last < kLeastProbes) {
      if (automatic) return leave();
      if (budget_ >= n) return exact();
      throw InvalidArgument("samples is " + std::to_string(budget_) + "; pass at least " +
                            std::to_string(Method::kProducts * kLeastProbes) + ", or hutchinson");
    }
    Index k =
        std::min(last, automatic ? std::clamp<Index>(budget_ / 4, kLeastProbes, kFirst) : kFirst);
    method.prepare(opt_.rtol > 0.0 ? k : last);
    ErrorTrend trend;
    for (;;) {
      method.extend(k, *this);
      if (!method.finite()) return finish(Status::nonfinite, k);
      const ElementwiseEstimation e = method.estimate(value_, variance_);
      if (!method.semidefinite()) return finish(Status::negative_curvature, k);
      if (!record(e.norm)) return finish(Status::nonfinite, k);
      const auto stop = observe(k);
      if (opt_.rtol > 0.0 && met()) return finish(Status::converged, k);
      if (e.exact) return finish(opt_.rtol > 0.0 ? Status::precision_limit : Status::converged, k);
      if (k == last && opt_.rtol == 0.0) return finish(exhausted(Status::converged), k);
      if (stop) return finish(*stop, k);
      const Index spent = products_.total();
      const bool far = opt_.rtol > 0.0 && trend.hopeless(n, spent, e.norm, out_.target);
      if ((k == last || far) && budget_ - spent >= n) return exact();
      if (k == last) return finish(exhausted(Status::max_iterations), k);
      if (automatic && signs_pay(e, spent, n)) return leave();
      k = std::min(last, k + std::min(k, std::max(kChunk, k / 4)));
    }
  }

  /// As in `trace`.
  bool signs_pay(const ElementwiseEstimation& e, Index spent, Index n) const {
    const double p = static_cast<double>(spent), left = static_cast<double>(budget_ - spent);
    if (left < static_cast<double>(kFirst)) return false;
    const double here = e.spread * e.spread * p;
    if (opt_.rtol == 0.0) return e.variance / left < here / (p + left);
    const double target2 = out_.target * out_.target;
    const double needed = e.variance / target2;
    return needed < static_cast<double>(n) && needed < here / target2 - p && needed * kTrial < p;
  }

  /// The mean of `sample(product, probe)`, formed in place of the product.
  template <class Sample>
  ElementwiseOutcome average(BlockView<T> Omega, BlockView<T> Y, const Sample& sample) {
    out_.method = ElementwiseMethod::hutchinson;
    const Index count = opt_.samples - products_.total();
    ElementwiseMean<S> mean(value_, variance_);
    mean.begin(s_);
    for (Index i = 0; i < count;) {
      const Index block = std::min({Omega.cols, count - i, available()});
      for (Index j = 0; j < block; ++j) {
        fill_probe(s_, Probe::signs, opt_.seed, ProbeStream::first, i + j, Omega.column(j));
      }
      apply(Omega.columns(0, block), Y.columns(0, block));
      for (Index j = 0; j < block; ++j, ++i) {
        sample(Y.column(j), Omega.column(j));
        mean.add(s_, Y.column(j));
      }
      const auto end = [&](Status status) {
        mean.finish(s_);
        return finish(status, i);
      };
      if (!record(mean.norm())) return end(Status::nonfinite);
      if (i >= 10 && met()) return end(Status::converged);
      const auto stop = observe(i);
      if (i == count) return end(opt_.rtol == 0.0 ? Status::converged : Status::max_iterations);
      if (stop) return end(*stop);
    }
    return finish(Status::converged, 0);
  }

  /// `take(i, product with unit vector i)` for every i of `count`.
  template <class Product, class Take>
  ElementwiseOutcome all(BlockView<T> E, BlockView<T> Y, Index count, const Product& product,
                         const Take& take) {
    out_.method = ElementwiseMethod::exact;
    s_.fill(0.0, value_);
    s_.fill(0.0, variance_);
    for (Index j = 0; j < E.cols; ++j) s_.fill(0.0, E.column(j));
    for (Index i = 0; i < count;) {
      const Index block = std::min({E.cols, count - i, available()});
      for (Index j = 0; j < block; ++j) s_.fill(1.0, E.column(j).middle(i + j, 1));
      product(E.columns(0, block), Y.columns(0, block));
      for (Index j = 0; j < block; ++j, ++i) {
        take(i, Y.column(j));
        s_.fill(0.0, E.column(j).middle(i, 1));
      }
      out_.residual = INFINITY;
      if (const auto stop = observe(i); stop && i < count) return finish(*stop, i);
    }
    return finish(record(0.0) ? Status::converged : Status::nonfinite, count);
  }

  bool met() const { return opt_.rtol > 0.0 && out_.residual <= out_.target; }
  Index available() const { return std::max<Index>(monitor_.max_products - products_.total(), 1); }
  Status exhausted(Status samples) const {
    return budget_ < opt_.samples ? Status::max_products : samples;
  }

 public:
  /// Y = A X, counted.
  void apply(BlockView<T> X, BlockView<T> Y) {
    for (Index j = 0; j < X.cols; j += kChunk) {
      const Index count = std::min(kChunk, X.cols - j);
      (count > 1 ? products_.columns : products_.apply) += count;
      apply_columns(A_, BlockView<const T>(X.columns(j, count)), Y.columns(j, count));
    }
  }
  /// Y = Aᴴ X, counted.
  void apply_adjoint(BlockView<T> X, BlockView<T> Y) {
    if (opt_.symmetric) return apply(X, Y);
    for (Index j = 0; j < X.cols; j += kChunk) {
      const Index count = std::min(kChunk, X.cols - j);
      (count > 1 ? products_.columns : products_.adjoint) += count;
      apply_adjoint_columns(A_, BlockView<const T>(X.columns(j, count)), Y.columns(j, count));
    }
  }

 protected:
  /// False if the estimate is not finite.
  bool record(double norm) {
    const double size = std::sqrt(s_.read(s_.norm2(value_)));
    out_.residual = norm;
    out_.target = opt_.rtol * size;
    if (opt_.keep_path) out_.path.push_back({products_.total(), norm});
    return std::isfinite(size);
  }
  std::optional<Status> observe(Index iteration) {
    Iteration now;
    now.iteration = iteration;
    now.products = products_;
    now.residual = out_.residual;
    now.clock = &clock_;
    return monitor_.check(now);
  }
  ElementwiseOutcome finish(Status status, Index iterations) {
    out_.status = status;
    out_.iterations = iterations;
    out_.products = products_;
    out_.verified = status == Status::converged;
    out_.seconds = clock_.seconds();
    return std::move(out_);
  }

  S& s_;
  const A& A_;
  VectorView<T> value_, variance_;
  ElementwiseOptions opt_;
  Monitor monitor_;
  Clock clock_;
  Index budget_;
  Counts products_;
  ElementwiseOutcome out_;
};

}  // namespace ritz
