// A few eigenpairs of a Hermitian operator: thick-restart block Lanczos with full
// reorthogonalisation, locking, and deflation of known vectors.
//
// Wu, Simon: Thick-restart Lanczos method for large symmetric eigenvalue problems. SIAM J. Matrix
// Anal. Appl. 22, 2000. Locking: Stathopoulos: Nearly optimal preconditioned methods for Hermitian
// eigenproblems under limited memory. Part I. SIAM J. Sci. Comput. 29, 2007.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/eigen/eigsh_options.hpp"
#include "ritz/eigen/lanczos_basis.hpp"
#include "ritz/eigen/rayleigh_ritz.hpp"
#include "ritz/eigen/ritz_pairs.hpp"
#include "ritz/eigen/which.hpp"

namespace ritz {

template <Space S, class Problem>
class EigshRun {
 public:
  using T = typename S::Value;
  using Wide = WideOf<T>;
  using Basis = LanczosBasis<S, Problem>;
  static constexpr double kEps = Basis::kEps;

  EigshRun(S& space, const Problem& problem, EigshWorkspace<S>& ws, const EigshOptions& opt,
           const Monitor& monitor, Checkpoint& checkpoint)
      : problem_(problem),
        ws_(ws),
        opt_(opt),
        monitor_(monitor),
        checkpoint_(checkpoint),
        block_(std::max(opt.block_size, std::max<Index>(problem.start.cols, 1))),
        m_(basis_size()),
        max_restarts_(opt.max_restarts > 0 ? opt.max_restarts : 10 * problem.size()),
        // Rounding in the basis and its restarts leaves residuals of 10 to 30 eps ‖A‖, of harmonic
        // restarts, which are many, some hundred. Half of this is left to what the estimates know
        // nothing of.
        tol_(std::max(opt.tol, (opt.interior ? 512.0 : 64.0) * kEps)),
        basis_((ws.prepare(space, problem.size(), m_, block_, problem.deflate.cols,
                           problem.weighted()),
                space),
               ws, problem, m_, block_, opt.seed, Looks<S>::lags(monitor)),
        ritz_(ws, basis_.projected, opt.which, opt.interior, problem.sigma) {}

  EigshOutcome run(const EigshResults<T>& results) {
    if (!begin()) return failed();
    for (;;) {
      if (!cycle()) return failed();
      const bool whole = basis_.shape.size == basis_.room();
      const bool done = progress_.converged == opt_.k;
      if (done && worth_looking()) {
        if (!look()) return failed();
        if (!progress_.looked) continue;  // something had been missed
      }
      if (done || stop_ || whole || progress_.restarts == max_restarts_) break;
      if (!restart()) return failed();
      ++progress_.restarts;
      save();
    }
    return finish(results);
  }

 private:
  /// What a checkpoint keeps beside the vectors, T and the residual estimates.
  struct Progress {
    LanczosShape shape;
    Counts products;
    Index others = 0, steps = 0, restarts = 0, converged = 0;
    double residual = Iteration::kNone;  // the largest estimate among the wanted pairs
    double largest = 0.0;                // |θ|
    bool looked = false;
  };

  Index basis_size() const {
    const Index n = problem_.size();
    if (opt_.k < 1 || opt_.k > n) {
      throw InvalidArgument("k is " + std::to_string(opt_.k) +
                            "; pass 1 to n = " + std::to_string(n));
    }
    if (opt_.block_size < 1) throw InvalidArgument("block_size must be at least 1");
    Index m = opt_.ncv > 0 ? opt_.ncv : default_ncv(opt_.k, block_);
    if (opt_.max_basis > 0) m = std::min(m, opt_.max_basis);
    m = std::min(n, m);
    if (m < opt_.k + block_ && m < n) {
      throw InvalidArgument("ncv is " + std::to_string(m) +
                            "; pass at least k + 1 = " + std::to_string(opt_.k + 1) +
                            ", for blocks k + block_size = " + std::to_string(opt_.k + block_));
    }
    return m;
  }

