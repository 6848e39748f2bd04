// Leverage scores: ℓ_i = a_iᴴ (AᴴA)⁺ a_i, the squared row norms of an orthonormal basis of
// range(A).
//
// Drineas, Magdon-Ismail, Mahoney, Woodruff: Fast approximation of matrix coherence and statistical
// leverage. J. Mach. Learn. Res. 13, 2012.
#pragma once

#include "ritz/selection/basis.hpp"
#include "ritz/selection/draws.hpp"
#include "ritz/sketch/sparse_stack.hpp"

namespace ritz::selection {

struct LeverageOptions {
  /// Rows of the sketch; 0: all of A is factored, and the scores are exact to rounding.
  Index sketch = 0;
  /// Random combinations of the columns of A R⁻¹ that stand for all of them; 0: all of them.
  Index probes = 0;
  /// Threshold of the rank, relative to the largest diagonal element of R; 0: max(m, n) eps.
  double rtol = 0.0;
  std::uint64_t seed = 0;
};

/// The scores of the rows of a basis, at most one each.
template <class W>
void leverage_scores(const Basis<W>& basis, double* scores, Look look = {}) {
  row_norms2(basis.Q(), scores, look);
  for (Index i = 0; i < basis.rows; ++i) scores[i] = std::min(scores[i], 1.0);
}

namespace detail {

/// R of a QR factorisation of S A, as far as its columns are independent, and which those are.
template <Field T>
SmallMatrix<WideOf<T>> sketched_triangle(MatrixView<const T> A, const std::vector<double>& scales,
                                         const LeverageOptions& opt, std::vector<Index>& columns) {
  using W = WideOf<T>;
  const Index d = opt.sketch, n = A.cols;
  SmallMatrix<T> Y(d, n);
  SparseStack<T>(d, A.rows, opt.seed).apply_matrix(A, Y.view());
  SmallMatrix<W> SA(d, n), R(std::min(d, n), n);
  copy_rows<T>(MatrixView<const T>(Y.view()), scales, 0, SA.view());
  columns.resize(at(n));
  dense::qr_pivoted<W>(SA.view(), R.view(), columns);
  const double tol = rank_tolerance<T>(d, n, opt.rtol);
  Index rank = 0;
  while (rank < R.rows && std::abs(R(rank, rank)) > tol * std::abs(R(0, 0))) ++rank;
  columns.resize(at(rank));
  SmallMatrix<W> leading(rank, rank);
  for (Index j = 0; j < rank; ++j) std::copy_n(&R(0, j), j + 1, &leading(0, j));
  return leading;
}

/// R⁻¹ G, with G of independent normals of variance 1/k.
template <class W>
SmallMatrix<W> sketched_probes(const SmallMatrix<W>& R, Index k, std::uint64_t seed) {
  SmallMatrix<W> M(R.rows, k);
  philox::normals<W>(seed, stream(Purpose::probes), 0, R.rows * k, M.data.data());
  for (W& g : M.data) g /= std::sqrt(static_cast<double>(k));
  dense::solve_upper<W>(R.view(), M.view());
  return M;
}

}  // namespace detail

/// scores[i] = ‖a_i R⁻¹ G‖² with R from a QR factorisation of S A, S a SparseStack of `sketch`
/// rows, and G of `probes` columns of normals, or G = I. With G = I each score is within [1/(1 +
/// ε)², 1/(1 − ε)²] of the leverage score where S keeps all norms of range(A) to 1 ± ε, ε ≈ √(n /
/// sketch); G adds a relative standard deviation of √(2 / probes), √(1 / probes) for a complex A.
/// Returns the rank of S A. O(m n probes + sketch n²) flops, with G = I O(m n²).
template <Field T>
Index sketched_leverage_scores(MatrixView<const T> A, double* scores, const LeverageOptions& opt,
                               Look look = {}) {
  using W = WideOf<T>;
  const std::vector<double> scales = column_scales(A, look);
  std::vector<Index> columns;
  const SmallMatrix<W> R = detail::sketched_triangle(A, scales, opt, columns);
  if (look) look();
  const Index rank = R.rows;
  const SmallMatrix<W> M =
      opt.probes > 0 ? detail::sketched_probes(R, opt.probes, opt.seed) : SmallMatrix<W>();
  for_each_piece(A.rows, A.cols * std::max(M.cols, rank), look, [&](Index first, Index count) {
    SmallMatrix<W> rows(rank, count);  // aᴴ as columns
    for (Index j = 0; j < rank; ++j) {
      const Index c = columns[at(j)];
      for (Index i = 0; i < count; ++i) {
        rows(j, i) = conjugate(static_cast<W>(A(first + i, c)) * scales[at(c)]);
      }
    }
    if (opt.probes > 0) {
      SmallMatrix<W> products(M.cols, count);
      dense::multiply<W>(M.view(), std::as_const(rows).view(), products.view(), true);
      rows = std::move(products);
    } else {
      dense::solve_upper<W>(R.view(), rows.view(), true);
    }
    for (Index i = 0; i < count; ++i) {
      double sum = 0.0;
      for (Index j = 0; j < rows.rows; ++j) sum += std::norm(rows(j, i));
      scores[first + i] = sum;
    }
  });
  return rank;
}

/// The leverage scores of the rows of A, exact or sketched as the options say; returns the rank.
template <Field T>
Index leverage_scores(MatrixView<const T> A, double* scores, const LeverageOptions& opt = {},
                      Look look = {}) {
  if (opt.sketch > 0) return sketched_leverage_scores(A, scores, opt, look);
  const auto basis = orthonormal_basis(A, opt.rtol, look);
  leverage_scores(basis, scores, look);
  return basis.rank;
}

}  // namespace ritz::selection
