// A run on A X = B whose columns share one Krylov space, each claimed only of its true residual.
#pragma once

#include <algorithm>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/dense/small_matrix.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// The shape of a block method is that of LinearRun: `while (run.residual(R)) { …; do { … } while
/// (run.iterated(norms)); }`. One product of k columns is counted as k.
template <Space S, class Op>
class BlockRun {
 public:
  using T = typename S::Value;
  using Block = BlockView<T>;

  BlockRun(S& s, const Op& A, BlockView<const T> B, Block X, const LinearOptions& opt,
           const Monitor& monitor, std::span<Outcome> outcomes)
      : space(s), A_(A), B_(B), X_(X), opt_(opt), monitor_(monitor), outcomes_(outcomes) {
    if (A.rows() != A.cols()) throw InvalidArgument("A must be square");
    check_size("B", B.rows, A.rows());
    check_size("X", X.rows, A.cols());
    if (B.cols != X.cols || outcomes.size() != static_cast<std::size_t>(B.cols)) {
      throw InvalidArgument("X and the outcomes must have as many columns as B");
    }
    check_tolerance("rtol", opt.rtol);
    check_tolerance("atol", opt.atol);
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 10 * A.rows();
  }

  /// R = B − A X; false once every column has an ending.
  bool residual(Block R) {
    if (ended_) return false;
    const bool first = iterations_ == 0 && !started_;
    if (first) {
      for (Index j = 0; j < B_.cols; ++j) {
        const double bb = right_hand_side_norm2(space, B_.column(j), opt_.rtol, R.column(j));
        if (!opt_.warm_start || bb == 0.0) space.fill(0.0, X_.column(j));
        out(j) = Outcome{};
        out(j).target = std::max(opt_.rtol * std::sqrt(bb), opt_.atol);
        out(j).residual = std::sqrt(bb);
      }
    }
    if (!first || opt_.warm_start) {
      apply(X_, R);
      for (Index j = 0; j < B_.cols; ++j) {
        out(j).residual =
            std::sqrt(space.read(space.axpby_norm2(1.0, B_.column(j), -1.0, R.column(j))));
      }
    } else {
      for (Index j = 0; j < B_.cols; ++j) space.copy(B_.column(j), R.column(j));
    }
    started_ = true;
    double worst = 0.0;
    bool finite = true;
    for (Index j = 0; j < B_.cols; ++j) {
      finite = finite && std::isfinite(out(j).residual);
      const bool met = out(j).residual <= out(j).target;
      if (!met) worst = std::max(worst, out(j).residual / out(j).target);
      out(j).verified = true;
    }
    if (!finite) return end(Status::nonfinite);
    if (worst == 0.0) return end(Status::converged);
    if (limit_status_) return end(*limit_status_);
    if (claimed_) {
      if (worst > 0.5 * checked_) return end(Status::precision_limit);
      checked_ = worst;
      claimed_ = false;
    }
    return true;
  }

  /// Ends an iteration with the residual norms of the recurrence.
  bool iterated(std::span<const double> norms) {
    ++iterations_;
    Iteration now;
    double worst = -1.0;
    bool finite = true;
    for (Index j = 0; j < B_.cols; ++j) {
      const double norm = norms[static_cast<std::size_t>(j)];
      out(j).residual = norm;
      out(j).iterations = iterations_;
      out(j).verified = false;
      finite = finite && std::isfinite(norm);
      if (norm - out(j).target > worst) {
        worst = norm - out(j).target;
        now.residual = norm;
      }
    }
    now.iteration = iterations_;
    now.products = products_;
    now.clock = &clock_;
    const auto stop = monitor_.check(now);
    if (!finite) return end(Status::nonfinite);
    if (worst <= 0.0) {
      if (!opt_.verify) return end(Status::converged);
      claimed_ = true;
      return false;
    }
    if (stop) limit_status_ = stop;
    if (!stop && iterations_ >= limit_) limit_status_ = Status::max_iterations;
    return !limit_status_;
  }