  double scale() const { return std::max(basis_.shape.norm, ritz_.largest()); }
  /// The estimate at which a pair of value θ counts as converged. An error f of OP v = θ v is one
  /// of (A − σM) f / θ for A: with a solve it is measured against |θ|.
  double claim(double theta) const {
    return 0.5 * tol_ * (problem_.inverted() ? std::abs(theta) : scale());
  }

  bool begin() {
    progress_ = {};
    std::fill(ws_.projected.begin(), ws_.projected.end(), Wide{});
    if (checkpoint_ && checkpoint_.load(identity(), state())) {
      basis_.resume(progress_.shape);
      basis_.op.products = progress_.products;
      basis_.op.others = progress_.others;
      ritz_.resume(progress_.largest);
      return true;
    }
    if (!basis_.deflate(problem_.deflate)) return false;
    if (opt_.k > basis_.room()) {
      throw InvalidArgument("k is " + std::to_string(opt_.k) + "; there are only " +
                            std::to_string(basis_.room()) + " besides the deflated ones");
    }
    return basis_.start(problem_.start, block_);
  }

  /// Steps until the basis is full, the wanted pairs have converged, or the run is to stop; the
  /// Ritz pairs of what there is. Looking at them on the way costs little and saves products.
  bool cycle() {
    auto& shape = basis_.shape;
    const Index often = std::max<Index>(m_ / 10, 1);
    Index unseen = 0;
    bool fresh = false;
    while (shape.width > 0 && shape.size + shape.width <= m_ && !stop_) {
      if (!step()) return false;
      unseen += shape.width;
      const bool first = progress_.restarts == 0 && problem_.start.cols > 0;
      const bool due = first || basis_.invariant() || (unseen >= often && promising());
      fresh = shape.size >= opt_.k && due;
      if (!fresh) continue;
      unseen = 0;
      extract();
      if (progress_.converged == opt_.k) return true;
    }
    if (!fresh) extract();
    return true;
  }
  /// Whether the pairs may converge before the basis is full.
  bool promising() const {
    return progress_.restarts == 0 || progress_.residual <= 1e4 * tol_ * scale();
  }

  bool step() {
    ++progress_.steps;
    if (!basis_.expand(m_, monitor_.max_products)) return false;
    Iteration now;
    now.iteration = progress_.steps;
    now.products = basis_.op.products;
    now.residual = progress_.residual;
    now.clock = &clock_;
    stop_ = monitor_.check(now);
    return true;
  }

  /// Rayleigh-Ritz; how many of the wanted pairs have converged.
  void extract() {
    ritz_.extract(basis_.shape, opt_.k);
    progress_.residual = 0.0;
    progress_.converged = 0;
    for (Index i = 0; i < std::min(opt_.k, basis_.shape.size); ++i) {
      const Index at = ritz_.order(i);
      progress_.residual = std::max(progress_.residual, ritz_.estimate(at));
      if (ritz_.estimate(at) <= claim(ritz_.value(at))) ++progress_.converged;
    }
  }

  bool restart() {
    // Two fifths of the room go back to the process; converged pairs cost it nothing.
    const Index most = std::min(m_ - block_, basis_.shape.size);
    const Index keep = std::clamp((3 * m_ + 2 * progress_.converged) / 5, opt_.k, most);
    // Locking drops what a pair has in T beside its value: all of them together stay far below
    // the tolerance.
    const double share = 4.0 * std::sqrt(static_cast<double>(opt_.k));
    keep_only(keep, [&](double theta, double estimate) {
      return !opt_.interior && share * estimate <= claim(theta);
    });
    // A loose tolerance ends a run before rounding has brought in the copies of a multiple
    // eigenvalue; a part of what is tolerated does it in its place.
    return !perturbs() || basis_.perturb(tol_ / 32.0);
  }
  bool perturbs() const { return tol_ > kLoose * kEps && !problem_.inverted() && !opt_.interior; }
  static bool all(double, double) { return true; }
  static bool none(double, double) { return false; }
  template <class Locks>
  void keep_only(Index keep, const Locks& locks) {
    auto& shape = basis_.shape;
    const Index active = shape.size - shape.locked;
    ritz_.choose(shape, keep, locks);
    if (ritz_.rows_with_next()) {
      basis_.combine(shape.locked, active + shape.width, ritz_.combination());
      shape.size = keep;
    } else {
      basis_.combine(shape.locked, active, ritz_.combination());
      basis_.shrink(keep);
    }
    ritz_.restart(shape);
  }

