// A few eigenpairs of a general operator: Krylov-Schur. Stewart: A Krylov-Schur algorithm for large
// eigenproblems. SIAM J. Matrix Anal. Appl. 23, 2001.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/eigen/krylov_schur.hpp"
#include "ritz/eigen/pencil.hpp"

namespace ritz {

enum class EigsWhich : int {
  magnitude = 0,           ///< "LM"
  real_largest = 1,        ///< "LR"
  real_smallest = 2,       ///< "SR"
  imaginary_largest = 3,   ///< "LI": of a real A, the largest |Im λ|
  imaginary_smallest = 4,  ///< "SI"
};

struct EigsOptions {
  Index k = 6;                             ///< eigenpairs wanted, as SciPy
  EigsWhich which = EigsWhich::magnitude;  ///< as SciPy; with `invert`, of 1/(λ − σ)
  Index ncv = 0;                           ///< basis vectors; 0 means max(2k + 1, 20), as SciPy
  Index max_restarts = 0;                  ///< 0 means 10 n, as SciPy
  double tol = 0.0;         ///< ‖Av − λv‖ ≤ tol ‖A‖; 0 means what the precision allows
  bool warm_start = false;  ///< column 0 of the vectors holds a first guess
  bool verify = true;       ///< evaluate the residuals: k products, k + 1 if k parts a pair
  RandomKey seed = {};      ///< of the starting vector, and of new ones after a breakdown
  bool invert = false;      ///< `solve` is (A − σM)⁻¹: the eigenvalues nearest σ
  std::complex<double> sigma = {};

  template <class F>
  void visit(const F& f) {
    f("k", k);
    f("ncv", ncv);
    f("max_restarts", max_restarts);
    f("tol", tol);
    f("verify", verify);
    f("seed", seed.seed);
    f("invert", invert);
    f("sigma", sigma);
  }
};

struct EigsOutcome : Outcome {
  Index restarts = 0;
  Index found = 0;      ///< pairs returned: k, or fewer if the run was stopped early
  Index converged = 0;  ///< pairs that meet the tolerance
  Index locked = 0;     ///< leading Schur vectors that are exact to rounding
  double norm_a = 0.0;  ///< the largest ‖A v‖ seen: a lower bound of ‖A‖
  double norm_m = 1.0;  ///< likewise, of M
  Index mass = 0;       ///< products with M; those with `solve` are counted as `preconditioner`
};

/// Where the results go: best first, of a pair the member in the upper half plane first.
template <Field T>
struct EigsPairs {
  std::span<std::complex<double>> values;  ///< k
  std::span<double> residuals;             ///< k
  std::span<double> conditions;            ///< k: 1/|yᴴx| of the projected problem
  BlockView<T> vectors;  ///< k columns; if T is real, k + 1: the real and the imaginary part of the
                         ///< first member of a pair take its two columns
};

template <Space S>
struct EigsWorkspace {
  void prepare(S& space, Index n, Index m, bool transformed) {
    basis.prepare(space, n, m, transformed ? 2 : 0);
    residuals.resize(static_cast<std::size_t>(m));
  }
  std::size_t bytes() const { return basis.bytes(); }

  KrylovSchur<S> basis;
  std::vector<double> residuals;
};

/// One run. OP is A, M⁻¹A or (A − σM)⁻¹M; its eigenvectors are those of A x = λ M x.
template <Space S, class A, class M, class F>
class EigsRun {
 public:
  using T = typename S::Value;
  using Complex = std::complex<double>;

  EigsRun(S& space, const A& a, const M& mass, const F& solve, const EigsPairs<T>& pairs,
          EigsWorkspace<S>& ws, const EigsOptions& opt, const Monitor& monitor,
          Checkpoint& checkpoint)
      : space_(space),
        a_(a),
        mass_(mass),
        solve_(solve),
        pairs_(pairs),
        basis_(ws.basis),
        residuals_(ws.residuals),
        opt_(opt),
        monitor_(monitor),
        checkpoint_(checkpoint),
        n_(a.rows()),
        transformed_(opt.invert || is_given(mass)) {
    check();
    ws.prepare(space, n_, m_, transformed_);
  }

