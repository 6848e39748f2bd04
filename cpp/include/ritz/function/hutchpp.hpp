// The trace from a low-rank part, exactly, and what is left of it from probes of its complement.
// Meyer, Musco, Musco, Woodruff: Hutch++: optimal stochastic trace estimation. SOSA 2021.
#pragma once

#include "ritz/function/probes.hpp"

namespace ritz {

template <Space S>
struct HutchPPWorkspace {
  /// Room for k probes of each kind; more are made room for as they come.
  void prepare(S& space, Index n, Index k) {
    for (GrowingBlock<S>* block : {&Q, &Z, &Y}) block->begin(space, n, k);
    slots.reserve(space, k);
    probe.begin(space, Arena<S>::padded(n));
    g = probe.vector(n);
  }
  std::size_t bytes() const {
    return Q.bytes() + Z.bytes() + Y.bytes() + slots.bytes() + probe.bytes();
  }

  GrowingBlock<S> Q, Z, Y;
  ProjectionSlots<S> slots;
  Arena<S> probe;
  VectorView<typename S::Value> g;
};

/// tr(QᴴAQ) + mean of α_i g̃ᴴAg̃ with Q a basis of the columns of AΩ, g̃ = (I − QQᴴ) g_i and
/// α_i = (n − k) / ‖g̃‖², for k probes ω and k probes g. The products A g_i are kept, so that they
/// serve again when Q has grown: Ag̃ = Ag − Z Qᴴg with Z = AQ.
///
/// Three products a probe. Beside them 11 k n of traffic for the k-th. Three blocks of k vectors.
template <Space S>
class HutchPP {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  static constexpr Index kProducts = 3;  ///< a probe of each kind

  HutchPP(S& space, Index n, RandomKey seed, HutchPPWorkspace<S>& workspace)
      : s_(space), n_(n), seed_(seed), ws_(workspace) {}

  Index probes() const { return k_; }
  bool finite() const { return qr_.finite; }

  template <class Times>
  void extend(Index k, const Times& times) {
    const Index before = k_, old = qr_.rank;
    reserve(k);
    const auto fresh = ws_.Z.columns(before, k - before);  // the probes, before it is Z's turn
    const auto fill = [&](ProbeStream from) {
      for (Index i = 0; i < fresh.cols; ++i) {
        fill_probe(s_, Probe::normals, seed_, from, before + i, fresh.column(i));
      }
    };
    fill(ProbeStream::range);
    times(fresh, ws_.Q.columns(before, fresh.cols));
    k_ = k;
    extend_qr(s_, ws_.Q.columns(0, k), qr_, ws_.slots);
    if (!qr_.finite) return;
    if (!qr_.deficient()) {
      fill(ProbeStream::residual);
      times(fresh, ws_.Y.columns(before, fresh.cols));
    }
    const Index r = qr_.rank;
    times(ws_.Q.columns(old, r - old), ws_.Z.columns(old, r - old));
    project(old, r);
  }

  /// What k probes left, to be saved, or to be read into.
  std::vector<Checkpoint::Part> state(Index k) {
    reserve(k);
    k_ = qr_.rank = k;
    std::vector<Checkpoint::Part> parts{ws_.Q.part(s_, k), ws_.Z.part(s_, k), ws_.Y.part(s_, k)};
    for (SmallMatrix<W>* small : {&qr_.R, &H_, &X_, &ZG_, &QY_}) {
      grow(*small, k, k);
      parts.emplace_back(small->data);
    }
    gy_.resize(static_cast<std::size_t>(k));
    norm2_.resize(gy_.size());
    parts.emplace_back(gy_);
    parts.emplace_back(norm2_);
    return parts;
  }

  Estimation<W> estimate() {
    Estimation<W> out;
    W trace_H{};
    for (Index i = 0; i < qr_.rank; ++i) trace_H += H_(i, i);
    if (qr_.deficient()) {
      out.value = trace_H;
      out.sem = qr_.dropped;
      out.exact = true;
      return out;
    }
    std::vector<W> t(static_cast<std::size_t>(k_)), plain(t.size());
    for (Index i = 0; i < k_; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::span<const W> x = X_.column(i), qy = QY_.column(i), zg = ZG_.column(i);
      W rest = gy_[at] - inner<W>(zg, x) - inner<W>(x, qy);  // g̃ᴴ(Ag − Zx)
      for (Index j = 0; j < k_; ++j) {
        rest += inner<W>(x, H_.column(j)) * x[static_cast<std::size_t>(j)];
      }
      const double left = norm2_[at] - std::real(inner<W>(x, x));
      t[at] = static_cast<double>(n_ - k_) / left * rest;
      plain[at] = gy_[at] * (static_cast<double>(n_) / norm2_[at]);
    }
    out = mean_of<W>(t);
    out.value += trace_H;
    out.sem *= small_sample_factor(k_);
    out.variance = mean_of<W>(plain).variance;
    return out;
  }

 private:
  void reserve(Index k) {
    for (GrowingBlock<S>* block : {&ws_.Q, &ws_.Z, &ws_.Y}) block->reserve(s_, k);
    if (ws_.slots.first.size() < static_cast<std::size_t>(k)) ws_.slots.reserve(s_, k);
  }
  void project(Index old, Index r) {
    const auto Q = ws_.Q.columns(0, r), Z = ws_.Z.columns(0, r);
    grow(H_, r, r);
    for (Index j = 0; j < r; ++j) {
      const Index from = j < old ? old : 0;
      project_to_host(s_, Q.columns(from, r - from), Z.column(j), ws_.slots, &H_(0, j) + from);
    }
    if (qr_.deficient()) return;
    for (SmallMatrix<W>* small : {&X_, &ZG_, &QY_}) grow(*small, r, r);
    gy_.resize(static_cast<std::size_t>(r));
    norm2_.resize(static_cast<std::size_t>(r));
    for (Index j = 0; j < r; ++j) {
      const Index from = j < old ? old : 0;
      const auto fresh_Q = Q.columns(from, r - from), fresh_Z = Z.columns(from, r - from);
      fill_probe(s_, Probe::normals, seed_, ProbeStream::residual, j, ws_.g);
      project_to_host(s_, fresh_Q, ws_.g, ws_.slots, &X_(0, j) + from);
      project_to_host(s_, fresh_Z, ws_.g, ws_.slots, &ZG_(0, j) + from);
      project_to_host(s_, fresh_Q, ws_.Y.column(j), ws_.slots, &QY_(0, j) + from);
      if (j < old) continue;
      gy_[static_cast<std::size_t>(j)] = s_.read(s_.dot(ws_.g, ws_.Y.column(j)));
      norm2_[static_cast<std::size_t>(j)] = s_.read(s_.norm2(ws_.g));
    }
  }

  S& s_;
  Index n_, k_ = 0;
  RandomKey seed_;
  HutchPPWorkspace<S>& ws_;
  GrowingQr<W> qr_;
  SmallMatrix<W> H_, X_, ZG_, QY_;  // QᴴZ, QᴴG, ZᴴG, QᴴAG
  std::vector<W> gy_;               // g_iᴴ A g_i
  std::vector<double> norm2_;       // ‖g_i‖²
};

}  // namespace ritz