  /// A Krylov space holds one vector of each eigenspace, more only by rounding. Missing copies
  /// matter if they are better than the last wanted value by more than the tolerance.
  bool worth_looking() const {
    if (opt_.interior || opt_.k <= block_ || basis_.shape.size == basis_.room() || stop_) {
      return false;
    }
    const auto wanted = ritz_.wanted();
    double most = improvement(wanted[0], wanted, opt_.which);
    if (opt_.which == Which::both_ends) {
      most = std::max(most, improvement(wanted[1], wanted, opt_.which));
    }
    return most > 2.0 * claim(wanted.back());
  }

  /// Looks for better pairs from random directions, orthogonal to all that were found. Ends when
  /// the best of them is seen to be worse, at the latest after a cycle or a quarter of the products
  /// made so far; if one is better, `looked` stays false and the run goes on.
  bool look() {
    auto& shape = basis_.shape;
    locked_ = shape.locked;
    keep_only(opt_.k, all);
    progress_.looked = true;
    if (!basis_.start({}, block_)) return false;
    constexpr Index kLeast = 3;  // block steps before what they say is believed
    const Index budget = std::max((m_ - opt_.k) / block_, progress_.steps / 4);
    for (Index steps = 1; shape.width > 0 && steps <= budget && !stop_; ++steps) {
      if (shape.size + shape.width > m_) {
        ritz_.rank_behind_locked(shape);
        keep_only(std::clamp((3 * m_ + 2 * opt_.k) / 5, opt_.k, m_ - block_), none);
        ++progress_.restarts;
      }
      if (!step()) return false;
      const auto rivals = ritz_.rivals(shape);
      if (rivals.improvement > claim(ritz_.wanted().back())) {
        progress_.looked = false;
        return true;
      }
      if (steps >= kLeast && rivals.reach < 0.0) return true;
    }
    return true;
  }

  EigshOutcome failed() {
    return end(basis_.indefinite() ? Status::indefinite_preconditioner : Status::nonfinite);
  }
  EigshOutcome end(Status status) {
    EigshOutcome out;
    out.status = status;
    out.iterations = progress_.steps;
    out.products = basis_.op.products;
    out.preconditioner = basis_.op.others;
    out.restarts = progress_.restarts;
    out.norm_a = scale();
    out.target = tol_ * out.norm_a;
    out.residual = progress_.residual;
    out.seconds = clock_.seconds();
    return out;
  }

  EigshOutcome finish(const EigshResults<T>& results) {
    const bool converged = progress_.converged == opt_.k;
    if (!progress_.looked) {
      locked_ = basis_.shape.locked;
      keep_only(std::min(opt_.k, basis_.shape.size), all);
    }
    const Index found = progress_.looked ? opt_.k : basis_.shape.size;
    const Status status = converged ? Status::converged : stop_.value_or(Status::max_iterations);
    EigshOutcome out = end(status);
    out.locked = locked_;
    RitzPairs<S, Problem> pairs(basis_, ws_, problem_, found);
    if (!pairs.write(results, opt_.verify, perturbs(), tol_, out)) {
      out.found = out.converged = 0;
      out.status = Status::nonfinite;
    } else if (converged && out.converged < opt_.k) {
      out.status = Status::precision_limit;
    }
    out.products = basis_.op.products;
    out.preconditioner = basis_.op.others;
    out.seconds = clock_.seconds();
    if (out.status == Status::converged) checkpoint_.remove();
    return out;
  }