  EigsOutcome run() {
    if (!begin()) return finish(Status::nonfinite);
    for (;;) {
      if (!cycle(true)) return finish(*failure_);
      if (out_.converged == k_ && worth_looking()) {
        if (!look()) return finish(*failure_);
        if (!now_.looked) continue;  // something had been missed
      }
      if (out_.converged == k_ || stop_ || basis_.size == n_ ||
          basis_.restarts() >= max_restarts_) {
        break;
      }
      // More than the wanted ones are kept, so that the next space is rich.
      basis_.truncate(space_, std::clamp((3 * m_ + 2 * out_.converged) / 5, columns_, m_ - 1));
      if (checkpoint_.due()) checkpoint_.save(identity(), parts());
    }
    const bool claimed = out_.converged == k_ || basis_.size == n_;
    if (!deliver()) return finish(Status::nonfinite);
    return finish(out_.converged == k_ ? Status::converged
                  : claimed            ? Status::precision_limit
                                       : stop_.value_or(Status::max_iterations));
  }

 private:
  static constexpr double kEps = KrylovSchur<S>::kEps;
  static constexpr bool kReal = KrylovSchur<S>::kReal;

  /// What a checkpoint holds beside the decomposition.
  struct State {
    Index steps = 0;
    Counts products, solves, masses;
    double norm_a = 0.0, norm_m = 1.0;
    double residual = std::numeric_limits<double>::quiet_NaN();
    bool looked = false;
  };

  void check() {
    if (a_.rows() != a_.cols()) throw InvalidArgument("A must be square: it has no eigenvalues");
    if (opt_.k < 1 || opt_.k > n_) {
      throw InvalidArgument("k is " + std::to_string(opt_.k) +
                            "; pass 1 to n = " + std::to_string(n_));
    }
    k_ = opt_.k;
    m_ = std::min(n_, opt_.ncv > 0 ? opt_.ncv : std::max<Index>(2 * k_ + 1, 20));
    if (m_ < k_ + 2 && m_ < n_) {
      throw InvalidArgument("ncv is " + std::to_string(opt_.ncv) +
                            "; pass at least k + 2 = " + std::to_string(k_ + 2));
    }
    if (opt_.invert && !is_given(solve_)) {
      throw InvalidArgument("sigma needs the solve with A − σM");
    }
    if (!opt_.invert && is_given(mass_) && !is_given(solve_)) {
      throw InvalidArgument("M needs the solve with M");
    }
    if (kReal && opt_.sigma.imag() != 0.0) {
      throw InvalidArgument("sigma is complex: run in complex arithmetic");
    }
    check_tolerance("tol", opt_.tol);
    check_size("vectors", pairs_.vectors.rows, n_);
    const auto room = static_cast<Index>(
        std::min({pairs_.values.size(), pairs_.residuals.size(), pairs_.conditions.size()}));
    if (room < k_ || pairs_.vectors.cols < std::min(n_, kReal ? k_ + 1 : k_)) {
      throw InvalidArgument("the results have no room for k = " + std::to_string(k_) + " pairs");
    }
    // Rounding in the basis and its restarts leaves residuals of 10 to 30 eps ‖A‖.
    tol_ = std::max(opt_.tol, 64.0 * kEps);
    max_restarts_ = opt_.max_restarts > 0 ? opt_.max_restarts : 10 * n_;
  }

  bool begin() {
    auto& V = basis_.V;
    if (checkpoint_.load(identity(), parts())) {
      basis_.resume();
      return true;
    }
    RandomKey seed = opt_.seed;
    if (transformed_) {
      const auto norm = [&](const auto& op, Counts& counts) {
        return power_norm(space_, op, {seed.seed, seed.stream++}, basis_.scratch.column(0),
                          basis_.scratch.column(1), counts);
      };
      now_.norm_a = norm(a_, now_.products);
      now_.norm_m = norm(mass_, now_.masses);
      if (!std::isfinite(now_.norm_a) || !std::isfinite(now_.norm_m)) return false;
    }
    double norm0 = 0.0;
    if (opt_.warm_start) {
      space_.copy(pairs_.vectors.column(0), V.column(0));
      norm0 = std::sqrt(space_.read(space_.norm2(V.column(0))));
      if (norm0 > 0.0) space_.scale(1.0 / norm0, V.column(0));
    }
    basis_.begin(space_, seed, norm0 > 0.0);
    return true;
  }

