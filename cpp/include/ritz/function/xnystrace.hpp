// The trace of a positive semidefinite operator from its Nyström approximation, exactly, and what
// is left of it from every probe that the approximation was not built with.
// Epperly, Tropp, Webber: XTrace: making the most of every sample in stochastic trace estimation.
// SIAM J. Matrix Anal. Appl. 45, 2024. The shift: Tropp, Yurtsever, Udell, Cevher: Fixed-rank
// approximation of a positive-semidefinite matrix from streaming data. NIPS 2017.
#pragma once

#include "ritz/dense/cholesky.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/function/probes.hpp"

namespace ritz {

template <Space S>
struct NystromWorkspace {
  /// Room for k probes; more are made room for as they come.
  void prepare(S& space, Index n, Index k) {
    for (GrowingBlock<S>* block : {&Omega, &Y, &F}) block->begin(space, n, k);
    slots.reserve(space, k);
  }
  std::size_t bytes() const { return Omega.bytes() + Y.bytes() + F.bytes() + slots.bytes(); }

  GrowingBlock<S> Omega, Y, F;
  ProjectionSlots<S> slots;
};

/// The Nyström approximation F Fᴴ = Y_ν (Ωᴴ Y_ν)⁻¹ Y_νᴴ of A + νI, Y_ν = AΩ + νΩ, as probes are
/// appended. The shift ν keeps ΩᴴY_ν positive definite in spite of rounding; where the products are
/// less exact than their precision, ν grows until it does, or an eigenvalue decomposition drops
/// what noise made of small eigenvalues.
///
/// One product a probe. Beside it 4 k n of traffic for the k-th, k² n for the factor of an
/// estimate and as much for its projections, O(k³) work. Three blocks of k vectors are kept.
template <Space S>
class Nystrom {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  /// Negative eigenvalues or an asymmetry of this share are no rounding of any kind.
  static constexpr double kNoise = std::is_same_v<RealOf<T>, float> ? 5e-3 : 1e-5;

  Nystrom(S& space, Probe kind, RandomKey seed, NystromWorkspace<S>& workspace)
      : s_(space), kind_(kind), seed_(seed), ws_(workspace) {}

  Index probes() const { return k_; }
  bool finite() const { return finite_; }
  bool semidefinite() const { return semidefinite_; }

  template <class Times>
  void extend(Index k, const Times& times) {
    const Index before = k_;
    reserve(k);
    const auto fresh = ws_.Omega.columns(before, k - before);
    for (Index i = 0; i < fresh.cols; ++i) {
      fill_probe(s_, kind_, seed_, ProbeStream::range, before + i, fresh.column(i));
    }
    times(fresh, ws_.Y.columns(before, fresh.cols));
    for (Index j = 0; j < k; ++j) {  // M = ΩᴴY and G = ΩᴴΩ
      const Index from = j < before ? before : 0;
      const auto Omega = ws_.Omega.columns(from, k - from);
      project_to_host(s_, Omega, ws_.Y.column(j), ws_.slots, &M_(0, j) + from);
      project_to_host(s_, Omega, ws_.Omega.column(j), ws_.slots, &G_(0, j) + from);
      if (j >= before) norm2_Y_ += s_.read(s_.norm2(ws_.Y.column(j)));
    }
    finite_ = std::isfinite(norm2_Y_);
  }

  /// What k probes left, to be saved, or to be read into.
  std::vector<Checkpoint::Part> state(Index k) {
    reserve(k);
    return {ws_.Omega.part(s_, k), ws_.Y.part(s_, k), Checkpoint::Part(M_.data),
            Checkpoint::Part(G_.data), Checkpoint::value(norm2_Y_)};
  }

  /// Forms F; false if the ladder of shifts did not end at a positive definite matrix.
  bool factor() {
    const Index k = k_;
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    const double asymmetry = symmetrize();
    nu_ = std::max(u * std::sqrt(norm2_Y_), asymmetry / std::real(G_(0, 0)));
    for (int attempt = 0; attempt < 4 && semidefinite_; ++attempt, nu_ *= 10.0) {
      L_ = H_;
      for (std::size_t i = 0; i < L_.data.size(); ++i) L_.data[i] += nu_ * G_.data[i];
      if (!dense::cholesky(L_.view())) continue;
      invert_lower(L_);
      SmallMatrix<W> U;  // L⁻ᴴ, so that F = Y_ν L⁻ᴴ
      U.resize(k, k);
      for (Index j = 0; j < k; ++j) {
        for (Index i = 0; i <= j; ++i) U(i, j) = conjugate(L_(j, i));
      }
      form_factor(nu_, U);
      return true;
    }
    return false;
  }

