// A block of columns made orthonormal, against a basis and within itself, by products of blocks.
//
// Cholesky QR: Yamamoto, Nakatsukasa, Yanagisawa, Fukaya: Roundoff error analysis of the
// CholeskyQR2 algorithm. Electron. Trans. Numer. Anal. 44, 2015. Where the Gram matrix is too ill
// conditioned for it, its eigenvectors turn the block, and directions of it that are small grow by
// 10⁷ at most in one pass, as with the shift of Fukaya et al.: Shifted Cholesky QR for computing
// the QR factorization of ill-conditioned matrices. SIAM J. Sci. Comput. 42, 2020.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/dense/cholesky.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/krylov/block_run.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// W = V H + Q R, Q of `rank` columns; R need not be triangular.
template <class W>
struct BlockFactors {
  SmallMatrix<W> H, R;
  Index rank = 0;
  bool finite = true;
};

/// The memory of a BlockOrthogonalizer; it grows only.
template <Space S>
struct CoefficientRoom {
  typename S::Slots take(S& space, std::size_t count) {
    if (count > slots.size()) {
      const Index elements = Arena<S>::slot_elements(static_cast<Index>(count));
      slots = {};
      arena.begin(space, Arena<S>::padded(elements));
      slots = arena.slots(static_cast<Index>(count));
    }
    return slots.first(count);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  typename S::Slots slots;
};

/// Orthonormalises blocks; keeps the memory of their coefficients, or uses a workspace's.
///
/// For b columns against k: two passes, each of 4 k b n operations for the projection and 4 b² n
/// within the block, O(b³) on the host; V and W are read three times a pass. A third or fourth pass
/// where the block is ill conditioned.
template <Space S>
class BlockOrthogonalizer {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  explicit BlockOrthogonalizer(S& space) : s_(space) {}
  BlockOrthogonalizer(S& space, CoefficientRoom<S>& room) : s_(space), given_(&room) {}

  /// The first `rank` columns of X become Q, orthonormal and orthogonal to V. A direction of X of
  /// which less than a few roundings are left, of its columns or of `scale`, is dropped.
  BlockFactors<W> operator()(BlockView<const T> V, BlockView<T> X, double scale = 0.0) {
    BlockFactors<W> out;
    const Index k = V.cols, b = X.cols;
    out.H.resize(k, b);
    start(X, scale, out);
    BlockView<T> Q = X;
    Index r = b;
    for (int pass = 0; pass < kPasses && r > 0 && out.finite; ++pass) {
      Q = X.columns(0, r);
      if (k > 0) project(V, Q, out.H);
      gram(Q);
      if (!(out.finite = finite(G_))) break;
      const bool settled = pass > 0 && near_identity();
      if (!drop_small() && !reduce_by_cholesky()) reduce_by_eigenvalues();
      r = T_.cols;
      if (r > 0) s_.combine(Q, T_.view());
      if (settled && r == Q.cols) break;
    }
    out.rank = out.finite ? r : 0;
    out.R.resize(out.rank, b);
    for (Index j = 0; j < b; ++j) {
      const double size = sizes_[static_cast<std::size_t>(j)];
      for (Index i = 0; i < out.rank; ++i) out.R(i, j) = R_(i, j) * size;
      for (Index i = 0; i < k; ++i) out.H(i, j) *= size;
    }
    return out;
  }

  /// The largest norm of a column of the last block, as it came.
  double largest_column() const { return largest_; }

  /// VᴴX on the host.
  SmallMatrix<W> coefficients(BlockView<const T> V, BlockView<const T> X) {
    SmallMatrix<W> C;
    C.resize(V.cols, X.cols);
    if (!C.data.empty()) {
      const auto h = slots(C.data.size());
      s_.project_block(V, X, h);
      s_.read(h, std::span(C.data));
    }
    return C;
  }

  /// X = X − V VᴴX; returns VᴴX as first found.
  SmallMatrix<W> project_out(BlockView<const T> V, BlockView<T> X) {
    SmallMatrix<W> C = coefficients(V, BlockView<const T>(X));
    if (!C.data.empty()) s_.subtract_block(V, slots(C.data.size()), X);
    return C;
  }

