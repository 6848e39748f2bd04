// What a sketch S A = Q R tells of A: a P with A P nearly orthonormal, the condition and the rank.
//
// Rokhlin, Tygert: A fast randomized algorithm for overdetermined linear least-squares regression.
// PNAS 105, 2008. Where R is nearly singular: Epperly, Meier, Nakatsukasa: Fast randomized
// least-squares solvers can be just as accurate and stable as classical direct solvers.
// arXiv:2406.03468, 2024.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "ritz/dense/qr.hpp"
#include "ritz/dense/small_matrix.hpp"
#include "ritz/dense/svd.hpp"
#include "ritz/lstsq/triangle.hpp"
#include "ritz/sketch/philox.hpp"

namespace ritz {

/// With D = diag(scale), S A D = Q R: P = D R⁻¹. Where R is singular to working precision,
/// R = U Σ Vᴴ and P = D V (Σ² + μ²)^(−1/2) without the σ < 10 u σ₁, orthogonal to the null space of
/// A, so that what P y adds up to has the least norm; μ = 10 √n u σ₁ keeps rounding in A P small
/// where σ is not far above u.
template <Field W>
class SketchedFactor {
 public:
  /// `u` is the precision of the sketch.
  SketchedFactor(Triangle<W> triangle, std::vector<double> scale, double u)
      : triangle_(std::move(triangle)), scale_(std::move(scale)), n_(triangle_.R().cols) {
    estimate_condition();
    rank_ = n_;
    if (condition_ * u > kSuspicious) decompose(u);
  }

  Index rank() const { return rank_; }
  /// Of A D, by the sketch: a lower bound, seldom by more than a factor of 2.
  double condition() const { return condition_; }
  const Triangle<W>& triangle() const { return triangle_; }
  std::span<const double> scale() const { return scale_; }

