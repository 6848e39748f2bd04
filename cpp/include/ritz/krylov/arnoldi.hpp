// The Arnoldi process, and the small least-squares problem that methods over it solve.
//
// Arnoldi 1951. Two passes are enough: Giraud, Langou, Rozložník, van den Eshof: Rounding error
// analysis of the classical Gram-Schmidt orthogonalization process. Numer. Math. 101, 2005.
// Rotations: Saad, Schultz: GMRES: a generalized minimal residual algorithm for solving
// nonsymmetric linear systems. SIAM J. Sci. Stat. Comput. 7, 1986.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/core/arena.hpp"

namespace ritz {

/// w = w − V Vᴴw, until Vᴴw is at most kOrthogonal roundings of w; returns ‖w‖. The first V.cols
/// of `coefficients`, which has room for twice as many, become what was subtracted, on the host;
/// `slots` likewise holds 2 V.cols. What the first pass leaves of Vᴴw comes with it, so that the
/// second is made only where it is needed. Traffic: (2 V.cols + 4) n, with it (3 V.cols + 6) n; two
/// or three reads.
template <Space S>
double orthogonalize(S& space, BlockView<const typename S::Value> V,
                     VectorView<typename S::Value> w, typename S::Slots slots,
                     std::span<WideOf<typename S::Value>> coefficients) {
  constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  constexpr double kOrthogonal = 5.0;  // keeps ‖VᴴV − I‖ below 10 ε √k, both triangles counted
  if (V.cols == 0) return std::sqrt(space.read(space.norm2(w)));
  const auto count = static_cast<std::size_t>(V.cols);
  const auto h = slots.first(count), g = slots.subspan(count, count);
  space.project(V, w, h);
  space.subtract_project(V, h, w, g);
  const double first = std::sqrt(space.read(space.norm2(w)));
  space.read(slots.first(2 * count), coefficients.first(2 * count));
  double left2 = 0.0;
  for (std::size_t i = 0; i < count; ++i) left2 += std::norm(coefficients[count + i]);
  if (std::sqrt(left2) <= kOrthogonal * kEps * first) return first;
  for (std::size_t i = 0; i < count; ++i) coefficients[i] += coefficients[count + i];
  return std::sqrt(space.read(space.subtract_norm2(V, g, w)));
}

struct ArnoldiStep {
  double length;  ///< ‖A v_j‖, infinite or NaN if a product held such an element
  double beta;    ///< its part outside the basis; 0 if that is below the rounding of A v_j
};

/// Takes w = A v_j, in the column after `basis`, against it; that column becomes w/β if β > 0.
template <Space S>
ArnoldiStep arnoldi_step(S& space, BlockView<const typename S::Value> basis,
                         VectorView<typename S::Value> w, typename S::Slots slots,
                         std::span<WideOf<typename S::Value>> h) {
  constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  const double beta = orthogonalize(space, basis, w, slots, h);
  double length = beta;
  for (Index i = 0; i < basis.cols; ++i) {
    length = std::hypot(length, std::abs(h[static_cast<std::size_t>(i)]));
  }
  if (std::isfinite(length) && beta <= kEps * length) return {length, 0.0};
  space.scale(1.0 / beta, w);
  return {length, beta};
}

/// y ↦ ‖β e₁ − H̄ y‖ for a Hessenberg matrix that grows by columns: H̄ = Ωᴴ [R; 0], with rotations
/// (c, s; −s̄, c), c real, in Ω. On the host.
template <class Scalar>
class HessenbergLeastSquares {
 public:
  /// Room for m columns; β is ‖r‖.
  void begin(Index m, double beta) {
    const auto size = static_cast<std::size_t>(m);
    ld_ = size;
    R_.resize(size * size);
    c_.resize(size);
    s_.resize(size);
    g_.resize(size + 1);
    y_.resize(size);
    g_[0] = beta;
    cols_ = 0;
    largest_ = size_ = 0.0;
  }

  /// Appends the column (h; beta) of H̄, `length` being its norm; false if nothing can be gained by
  /// it in arithmetic of precision `eps`: if the column depends on the others, or if y, as it does
  /// on a singular A, has begun to grow while the residual stays, so that the rounding of A V y
  /// reaches it. Overwrites h.
  bool append(std::span<Scalar> h, double beta, double length, double eps) {
    const std::size_t k = cols_;
    largest_ = std::max(largest_, length);
    for (std::size_t i = 0; i < k; ++i) {
      const Scalar above = h[i];
      h[i] = c_[i] * above + s_[i] * h[i + 1];
      h[i + 1] = c_[i] * h[i + 1] - conjugate(s_[i]) * above;
    }
    const double pivot = std::abs(h[k]), rho = std::hypot(pivot, beta), before = residual();
    if (!(rho > eps * largest_)) return false;
    const Scalar phase = pivot > 0.0 ? h[k] / pivot : Scalar{1.0}, g = g_[k];
    c_[k] = pivot / rho;
    s_[k] = phase * (beta / rho);
    h[k] = phase * rho;
    std::copy_n(h.begin(), k + 1, &R_[k * ld_]);
    g_[k + 1] = -conjugate(s_[k]) * g;
    g_[k] = c_[k] * g;
    ++cols_;
    solve(y_);
    double size = 0.0;
    for (std::size_t i = 0; i < cols_; ++i) size += std::norm(y_[i]);
    size = std::sqrt(size);
    if (size > 2.0 * size_ && kRounding * eps * largest_ * size > before) {
      g_[k] = g;
      --cols_;
      return false;
    }
    size_ = size;
    return true;
  }

  Index cols() const { return static_cast<Index>(cols_); }
  /// Of the columns so far.
  double longest() const { return largest_; }
  /// ‖y‖ at the minimiser.
  double size() const { return size_; }
  /// ‖β e₁ − H̄ y‖ at the minimiser.
  double residual() const { return std::abs(g_[cols_]); }

  void solve(std::span<Scalar> y) const {
    for (std::size_t i = cols_; i-- > 0;) {
      Scalar sum = g_[i];
      for (std::size_t j = i + 1; j < cols_; ++j) sum -= R_[i + j * ld_] * y[j];
      y[i] = sum / R_[i + i * ld_];
    }
  }
  /// The unit vector q with β e₁ − H̄ y = residual() q, of cols() + 1 elements.
  void residual_direction(std::span<Scalar> q) const {
    const double size = residual();
    q[cols_] = size > 0.0 ? g_[cols_] / size : Scalar{1.0};
    for (std::size_t i = cols_; i-- > 0;) {
      q[i] = -s_[i] * q[i + 1];
      q[i + 1] *= c_[i];
    }
  }

 private:
  // How many roundings of size eps ‖A‖ ‖y‖ a product A V y is taken to make.
  static constexpr double kRounding = 10.0;

  std::size_t ld_ = 0, cols_ = 0;
  std::vector<Scalar> R_, s_, g_, y_;
  std::vector<double> c_;
  double largest_ = 0.0, size_ = 0.0;  // the longest column, ‖y‖
};

}  // namespace ritz
