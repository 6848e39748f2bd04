// k columns C of A for which ‖A − P_C A‖_F is next to the error of the best rank-k approximation.
//
// Deshpande, Rademacher, Vempala, Wang: Matrix approximation and projective clustering via volume
// sampling. Theory Comput. 2, 2006. Kulesza, Taskar: k-DPPs: fixed-size determinantal point
// processes. ICML 2011.
#pragma once

#include "ritz/dense/svd.hpp"
#include "ritz/selection/determinantal.hpp"

namespace ritz::selection {

enum class SubsetMethod : int { volume, leverage, pivoted_qr };

struct SubsetOptions {
  /// `volume`: P(C) ∝ det(A_CᴴA_C), E ‖A − P_C A‖_F² ≤ (k + 1) ‖A − A_k‖_F². `leverage`: the
  /// projection DPP of the first k right singular vectors. `pivoted_qr`: the first k pivots.
  SubsetMethod method = SubsetMethod::volume;
  std::uint64_t seed = 0;
};

struct SubsetOutcome {
  std::vector<Index> columns;
  std::vector<double> scores;  ///< leverage scores of all columns in the first k singular vectors
  double error = 0.0;          ///< ‖A − P_C A‖_F, evaluated
  double best = 0.0;           ///< ‖A − A_k‖_F
  double norm = 0.0;           ///< ‖A‖_F
};

namespace detail {

/// log(eᵃ + eᵇ)
inline double log_add(double a, double b) {
  const double high = std::max(a, b), low = std::min(a, b);
  return std::isinf(high) ? high : high + std::log1p(std::exp(low - high));
}

/// k of the eigenvectors of values λ, J with probability ∝ Π_{j ∈ J} λ_j: by the elementary
/// symmetric polynomials of the first values, E_l(n) = E_l(n − 1) + λ_n E_{l−1}(n − 1), in
/// logarithms, since they leave the range of doubles at a few hundred values.
inline std::vector<Index> sample_eigenvectors(std::span<const double> log_values, Index k,
                                              Draws& draws, Look look = {}) {
  const Index n = std::ssize(log_values);
  SmallMatrix<double> E(k + 1, n + 1);
  std::fill(E.data.begin(), E.data.end(), -std::numeric_limits<double>::infinity());
  for (Index j = 0; j <= n; ++j) E(0, j) = 0.0;
  Pace pace(look);
  for (Index j = 1; j <= n; ++j) {
    pace(kPiece * k);  // of logarithms
    for (Index l = 1; l <= std::min(k, j); ++l) {
      E(l, j) = log_add(E(l, j - 1), log_values[at(j - 1)] + E(l - 1, j - 1));
    }
  }
  std::vector<Index> chosen;
  Index left = k;
  for (Index j = n; j > 0 && left > 0; --j) {
    const double share = std::exp(log_values[at(j - 1)] + E(left - 1, j - 1) - E(left, j));
    if (left == j || draws.uniform() < share) {
      chosen.push_back(j - 1);
      --left;
    }
  }
  return chosen;
}

/// ‖R − P R‖_F for the projector P onto some of its columns.
template <class W>
double projection_error(const SmallMatrix<W>& R, const std::vector<Index>& columns, Look look) {
  const Index k = std::ssize(columns);
  SmallMatrix<W> C(R.rows, k), triangle(std::min(R.rows, k), k);
  for (Index j = 0; j < k; ++j) std::copy_n(&R(0, columns[at(j)]), R.rows, &C(0, j));
  dense::qr(C.view(), triangle.view());
  if (look) look();
  SmallMatrix<W> H(k, R.cols), P(R.rows, R.cols);
  multiply<W>(std::as_const(C).view(), R.view(), H.view(), true, look);
  multiply<W>(std::as_const(C).view(), std::as_const(H).view(), P.view(), false, look);
  double sum = 0.0;
  for (std::size_t i = 0; i < R.data.size(); ++i) sum += std::norm(R.data[i] - P.data[i]);
  return std::sqrt(sum);
}

/// A matrix with the singular values and right vectors of A / scale: A as it is, or its R. The
/// scale is one power of two for all columns, whose lengths matter here.
template <Field T>
SmallMatrix<WideOf<T>> compressed(MatrixView<const T> A, double& scale, Look look) {
  column_scales(A, look);  // its elements are finite
  double largest = 0.0;
  Pace pace(look);
  for (Index j = 0; j < A.cols; ++j) {
    for (Index i = 0; i < A.rows; ++i) largest = std::max(largest, magnitude(A(i, j)));
    pace(A.rows);
  }
  scale = largest > 0.0 ? std::ldexp(1.0, std::max(std::ilogb(largest), -1022)) : 1.0;
  SmallMatrix<WideOf<T>> B(A.rows, A.cols);
  const std::vector<double> scales(at(A.cols), 1.0 / scale);
  for_each_piece(A.rows, A.cols, look, [&](Index first, Index count) {
    copy_rows(A, scales, first, BlockView<WideOf<T>>{&B(first, 0), count, B.cols, B.rows});
  });
  return A.rows > A.cols ? tall_qr(B.view(), look) : B;
}

}  // namespace detail

/// k columns of A, k at most its numerical rank, and the error of projecting A onto them. An SVD of
/// min(m, n) × n numbers after one factorisation of A: O(m n²) flops if m ≥ n.
template <Field T>
SubsetOutcome column_subset(MatrixView<const T> A, Index k, const SubsetOptions& opt = {},
                            Look look = {}) {
  using W = WideOf<T>;
  const Index n = A.cols;
  double scale = 1.0;
  const SmallMatrix<W> R = detail::compressed(A, scale, look);
  if (look) look();
  const Index p = std::min(R.rows, n);
  SmallMatrix<W> U(R.rows, p), V(n, p);
  std::vector<double> s(at(p));
  dense::svd<W>(R.view(), U.view(), s, V.view());
  if (look) look();
  Index rank = 0;
  while (rank < p && s[at(rank)] > rank_tolerance<T>(A.rows, n, 0.0) * s[0]) ++rank;
  if (k < 1 || k > rank) {
    throw InvalidArgument("k is " + std::to_string(k) + ", and A has numerical rank " +
                          std::to_string(rank) + "; pass 1 ≤ k ≤ " + std::to_string(rank));
  }
  SubsetOutcome out;
  out.scores.resize(at(n));
  const BlockView<const W> first = std::as_const(V).view().columns(0, k);
  row_norms2(first, out.scores.data());
  out.columns.resize(at(k));
  Draws draws(opt.seed, Purpose::determinantal);
  if (opt.method == SubsetMethod::leverage) {
    sample_projection_dpp<W>(first, draws, out.columns, look);
  } else if (opt.method == SubsetMethod::volume) {
    std::vector<double> log_values;
    for (Index j = 0; j < rank; ++j) log_values.push_back(2.0 * std::log(s[at(j)] / s[0]));
    Draws choice(opt.seed, Purpose::eigenvectors);
    const auto chosen = detail::sample_eigenvectors(log_values, k, choice, look);
    SmallMatrix<W> part(n, k);
    for (Index j = 0; j < k; ++j) std::copy_n(&V(0, chosen[at(j)]), n, &part(0, j));
    sample_projection_dpp<W>(std::as_const(part).view(), draws, out.columns, look);
  } else {
    SmallMatrix<W> work = R, triangle(p, n);
    std::vector<Index> order(at(n));
    dense::qr_pivoted<W>(work.view(), triangle.view(), order);
    std::copy_n(order.begin(), k, out.columns.begin());
  }
  if (opt.method != SubsetMethod::pivoted_qr) std::sort(out.columns.begin(), out.columns.end());
  out.error = scale * detail::projection_error(R, out.columns, look);
  for (Index j = p; j-- > 0;) {
    out.norm += s[at(j)] * s[at(j)];
    if (j == k) out.best = scale * std::sqrt(out.norm);
  }
  out.norm = scale * std::sqrt(out.norm);
  return out;
}

}  // namespace ritz::selection
