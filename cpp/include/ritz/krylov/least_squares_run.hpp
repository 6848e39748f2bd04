// A run that minimises ‖b − A x‖² + damp² ‖x − x₀‖², and claims it only of residuals that were
// evaluated.
#pragma once

#include <algorithm>

#include "ritz/krylov/least_squares_recurrence.hpp"
#include "ritz/krylov/look.hpp"
#include "ritz/krylov/run.hpp"

namespace ritz {

struct LeastSquaresOptions {
  double damp = 0.0;         ///< Tikhonov parameter: adds damp² ‖x − x₀‖²
  double atol = 1e-6;        ///< relative error assumed in A: stop at ‖Aᴴr‖ ≤ atol ‖A‖ ‖r‖
  double btol = 1e-6;        ///< relative error assumed in b: stop at ‖r‖ ≤ btol ‖b‖ + atol ‖A‖ ‖x‖
  double conlim = 1e8;       ///< give up when cond(A) is estimated beyond this: x means little then
  Index max_iterations = 0;  ///< 0 means 10 min(m, n): rounding can cost far more than min(m, n)
  bool warm_start = false;   ///< x holds x₀
  bool verify = true;        ///< evaluate r and Aᴴr before claiming convergence: two products

  template <class F>
  void visit(F f) {
    f("damp", damp);
    f("atol", atol);
    f("btol", btol);
    f("conlim", conlim);
    f("max_iterations", max_iterations);
    f("warm_start", warm_start);
    f("verify", verify);
  }
  bool keeps_x0() const { return warm_start && damp > 0.0; }
};

struct LeastSquaresOutcome : Outcome {
  // `residual` is ‖[b − Ax; damp (x − x₀)]‖.
  double normal_residual = INFINITY;  ///< ‖Aᴴ(b − Ax) − damp² (x − x₀)‖
  double norm_a = 0.0;                ///< largest ‖Av‖ or ‖Aᴴu‖ seen: a lower bound of ‖A‖
  double cond_a = 1.0;                ///< estimate of cond([A; damp I])
  double norm_x = 0.0;                ///< ‖x‖

  template <class F>
  void visit(F f) const {
    f("normal_residual", normal_residual);
    f("norm_a", norm_a);
    f("cond_a", cond_a);
    f("norm_x", norm_x);
  }
};

/// Every method over it has this shape:
///
///   if (!co_await run.start(U, t, x0)) co_return;   // U = b − A x₀, t = Aᴴ U
///   bool again = true;
///   while (again) {
///     … one iteration, which keeps the outcome's five numbers …
///     again = co_await run.iterated(exhausted);
///     if (!again) again = co_await run.unverified(q, t);
///   }
///
/// (One `co_await` a statement: GCC 12 confuses several.)
template <Space S, class Op, class P = NoPreconditioner>
class LeastSquaresRun : public Run<S, Op, P> {
  using Base = Run<S, Op, P>;
  using Base::ended_, Base::monitor_, Base::watch;
  using typename Base::Iterated;

 public:
  using Base::A, Base::b, Base::end, Base::space, Base::x;
  using typename Base::T;
  using typename Base::Vector;

  LeastSquaresRun(const Problem<S, Op, P>& given, const LeastSquaresOptions& opt,
                  LeastSquaresOutcome& out)
      : Base(given, out), opt_(opt), result_(out) {
    check_tolerance("atol", opt.atol);
    check_tolerance("btol", opt.btol);
    check_tolerance("damp", opt.damp);
    check_tolerance("conlim", opt.conlim);
    require_adjoint(given.A);
    const Index smaller = std::min(given.A.rows(), given.A.cols());
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 10 * smaller;
  }

  /// U = b − A x₀ with its norm in `residual`, t = Aᴴ U with its norm in `normal_residual`; x₀ is
  /// kept if the damping needs it. False once the run has ended.
  Task<bool> start(Vector U, Vector t, Vector x0) {
    norm_b_ = std::sqrt(right_hand_side_norm2(space, b, std::max(opt_.atol, opt_.btol), U));
    if (!std::isfinite(norm_b_)) co_return end(Status::nonfinite);
    if (opt_.warm_start) {
      if (opt_.keeps_x0()) {
        x0_ = x0;
        space.copy(x, x0);
      }
      co_await A.apply(x, U);
      result_.residual = norm(space.axpby_norm2(1.0, b, -1.0, U));
      result_.norm_x = norm(space.norm2(x));
    } else {
      space.fill(0.0, x);
      space.copy(b, U);
      result_.residual = norm_b_;
    }
    if (!std::isfinite(result_.residual)) co_return end(Status::nonfinite);
    result_.target = opt_.btol * norm_b_;
    result_.verified = true;
    if (result_.residual <= result_.target) {  // the start is good enough, whatever ‖A‖ is
      if (result_.residual == 0.0) result_.normal_residual = 0.0;
      co_return end(Status::converged);
    }
    co_await A.apply_adjoint(U, t);
    result_.normal_residual = norm(space.norm2(t));
    if (!std::isfinite(result_.normal_residual)) co_return end(Status::nonfinite);
    if (result_.normal_residual == 0.0) co_return end(Status::converged);  // x₀ is optimal
    result_.norm_a = result_.normal_residual / result_.residual;
    result_.verified = false;
    co_return true;
  }