  /// ‖D⁻¹ x‖
  double scaled_norm(std::span<const W> x) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (scale_[i] > 0.0) sum += std::norm(x[i] / scale_[i]);
    }
    return std::sqrt(sum);
  }

  /// X = the minimiser of ‖S A X − S B‖.
  void solve_sketched(BlockView<W> X) {
    const BlockView<W> C = triangle_.top();
    if (!decomposed()) {
      copy(C, X);
      dense::solve_upper<W>(R(), X);
      scale_rows(X);
      return;
    }
    SmallMatrix<W> c(rank_, C.cols);
    dense::multiply<W>(as_const(U_.view().columns(0, rank_)), as_const(C), c.view(), true);
    for (Index j = 0; j < C.cols; ++j) {
      for (Index i = 0; i < rank_; ++i) c(i, j) *= sigma_[at(i)] / lifted_[at(i)];
    }
    dense::multiply<W>(as_const(P_.view()), as_const(c.view()), X);
  }
  /// X = P Y
  void apply(BlockView<const W> Y, BlockView<W> X) {
    if (decomposed()) return dense::multiply<W>(as_const(P_.view()), Y, X);
    copy(Y, X);
    dense::solve_upper<W>(R(), X);
    scale_rows(X);
  }
  /// C = Pᴴ G; G is overwritten.
  void apply_adjoint(BlockView<W> G, BlockView<W> C) {
    if (decomposed()) return dense::multiply<W>(as_const(P_.view()), as_const(G), C, true);
    copy(G, C);
    scale_rows(C);
    dense::solve_upper<W>(R(), C, true);
  }
  /// g = D Aᴴr from c = Pᴴ Aᴴ r.
  void lift(std::span<const W> c, std::span<W> g) {
    const BlockView<const W> C{c.data(), rank_, 1, rank_};
    const BlockView<W> G{g.data(), n_, 1, n_};
    if (!decomposed()) return dense::multiply<W>(R(), C, G, true);
    SmallMatrix<W> t(rank_, 1);
    for (Index i = 0; i < rank_; ++i) t(i, 0) = lifted_[at(i)] * c[at(i)];
    dense::multiply<W>(as_const(V_.view().columns(0, rank_)), as_const(t.view()), G);
  }

 private:
  static constexpr double kSuspicious = 1e-3;
  static constexpr double kDropped = 10.0, kLift = 10.0;

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  static BlockView<const W> as_const(BlockView<W> a) { return a; }
  static void copy(BlockView<const W> X, BlockView<W> Y) {
    for (Index j = 0; j < X.cols; ++j) std::copy_n(X.column(j).data, X.rows, Y.column(j).data);
  }
  BlockView<const W> R() const { return triangle_.R(); }
  bool decomposed() const { return !sigma_.empty(); }
  void scale_rows(BlockView<W> X) const {
    for (Index j = 0; j < X.cols; ++j) {
      for (Index i = 0; i < n_; ++i) X(i, j) *= scale_[at(i)];
    }
  }

  /// By the power method on RᴴR and on its inverse.
  void estimate_condition() {
    constexpr int kSteps = 8;
    for (Index i = 0; i < n_; ++i) {
      if (R()(i, i) == W{}) {
        condition_ = INFINITY;
        return;
      }
    }
    SmallMatrix<W> x(n_, 1), y(n_, 1);
    const auto normalize = [&] {
      double sum = 0.0;
      for (const W& a : x.data) sum += std::norm(a);
      for (W& a : x.data) a /= std::sqrt(sum);
      return std::sqrt(sum);
    };
    const auto start = [&] {
      philox::normals(0, std::uint64_t{0x24} << 56, 0, n_, x.data.data());
      normalize();
    };
    double largest2 = 0.0, inverse2 = 0.0;
    start();
    for (int step = 0; step < kSteps; ++step) {
      dense::multiply<W>(R(), as_const(x.view()), y.view());
      dense::multiply<W>(R(), as_const(y.view()), x.view(), true);
      largest2 = normalize();
    }
    start();
    for (int step = 0; step < kSteps && std::isfinite(inverse2); ++step) {
      dense::solve_upper<W>(R(), x.view(), true);
      dense::solve_upper<W>(R(), x.view());
      inverse2 = normalize();
    }
    condition_ = std::isfinite(inverse2) ? std::sqrt(largest2) * std::sqrt(inverse2) : INFINITY;
  }

  void decompose(double u) {
    U_ = SmallMatrix<W>(n_, n_);
    V_ = SmallMatrix<W>(n_, n_);
    sigma_.resize(at(n_));
    dense::svd<W>(R(), U_.view(), sigma_, V_.view());
    condition_ = sigma_.back() > 0.0 ? sigma_.front() / sigma_.back() : INFINITY;
    rank_ = std::count_if(sigma_.begin(), sigma_.end(),
                          [&](double s) { return s > 0.0 && s >= kDropped * u * sigma_.front(); });
    const double mu = kLift * std::sqrt(static_cast<double>(n_)) * u * sigma_.front();
    P_ = SmallMatrix<W>(n_, rank_);
    for (Index j = 0; j < rank_; ++j) {
      lifted_.push_back(std::hypot(sigma_[at(j)], mu));
      for (Index i = 0; i < n_; ++i) P_(i, j) = scale_[at(i)] * V_(i, j) / lifted_.back();
    }
    if (rank_ < n_ && rank_ > 0) remove_null_space();
  }

  /// P = (I − N N⁺) P with the null vectors N of A.
  void remove_null_space() {
    const Index k = n_ - rank_;
    SmallMatrix<W> N(n_, k), T(k, k), c(k, rank_), Nc(n_, rank_);
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < n_; ++i) {
        // A column of zeros has a null vector of its own.
        N(i, j) = (scale_[at(i)] > 0.0 ? scale_[at(i)] : 1.0) * V_(i, rank_ + j);
      }
    }
    dense::qr<W>(N.view(), T.view());
    dense::multiply<W>(as_const(N.view()), as_const(P_.view()), c.view(), true);
    dense::multiply<W>(as_const(N.view()), as_const(c.view()), Nc.view());
    for (std::size_t i = 0; i < P_.data.size(); ++i) P_.data[i] -= Nc.data[i];
  }

  Triangle<W> triangle_;
  std::vector<double> scale_;
  Index n_, rank_ = 0;
  double condition_ = 1.0;
  std::vector<double> sigma_, lifted_;
  SmallMatrix<W> U_, V_, P_;
};

}  // namespace ritz
