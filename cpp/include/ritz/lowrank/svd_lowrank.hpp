// The largest singular triplets from random vectors: of a rank that is given, or found by a
// tolerance. Block Krylov, or subspace iteration.
//
// Musco, Musco: Randomized block Krylov methods for stronger and faster approximate singular value
// decomposition. NIPS 2015. Halko, Martinsson, Tropp: Finding structure with randomness. SIAM
// Review 53, 2011. Held-out vectors: Tropp, Yurtsever, Udell, Cevher: Streaming low-rank matrix
// approximation with an application to scientific simulation. SIAM J. Sci. Comput. 41, 2019.
#pragma once

#include "ritz/core/monitor.hpp"
#include "ritz/lowrank/block_krylov.hpp"
#include "ritz/lowrank/svd_lowrank_options.hpp"

namespace ritz {

template <Space S, class Op>
class SvdLowrankRun {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  SvdLowrankRun(S& space, const Op& op, const SvdLowrankOptions& opt, const Monitor& monitor)
      : s_(space),
        counted_(op),
        opt_(opt),
        monitor_(monitor),
        least_(std::min(op.rows(), op.cols())),
        krylov_(space, counted_, opt.seed, capacity(opt, least_)),
        probe_orthogonalizer_(space) {
    norm2_ = opt.norm * opt.norm;
  }

  /// Triplets into what `to(rank)` returns, a TripletsView for so many.
  template <class Deliver>
  SvdLowrankOutcome run(const Deliver& to) {
    Status status =
        opt_.method == static_cast<int>(LowrankMethod::subspace) ? subspace() : krylov();
    if (!krylov_.finite()) status = Status::nonfinite;
    deliver(status, to);
    out_.status = status;
    out_.verified = status == Status::converged;
    out_.basis = std::ssize(krylov_.sigma);
    out_.products = counted_.counts;
    out_.passes = counted_.passes;
    out_.seconds = clock_.seconds();
    return out_;
  }

 private:
  static constexpr double kWorking = std::numeric_limits<RealOf<T>>::epsilon();
  static constexpr std::uint64_t kStream = (std::uint64_t{0x20} << 56) | (std::uint64_t{2} << 48);
  // Residuals, relative to σ₁, that are made of rounding.
  static constexpr double kAttainable = 32.0 * kWorking;

  static Index capacity(const SvdLowrankOptions& opt, Index least) {
    const bool open = opt.tol > 0.0 || opt.method == static_cast<int>(LowrankMethod::subspace);
    const Index rounds = open ? 1 : opt.n_iter + 1;
    return std::min(rounds * opt.block, least) + opt.block;
  }

  Status subspace() {
    krylov_.sketch().extend(std::min(opt_.block, least_), opt_.n_iter);
    out_.iterations = opt_.n_iter;
    if (!krylov_.finite()) return Status::nonfinite;
    krylov_.adjoint_step();
    krylov_.decompose();
    const RangeError& error = krylov_.sketch().error();
    exhausted_ = error.exhausted || krylov_.left() == least_;
    left_2_ = exhausted_ ? 0.0 : error.squared;
    left_stderr_ = exhausted_ ? 0.0 : error.stderr_;
    if (opt_.verify && !over_budget(true)) krylov_.forward_step();
    observe();
    return Status::converged;
  }