 private:
  static constexpr int kPasses = 6;
  static constexpr double kMildest = 1e-2;  // pivots of a Cholesky factor, of the diagonal
  static constexpr double kEps = std::numeric_limits<double>::epsilon();
  static constexpr double kWorking = std::numeric_limits<RealOf<T>>::epsilon();

  typename S::Slots slots(std::size_t count) {
    return (given_ != nullptr ? *given_ : own_).take(s_, count);
  }

  /// Columns of X are scaled to norm 1 at most; R_ begins as the identity.
  void start(BlockView<T> X, double scale, BlockFactors<W>& out) {
    const Index b = X.cols;
    sizes_.assign(static_cast<std::size_t>(b), 0.0);
    R_.resize(b, b);
    largest_ = 0.0;
    for (Index j = 0; j < b; ++j) {
      const double norm = std::sqrt(s_.read(s_.norm2(X.column(j))));
      if (!std::isfinite(norm)) out.finite = false;
      largest_ = std::max(largest_, norm);
      // A power of two, so that scaling rounds nothing.
      const double size = std::max(norm, scale);
      sizes_[static_cast<std::size_t>(j)] = size > 0.0 ? std::exp2(std::ceil(std::log2(size))) : 0;
      if (size > 0.0) s_.scale(1.0 / sizes_[static_cast<std::size_t>(j)], X.column(j));
      R_(j, j) = 1.0;
    }
  }

  /// Q = Q − V VᴴQ, and what it takes from the columns of X into H.
  void project(BlockView<const T> V, BlockView<T> Q, SmallMatrix<W>& H) {
    SmallMatrix<W> C = project_out(V, Q);
    for (Index j = 0; j < H.cols; ++j) {
      for (Index l = 0; l < Q.cols; ++l) {
        const W r = R_(l, j);
        if (r == W{}) continue;
        for (Index i = 0; i < H.rows; ++i) H(i, j) += C(i, l) * r;
      }
    }
  }

  void gram(BlockView<T> Q) {
    G_ = coefficients(BlockView<const T>(Q), BlockView<const T>(Q));
    for (Index j = 0; j < G_.cols; ++j) {
      for (Index i = 0; i <= j; ++i) {
        const W mean = (G_(i, j) + conjugate(G_(j, i))) / 2.0;
        G_(i, j) = mean;
        G_(j, i) = conjugate(mean);
      }
    }
  }
  static bool finite(SmallMatrix<W>& G) {
    return std::all_of(G.data.begin(), G.data.end(),
                       [](W g) { return std::isfinite(std::abs(g)); });
  }
  bool near_identity() {
    double worst = 0.0;
    for (Index j = 0; j < G_.cols; ++j) {
      double sum = 0.0;
      for (Index i = 0; i < G_.rows; ++i) sum += std::abs(G_(i, j) - (i == j ? 1.0 : 0.0));
      worst = std::max(worst, sum);
    }
    return worst <= 0.25;
  }

  /// What of the columns of X row i of R_ stands for, where column i of Q has the norm `norm`.
  double share(Index i, double norm) {
    double sum = 0.0;
    for (Index j = 0; j < R_.cols; ++j) sum += std::norm(R_(i, j));
    return norm * std::sqrt(sum);
  }
  double least() const {
    return 8.0 * kWorking * std::sqrt(static_cast<double>(std::max<Index>(R_.cols, 1)));
  }

  /// T_ leaves out the columns that are to go; false without one. Before the others are turned:
  /// that would mix roundings of theirs into what is left.
  bool drop_small() {
    std::vector<Index> kept;
    for (Index i = 0; i < G_.cols; ++i) {
      if (share(i, std::sqrt(std::max(std::real(G_(i, i)), 0.0))) > least()) kept.push_back(i);
    }
    const auto rank = static_cast<Index>(kept.size());
    if (rank == G_.cols) return false;
    SmallMatrix<W> rows;
    rows.resize(rank, R_.cols);
    T_.resize(G_.cols, rank);
    for (Index c = 0; c < rank; ++c) {
      const Index from = kept[static_cast<std::size_t>(c)];
      T_(from, c) = 1.0;
      for (Index j = 0; j < R_.cols; ++j) rows(c, j) = R_(from, j);
    }
    R_ = std::move(rows);
    return true;
  }

