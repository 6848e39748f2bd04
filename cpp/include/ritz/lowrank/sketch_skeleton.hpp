// Interpolative decompositions of a matrix from a sketch of it, of all ranks, with their errors.
// Halko, Martinsson, Tropp: Finding structure with randomness. SIAM Review 53, 2011, section 5.2.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/dense/qr.hpp"
#include "ritz/krylov/block_run.hpp"

namespace ritz {

/// The decompositions of every rank k that one sketch gives: with Y P = Q R and R = [R₁ R₁₂; 0
/// R₂₂], R₁ of k × k, they are J = the first k of P, X_J = I and R₁⁻¹ R₁₂ elsewhere, so that S (A −
/// A_J X) = Q [0; R₂₂].
///
/// What is left out, without another product. If J was given, row i of Y − Y_J X over 1 − h_i, h_i
/// the i-th diagonal element of the projector on the range of Y_J, is what row i shows of
/// A − A_J X^{(i)}, with X^{(i)} from the other rows, which are independent of it: the mean of the
/// squared norms is unbiased for ‖A − A_J X‖²_F at one row less, for rows with E ωωᴴ = I of any
/// kind. That the same rows chose J makes it 0.9 to 1.3 of the root mean square error. For normal
/// rows E ‖R₂₂‖²_F (d − 1)/((d − k)(d − k − 1)) is the error at all d rows (real): what a search
/// for k uses.
///
/// 2 d n min(d, n) work for the QR, d n k for an estimate and k² n for X; 5 d n wide numbers.
template <Field T>
class SketchSkeleton {
 public:
  using W = WideOf<T>;

  /// `exact`: Y is A itself, not a sketch. m rows of A made the rows of Y.
  SketchSkeleton(const SmallMatrix<W>& Y, bool exact, Index m) : d_(Y.rows), exact_(exact) {
    const Index n = Y.cols, p = std::min(d_, n);
    Q_ = Y;
    R_.resize(p, n);
    order_.resize(static_cast<std::size_t>(n));
    dense::qr_pivoted<W>(Q_.view(), R_.view(), order_);
    left_.assign(static_cast<std::size_t>(p) + 1, 0.0);
    for (Index i = p; i-- > 0;) {
      double row = 0.0;
      for (Index j = i; j < n; ++j) row += std::norm(R_(i, j));
      left_[static_cast<std::size_t>(i)] = left_[static_cast<std::size_t>(i) + 1] + row;
    }
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    const double noise = 4.0 * u * std::sqrt(static_cast<double>(std::max(m, n)));
    while (rank_ < p && std::abs(R_(rank_, rank_)) > noise * std::abs(R_(0, 0))) ++rank_;
  }

  /// Columns that are independent in the working precision.
  Index rank() const { return rank_; }
  std::span<const Index> order() const { return order_; }
  /// Estimate of ‖A‖_F.
  double norm() const { return std::sqrt(left_[0] / (exact_ ? 1.0 : rows())); }

  /// The error of rank k as E ‖R₂₂‖² tells it; infinite unless d ≥ k + 2.
  double expected_error(Index k) const {
    const double R22 = left_[static_cast<std::size_t>(k)];
    if (exact_ || R22 == 0.0) return std::sqrt(R22);
    const double q = rows() - static_cast<double>(k);
    if (ComplexField<T>) return q > 0.0 ? std::sqrt(R22 * rows()) / q : INFINITY;
    return q > 1.0 ? std::sqrt(R22 * (rows() - 1.0) / (q * (q - 1.0))) : INFINITY;
  }

  /// The error of rank k by leaving one row out; exact if Y is A.
  double error(Index k) {
    const double R22 = left_[static_cast<std::size_t>(k)];
    if (exact_ || R22 == 0.0) return std::sqrt(R22);
    const Index n = R_.cols, q = R_.rows - k;
    SmallMatrix<W> rest;
    rest.resize(d_, n - k);
    dense::multiply<W>({&Q_(0, k), d_, q, d_}, {&R_(k, k), q, n - k, R_.rows}, rest.view());
    double sum = 0.0;
    for (Index i = 0; i < d_; ++i) {
      double h = 0.0, row = 0.0;
      for (Index j = 0; j < k; ++j) h += std::norm(Q_(i, j));
      for (Index j = 0; j < n - k; ++j) row += std::norm(rest(i, j));
      // A row that alone spans a direction of Y_J says nothing of the rest.
      if (1.0 - h <= kAlone) return INFINITY;
      sum += row / ((1.0 - h) * (1.0 - h));
    }
    return std::sqrt(sum / rows());
  }

  /// X of k × n.
  void coefficients(BlockView<T> X) {
    const Index k = X.rows, n = R_.cols;
    SmallMatrix<W> B;
    B.resize(k, n - k);
    for (Index j = 0; j < n - k; ++j) {
      for (Index i = 0; i < k; ++i) B(i, j) = R_(i, k + j);
    }
    if (k > 0 && n > k) {
      dense::solve_upper<W>(BlockView<W>{R_.data.data(), k, k, R_.rows}, B.view());
    }
    for (Index j = 0; j < n; ++j) {
      const Index to = order_[at(j)];
      for (Index i = 0; i < k; ++i) {
        X(i, to) = j < k ? static_cast<T>(i == j ? 1.0 : 0.0) : static_cast<T>(B(i, j - k));
      }
    }
  }

 private:
  static constexpr double kAlone = 1e-12;

  double rows() const { return static_cast<double>(d_); }
  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  Index d_, rank_ = 0;
  bool exact_;
  SmallMatrix<W> Q_, R_;
  std::vector<Index> order_;
  std::vector<double> left_;  // Σ of the squares of the rows of R from the k-th
};

}  // namespace ritz
