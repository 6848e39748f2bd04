// Volume sampling: s ≥ n rows S of A with P(S) ∝ det(A_SᴴA_S), and its like with weights.
//
// Dereziński, Warmuth: Reverse iterative volume sampling for linear regression. J. Mach. Learn.
// Res. 19, 2018. Dereziński, Warmuth, Hsu: Leveraged volume sampling for linear regression. NeurIPS
// 2018. Nouy, Michel: Weighted least-squares approximation with determinantal point processes and
// generalized volume sampling. SMAI J. Comput. Math. 11, 2025.
#pragma once

#include <numeric>

#include "ritz/selection/determinantal.hpp"
#include "ritz/selection/leverage.hpp"

namespace ritz::selection {

enum class VolumeMethod : int { reverse, leverage };

struct VolumeOptions {
  /// Rows to draw, from n to m, or with `leverage` any number from n on; 0: n.
  Index size = 0;
  /// `reverse`: s different rows, whose unweighted least squares are unbiased. `leverage`: n rows
  /// by a projection DPP and s − n independent ones by leverage, to be weighted.
  VolumeMethod method = VolumeMethod::reverse;
  /// Draw again until the smallest eigenvalue of the weighted Gram matrix is at least this.
  double least_eigenvalue = 0.0;
  /// Draws at most.
  Index max_draws = 100;
  double rtol = 0.0;
  std::uint64_t seed = 0;
};

struct VolumeOutcome {
  Status status = Status::converged;
  Index draws = 0;
  /// Of G = Σ w_i q_iᴴ q_i over the sample, Q the basis and w_i with E G = I: what the condition of
  /// the least-squares problem depends on.
  double least_eigenvalue = 0.0;
  std::vector<Index> rows;
  std::vector<double> weights;  ///< for least squares: one each for `reverse`
  std::vector<double> scores;   ///< the leverage scores of all rows
};

namespace detail {

/// The rows S of a basis, and Z = (Q_SᴴQ_S)⁻¹.
template <class W>
class Remaining {
 public:
  explicit Remaining(BlockView<const W> Q) : Q_(Q), Z_(Q.cols, Q.cols), v_(at(Q.cols)) {
    rows.resize(at(Q.rows));
    std::iota(rows.begin(), rows.end(), Index{0});
    for (Index k = 0; k < Q.cols; ++k) Z_(k, k) = 1.0;
  }

  Index size() const { return std::ssize(rows); }

  /// 1 − q_i Z q_iᴴ, what det(Q_SᴴQ_S) keeps of itself without row i; leaves Z q_iᴴ in v.
  double share(Index i) {
    const Index r = Q_.cols;
    std::fill(v_.begin(), v_.end(), W{});
    for (Index k = 0; k < r; ++k) {
      const W q = conjugate(Q_(i, k));
      for (Index l = 0; l < r; ++l) v_[at(l)] += Z_(l, k) * q;
    }
    double left = 1.0;
    for (Index k = 0; k < r; ++k) left -= std::real(Q_(i, k) * v_[at(k)]);
    return std::max(left, 0.0);
  }
  /// q_j v
  W along(Index j) const {
    W sum{};
    for (Index k = 0; k < Q_.cols; ++k) sum += Q_(j, k) * v_[at(k)];
    return sum;
  }
  /// Takes out the row at `place`, for which `share` was called last and gave `left`.
  void remove(Index place, double left) {
    rows[at(place)] = rows.back();
    rows.pop_back();
    for (Index k = 0; k < Q_.cols; ++k) {
      const W a = conjugate(v_[at(k)]) / left;
      for (Index l = 0; l < Q_.cols; ++l) Z_(l, k) += v_[at(l)] * a;
    }
  }
  /// Z from its definition.
  void refresh() {
    const Index r = Q_.cols;
    SmallMatrix<W> part(size(), r), R(r, r), inverse(r, r), adjoint(r, r);
    for (Index k = 0; k < r; ++k) {
      for (Index i = 0; i < size(); ++i) part(i, k) = Q_(rows[at(i)], k);
      inverse(k, k) = 1.0;
    }
    dense::qr(part.view(), R.view());
    dense::solve_upper<W>(R.view(), inverse.view());
    for (Index k = 0; k < r; ++k) {
      for (Index l = 0; l < r; ++l) adjoint(l, k) = conjugate(inverse(k, l));
    }
    dense::multiply<W>(inverse.view(), adjoint.view(), Z_.view());
  }

  std::vector<Index> rows;

