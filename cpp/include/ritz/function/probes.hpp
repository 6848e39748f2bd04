// What the estimators share: random probes, blocks that grow by columns, orthonormal bases that
// grow with them, and means with their standard errors.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/checkpoint.hpp"
#include "ritz/core/error.hpp"
#include "ritz/krylov/block_run.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// Probes of two kinds: E ωωᴴ = I for both.
enum class Probe {
  signs,    ///< ±1: nothing of the diagonal enters a variance
  normals,  ///< standard normals: what a projection leaves of them has a uniform direction
};

/// The streams of one seed that probes of a kind begin at: signs and normals of one stream are made
/// of the same random bits, and the same ones must not serve twice.
enum class ProbeStream : std::uint64_t { first = 0, range = 1, residual = 2 };

/// x = probe i.
template <Space S>
void fill_probe(S& space, Probe kind, RandomKey seed, ProbeStream from, Index i,
                VectorView<typename S::Value> x) {
  const std::uint64_t start = static_cast<std::uint64_t>(from) << 40;
  const RandomKey key{seed.seed, seed.stream + start + static_cast<std::uint64_t>(i)};
  if (kind == Probe::signs) {
    space.random_signs(key, x);
  } else {
    space.random_normal(key, x);
  }
}

/// Columns in a space's memory of which more may be asked for; those that are there stay.
template <Space S>
class GrowingBlock {
 public:
  using T = typename S::Value;

  /// Forgets all columns; the memory is kept if it has room for `cols` columns of n.
  void begin(S& space, Index n, Index cols) {
    const Index each = std::max<Index>(Arena<S>::padded(n), 1);
    arena_.begin(space, each * cols);
    all_ = arena_.block(n, static_cast<Index>(arena_.bytes() / sizeof(T)) / each);
  }
  /// Makes room for `cols` columns in all.
  void reserve(S& space, Index cols) {
    if (cols <= all_.cols) return;
    Arena<S> larger;
    larger.begin(space, Arena<S>::padded(all_.rows) * cols);
    const BlockView<T> block = larger.block(all_.rows, cols);
    for (Index j = 0; j < all_.cols; ++j) space.copy(all_.column(j), block.column(j));
    arena_ = std::move(larger);
    all_ = block;
  }

  /// The memory of the first `count` columns.
  Checkpoint::Part part(const S& space, Index count) const {
    return Checkpoint::columns(space, all_.columns(0, count));
  }
  VectorView<T> column(Index j) const { return all_.column(j); }
  BlockView<T> columns(Index start, Index count) const { return all_.columns(start, count); }
  std::size_t bytes() const { return arena_.bytes(); }

 private:
  Arena<S> arena_;
  BlockView<T> all_;
};

/// Coefficients of projections, on their way to the host.
template <Space S>
class ProjectionSlots {
 public:
  void reserve(S& space, Index count) {
    const Index each = Arena<S>::padded(Arena<S>::slot_elements(count));
    arena_.begin(space, 2 * each);
    first = arena_.slots(count);
    second = arena_.slots(count);
  }
  std::size_t bytes() const { return arena_.bytes(); }

  typename S::Slots first, second;

 private:
  Arena<S> arena_;
};

/// `to` = Vᴴ x on the host, one sweep over V and x.
template <Space S>
void project_to_host(S& space, BlockView<const typename S::Value> V,
                     VectorView<const typename S::Value> x, ProjectionSlots<S>& slots,
                     WideOf<typename S::Value>* to) {
  if (V.cols == 0) return;
  const auto h = slots.first.first(static_cast<std::size_t>(V.cols));
  space.project(V, x, h);
  space.read(h, std::span(to, h.size()));
}

/// rows × cols with what A held in its upper left, zero elsewhere.
template <class W>
void grow(SmallMatrix<W>& A, Index rows, Index cols) {
  SmallMatrix<W> larger;
  larger.resize(rows, cols);
  for (Index j = 0; j < std::min(A.cols, cols); ++j) {
    for (Index i = 0; i < std::min(A.rows, rows); ++i) larger(i, j) = A(i, j);
  }
  A = std::move(larger);
}

/// The factorisation Y = Q R as columns are appended to Y; Q overwrites Y.
template <class W>
struct GrowingQr {
  SmallMatrix<W> R;    ///< upper triangular
  Index rank = 0;      ///< columns of Q
  double dropped = 0;  ///< the norm of what the first dependent column had left; 0 without one
  bool finite = true;

  /// Whether a column of Y turned out to depend on those before it.
  bool deficient() const { return rank < R.cols; }
};