  /// The same from the eigenvalues of ΩᴴY above the noise, without a shift: for an operator whose
  /// rank the probes exhaust.
  void factor_by_eigenvalues() {
    const Index k = k_;
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    std::vector<double> lambda(static_cast<std::size_t>(k));
    SmallMatrix<W> V = H_;
    dense::eigh<W>(V.view(), lambda);
    const double largest = lambda.back();
    if (lambda.front() < -kNoise * std::abs(largest)) {
      semidefinite_ = false;
      return;
    }
    const double least = std::max(static_cast<double>(k) * u * largest, -2.0 * lambda.front());
    double squares = 0.0;
    Index dropped = 0;
    for (; dropped < k && lambda[static_cast<std::size_t>(dropped)] <= least; ++dropped) {
      squares += std::pow(lambda[static_cast<std::size_t>(dropped)], 2);
    }
    // Each dropped eigenvalue is a sample ωᴴAω of what the approximation leaves out.
    left_out_ = dropped > 0 ? std::sqrt(squares / static_cast<double>(dropped)) : 0.0;
    SmallMatrix<W> U;
    U.resize(k, k - dropped);
    for (Index j = dropped; j < k; ++j) {
      const double root = std::sqrt(lambda[static_cast<std::size_t>(j)]);
      for (Index i = 0; i < k; ++i) U(i, j - dropped) = V(i, j) / root;
    }
    nu_ = 0.0;
    form_factor(0.0, U);
  }

  double shift() const { return nu_; }
  double left_out() const { return left_out_; }
  double norm_Y() const { return std::sqrt(norm2_Y_); }
  /// L⁻¹ of ΩᴴY_ν = L Lᴴ: its column i is ∝ u_i with z_i = F u_i / ‖…‖ (see XNysTrace).
  SmallMatrix<W>& inverse() { return L_; }
  SmallMatrix<W>& gram_of_probes() { return G_; }
  /// Re ω_iᴴ A ω_i
  double sample(Index i) { return std::real(H_(i, i)); }
  BlockView<T> F() const { return ws_.F.columns(0, columns_); }
  BlockView<T> Omega() const { return ws_.Omega.columns(0, k_); }

  /// FᴴF on the host.
  SmallMatrix<W> gram_of_factor() {
    SmallMatrix<W> P;
    P.resize(columns_, columns_);
    for (Index j = 0; j < columns_; ++j) {
      project_to_host(s_, F(), ws_.F.column(j), ws_.slots, &P(0, j));
    }
    return P;
  }

  /// L⁻¹ in place of the lower triangle of L, zero above.
  static void invert_lower(SmallMatrix<W>& L) {
    const Index k = L.rows;
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < j; ++i) L(i, j) = W{};
      // Column j of the inverse needs rows j.. of L in columns j.. only; those are still L's.
      L(j, j) = 1.0 / L(j, j);
      for (Index i = j + 1; i < k; ++i) {
        W sum = L(i, j) * L(j, j);
        for (Index l = j + 1; l < i; ++l) sum += L(i, l) * L(l, j);
        L(i, j) = -sum / L(i, i);
      }
    }
  }

 private:
  void reserve(Index k) {
    for (GrowingBlock<S>* block : {&ws_.Omega, &ws_.Y, &ws_.F}) block->reserve(s_, k);
    if (ws_.slots.first.size() < static_cast<std::size_t>(k)) ws_.slots.reserve(s_, k);
    k_ = k;
    grow(M_, k, k);
    grow(G_, k, k);
  }
  /// H = (M + Mᴴ) / 2; returns ‖M − Mᴴ‖_F, which tells how exact the products are.
  double symmetrize() {
    H_ = M_;
    double apart = 0.0, size = 0.0;
    for (Index j = 0; j < k_; ++j) {
      for (Index i = 0; i <= j; ++i) {
        const W upper = M_(i, j), lower = conjugate(M_(j, i));
        apart += (i < j ? 2.0 : 1.0) * std::norm(upper - lower);
        size += (i < j ? 2.0 : 1.0) * std::norm(upper);
        H_(i, j) = (upper + lower) / 2.0;
        H_(j, i) = conjugate(H_(i, j));
      }
    }
    semidefinite_ = apart <= kNoise * kNoise * size;
    return std::sqrt(apart);
  }

  /// F = (Y + shift Ω) U
  void form_factor(double shift, SmallMatrix<W>& U) {
    columns_ = U.cols;
    for (Index j = 0; j < k_; ++j) {
      s_.copy(ws_.Y.column(j), ws_.F.column(j));
      if (shift > 0.0) s_.axpby(shift, ws_.Omega.column(j), 1.0, ws_.F.column(j));
    }
    s_.combine(ws_.F.columns(0, k_), U.view());
  }

  S& s_;
  Probe kind_;
  Index k_ = 0, columns_ = 0;
  RandomKey seed_;
  NystromWorkspace<S>& ws_;
  SmallMatrix<W> M_, G_, H_, L_;
  double norm2_Y_ = 0.0, nu_ = 0.0, left_out_ = 0.0;
  bool finite_ = true, semidefinite_ = true;
};

