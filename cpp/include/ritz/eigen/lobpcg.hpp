// Extreme eigenpairs of A x = λ B x with a preconditioner: the locally optimal block preconditioned
// conjugate gradient method. Knyazev: Toward the optimal preconditioned eigensolver: LOBPCG. SIAM
// J. Sci. Comput. 23, 2001. In the robust form of Hetmaniuk, Lehoucq: Basis selection in LOBPCG.
// J. Comput. Phys. 218, 2006: the basis [X P W] is B-orthonormal, new directions W are dropped
// where they depend on the others, and P is made orthogonal to X in coefficients.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/eigen/pencil.hpp"
#include "ritz/eigen/weighted_basis.hpp"
#include "ritz/krylov/block_run.hpp"

namespace ritz {

struct LobpcgOptions {
  bool largest = true;  ///< as SciPy; false: the smallest eigenvalues
  double tol = 0.0;     ///< ‖Ax − θBx‖ ≤ tol (‖A‖ + |θ| ‖B‖) ‖x‖, ‖A‖ alone without B; 0 is √eps
  Index max_iterations = 0;  ///< 0 means 10 n
  bool verify = true;        ///< a claim is checked on new products A X, k of them
  RandomKey seed = {};  ///< of what stands in for dependent columns, and of the norms' estimates

  template <class F>
  void visit(const F& f) {
    f("largest", largest);
    f("tol", tol);
    f("max_iterations", max_iterations);
    f("verify", verify);
    f("seed", seed.seed);
  }
};

struct LobpcgOutcome : Outcome {
  Index converged = 0;  ///< pairs that meet the tolerance
  double norm_a = 0.0;  ///< the largest ‖A v‖ seen: a lower bound of ‖A‖
  double norm_b = 1.0;  ///< likewise, of B
  Index mass = 0;       ///< products with B
};

template <Space S>
struct LobpcgWorkspace {
  using T = typename S::Value;

  /// k vectors, p constraints.
  void prepare(S& space, Index n, Index k, Index p, bool weighted) {
    const Index size = p + 3 * k;
    const Index blocks = (weighted ? 2 : 1) * size + 3 * k;
    arena.begin(space,
                Arena<S>::padded(n) * blocks + Arena<S>::padded(Arena<S>::slot_elements(2 * size)));
    V = arena.block(n, size);
    BV = weighted ? arena.block(n, size) : V;
    AV = arena.block(n, 3 * k);
    slots = arena.slots(2 * size);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> V, BV, AV;  // [Y X P W], its products with B, and [X P W]'s with A
  typename S::Slots slots;
};

/// One run; B and the preconditioner M may be absent.
template <Space S, class A, class B, class M>
class LobpcgRun {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  LobpcgRun(S& space, const A& a, const B& b, const M& precond, BlockView<const T> Y,
            BlockView<T> X, std::span<double> values, std::span<double> residuals,
            LobpcgWorkspace<S>& ws, const LobpcgOptions& opt, const Monitor& monitor)
      : space_(space),
        a_(a),
        b_(b),
        m_(precond),
        X_(X),
        values_(values),
        residuals_(residuals),
        opt_(opt),
        monitor_(monitor),
        n_(a.rows()),
        k_(X.cols) {
    check(Y);
    ws.prepare(space, n_, k_, Y.cols, is_given(b));
    AV_ = ws.AV;
    basis_.emplace(space, b_, ws.V, ws.BV, ws.slots, out_.mass);
    tol_ = std::max(opt.tol > 0.0 ? opt.tol : std::sqrt(kEps), 64.0 * kEps);
    limit_ = opt.max_iterations > 0 ? opt.max_iterations : 10 * n_;
    active_columns_.resize(static_cast<std::size_t>(k_));
    for (Index j = 0; j < Y.cols; ++j) space.copy(Y.column(j), ws.V.column(j));
    q_ = basis_->extend(0, Y.cols, n_);
  }

  LobpcgOutcome run() {
    if (q_ < 0) return finish(basis_->failure());
    if (k_ > n_ - q_) {
      throw InvalidArgument("X has " + std::to_string(k_) + " columns; beside " +
                            std::to_string(q_) + " constraints there are only " +
                            std::to_string(n_ - q_) + " dimensions");
    }
    for (Index j = 0; j < k_; ++j) space_.copy(X_.column(j), basis_->V.column(q_ + j));
    if (!refresh() || !estimate_norms()) return finish(failure_);
    double claimed = INFINITY;
    for (;;) {
      double worst = residuals();
      if (!std::isfinite(worst)) return finish(Status::nonfinite);
      if ((worst <= 1.0 || stop_) && !fresh_ && opt_.verify) {
        if (!refresh()) return finish(failure_);
        worst = residuals();
        if (!std::isfinite(worst)) return finish(Status::nonfinite);
        if (worst > 1.0 && !stop_) {
          if (worst > 0.5 * claimed) return finish(Status::precision_limit);
          claimed = worst;
        }
      }
      if (worst <= 1.0) return finish(Status::converged);
      if (stop_) return finish(*stop_);
      const Index added = directions();
      if (added < 0) return finish(basis_->failure());
      if (added == 0) {
        if (fresh_) return finish(stuck());
        if (!refresh()) return finish(failure_);
        continue;
      }
      if (!improve(added)) return finish(Status::nonfinite);
      watch();
    }
  }

