// Thick-restart Golub-Kahan bidiagonalisation: the process behind `svds`, and its Ritz triplets.
//
// Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
// Comput. 27, 2005; Stoll: A Krylov-Schur approach to the truncated SVD. Linear Algebra Appl. 436,
// 2012.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/dense/svd.hpp"
#include "ritz/krylov/bidiagonalization.hpp"
#include "ritz/krylov/lsmr.hpp"

namespace ritz {

struct SvdsOptions {
  Index k = 6;              ///< triplets wanted, as SciPy
  bool smallest = false;    ///< "SM" instead of "LM"
  Index ncv = 0;            ///< basis vectors; 0 means max(3k, 20), for the smallest max(3k, 80)
  Index max_restarts = 0;   ///< 0 means 10 min(m, n), as SciPy
  double tol = 0.0;         ///< ‖Av − σu‖, ‖Aᴴu − σv‖ ≤ tol ‖A‖; 0 means what precision allows
  bool warm_start = false;  ///< column 0 of V (of U if A is wide) holds a first guess
  bool verify = true;       ///< evaluate the residuals: 2k products
  bool probe = true;        ///< look for copies of the values found, which one start cannot see
  bool right_only = false;  ///< a v with A v = 0 needs no left partner; m ≥ n
  RandomKey seed = {};      ///< of the starting vector, and of new ones after a breakdown

  template <class F>
  void visit(F f) {
    f("k", k);
    f("smallest", smallest);
    f("ncv", ncv);
    f("max_restarts", max_restarts);
    f("tol", tol);
    f("warm_start", warm_start);
    f("verify", verify);
    f("probe", probe);
    f("right_only", right_only);
    f("seed", seed.seed);
  }
  Index basis(Index shorter) const {
    return std::min(shorter, ncv > 0 ? ncv : std::max<Index>(3 * k, smallest ? 80 : 20));
  }
};

struct SvdsOutcome : Outcome {
  Index restarts = 0;
  Index found = 0;      ///< triplets returned: k, or fewer if the run was stopped early
  Index converged = 0;  ///< triplets that meet the tolerance
  double norm_a = 0.0;  ///< largest σ seen: a lower bound of ‖A‖
};

/// ncv + 1 vectors of the shorter side, and those that it is kept orthogonal to: k and the deflated
/// ones; ncv of the longer.
template <Space S>
struct SvdsWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index rows, Index cols, Index m, Index locked = 0) {
    const Index longer = std::max(rows, cols), shorter = std::min(rows, cols);
    const auto size = static_cast<std::size_t>(m);
    const Index spare = std::min<Index>(m + 1, 2);  // b of a least-squares problem
    arena.begin(space, Arena<S>::padded(shorter) * (locked + m + 1) +
                           Arena<S>::padded(longer) * std::max(m, spare) +
                           ProjectionRoom<S>::elements(locked + m + 1));
    P = arena.block(shorter, locked + m + 1);
    Q = arena.block(longer, std::max(m, spare));
    room.prepare(arena, locked + m + 1);
    for (auto* matrix : {&B, &X, &Y}) matrix->resize(size * size);
    selected.resize(size * size);
    values.resize(size);
    order.resize(size);
    missing.resize(size);
    partnerless.resize(size);
  }
  std::size_t bytes() const { return arena.bytes() + least_squares.bytes(); }

  Arena<S> arena;
  BlockView<T> P, Q;
  ProjectionRoom<S> room;
  std::vector<double> B, X, Y, values;
  std::vector<WideOf<T>> selected;
  std::vector<Index> order;
  std::vector<char> missing, partnerless;
  LsmrWorkspace<S> least_squares;  // used, and allocated, only where left null vectors are missing
};

/// The process on A (Aᴴ if A is wide), in the bases of the workspace: A P = Q B,
/// Aᴴ Q = P Bᵀ + β p eᵀ, where P is kept orthogonal to its first `locked_` columns as well.
template <Space S, class Op>
class RestartedBidiagonalization {
 protected:
  using T = typename S::Value;

  RestartedBidiagonalization(S& space, const Op& op, SvdsWorkspace<S>& ws, const SvdsOptions& opt,
                             const Monitor& monitor, Checkpoint* checkpoint,
                             BlockView<const T> deflate)
      : space_(space),
        wide_(op.rows() < op.cols()),
        A_(op, wide_),
        n_(A_.cols()),
        k_(opt.k),
        m_(std::min(opt.basis(n_), n_ - deflate.cols)),
        locked_(deflate.cols),
        ws_(ws),
        opt_(opt),
        monitor_(monitor),
        checkpoint_(checkpoint),
        deflate_(deflate),
        random_(opt.seed) {
    require_adjoint(op);
    check_tolerance("tol", opt.tol);
    if (wide_ && (opt.right_only || locked_ > 0)) {
      throw InvalidArgument(
          "right_only and deflation need an A of at least as many rows as columns");
    }
    if (k_ < 1 || k_ > n_ - locked_) {
      throw InvalidArgument("k is " + std::to_string(k_) +
                            "; pass 1 to min(m, n) = " + std::to_string(n_ - locked_));
    }
    if (m_ < std::min(k_ + 1, n_ - locked_)) {
      throw InvalidArgument("ncv is " + std::to_string(opt.ncv) +
                            "; pass at least k + 1 = " + std::to_string(k_ + 1));
    }
    const Index copies = std::min(k_, n_ - locked_ - m_);
    ws_.prepare(space, op.rows(), op.cols(), m_, locked_ + copies);
    B_ = {ws_.B.data(), m_, m_, m_};
    for (Index i = 0; i < locked_; ++i) space.copy(deflate.column(i), ws_.P.column(i));
  }

  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
  // Rounding in the bases and their restarts leaves residuals of 10 to 30 eps ‖A‖.
  static constexpr double kAttainable = 64.0 * kEps;

