// A run that drives the residual b − A x below a bound, and claims it only of the true one.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>

#include "ritz/krylov/linear_recurrence.hpp"
#include "ritz/krylov/look.hpp"
#include "ritz/krylov/run.hpp"

namespace ritz {

struct LinearOptions {
  double rtol = 1e-5;        ///< stop at ‖b − Ax‖ ≤ max(rtol ‖b‖, atol): SciPy's default
  double atol = 0.0;         ///< 0: an absolute threshold would depend on the units of b
  Index max_iterations = 0;  ///< 0 means 10 n, as SciPy: finite, yet past any useful run
  bool warm_start = false;   ///< x holds a first guess; false saves the product with it
  bool verify = true;        ///< evaluate b − Ax before claiming convergence: one product

  template <class F>
  void visit(F f) {
    f("rtol", rtol);
    f("atol", atol);
    f("max_iterations", max_iterations);
    f("warm_start", warm_start);
    f("verify", verify);
  }
};

/// Every method over it has this shape:
///
///   while (co_await run.residual(r)) {   // r = b − A x, evaluated; false once the run has ended
///     … set up the recurrence from r …
///     do {
///       … one iteration …
///     } while (co_await run.iterated(residual));
///   }
///
/// `iterated` is false when the recurrence's residual has met the target or a limit has come. Then
/// `residual` looks at the true one: if the recurrence has drifted from it, the method starts again
/// from the truth, unless the last restart for that reason already failed to halve it. A method may
/// also leave its inner loop by itself, at the end of a cycle or at a breakdown, to start again.
template <Space S, class Op, class P = NoPreconditioner>
class LinearRun : public Run<S, Op, P> {
  using Base = Run<S, Op, P>;

 protected:
  using typename Base::Iterated;

 public:
  using Base::A, Base::b, Base::end, Base::space, Base::x;
  using typename Base::T;
  using typename Base::Vector;

  /// With a shift σ, A − σI stands in the place of A.
  LinearRun(const Problem<S, Op, P>& given, const LinearOptions& opt, Outcome& out,
            double shift = 0.0)
      : Base(given, out), shift_(shift), opt_(opt) {
    check_tolerance("rtol", opt.rtol);
    check_tolerance("atol", opt.atol);
    const Index smaller = std::min(given.A.rows(), given.A.cols());
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 10 * smaller;
  }

  /// r = b − A x; false once the run has ended. ‖r‖ is `residual` of the outcome.
  Task<bool> residual(Vector r) {
    if (ended_) co_return false;
    looks_.forget();
    if (claimed_ && !opt_.verify) co_return end(Status::converged);
    if (!started_) {
      const double norm_b = std::sqrt(right_hand_side_norm2(space, b, opt_.rtol, r));
      if (!opt_.warm_start || norm_b == 0.0) space.fill(0.0, x);
      out_.target = std::max(opt_.rtol * norm_b, opt_.atol);
      out_.residual = norm_b;
      if (!std::isfinite(norm_b)) co_return end(Status::nonfinite);
      if (norm_b == 0.0) {  // x = 0 solves it exactly
        out_.verified = true;
        co_return end(Status::converged);
      }
    }
    if (started_ || opt_.warm_start) {
      out_.residual = co_await replaced(r);
    } else {
      space.copy(b, r);
    }
    out_.verified = true;
    if (!std::isfinite(out_.residual)) co_return end(Status::nonfinite);
    if (out_.residual <= out_.target) co_return end(Status::converged);
    if (claimed_) {
      // `iterated` let a limit pass because the target seemed met.
      if (out_.residual > 0.5 * checked_) co_return end(Status::precision_limit);
      checked_ = out_.residual;
      if (at_limit()) co_return false;
      claimed_ = false;
    }
    started_ = true;
    out_.verified = false;
    co_return true;
  }

  /// r = b − A x, evaluated in the middle of a run; returns its norm.
  Task<double> replaced(Vector r) {
    space.thaw();
    if (accumulate) {
      if (shift_ != 0.0)
        throw InvalidArgument("shift cannot be combined with x in double precision");
      ++out_.products.apply;
      co_return accumulate(x, r);
    }
    co_await A.apply(x, r);
    co_return norm(shift_ == 0.0 ? space.axpby_norm2(1.0, b, -1.0, r)
                                 : space.add3_norm2(1.0, b, shift_, x, -1.0, r));
  }

