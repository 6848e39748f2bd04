// A ≈ U Λ Uᴴ for a Hermitian positive semidefinite A from its products with random vectors: of a
// given rank, or of the rank that a tolerance needs, with an estimate of what is left out.
// References: nystrom_sketch.hpp.
#pragma once

#include <optional>

#include "ritz/core/monitor.hpp"
#include "ritz/lowrank/nystrom_sketch.hpp"

namespace ritz {

struct NystromOptions {
  Index rank = 16;      ///< columns of U; with a tolerance those of the first stage
  Index max_rank = 0;   ///< with a tolerance: at most so many columns; 0 means n
  double tol = 0.0;     ///< double the rank until the estimate of ‖A − Â‖_F is ≤ tol ‖Â‖_F
  double level = 0.0;   ///< … until λ_r and the estimate of ‖A − Â‖₂ are ≤ level
  Index block = 32;     ///< columns of one product
  RandomKey seed = {};  ///< column i is stream seed.stream + purpose + i

  bool adaptive() const { return tol > 0.0 || level > 0.0; }

  template <class F>
  void visit(const F& f) {
    f("rank", rank);
    f("max_rank", max_rank);
    f("tol", tol);
    f("level", level);
    f("block", block);
    f("seed", seed.seed);
  }
};

/// `residual` is the estimate that a tolerance is compared with, at `iterations` columns.
struct NystromOutcome : Outcome {
  Index rank = 0;              ///< columns of U
  std::vector<double> lambda;  ///< descending, at least 0
  NystromError error;
  double shift = 0.0;  ///< that was removed from Λ again
};

/// One run of `nystrom`.
template <Space S, class A>
class NystromRun {
 public:
  using T = typename S::Value;

  NystromRun(S& space, const A& op, NystromSketchWorkspace<S>& workspace,
             const NystromOptions& options, const Monitor& monitor)
      : A_(op),
        n_(op.rows()),
        opt_(options),
        monitor_(monitor),
        sketch_(space, n_, options.seed, workspace) {
    const Index most = opt_.adaptive() && opt_.max_rank > 0 ? opt_.max_rank : n_;
    last_ = std::min(opt_.adaptive() ? most : opt_.rank, n_);
    workspace.prepare(space, n_, std::min(opt_.rank, last_));
  }

  NystromOutcome run() {
    if (n_ == 0) {
      out_.residual = 0.0;
      return finish(Status::converged);
    }
    for (Index wanted = std::min(opt_.rank, last_);; wanted = std::min(2 * wanted, last_)) {
      sketch_.reserve(wanted);
      bool all = wanted == last_;
      std::optional<Status> stop;
      while (done_ < wanted && !stop) {
        const Index count = std::min({opt_.block, wanted - done_, available()});
        const Index drawn = sketch_.draw(done_ + count);
        if (drawn < done_ + count) {  // Ω spans everything
          wanted = drawn;
          all = true;
        }
        if (drawn == done_) break;
        product(drawn - done_);
        if (!sketch_.absorb(done_, drawn - done_)) return finish(Status::nonfinite);
        done_ = drawn;
        // The last block of a stage is observed with what the stage tells.
        if (done_ < wanted) stop = observe();
      }
      if (!sketch_.factor(done_)) return finish(Status::negative_curvature);
      record();
      if (!stop) stop = observe();
      if (opt_.adaptive() && out_.residual <= out_.target) return finish(Status::converged);
      if (!opt_.adaptive() && done_ == wanted) return finish(Status::converged);
      if (stop) return finish(*stop);
      if (sketch_.exhausted() || done_ == n_) return finish(Status::precision_limit);
      if (all) return finish(Status::max_iterations);
    }
  }

 private:
  void product(Index count) {
    (count > 1 ? out_.products.columns : out_.products.apply) += count;
    apply_columns(A_, BlockView<const T>(sketch_.Omega(done_, count)), sketch_.Y(done_, count));
  }
  Index available() const {
    return std::max<Index>(monitor_.max_products - out_.products.total(), 1);
  }
  void record() {
    out_.rank = sketch_.rank();
    out_.lambda = sketch_.lambda();
    out_.error = sketch_.error();
    out_.shift = sketch_.shift();
    out_.residual = out_.error.frobenius;
    if (opt_.level > 0.0) {
      out_.residual = std::max(out_.error.spectral, out_.lambda.back());
      out_.target = opt_.level;
      // Eigenvalues of an approximation that leaves nothing out need not be small.
      if (done_ == n_) out_.residual = out_.error.spectral;
    } else {
      out_.target = opt_.tol * sketch_.norm();
    }
  }
  std::optional<Status> observe() {
    Iteration now;
    now.iteration = done_;
    now.products = out_.products;
    now.residual = out_.residual;
    now.clock = &clock_;
    return monitor_.check(now);
  }
  NystromOutcome finish(Status status) {
    if (status == Status::nonfinite || status == Status::negative_curvature) {
      out_.rank = 0;
      out_.lambda.clear();
      out_.error = {};
      out_.residual = Iteration::kNone;
    }
    out_.status = status;
    out_.iterations = done_;
    out_.verified = status == Status::converged;
    out_.seconds = clock_.seconds();
    return std::move(out_);
  }

  const A& A_;
  Index n_, last_ = 0, done_ = 0;
  NystromOptions opt_;
  Monitor monitor_;
  Clock clock_;
  NystromSketch<S> sketch_;
  NystromOutcome out_;
};

/// U is columns [0, rank) of `ws.U`. One product a column, old columns kept as the rank doubles.
template <Space S, LinearOperator<typename S::Value> A>
NystromOutcome nystrom(S& space, const A& op, NystromSketchWorkspace<S>& ws,
                       const NystromOptions& opt = {}, const Monitor& monitor = {}) {
  if (op.rows() != op.cols()) throw InvalidArgument("A must be square");
  if (opt.rank < 1) throw InvalidArgument("rank must be at least 1");
  if (opt.block < 1) throw InvalidArgument("block must be at least 1");
  check_tolerance("tol", opt.tol);
  check_tolerance("level", opt.level);
  return NystromRun<S, A>(space, op, ws, opt, monitor).run();
}

}  // namespace ritz