 private:
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  void check(BlockView<const T> Y) const {
    if (a_.rows() != a_.cols())
      throw InvalidArgument("A must be square: lobpcg needs a Hermitian A");
    check_size("X", X_.rows, n_);
    if (Y.cols > 0) check_size("Y", Y.rows, n_);
    const auto check_operator = [&](const auto& p, const char* name) {
      if constexpr (!std::same_as<std::remove_cvref_t<decltype(p)>, NoOperator>) {
        if (is_given(p) && (p.rows() != n_ || p.cols() != n_)) {
          throw InvalidArgument(std::string(name) + " must be square, of the size of A");
        }
      }
    };
    check_operator(b_, "B");
    check_operator(m_, "M");
    if (k_ < 1) throw InvalidArgument("X has no columns: one a wanted eigenvector is needed");
    if (static_cast<Index>(std::min(values_.size(), residuals_.size())) < k_) {
      throw InvalidArgument("the results have no room for " + std::to_string(k_) + " pairs");
    }
    check_tolerance("tol", opt_.tol);
  }

  // ---- the basis ----

  BlockView<T> X() const { return basis_->V.columns(q_, k_); }
  BlockView<T> BX() const { return basis_->BV.columns(q_, k_); }
  BlockView<T> active() const { return basis_->V.columns(q_, size_); }

  /// X orthonormal, A X from a product, Rayleigh-Ritz in X alone; P is forgotten.
  bool refresh() {
    Index rank = basis_->extend(q_, k_, n_);
    for (int attempt = 0; rank >= 0 && rank < k_; ++attempt) {  // dependent columns: random ones
      if (attempt == 10) return fail(Status::breakdown);
      for (Index j = rank; j < k_; ++j) {
        space_.random_uniform({opt_.seed.seed, opt_.seed.stream + stream_++},
                              basis_->V.column(q_ + j));
      }
      const Index more = basis_->extend(q_ + rank, k_ - rank, n_);
      rank = more < 0 ? more : rank + more;
    }
    if (rank < 0) return fail(basis_->failure());
    apply_counted(a_, BlockView<const T>(X()), AV_.columns(0, k_), out_.products);
    size_ = k_;
    G_.resize(k_, k_);
    if (!project(0) || !rayleigh_ritz(0)) return fail(Status::nonfinite);
    fresh_ = true;
    return true;
  }

  /// What X and a random vector tell of ‖A‖ and ‖B‖.
  bool estimate_norms() {
    const auto g = basis_->V.column(q_ + k_), Ag = AV_.column(k_);
    const auto norm = [&](VectorView<const T> x) {
      return std::sqrt(space_.read(space_.norm2(x)));
    };
    space_.random_uniform({opt_.seed.seed, opt_.seed.stream + stream_++}, g);
    const double length = norm(g);
    apply_counted(a_, VectorView<const T>(g), Ag, out_.products);
    out_.norm_a = std::max(out_.norm_a, norm(Ag) / length);
    if (is_given(b_)) {
      Counts counts;
      apply_counted(b_, VectorView<const T>(g), Ag, counts);
      out_.mass += counts.total();
      out_.norm_b = norm(Ag) / length;
    }
    for (Index j = 0; j < k_; ++j) {
      const double x = is_given(b_) ? norm(X().column(j)) : 1.0;
      out_.norm_a = std::max(out_.norm_a, norm(AV_.column(j)) / x);
      if (is_given(b_)) out_.norm_b = std::max(out_.norm_b, norm(BX().column(j)) / x);
    }
    return std::isfinite(out_.norm_a) && std::isfinite(out_.norm_b) ? true
                                                                    : fail(Status::nonfinite);
  }

