// Orthonormal bases X and Y of the block Krylov spaces of A Aᴴ and Aᴴ A, with what A is between
// them.
//
// Golub, Luk, Overton: A block Lanczos method for computing the singular values and corresponding
// singular vectors of a matrix. ACM Trans. Math. Softw. 7, 1981; Musco, Musco: Randomized block
// Krylov methods for stronger and faster approximate singular value decomposition. NIPS 2015.
#pragma once

#include "ritz/dense/svd.hpp"
#include "ritz/lowrank/range_sketch.hpp"

namespace ritz {

/// Aᴴ X = Y T and A Y = X S, as far as X and Y have been multiplied. Every block is orthogonalised
/// against all before it, and T and S keep all coefficients, not only those of the band that they
/// are in exact arithmetic: no product is made twice, and blocks may be appended from elsewhere.
///
/// A step of b columns: b products, 16 b (columns so far) operations a row, and the memory of its
/// block.
template <Space S, class Op>
class BlockKrylov {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  BlockKrylov(S& space, CountedColumns<T, Op>& A, std::uint64_t seed, Index capacity)
      : s_(space), A_(A), sketch_(space, A, seed, capacity), orthogonalize_(space) {
    Y_.begin(space, A.cols(), capacity);
  }

  RangeSketch<S, Op>& sketch() { return sketch_; }
  Index left() const { return sketch_.rank(); }
  Index right() const { return right_; }
  /// Columns of Y that have not been multiplied by A.
  Index pending() const { return right_ - S_.cols; }
  bool finite() const { return finite_ && sketch_.finite(); }
  BlockView<T> X() { return sketch_.basis(); }
  BlockView<T> Y() { return Y_.columns(0, right_); }

  /// ‖T‖_F², which is ‖XᴴA‖_F².
  double captured() const {
    double sum = 0.0;
    for (const W t : T_.data) sum += std::norm(t);
    return sum;
  }
  SmallMatrix<W>& adjoint_coefficients() { return T_; }

  /// Multiplies the columns of X that are new by Aᴴ.
  void adjoint_step() {
    const Index x = left(), b = x - T_.cols;
    Y_.reserve(s_, right_ + b);
    const BlockView<T> Z = Y_.columns(right_, b);
    A_.apply_adjoint(BlockView<const T>(X().columns(T_.cols, b)), Z);
    auto made = orthogonalize_(Y(), Z, std::max(scale_, sketch_.scale()));
    finite_ = finite_ && made.finite;
    scale_ = std::max(scale_, orthogonalize_.largest_column());
    append(T_, made);
    right_ += made.rank;
  }

  /// Multiplies the columns of Y that are new by A; returns how many columns X gained.
  Index forward_step() {
    const Index b = right_ - S_.cols;
    auto made = sketch_.append_product(Y_.columns(S_.cols, b));
    append(S_, made);
    return made.rank;
  }

  /// T = Û diag(σ) V̂ᴴ: A ≈ (X V̂) diag(σ) (Y Û)ᴴ, exactly XXᴴA.
  void decompose() {
    const Index least = std::min(T_.rows, T_.cols);
    U_.resize(T_.rows, least);
    V_.resize(T_.cols, least);
    sigma.assign(static_cast<std::size_t>(least), 0.0);
    if (least > 0) dense::svd<W>(T_.view(), U_.view(), sigma, V_.view());
  }
  /// Whether all of Y that the decomposition is made of has been multiplied by A.
  bool measured() const { return S_.cols == U_.rows; }
  /// ‖A v − σ u‖ of triplet i of the decomposition, once `measured`.
  double residual(Index i) {
    const Index rows = S_.rows;
    double sum = 0.0;
    for (Index r = 0; r < rows; ++r) {
      W entry = r < V_.rows ? -sigma[static_cast<std::size_t>(i)] * V_(r, i) : W{};
      for (Index c = 0; c < S_.cols; ++c) entry += S_(r, c) * U_(c, i);
      sum += std::norm(entry);
    }
    return std::sqrt(sum);
  }

  /// The first `count` columns of X V̂ and Y Û, in place of X and Y.
  void combine(Index count) {
    s_.combine(sketch_.basis().columns(0, V_.rows), V_.view().columns(0, count));
    s_.combine(Y(), U_.view().columns(0, count));
  }

  /// Fills columns [from, U.cols) of orthonormal columns with random ones.
  void complete(BlockView<T> U, Index from, std::uint64_t seed) {
    for (Index j = from; j < U.cols; ++j) {
      s_.random_normal({seed, kStream | static_cast<std::uint64_t>(j)}, U.column(j));
    }
    if (from < U.cols) orthogonalize_(U.columns(0, from), U.columns(from, U.cols - from));
  }

  std::vector<double> sigma;

 private:
  static constexpr std::uint64_t kStream = (std::uint64_t{0x20} << 56) | (std::uint64_t{1} << 48);

  static void append(SmallMatrix<W>& C, BlockFactors<W>& made) {
    const Index cols = C.cols, above = made.H.rows;
    grow(C, above + made.rank, cols + made.H.cols);
    for (Index j = 0; j < made.H.cols; ++j) {
      for (Index i = 0; i < above; ++i) C(i, cols + j) = made.H(i, j);
      for (Index i = 0; i < made.rank; ++i) C(above + i, cols + j) = made.R(i, j);
    }
  }

  S& s_;
  CountedColumns<T, Op>& A_;
  RangeSketch<S, Op> sketch_;
  BlockOrthogonalizer<S> orthogonalize_;
  GrowingBlock<S> Y_;
  Index right_ = 0;
  double scale_ = 0.0;
  bool finite_ = true;
  SmallMatrix<W> T_, S_, U_, V_;
};

}  // namespace ritz
