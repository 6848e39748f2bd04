// Small Hermitian semidefinite systems, as projections on a few rows make them.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "ritz/dense/cholesky.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/dense/small_matrix.hpp"

namespace ritz {

/// y = G^† t by Cholesky or, where G is nearly singular, by its eigenvalues.
///
/// A Gram matrix has squared the singular values: of eigenvalues below 1e-12 of the largest less
/// than three digits are left, and fewer where G itself has errors beyond those of double
/// precision. The step leaves their directions out, and is a projection all the same.
template <class W>
class GramSolver {
 public:
  enum class Found { definite, semidefinite, indefinite, nonfinite };

  /// `error`: that of the elements of G over the largest of them.
  explicit GramSolver(double error = 0.0) : cutoff_(std::max(1e-12, 10.0 * error)) {}

  /// Reads the lower triangle of G; t becomes y unless G is indefinite or not finite.
  Found solve(const SmallMatrix<W>& G, SmallMatrix<W>& t) {
    const Index d = G.rows;
    for (const W& a : G.data) {
      if (!std::isfinite(std::abs(a))) return Found::nonfinite;
    }
    factor_ = G;
    bool regular = dense::cholesky(factor_.view());
    for (Index j = 0; j < d && regular; ++j) {
      regular = std::norm(factor_(j, j)) > cutoff_ * std::real(G(j, j));
    }
    if (regular) {
      dense::cholesky_solve(BlockView<const W>(std::as_const(factor_).view()), t.view());
      return Found::definite;
    }
    factor_ = G;
    values_.resize(static_cast<std::size_t>(d));
    dense::eigh(factor_.view(), std::span<double>(values_));
    const double bound = cutoff_ * std::max(values_.back(), -values_.front());
    if (values_.front() < -bound) return Found::indefinite;
    y_.resize(d, t.cols);
    for (Index c = 0; c < t.cols; ++c) {
      for (Index k = 0; k < d; ++k) {
        const double value = values_[static_cast<std::size_t>(k)];
        if (!(value > bound)) continue;
        W h{};
        for (Index i = 0; i < d; ++i) h += conjugate(factor_(i, k)) * t(i, c);
        for (Index i = 0; i < d; ++i) y_(i, c) += h / value * factor_(i, k);
      }
    }
    t = y_;
    return Found::semidefinite;
  }

 private:
  double cutoff_;
  SmallMatrix<W> factor_, y_;
  std::vector<double> values_;
};

}  // namespace ritz
