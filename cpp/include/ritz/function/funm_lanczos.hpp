// f(A) b for a Hermitian operator and one or several functions, by Lanczos: ‖b‖ V f(T) e₁.
//
// Druskin, Knizhnerman: Two polynomial methods of calculating functions of symmetric matrices. USSR
// Comput. Math. Math. Phys. 29, 1989. Where the basis would outgrow its room the process goes on
// without it, and a second pass makes the missing vectors again: Frommer, Simoncini: Matrix
// functions. In: Model Order Reduction, Springer, 2008, section 3. What ends a run: funm_error.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/function/funm_options.hpp"
#include "ritz/krylov/lanczos.hpp"
#include "ritz/krylov/right_hand_side.hpp"

namespace ritz {

/// A basis of K + 1 vectors of length n, three more if the process may go on without it.
template <Space S>
struct FunmWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index n, Index basis, bool two_passes) {
    const Index slots = Arena<S>::padded(Arena<S>::slot_elements(basis + 1));
    arena.begin(space, Arena<S>::padded(n) * (basis + 1 + (two_passes ? 3 : 0)) + 2 * slots);
    V = arena.block(n, basis + 1);
    if (two_passes) R = arena.block(n, 3);
    h = arena.slots(basis + 1);
    g = arena.slots(basis + 1);
    alpha.clear();
    beta.clear();
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> V, R;
  typename S::Slots h, g;
  std::vector<double> alpha, beta;
  std::vector<Wide> coefficients;
  TridiagonalEigen eigen;
  FunmErrors<Wide> errors;
};

namespace detail {

/// The process and its estimate; what `funm` runs.
template <Space S, class Op>
class LanczosFunm {
  using T = typename S::Value;
  using Wide = WideOf<T>;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

 public:
  LanczosFunm(S& space, const Op& A, BlockView<T> Y, const SpectralFunctions<Wide>& f,
              const SpectralFacts& facts, FunmWorkspace<S>& ws, const FunmOptions& opt,
              const Monitor& monitor, std::span<FunmAccount> accounts)
      : space_(space),
        A_(A),
        n_(A.rows()),
        Y_(Y),
        f_(f),
        facts_(facts),
        ws_(ws),
        opt_(opt),
        monitor_(monitor),
        accounts_(accounts) {
    basis_ = opt.max_basis > 0 ? std::min(opt.max_basis, n_) : n_;
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 10 * n_;
    basis_ = std::max<Index>(std::min(basis_, limit_), 1);
    ws_.prepare(space, n_, basis_, basis_ < std::min(n_, limit_));
    out_.basis = basis_;
    out_.bound = facts.known();
  }

  FunmOutcome run(VectorView<const T> b) {
    norm_b_ = std::sqrt(right_hand_side_norm2(space_, b, opt_.rtol, ws_.V.column(0)));
    if (!std::isfinite(norm_b_)) return fail(Status::nonfinite);
    if (norm_b_ == 0.0) {
      for (Index k = 0; k < Y_.cols; ++k) space_.fill(0.0, Y_.column(k));
      std::fill(accounts_.begin(), accounts_.end(), FunmAccount{0.0, 0.0});
      out_.residual = 0.0;
      out_.verified = true;
      return finish(Status::converged);
    }
    space_.axpby(1.0 / norm_b_, b, 0.0, ws_.V.column(0));
    Index next = 1;
    for (;;) {
      const LanczosStep step = advance();
      if (!std::isfinite(step.alpha) || !std::isfinite(step.beta)) return fail(Status::nonfinite);
      const bool last = step.beta == 0.0 || steps_ >= limit_;
      std::optional<Status> end;
      if (last || steps_ >= next) {
        end = check(false);
        next = steps_ + pace();
      }
      if (!end && step.beta == 0.0) end = Status::precision_limit;
      if (!end) end = watch();
      if (!end && last) end = Status::max_iterations;
      if (end) return assemble(*end);
    }
  }

 private:
  /// One step: with the whole basis while there is room, by the three-term recurrence after that.
  /// Traffic of step j: (3j + 6) n, then 10 n.
  LanczosStep advance() {
    LanczosStep step;
    const Index j = steps_++;
    if (j < basis_) {
      step = lanczos_step(space_, A_, ws_.V, j, ws_.h, ws_.g);
    } else {
      if (j == basis_) start_recurrence();
      const auto v = ws_.R.column(cursor_ % 3), w = ws_.R.column((cursor_ + 1) % 3);
      A_.apply(v, w);
      step.alpha = space_.read(space_.real_dot(v, w));
      step.beta = continue_recurrence(step.alpha, ws_.beta.back());
      if (step.beta > 0.0) space_.scale(1.0 / step.beta, w);
    }
    norm_a_ = std::max(norm_a_, std::hypot(step.alpha, step.beta));
    // The Krylov space is invariant: y is exact.
    if (step.beta <= kEps * norm_a_ || (steps_ == n_ && steps_ <= basis_)) step.beta = 0.0;
    ws_.alpha.push_back(step.alpha);
    ws_.beta.push_back(step.beta);
    return step;
  }

