// A run on (A − σI) x = b for Hermitian A that may be indefinite or singular: it drives the
// residual below a bound, or shows that nothing can, because the residual is orthogonal to the
// range.
//
// Lifting of a least-squares solution to the one of least norm: Liu, Milzarek, Roosta: Obtaining
// pseudo-inverse solutions with MINRES. arXiv 2309.17096, 2023.
#pragma once

#include <algorithm>
#include <utility>

#include "ritz/krylov/lanczos_recurrence.hpp"
#include "ritz/krylov/linear_run.hpp"

namespace ritz {

struct SymmetricOptions : LinearOptions {
  double shift = 0.0;  ///< σ of A − σI; a parameter, since a wrapped operator would cost a pass

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("shift", shift);
  }
};

struct SymmetricOutcome : Outcome {
  /// ‖(A − σI) r‖ of the iterate before the last, by a recurrence; evaluated if x is a
  /// least-squares solution. With M it is ‖(A − σI) M r‖ in the norm of M.
  double normal_residual = Iteration::kNone;
  double norm_a = 0.0;  ///< a lower bound of ‖A − σI‖ (of M½(A − σI)M½), attained over the run
  double cond_a = Iteration::kNone;  ///< estimate of its condition number over the Krylov space

  template <class F>
  void visit(F f) const {
    f("normal_residual", normal_residual);
    f("norm_a", norm_a);
    f("cond_a", cond_a);
  }
};

/// The vectors of the Lanczos process of A − σI in the inner product of M, unnormalised, u = βv and
/// z = M u: that saves a pass over each. Without M, z is u.
template <Field T>
struct LanczosVectors {
  using Vector = VectorView<T>;

  /// From step k to step k + 1.
  void advance() {
    const bool preconditioned = z.data != u.data;
    std::swap(u, u_next);
    if (preconditioned) {
      std::swap(z, p);
    } else {
      z = u;
    }
  }

  Vector u, u_next, p, z;  ///< p becomes z_next with a preconditioner
};

/// LinearRun for A − σI, A Hermitian and perhaps singular. Where a recurrence says that no step can
/// reduce the residual, `residual` looks whether x is a least-squares solution.
template <Space S, class Op, class P = NoPreconditioner>
class SymmetricRun : public LinearRun<S, Op, P> {
  using Base = LinearRun<S, Op, P>;
  using Base::ended_, Base::at_limit, Base::count, Base::replaced, Base::shift_;

 public:
  using Base::A, Base::end, Base::M, Base::norm, Base::space, Base::x;
  using typename Base::T;
  using typename Base::Vector;

  SymmetricRun(const Problem<S, Op, P>& given, const SymmetricOptions& opt, SymmetricOutcome& out)
      : Base(given, opt, out, opt.shift), result_(out) {
    if (!std::isfinite(opt.shift)) throw InvalidArgument("shift must be finite");
  }

  /// r = b − (A − σI) x; false once the run has ended. z, t, w: to work in; without M, z is r.
  Task<bool> residual(Vector r, Vector z, Vector t, Vector w) {
    if (ended_ || !std::exchange(suspected_, false)) co_return co_await Base::residual(r);
    co_await evaluate(r);
    if (!std::isfinite(result_.residual)) co_return end(Status::nonfinite);
    if (result_.residual <= result_.target) co_return end(Status::converged);
    co_await examine(r, z, t, w);
    if (ended_ || at_limit()) co_return false;
    result_.verified = false;
    co_return true;
  }

  /// r = b − (A − σI) x, evaluated, with its norm in the outcome.
  Task<> evaluate(Vector r) {
    result_.residual = co_await replaced(r);
    result_.verified = true;
  }

