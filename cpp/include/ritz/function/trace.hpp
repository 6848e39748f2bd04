// The trace of an operator from its products, with its standard error: by random signs alone, or by
// a method that takes a part of low rank out of the variance, chosen by what that gains.
// Hutchinson: A stochastic estimator of the trace of the influence matrix. Commun. Stat. 19, 1990.
// The other methods: hutchpp.hpp, xtrace.hpp, xnystrace.hpp.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/function/trace_options.hpp"

namespace ritz {

/// One run of `trace`.
template <Space S, class A>
class TraceRun {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  TraceRun(S& space, const A& op, TraceWorkspace<S>& workspace, const TraceOptions& options,
           const Monitor& monitor, Checkpoint& checkpoint)
      : s_(space),
        A_(op),
        n_(op.rows()),
        ws_(workspace),
        opt_(options),
        monitor_(monitor),
        checkpoint_(checkpoint) {}

  TraceOutcome<T> run() {
    if (checkpoint_) resumed_ = load_progress();
    products_ = progress_.products;
    if (resumed_ && progress_.phase == Phase::exact) return exact();
    if (resumed_ && progress_.phase == Phase::signs) return hutchinson();
    budget_ = std::min(opt_.samples, std::max<Index>(monitor_.max_products, 1));
    const bool stages = opt_.method != TraceMethod::hutchinson;
    // With a tolerance the estimate may be much cheaper than the exact value, so it goes first.
    const bool tried_first = stages && opt_.rtol > 0.0 && n_ > kSmall;
    if (opt_.method == TraceMethod::exact || (opt_.samples >= n_ && !tried_first)) return exact();
    switch (opt_.method) {
      case TraceMethod::hutchpp: {
        HutchPP<S> method(s_, n_, opt_.seed, ws_.hutchpp);
        return grow(method, ws_.hutchpp);
      }
      case TraceMethod::xtrace:
        return xtrace();
      case TraceMethod::xnystrace:
        return xnystrace();
      case TraceMethod::automatic:
        if (budget_ >= 2 * kLeastProbes) return opt_.positive ? xnystrace() : xtrace();
        [[fallthrough]];
      default:
        return hutchinson();
    }
  }

 private:
  static constexpr Index kFirst = 8;   // probes of the first stage
  static constexpr Index kChunk = 32;  // columns of one block product at most
  static constexpr Index kSmall = 32;  // an n for which the exact trace costs about one stage
  // Trials of a method that does not pay may cost this share of the products that the other needs.
  static constexpr double kTrial = 0.125;

  TraceOutcome<T> xtrace() {
    XTrace<S> method(s_, n_, opt_.seed, ws_.xtrace);
    out_.method = TraceMethod::xtrace;
    return grow(method, ws_.xtrace);
  }
  TraceOutcome<T> xnystrace() {
    XNysTrace<S> method(s_, n_, opt_.seed, ws_.nystrom);
    out_.method = TraceMethod::xnystrace;
    return grow(method, ws_.nystrom);
  }

  /// Estimates with more and more probes, by one method.
  template <class Method, class Memory>
  TraceOutcome<T> grow(Method& method, Memory& memory) {
    constexpr Index kCost = Method::kProducts;
    if (opt_.method != TraceMethod::automatic) out_.method = opt_.method;
    const Index last = most_probes(kCost, n_, budget_);
    if (last < kLeastProbes) {
      if (opt_.samples >= n_) return exact();
      throw InvalidArgument("samples is " + std::to_string(budget_) + "; pass at least " +
                            std::to_string(kCost * kLeastProbes) + ", or hutchinson");
    }
    const auto times = [&](BlockView<T> X, BlockView<T> Y) { product(X, Y); };
    Index k = opt_.method == TraceMethod::automatic
                  ? std::clamp<Index>(budget_ / 4, kLeastProbes, kFirst)
                  : kFirst;
    k = std::min(k, last);
    memory.prepare(s_, n_, opt_.rtol > 0.0 ? k : last);
    if (resumed_) {
      const Index probes = std::clamp<Index>(progress_.done, 1, last);
      checkpoint_.load(identity(), whole_state(method.state(probes)));
      k = more(probes, last);
    }
    for (;;) {
      method.extend(k, times);
      if (!method.finite()) return finish(Status::nonfinite, k);
      const Estimation<W> e = method.estimate();
      if constexpr (requires { method.semidefinite(); }) {
        if (!method.semidefinite()) return finish(Status::negative_curvature, k);
      }
      if (!std::isfinite(std::abs(e.value))) return finish(Status::nonfinite, k);
      record(e.value, e.sem);
      const auto stop = observe(k);
      if (opt_.rtol > 0.0 && out_.stderr_ <= out_.target) return finish(Status::converged, k);
      if (e.exact) return finish(opt_.rtol > 0.0 ? Status::precision_limit : Status::converged, k);
      if (k == last && opt_.rtol == 0.0) return finish(exhausted(Status::converged), k);
      if (stop) return finish(*stop, k);
      const Index spent = products_.total();
      const bool far = opt_.rtol > 0.0 && progress_.trend.hopeless(n_, spent, e.sem, out_.target);
      if ((k == last || far) && budget_ - spent >= n_) return exact();
      if (k == last) return finish(exhausted(Status::max_iterations), k);
      if (opt_.method == TraceMethod::automatic && signs_pay(e, spent)) return hutchinson();
      progress_.done = k;
      if (checkpoint_.due()) save(method.state(k));
      k = more(k, last);
    }
  }
  static Index more(Index k, Index last) {
    return std::min(last, k + std::min(k, std::max(kChunk, k / 4)));
  }