  /// T_ = L⁻ᴴ of G = L Lᴴ, R_ = Lᴴ R_; false if G is too ill conditioned.
  bool reduce_by_cholesky() {
    const Index r = G_.cols;
    L_ = G_;
    // Columns are made of differences of others where pivots are small, and all that come after
    // carry their roundings; eigenvectors keep those where they belong.
    if (!dense::cholesky(L_.view())) return false;
    for (Index i = 0; i < r; ++i) {
      if (std::norm(L_(i, i)) < kMildest * std::real(G_(i, i))) return false;
    }
    SmallMatrix<W> next;
    next.resize(r, R_.cols);
    for (Index j = 0; j < R_.cols; ++j) {
      for (Index i = 0; i < r; ++i) {
        W sum{};
        for (Index l = i; l < r; ++l) sum += conjugate(L_(l, i)) * R_(l, j);
        next(i, j) = sum;
      }
    }
    R_ = std::move(next);
    T_.resize(r, r);
    for (Index c = 0; c < r; ++c) {  // Lᴴ T = I by back substitution
      T_(c, c) = 1.0 / L_(c, c);
      for (Index i = c - 1; i >= 0; --i) {
        W sum{};
        for (Index l = i + 1; l <= c; ++l) sum += conjugate(L_(l, i)) * T_(l, c);
        T_(i, c) = -sum / L_(i, i);
      }
    }
    return true;
  }

  /// The same from G = U Λ Uᴴ: T_ = U Λ^{-1/2} without the directions that are dropped, R_
  /// likewise.
  void reduce_by_eigenvalues() {
    const Index r = G_.cols, b = R_.cols;
    std::vector<double> lambda(static_cast<std::size_t>(r));
    L_ = G_;
    dense::eigh<W>(L_.view(), lambda);
    const double floor = 1e2 * kEps * static_cast<double>(r) * std::max(lambda.back(), 0.0);
    SmallMatrix<W> turned;
    turned.resize(r, b);
    dense_multiply(L_, R_, turned);
    std::swap(turned, R_);
    std::vector<Index> kept;
    std::vector<double> roots;
    for (Index i = r - 1; i >= 0; --i) {
      const double value = lambda[static_cast<std::size_t>(i)];
      const double root = std::sqrt(std::max(value, floor));
      if (root == 0.0 || share(i, root) <= least()) continue;
      kept.push_back(i);
      roots.push_back(root);
    }
    const auto rank = static_cast<Index>(kept.size());
    T_.resize(r, rank);
    turned.resize(rank, b);
    for (Index c = 0; c < rank; ++c) {
      const Index from = kept[static_cast<std::size_t>(c)];
      const double root = roots[static_cast<std::size_t>(c)];
      for (Index i = 0; i < r; ++i) T_(i, c) = L_(i, from) / root;
      for (Index j = 0; j < b; ++j) turned(c, j) = R_(from, j) * root;
    }
    R_ = std::move(turned);
  }
  /// C = Uᴴ R
  static void dense_multiply(SmallMatrix<W>& U, SmallMatrix<W>& R, SmallMatrix<W>& C) {
    for (Index j = 0; j < R.cols; ++j) {
      for (Index i = 0; i < U.cols; ++i) {
        W sum{};
        for (Index l = 0; l < U.rows; ++l) sum += conjugate(U(l, i)) * R(l, j);
        C(i, j) = sum;
      }
    }
  }

  S& s_;
  CoefficientRoom<S> own_;
  CoefficientRoom<S>* given_ = nullptr;
  std::vector<double> sizes_;
  double largest_ = 0.0;
  SmallMatrix<W> G_, L_, T_, R_;
};

}  // namespace ritz
