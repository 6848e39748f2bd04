// Projection determinantal point processes: r rows S of an orthonormal V with P(S) = |det V_S|².
//
// Hough, Krishnapur, Peres, Virág: Determinantal processes and independence. Probab. Surveys 3,
// 2006. Gautier, Polito, Bardenet, Valko: DPPy: DPP sampling with Python. J. Mach. Learn. Res. 20,
// 2019.
#pragma once

#include <span>

#include "ritz/dense/eigh.hpp"
#include "ritz/selection/basis.hpp"
#include "ritz/selection/draws.hpp"

namespace ritz::selection {

namespace detail {

/// The weights of the rows that may still be chosen, with their sums by pieces.
class Weights {
 public:
  explicit Weights(Index m) : values(at(m)), sums_(at((m + kPiece - 1) / kPiece)) {}

  /// To be called for each piece whose values have changed.
  void sum_piece(Index first, Index count) {
    double sum = 0.0;
    for (Index i = first; i < first + count; ++i) sum += values[at(i)];
    sums_[at(first / kPiece)] = sum;
  }
  double total() const {
    double sum = 0.0;
    for (const double s : sums_) sum += s;
    return sum;
  }
  /// Row i with probability values[i] / total(): the actual sum, not what it would be without
  /// rounding. −1 if no weight is left.
  Index draw(double uniform) const {
    double left = uniform * total();
    Index last = -1;
    for (Index p = 0; p < std::ssize(sums_); ++p) {
      if (left >= sums_[at(p)] && p + 1 < std::ssize(sums_)) {
        left -= sums_[at(p)];
        continue;
      }
      const Index end = std::min((p + 1) * kPiece, std::ssize(values));
      for (Index i = p * kPiece; i < end; ++i) {
        if (values[at(i)] <= 0.0) continue;
        last = i;
        if (left < values[at(i)]) return i;
        left -= values[at(i)];
      }
      // Rounding has gone past the end of the piece: its last row, or else the next one there is.
      if (last >= 0) return last;
    }
    for (Index i = std::ssize(values); i-- > 0;) {
      if (values[at(i)] > 0.0) return i;
    }
    return -1;
  }

  std::vector<double> values;