  /// y = OP x
  void apply(VectorView<const T> x, VectorView<T> y) {
    const auto between = transformed_ ? basis_.scratch.column(0) : y;
    if (opt_.invert) {
      if (!is_given(mass_)) return apply_counted(solve_, x, y, now_.solves);
      apply_counted(mass_, x, between, now_.masses);
    } else {
      apply_counted(a_, x, between, now_.products);
      if (!transformed_) return;
    }
    apply_counted(solve_, VectorView<const T>(between), y, now_.solves);
  }

  /// Arnoldi steps until the basis is full or, with `early`, the wanted pairs have converged, and
  /// the eigenpairs of what there is. Looking at them on the way saves products.
  bool cycle(bool early) {
    const Index often = std::max<Index>(m_ / 10, 1);
    Index unseen = 0;
    while (!basis_.full() && !stop_) {
      if (!basis_.grow(space_, [this](auto x, auto y) { apply(x, y); })) {
        return fail(Status::nonfinite);
      }
      Iteration state;
      state.iteration = ++now_.steps;
      state.products = now_.products;
      state.products.apply += now_.solves.total();
      state.residual = now_.residual;
      state.clock = &clock_;
      stop_ = monitor_.check(state);
      const bool near = now_.residual <= 1e4 * out_.target && basis_.size > k_;
      if (!early || !near || ++unseen < often || basis_.full()) continue;
      unseen = 0;
      if (!extract()) return false;
      if (out_.converged == k_) return true;
    }
    return extract();
  }

  bool extract() {
    if (!basis_.reduce([this](Complex theta) { return key(theta); })) {
      return fail(Status::breakdown);
    }
    assess();
    return true;
  }

  /// A Krylov space holds one vector of each eigenspace, more only by rounding. Missing copies
  /// matter if they are better than the last wanted value. Far from normality Ritz values beyond
  /// the spectrum would pass for them.
  bool worth_looking() {
    if (now_.looked || stop_ || basis_.size == n_ || columns_ + 2 >= m_) return false;
    const double slack = 2.0 * tol_ * basis_.norm();
    if (!(key(basis_.value(k_ - 1)) - key(basis_.value(0)) > slack)) return false;
    const auto conditions = basis_.conditions();
    constexpr double kNearlyNormal = 100.0;
    return std::all_of(conditions.begin(), conditions.begin() + columns_,
                       [](double condition) { return condition <= kNearlyNormal; });
  }

  /// Looks for better pairs in a Krylov space orthogonal to what was found, from a random
  /// direction; if there are any, `looked` is false and the run goes on. At most ncv − k products.
  bool look() {
    const double last = key(basis_.value(k_ - 1));
    basis_.seal(space_, columns_);
    if (!cycle(false)) return false;
    now_.looked = !(key(basis_.value(k_ - 1)) < last - 2.0 * tol_ * basis_.norm());
    return true;
  }

  /// Smaller is better; the members of a pair have the same.
  double key(Complex theta) const {
    switch (opt_.which) {
      case EigsWhich::real_largest:
        return -theta.real();
      case EigsWhich::real_smallest:
        return theta.real();
      case EigsWhich::imaginary_largest:
        return kReal ? -std::abs(theta.imag()) : -theta.imag();
      case EigsWhich::imaginary_smallest:
        return kReal ? std::abs(theta.imag()) : theta.imag();
      default:
        return -std::abs(theta);
    }
  }

  void assess() {
    if (!transformed_) now_.norm_a = basis_.norm();
    out_.found = std::min(k_, basis_.size);
    columns_ = out_.found + (basis_.pair_at(out_.found - 1) ? 1 : 0);
    out_.converged = 0;
    double worst = -INFINITY;
    for (Index i = 0; i < out_.found; ++i) {
      const Complex theta = basis_.value(i);
      const double of_op = basis_.residual(i), residual = residual_of(theta, of_op);
      const double goal = target(eigenvalue(theta));
      residuals_[static_cast<std::size_t>(i)] = residual;
      // Half of the tolerance is left to rounding, and to what is dropped before a look, which
      // this estimate knows nothing of; with a transformation the residual proper decides, when
      // this one can fall no further.
      const bool met = residual <= 0.5 * goal;
      if (met || (transformed_ && of_op <= kEps * basis_.norm())) ++out_.converged;
      if (residual - goal > worst) {
        worst = residual - goal;
        out_.residual = now_.residual = residual;
        out_.target = goal;
      }
    }
  }