  /// Everything beside the arrays that the run goes on from after a restart.
  struct Position {
    Index kept = 0, steps = 0, restarts = 0;
    double beta = 0.0, norm_a = 0.0, residual = INFINITY;
    std::uint64_t stream = 0;
    Counts counts;
  };

  Index limit(Index given) const { return given > 0 ? given : 10 * n_; }
  BlockView<T> P() const { return ws_.P.columns(locked_, m_ + 1); }
  Index from(Index i) const { return ws_.order[static_cast<std::size_t>(i)]; }
  double value(Index i) const { return ws_.values[static_cast<std::size_t>(from(i))]; }
  /// ‖Aᴴu − σv‖ of Ritz triplet i; ‖Av − σu‖ = 0.
  double coupling(Index i) const {
    return at_.beta * ws_.X[static_cast<std::size_t>(size_ - 1 + from(i) * m_)];
  }
  double tolerance() const { return std::max(opt_.tol, kAttainable); }

  /// The first vector of P, from column 0 of `guess` or random.
  void begin(BlockView<T> guess) {
    const auto p = P().column(0);
    double length = 0.0;
    if (guess.cols > 0) {
      space_.copy(guess.column(0), p);
      length = append_orthonormal(space_, ws_.P, locked_, 0.0, random_, ws_.room);
    }
    if (!(length > 0.0)) {
      space_.fill(0.0, p);
      append_orthonormal(space_, ws_.P, locked_, 0.0, random_, ws_.room);
    }
    B_ = {ws_.B.data(), m_, m_, m_};
    std::fill(ws_.B.begin(), ws_.B.end(), 0.0);
    at_.kept = 0;
  }

  /// Until the wanted have converged, the space is exhausted, or `enough` says so (true) after a
  /// look at the Ritz values, which it gets every `every` steps. A status if something else ended
  /// it.
  template <class Enough>
  std::optional<Status> iterate(Index every, const Enough& enough) {
    while (true) {
      for (Index j = at_.kept; j < m_; ++j) {
        if (!extend(j)) return Status::nonfinite;
        const auto stop = watch();
        const bool look = size_ >= k_ && (size_ - at_.kept) % every == 0;
        if (look || stop || size_ == m_) {
          extract();
          if (out_.converged == k_ || enough() || size_ == n_ - locked_) return std::nullopt;
        }
        if (stop) return stop;
      }
      if (at_.restarts == limit(opt_.max_restarts)) return Status::max_iterations;
      restart(std::clamp((3 * m_ + 2 * out_.converged) / 5, k_, m_ - 1));
      save();
    }
  }

  /// Column j of B; false if a product was not finite.
  bool extend(Index j) {
    const auto step = bidiagonal_step(space_, A_, ws_.P, ws_.Q, locked_, j, at_.norm_a, random_,
                                      ws_.room, known_);
    ++at_.steps;
    size_ = j + 1;
    at_.beta = step.beta;
    B_(j, j) = step.alpha;
    if (size_ < m_) B_(j, size_) = step.beta;
    return std::isfinite(step.alpha) && std::isfinite(step.beta);
  }

  std::optional<Status> watch() {
    Iteration now;
    now.iteration = at_.steps;
    now.products = A_.counts;
    now.residual = at_.residual;
    now.clock = &clock_;
    return monitor_.check(now);
  }

  /// B = X diag(σ) Yᵀ, the wanted ones first in `order`, and how many have converged.
  void extract() {
    const auto count = static_cast<std::size_t>(size_);
    dense::svd<double>(B_.leading(size_), BlockView<double>{ws_.X.data(), size_, size_, m_},
                       std::span(ws_.values).first(count),
                       BlockView<double>{ws_.Y.data(), size_, size_, m_});
    std::iota(ws_.order.begin(), ws_.order.begin() + size_, Index{0});
    if (opt_.smallest) std::reverse(ws_.order.begin(), ws_.order.begin() + size_);
    at_.norm_a = std::max(at_.norm_a, ws_.values[0]);
    out_.target = tolerance() * at_.norm_a;
    out_.residual = 0.0;
    out_.converged = 0;
    out_.found = std::min(k_, size_);
    normalize(ws_.X);
    normalize(ws_.Y);
    for (Index i = 0; i < out_.found; ++i) {
      const double residual = std::abs(coupling(i));
      // A null vector v is found, but nothing in the range of A, where Q lies, can be its u.
      const bool null = opt_.smallest && value(i) <= 0.5 * kAttainable * at_.norm_a;
      // Half of the least tolerance is left to rounding, which this estimate knows nothing of.
      const bool small = residual <= out_.target - 0.5 * kAttainable * at_.norm_a;
      ws_.missing[static_cast<std::size_t>(i)] = null && !small;
      if (!null) out_.residual = std::max(out_.residual, residual);
      if (null || small) ++out_.converged;
    }
    at_.residual = out_.residual;
  }

