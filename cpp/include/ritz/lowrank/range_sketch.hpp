// An orthonormal basis of what random vectors show of the range of A, block by block.
//
// Halko, Martinsson, Tropp: Finding structure with randomness: probabilistic algorithms for
// constructing approximate matrix decompositions. SIAM Review 53, 2011. The leave-one-out error:
// Epperly, Tropp: Efficient error and variance estimation for randomized matrix computations. SIAM
// J. Sci. Comput. 46, 2024.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ritz/dense/qr.hpp"
#include "ritz/function/probes.hpp"
#include "ritz/lowrank/block_orthogonalize.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// Refers to an operator and counts the columns that it multiplies.
template <class T, class Op>
class CountedColumns {
 public:
  explicit CountedColumns(const Op& A) : A_(A) {}
  Index rows() const { return A_.rows(); }
  Index cols() const { return A_.cols(); }
  void apply(BlockView<const T> X, BlockView<T> Y) {
    (X.cols > 1 ? counts.columns : counts.apply) += X.cols;
    if (X.cols == 0) return;
    ++passes;
    apply_columns(A_, X, Y);
  }
  void apply_adjoint(BlockView<const T> X, BlockView<T> Y) {
    (X.cols > 1 ? counts.columns : counts.adjoint) += X.cols;
    if (X.cols == 0) return;
    ++passes;
    apply_adjoint_columns(A_, X, Y);
  }

  Counts counts;
  Index passes = 0;  ///< block products

 private:
  const Op& A_;
};

/// Column i is the unit vector that R_q ⋯ R_0 takes no column but i to: with R_q ⋯ R_0 the factors
/// that made the basis Q of sketched columns, Q (I − s_i s_iᴴ) Qᴴ projects on what is left without
/// column i. Solved factor by factor: their product may have no digit of its small directions.
template <class W>
SmallMatrix<W> left_out_directions(std::vector<SmallMatrix<W>>& factors) {
  SmallMatrix<W> directions;
  for (SmallMatrix<W>& R : factors) {
    const Index b = R.cols;
    if (directions.cols == 0) {
      directions.resize(b, b);
      for (Index i = 0; i < b; ++i) directions(i, i) = 1.0;
    }
    SmallMatrix<W> Q = R, U, turned;  // R = Q U
    U.resize(b, b);
    dense::qr<W>(Q.view(), U.view());
    dense::solve_upper<W>(U.view(), directions.view(), true);
    turned.resize(b, b);
    dense::multiply<W>(Q.view(), directions.view(), turned.view());
    for (Index i = 0; i < b; ++i) {
      double largest = 0.0, norm2 = 0.0;
      for (const W x : turned.column(i)) largest = std::max(largest, std::abs(x));
      for (W& x : turned.column(i)) norm2 += std::norm(x /= largest);
      for (W& x : turned.column(i)) x /= std::sqrt(norm2);
    }
    directions = std::move(turned);
  }
  return directions;
}

/// What one block of a sketch tells of the error of the basis.
struct RangeError {
  /// The mean of ‖(I − Q₋ᵢQ₋ᵢᴴ) A ωᵢ‖² over the block's columns i, Q₋ᵢ the basis without column i:
  /// of expectation E ‖A − QQᴴA‖_F² for the basis with one column less.
  double squared = 0.0;
  double stderr_ = 0.0;    ///< standard error of `squared`, its samples taken as independent
  double captured = 0.0;   ///< the mean of ‖A ωᵢ‖²: of expectation ‖A‖_F²
  bool exhausted = false;  ///< the block had no b directions more: to rounding, Q has all of A
};

/// Q of m rows, extended by blocks of b columns (A Aᴴ)^q A Ω, with a normalisation after every
/// product. (2q + 1) b products a block; beside them 8 b m operations for each column of Q, and
/// (2q + 1) · 8 b² (m + n). Memory: Q, b vectors of n, with q > 0 b more of m.
template <Space S, class Op>
class RangeSketch {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  RangeSketch(S& space, CountedColumns<T, Op>& A, std::uint64_t seed, Index capacity)
      : s_(space), A_(A), seed_(seed), orthogonalize_(space) {
    Q_.begin(space, A.rows(), capacity);
  }

  Index rank() const { return rank_; }
  bool finite() const { return finite_; }
  const RangeError& error() const { return error_; }
  BlockView<T> basis() { return Q_.columns(0, rank_); }
  /// s_i of the last block, and its samples, of which `error().squared` is the mean.
  SmallMatrix<W>& directions() { return directions_; }
  const std::vector<double>& samples() const { return samples_; }
  /// The largest ‖A q‖ of a unit vector seen.
  double scale() const { return scale_; }