  Status krylov() {
    const bool by_error = opt_.k == 0;
    krylov_.sketch().extend(std::min(opt_.block, least_), 0);
    exhausted_ = krylov_.sketch().error().exhausted;
    const std::vector<double> samples = krylov_.sketch().samples();
    SmallMatrix<W> directions = krylov_.sketch().directions();
    while (true) {
      if (!krylov_.finite()) return Status::nonfinite;
      krylov_.adjoint_step();
      if (!krylov_.finite()) return Status::nonfinite;
      if (out_.iterations == 0) estimate_norm(samples, directions);
      exhausted_ = exhausted_ || krylov_.left() >= least_;
      if (by_error && small_enough()) return Status::converged;
      const bool last = exhausted_ || out_.iterations >= opt_.n_iter ||
                        (by_error && krylov_.left() >= opt_.max_rank + opt_.block);
      const bool enough = last && (by_error || (opt_.tol == 0.0 && !opt_.verify));
      const bool tested = opt_.tol > 0.0 && !by_error && (last || krylov_.left() >= next_test_);
      if (last || tested) krylov_.decompose();
      auto stop = observe();
      if (!stop && !enough && over_budget(last)) stop = Status::max_products;
      if (stop && last && opt_.tol == 0.0) return Status::converged;  // but for the residuals
      if (stop) {
        krylov_.decompose();
        return *stop;
      }
      if (enough) return by_error ? Status::max_iterations : Status::converged;
      const Index gained = krylov_.forward_step();
      if (!krylov_.finite()) return Status::nonfinite;
      if (tested) {
        // So that all decompositions together cost a few times the last.
        next_test_ = krylov_.left() + krylov_.left() / 8;
        if (close_enough()) return Status::converged;
        if (out_.residual <= kAttainable * krylov_.sigma[0]) return Status::precision_limit;
      }
      if (last && opt_.tol == 0.0) return Status::converged;
      if (last) return exhausted_ ? Status::precision_limit : Status::max_iterations;
      ++out_.iterations;
      if (gained == 0 && refill() == 0) return settle();
    }
  }

  /// A Krylov space ends where the sketch's part of a multiple value does; another sketch may find
  /// more of A.
  Index refill() {
    const Index wanted = std::min(opt_.block, least_ - krylov_.left());
    if (wanted <= 0) return 0;
    return krylov_.sketch().extend(wanted, 0);
  }
  /// The ending where X has all of the range of A.
  Status settle() {
    exhausted_ = true;
    krylov_.decompose();
    if (opt_.tol == 0.0) return Status::converged;
    if (opt_.k == 0) return small_enough() ? Status::converged : Status::max_iterations;
    return close_enough() ? Status::converged : Status::precision_limit;
  }
  bool over_budget(bool last) const {
    const Index ahead = krylov_.pending() + (last ? 0 : opt_.block);
    return counted_.counts.total() + ahead > monitor_.max_products;
  }

  /// ‖A‖_F² as the mean over i of ‖Q₋ᵢᴴA‖_F² + ‖(I − Q₋ᵢQ₋ᵢᴴ) A ωᵢ‖².
  void estimate_norm(const std::vector<double>& samples, SmallMatrix<W>& directions) {
    SmallMatrix<W>& T0 = krylov_.adjoint_coefficients();
    const double captured = krylov_.captured();
    if (exhausted_) {
      estimated_2_ = captured;
      return;
    }
    std::vector<double> estimates;
    for (Index i = 0; i < directions.cols; ++i) {
      double lost = 0.0;
      for (Index r = 0; r < T0.rows; ++r) {
        W sum{};
        for (Index c = 0; c < T0.cols; ++c) sum += T0(r, c) * directions(c, i);
        lost += std::norm(sum);
      }
      estimates.push_back(captured - lost + samples[static_cast<std::size_t>(i)]);
    }
    const auto mean = mean_of<double>(estimates);
    estimated_2_ = mean.value;
    estimated_stderr_ = mean.sem;
  }