  void start_recurrence() {
    space_.copy(ws_.V.column(basis_ - 1), ws_.R.column(0));
    space_.copy(ws_.V.column(basis_), ws_.R.column(1));
    cursor_ = 1;
  }
  /// w = w − α v − β u, u being the vector before v; ‖w‖. The cursor moves to w.
  double continue_recurrence(double alpha, double beta) {
    const auto u = ws_.R.column((cursor_ + 2) % 3), v = ws_.R.column(cursor_ % 3);
    const auto w = ws_.R.column((cursor_ + 1) % 3);
    space_.axpby(-alpha, v, 1.0, w);
    ++cursor_;
    return std::sqrt(space_.read(space_.axpy_norm2(-beta, u, w)));
  }

  /// The estimates of this step; a status if the run is to end for them.
  std::optional<Status> check(bool keep_rotations) {
    const auto m = static_cast<std::size_t>(steps_);
    const double beta = std::abs(opt_.t) * ws_.beta.back();
    const std::span<const double> off(ws_.beta.data(), m - 1);
    if (!ws_.eigen.compute(ws_.alpha, off, opt_.t, keep_rotations)) return Status::nonfinite;
    const bool finite =
        ws_.errors.evaluate(ws_.eigen, beta, kEps, std::abs(opt_.t) * norm_a_, facts_, f_, Y_.cols);
    if (!finite) {
      out_.offending = ws_.errors.offending();
      out_.residual = INFINITY;
      std::fill(accounts_.begin(), accounts_.end(), FunmAccount{});
      // A Ritz value beyond the domain stays beyond it; one that falls on a pole moves on.
      const bool beyond = out_.offending < facts_.least;
      return beyond || beta == 0.0 || ++failures_ > 1 ? std::optional(Status::breakdown)
                                                      : std::nullopt;
    }
    failures_ = 0;
    out_.offending = std::numeric_limits<double>::quiet_NaN();
    bool met = true, spent = true;
    double worst = -1.0;
    for (std::size_t k = 0; k < accounts_.size(); ++k) {
      const FunmError& e = ws_.errors.errors()[k];
      const double target = std::max(opt_.rtol * e.norm * norm_b_, opt_.atol);
      accounts_[k] = {(e.bound + e.floor) * norm_b_, e.norm * norm_b_};
      // f may have underflowed at every Ritz value and be large elsewhere: 0 ≤ 0 is no convergence.
      const bool ok = accounts_[k].error <= target && (target > 0.0 || beta == 0.0);
      met &= ok;
      spent &= ok || (e.floor > 0.0 && e.bound <= e.floor / 8.0);
      const double ratio = ok ? 0.0 : accounts_[k].error / target;
      if (!(ratio <= worst)) {
        worst = ratio;
        out_.residual = accounts_[k].error;
        out_.target = target;
      }
    }
    ratio_ = worst;
    if (met) return Status::converged;
    if (spent) return Status::precision_limit;
    return std::nullopt;
  }

  /// Steps to the next check: few when the last estimate was near its target, an eighth of those
  /// made when it was far, so that all checks together cost a few times the last.
  Index pace() const {
    const Index far = std::max<Index>(1, steps_ / 8);
    return ratio_ > 0.0 && ratio_ < 10.0 ? std::max<Index>(1, far / 4) : far;
  }

  std::optional<Status> watch() const {
    Iteration now;
    now.iteration = steps_;
    now.products = A_.counts;
    now.residual = out_.residual;
    now.clock = &clock_;
    if (const auto stop = monitor_.check(now)) return stop;
    const Index owed = std::max<Index>(0, steps_ - basis_);  // by the second pass
    if (A_.counts.total() + owed >= monitor_.max_products) return Status::max_products;
    return std::nullopt;
  }

