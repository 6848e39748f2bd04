// The diagonal from a low-rank part, exactly, and what is left of it from every probe that the part
// was not built with.
// Epperly, Tropp, Webber: XTrace: making the most of every sample in stochastic trace estimation.
// SIAM J. Matrix Anal. Appl. 45, 2024, section 2.4.
#pragma once

#include "ritz/function/elementwise.hpp"
#include "ritz/function/xnystrace.hpp"

namespace ritz {

template <Space S>
struct XDiagWorkspace {
  /// Room for k probes; more are made room for as they come.
  void prepare(S& space, Index n, Index k) {
    Q.begin(space, n, k);
    Z.begin(space, n, k);
    slots.reserve(space, k);
    vectors.begin(space, 4 * Arena<S>::padded(n));
    for (VectorView<typename S::Value>* v : {&omega, &q, &z, &e}) *v = vectors.vector(n);
  }
  std::size_t bytes() const { return Q.bytes() + Z.bytes() + slots.bytes() + vectors.bytes(); }

  GrowingBlock<S> Q, Z;
  ProjectionSlots<S> slots;
  Arena<S> vectors;
  VectorView<typename S::Value> omega, q, z, e;
};

/// With Y = AΩ = QR, Z = AᴴQ and the s_i of XTrace, the mean over i of
///
///     diag(Q Zᴴ) − Qs_i ∘ conj(Zs_i) + (s_iᴴ R e_i) ω_i ∘ Qs_i,
///
/// which is diag(Q_i Q_iᴴ A) + ω_i ∘ (A − Q_i Q_iᴴ A) ω_i: unbiased, and exact at low rank.
///
/// A product with A and one with Aᴴ for each probe. Beside them 3 k n of traffic for the k-th, and
/// 2 k² n for an estimate from k.
template <Space S>
class XDiag {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  static constexpr Index kProducts = 2;  ///< a probe
  /// The spread of the samples gives 0.75 to 1 of the error of their mean: they are not
  /// independent.
  static constexpr double kUnderstated = 1.25;

  XDiag(S& space, Index n, RandomKey seed, XDiagWorkspace<S>& workspace)
      : s_(space), n_(n), seed_(seed), ws_(workspace) {}

  void prepare(Index k) { ws_.prepare(s_, n_, k); }
  bool finite() const { return qr_.finite; }
  static bool semidefinite() { return true; }

  template <class Run>
  void extend(Index k, Run& run) {
    const Index before = k_, old = qr_.rank;
    for (GrowingBlock<S>* block : {&ws_.Q, &ws_.Z}) block->reserve(s_, k);
    if (ws_.slots.first.size() < static_cast<std::size_t>(k)) ws_.slots.reserve(s_, k);
    const auto fresh = ws_.Z.columns(before, k - before);  // the probes, before it is Z's turn
    for (Index i = 0; i < fresh.cols; ++i) probe(before + i, fresh.column(i));
    run.apply(fresh, ws_.Q.columns(before, fresh.cols));
    k_ = k;
    extend_qr(s_, ws_.Q.columns(0, k), qr_, ws_.slots);
    if (!qr_.finite) return;
    const Index r = qr_.rank;
    run.apply_adjoint(ws_.Q.columns(old, r - old), ws_.Z.columns(old, r - old));
  }

  ElementwiseEstimation estimate(VectorView<T> value, VectorView<T> variance) {
    const Index r = qr_.rank;
    const auto Q = ws_.Q.columns(0, r), Z = ws_.Z.columns(0, r);
    ElementwiseMean<S> mean(value, variance);
    mean.begin(s_);
    ElementwiseEstimation out;
    if (!qr_.deficient()) {
      const SmallMatrix<W> directions = leave_one_out_directions(qr_.R);
      SmallMatrix<W> S_ = directions;
      for (Index i = 0; i < r; ++i) {
        const auto s = S_.column(i);
        s_.fill(0.0, ws_.q);
        s_.axpy_columns(Q, s, ws_.q);
        s_.fill(0.0, ws_.z);
        s_.axpy_columns(Z, s, ws_.z);
        probe(i, ws_.omega);
        s_.multiply(ws_.omega, ws_.q, ws_.e);
        s_.scale(inner<W>(s, qr_.R.column(i)), ws_.e);
        s_.multiply_add_conjugate(-1.0, ws_.q, ws_.z, ws_.e);
        mean.add(s_, ws_.e);
      }
      const double factor = kUnderstated * small_sample_factor(r);
      mean.finish(s_, factor);
      out.spread = mean.norm();
      out.norm = factor * out.spread;
    } else {
      s_.fill(qr_.dropped * qr_.dropped / static_cast<double>(n_), variance);
      out.norm = qr_.dropped;
      out.exact = true;
    }
    for (Index j = 0; j < r; ++j) {
      s_.multiply_add_conjugate(1.0, Q.column(j), Z.column(j), value);
    }
    // E ‖ω ∘ Aω − diag(A)‖² = ‖A‖²_F − ‖diag(A)‖², and E ‖Aω‖² = ‖A‖²_F
    for (const W& x : qr_.R.data) out.variance += std::norm(x) / static_cast<double>(k_);
    out.variance = std::max(out.variance - s_.read(s_.norm2(value)), 0.0);
    return out;
  }

