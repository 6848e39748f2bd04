// The squared norms of the rows of an operator from its products, with the standard error of each.
// The norms of what a projection of the columns leaves, from every probe that the projection was
// not built with: Epperly: Make the most of what you have: resource-efficient randomized algorithms
// for matrix computations. PhD thesis, Caltech, 2025.
#pragma once

#include "ritz/function/elementwise.hpp"

namespace ritz {

template <Space S>
struct XRowNormWorkspace {
  /// Room for k probes; more are made room for as they come.
  void prepare(S& space, Index m, Index n, Index k) {
    V.begin(space, n, k);
    B.begin(space, m, k);
    Y.begin(space, m, k);
    slots.reserve(space, k);
    vectors.begin(space, Arena<S>::padded(n) + 4 * Arena<S>::padded(m));
    omega = vectors.vector(n);
    for (VectorView<typename S::Value>* v : {&b, &e, &mean, &squares}) *v = vectors.vector(m);
  }
  std::size_t bytes() const {
    return V.bytes() + B.bytes() + Y.bytes() + slots.bytes() + vectors.bytes();
  }

  GrowingBlock<S> V, B, Y;
  ProjectionSlots<S> slots;
  Arena<S> vectors;
  VectorView<typename S::Value> omega, b, e, mean, squares;
};

/// With Y = AΩ, AᴴY = VR, B = AV and the s_i of XTrace for that R, the mean over i of
///
///     ‖rows of B‖² − |B s_i|² + |y_i − B x_i|²,   x_i = (I − s_i s_iᴴ) Vᴴω_i.
///
/// By Pythagoras, A = A V_i V_iᴴ + A (I − V_i V_iᴴ) adds up in squares by rows; the first part is
/// formed exactly, the second is probed by the ω_i that V_i does without.
///
/// Three products a probe, one of them with Aᴴ. Beside them 5 k n of traffic for the k-th, and
/// 2 k² m for an estimate from k. Three blocks of k vectors.
template <Space S>
class XRowNorm {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  static constexpr Index kProducts = 3;  ///< a probe
  /// The spread of the samples gives 0.75 to 1 of the error of their mean: they are not
  /// independent.
  static constexpr double kUnderstated = 1.25;

  XRowNorm(S& space, Index m, Index n, RandomKey seed, XRowNormWorkspace<S>& workspace)
      : s_(space), m_(m), n_(n), seed_(seed), ws_(workspace) {}

  void prepare(Index k) { ws_.prepare(s_, m_, n_, k); }
  bool finite() const { return qr_.finite; }
  static bool semidefinite() { return true; }

  template <class Run>
  void extend(Index k, Run& run) {
    const Index before = k_, old = qr_.rank, fresh = k - before;
    for (GrowingBlock<S>* block : {&ws_.V, &ws_.B, &ws_.Y}) block->reserve(s_, k);
    if (ws_.slots.first.size() < static_cast<std::size_t>(k)) ws_.slots.reserve(s_, k);
    const auto V = ws_.V.columns(before, fresh);  // the probes, before it is V's turn
    for (Index i = 0; i < fresh; ++i) probe(before + i, V.column(i));
    run.apply(V, ws_.Y.columns(before, fresh));
    run.apply_adjoint(ws_.Y.columns(before, fresh), V);
    k_ = k;
    extend_qr(s_, ws_.V.columns(0, k), qr_, ws_.slots);
    if (!qr_.finite) return;
    const Index r = qr_.rank;
    run.apply(ws_.V.columns(old, r - old), ws_.B.columns(old, r - old));
    if (qr_.deficient()) return;
    grow(W_, r, r);
    for (Index j = 0; j < r; ++j) {
      const Index from = j < old ? old : 0;
      probe(j, ws_.omega);
      project_to_host(s_, BlockView<const T>(ws_.V.columns(from, r - from)),
                      VectorView<const T>(ws_.omega), ws_.slots, &W_(0, j) + from);
    }
  }

  ElementwiseEstimation estimate(VectorView<T> value, VectorView<T> variance) {
    const Index r = qr_.rank;
    const auto B = ws_.B.columns(0, r);
    ElementwiseMean<S> mean(value, variance);
    mean.begin(s_);
    ElementwiseEstimation out;
    if (!qr_.deficient()) {
      SmallMatrix<W> S_ = leave_one_out_directions(qr_.R);
      std::vector<W> minus(static_cast<std::size_t>(r));
      for (Index i = 0; i < r; ++i) {
        const auto s = S_.column(i), w = W_.column(i);
        const W d = inner<W>(s, w);
        for (std::size_t j = 0; j < minus.size(); ++j) minus[j] = d * s[j] - w[j];
        s_.copy(ws_.Y.column(i), ws_.b);
        s_.axpy_columns(B, minus, ws_.b);
        s_.fill(0.0, ws_.e);
        s_.add_squares(1.0, ws_.b, ws_.e);
        s_.fill(0.0, ws_.b);
        s_.axpy_columns(B, s, ws_.b);
        s_.add_squares(-1.0, ws_.b, ws_.e);
        mean.add(s_, ws_.e);
      }
      const double factor = kUnderstated * small_sample_factor(r);
      mean.finish(s_, factor);
      out.spread = mean.norm();
      out.norm = factor * out.spread;
    } else {
      // AᴴA was resolved to rounding: so are the squares.
      out.norm = std::sqrt(static_cast<double>(m_)) * qr_.dropped / static_cast<double>(n_);
      s_.fill(std::pow(qr_.dropped / static_cast<double>(n_), 2), variance);
      out.exact = true;
    }
    for (Index j = 0; j < r; ++j) s_.add_squares(1.0, B.column(j), value);
    // Signs alone would give |Aω|².
    ElementwiseMean<S> plain(ws_.mean, ws_.squares);
    plain.begin(s_);
    for (Index i = 0; i < k_; ++i) {
      s_.fill(0.0, ws_.e);
      s_.add_squares(1.0, ws_.Y.column(i), ws_.e);
      plain.add(s_, ws_.e);
    }
    out.variance = std::pow(plain.norm(), 2) * static_cast<double>(k_);
    return out;
  }