  /// Whether the basis leaves at most tol ‖A‖_F, with a rank that is allowed.
  bool small_enough() {
    const double captured = krylov_.captured();
    // Below this the difference of squares has no digit.
    const bool by_norm = norm2_ > 0.0 && opt_.tol * opt_.tol >= 1e2 * kWorking;
    if (exhausted_) {
      left_2_ = left_stderr_ = 0.0;
    } else if (by_norm) {
      left_2_ = std::max(norm2_ - captured, 0.0);
    } else {
      left_2_ = held_out();
    }
    const double whole = norm2_ > 0.0 ? norm2_ : captured + left_2_;
    out_.residual = out_.error = std::sqrt(left_2_);
    out_.target = opt_.tol * std::sqrt(whole);
    out_.kind = exhausted_ ? LowrankError::exact
                : by_norm  ? LowrankError::norm
                           : LowrankError::held_out;
    if (!(out_.residual <= out_.target)) return false;
    krylov_.decompose();
    // The fewest triplets that keep within the target.
    double rest = left_2_;
    Index rank = std::ssize(krylov_.sigma);
    while (rank > 0) {
      const double sigma = krylov_.sigma[static_cast<std::size_t>(rank - 1)];
      if (rest + sigma * sigma > out_.target * out_.target) break;
      rest += sigma * sigma;
      --rank;
    }
    chosen_ = rank;
    return rank <= opt_.max_rank;
  }

  /// The mean of ‖(I − XXᴴ) A g‖² over vectors g that X does not depend on.
  double held_out() {
    const Index p = opt_.probes;
    if (probed_ == 0) {
      room_.begin(s_, (Arena<S>::padded(counted_.cols()) + Arena<S>::padded(counted_.rows())) * p);
      const BlockView<T> G = room_.block(counted_.cols(), p);
      probes_ = room_.block(counted_.rows(), p);
      for (Index j = 0; j < p; ++j) {
        s_.random_normal({opt_.seed, kStream | static_cast<std::uint64_t>(j)}, G.column(j));
      }
      counted_.apply(BlockView<const T>(G), probes_);
    }
    const BlockView<T> X = krylov_.X();
    for (int pass = 0; pass < 2; ++pass) {  // what remains may be small beside what is taken
      probe_orthogonalizer_.project_out(X.columns(probed_, X.cols - probed_), probes_);
    }
    probed_ = X.cols;
    std::vector<double> squares;
    for (Index j = 0; j < p; ++j) squares.push_back(s_.read(s_.norm2(probes_.column(j))));
    const auto mean = mean_of<double>(squares);
    left_stderr_ = mean.sem;
    return mean.value;
  }

  /// Whether the residuals of k triplets are all within the tolerance.
  bool close_enough() {
    const Index found = std::ssize(krylov_.sigma);
    out_.residual = INFINITY;
    if ((found < opt_.k && !exhausted_) || !krylov_.measured()) return false;
    out_.target = found > 0 ? opt_.tol * krylov_.sigma[0] : 0.0;
    out_.residual = 0.0;
    for (Index i = 0; i < std::min(found, opt_.k); ++i) {
      out_.residual = std::max(out_.residual, krylov_.residual(i));
    }
    return out_.residual <= out_.target;
  }

  std::optional<Status> observe() {
    Iteration now;
    now.iteration = out_.iterations;
    now.products = counted_.counts;
    now.residual = out_.residual;
    now.clock = &clock_;
    return monitor_.check(now);
  }

  template <class Deliver>
  void deliver(Status status, const Deliver& to) {
    const Index found = std::ssize(krylov_.sigma);
    Index rank = opt_.k > 0 ? opt_.k : std::min(found, opt_.max_rank);
    if (chosen_ >= 0 && opt_.k == 0) rank = std::min(chosen_, rank);
    if (status == Status::nonfinite) rank = 0;
    out_.rank = rank;
    const auto [s, residuals, U, V] = to(rank);
    if (status == Status::nonfinite) return;
    const Index count = std::min(rank, found);
    double kept = 0.0, rest = 0.0;
    for (Index i = 0; i < found; ++i) {
      const double sigma = krylov_.sigma[static_cast<std::size_t>(i)];
      (i < count ? kept : rest) += sigma * sigma;
    }
    tell_error(kept, rest);
    for (Index i = 0; i < rank; ++i) {
      const auto at = static_cast<std::size_t>(i);
      s[at] = i < count ? krylov_.sigma[at] : 0.0;
      residuals[at] = std::numeric_limits<double>::quiet_NaN();
      if (krylov_.measured()) residuals[at] = i < count ? krylov_.residual(i) : 0.0;
    }
    krylov_.combine(count);
    for (Index i = 0; i < count; ++i) {
      s_.copy(krylov_.X().column(i), U.column(i));
      s_.copy(krylov_.Y().column(i), V.column(i));
    }
    krylov_.complete(U, count, opt_.seed);
    krylov_.complete(V, count, opt_.seed);
  }