 private:
  std::vector<double> sums_;
};

/// w = x less its components in the first k columns of the orthonormal E, twice; returns ‖w‖.
template <class W>
double orthogonalize(const SmallMatrix<W>& E, Index k, W* x) {
  for (int pass = 0; pass < 2; ++pass) {
    for (Index j = 0; j < k; ++j) {
      W h{};
      for (Index i = 0; i < E.rows; ++i) h += conjugate(E(i, j)) * x[i];
      for (Index i = 0; i < E.rows; ++i) x[i] -= h * E(i, j);
    }
  }
  double sum = 0.0;
  for (Index i = 0; i < E.rows; ++i) sum += std::norm(x[i]);
  return std::sqrt(sum);
}

}  // namespace detail

/// Draws rows.size() = V.cols rows of V, whose columns are orthonormal to rounding, in the order of
/// the chain rule; returns log |det V_S|², the log-probability of the set.
///
/// Step t takes row i with probability ∝ ‖v_i‖² less what lies in the span of the rows taken; these
/// are orthonormalised in the r-dimensional space of the rows, so that errors do not build up along
/// the chain, and what is negative by rounding counts as zero. One pass over V a step: 2 m r² flops
/// altogether; memory for m + r² numbers.
template <class W>
double sample_projection_dpp(BlockView<const W> V, Draws& draws, std::span<Index> rows,
                             Look look = {}) {
  const Index m = V.rows, r = V.cols;
  detail::Weights residual(m);
  row_norms2(V, residual.values.data(), look);
  for_each_piece(m, 1, look, [&](Index first, Index count) { residual.sum_piece(first, count); });
  SmallMatrix<W> E(r, r);
  double log_probability = 0.0;
  Pace pace(look);
  for (Index t = 0; t < r; ++t) {
    const Index chosen = residual.draw(draws.uniform());
    if (chosen < 0) {
      throw InvalidArgument("V has fewer than " + std::to_string(r) +
                            " independent rows; pass a V with orthonormal columns");
    }
    rows[at(t)] = chosen;
    W* e = &E(0, t);
    for (Index k = 0; k < r; ++k) e[k] = V(chosen, k);
    const double norm = detail::orthogonalize(E, t, e);
    log_probability += 2.0 * std::log(norm);
    for (Index k = 0; k < r; ++k) e[k] /= norm;
    residual.values[at(chosen)] = 0.0;
    for_each_piece(m, r, look, [&](Index first, Index count) {
      W c[kPiece];
      times_conjugate(V, first, count, e, c);
      double* left = &residual.values[at(first)];
      for (Index i = 0; i < count; ++i) {
        const double value = left[i] - std::norm(c[i]);
        left[i] = value > 0.0 ? value : 0.0;
      }
      residual.sum_piece(first, count);
    });
    pace((m + t) * r);
  }
  return log_probability;
}

/// The largest |VᴴV − I|.
template <class W>
double orthogonality_defect(BlockView<const W> V, Look look = {}) {
  SmallMatrix<W> G(V.cols, V.cols);
  multiply<W>(V, V, G.view(), true, look);
  double worst = 0.0;
  for (Index j = 0; j < V.cols; ++j) {
    for (Index i = 0; i < V.cols; ++i) {
      const double off = std::abs(G(i, j) - (i == j ? 1.0 : 0.0));
      worst = off <= worst ? worst : off;
    }
  }
  return worst;
}

/// The smallest eigenvalue of Σ w_i q_iᴴ q_i over rows that may repeat.
template <class W, class Weight>
double least_eigenvalue(BlockView<const W> Q, const std::vector<Index>& rows, const Weight& weight,
                        Look look = {}) {
  const Index r = Q.cols;
  SmallMatrix<W> part(std::ssize(rows), r), G(r, r);
  Pace pace(look);
  for (Index i = 0; i < part.rows; ++i) {
    const double root = std::sqrt(weight(rows[at(i)]));
    for (Index k = 0; k < r; ++k) part(i, k) = root * Q(rows[at(i)], k);
    pace(r);
  }
  multiply<W>(std::as_const(part).view(), std::as_const(part).view(), G.view(), true, look);
  std::vector<double> values(at(r));
  dense::eigh(G.view(), values);
  return std::max(values[0], 0.0);
}

struct DppOptions {
  /// Independent samples, one after another.
  Index repeats = 1;
  double rtol = 0.0;
  std::uint64_t seed = 0;
};

struct DppOutcome {
  Index rank = 0;
  std::vector<Index> rows;      ///< `repeats` samples of `rank` rows, as drawn
  std::vector<double> weights;  ///< 1 / (repeats ℓ_i): then E Σ w_i q_iᴴ q_i = I
  std::vector<double> scores;   ///< ℓ_i of all rows, the probability of each to be in a sample
  std::vector<double> log_probability;  ///< of each sample, as a set
  double defect = 0.0;                  ///< max |VᴴV − I| of what came in
  double least_eigenvalue = 0.0;        ///< of Σ w_i q_iᴴ q_i
};

/// Samples of the projection DPP of the range of V. A V whose columns are orthonormal to √eps is
/// taken as it is, with its rounding; for any other one an orthonormal basis of its range is, as
/// samples depend on the range alone, and they have as many rows as V has rank. 2 m n² flops to
/// look at V, 6 m n² for a basis, 2 m n² a sample; memory for m n numbers in double precision.
template <Field T>
DppOutcome projection_dpp(MatrixView<const T> V, const DppOptions& opt = {}, Look look = {}) {
  using W = WideOf<T>;
  const Index m = V.rows, n = V.cols;
  Basis<W> basis{m, n, n, std::vector<double>(at(n), 1.0), std::vector<W>(at(m * n)), {}};
  for_each_piece(m, n, look, [&](Index first, Index count) {
    copy_rows(V, basis.scales, first, BlockView<W>{basis.q.data() + first, count, n, m});
  });
  DppOutcome out;
  out.defect = orthogonality_defect<W>(basis.Q(), look);
  if (!(out.defect <= std::sqrt(std::numeric_limits<double>::epsilon()))) {
    basis = orthonormal_basis(V, opt.rtol, look, "V");
  }
  const Index r = out.rank = basis.rank;
  out.scores.resize(at(m));
  row_norms2<W>(basis.Q(), out.scores.data(), look);
  for (double& score : out.scores) score = std::min(score, 1.0);
  out.rows.resize(at(opt.repeats * r));
  for (Index k = 0; k < opt.repeats; ++k) {
    Draws draws(opt.seed, Purpose::determinantal, k);
    out.log_probability.push_back(sample_projection_dpp<W>(
        basis.Q(), draws, std::span(out.rows).subspan(at(k * r), at(r)), look));
    if (look) look();
  }
  const auto weight = [&](Index i) {
    return 1.0 / (static_cast<double>(opt.repeats) * out.scores[at(i)]);
  };
  for (const Index i : out.rows) out.weights.push_back(weight(i));
  if (r > 0) out.least_eigenvalue = least_eigenvalue<W>(basis.Q(), out.rows, weight, look);
  return out;
}

}  // namespace ritz::selection