  /// λ of A x = λ M x for θ of OP.
  Complex eigenvalue(Complex theta) const {
    if (!opt_.invert) return theta;
    return theta == Complex{} ? Complex(INFINITY) : opt_.sigma + 1.0 / theta;
  }
  /// A bound of ‖A x − λ M x‖ where ‖OP x − θ x‖ is r.
  double residual_of(Complex theta, double r) const {
    if (opt_.invert) {
      return (now_.norm_a + std::abs(opt_.sigma) * now_.norm_m) * r / std::abs(theta);
    }
    return now_.norm_m * r;
  }
  double target(Complex lambda) const {
    const bool general = is_given(mass_);
    return tol_ * (now_.norm_a + (general ? std::abs(lambda) * now_.norm_m : 0.0));
  }
  /// The eigenvectors into `pairs`, their residuals from their definition.
  bool deliver() {
    const auto conditions = basis_.conditions();
    basis_.eigenvectors(space_, columns_);
    for (Index j = 0; j < columns_; ++j) space_.copy(basis_.V.column(j), pairs_.vectors.column(j));
    const auto X = pairs_.vectors.columns(0, columns_), AX = basis_.V.columns(0, columns_);
    if (opt_.verify) apply_counted(a_, BlockView<const T>(X), AX, now_.products);

    out_.converged = 0;
    out_.verified = opt_.verify;
    double worst = -INFINITY;
    for (Index i = 0; i < out_.found;) {
      const bool pair = basis_.pair_at(i);
      Complex lambda = eigenvalue(basis_.value(i));
      normalize(X, AX, i, pair);
      if (pair && lambda.imag() < 0.0) {  // 1/(λ − σ) in the upper half plane: λ in the lower
        lambda = std::conj(lambda);
        space_.scale(-1.0, X.column(i + 1));
        if (opt_.verify) space_.scale(-1.0, AX.column(i + 1));
      }
      const double residual =
          opt_.verify ? measure(X, AX, i, pair, lambda) : residuals_[static_cast<std::size_t>(i)];
      if (!std::isfinite(residual)) return false;
      const double goal = target(lambda);
      if (residual - goal > worst) {
        worst = residual - goal;
        out_.residual = residual;
        out_.target = goal;
      }
      for (const Index end = std::min(i + (pair ? 2 : 1), out_.found); i < end; ++i) {
        const auto at = static_cast<std::size_t>(i);
        pairs_.values[at] = lambda;
        pairs_.residuals[at] = residual;
        pairs_.conditions[at] = conditions[at];
        if (residual <= goal) ++out_.converged;
        lambda = std::conj(lambda);
      }
    }
    return true;
  }

  void normalize(BlockView<T> X, BlockView<T> AX, Index i, bool pair) {
    double norm2 = space_.read(space_.norm2(X.column(i)));
    if (pair) norm2 += space_.read(space_.norm2(X.column(i + 1)));
    const double factor = 1.0 / std::sqrt(norm2);
    for (Index j = i; j <= i + (pair ? 1 : 0); ++j) {
      space_.scale(factor, X.column(j));
      if (opt_.verify) space_.scale(factor, AX.column(j));
    }
  }