/// Orthonormalises columns [qr.rank, Y.cols) by classical Gram-Schmidt twice, up to the first that
/// depends on those before it to rounding: |R_jj| ≤ k u max |R|. Three sweeps over Q a column.
template <Space S>
void extend_qr(S& space, BlockView<typename S::Value> Y, GrowingQr<WideOf<typename S::Value>>& qr,
               ProjectionSlots<S>& slots) {
  constexpr double u = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  const Index k = Y.cols;
  grow(qr.R, k, k);
  std::vector<WideOf<typename S::Value>> g(static_cast<std::size_t>(k));
  double largest = 0.0;
  for (Index j = 0; j < qr.rank; ++j) largest = std::max(largest, std::abs(qr.R(j, j)));
  for (Index j = qr.rank; j < k; ++j) {
    const auto y = Y.column(j);
    const auto Q = Y.columns(0, j);
    const auto count = static_cast<std::size_t>(j);
    double norm2 = 0.0;
    if (j == 0) {
      norm2 = space.read(space.norm2(y));
    } else {
      const auto h = slots.first.first(count), again = slots.second.first(count);
      space.project(Q, y, h);
      space.read(h, qr.R.column(j).first(count));
      space.subtract_project(Q, h, y, again);
      space.read(again, std::span(g).first(count));
      for (Index i = 0; i < j; ++i) qr.R(i, j) += g[static_cast<std::size_t>(i)];
      norm2 = space.read(space.subtract_norm2(Q, again, y));
    }
    const double norm = std::sqrt(norm2);
    if (!std::isfinite(norm)) {
      qr.finite = false;
      return;
    }
    largest = std::max(largest, norm);
    if (norm <= static_cast<double>(k) * u * largest) {
      qr.dropped = norm;
      return;
    }
    qr.R(j, j) = norm;
    space.scale(1.0 / norm, y);
    qr.rank = j + 1;
  }
}

/// Column i is s_i: the unit vector with s_iᴴ R e_j = 0 for all j ≠ i, so that Q (I − s_i s_iᴴ) Qᴴ
/// projects on the range of Y without its column i.
template <class W>
SmallMatrix<W> leave_one_out_directions(SmallMatrix<W>& R) {
  const Index k = R.cols;
  SmallMatrix<W> S;
  S.resize(k, k);
  for (Index i = 0; i < k; ++i) {
    double norm2 = 0.0;
    for (Index j = i; j < k; ++j) {  // Rᴴ s = e_i, times R_ii lest it overflow
      W sum = j == i ? W{std::real(R(i, i))} : W{};
      for (Index l = i; l < j; ++l) sum -= conjugate(R(l, j)) * S(l, i);
      S(j, i) = sum / conjugate(R(j, j));
      norm2 += std::norm(S(j, i));
    }
    for (Index j = i; j < k; ++j) S(j, i) /= std::sqrt(norm2);
  }
  return S;
}

/// aᴴ b
template <class W>
W inner(std::span<const W> a, std::span<const W> b) {
  W sum{};
  for (std::size_t i = 0; i < a.size(); ++i) sum += conjugate(a[i]) * b[i];
  return sum;
}

/// An estimate and how sure it is.
template <class W>
struct Estimation {
  W value{};
  double sem = INFINITY;     ///< standard error
  double spread = INFINITY;  ///< the same if the samples were independent
  bool exact = false;        ///< up to rounding: the operator has a rank that the probes exhaust
  double variance = 0.0;     ///< of one sample zᴴAz of Hutchinson's, as the same products tell it
};

/// Mean and standard error of samples; the error of one sample is infinite.
template <class W>
Estimation<W> mean_of(std::span<const W> samples) {
  Estimation<W> out;
  const auto count = static_cast<double>(samples.size());
  for (const W& t : samples) out.value += t / count;
  double squares = 0.0;
  for (const W& t : samples) squares += std::norm(t - out.value);
  out.variance = samples.size() > 1 ? squares / (count - 1.0) : INFINITY;
  out.sem = out.spread = std::sqrt(out.variance / count);
  return out;
}

/// Fewer leave-one-out samples than this say too little of their spread.
inline constexpr Index kLeastProbes = 4;

/// How much more the mean of k samples may err than their spread says when that is itself known
/// from few: the variance of Student's t with k − 1 degrees of freedom.
inline double small_sample_factor(Index k) {
  return k > 3 ? static_cast<double>(k - 1) / static_cast<double>(k - 3) : INFINITY;
}

/// The error of a growing estimator, stage by stage, with a target ahead.
class ErrorTrend {
 public:
  /// Whether n products will hardly do, after `spent` that brought the error to `error`, if it goes
  /// on to fall by the same factor for the same number of products. Not asked before an eighth of
  /// n: early stages tell little, and products saved then are few.
  bool hopeless(Index n, Index spent, double error, double target) {
    const double fallen = std::log(error_ / error), to_fall = std::log(error / target);
    const auto p = static_cast<double>(spent), step = static_cast<double>(spent - spent_);
    spent_ = spent;
    error_ = error;
    if (8 * spent < n || error <= 2.0 * target) return false;
    return 2 * spent >= n || !(p + step * to_fall / fallen < static_cast<double>(n)) ||
           fallen <= 0.0;
  }

 private:
  Index spent_ = 0;
  double error_ = INFINITY;
};

}  // namespace ritz