  /// The residual norms; the largest relative to its target. Those of the pairs that have not
  /// converged stand where W is to come, before the preconditioner.
  double residuals() {
    const Index at = size_;
    active_ = 0;
    out_.converged = 0;
    double worst = 0.0, excess = -INFINITY;
    for (Index j = 0; j < k_; ++j) {
      const double theta = values_[static_cast<std::size_t>(j)];
      const auto r = is_given(m_) ? AV_.column(at + active_) : basis_->V.column(q_ + at + active_);
      double norm2 =
          space_.read(space_.add3_norm2(1.0, AV_.column(j), -theta, BX().column(j), 0.0, r));
      if (q_ > 0) norm2 = basis_->project_residual(q_, r);
      double length = 1.0;
      if (is_given(b_)) length = std::sqrt(space_.read(space_.norm2(X().column(j))));
      const double norm = std::sqrt(norm2) / length;
      const double goal = target(theta);
      residuals_[static_cast<std::size_t>(j)] = norm;
      if (!std::isfinite(norm)) return INFINITY;
      if (norm <= goal) {
        ++out_.converged;
      } else {
        worst = std::max(worst, goal > 0.0 ? norm / goal : std::numeric_limits<double>::max());
        active_columns_[static_cast<std::size_t>(active_++)] = j;
      }
      if (norm - goal > excess) {
        excess = norm - goal;
        out_.residual = norm;
        out_.target = goal;
      }
    }
    return worst;
  }

  double target(double theta) const {
    return tol_ * (out_.norm_a + (is_given(b_) ? std::abs(theta) * out_.norm_b : 0.0));
  }

  /// Appends the preconditioned residuals to the basis; how many were independent, −1 on failure.
  Index directions() {
    const auto W_ = basis_->V.columns(q_ + size_, active_);
    if (is_given(m_)) {
      Counts counts;
      apply_counted(m_, BlockView<const T>(AV_.columns(size_, active_)), W_, counts);
      out_.preconditioner += counts.total();
    }
    const Index added = basis_->extend(q_ + size_, active_, n_);
    if (added <= 0) return added;
    apply_counted(a_, BlockView<const T>(basis_->V.columns(q_ + size_, added)),
                  AV_.columns(size_, added), out_.products);
    return added;
  }

  /// Why a fresh X leaves no direction to go: the space is exhausted, or M gives none.
  Status stuck() const {
    return q_ + k_ == n_ || !is_given(m_) ? Status::precision_limit : Status::stagnation;
  }

  // ---- Rayleigh-Ritz ----

  bool improve(Index added) {
    const Index before = size_;
    size_ += added;
    SmallMatrix<W> old = std::move(G_);
    G_.resize(size_, size_);
    for (Index j = 0; j < before; ++j) {
      for (Index i = 0; i < before; ++i) G_(i, j) = old(i, j);
    }
    fresh_ = false;
    return project(before) && rayleigh_ritz(active_);
  }

  /// The columns of G = VᴴA V from `first` on, and the rows that they tell of.
  bool project(Index first) {
    const auto count = static_cast<std::size_t>(size_);
    const auto h = basis_->slots.first(count);
    bool finite = true;
    for (Index j = first; j < size_; ++j) {
      space_.project(active(), AV_.column(j), h);
      space_.read(h, G_.column(j));
      for (const W& g : G_.column(j)) finite = finite && std::isfinite(std::abs(g));
    }
    for (Index j = first; j < size_; ++j) {
      for (Index i = 0; i < first; ++i) G_(j, i) = conjugate(G_(i, j));
    }
    return finite;
  }

  /// X becomes the best k Ritz vectors, P what the first `steps` of the active ones moved by,
  /// orthogonal to X. Traffic: (size + k + steps) n for each of V, A V and B V.
  bool rayleigh_ritz(Index steps) {
    SmallMatrix<W> Z = G_;
    std::vector<double> theta(static_cast<std::size_t>(size_));
    dense::eigh(Z.view(), std::span(theta));
    if (!std::isfinite(theta.front()) || !std::isfinite(theta.back())) return false;
    if (!is_given(b_)) {
      out_.norm_a = std::max({out_.norm_a, std::abs(theta.front()), std::abs(theta.back())});
    }
    C_.resize(size_, k_ + steps);
    for (Index j = 0; j < k_; ++j) {
      const Index from = opt_.largest ? size_ - 1 - j : j;
      values_[static_cast<std::size_t>(j)] = theta[static_cast<std::size_t>(from)];
      std::copy_n(Z.column(from).begin(), size_, C_.column(j).begin());
    }
    Index cols = k_;
    for (Index j = 0; j < steps; ++j) {
      const auto x = C_.column(active_columns_[static_cast<std::size_t>(j)]), p = C_.column(cols);
      std::fill_n(p.begin(), k_, W{});
      std::copy(x.begin() + k_, x.end(), p.begin() + k_);
      if (orthogonal_to_columns(cols)) ++cols;
    }
    const BlockView<const W> C{C_.data.data(), size_, cols, size_};
    const BlockView<const W> old = G_.view();
    SmallMatrix<W> GC, next;
    GC.resize(size_, cols);
    next.resize(cols, cols);
    multiply(old, C, GC, false);
    multiply(C, BlockView<const W>(GC.view()), next, true);
    for (Index j = 0; j < cols; ++j) {
      for (Index i = 0; i < j; ++i) next(j, i) = conjugate(next(i, j));
      next(j, j) = std::real(next(j, j));
    }
    space_.combine(active(), C);
    if (is_given(b_)) space_.combine(basis_->BV.columns(q_, size_), C);
    space_.combine(AV_.columns(0, size_), C);
    G_ = std::move(next);
    size_ = cols;
    return true;
  }