/// With FᵢFᵢᴴ the approximation that does without probe i, F Fᴴ − z_i z_iᴴ with z_i ∝ F u_i, the
/// mean over i of
///
///     tr(FᵢFᵢᴴ) + α_i ω_iᴴ (A + νI − FᵢFᵢᴴ) ω_i − νn,   α_i = (n − k + 1) / ‖ω̃_i‖²,
///
/// where ω̃_i is the part of ω_i that is orthogonal to the other probes: only it contributes. The
/// middle term is α_i / ((ΩᴴY_ν)⁻¹)_ii, and ‖ω̃_i‖⁻² = ((ΩᴴΩ)⁻¹)_ii. One product a probe.
template <Space S>
class XNysTrace {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  static constexpr Index kProducts = 1;  ///< a probe

  XNysTrace(S& space, Index n, RandomKey seed, NystromWorkspace<S>& workspace)
      : n_(static_cast<double>(n)), nystrom_(space, Probe::normals, seed, workspace) {}

  Index probes() const { return nystrom_.probes(); }
  bool finite() const { return nystrom_.finite(); }
  bool semidefinite() const { return nystrom_.semidefinite(); }

  template <class Times>
  void extend(Index k, const Times& times) {
    nystrom_.extend(k, times);
  }
  std::vector<Checkpoint::Part> state(Index k) { return nystrom_.state(k); }

  Estimation<W> estimate() {
    Estimation<W> out;
    const Index k = probes();
    if (nystrom_.norm_Y() == 0.0) {
      out.exact = true;
      out.sem = 0.0;
      return out;
    }
    const bool definite = nystrom_.factor();
    if (!definite) {
      nystrom_.factor_by_eigenvalues();
      if (!semidefinite()) return out;
    }
    SmallMatrix<W> P = nystrom_.gram_of_factor();
    double trace_F = 0.0;
    for (Index i = 0; i < P.cols; ++i) trace_F += std::real(P(i, i));
    if (!definite) {
      out.value = trace_F;
      out.sem = nystrom_.left_out();
      out.exact = true;
      return out;
    }
    SmallMatrix<W> N = nystrom_.gram_of_probes();
    dense::cholesky(N.view());  // of normal probes, fewer than half of n: well conditioned
    Nystrom<S>::invert_lower(N);
    SmallMatrix<W>& L = nystrom_.inverse();
    std::vector<double> t(static_cast<std::size_t>(k)), plain(t.size()), rest(t.size());
    for (Index i = 0; i < k; ++i) {
      const std::span<const W> u = L.column(i), v = N.column(i);
      double u2 = 0.0, v2 = 0.0, z2 = 0.0;
      for (std::size_t j = 0; j < u.size(); ++j) {
        u2 += std::norm(u[j]);
        v2 += std::norm(v[j]);
        z2 += std::real(inner<W>(u, P.column(static_cast<Index>(j))) * u[j]);
      }
      const auto at = static_cast<std::size_t>(i);
      const double alpha = (n_ - static_cast<double>(k) + 1.0) * v2;
      rest[at] = alpha / u2 - nystrom_.shift() * n_;
      t[at] = trace_F - z2 / u2 + rest[at];
      plain[at] = nystrom_.sample(i) * n_ / std::real(nystrom_.gram_of_probes()(i, i));
    }
    const Estimation<double> mean = mean_of<double>(t);
    out.value = mean.value;
    out.spread = mean.sem;
    // The t_i have the more in common the fewer directions are left for the rest, of which
    // Hutchinson samples tell by their spread: their mean errs by more than if they were
    // independent.
    const Estimation<double> left = mean_of<double>(rest);
    const double spread = left.variance / (left.value * left.value);
    out.sem = small_sample_factor(k) * mean.sem * std::sqrt(1.0 + static_cast<double>(k) * spread);
    out.variance = mean_of<double>(plain).variance;
    return out;
  }

 private:
  double n_;
  Nystrom<S> nystrom_;
};

}  // namespace ritz
