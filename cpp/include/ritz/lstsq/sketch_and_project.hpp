// Sketch-and-project: A x = b by projections on the solutions of Sᴴ A x = Sᴴ b, S fresh each time.
//
// Gower, Richtárik: Randomized iterative methods for linear systems. SIAM J. Matrix Anal. Appl. 36,
// 2015. S, B and d are the paper's τ columns, its metric and τ.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/lstsq/adjoint_sketch.hpp"
#include "ritz/lstsq/coordinate_sketch.hpp"
#include "ritz/lstsq/gram_solver.hpp"
#include "ritz/lstsq/noisy_residual.hpp"
#include "ritz/lstsq/sketch_and_project_options.hpp"

namespace ritz {

/// With W = Aᴴ S, V = B⁻¹ W:
///
///     x = x − ω V (Wᴴ V)^† (Wᴴ x − Sᴴ b),
///
/// or for a positive definite A with B = A, W = A S:
///
///     x = x − ω S (Sᴴ W)^† (Wᴴ x − Sᴴ b).
///
/// E‖x − x*‖_B² falls by λ_min⁺ of E Z a step, Z the projector. ‖Wᴴx − Sᴴb‖² is ‖b − A x‖² in
/// expectation: its mean says for nothing when to evaluate the true residual, which alone ends a
/// run.
///
/// Costs a step: d adjoint products, or what S A costs of an A in memory; d products with B⁻¹;
/// 4 n d² + d³. Memory: 2 d n numbers, d m where A is an operator.
template <Field T, class Op, class Source, class P, class MakeSketch>
class SketchAndProject {
 public:
  using Wide = WideOf<T>;
  using Outcome = SketchAndProjectOutcome;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  /// `make_sketch(step)` is a Sketch of up to d rows, Sᴴ; M is B⁻¹, an operator that may be absent.
  SketchAndProject(const Op& A, Source& source, const P& M, const MakeSketch& make_sketch,
                   VectorView<const T> b, VectorView<T> x, const SketchAndProjectOptions& opt,
                   const Monitor& monitor)
      : A_(A),
        source_(source),
        M_(M),
        make_(make_sketch),
        b_(b),
        x_(x),
        opt_(opt),
        monitor_(monitor),
        solver_(opt.spd || M ? kEps : 0.0) {
    check_size("b", b.size, A.rows());
    check_size("x", x.size, A.cols());
    check_tolerance("rtol", opt.rtol);
    check_tolerance("atol", opt.atol);
    if (!(opt.relaxation > 0.0 && opt.relaxation < 2.0)) {
      throw InvalidArgument("relaxation is " + std::to_string(opt.relaxation) +
                            "; pass a number between 0 and 2");
    }
    if (opt.d < 1) {
      throw InvalidArgument("d is " + std::to_string(opt.d) + "; pass at least 1 column");
    }
    if (opt.spd && A.rows() != A.cols()) throw InvalidArgument("A must be square");
    const Index m = A.rows(), n = A.cols();
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 1000 * (std::max(m, n) / opt.d + 1);
    period_ = std::max<Index>(std::max<Index>(std::min(m, n), 16) / opt.d, 1);
    recent_.resize(static_cast<std::size_t>((16 + opt.d - 1) / opt.d));
    using Room = Arena<HostSpace<T>>;
    arena_.begin(space_, 2 * opt.d * Room::padded(n) + Room::padded(m) + Room::padded(n));
    W_ = arena_.block(n, opt.d);
    V_ = arena_.block(n, opt.d);
    r_ = arena_.vector(m);
    step_ = arena_.vector(n);
  }

  Outcome run() {
    if (start()) {
      while (!iterate()) {
      }
    }
    out_.norm_a = norm_a();
    out_.norm_x = std::sqrt(space_.norm2(x_));
    out_.seconds = clock_.seconds();
    return out_;
  }

 private:
  bool end(Status status) {
    out_.status = status;
    return true;
  }
  double norm_a() const {
    return out_.iterations > 0 ? std::sqrt(sum_a2_ / static_cast<double>(out_.iterations)) : 0.0;
  }
  static std::span<Wide> slots(SmallMatrix<Wide>& h) { return h.data; }

  /// False if the run ends at once.
  bool start() {
    const double norm_b = std::sqrt(right_hand_side_norm2(space_, b_, opt_.rtol, r_));
    norm_b_ = norm_b;
    out_.target = std::max(opt_.rtol * norm_b, opt_.atol);
    out_.residual = norm_b;
    out_.verified = true;
    if (!opt_.warm_start || norm_b == 0.0) space_.fill(0.0, x_);
    if (!std::isfinite(norm_b)) return !end(Status::nonfinite);
    if (opt_.warm_start && norm_b > 0.0) measure();
    if (!std::isfinite(out_.residual)) return !end(Status::nonfinite);
    if (out_.residual <= out_.target) return !end(Status::converged);
    return true;
  }

  /// True if the run has ended.
  bool iterate() {
    const auto S = make_(out_.iterations);
    const BlockView<T> W = W_.columns(0, S.rows());
    source_.sketch(S, W);
    // t = Wᴴ x − Sᴴ b
    const Index d = S.rows();
    SmallMatrix<T> Sb(d, 1);
    t_.resize(d, 1);
    S.apply_matrix(MatrixView<const T>(as_block(b_)), MatrixView<T>(Sb.view()));
    space_.project(W, x_, slots(t_));
    double t2 = 0.0, w2 = 0.0;
    for (Index l = 0; l < d; ++l) {
      t_(l, 0) -= static_cast<Wide>(Sb(l, 0));
      t2 += std::norm(t_(l, 0));
      w2 += space_.norm2(W.column(l));
    }
    ++out_.iterations;
    sum_a2_ += w2;
    out_.verified = false;
    if (!std::isfinite(t2 + w2)) return finish(t2, Status::nonfinite);
    empty_ = w2 > 0.0 ? 0 : empty_ + 1;
    return finish(t2, opt_.spd ? step_in_a(S, W) : step_in_b(W));
  }

