// Weighted least squares from selected rows.
#pragma once

#include "ritz/dense/svd.hpp"
#include "ritz/selection/leverage.hpp"

namespace ritz::selection {

struct WeightedSolution {
  Index rank = 0;
  /// Of the Gram matrix A_SᴴW A_S, its columns scaled to about norm one: infinite below full rank.
  double condition = 0.0;
  double residual = 0.0;  ///< √(Σ w_i |a_i x − b_i|²) over the rows and all right-hand sides
};

/// The X of least norm, in the units that scale columns to about norm one, that minimises
/// Σ w_i |a_i X − b_i|² over the s rows of A (s × n) and B (s × k), weights w ≥ 0, by a QR
/// factorisation of √W A and an SVD of R; X is n × k. Singular values below `rtol`, by default
/// max(s, n) eps, times the largest count as zero. O(s n²) flops.
template <Field T>
WeightedSolution weighted_lstsq(MatrixView<const T> A, MatrixView<const T> B, const double* weights,
                                MatrixView<T> X, double rtol = 0.0, Look look = {}) {
  using W = WideOf<T>;
  const Index s = A.rows, n = A.cols, k = B.cols, p = std::min(s, n);
  SmallMatrix<W> M(s, n), Y(s, k);
  // Weights on a scale of their own: only their ratios matter to X.
  const double heaviest = *std::max_element(weights, weights + s);
  std::vector<double> root(at(s));
  for (Index i = 0; i < s; ++i)
    root[at(i)] = heaviest > 0.0 ? std::sqrt(weights[i] / heaviest) : 0.0;
  const std::vector<double> first = column_scales(A, look);
  copy_rows(A, first, 0, M.view());
  for (Index i = 0; i < s; ++i) {
    for (Index j = 0; j < n; ++j) M(i, j) *= root[at(i)];
    for (Index j = 0; j < k; ++j) Y(i, j) = static_cast<W>(B(i, j)) * root[at(i)];
  }
  // Columns of √W A may have become of very different lengths by the weights.
  const auto scales = column_scales(MatrixView<const W>(std::as_const(M).view()), look);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < s; ++i) M(i, j) *= scales[at(j)];
  }
  SmallMatrix<W> Q = M, R(p, n), U(p, p), V(n, p);
  dense::qr(Q.view(), R.view());
  if (look) look();
  std::vector<double> sigma(at(p));
  dense::svd<W>(std::as_const(R).view(), U.view(), sigma, V.view());
  WeightedSolution out;
  while (out.rank < p && sigma[at(out.rank)] > rank_tolerance<T>(s, n, rtol) * sigma[0]) ++out.rank;
  out.condition = out.rank < n ? std::numeric_limits<double>::infinity()
                               : std::pow(sigma[0] / sigma[at(n - 1)], 2);
  SmallMatrix<W> C(p, k), D(p, k), Z(n, k), fit(s, k);
  dense::multiply<W>({Q.data.data(), s, p, s}, std::as_const(Y).view(), C.view(), true);
  dense::multiply<W>(std::as_const(U).view(), std::as_const(C).view(), D.view(), true);
  for (Index j = 0; j < k; ++j) {
    for (Index i = 0; i < p; ++i) {
      D(i, j) = i < out.rank ? D(i, j) / sigma[at(i)] : W{};
    }
  }
  dense::multiply<W>(std::as_const(V).view(), std::as_const(D).view(), Z.view());
  dense::multiply<W>(std::as_const(M).view(), std::as_const(Z).view(), fit.view());
  double sum = 0.0;
  for (std::size_t i = 0; i < fit.data.size(); ++i) sum += std::norm(fit.data[i] - Y.data[i]);
  out.residual = std::sqrt(sum) * std::sqrt(heaviest);
  for (Index j = 0; j < k; ++j) {
    for (Index i = 0; i < n; ++i) {
      X(i, j) = static_cast<T>(Z(i, j) * scales[at(i)] * first[at(i)]);
    }
  }
  return out;
}

}  // namespace ritz::selection