 private:
  void probe(Index i, VectorView<T> x) {
    fill_probe(s_, Probe::signs, seed_, ProbeStream::range, i, x);
  }

  S& s_;
  Index n_, k_ = 0;
  RandomKey seed_;
  XDiagWorkspace<S>& ws_;
  GrowingQr<W> qr_;
};

template <Space S>
struct XNysDiagWorkspace {
  void prepare(S& space, Index n, Index k) {
    nystrom.prepare(space, n, k);
    vectors.begin(space, 2 * Arena<S>::padded(n));
    z = vectors.vector(n);
    e = vectors.vector(n);
  }
  std::size_t bytes() const { return nystrom.bytes() + vectors.bytes(); }

  NystromWorkspace<S> nystrom;
  Arena<S> vectors;
  VectorView<typename S::Value> z, e;
};

/// With F and z_i of XNysTrace, the mean over i of diag(F Fᴴ) − |z_i|² + (z_iᴴω_i) ω_i ∘ z_i − ν;
/// z_iᴴω_i is 1 / √((ΩᴴY_ν)⁻¹)_ii. One product a probe.
template <Space S>
class XNysDiag {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  static constexpr Index kProducts = 1;  ///< a probe
  /// The spread of the samples gives down to two thirds of the error of their mean.
  static constexpr double kUnderstated = 1.5;

  XNysDiag(S& space, Index n, RandomKey seed, XNysDiagWorkspace<S>& workspace)
      : s_(space), n_(n), ws_(workspace), nystrom_(space, Probe::signs, seed, workspace.nystrom) {}

  void prepare(Index k) { ws_.prepare(s_, n_, k); }
  bool finite() const { return nystrom_.finite(); }
  bool semidefinite() const { return nystrom_.semidefinite(); }

  template <class Run>
  void extend(Index k, Run& run) {
    nystrom_.extend(k, [&](BlockView<T> X, BlockView<T> Y) { run.apply(X, Y); });
  }

  ElementwiseEstimation estimate(VectorView<T> value, VectorView<T> variance) {
    const Index k = nystrom_.probes();
    ElementwiseMean<S> mean(value, variance);
    mean.begin(s_);
    ElementwiseEstimation out;
    if (nystrom_.norm_Y() == 0.0) {
      out.norm = 0.0;
      out.exact = true;
      return out;
    }
    if (nystrom_.factor()) {
      SmallMatrix<W>& L = nystrom_.inverse();
      for (Index i = 0; i < k; ++i) {
        const auto u = L.column(i);
        double u2 = 0.0;
        for (const W& x : u) u2 += std::norm(x);
        s_.fill(0.0, ws_.z);
        s_.axpy_columns(nystrom_.F(), u, ws_.z);
        s_.multiply(nystrom_.Omega().column(i), ws_.z, ws_.e);
        s_.scale(1.0 / u2, ws_.e);
        s_.add_squares(-1.0 / u2, ws_.z, ws_.e);
        mean.add(s_, ws_.e);
      }
      const double factor = kUnderstated * small_sample_factor(k);
      mean.finish(s_, factor);
      out.spread = mean.norm();
      out.norm = factor * out.spread;
    } else {
      nystrom_.factor_by_eigenvalues();
      if (!semidefinite()) return out;
      out.norm = nystrom_.left_out() / std::sqrt(static_cast<double>(n_));
      s_.fill(std::pow(out.norm, 2) / static_cast<double>(n_), variance);
      out.exact = true;
    }
    for (Index j = 0; j < nystrom_.F().cols; ++j) {
      s_.add_squares(1.0, nystrom_.F().column(j), value);
    }
    if (nystrom_.shift() > 0.0) {
      s_.fill(1.0, ws_.e);
      s_.axpby(-nystrom_.shift(), ws_.e, 1.0, value);
    }
    out.variance = std::max(
        std::pow(nystrom_.norm_Y(), 2) / static_cast<double>(k) - s_.read(s_.norm2(value)), 0.0);
    return out;
  }

 private:
  S& s_;
  Index n_;
  XNysDiagWorkspace<S>& ws_;
  Nystrom<S> nystrom_;
};

}  // namespace ritz