  /// Whether column `j` of C is more than rounding beside those before it; it is a unit vector
  /// orthogonal to them then.
  bool orthogonal_to_columns(Index j) {
    const auto p = C_.column(j);
    double norm = 0.0;
    for (int pass = 0; pass < 3; ++pass) {
      for (Index i = 0; pass > 0 && i < j; ++i) {
        const auto c = C_.column(i);
        W dot{};
        for (std::size_t l = 0; l < p.size(); ++l) dot += conjugate(c[l]) * p[l];
        for (std::size_t l = 0; l < p.size(); ++l) p[l] -= dot * c[l];
      }
      norm = 0.0;
      for (const W& x : p) norm += std::norm(x);
      norm = std::sqrt(norm);
      if (!(norm > 1e-13)) return false;
      if (pass == 0) continue;  // the length that counts is what the projections leave
      for (W& x : p) x /= norm;
    }
    return true;
  }

  /// R = L K, or Lᴴ K.
  static void multiply(BlockView<const W> L, BlockView<const W> K, SmallMatrix<W>& R,
                       bool adjoint) {
    for (Index j = 0; j < R.cols; ++j) {
      for (Index i = 0; i < R.rows; ++i) {
        W sum{};
        for (Index l = 0; l < K.rows; ++l) {
          sum += (adjoint ? conjugate(L(l, i)) : L(i, l)) * K(l, j);
        }
        R(i, j) = sum;
      }
    }
  }

  // ---- endings ----

  void watch() {
    Iteration now;
    now.iteration = ++out_.iterations;
    now.products = out_.products;
    now.residual = out_.residual;
    now.clock = &clock_;
    stop_ = monitor_.check(now);
    if (!stop_ && out_.iterations >= limit_) stop_ = Status::max_iterations;
  }

  bool fail(Status status) {
    failure_ = status;
    return false;
  }

  LobpcgOutcome finish(Status status) {
    out_.status = status;
    const bool failed = status == Status::nonfinite || status == Status::breakdown;
    if (failed) out_.converged = 0;
    out_.verified = fresh_ && !failed;
    for (Index j = 0; j < k_ && !failed; ++j) space_.copy(X().column(j), X_.column(j));
    out_.seconds = clock_.seconds();
    return out_;
  }

  S& space_;
  const A& a_;
  const B& b_;
  const M& m_;
  BlockView<T> X_, AV_;
  std::span<double> values_, residuals_;
  LobpcgOptions opt_;
  Monitor monitor_;
  Clock clock_;
  LobpcgOutcome out_;
  std::optional<WeightedBasis<S, B>> basis_;
  SmallMatrix<W> G_, C_;
  std::vector<Index> active_columns_;
  Index n_, k_, q_ = 0, size_ = 0, active_ = 0, limit_ = 0;
  std::uint64_t stream_ = 0;
  double tol_ = 0.0;
  bool fresh_ = false;
  std::optional<Status> stop_;
  Status failure_ = Status::breakdown;
};

/// The X.cols extreme eigenpairs, best first, orthogonal to Y in the inner product of B; X holds
/// first guesses and becomes the eigenvectors, B-orthonormal. The residuals are those of the
/// problem restricted to the complement of Y. An iteration multiplies by A (and B and M) what of X
/// has not converged. Memory: 6 k + p vectors, with B 9 k + 2 p.
template <Space S, class A, class B = NoOperator, class M = NoOperator>
LobpcgOutcome lobpcg(S& space, const A& a, BlockView<typename S::Value> X, std::span<double> values,
                     std::span<double> residuals, LobpcgWorkspace<S>& ws,
                     const LobpcgOptions& opt = {}, const Monitor& monitor = {}, const B& b = {},
                     const M& precond = {}, BlockView<const typename S::Value> Y = {}) {
  return LobpcgRun<S, A, B, M>(space, a, b, precond, Y, X, values, residuals, ws, opt, monitor)
      .run();
}

}  // namespace ritz