  /// ‖A − U S Vᴴ‖_F² = ‖A − XXᴴA‖_F² + what of S is left out, or ‖A‖_F² − ‖S‖_F².
  void tell_error(double kept, double rest) {
    double error2 = 0.0, error = 0.0;
    const bool subspace = opt_.method == static_cast<int>(LowrankMethod::subspace);
    if (exhausted_) {
      out_.kind = LowrankError::exact;
      error2 = rest;
      norm2_ = norm2_ > 0.0 ? norm2_ : kept + rest;
    } else if (norm2_ > 0.0 && norm2_ - kept >= 1e2 * kWorking * norm2_) {
      out_.kind = LowrankError::norm;
      error2 = std::max(norm2_ - kept, rest);
    } else if (subspace || probed_ > 0) {
      out_.kind = subspace ? LowrankError::leave_one_out : LowrankError::held_out;
      error2 = left_2_ + rest;
      error = left_stderr_;
      if (norm2_ == 0.0) norm2_ = kept + error2;
    } else {
      out_.kind = LowrankError::leave_one_out;
      error2 = std::max(estimated_2_ - kept, rest);  // the rest is a lower bound
      error = estimated_stderr_;
      if (norm2_ == 0.0) norm2_ = estimated_2_;
    }
    out_.error = std::sqrt(error2);
    // d√x = dx / 2√x, as long as it is small.
    out_.stderr_ = error > 0.0 && std::isfinite(error)
                       ? error / (2.0 * std::sqrt(std::max(error2, error)))
                       : error;
    out_.norm = opt_.norm > 0.0 ? opt_.norm : std::sqrt(norm2_);
    if (opt_.tol == 0.0) out_.residual = out_.error;
  }

  S& s_;
  CountedColumns<T, Op> counted_;
  SvdLowrankOptions opt_;
  Monitor monitor_;
  Index least_;
  BlockKrylov<S, Op> krylov_;
  BlockOrthogonalizer<S> probe_orthogonalizer_;
  Arena<S> room_;
  BlockView<T> probes_;
  Clock clock_;
  SvdLowrankOutcome out_;
  Index probed_ = 0, chosen_ = -1, next_test_ = 0;
  bool exhausted_ = false;
  double norm2_ = 0.0, estimated_2_ = 0.0, estimated_stderr_ = 0.0;
  double left_2_ = 0.0, left_stderr_ = 0.0;  // of ‖A − XXᴴA‖_F²
};

/// Block Krylov with n_iter = q rounds of b columns: (2q + 2) b products, b more where residuals
/// are measured, (q + 1) b vectors of each side; beside them 8 (q + 1)² b² (m + n) operations, and
/// an SVD of that order. Subspace iteration: the same products, b vectors of each side and 2 b
/// more.
template <Space S, AdjointOperator<typename S::Value> Op, class Deliver>
SvdLowrankOutcome svd_lowrank(S& space, const Op& A, const SvdLowrankOptions& opt,
                              const Deliver& to, const Monitor& monitor = {}) {
  check_tolerance("tol", opt.tol);
  if (opt.k == 0 && opt.tol == 0.0) throw InvalidArgument("pass k, tol, or both");
  if (opt.block < 1) throw InvalidArgument("block must be at least 1");
  require_adjoint(A);
  return SvdLowrankRun<S, Op>(space, A, opt, monitor).run(to);
}

}  // namespace ritz