  /// What the scalars of a process are told before its first step.
  void begin(SymmetricRecurrence& s) {
    Base::begin(s);
    s.norm_a = result_.norm_a;
    s.condition = result_.cond_a;
  }
  /// Starts the Lanczos process from `l.u`, the residual. False once the run has ended.
  Task<bool> start(LanczosVectors<T>& l, LanczosRecurrence& s) {
    begin(s);
    s.beta = s.norm_u = result_.residual;
    if (M) {
      co_await M.apply(l.u, l.z);
      const double uz = space.read(space.real_dot(l.u, l.z));
      if (!(uz > 0.0)) {
        co_return end(std::isfinite(uz) ? Status::indefinite_preconditioner : Status::nonfinite);
      }
      s.beta = std::sqrt(uz);
    }
    s.phibar = s.beta;
    s.shift = M ? 0.0 : shift_;  // without M the vectors do not depend on it
    s.noise = noise_;
    s.normal_residual = result_.normal_residual;
    co_return true;
  }
  /// The next vector, β_{k+1} v_{k+1} = (A − σI) M v_k − α v_k − β_k v_{k−1}, into `l.u_next`, and
  /// the recurrence's step. Traffic: α 2, u 4, with M another 2, and 3 for a shift.
  template <class Kept>
  Task<> extend(LanczosVectors<T>& l, Kept& s) {
    using L = LanczosRecurrence;
    co_await A.apply(l.z, l.p);
    if (M && shift_ != 0.0) space.axpby(-shift_, l.z, 1.0, l.p);
    space.advance(s, L::kProject, space.real_dot(l.z, l.p));
    const auto uu =
        space.add3_norm2(s[&L::by_p], l.p, s[&L::by_u], l.u, s[&L::by_u_before], l.u_next);
    auto uz = uu;
    if (M) {
      co_await M.apply(l.u_next, l.p);
      uz = space.real_dot(l.u_next, l.p);
    }
    space.advance(s, L::kExtend, uu, uz);
  }

  /// What a recurrence that was looked at tells of the run; false if its process has ended for
  /// another reason than its residual. Then the run has ended too, or x may be a least-squares
  /// solution, as `residual` will see.
  bool goes_on(const SymmetricRecurrence& now) {
    result_.norm_a = std::max(result_.norm_a, now.norm_a);
    result_.cond_a = now.condition;
    if (now.is(SymmetricEvent::none)) return true;
    count(now);
    if (now.is(SymmetricEvent::hopeless)) suspected_ = true;
    if (now.is(SymmetricEvent::nonfinite)) end(Status::nonfinite);
    if (now.is(SymmetricEvent::indefinite_preconditioner)) end(Status::indefinite_preconditioner);
    return false;
  }
  /// Set by a method that returns the least-squares solution of least norm.
  bool lifts = false;

 private:
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  /// Ends the run if the true residual r is orthogonal to the range of A − σI, in the inner product
  /// of M.
  Task<> examine(Vector r, Vector z, Vector t, Vector w) {
    co_await multiply(r, z, t, w);
    const double rr = rr_, tt = result_.normal_residual * result_.normal_residual;
    const double rt = space.read(space.real_dot(z, t));
    if (!std::isfinite(rr) || !std::isfinite(tt)) {
      end(Status::nonfinite);
      co_return;
    }
    result_.norm_a = std::max(result_.norm_a, std::sqrt(tt / rr));
    const double measure = tt == 0.0 ? 0.0 : std::sqrt(tt / rr) / result_.norm_a;
    // A residual of small eigenvalues points along A r; noise in one of the null space does not.
    const bool null = std::abs(rt) <= 0.2 * std::sqrt(rr * tt) || measure <= 100.0 * kEps;
    if (measure <= 8.0 * std::sqrt(kEps) && null) {
      if (lifts) {
        // The Krylov space holds one direction of the null space, and z is it.
        const auto kappa = space.read(space.dot(r, x)) / rr;
        space.axpby(-kappa, z, 1.0, x);
        result_.residual = norm(space.axpy_norm2(kappa, t, r));
        co_await multiply(r, z, t, w);
      }
      end(Status::least_squares_solution);
    } else if (measure > 0.5 * checked_measure_) {
      end(Status::precision_limit);
    } else {
      checked_measure_ = measure;
      noise_ = 30.0 * kEps;  // what seemed to be noise was not
    }
  }
  /// z = M r, t = (A − σI) z, w = M t, and the norms of r and t in M.
  Task<> multiply(Vector r, Vector z, Vector t, Vector w) {
    if (M) co_await M.apply(r, z);
    co_await A.apply(z, t);
    if (shift_ != 0.0) space.axpby(-shift_, z, 1.0, t);
    if (M) co_await M.apply(t, w);
    rr_ = M ? space.read(space.real_dot(r, z)) : result_.residual * result_.residual;
    result_.normal_residual = norm(M ? space.real_dot(t, w) : space.norm2(t));
  }

  SymmetricOutcome& result_;
  bool suspected_ = false;  // x may be a least-squares solution
  double rr_ = 0.0;
  double checked_measure_ = INFINITY;  // ‖A r‖ / (‖A‖‖r‖) at the last suspicion
  double noise_ = std::pow(kEps, 0.75);
};

}  // namespace ritz
