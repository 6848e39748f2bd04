// f(A) b for an operator that need not be Hermitian, by Arnoldi: ‖b‖ V f(H) e₁. For exp, long times
// are cut into steps that fit the basis.
//
// Saad: Analysis of some Krylov subspace approximations to the matrix exponential operator. SIAM J.
// Numer. Anal. 29, 1992. Sidje: Expokit: a software package for computing matrix exponentials. ACM
// Trans. Math. Softw. 24, 1998. As in funm_error.hpp the error is ‖b‖ h g(A) v_{m+1}, here with
// g(x) = e_mᵀ f[H, x] e₁: the last elements of f([H 0; h e_mᵀ x]) e₁ at a few points x beside the
// spectrum of H. For a non-normal A that is an estimate, not a bound.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <optional>
#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/dense/functions.hpp"
#include "ritz/function/funm_options.hpp"
#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/op/counted.hpp"

namespace ritz {

/// Column k of Y becomes f_k(H) e₁; returns the relative accuracy of Y as the small computation
/// knows it, NaN where a function is not defined.
using SmallFunctions = function_ref<double(BlockView<const std::complex<double>> H,
                                           BlockView<std::complex<double>> Y)>;

/// What the functions are like.
struct SmallFacts {
  bool outside = true;  ///< may be asked for slightly beyond the spectrum of H
  bool steps = false;   ///< one function, exp: f(t A) = f((t − s) A) f(s A)
  bool grows = false;   ///< one of them is exp or φ_k: beyond the spectrum of tH by 1 it may triple
  bool jump = false;    ///< one of them jumps across the imaginary axis, as sign does
};

/// A basis of K + 1 vectors of length n.
template <Space S>
struct FunmArnoldiWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index n, Index basis) {
    const Index slots = 2 * (basis + 1);
    arena.begin(space, Arena<S>::padded(n) * (basis + 1) +
                           Arena<S>::padded(Arena<S>::slot_elements(slots)));
    V = arena.block(n, basis + 1);
    h = arena.slots(slots);
    host.resize(static_cast<std::size_t>(slots));
    H.assign(static_cast<std::size_t>(basis * basis), 0.0);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> V;
  typename S::Slots h;
  std::vector<Wide> host;
  std::vector<std::complex<double>> H, small, values, last, moved, ritz;
};

namespace detail {

template <Space S, class Op>
class ArnoldiFunm {
  using T = typename S::Value;
  using Wide = WideOf<T>;
  using Complex = std::complex<double>;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

 public:
  ArnoldiFunm(S& space, const Op& A, BlockView<T> Y, const SmallFunctions& f,
              const SmallFacts& facts, FunmArnoldiWorkspace<S>& ws, const FunmOptions& opt,
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
    if (!facts.steps) basis_ = std::min(basis_, limit_);
    ws_.prepare(space, n_, basis_);
    out_.basis = basis_;
    local_ = opt.rtol;
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
    for (int attempt = 0;; ++attempt) {
      start(b);
      for (;;) {
        const auto end = segment();
        if (!end) continue;
        const bool again = *end == Status::converged && !parts_.empty() &&
                           out_.residual > out_.target && attempt < kAttempts;
        if (again) {  // the steps before the last were too coarse for what became of their errors
          local_ *= 0.3 * out_.target / out_.residual;
          if (local_ < kEps) return finish(Status::precision_limit);
          break;
        }
        if (*end == Status::nonfinite || *end == Status::breakdown) return fail(*end);
        const bool met = !(out_.residual > out_.target);
        if (*end == Status::converged && !met) return finish(Status::precision_limit);
        return finish(*end);
      }
    }
  }

 private:
  static constexpr int kAttempts = 3;
  static constexpr Index kSamples = 4;
  /// A step of exp that was taken.
  struct Part {
    double error, norm, remaining;
  };