  /// Ends every column: converged where the residual is within its target, `status` elsewhere.
  bool end(Status status) {
    for (Index j = 0; j < B_.cols; ++j) {
      const bool met = out(j).residual <= out(j).target && (out(j).verified || !opt_.verify);
      out(j).status = met && status != Status::nonfinite ? Status::converged : status;
      out(j).iterations = iterations_;
      out(j).products = products_;
      out(j).preconditioner = preconditioner;
      out(j).seconds = clock_.seconds();
    }
    ended_ = true;
    return false;
  }
  bool ended() const { return ended_; }

  /// Y = A X, counted.
  void apply(BlockView<const T> X, Block Y) {
    products_.columns += X.cols;
    apply_columns(A_, X, Y);
  }
  void apply(Block X, Block Y) { apply(BlockView<const T>(X), Y); }

  S& space;
  Index preconditioner = 0;  ///< columns that went through M

 private:
  Outcome& out(Index j) { return outcomes_[static_cast<std::size_t>(j)]; }

  const Op& A_;
  BlockView<const T> B_;
  Block X_;
  LinearOptions opt_;
  Monitor monitor_;
  std::span<Outcome> outcomes_;
  Clock clock_;
  Counts products_;
  Index iterations_ = 0, limit_ = 0;
  bool started_ = false, ended_ = false;
  bool claimed_ = false;  // the recurrence says that every target is met
  std::optional<Status> limit_status_;
  double checked_ = INFINITY;  // the worst residual over its target at the last check that failed
};

/// Y = W R with Wᴴ Z = I and Z = M W, by classical Gram-Schmidt twice; W and Z overwrite the first
/// columns of Y and Z (one block without M, when Z is Y). Columns that depend on the earlier ones
/// to rounding are dropped: the rank is returned, and R has that many rows. −1 if a column has
/// yᴴ z ≤ 0: then M is not positive definite.
template <Space S>
Index orthonormalize(S& space, BlockView<typename S::Value> Y, BlockView<typename S::Value> Z,
                     SmallMatrix<WideOf<typename S::Value>>& R, typename S::Slots h) {
  using T = typename S::Value;
  using W = WideOf<T>;
  // Twice the rounding of a projection leaves no digit of a direction this much smaller.
  const double drop = 64.0 * std::numeric_limits<RealOf<T>>::epsilon();
  const bool weighted = Y.data != Z.data;
  SmallMatrix<W> full;
  full.resize(Y.cols, Y.cols);
  Index rank = 0;
  for (Index j = 0; j < Y.cols; ++j) {
    const auto y = Y.column(j), z = Z.column(j);
    const double before = space.read(space.real_dot(y, z));
    if (before < 0.0 || std::isnan(before)) return -1;
    const auto count = static_cast<std::size_t>(rank);
    for (int pass = 0; pass < 2 && rank > 0; ++pass) {
      space.project(Z.columns(0, rank), y, h.first(count));
      std::vector<W> minus(count);
      space.read(h.first(count), minus);
      for (std::size_t i = 0; i < count; ++i) {
        full(static_cast<Index>(i), j) += minus[i];
        minus[i] = -minus[i];
      }
      space.axpy_columns(Y.columns(0, rank), minus, y);
      if (weighted) space.axpy_columns(Z.columns(0, rank), minus, z);
    }
    const double after = space.read(space.real_dot(y, z));
    if (!(after > drop * drop * before)) {
      if (weighted && after < -drop * before) return -1;
      continue;
    }
    const double norm = std::sqrt(after);
    full(rank, j) = norm;
    space.axpby(1.0 / norm, y, 0.0, Y.column(rank));
    if (weighted) space.axpby(1.0 / norm, z, 0.0, Z.column(rank));
    ++rank;
  }
  R.resize(rank, Y.cols);
  for (Index j = 0; j < Y.cols; ++j) {
    for (Index i = 0; i < rank; ++i) R(i, j) = full(i, j);
  }
  return rank;
}

}  // namespace ritz