 private:
  BlockView<const W> Q_;
  SmallMatrix<W> Z_;
  std::vector<W> v_;
};

/// Removes rows one at a time, each with probability ∝ `share`, while more than 2r remain: a row
/// chosen at random is taken with that probability itself, more than every other one. O(r²) a row.
template <class W>
void remove_by_rejection(Remaining<W>& S, Index size, Index r, Draws& draws, Look look) {
  Pace pace(look);
  Index refreshed = S.size();
  while (S.size() > std::max(size, 2 * r)) {
    const Index place = draws.below(S.size());
    const double left = S.share(S.rows[at(place)]);
    if (draws.uniform() < left) S.remove(place, left);
    pace(r * r);
    if (2 * S.size() <= refreshed) {
      S.refresh();
      refreshed = S.size();
      if (look) look();
    }
  }
}

/// Likewise for the last rows, with the shares of all of them at hand. O(r²) a row.
template <class W>
void remove_by_shares(Remaining<W>& S, Index size, Index r, Draws& draws, Look look) {
  Pace pace(look);
  std::vector<double> shares;
  Index refreshed = std::numeric_limits<Index>::max();
  while (S.size() > size) {
    pace((S.size() + r) * r);
    if (2 * (S.size() - r) <= refreshed) {
      S.refresh();
      shares.clear();
      for (const Index i : S.rows) {
        shares.push_back(S.share(i));
        pace(r * r);
      }
      refreshed = S.size() - r;
    }
    double left = draws.uniform() * std::accumulate(shares.begin(), shares.end(), 0.0);
    Index place = 0, last = 0;
    for (; place < S.size(); ++place) {
      if (shares[at(place)] > 0.0) last = place;
      if (left < shares[at(place)]) break;
      left -= shares[at(place)];
    }
    place = place < S.size() ? place : last;
    const double share = S.share(S.rows[at(place)]);
    if (share <= 0.0) {  // rounding let a row through that all others need
      shares[at(place)] = 0.0;
      continue;
    }
    S.remove(place, share);
    shares[at(place)] = shares.back();
    shares.pop_back();
    for (Index i = 0; i < S.size(); ++i) {
      const double next = shares[at(i)] - std::norm(S.along(S.rows[at(i)])) / share;
      shares[at(i)] = std::max(next, 0.0);
    }
  }
}

}  // namespace detail

/// s = `size` different rows with P(S) ∝ det(Q_SᴴQ_S), in increasing order. For s = n by the chain
/// rule of the projection DPP that this is; else rows are removed from all m one after another.
/// O(m n²) flops.
template <class W>
std::vector<Index> sample_volume(BlockView<const W> Q, Index size, std::uint64_t seed,
                                 Index round = 0, Look look = {}) {
  std::vector<Index> rows(at(Q.cols));
  if (size == Q.cols) {
    Draws draws(seed, Purpose::determinantal, round);
    sample_projection_dpp<W>(Q, draws, rows, look);
  } else {
    Draws draws(seed, Purpose::reverse, round);
    detail::Remaining<W> S(Q);
    detail::remove_by_rejection(S, size, Q.cols, draws, look);
    detail::remove_by_shares(S, size, Q.cols, draws, look);
    rows = std::move(S.rows);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

/// n rows by a projection DPP, and then s − n independent ones with probabilities ℓ_i / n.
template <class W>
std::vector<Index> sample_leveraged_volume(BlockView<const W> Q, const std::vector<double>& scores,
                                           Index size, std::uint64_t seed, Index round = 0,
                                           Look look = {}) {
  std::vector<Index> rows(at(Q.cols));
  Draws draws(seed, Purpose::determinantal, round);
  sample_projection_dpp<W>(Q, draws, rows, look);
  detail::Weights weights(Q.rows);
  weights.values = scores;
  for_each_piece(Q.rows, 1, look,
                 [&](Index first, Index count) { weights.sum_piece(first, count); });
  Draws independent(seed, Purpose::independent, round);
  Pace pace(look);
  while (std::ssize(rows) < size) {
    rows.push_back(weights.draw(independent.uniform()));
    pace(kPiece + Q.rows / kPiece);
  }
  return rows;
}

/// Volume sampling of the rows of an A with independent columns. The Gram matrix is weighted by
/// n / (s ℓ_i) for `leverage`, and by one over the probability to be included for `reverse`,
/// (s − n)/(m − n) + (m − s)/(m − n) ℓ_i. A positive `least_eigenvalue` makes the sample better
/// conditioned and its least squares no longer exactly unbiased; `max_iterations` if no draw has
/// reached it, with the best one. O(m n²) flops a draw; memory for m n numbers in double precision.
template <Field T>
VolumeOutcome volume_sampling(MatrixView<const T> A, const VolumeOptions& opt = {},
                              Look look = {}) {
  using W = WideOf<T>;
  const auto basis = full_rank_basis(A, opt.rtol, look, "volume sampling");
  const Index m = A.rows, n = A.cols, s = opt.size > 0 ? opt.size : n;
  const bool reverse = opt.method == VolumeMethod::reverse;
  if (s < n || (reverse && s > m)) {
    throw InvalidArgument("size is " + std::to_string(s) + "; pass at least " + std::to_string(n) +
                          (reverse ? " and at most " + std::to_string(m) : std::string()));
  }
  VolumeOutcome out;
  out.scores.resize(at(m));
  leverage_scores(basis, out.scores.data(), look);
  const auto weight = [&](Index i) {
    const double score = out.scores[at(i)];
    if (!reverse) return static_cast<double>(n) / (static_cast<double>(s) * score);
    if (m == n) return 1.0;
    return static_cast<double>(m - n) /
           (static_cast<double>(s - n) + static_cast<double>(m - s) * score);
  };
  out.status = Status::max_iterations;
  out.least_eigenvalue = -1.0;
  while (out.status != Status::converged && out.draws < std::max<Index>(opt.max_draws, 1)) {
    const Index round = out.draws++;
    auto rows = reverse
                    ? sample_volume<W>(basis.Q(), s, opt.seed, round, look)
                    : sample_leveraged_volume<W>(basis.Q(), out.scores, s, opt.seed, round, look);
    const double least = least_eigenvalue<W>(basis.Q(), rows, weight, look);
    if (look) look();
    if (least >= opt.least_eigenvalue) out.status = Status::converged;
    if (least > out.least_eigenvalue) {
      out.least_eigenvalue = least;
      out.rows = std::move(rows);
    }
  }
  for (const Index i : out.rows) out.weights.push_back(reverse ? 1.0 : weight(i));
  return out;
}

}  // namespace ritz::selection
