// The trace from a low-rank part, exactly, and what is left of it from every probe that the part
// was not built with.
// Epperly, Tropp, Webber: XTrace: making the most of every sample in stochastic trace estimation.
// SIAM J. Matrix Anal. Appl. 45, 2024.
#pragma once

#include "ritz/function/probes.hpp"

namespace ritz {

template <Space S>
struct XTraceWorkspace {
  /// Room for k probes; more are made room for as they come.
  void prepare(S& space, Index n, Index k) {
    Q.begin(space, n, k);
    Z.begin(space, n, k);
    slots.reserve(space, k);
    probe.begin(space, Arena<S>::padded(n));
    omega = probe.vector(n);
  }
  std::size_t bytes() const { return Q.bytes() + Z.bytes() + slots.bytes() + probe.bytes(); }

  GrowingBlock<S> Q, Z;
  ProjectionSlots<S> slots;
  Arena<S> probe;
  VectorView<typename S::Value> omega;
};

/// With Y = AΩ = QR, Z = AQ and Q_i an orthonormal basis of the columns of Y without the i-th, the
/// mean over i of
///
///     tr(Q_iᴴ A Q_i) + α_i ω̃ᴴ A ω̃,   ω̃ = (I − Q_i Q_iᴴ) ω_i,   α_i = (n − k + 1) / ‖ω̃‖²,
///
/// each of which is unbiased, since ω̃ has a uniform direction whatever Q_i is. All k of them follow
/// from small matrices: Q_i Q_iᴴ = Q (I − s_i s_iᴴ) Qᴴ with s_i ∝ R⁻ᴴ e_i.
///
/// Two products a probe. Beside them 9 k n of traffic for the k-th probe, and O(k³) work an
/// estimate. Probes are made again from their keys when needed: two blocks of k vectors are kept.
template <Space S>
class XTrace {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  static constexpr Index kProducts = 2;  ///< a probe
  /// The samples are not independent: their spread gives 0.67 to 1 of the error that their mean
  /// has, over spectra of exponential and power-law decay.
  static constexpr double kUnderstated = 1.3;

  XTrace(S& space, Index n, RandomKey seed, XTraceWorkspace<S>& workspace)
      : s_(space), n_(n), seed_(seed), ws_(workspace) {}

  Index probes() const { return k_; }
  bool finite() const { return qr_.finite; }

  /// Takes the probes up to k; `times(X, Y)` forms Y = A X.
  template <class Times>
  void extend(Index k, const Times& times) {
    const Index before = k_, old = qr_.rank;
    reserve(k);
    const auto fresh = ws_.Z.columns(before, k - before);  // the probes, before it is Z's turn
    for (Index i = 0; i < fresh.cols; ++i) {
      fill_probe(s_, Probe::normals, seed_, ProbeStream::range, before + i, fresh.column(i));
    }
    times(fresh, ws_.Q.columns(before, fresh.cols));
    k_ = k;
    extend_qr(s_, ws_.Q.columns(0, k), qr_, ws_.slots);
    if (!qr_.finite) return;
    const Index r = qr_.rank;
    times(ws_.Q.columns(old, r - old), ws_.Z.columns(old, r - old));
    project(old, r);
  }

  /// What k probes left, to be saved, or to be read into.
  std::vector<Checkpoint::Part> state(Index k) {
    reserve(k);
    k_ = qr_.rank = k;
    for (SmallMatrix<W>* small : {&qr_.R, &H_, &W_, &T_}) grow(*small, k, k);
    norm2_.resize(static_cast<std::size_t>(k));
    return {ws_.Q.part(s_, k),         ws_.Z.part(s_, k),         Checkpoint::Part(qr_.R.data),
            Checkpoint::Part(H_.data), Checkpoint::Part(W_.data), Checkpoint::Part(T_.data),
            Checkpoint::Part(norm2_)};
  }