 private:
  void probe(Index i, VectorView<T> x) {
    fill_probe(s_, Probe::signs, seed_, ProbeStream::range, i, x);
  }

  S& s_;
  Index m_, n_, k_ = 0;
  RandomKey seed_;
  XRowNormWorkspace<S>& ws_;
  GrowingQr<W> qr_;
  SmallMatrix<W> W_;  // VᴴΩ
};

template <Space S>
struct RowNormsWorkspace {
  using T = typename S::Value;

  /// The memory for sign and unit vectors; XRowNorm adds its own when it begins.
  void prepare(S& space, Index m, Index n, Index block = 1) {
    arena.begin(space, (Arena<S>::padded(n) + Arena<S>::padded(m)) * block);
    z = arena.block(n, block);
    y = arena.block(m, block);
  }
  std::size_t bytes() const { return arena.bytes() + xrownorm.bytes(); }

  Arena<S> arena;
  BlockView<T> z, y;
  XRowNormWorkspace<S> xrownorm;
};

template <Space S, class A>
class RowNormsRun : ElementwiseRun<S, A> {
 public:
  using Base = ElementwiseRun<S, A>;
  using T = typename S::Value;

  RowNormsRun(S& space, const A& op, VectorView<T> value, VectorView<T> variance,
              RowNormsWorkspace<S>& workspace, const ElementwiseOptions& options,
              const Monitor& monitor)
      : Base(space, op, value, variance, options, monitor),
        ws_(workspace),
        m_(op.rows()),
        n_(op.cols()) {}

  ElementwiseOutcome run() {
    ElementwiseMethod method = opt_.method;
    if (method == ElementwiseMethod::automatic) {
      method =
          has_adjoint(this->A_) ? ElementwiseMethod::leave_one_out : ElementwiseMethod::hutchinson;
    }
    if (method == ElementwiseMethod::nystrom) {
      throw InvalidArgument("method: row norms have no Nyström estimator");
    }
    const Index all = by_rows() ? m_ : n_;
    // With a tolerance the estimate may be much cheaper than the exact values, so it goes first.
    const bool tried_first = opt_.rtol > 0.0 && all > kSmall;
    if (method == ElementwiseMethod::exact || (opt_.samples >= all && !tried_first)) {
      return exact();
    }
    this->out_.method = method;
    if (method == ElementwiseMethod::hutchinson) return hutchinson();
    require_adjoint(this->A_);
    XRowNorm<S> growing(this->s_, m_, n_, opt_.seed, ws_.xrownorm);
    return this->grow(
        growing, (std::min(m_, n_) - 1) / 2, all, [&] { return hutchinson(); },
        [&] { return exact(); });
  }

 private:
  using Base::opt_;
  static constexpr Index kSmall = 32;

  bool by_rows() const { return m_ < n_ && has_adjoint(this->A_); }

  /// Mean of |Az|² over random sign vectors z.
  ElementwiseOutcome hutchinson() {
    S& s = this->s_;
    ws_.prepare(s, m_, n_, std::min(opt_.block, opt_.samples) + 1);
    const auto square = ws_.y.column(ws_.y.cols - 1);
    return this->average(ws_.z.columns(0, ws_.z.cols - 1), ws_.y,
                         [&](VectorView<T> y, VectorView<T>) {
                           s.fill(0.0, square);
                           s.add_squares(1.0, y, square);
                           s.copy(square, y);
                         });
  }

  /// The rows Aᴴe_i one by one where they are fewer and can be had, else the columns Ae_j.
  ElementwiseOutcome exact() {
    S& s = this->s_;
    const Index all = by_rows() ? m_ : n_;
    const Index block = std::clamp<Index>(opt_.block, 1, std::max<Index>(all, 1));
    ws_.prepare(s, m_, n_, block);
    if (by_rows()) {
      return this->all(
          ws_.y, ws_.z, m_, [&](BlockView<T> X, BlockView<T> Y) { this->apply_adjoint(X, Y); },
          [&](Index i, VectorView<T> row) {
            s.fill(s.read(s.norm2(row)), this->value_.middle(i, 1));
          });
    }
    return this->all(
        ws_.z, ws_.y, n_, [&](BlockView<T> X, BlockView<T> Y) { this->apply(X, Y); },
        [&](Index, VectorView<T> column) { s.add_squares(1.0, column, this->value_); });
  }

  RowNormsWorkspace<S>& ws_;
  Index m_, n_;
};

/// ‖A_i:‖² for every row into `value` (of m elements), and the squares of their standard errors
/// into `variance`. Random signs give the mean of |Az|², with relative variance 2 a sample at most.
/// `automatic` begins with XRowNorm where there is an adjoint and goes over to signs once those
/// promise to need fewer products.
template <Space S, LinearOperator<typename S::Value> A>
ElementwiseOutcome row_norms2(S& space, const A& op, VectorView<typename S::Value> value,
                              VectorView<typename S::Value> variance, RowNormsWorkspace<S>& ws,
                              const ElementwiseOptions& opt = {}, const Monitor& monitor = {}) {
  check_size("value", value.size, op.rows());
  check_size("variance", variance.size, op.rows());
  return RowNormsRun<S, A>(space, op, value, variance, ws, opt, monitor).run();
}

}  // namespace ritz