  void start(VectorView<const T> b) {
    space_.axpby(1.0 / norm_b_, b, 0.0, ws_.V.column(0));
    norm_ = norm_b_;
    remaining_ = 1.0;
    parts_.clear();
    growth_ = -INFINITY;
  }

  Complex& H(Index i, Index j) { return ws_.H[static_cast<std::size_t>(i + j * basis_)]; }

  /// A basis from the present vector; a status if the run is to end. Traffic of step j: (3j + 6) n.
  std::optional<Status> segment() {
    std::fill(ws_.H.begin(), ws_.H.end(), 0.0);
    ws_.last.clear();
    previous_ = 0.0;
    ratio_ = 0.0;
    Index next = std::min<Index>(2, basis_);
    for (m_ = 0; m_ < basis_;) {
      A_.apply(ws_.V.column(m_), ws_.V.column(m_ + 1));
      const auto step = arnoldi_step(space_, BlockView<const T>(ws_.V.columns(0, m_ + 1)),
                                     ws_.V.column(m_ + 1), ws_.h, ws_.host);
      ++out_.iterations;
      if (!std::isfinite(step.length)) return Status::nonfinite;
      for (Index i = 0; i <= m_; ++i) H(i, m_) = ws_.host[static_cast<std::size_t>(i)];
      ++m_;
      beta_ = m_ == n_ ? 0.0 : step.beta;
      if (beta_ > 0.0 && m_ < basis_) H(m_, m_ - 1) = beta_;
      const bool last = beta_ == 0.0 || m_ == basis_ || out_.iterations >= limit_;
      std::optional<Status> end;
      if (last || m_ >= next) {
        end = check();
        next = m_ + pace();
      }
      if (!end && beta_ == 0.0) end = Status::precision_limit;
      if (!end) end = watch();
      if (!end && out_.iterations >= limit_) end = Status::max_iterations;
      if (!end && m_ == basis_ && !facts_.steps) end = Status::max_iterations;
      if (end) return assemble(*end);
    }
    return take_step();
  }

  std::optional<Status> watch() const {
    Iteration now;
    now.iteration = out_.iterations;
    now.products = A_.counts;
    now.residual = out_.residual;
    now.clock = &clock_;
    return monitor_.check(now);
  }
  Index pace() const {
    const Index far = std::max<Index>(1, m_ / 4);
    return ratio_ > 0.0 && ratio_ < 100.0 ? std::max<Index>(1, far / 3) : far;
  }

  /// f of the small matrix times `factor`, with `samples` more rows; the largest of their elements
  /// in `bound`, the relative accuracy as result. Columns of ws.values have size_ elements.
  double small(double factor, Index samples, double& bound) {
    size_ = m_ + samples;
    const auto size = static_cast<std::size_t>(size_);
    ws_.small.assign(size * size, 0.0);
    const BlockView<Complex> B{ws_.small.data(), size_, size_, size_};
    for (Index j = 0; j < m_; ++j) {
      for (Index i = 0; i < m_; ++i) B(i, j) = factor * H(i, j);
    }
    for (Index k = 0; k < samples; ++k) {
      B(m_ + k, m_ - 1) = std::abs(factor) * beta_;
      B(m_ + k, m_ + k) = factor * ws_.ritz[static_cast<std::size_t>(k)];
    }
    ws_.values.assign(size * accounts_.size(), 0.0);
    const BlockView<Complex> values{ws_.values.data(), size_, Y_.cols, size_};
    const double accuracy = f_(BlockView<const Complex>(B), values);
    bound = 0.0;
    for (Index j = 0; j < Y_.cols; ++j) {
      for (Index k = 0; k < samples; ++k) bound = std::max(bound, std::abs(values(m_ + k, j)));
    }
    return accuracy;
  }