  /// A recurrence from the numbers of the outcome: those of `start`, or evaluated since.
  template <class R>
  R begin(R start) const {
    static_cast<LeastSquaresNumbers&>(start) = numbers();
    start.steps = static_cast<double>(result_.iterations);
    start.bounds = bounds();
    start.slack = slack_;
    start.conlim = opt_.conlim;
    if constexpr (requires { start.begin(); }) start.begin();
    return start;
  }
  /// A recurrence where this iteration is one to look in, or null.
  template <class Kept>
  auto look(Kept& kept) {
    const bool is_last =
        result_.iterations + 1 == limit_ || result_.products.total() >= monitor_.max_products;
    return looks_.recurrence(result_.iterations + 1, is_last, monitor_, space, kept);
  }
  /// Ends an iteration with what `look` gave.
  Iterated iterated(const LeastSquaresRecurrence* now) {
    if (now == nullptr) {
      ++result_.iterations;
      return {*this, true};
    }
    take(*now);
    // One that has ended may have done so behind the host's back.
    if (!(now->running > 0.0)) result_.iterations = count(*now) - 1;
    if (now->is(LeastSquaresEvent::none)) return iterated(now->exhausted > 0.0);
    ++result_.iterations;
    return {*this, end(status_of(*now))};
  }
  /// The recurrence after its last step, which the outcome becomes that of.
  template <class Kept>
  const auto& last(Kept& kept) {
    space.thaw();
    looks_.forget();
    const auto& now = space.read(kept);
    take(now);
    result_.iterations = count(now);
    return now;
  }
  /// Lets a recurrence go on, after a verification that asked more of it.
  template <class Kept>
  void resume(Kept& kept) {
    auto now = space.read(kept);
    now.slack = slack_;
    now.running = 1.0;
    space.assign(kept, now);
  }

  /// Ends an iteration. `exhausted`: the process has ended, its estimates are exact, and there is
  /// nothing to continue with.
  Iterated iterated(bool exhausted = false) {
    ++result_.iterations;
    const auto stop = watch(result_.residual, x);
    if (!std::isfinite(result_.residual) || !std::isfinite(result_.normal_residual)) {
      return {*this, end(Status::nonfinite)};
    }
    exhausted_ = exhausted;
    pending_ = stop;
    if (exhausted || measure() <= slack_) return {*this, false};
    return {*this, !at_limit()};
  }

  /// Evaluates the residuals that seem to have met a test: q = b − A x, t = Aᴴq − damp² (x − x₀).
  /// False once the run has ended.
  Task<bool> unverified(Vector q, Vector t) {
    if (ended_) co_return false;
    if (opt_.verify) {
      space.axpby(1.0, x, 0.0, t);
      if (x0_.data != nullptr) space.axpby(-1.0, x0_, 1.0, t);
      const double damp2 = opt_.damp * opt_.damp;
      const double damping = opt_.damp > 0.0 ? damp2 * space.read(space.norm2(t)) : 0.0;
      co_await A.apply(x, q);
      result_.residual = std::sqrt(space.read(space.axpby_norm2(1.0, b, -1.0, q)) + damping);
      co_await A.apply_adjoint(q, t);
      if (opt_.damp > 0.0) space.axpby(-damp2, x, 1.0, t);
      if (x0_.data != nullptr) space.axpby(damp2, x0_, 1.0, t);
      result_.normal_residual = norm(space.norm2(t));
      result_.verified = true;
    }
    if (!std::isfinite(result_.residual) || !std::isfinite(result_.normal_residual)) {
      co_return end(Status::nonfinite);
    }
    const double measured = measure();
    if (measured <= 1.0) co_return end(Status::converged);
    if (exhausted_ || measured > 0.5 * checked_) co_return end(Status::precision_limit);
    checked_ = measured;
    slack_ *= 0.5 / measured;  // the estimates were too good: ask more of them
    result_.verified = false;
    co_return !at_limit();
  }

  double norm(const typename S::Real& squared) { return std::sqrt(space.read(squared)); }

 private:
  /// Whether a limit ends the run here.
  bool at_limit() {
    if (result_.cond_a >= opt_.conlim && opt_.conlim > 0.0) {
      end(Status::condition_limit);
    } else if (pending_) {
      end(*pending_);
    } else if (result_.iterations >= limit_) {
      end(Status::max_iterations);
    }
    return ended_;
  }

  LeastSquaresBounds bounds() const { return {opt_.atol, opt_.btol * norm_b_}; }
  double measure() {
    const LeastSquaresNumbers now = numbers();
    const LeastSquaresBounds bound = bounds();
    const double consistent = bound.of_residual(now), optimal = bound.of_normal_residual(now);
    result_.target =
        now.residual / consistent <= now.normal_residual / optimal ? consistent : optimal;
    return bound.measure(now);
  }
  static Index count(const LeastSquaresRecurrence& now) {
    return static_cast<Index>(now.steps) + (now.is(LeastSquaresEvent::none) ? 0 : 1);
  }
  static Status status_of(const LeastSquaresRecurrence& now) {
    if (now.is(LeastSquaresEvent::breakdown)) return Status::breakdown;
    if (now.is(LeastSquaresEvent::indefinite_preconditioner)) {
      return Status::indefinite_preconditioner;
    }
    return Status::nonfinite;
  }
  LeastSquaresNumbers numbers() const {
    return {result_.residual, result_.normal_residual, result_.norm_a, result_.cond_a,
            result_.norm_x};
  }
  void take(const LeastSquaresNumbers& now) {
    result_.residual = now.residual;
    result_.normal_residual = now.normal_residual;
    result_.norm_a = now.norm_a;
    result_.cond_a = now.cond_a;
    result_.norm_x = now.norm_x;
  }

  LeastSquaresOptions opt_;
  LeastSquaresOutcome& result_;
  Vector x0_;
  Looks<S> looks_;
  double norm_b_ = 0.0;
  Index limit_ = 0;
  bool exhausted_ = false;
  std::optional<Status> pending_;
  double slack_ = 1.0;         // tightened when a verification fails
  double checked_ = INFINITY;  // the optimality measure at that verification
};

}  // namespace ritz