  /// The values of scalars of the iteration being made, where it is one to look in, or `always`.
  template <class... R>
  auto look(bool always, const R&... scalars) {
    return looks_.scalars(out_.iterations + 1, always || is_last(), monitor_, space, scalars...);
  }
  /// Likewise a recurrence, or null. What a device says may be a few steps old; its scalars count
  /// their steps.
  template <class Kept>
  auto look(Kept& kept) {
    return looks_.recurrence(out_.iterations + 1, is_last(), monitor_, space, kept);
  }

  /// What the scalars of a process are told before its first step.
  template <class R>
  void begin(R& s) {
    s.residual = out_.residual;
    s.target = out_.target;
    s.epsilon = std::numeric_limits<RealOf<T>>::epsilon();
    begun_ = out_.iterations;
  }
  /// The recurrence of a process after its last step, which the iterations and the residual of the
  /// outcome become those of.
  template <class Kept>
  const auto& last(Kept& s) {
    space.thaw();
    looks_.forget();
    const auto& now = space.read(s);
    count(now);
    out_.residual = now.residual;
    return now;
  }

  /// Ends an iteration with the recurrence's residual; `x_at_hand`: whether x is the iterate.
  Iterated iterated(double residual, bool x_at_hand = true) {
    ++out_.iterations;
    out_.residual = residual;
    x_at_hand = x_at_hand && !accumulate;
    const auto stop = watch(residual, x_at_hand ? VectorView<const T>(x) : VectorView<const T>());
    if (!std::isfinite(residual)) return {*this, end(Status::nonfinite)};
    if (residual <= out_.target) {
      claimed_ = true;
      pending_ = stop;
      return {*this, false};
    }
    if (stop) return {*this, end(*stop)};
    if (out_.iterations >= limit_) return {*this, end(Status::max_iterations)};
    return {*this, true};
  }
  /// Ends an iteration that was not read.
  Iterated iterated() {
    ++out_.iterations;
    return {*this, true};
  }
  /// Ends an iteration; null where the recurrence was not looked at.
  template <class R>
  Iterated iterated(const R* now, bool x_at_hand = true) {
    return now ? iterated(now->residual, x_at_hand) : iterated();
  }

  /// Whether products are cheap enough to make some more than needed, so that none waits for a
  /// look.
  bool lags() const { return Looks<S>::lags(monitor_); }
  /// Whether another iteration may be begun while so many have yet to end.
  bool has_room(Index waiting) const {
    return waiting == 0 ||
           (out_.iterations + waiting < limit_ && out_.products.total() < monitor_.max_products);
  }

  Index limit() const { return limit_; }
  double norm(const typename S::Real& squared) { return std::sqrt(space.read(squared)); }

  /// Set before the first step by whoever keeps x in a higher precision than the vectors.
  Accumulate<T> accumulate;

 protected:
  using Base::ended_, Base::monitor_, Base::out_, Base::watch;

  /// The iterations of the outcome become those of a process.
  template <class R>
  void count(const R& now) {
    out_.iterations = begun_ + static_cast<Index>(now.steps + now.unfinished);
  }

  double shift_;
  std::optional<Status> pending_;  ///< a limit that came together with the claim

  /// Whether a limit has come that `iterated` let pass; the run has ended then.
  bool at_limit() {
    if (pending_) {
      end(*pending_);
    } else if (out_.iterations >= limit_) {
      end(Status::max_iterations);
    }
    return ended_;
  }

 private:
  /// Whether the iteration being made cannot be followed by another.
  bool is_last() const {
    return out_.iterations + 1 == limit_ || out_.products.total() >= monitor_.max_products;
  }

  LinearOptions opt_;
  Index limit_ = 0;
  Index begun_ = 0;  // iterations before the process
  Looks<S> looks_;
  bool started_ = false;
  bool claimed_ = false;       // the recurrence says that the target is met
  double checked_ = INFINITY;  // the true residual at the last check that failed
};

}  // namespace ritz