  /// Points beside the spectrum of H: its right and left end, its top, and what is nearest to 0.
  void choose_points() {
    const auto m = static_cast<std::size_t>(m_);
    std::vector<Complex> theta(m);
    ws_.small.resize(m * m);
    for (std::size_t j = 0; j < m; ++j) {
      for (std::size_t i = 0; i < m; ++i) {
        ws_.small[i + j * m] = H(static_cast<Index>(i), static_cast<Index>(j));
      }
    }
    dense::eigenvalues({ws_.small.data(), m_, m_, m_}, theta);
    Complex centre = 0.0;
    for (const Complex x : theta) centre += x / static_cast<double>(m);
    const auto pick = [&](const auto& key) {
      return *std::max_element(theta.begin(), theta.end(),
                               [&](Complex x, Complex y) { return key(x) < key(y); });
    };
    const double sign = opt_.t < 0.0 ? -1.0 : 1.0;
    const Complex right = pick([&](Complex x) { return sign * x.real(); });
    // Away from x by `share` of x − `from`, but where f grows by no more than one unit of tA.
    const double unit = 1.0 / std::abs(opt_.t * remaining_);
    const auto away = [&](Complex x, Complex from, double share) {
      const Complex step = (facts_.outside ? share : -0.1) * (x - from);
      const double size = std::abs(step);
      return x + (facts_.grows && size > unit ? step * (unit / size) : step);
    };
    const Complex left = pick([&](Complex x) { return -sign * x.real(); });
    const Complex upper = pick([](Complex x) { return x.imag(); });
    const Complex nearest = pick([](Complex x) { return -std::abs(x); });
    ws_.ritz = {away(right, centre, 0.1), away(left, centre, 0.1), away(upper, centre, 0.1),
                facts_.outside ? away(nearest, 0.0, -0.3) : 1.1 * nearest};
    if (facts_.jump) {
      const double size = std::abs(pick([](Complex x) { return std::abs(x); }));
      ws_.ritz[2] = 1e-6 * size;
      ws_.ritz[3] = -1e-6 * size;
    }
    growth_ = std::max(growth_, opt_.t * right.real());
  }