  /// Whether random signs alone will need fewer products than this method if that goes on to gain
  /// no more than it has: then its error falls as 1 / √products too.
  bool signs_pay(const Estimation<W>& e, Index spent) const {
    const double p = static_cast<double>(spent), left = static_cast<double>(budget_ - spent);
    if (left < static_cast<double>(kFirst)) return false;
    const double here = e.spread * e.spread * p;
    if (opt_.rtol == 0.0) return e.variance / left < here / (p + left);
    const double target2 = out_.target * out_.target;
    const double needed = e.variance / target2;
    return needed < static_cast<double>(n_) && needed < here / target2 - p && needed * kTrial < p;
  }

  /// Mean of zᴴAz over random sign vectors z.
  TraceOutcome<T> hutchinson() {
    out_.method = TraceMethod::hutchinson;
    start(Phase::signs);
    Index& i = progress_.done;
    W& mean = progress_.sum;
    double& squares = progress_.squares;  // Σ |sample − mean|², by Welford's update
    const Index count = opt_.samples - (products_.total() - i);
    ws_.prepare(s_, n_, std::min(opt_.block, count));
    while (i < count) {
      const Index block = std::min({ws_.z.cols, count - i, available()});
      for (Index j = 0; j < block; ++j) {
        fill_probe(s_, Probe::signs, opt_.seed, ProbeStream::first, i + j, ws_.z.column(j));
      }
      product(ws_.z.columns(0, block), ws_.y.columns(0, block));
      for (Index j = 0; j < block; ++j, ++i) {
        const W sample = s_.read(s_.dot(ws_.z.column(j), ws_.y.column(j)));
        if (!std::isfinite(std::abs(sample))) return finish(Status::nonfinite, i + 1);
        const W before = sample - mean;
        mean += before / static_cast<double>(i + 1);
        squares += std::real(before * conjugate(sample - mean));
      }
      const double k = static_cast<double>(i);
      record(mean, i > 1 ? std::sqrt(squares / (k - 1.0) / k) : INFINITY);
      // Two samples may agree by chance; ten hardly do.
      if (opt_.rtol > 0.0 && i >= 10 && out_.stderr_ <= out_.target) {
        return finish(Status::converged, i);
      }
      const auto stop = observe(i);
      if (stop && i < count) return finish(*stop, i);
      if (checkpoint_.due()) save({});
    }
    // Without a tolerance the samples asked for are all that was asked.
    return finish(opt_.rtol == 0.0 ? Status::converged : Status::max_iterations, count);
  }

  /// The sum of the diagonal.
  TraceOutcome<T> exact() {
    out_.method = TraceMethod::exact;
    start(Phase::exact);
    Index& i = progress_.done;
    W& sum = progress_.sum;
    ws_.prepare(s_, n_, std::clamp<Index>(opt_.block, 1, std::max<Index>(n_, 1)));
    for (Index j = 0; j < ws_.z.cols; ++j) s_.fill(0.0, ws_.z.column(j));
    while (i < n_) {
      const Index block = std::min({ws_.z.cols, n_ - i, available()});
      for (Index j = 0; j < block; ++j) s_.fill(1.0, ws_.z.column(j).middle(i + j, 1));
      product(ws_.z.columns(0, block), ws_.y.columns(0, block));
      for (Index j = 0; j < block; ++j, ++i) {
        const W element = s_.read(s_.dot(ws_.z.column(j), ws_.y.column(j)));
        if (!std::isfinite(std::abs(element))) return finish(Status::nonfinite, i + 1);
        sum += element;
        s_.fill(0.0, ws_.z.column(j).middle(i, 1));
      }
      if (i < n_) {
        if (const auto stop = observe(i)) return finish(*stop, i);
        if (checkpoint_.due()) save({});
      }
    }
    record(sum, 0.0);
    out_.residual = 0.0;
    observe(n_);
    return finish(Status::converged, n_);
  }