  /// Y = ‖b‖ V f(T) e₁ at the present step.
  FunmOutcome assemble(Status status) {
    if (status == Status::nonfinite || status == Status::breakdown) return fail(status);
    const auto checked = check(true);
    if (checked == Status::nonfinite || !std::isfinite(out_.residual)) {
      return fail(std::isnan(out_.offending) ? Status::nonfinite : Status::breakdown);
    }
    if (checked) status = *checked;  // a stop at a step without a check may have met the target
    const auto m = static_cast<std::size_t>(steps_);
    auto& c = ws_.coefficients;
    c.resize(m * accounts_.size());
    const Index kept = std::min(steps_, basis_);
    const auto s1 = ws_.eigen.first_row();
    for (std::size_t k = 0; k < accounts_.size(); ++k) {
      const std::span<Wide> ck(c.data() + k * m, m);
      const auto column = static_cast<Index>(k);
      for (std::size_t i = 0; i < m; ++i) {
        ck[i] = norm_b_ * s1[i] * ws_.errors.at_value(i, column);
      }
      ws_.eigen.multiply(ck);
      space_.fill(0.0, Y_.column(column));
      space_.axpy_columns(ws_.V.columns(0, kept), ck.first(static_cast<std::size_t>(kept)),
                          Y_.column(column));
    }
    if (steps_ > basis_) {
      if (const auto stop = repeat()) status = *stop;
    }
    for (Index k = 0; k < Y_.cols; ++k) {
      if (!std::isfinite(space_.read(space_.norm2(Y_.column(k))))) return fail(Status::nonfinite);
    }
    return finish(status);
  }

  /// The second pass, for the vectors that were not kept. A stop leaves their coefficients out, and
  /// adds them to the errors.
  std::optional<Status> repeat() {
    const auto m = static_cast<std::size_t>(steps_);
    start_recurrence();
    for (Index j = basis_;; ++j) {
      const auto v = ws_.R.column(cursor_ % 3);
      for (Index k = 0; k < Y_.cols; ++k) {
        const Wide c =
            ws_.coefficients[static_cast<std::size_t>(j) + static_cast<std::size_t>(k) * m];
        space_.axpby(c, v, 1.0, Y_.column(k));
      }
      if (j + 1 == steps_) return std::nullopt;
      A_.apply(v, ws_.R.column((cursor_ + 1) % 3));
      ++out_.repeated;
      const auto at = static_cast<std::size_t>(j);
      continue_recurrence(ws_.alpha[at], ws_.beta[at - 1]);
      space_.scale(1.0 / ws_.beta[at], ws_.R.column(cursor_ % 3));
      Iteration now;
      now.iteration = steps_ + out_.repeated;
      now.products = A_.counts;
      now.residual = out_.residual;
      now.clock = &clock_;
      Monitor limits = monitor_;
      limits.max_products = std::numeric_limits<Index>::max();  // allowed for in the first pass
      if (const auto stop = limits.check(now)) {
        leave_out(j + 1);
        return stop;
      }
    }
  }
  void leave_out(Index from) {
    const auto m = static_cast<std::size_t>(steps_);
    out_.residual = 0.0;
    for (std::size_t k = 0; k < accounts_.size(); ++k) {
      double missing2 = 0.0;
      for (auto j = static_cast<std::size_t>(from); j < m; ++j) {
        missing2 += std::norm(ws_.coefficients[j + k * m]);
      }
      accounts_[k].error += std::sqrt(missing2);
      out_.residual = std::max(out_.residual, accounts_[k].error);
    }
  }

  FunmOutcome fail(Status status) {
    for (Index k = 0; k < Y_.cols; ++k) {
      space_.fill(std::numeric_limits<double>::quiet_NaN(), Y_.column(k));
    }
    std::fill(accounts_.begin(), accounts_.end(), FunmAccount{});
    out_.residual = INFINITY;
    return finish(status);
  }
  FunmOutcome finish(Status status) {
    out_.status = status;
    out_.iterations = steps_;
    out_.products = A_.counts;
    out_.seconds = clock_.seconds();
    return out_;
  }

  Clock clock_;
  S& space_;
  Counted<Op> A_;
  Index n_, basis_ = 0, limit_ = 0, steps_ = 0, cursor_ = 0;
  BlockView<T> Y_;
  const SpectralFunctions<Wide>& f_;
  SpectralFacts facts_;
  FunmWorkspace<S>& ws_;
  const FunmOptions& opt_;
  const Monitor& monitor_;
  std::span<FunmAccount> accounts_;
  FunmOutcome out_;
  double norm_b_ = 0.0, norm_a_ = 0.0, ratio_ = 0.0;
  int failures_ = 0;
};

}  // namespace detail

}  // namespace ritz