  /// The norm of the difference between the columns k of ws.values and of `other`.
  double difference(const std::vector<Complex>& other, std::size_t rows, std::size_t k) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(m_); ++i) {
      const Complex y = ws_.values[i + k * static_cast<std::size_t>(size_)];
      sum += std::norm(y - (i < rows ? other[i + k * rows] : 0.0));
    }
    return std::sqrt(sum);
  }

  /// What a change of H in its last place does to the values: column by column into `floors`.
  void find_floors(double factor, std::vector<double>& floors) {
    const double delta = std::sqrt(std::numeric_limits<double>::epsilon());
    const std::vector<Complex> values = ws_.values, kept = ws_.H;
    const auto rows = static_cast<std::size_t>(size_);
    double norm = 0.0;
    for (const Complex h : ws_.H) norm = std::hypot(norm, std::abs(h));
    for (Index j = 0; j < m_; ++j) {
      for (Index i = 0; i < std::min(j + 2, m_); ++i) {
        const double sign = (i * 7 + j * 13) % 5 < 2 ? -1.0 : 1.0;
        H(i, j) += sign * delta * norm / static_cast<double>(m_);
      }
    }
    double bound = 0.0;
    const double accuracy = small(factor, 0, bound);
    for (std::size_t k = 0; k < accounts_.size(); ++k) {
      floors[k] = std::isnan(accuracy) ? INFINITY : difference(values, rows, k) * kEps / delta;
    }
    ws_.H = kept;
    ws_.values = values;
    size_ = static_cast<Index>(rows);
  }

  std::optional<Status> check() {
    const double factor = opt_.t * remaining_;
    double bound = 0.0, accuracy = std::numeric_limits<double>::quiet_NaN();
    choose_points();
    if (beta_ > 0.0) accuracy = small(factor, kSamples, bound);
    const bool sampled = !std::isnan(accuracy);
    if (!sampled) accuracy = small(factor, 0, bound);
    if (std::isnan(accuracy)) {
      out_.residual = INFINITY;
      std::fill(accounts_.begin(), accounts_.end(), FunmAccount{});
      return beta_ == 0.0 || ++failures_ > 3 ? std::optional(Status::breakdown) : std::nullopt;
    }
    failures_ = 0;
    const auto rows = ws_.last.empty() ? 0 : ws_.last.size() / accounts_.size();
    double moved = 0.0;
    for (std::size_t k = 0; rows > 0 && k < accounts_.size(); ++k) {
      moved = std::max(moved, difference(ws_.last, rows, k));
    }
    // The last estimate is held against what the step since then has moved.
    if (beta_ == 0.0) {
      bound = 0.0;
    } else if (!sampled) {
      bound = moved > 0.0 ? moved : INFINITY;
    } else if (previous_ > 0.0 && moved > previous_ && bound > kEps * moved) {
      bound *= std::min(moved / previous_, 1e3);
    }
    previous_ = bound;
    std::vector<double> floors(accounts_.size());
    find_floors(factor, floors);
    account(bound, accuracy, floors);
    ws_.last.assign(static_cast<std::size_t>(m_) * accounts_.size(), 0.0);
    for (std::size_t k = 0; k < accounts_.size(); ++k) {
      std::copy_n(&ws_.values[k * static_cast<std::size_t>(size_)], m_,
                  &ws_.last[k * static_cast<std::size_t>(m_)]);
    }
    if (met_) return Status::converged;
    if (spent_) return Status::precision_limit;
    return std::nullopt;
  }

  void account(double bound, double accuracy, const std::vector<double>& floors) {
    met_ = spent_ = true;
    double worst = -1.0;
    for (std::size_t k = 0; k < accounts_.size(); ++k) {
      double norm2 = 0.0;
      for (std::size_t i = 0; i < static_cast<std::size_t>(m_); ++i) {
        norm2 += std::norm(ws_.values[i + k * static_cast<std::size_t>(size_)]);
      }
      const double size = std::sqrt(norm2);
      const double floor = floors[k] + std::max(accuracy, 2.0 * kEps) * size;
      const double rtol = parts_.empty() ? opt_.rtol : 0.5 * local_ * remaining_;
      const double target = std::max(rtol * size * norm_, parts_.empty() ? opt_.atol : 0.0);
      accounts_[k] = {(bound + floor) * norm_, size * norm_};
      // A step of a longer way has to keep up with its share only as far as rounding lets it.
      const bool ok = parts_.empty()
                          ? accounts_[k].error <= target && (target > 0.0 || beta_ == 0.0)
                          : bound <= std::max(target / norm_, floor / 4.0);
      met_ &= ok;
      spent_ &= ok || (floor > 0.0 && bound <= floor / 4.0);
      const double ratio = ok ? 0.0 : accounts_[k].error / target;
      if (!(ratio <= worst)) {
        worst = ratio;
        out_.residual = accounts_[k].error;
        out_.target = target;
      }
    }
    ratio_ = worst;
  }

  /// y = V f(H) e₁ times the present norm, into column k; false if it would have to be complex.
  bool combine(Index k, VectorView<T> y) {
    const auto c = std::span(ws_.host).first(static_cast<std::size_t>(m_));
    double size = 0.0, imaginary = 0.0;
    for (Index i = 0; i < m_; ++i) {
      const Complex x = norm_ * ws_.values[static_cast<std::size_t>(i + k * size_)];
      size = std::hypot(size, std::abs(x));
      imaginary = std::hypot(imaginary, x.imag());
      if constexpr (ComplexField<T>) {
        c[static_cast<std::size_t>(i)] = x;
      } else {
        c[static_cast<std::size_t>(i)] = x.real();
      }
    }
    if (!ComplexField<T> && imaginary > 1e-8 * size) return false;
    space_.fill(0.0, y);
    space_.axpy_columns(ws_.V.columns(0, m_), c, y);
    return true;
  }

  std::optional<Status> assemble(Status status) {
    if (status == Status::nonfinite || status == Status::breakdown) return status;
    if (size_ == 0 ||
        static_cast<Index>(ws_.last.size()) != m_ * static_cast<Index>(accounts_.size())) {
      if (const auto checked = check()) status = *checked;
      if (status == Status::breakdown || !std::isfinite(out_.residual)) return Status::breakdown;
    }
    if (ws_.last.empty()) return Status::breakdown;
    for (Index k = 0; k < Y_.cols; ++k) {
      if (!combine(k, Y_.column(k))) return Status::breakdown;
      if (!std::isfinite(space_.read(space_.norm2(Y_.column(k))))) return Status::nonfinite;
    }
    if (parts_.empty()) return status;
    // Errors of earlier steps grow with the solution, or as the spectrum lets them.
    FunmAccount& all = accounts_[0];
    for (const Part& p : parts_) {
      all.error += p.error * std::max(all.norm / p.norm, std::exp(growth_ * p.remaining));
    }
    const bool whole = status == Status::converged;
    if (!whole) all.error = INFINITY;  // the time was not reached
    out_.residual = all.error;
    out_.target = std::max(opt_.rtol * all.norm, opt_.atol);
    return status;
  }

  /// exp: goes on from y(s) for the longest s whose error is in proportion to it.
  std::optional<Status> take_step() {
    double tau = 0.5, bound = 0.0, size = 0.0;
    for (int attempt = 0;; ++attempt) {
      const double accuracy = small(opt_.t * remaining_ * tau, kSamples, bound);
      double norm2 = 0.0;
      for (Index i = 0; i < m_; ++i) norm2 += std::norm(ws_.values[static_cast<std::size_t>(i)]);
      size = std::sqrt(norm2);
      const double allowed = 0.5 * local_ * remaining_ * tau * size;
      const bool finite = !std::isnan(accuracy) && std::isfinite(size) && size > 0.0;
      if (finite && (bound <= allowed || bound <= 4.0 * kEps * size)) break;
      if (attempt == 60) return Status::breakdown;
      const double cut =
          finite ? std::pow(allowed / bound, 1.0 / static_cast<double>(m_)) * 0.9 : 0.5;
      tau *= std::clamp(cut, 0.1, 0.9);
    }
    if (!combine(0, Y_.column(0))) return Status::breakdown;
    const double norm = std::sqrt(space_.read(space_.norm2(Y_.column(0))));
    if (!std::isfinite(norm) || norm == 0.0) return Status::nonfinite;
    remaining_ *= 1.0 - tau;
    parts_.push_back({(bound + 2.0 * kEps * size) * norm_, norm, remaining_});
    norm_ = norm;
    space_.axpby(1.0 / norm, Y_.column(0), 0.0, ws_.V.column(0));
    return std::nullopt;
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
    out_.products = A_.counts;
    out_.seconds = clock_.seconds();
    return out_;
  }

  Clock clock_;
  S& space_;
  Counted<Op> A_;
  Index n_, basis_ = 0, limit_ = 0, m_ = 0, size_ = 0;
  BlockView<T> Y_;
  const SmallFunctions& f_;
  SmallFacts facts_;
  FunmArnoldiWorkspace<S>& ws_;
  const FunmOptions& opt_;
  const Monitor& monitor_;
  std::span<FunmAccount> accounts_;
  FunmOutcome out_;
  std::vector<Part> parts_;
  double norm_b_ = 0.0, norm_ = 0.0, beta_ = 0.0, remaining_ = 1.0, local_ = 0.0;
  double previous_ = 0.0, ratio_ = 0.0, growth_ = -INFINITY;
  bool met_ = false, spent_ = false;
  int failures_ = 0;
};

}  // namespace detail

}  // namespace ritz
