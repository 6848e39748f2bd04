// A few singular triplets, the largest or the smallest: thick-restart Golub-Kahan bidiagonalisation
// of A itself, never of AᴴA.
//
// Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
// Comput. 27, 2005; Stoll: A Krylov-Schur approach to the truncated SVD. Linear Algebra Appl. 436,
// 2012. With the shorter side on the right, A P = Q B holds exactly: σ_min(B) is the least ‖A p‖
// over span(P), so that the smallest values, too, lie at the end of what is projected, and are
// approached from above. (The harmonic Ritz values of AᴴA on P that the paper takes for them are
// the same values of the mirrored process, on Q.)
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
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

template <Space S, class Op>
class SvdsRun {
 public:
  using T = typename S::Value;

  SvdsRun(S& space, const Op& op, SvdsWorkspace<S>& ws, const SvdsOptions& opt,
          const Monitor& monitor, Checkpoint* checkpoint, BlockView<const T> deflate)
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

  SvdsOutcome run(std::span<double> s, std::span<double> residuals, BlockView<T> U,
                  BlockView<T> V) {
    const BlockView<T> right = wide_ ? U : V, left = wide_ ? V : U;
    if (!resume()) begin(opt_.warm_start ? right : BlockView<T>{});
    auto stop = iterate(std::max<Index>((m_ - k_) / 8, 2), [] { return false; });
    if (stop == Status::nonfinite) return finish(*stop);
    if (out_.converged == k_ && !stop) stop = Status::converged;
    deliver(s, residuals, left, right);
    if (stop == Status::converged && opt_.probe) stop = find_copies(s, residuals, left, right);
    Status status = stop.value_or(Status::max_iterations);
    complete(s, residuals, left, right, status);
    measure(s, residuals, left, right, status);
    return finish(status);
  }