  Estimation<W> estimate() {
    if (qr_.deficient()) return low_rank();
    const Index k = k_;
    const SmallMatrix<W> S_ = leave_one_out_directions(qr_.R);
    W trace_H{};
    for (Index i = 0; i < k; ++i) trace_H += H_(i, i);
    std::vector<W> t(static_cast<std::size_t>(k)), plain(t.size()), x(t.size());
    for (Index i = 0; i < k; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::span<const W> s(S_.data.data() + i * k, x.size());
      const std::span<const W> w = W_.column(i), y = qr_.R.column(i), z = T_.column(i);
      const W d = inner(s, w);
      double x2 = 0.0;
      for (std::size_t j = 0; j < x.size(); ++j) {
        x[j] = w[j] - d * s[j];
        x2 += std::norm(x[j]);
      }
      // ω̃ᴴAω̃ with Aω = QRe_i and AQx = Zx
      const W rest = conjugate(d) * inner<W>(s, y) - inner<W>(z, x) + quadratic(x, x);
      const double alpha = static_cast<double>(n_ - k + 1) / (norm2_[at] - x2);
      t[at] = trace_H - quadratic(s, s) + alpha * rest;
      plain[at] = inner<W>(w, y) * (static_cast<double>(n_) / norm2_[at]);
    }
    Estimation<W> out = mean_of<W>(t);
    out.sem *= kUnderstated * small_sample_factor(k);
    out.variance = mean_of<W>(plain).variance;
    return out;
  }

 private:
  void reserve(Index k) {
    for (GrowingBlock<S>* block : {&ws_.Q, &ws_.Z}) block->reserve(s_, k);
    if (ws_.slots.first.size() < static_cast<std::size_t>(k)) ws_.slots.reserve(s_, k);
  }
  /// H = QᴴZ, W = QᴴΩ and T = ZᴴΩ for the columns [old, r) of Q and Z, and all probes.
  void project(Index old, Index r) {
    const auto Q = ws_.Q.columns(0, r), Z = ws_.Z.columns(0, r);
    grow(H_, r, r);
    for (Index j = 0; j < r; ++j) {
      const Index from = j < old ? old : 0;
      project_to_host(s_, Q.columns(from, r - from), Z.column(j), ws_.slots, &H_(0, j) + from);
    }
    if (qr_.deficient()) return;
    grow(W_, r, r);
    grow(T_, r, r);
    norm2_.resize(static_cast<std::size_t>(r));
    for (Index j = 0; j < r; ++j) {
      const Index from = j < old ? old : 0;
      fill_probe(s_, Probe::normals, seed_, ProbeStream::range, j, ws_.omega);
      project_to_host(s_, Q.columns(from, r - from), ws_.omega, ws_.slots, &W_(0, j) + from);
      project_to_host(s_, Z.columns(from, r - from), ws_.omega, ws_.slots, &T_(0, j) + from);
      if (j >= old) norm2_[static_cast<std::size_t>(j)] = s_.read(s_.norm2(ws_.omega));
    }
  }

  /// The range of A is that of Q: what the trace leaves out has about the norm of the column that
  /// rounding left over.
  Estimation<W> low_rank() {
    Estimation<W> out;
    for (Index i = 0; i < qr_.rank; ++i) out.value += H_(i, i);
    out.sem = qr_.dropped;
    out.exact = true;
    return out;
  }

  /// aᴴ H b
  W quadratic(std::span<const W> a, std::span<const W> b) {
    W sum{};
    for (Index j = 0; j < H_.cols; ++j) {
      sum += inner<W>(a, H_.column(j)) * b[static_cast<std::size_t>(j)];
    }
    return sum;
  }

  S& s_;
  Index n_, k_ = 0;
  RandomKey seed_;
  XTraceWorkspace<S>& ws_;
  GrowingQr<W> qr_;
  SmallMatrix<W> H_, W_, T_;
  std::vector<double> norm2_;  // of the probes
};

}  // namespace ritz