  /// Unit columns to the last bit: the small solver's errors come at every restart with the same
  /// sign, and would add up.
  void normalize(std::vector<double>& matrix) const {
    for (Index j = 0; j < size_; ++j) {
      double* column = matrix.data() + j * m_;
      long double sum = 0.0L;
      for (Index i = 0; i < size_; ++i) sum += static_cast<long double>(column[i]) * column[i];
      const long double length = std::sqrt(sum);
      for (Index i = 0; i < size_; ++i) column[i] = static_cast<double>(column[i] / length);
    }
  }

  /// xᵀBy in extended precision: the small solver errs by an ulp, at every restart anew.
  double refined_value(Index column) const {
    long double sum = 0.0L;
    for (Index j = 0; j < size_; ++j) {
      long double Bx = 0.0L;
      for (Index i = 0; i <= j; ++i) {
        Bx += static_cast<long double>(B_(i, j)) * ws_.X[static_cast<std::size_t>(i + column * m_)];
      }
      sum += Bx * ws_.Y[static_cast<std::size_t>(j + column * m_)];
    }
    return static_cast<double>(sum);
  }

  /// The first columns of P and Q become the Ritz vectors of the first `count` of `order`.
  void combine(Index count) {
    for (const auto& [small, basis] : {std::pair{&ws_.Y, P()}, {&ws_.X, ws_.Q}}) {
      for (Index i = 0; i < count; ++i) {
        for (Index row = 0; row < size_; ++row) {
          ws_.selected[static_cast<std::size_t>(row + i * m_)] =
              (*small)[static_cast<std::size_t>(row + from(i) * m_)];
        }
      }
      space_.combine(basis.columns(0, size_), {ws_.selected.data(), size_, count, m_});
    }
  }

  /// B = diag(σ) with the couplings as a further column.
  void restart(Index keep) {
    for (Index i = 0; i < keep; ++i) {
      ws_.values[static_cast<std::size_t>(from(i))] = refined_value(from(i));
    }
    combine(keep);
    space_.copy(P().column(size_), P().column(keep));
    std::fill(ws_.B.begin(), ws_.B.end(), 0.0);
    for (Index i = 0; i < keep; ++i) {
      B_(i, i) = value(i);
      B_(i, keep) = coupling(i);
    }
    at_.kept = keep;
    ++at_.restarts;
  }

  std::string identity() const {
    std::string text = "svds";
    for (const Index number :
         {static_cast<Index>(sizeof(T)), static_cast<Index>(ComplexField<T>), A_.rows(), n_,
          static_cast<Index>(wide_), k_, m_, locked_, static_cast<Index>(opt_.smallest),
          static_cast<Index>(opt_.right_only), static_cast<Index>(opt_.warm_start)}) {
      text += ' ';
      text += std::to_string(number);
    }
    text += " tol " + std::to_string(std::log(tolerance()));
    text += " seed " + std::to_string(opt_.seed.seed);
    text += ' ' + std::to_string(opt_.seed.stream);
    return text;
  }
  std::array<Checkpoint::Part, 4> state() {
    return {Checkpoint::value(at_), Checkpoint::Part(ws_.B), Checkpoint::columns(space_, ws_.P),
            Checkpoint::columns(space_, ws_.Q)};
  }
  void save() {
    // The search for copies is made again; it starts from what the main run ends with.
    if (!checkpoint_ || locked_ != deflate_.cols || !checkpoint_->due()) return;
    at_.stream = random_.stream;
    at_.counts = A_.counts;
    checkpoint_->save(identity(), state());
  }
  bool resume() {
    if (!checkpoint_ || !checkpoint_->load(identity(), state())) return false;
    random_.stream = at_.stream;
    A_.counts = at_.counts;
    return true;
  }

  S& space_;
  bool wide_;
  Sided<Op> A_;
  Index n_, k_, m_, locked_;
  SvdsWorkspace<S>& ws_;
  const SvdsOptions& opt_;
  const Monitor& monitor_;
  Checkpoint* checkpoint_;
  BlockView<const T> deflate_, known_;
  RandomKey random_;
  Clock clock_;
  BlockView<double> B_;
  Position at_;
  Index size_ = 0;
  SvdsOutcome out_;
};

}  // namespace ritz