  Index available() const { return std::max<Index>(monitor_.max_products - products_.total(), 1); }
  /// Another ending if it was the monitor that set the budget.
  Status exhausted(Status samples) const {
    return budget_ < opt_.samples ? Status::max_products : samples;
  }

  void product(BlockView<T> X, BlockView<T> Y) {
    for (Index j = 0; j < X.cols; j += kChunk) {
      const Index count = std::min(kChunk, X.cols - j);
      (count > 1 ? products_.columns : products_.apply) += count;
      apply_columns(A_, BlockView<const T>(X.columns(j, count)), Y.columns(j, count));
    }
  }

  void record(W value, double error) {
    out_.value = value;
    out_.stderr_ = out_.residual = error;
    out_.target = opt_.rtol * std::abs(value);
    if (opt_.keep_path) out_.path.push_back({products_.total(), value, error});
  }
  std::optional<Status> observe(Index iteration) {
    Iteration now;
    now.iteration = iteration;
    now.products = products_;
    now.residual = out_.stderr_;
    now.objective = std::real(out_.value);
    now.clock = &clock_;
    return monitor_.check(now);
  }
  TraceOutcome<T> finish(Status status, Index iterations) {
    if (status == Status::converged) checkpoint_.remove();
    out_.status = status;
    out_.iterations = iterations;
    out_.products = products_;
    out_.verified = status == Status::converged;
    out_.seconds = clock_.seconds();
    return std::move(out_);
  }

  enum class Phase : int { stages, signs, exact };
  /// What a checkpoint keeps beside the state of a method.
  struct Progress {
    bool saved = false;
    Counts products;
    Phase phase = Phase::stages;
    Index done = 0;        // probes, samples or elements
    W sum{};               // the mean of the samples, or the sum of the elements
    double squares = 0.0;  // Σ |sample − mean|²
    ErrorTrend trend;
  };
  /// What is saved of a method depends on the number of its probes, which the file tells first; all
  /// of the file is checked when it is read again in full.
  bool load_progress() {
    const auto progress = Checkpoint::value(progress_);
    try {
      return checkpoint_.load(identity(), {&progress, 1});
    } catch (const InvalidArgument&) {
      if (!progress_.saved || progress_.phase != Phase::stages) throw;
      return true;
    }
  }
  /// Enters a phase, unless a checkpoint was saved in it.
  void start(Phase phase) {
    if (progress_.phase == phase) return;
    progress_ = {};
    progress_.phase = phase;
  }
  std::vector<Checkpoint::Part> whole_state(std::vector<Checkpoint::Part> method) {
    method.insert(method.begin(), Checkpoint::value(progress_));
    return method;
  }
  void save(std::vector<Checkpoint::Part> method) {
    progress_.products = products_;
    progress_.saved = true;
    checkpoint_.save(identity(), whole_state(std::move(method)));
  }
  std::string identity() const {
    char text[256];
    std::snprintf(text, sizeof text,
                  "trace bytes=%zu complex=%d n=%lld method=%d positive=%d samples=%lld block=%lld "
                  "seed=%llu stream=%llu rtol=%.17g",
                  sizeof(T), int{ComplexField<T>}, static_cast<long long>(n_),
                  static_cast<int>(opt_.method), int{opt_.positive},
                  static_cast<long long>(opt_.samples), static_cast<long long>(opt_.block),
                  static_cast<unsigned long long>(opt_.seed.seed),
                  static_cast<unsigned long long>(opt_.seed.stream), opt_.rtol);
    return text;
  }

  S& s_;
  const A& A_;
  Index n_;
  TraceWorkspace<S>& ws_;
  TraceOptions opt_;
  Monitor monitor_;
  Checkpoint& checkpoint_;
  Clock clock_;
  Progress progress_;
  bool resumed_ = false;
  Index budget_ = 0;
  Counts products_;
  TraceOutcome<T> out_;
};

/// The trace by `opt.method`. Random signs give the mean of zᴴAz: unbiased, with variance
/// 2 ‖A − diag(A)‖²_F for a real symmetric A. `automatic` begins with XTrace (XNysTrace if A is
/// positive) and goes over to signs once those promise to need fewer products.
template <Space S, LinearOperator<typename S::Value> A>
TraceOutcome<typename S::Value> trace(S& space, const A& op, TraceWorkspace<S>& ws,
                                      const TraceOptions& opt = {}, const Monitor& monitor = {},
                                      Checkpoint checkpoint = {}) {
  if (op.rows() != op.cols()) throw InvalidArgument("A must be square: only then has it a trace");
  if (opt.samples < 2) throw InvalidArgument("samples must be at least 2: one has no error");
  if (opt.block < 1) throw InvalidArgument("block must be at least 1");
  check_tolerance("rtol", opt.rtol);
  return TraceRun<S, A>(space, op, ws, opt, monitor, checkpoint).run();
}

}  // namespace ritz