  /// ‖A x − λ M x‖ with the λ that makes it least, (Mx)ᴴ(Ax) / ‖Mx‖². Overwrites A x.
  double measure(BlockView<T> X, BlockView<T> AX, Index i, bool pair, Complex& lambda) {
    const auto times_mass = [&](Index j, Index slot) {
      if (!is_given(mass_)) return VectorView<const T>(X.column(j));
      apply_counted(mass_, VectorView<const T>(X.column(j)), basis_.scratch.column(slot),
                    now_.masses);
      return VectorView<const T>(basis_.scratch.column(slot));
    };
    const auto read = [&](const auto& reduced) { return space_.read(reduced); };
    const VectorView<const T> p = times_mass(i, 0);
    const auto Ap = AX.column(i);
    double norm2 = read(space_.norm2(p));
    if constexpr (kReal) {
      if (pair) {  // x = p + i q: two real products
        const VectorView<const T> q = times_mass(i + 1, 1);
        const auto Aq = AX.column(i + 1);
        norm2 += read(space_.norm2(q));
        const double real = read(space_.dot(p, Ap)) + read(space_.dot(q, Aq));
        const double imaginary = read(space_.dot(p, Aq)) - read(space_.dot(q, Ap));
        // Rounding may not move a pair that is almost real to the other side.
        if (imaginary > 0.0) lambda = {real / norm2, imaginary / norm2};
        space_.axpby(-lambda.real(), p, 1.0, Ap);
        space_.axpby(-lambda.real(), q, 1.0, Aq);
        return std::sqrt(read(space_.axpy_norm2(lambda.imag(), q, Ap)) +
                         read(space_.axpy_norm2(-lambda.imag(), p, Aq)));
      }
      if (norm2 > 0.0) lambda = read(space_.dot(p, Ap)) / norm2;
      return std::sqrt(read(space_.axpy_norm2(-lambda.real(), p, Ap)));
    } else {
      if (norm2 > 0.0) lambda = read(space_.dot(p, Ap)) / norm2;
      return std::sqrt(read(space_.axpy_norm2(-lambda, p, Ap)));
    }
  }

  bool fail(Status status) {
    failure_ = status;
    return false;
  }

  EigsOutcome finish(Status status) {
    out_.status = status;
    if (status == Status::nonfinite || status == Status::breakdown) out_.found = out_.converged = 0;
    out_.norm_a = now_.norm_a;
    out_.norm_m = now_.norm_m;
    out_.iterations = now_.steps;
    out_.restarts = basis_.restarts();
    out_.locked = basis_.locked();
    out_.products = now_.products;
    out_.preconditioner = now_.solves.total();
    out_.mass = now_.masses.total();
    out_.seconds = clock_.seconds();
    if (status == Status::converged) checkpoint_.remove();
    return out_;
  }

  std::string identity() const {
    return "eigs n=" + std::to_string(n_) + " k=" + std::to_string(k_) +
           " ncv=" + std::to_string(m_) + " which=" + std::to_string(static_cast<int>(opt_.which)) +
           " tol=" + std::to_string(tol_ / kEps) + " seed=" + std::to_string(opt_.seed.seed) + "," +
           std::to_string(opt_.seed.stream) + " bytes=" + std::to_string(sizeof(T)) +
           (kReal ? " real" : " complex") + (opt_.warm_start ? " from v0" : "") +
           (is_given(mass_) ? " with M" : "") +
           (opt_.invert ? " near " + std::to_string(opt_.sigma.real()) + "," +
                              std::to_string(opt_.sigma.imag())
                        : "");
  }
  std::array<Checkpoint::Part, 4> parts() {
    const auto [state, projected, columns] = basis_.parts(space_);
    return {Checkpoint::value(now_), state, projected, columns};
  }

  S& space_;
  const A& a_;
  const M& mass_;
  const F& solve_;
  EigsPairs<T> pairs_;
  KrylovSchur<S>& basis_;
  std::vector<double>& residuals_;
  EigsOptions opt_;
  Monitor monitor_;
  Checkpoint& checkpoint_;
  Clock clock_;
  Index n_, k_ = 0, m_ = 0, max_restarts_ = 0;
  double tol_ = 0.0;
  bool transformed_;
  Index columns_ = 0;  // that the wanted pairs take
  std::optional<Status> stop_, failure_;
  State now_;
  EigsOutcome out_;
};

/// The k best eigenpairs of A x = λ M x; `mass` and `solve` may be absent. `solve` is (A − σM)⁻¹
/// with `invert`, else M⁻¹, needed for M. Memory: ncv + 1 vectors, two more with a transformation.
template <Space S, class A, class M = NoOperator, class F = NoOperator>
EigsOutcome eigs(S& space, const A& a, const EigsPairs<typename S::Value>& pairs,
                 EigsWorkspace<S>& ws, const EigsOptions& opt = {}, const Monitor& monitor = {},
                 const M& mass = {}, const F& solve = {}, Checkpoint* checkpoint = nullptr) {
  Checkpoint none;
  return EigsRun<S, A, M, F>(space, a, mass, solve, pairs, ws, opt, monitor,
                             checkpoint ? *checkpoint : none)
      .run();
}

}  // namespace ritz
