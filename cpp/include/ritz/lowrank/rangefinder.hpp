// An orthonormal Q with ‖A − QQᴴA‖_F small: of a rank that is given, or found by a tolerance.
//
// Halko, Martinsson, Tropp: Finding structure with randomness: probabilistic algorithms for
// constructing approximate matrix decompositions. SIAM Review 53, 2011.
#pragma once

#include "ritz/core/monitor.hpp"
#include "ritz/lowrank/range_sketch.hpp"

namespace ritz {

struct RangefinderOptions {
  Index columns = 0;       ///< of Q, with oversampling; with a tolerance at most so many
  double tol = 0.0;        ///< stop once the estimate is at most tol ‖A‖_F; 0 makes all columns
  Index block = 16;        ///< columns between two estimates, with a tolerance
  Index power = 0;         ///< products with A Aᴴ before the basis is taken
  double norm = 0.0;       ///< ‖A‖_F, where it is known
  std::uint64_t seed = 0;  ///< of the random vectors

  template <class F>
  void visit(F f) {
    f("columns", columns);
    f("tol", tol);
    f("block", block);
    f("power", power);
    f("norm", norm);
    f("seed", seed);
  }
};

struct RangefinderOutcome : Outcome {
  Index rank = 0;        ///< columns of Q
  double error = 0.0;    ///< leave-one-out estimate of ‖A − QQᴴA‖_F
  double stderr_ = 0.0;  ///< its standard error
  double norm = 0.0;     ///< ‖A‖_F, known or estimated
};

/// ‖A‖_F from the mean squares of sketched vectors.
class FrobeniusMean {
 public:
  explicit FrobeniusMean(double known) : known_(known) {}
  void add(double mean, Index count) {
    if (scale_ == 0.0) scale_ = mean;
    if (scale_ > 0.0) sum_ += mean / scale_ * static_cast<double>(count);
    count_ += count;
  }
  double norm() const {
    if (known_ > 0.0 || count_ == 0) return known_;
    return std::sqrt(scale_) * std::sqrt(sum_ / static_cast<double>(count_));
  }

 private:
  double known_, scale_ = 0.0, sum_ = 0.0;
  Index count_ = 0;
};

/// Q into `to(rank)`, a block of that many columns. (2 power + 1) products a column.
template <Space S, LinearOperator<typename S::Value> Op, class Deliver>
RangefinderOutcome rangefinder(S& space, const Op& op, const RangefinderOptions& opt,
                               const Deliver& to, const Monitor& monitor = {}) {
  using T = typename S::Value;
  check_tolerance("tol", opt.tol);
  if (opt.power > 0) require_adjoint(op);
  const Clock clock;
  const Index most = std::min({opt.columns, op.rows(), op.cols()});
  CountedColumns<T, Op> A(op);
  const bool adaptive = opt.tol > 0.0;
  const Index first = adaptive ? std::min(opt.block, most) : most;
  RangeSketch<S, Op> sketch(space, A, opt.seed, first);
  FrobeniusMean frobenius(opt.norm);
  RangefinderOutcome out;
  Status status = adaptive ? Status::max_iterations : Status::converged;
  while (sketch.rank() < most) {
    const Index b = std::min(first, most - sketch.rank());
    sketch.extend(b, opt.power);
    ++out.iterations;
    if (!sketch.finite()) {
      status = Status::nonfinite;
      break;
    }
    const RangeError& error = sketch.error();
    frobenius.add(error.captured, b);
    out.norm = frobenius.norm();
    out.error = out.residual = std::sqrt(error.squared);
    out.stderr_ = error.squared > 0.0 ? error.stderr_ / (2.0 * out.error) : 0.0;
    out.target = opt.tol * out.norm;
    Iteration now;
    now.iteration = out.iterations;
    now.products = A.counts;
    now.residual = out.error;
    now.clock = &clock;
    const auto stop = monitor.check(now);
    if (error.exhausted || (adaptive && out.error <= out.target)) {
      status = Status::converged;
      break;
    }
    if (sketch.rank() == std::min(op.rows(), op.cols())) {
      out.error = out.residual = out.stderr_ = 0.0;  // the whole range
      status = Status::converged;
    }
    if (sketch.rank() >= most) break;
    if (stop) {
      status = *stop;
      break;
    }
  }
  out.rank = status == Status::nonfinite ? 0 : sketch.rank();
  const BlockView<T> Q = to(out.rank);
  for (Index j = 0; j < out.rank; ++j) space.copy(sketch.basis().column(j), Q.column(j));
  out.status = status;
  out.verified = status == Status::converged;
  out.products = A.counts;
  out.seconds = clock.seconds();
  return out;
}

}  // namespace ritz