 private:
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
    return text;
  }
  std::array<Checkpoint::Part, 4> state() {
    const auto bytes = [](const BlockView<T>& V) {
      return static_cast<std::size_t>(V.ld * V.cols) * sizeof(T);
    };
    return {Checkpoint::value(at_), Checkpoint::Part(ws_.B),
            Checkpoint::Part(ws_.P.data, bytes(ws_.P)), Checkpoint::Part(ws_.Q.data, bytes(ws_.Q))};
  }
  void save() {
    if (!checkpoint_ || !checkpoint_->due()) return;
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

  /// The triplets found, by descending σ.
  void deliver(std::span<double> s, std::span<double> residuals, BlockView<T> left,
               BlockView<T> right) {
    combine(out_.found);
    for (Index i = 0; i < out_.found; ++i) {
      insert(i, i, s, residuals, left, right);
    }
  }

  void move(Index from, Index to, std::span<double> s, std::span<double> residuals,
            BlockView<T> left, BlockView<T> right) {
    const auto i = static_cast<std::size_t>(from), j = static_cast<std::size_t>(to);
    s[j] = s[i];
    residuals[j] = residuals[i];
    ws_.partnerless[j] = ws_.partnerless[i];
    space_.copy(left.column(from), left.column(to));
    space_.copy(right.column(from), right.column(to));
  }

  /// Ritz triplet i, combined already, joins `count` others in their order.
  void insert(Index i, Index count, std::span<double> s, std::span<double> residuals,
              BlockView<T> left, BlockView<T> right) {
    const double sigma = std::max(refined_value(from(i)), 0.0);
    const auto at = [](Index j) { return static_cast<std::size_t>(j); };
    Index place = count;
    for (; place > 0 && s[at(place - 1)] < sigma; --place) {
      move(place - 1, place, s, residuals, left, right);
    }
    s[at(place)] = sigma;
    ws_.partnerless[at(place)] = ws_.missing[at(i)];
    residuals[at(place)] = ws_.missing[at(i)] ? sigma : std::abs(coupling(i));
    space_.copy(P().column(i), right.column(place));
    space_.copy(ws_.Q.column(i), left.column(place));
  }

  /// A Krylov space holds one direction of a multiple value's vectors; rounding brings in the
  /// others only where the rest converges slowly. So the process starts anew, random and orthogonal
  /// to the triplets found, until its best Ritz value is no better than their worst after a few
  /// steps.
  Status find_copies(std::span<double> s, std::span<double> residuals, BlockView<T> left,
                     BlockView<T> right) {
    const Index k = k_, found = out_.found, full = m_;
    const Index few = std::clamp<Index>(at_.steps / 8, 4, 12);
    std::optional<Status> stop;
    locked_ += k;
    m_ = std::min(full, n_ - locked_);
    k_ = 1;
    while (m_ > 0 && !stop) {
      for (Index i = 0; i < k; ++i) {
        const auto z = ws_.P.column(deflate_.cols + i);
        space_.copy(right.column(i), z);
        append_orthonormal(space_, ws_.P, deflate_.cols + i, 0.0, random_, ws_.room);
      }
      known_ = left.columns(0, k);
      begin({});
      const double worst = s[static_cast<std::size_t>(opt_.smallest ? 0 : k - 1)];
      const auto better = [&] {
        const double gain = opt_.smallest ? worst - value(0) : value(0) - worst;
        return gain > out_.target;
      };
      const Index start = at_.steps;
      stop = iterate(1, [&] { return at_.steps - start >= few && !better(); });
      if (stop || !better()) break;
      combine(1);
      const Index last = opt_.smallest ? 0 : k - 1;
      if (!ws_.missing[0] && !ws_.partnerless[static_cast<std::size_t>(last)]) {
        part(s[static_cast<std::size_t>(last)], left.column(last), right.column(last));
      }
      if (opt_.smallest) {  // the first is to go
        for (Index i = 1; i < k; ++i) move(i, i - 1, s, residuals, left, right);
      }
      insert(0, k - 1, s, residuals, left, right);
      inserted_ = true;
    }
    k_ = k;
    out_.found = found;
    return stop.value_or(Status::converged);
  }

  /// Parts Ritz triplet 0 from the one (u, σ, v) that it is to replace, and whose error it carries
  /// as a component g of the left vector on u: A [v, v₀] = [u, u₀ − g u] (σ, σ₀ g; 0, σ₀).
  void part(double sigma, VectorView<const T> u, VectorView<const T> v) {
    using W = WideOf<T>;
    const auto u0 = ws_.Q.column(0), v0 = P().column(0);
    const W g = space_.read(space_.dot(u, u0));
    const double sigma0 = value(0);
    const std::array<W, 4> H{W{sigma}, W{}, sigma0 * g, W{sigma0}};
    std::array<W, 4> X, Y;
    std::array<double, 2> values;
    dense::svd<W>({H.data(), 2, 2, 2}, {X.data(), 2, 2, 2}, values, {Y.data(), 2, 2, 2});
    const std::size_t c = opt_.smallest ? 2 : 0;
    space_.axpby(X[c] - X[c + 1] * g, u, X[c + 1], u0);
    space_.axpby(Y[c], v, Y[c + 1], v0);
  }

  /// Orthonormal to rounding whatever the number of restarts, and with partners for null vectors.
  void complete(std::span<double> s, std::span<double> residuals, BlockView<T> left,
                BlockView<T> right, Status& status) {
    for (Index i = 0; i < out_.found; ++i) {
      append_orthonormal(space_, right, i, 0.0, random_, ws_.room);
      append_orthonormal(space_, left, i, 0.0, random_, ws_.room);
    }
    if (opt_.right_only) return;
    bool null = false;  // from the first on: all must be orthogonal to the new ones
    for (Index i = 0; i < out_.found && status == Status::converged; ++i) {
      const auto at = static_cast<std::size_t>(i);
      null = null || ws_.partnerless[at];
      if (null) status = find_left_null(left, i, residuals[at] = s[at]);
    }
  }

  /// Column i of `left`, orthogonal to those before it, becomes a null vector of Aᴴ: what is left
  /// of a random vector when its nearest one in the range of A is subtracted. LSMR for that keeps
  /// the optimal polynomial without a restart.
  Status find_left_null(BlockView<T> left, Index i, double& residual) {
    const auto b = ws_.Q.column(0), x = ws_.P.column(0), u = left.column(i);
    space_.random_normal(random_, u);
    ++random_.stream;
    const auto observe = [&](const Iteration& it) {
      Iteration now = it;
      now.iteration += at_.steps;
      now.products = A_.counts;
      now.clock = &clock_;
      return monitor_.observer && monitor_.observer(now);
    };
    LsmrOptions opt;
    opt.atol = std::max(tolerance() - 0.5 * kAttainable, 0.25 * kAttainable);
    opt.btol = 0.0;
    opt.conlim = INFINITY;
    for (int attempt = 0; attempt < 3; ++attempt) {
      append_orthonormal(space_, left, i, 0.0, random_, ws_.room);
      space_.copy(u, b);
      Monitor limits = monitor_;
      limits.observer = observe;
      limits.timeout -= clock_.seconds();
      limits.max_products -= std::min(A_.counts.total(), limits.max_products);
      const auto solved =
          lsmr(space_, A_, VectorView<const T>(b), x, ws_.least_squares, opt, limits);
      at_.steps += solved.iterations;
      for (const Status end :
           {Status::stopped, Status::timeout, Status::max_products, Status::nonfinite}) {
        if (solved.status == end) return end;
      }
      A_.apply(x, u);
      space_.axpby(1.0, b, -1.0, u);
      append_orthonormal(space_, left, i, 0.0, random_, ws_.room);
      A_.apply_adjoint(u, x);
      residual = std::max(residual, std::sqrt(space_.read(space_.norm2(x))));
      if (residual <= 0.75 * out_.target) break;
    }
    return Status::converged;
  }

  /// Rayleigh-Ritz once more: a triplet from the complement of others carries their errors, as
  /// components on each other, that UᴴAV = X diag(σ) Yᴴ knows of. U X and V Y, with their products.
  void rotate(std::span<double> s, BlockView<T> left, BlockView<T> right, BlockView<T> AV,
              BlockView<T> AU) {
    using W = WideOf<T>;
    const Index count = out_.found;
    const auto size = static_cast<std::size_t>(count);
    std::vector<W> H(size * size), X(size * size), Y(size * size);
    for (std::size_t i = 0; i < size; ++i) {
      const auto h = ws_.room.h.first(size);
      space_.project(left.columns(0, count), AV.column(static_cast<Index>(i)), h);
      space_.read(h, std::span(H).subspan(i * size, size));
    }
    dense::svd<W>({H.data(), count, count, count}, {X.data(), count, count, count}, s.first(size),
                  {Y.data(), count, count, count});
    const BlockView<const W> from_left{X.data(), count, count, count};
    const BlockView<const W> from_right{Y.data(), count, count, count};
    space_.combine(left.columns(0, count), from_left);
    space_.combine(AU, from_left);
    space_.combine(right.columns(0, count), from_right);
    space_.combine(AV, from_right);
  }

  void measure(std::span<double> s, std::span<double> residuals, BlockView<T> left,
               BlockView<T> right, Status& status) {
    const Index found = out_.found;
    const auto AV = ws_.Q.columns(0, found);
    const auto AU = ws_.P.columns(0, found);
    if (opt_.verify && found > 0) {
      A_.apply_block(BlockView<const T>(right.columns(0, found)), AV);
      A_.apply_adjoint_block(BlockView<const T>(left.columns(0, found)), AU);
      if (inserted_ && !opt_.right_only) rotate(s, left, right, AV, AU);
    }
    out_.residual = 0.0;
    out_.converged = 0;
    for (Index i = 0; i < found; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const bool one_side = opt_.right_only && ws_.partnerless[at];
      if (opt_.verify) {
        const auto av = AV.column(i), au = AU.column(i);
        residuals[at] = std::sqrt(space_.read(space_.axpy_norm2(-s[at], left.column(i), av)));
        project_out<S>(space_, deflate_, au, ws_.room);
        const double other = std::sqrt(space_.read(space_.axpy_norm2(-s[at], right.column(i), au)));
        if (!one_side) residuals[at] = std::max(residuals[at], other);
      }
      if (!std::isfinite(residuals[at])) status = Status::nonfinite;
      out_.residual = std::max(out_.residual, residuals[at]);
      if (residuals[at] <= out_.target) ++out_.converged;
    }
    out_.verified = opt_.verify;
    if (status == Status::converged && out_.converged < k_) status = Status::precision_limit;
  }

  SvdsOutcome finish(Status status) {
    if (status == Status::nonfinite) out_.found = out_.converged = 0;
    out_.status = status;
    out_.iterations = at_.steps;
    out_.restarts = at_.restarts;
    out_.norm_a = at_.norm_a;
    out_.products = A_.counts;
    out_.seconds = clock_.seconds();
    if (checkpoint_ && status == Status::converged) checkpoint_->remove();
    return out_;
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
  bool inserted_ = false;
  SvdsOutcome out_;
};

/// Singular values into `s`, descending, max(‖Av − σu‖, ‖Aᴴu − σv‖) into `residuals`, the vectors
/// into U and V. By Weyl's bound a singular value lies within the residual of each. The columns of
/// `deflate`, orthonormal, are kept out of V: the triplets are those of A (I − Z Zᴴ).
/// Cost: two products and (3j + 7)(m + n) of traffic a step; a restart of (ncv + kept)(m + n) every
/// ncv − kept steps.
template <Space S, AdjointOperator<typename S::Value> Op>
SvdsOutcome svds(S& space, const Op& A, std::span<double> s, std::span<double> residuals,
                 BlockView<typename S::Value> U, BlockView<typename S::Value> V,
                 SvdsWorkspace<S>& ws, const SvdsOptions& opt = {}, const Monitor& monitor = {},
                 Checkpoint* checkpoint = nullptr,
                 BlockView<const typename S::Value> deflate = {}) {
  check_size("U", U.rows, A.rows());
  check_size("V", V.rows, A.cols());
  if (deflate.cols > 0) check_size("deflate", deflate.rows, A.cols());
  for (const auto& [what, came] : {std::pair{"s", static_cast<Index>(s.size())},
                                   {"residuals", static_cast<Index>(residuals.size())},
                                   {"U", U.cols},
                                   {"V", V.cols}}) {
    if (came < opt.k) {
      throw InvalidArgument(std::string(what) + " has room for " + std::to_string(came) +
                            "; k = " + std::to_string(opt.k) + " are wanted");
    }
  }
  return SvdsRun<S, Op>(space, A, ws, opt, monitor, checkpoint, deflate).run(s, residuals, U, V);
}

}  // namespace ritz