  /// Appends what A Z adds to the range, for orthonormal Z: A Z = [Q Q₊] [H; R].
  BlockFactors<W> append_product(BlockView<T> Z) {
    Q_.reserve(s_, rank_ + Z.cols);
    const BlockView<T> X = Q_.columns(rank_, Z.cols);
    multiply(Z, X);
    auto made = orthogonalize_(basis(), X, scale_);
    scale_ = std::max(scale_, orthogonalize_.largest_column());
    finite_ = finite_ && made.finite;
    rank_ += made.rank;
    return made;
  }

  /// Appends up to b columns; returns how many.
  Index extend(Index b, Index q) {
    const Index before = rank_, m = A_.rows(), n = A_.cols();
    Q_.reserve(s_, before + b);
    work_.begin(s_, Arena<S>::padded(n) * b + (q > 0 ? Arena<S>::padded(m) * b : 0));
    const BlockView<T> Z = work_.block(n, b), Qb = Q_.columns(before, b);
    for (Index j = 0; j < b; ++j) {
      s_.random_normal({seed_, kStream | static_cast<std::uint64_t>(drawn_ + j)}, Z.column(j));
    }
    drawn_ += b;
    multiply(Z, Qb);
    BlockView<T> P;
    if (q > 0) {
      P = work_.block(m, b);
      for (Index j = 0; j < b; ++j) s_.copy(Qb.column(j), P.column(j));
    }
    double squares = 0.0;
    for (Index j = 0; j < b; ++j) squares += s_.read(s_.norm2(Qb.column(j)));
    error_ = {};
    error_.captured = squares / static_cast<double>(b);
    const double size = std::sqrt(static_cast<double>(n)) * scale_;
    factors_.clear();
    Index r = normalise(Q_.columns(0, before), Qb, size);
    for (Index i = 0; i < q && r > 0 && finite_; ++i) {
      multiply_adjoint(Q_.columns(before, r), Z.columns(0, r));
      r = normalise({}, Z.columns(0, r), 0.0);
      if (r == 0 || !finite_) break;
      multiply(Z.columns(0, r), Q_.columns(before, r));
      r = normalise(Q_.columns(0, before), Q_.columns(before, r), scale_);
    }
    rank_ = before + r;
    error_.exhausted = r < b;
    if (finite_ && !error_.exhausted) measure(before, P);
    return r;
  }

 private:
  static constexpr std::uint64_t kStream = std::uint64_t{0x20} << 56;

  void multiply(BlockView<T> X, BlockView<T> Y) { A_.apply(BlockView<const T>(X), Y); }
  void multiply_adjoint(BlockView<T> X, BlockView<T> Y) {
    A_.apply_adjoint(BlockView<const T>(X), Y);
  }
  Index normalise(BlockView<const T> V, BlockView<T> X, double scale) {
    auto made = orthogonalize_(V, X, scale);
    finite_ = finite_ && made.finite;
    // The columns of every product but the first are those of A times unit vectors.
    if (!factors_.empty()) scale_ = std::max(scale_, orthogonalize_.largest_column());
    factors_.push_back(std::move(made.R));
    return made.rank;
  }

  void measure(Index before, BlockView<T> P) {
    const Index b = rank_ - before;
    const auto count = static_cast<double>(b);
    SmallMatrix<W> R = factors_[0];
    directions_ = left_out_directions(factors_);
    SmallMatrix<W> C;  // Qᴴ AΩ, of the last block's rows
    samples_.assign(static_cast<std::size_t>(b), 0.0);
    if (P.cols == 0) {
      C = std::move(R);
    } else {
      const SmallMatrix<W> all = orthogonalize_.project_out(basis(), P);
      C.resize(b, b);
      for (Index j = 0; j < b; ++j) {
        for (Index i = 0; i < b; ++i) {
          C(i, j) = all.data[static_cast<std::size_t>(before + i + j * rank_)];
        }
        samples_[static_cast<std::size_t>(j)] = s_.read(s_.norm2(P.column(j)));
      }
    }
    double sum = 0.0, squares = 0.0;
    for (Index i = 0; i < b; ++i) {
      double& sample = samples_[static_cast<std::size_t>(i)];
      sample += std::norm(inner<W>(directions_.column(i), C.column(i)));
      sum += sample;
    }
    error_.squared = sum / count;
    for (const double sample : samples_) squares += std::pow(sample - error_.squared, 2);
    error_.stderr_ = b > 1 ? std::sqrt(squares / (count - 1.0) / count) : INFINITY;
  }

  S& s_;
  CountedColumns<T, Op>& A_;
  std::uint64_t seed_;
  BlockOrthogonalizer<S> orthogonalize_;
  GrowingBlock<S> Q_;
  Arena<S> work_;
  Index rank_ = 0, drawn_ = 0;
  double scale_ = 0.0;
  bool finite_ = true;
  RangeError error_;
  std::vector<SmallMatrix<W>> factors_;
  SmallMatrix<W> directions_;
  std::vector<double> samples_;
};

}  // namespace ritz