  std::string identity() const {
    std::string text = "eigsh";
    const auto add = [&](const char* name, auto value) {
      text += std::string(" ") + name + "=" + std::to_string(value);
    };
    add("bytes", sizeof(T));
    add("complex", ComplexField<T>);
    add("n", problem_.size());
    add("k", opt_.k);
    add("which", static_cast<int>(opt_.which));
    add("ncv", m_);
    add("block", block_);
    add("deflate", problem_.deflate.cols);
    add("v0", problem_.start.cols);
    add("seed", opt_.seed.seed);
    add("stream", opt_.seed.stream);
    add("M", problem_.weighted());
    add("OPinv", problem_.inverted());
    add("interior", opt_.interior);
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, " tol=%.17g sigma=%.17g", opt_.tol, problem_.sigma);
    return text + numbers;
  }
  std::array<Checkpoint::Part, 5> state() {
    return {Checkpoint::value(progress_), Checkpoint::Part(ws_.projected),
            Checkpoint::Part(ws_.estimates), Checkpoint::columns(basis_.space, ws_.V),
            Checkpoint::columns(basis_.space, ws_.MV)};
  }
  void save() {
    if (!checkpoint_.due()) return;
    progress_.shape = basis_.shape;
    progress_.products = basis_.op.products;
    progress_.others = basis_.op.others;
    progress_.largest = ritz_.largest();
    checkpoint_.save(identity(), state());
  }

  static constexpr double kLoose = 1e4;  // tolerances in units of eps that rounding does not reach

  const Problem& problem_;
  EigshWorkspace<S>& ws_;
  const EigshOptions& opt_;
  const Monitor& monitor_;
  Checkpoint& checkpoint_;
  const Clock clock_;
  Index block_, m_, max_restarts_;
  double tol_;
  Basis basis_;
  RayleighRitz<S> ritz_;
  Progress progress_;
  std::optional<Status> stop_;
  Index locked_ = 0;  // before the last pairs were taken out
};

/// The k wanted eigenpairs of a problem. Cost: one product a step (a solve where there is one) and
/// (3 j + 6) n of traffic with j basis vectors, (ncv + k) n at a restart; k products to verify.
/// Copies of multiple eigenvalues: blocks find as many as block_size with certainty, if the start
/// has them. Others come in by rounding or what stands for it, and before convergence is claimed
/// they are looked for from random directions, with at most a quarter more products: the run ends
/// when the best of the complement is seen to be worse, or when that budget is spent.
template <Space S, class Problem>
EigshOutcome eigsh(S& space, const Problem& problem, const EigshResults<typename S::Value>& results,
                   EigshWorkspace<S>& ws, const EigshOptions& opt = {}, const Monitor& monitor = {},
                   Checkpoint checkpoint = {}) {
  problem.check();
  check_tolerance("tol", opt.tol);
  results.check(problem.size(), opt.k);
  return EigshRun<S, Problem>(space, problem, ws, opt, monitor, checkpoint).run(results);
}

/// The same for A x = λ x.
template <Space S, LinearOperator<typename S::Value> A>
EigshOutcome eigsh(S& space, const A& a, std::span<double> values, std::span<double> residuals,
                   BlockView<typename S::Value> vectors, EigshWorkspace<S>& ws,
                   const EigshOptions& opt = {}, const Monitor& monitor = {}) {
  const HermitianProblem<typename S::Value, A> problem{a};
  return eigsh(space, problem, EigshResults<typename S::Value>{values, residuals, {}, vectors}, ws,
               opt, monitor);
}

}  // namespace ritz
