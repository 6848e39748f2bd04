// Lewis weights and ℓp sensitivities: how much one row can contribute to ‖A x‖_p^p.
//
// Cohen, Peng: ℓp row sampling by Lewis weights. STOC 2015. Woodruff, Yasuda: Sharper bounds for ℓp
// sensitivity sampling. ICML 2023. Munteanu, Omlor: Optimal bounds for ℓp sensitivity sampling via
// ℓ2 augmentation. ICML 2024.
#pragma once

#include "ritz/selection/leverage.hpp"

namespace ritz::selection {

struct LewisOptions {
  /// Converged means max |τ_i / w_i − 1| ≤ tol, τ the leverage scores of W^{1/2 − 1/p} A,
  /// evaluated.
  double tol = 1e-8;
  /// Iterations at most, each a QR factorisation of m n numbers.
  Index max_iterations = 500;
  double rtol = 0.0;
};

struct LewisOutcome {
  Status status = Status::max_iterations;
  Index iterations = 0;
  double residual = 0.0;  ///< max |τ_i / w_i − 1|
  Index rank = 0;
};

namespace detail {

/// scores[i] = leverage score of row i of diag(w^{1/2 − 1/p}) Q, Q a basis.
template <class W>
void scaled_leverage(BlockView<const W> Q, const double* w, double p, double* scores, Look look) {
  const Index m = Q.rows, n = Q.cols;
  // Row scales are powers of the weights, which may lie far apart; the largest is set to one.
  const double power = 0.5 - 1.0 / p;
  double largest = 0.0;
  std::vector<double> factor(at(m), 0.0);
  for (Index i = 0; i < m; ++i) {
    if (w[i] > 0.0) factor[at(i)] = std::pow(w[i], power);
    largest = std::max(largest, factor[at(i)]);
  }
  std::vector<W> scaled(at(m * n));
  const BlockView<W> B{scaled.data(), m, n, m};
  for_each_piece(m, n, look, [&](Index first, Index count) {
    for (Index k = 0; k < n; ++k) {
      for (Index i = first; i < first + count; ++i) B(i, k) = Q(i, k) * (factor[at(i)] / largest);
    }
  });
  tall_qr(B, look);
  row_norms2<W>(B, scores, look);
}

}  // namespace detail

/// The ℓp Lewis weights w of the rows: w_i = leverage score of row i of W^{1/2 − 1/p} A. They sum
/// to the rank of A, and are its leverage scores for p = 2. w holds a start if `warm`.
///
/// w ← (a_iᴴ (AᴴW^{1 − 2/p}A)⁻¹ a_i)^{p/2} = τ^{p/2} w^{1 − p/2}, whose logarithms contract by
/// |1 − p/2| < 1 in the maximum norm for p < 4 (Cohen, Peng). From p = 4 on w ← τ^η w^{1 − η} with
/// η = 2p/(p + 2), which contracts by (p − 2)/(p + 2) next to the solution; no proof is known from
/// afar, and the residual tells. 6 m n² flops an iteration.
template <class W>
LewisOutcome lewis_weights(const Basis<W>& basis, double p, double* w, const LewisOptions& opt = {},
                           const Watch& watch = {}, bool warm = false) {
  const Index m = basis.rows;
  LewisOutcome out;
  out.rank = basis.rank;
  if (!warm) leverage_scores(basis, w, watch.look);
  if (out.rank == 0) return {Status::converged, 0, 0.0, 0};
  const double eta = p < 4.0 ? 0.5 * p : 2.0 * p / (p + 2.0);
  std::vector<double> tau(at(m));
  while (true) {
    detail::scaled_leverage(basis.Q(), w, p, tau.data(), watch.look);
    out.residual = 0.0;
    for (Index i = 0; i < m; ++i) {
      if (w[i] > 0.0) out.residual = std::max(out.residual, std::abs(tau[at(i)] / w[i] - 1.0));
    }
    std::optional<Status> stop;
    if (out.iterations > 0) stop = watch.check(out.iterations, out.residual, w, m);
    if (out.residual <= opt.tol) {
      out.status = Status::converged;
      return out;
    }
    if (out.iterations == opt.max_iterations) return out;
    if (stop) {
      out.status = *stop;
      return out;
    }
    ++out.iterations;
    for (Index i = 0; i < m; ++i) {
      if (w[i] > 0.0) w[i] *= std::pow(tau[at(i)] / w[i], eta);
    }
  }
}

/// Upper bounds of the ℓp sensitivities s_i = max_x |a_i x|^p / ‖A x‖_p^p, exact for p = 2.
///
/// The least of three: 1; from the leverage scores ℓ_i^{p/2}, times m^{p/2 − 1} if p > 2; and from
/// weights w next to the Lewis weights, with ρ_i = τ_i / w_i: ρ w_i, ρ the largest ρ_i, if p < 2,
/// and ρ_i^{p/2} (Σ w)^{p/2 − 1} w_i if p > 2. The last holds for any w, so that no convergence is
/// taken on trust. The bounds for p < 2 sum to n, for p > 2 to n^{p/2} at most.
template <Field T>
LewisOutcome sensitivities(MatrixView<const T> A, double p, double* bounds,
                           const LewisOptions& opt = {}, Look look = {}) {
  const auto basis = orthonormal_basis(A, opt.rtol, look);
  const Index m = A.rows;
  std::vector<double> scores(at(m));
  leverage_scores(basis, scores.data(), look);
  std::copy(scores.begin(), scores.end(), bounds);
  if (p == 2.0 || basis.rank == 0) return {Status::converged, 0, 0.0, basis.rank};
  std::vector<double> w = scores, tau(at(m));
  const LewisOutcome out = lewis_weights(basis, p, w.data(), opt, {.look = look}, true);
  detail::scaled_leverage(basis.Q(), w.data(), p, tau.data(), look);
  double sum = 0.0, worst = 0.0;
  for (Index i = 0; i < m; ++i) {
    sum += w[at(i)];
    if (w[at(i)] > 0.0) worst = std::max(worst, tau[at(i)] / w[at(i)]);
  }
  for (Index i = 0; i < m; ++i) {
    const double by_leverage = std::pow(scores[at(i)], 0.5 * p) *
                               (p > 2.0 ? std::pow(static_cast<double>(m), 0.5 * p - 1.0) : 1.0);
    double by_weights = 0.0;
    if (w[at(i)] > 0.0) {
      by_weights = p < 2.0 ? worst * w[at(i)]
                           : std::pow(tau[at(i)] / w[at(i)], 0.5 * p) *
                                 std::pow(sum, 0.5 * p - 1.0) * w[at(i)];
    }
    bounds[i] = std::min({1.0, by_leverage, by_weights});
  }
  return out;
}

}  // namespace ritz::selection