  /// x = x − ω V y
  std::optional<Status> step_in_b(BlockView<T> W) {
    BlockView<T> V = W;
    if (M_) {
      V = V_.columns(0, W.cols);
      apply_columns(M_, BlockView<const T>(W), V);
      out_.preconditioner += W.cols;
    }
    gram_.resize(W.cols, W.cols);
    space_.project_block(W, V, slots(gram_));
    const auto found = solver_.solve(gram_, t_);
    if (const auto failed = failure(found, Status::indefinite_preconditioner)) return failed;
    for (auto& y : t_.data) y *= -opt_.relaxation;
    space_.axpy_columns(V, slots(t_), x_);
    return std::nullopt;
  }

  /// x = x − ω S y
  template <class S>
  std::optional<Status> step_in_a(const S& s, BlockView<T> W) {
    const Index d = W.cols;
    SmallMatrix<T> SW(d, d), y(d, 1);
    s.apply_matrix(MatrixView<const T>(W), MatrixView<T>(SW.view()));
    gram_.resize(d, d);
    std::copy(SW.data.begin(), SW.data.end(), gram_.data.begin());
    const auto found = solver_.solve(gram_, t_);
    if (const auto failed = failure(found, Status::negative_curvature)) return failed;
    for (Index l = 0; l < d; ++l) y(l, 0) = static_cast<T>(t_(l, 0));
    s.apply_adjoint_matrix(MatrixView<const T>(std::as_const(y).view()),
                           MatrixView<T>(as_block(step_)));
    space_.axpby(-opt_.relaxation, step_, 1.0, x_);
    return std::nullopt;
  }

  static std::optional<Status> failure(typename GramSolver<Wide>::Found found, Status indefinite) {
    if (found == GramSolver<Wide>::Found::nonfinite) return Status::nonfinite;
    if (found == GramSolver<Wide>::Found::indefinite) return indefinite;
    return std::nullopt;
  }

  /// Ends an iteration that began at a residual of about `t2`.
  bool finish(double t2, std::optional<Status> failed) {
    recent_[static_cast<std::size_t>(out_.iterations - 1) % recent_.size()] = t2;
    const Index count = std::min(out_.iterations, static_cast<Index>(recent_.size()));
    double mean = 0.0;
    for (Index k = 0; k < count; ++k) {
      mean += recent_[static_cast<std::size_t>(k)] / static_cast<double>(count);
    }
    out_.residual = std::sqrt(mean);
    account();
    Iteration now;
    now.iteration = out_.iterations;
    now.products = out_.products;
    now.residual = out_.residual;
    now.x = x_.data;
    now.size = x_.size;
    now.clock = &clock_;
    const auto stop = monitor_.check(now);
    if (failed) return end(*failed);

    const bool claimed = claims_.worth(Claims::ratio(out_.residual, out_.target), out_.iterations);
    sum_ += t2 / static_cast<double>(period_);
    double left = empty_ >= kEmpty ? 1.0 : 0.0;
    if (out_.iterations % period_ == 0) {
      left = std::max(left, plateau_.add(sum_));
      sum_ = 0.0;
    }
    const bool at_limit = out_.iterations >= limit_;
    if (claimed || left > Plateau::kSlow || at_limit) {
      measure();
      if (!std::isfinite(out_.residual)) return end(Status::nonfinite);
      if (out_.residual <= out_.target) return end(Status::converged);
      if (claimed && claims_.refuted(out_.residual / out_.target, out_.iterations)) left = 1.0;
      const double x = std::sqrt(space_.norm2(VectorView<const T>(x_)));
      if (left > Plateau::kSlow && out_.residual <= 10.0 * kEps * (norm_a() * x + norm_b_)) {
        return end(Status::precision_limit);
      }
      // A component of the error that falls very slowly looks like one that does not.
      constexpr Index kPatience = 8;
      if (empty_ >= kEmpty || (left > Plateau::kFlat && out_.iterations >= limit_ / kPatience)) {
        return end(Status::stagnation);
      }
      if (at_limit) return end(Status::max_iterations);
    }
    return stop ? end(*stop) : false;
  }

  /// ‖b − A x‖ as it is.
  void measure() {
    A_.apply(VectorView<const T>(x_), r_);
    out_.residual = std::sqrt(space_.axpby_norm2(1.0, b_, -1.0, r_));
    out_.verified = true;
    ++out_.checks;
    account();
  }
  void account() {
    out_.products = source_.products();
    out_.products.apply += out_.checks;
  }

  /// Sketches of nothing in a row after which A is taken for zero.
  static constexpr Index kEmpty = 3;

  const Op& A_;
  Source& source_;
  const P& M_;
  const MakeSketch& make_;
  VectorView<const T> b_;
  VectorView<T> x_;
  SketchAndProjectOptions opt_;
  Monitor monitor_;
  Clock clock_;
  HostSpace<T> space_;
  Arena<HostSpace<T>> arena_;
  BlockView<T> W_, V_;
  VectorView<T> r_, step_;
  SmallMatrix<Wide> t_, gram_;
  GramSolver<Wide> solver_;
  Outcome out_;
  Index limit_ = 0, period_ = 1;
  double norm_b_ = 0.0, sum_a2_ = 0.0, sum_ = 0.0;
  std::vector<double> recent_;  // ‖t‖² of the last steps: at least 16 numbers t
  Plateau plateau_;
  Claims claims_;
  Index empty_ = 0;
};

}  // namespace ritz
