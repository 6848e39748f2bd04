// A P = Q R with column pivoting for a tall dense A, at the speed of matrix products: a sketch of A
// chooses the pivots and preconditions a Cholesky QR.
// Melnichenko, Balabanov, Murray, Demmel, Mahoney, Luszczek: CholeskyQR with randomization and
// pivoting for tall matrices (CQRRPT). SIAM J. Matrix Anal. Appl. 46, 2025.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/dense/qr.hpp"
#include "ritz/krylov/block_run.hpp"
#include "ritz/lowrank/row_panels.hpp"
#include "ritz/lowrank/skeleton_seed.hpp"
#include "ritz/sketch/sparse_stack.hpp"

namespace ritz {

struct CqrrptOptions {
  double gamma = 2.0;      ///< rows of the sketch over columns of A, at least 1
  Index nnz = 4;           ///< nonzeros in each column of the sketch
  double rank_tol = 0.0;   ///< |R_ii| ≤ rank_tol |R_11| ends the factorisation; 0: 2 u^0.95
  std::uint64_t seed = 0;  ///< of the sketch

  template <class F>
  void visit(const F& f) {
    f("gamma", gamma);
    f("nnz", nnz);
    f("rank_tol", rank_tol);
    f("seed", seed);
  }
};

/// `residual` is an estimate of ‖QᴴQ − I‖_F from four random vectors, `target` 10 u √n, and
/// `iterations` counts the passes of Cholesky QR; 0 if A was factored by reflections instead.
struct CqrrptOutcome : Outcome {
  Index rank = 0;
  Index sketch = 0;        ///< rows of the sketch; 0 without one
  double condition = 1.0;  ///< of A_pre, by power iteration: from below
};

/// With S a sketch of d = γ n rows, S A P = Q̃ R̃ and k the numerical rank of R̃, the matrix
/// A_pre = (A P)_k R̃_k⁻¹ has cond(A_pre) ≲ (1 + √(n/d)) / (1 − √(n/d)), whatever that of A. So
/// A_preᴴ A_pre = LLᴴ is safe, Q = A_pre L⁻ᴴ, and R = Lᴴ R̃ has k rows. A second pass follows where
/// Q is not orthonormal to 10 u √n. Where the sketch missed something (Cholesky fails, or a column
/// that was dropped is not in the range of Q) a sketch twice as tall is tried, and at last
/// reflections on A itself, as at once for an A of at most d rows.
///
/// 2 ζ m n + 3 m n² work (half of each product with a triangle is spared), O(d n²) for the small
/// factorisation. A is read twice, Q written twice and read once, by panels of rows.
template <Field T>
class CqrrptRun {
 public:
  using W = WideOf<T>;

  CqrrptRun(MatrixView<const T> A, BlockView<T> Q, MatrixView<T> R, std::span<Index> order,
            const CqrrptOptions& opt)
      : A_(A), Q_(Q), R_(R), order_(order), opt_(opt), panels_(A.rows, A.cols) {
    if (!(opt.gamma >= 1.0)) throw InvalidArgument("gamma must be at least 1");
    if (opt.nnz < 1) throw InvalidArgument("nnz must be at least 1");
    check_tolerance("rank_tol", opt.rank_tol);
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon() / 2.0;
    drop_ = opt.rank_tol > 0.0 ? opt.rank_tol : 2.0 * std::pow(u, 0.95);
    out_.target = 20.0 * u * std::sqrt(static_cast<double>(std::max<Index>(A.cols, 1)));
  }

  CqrrptOutcome run() {
    const Index m = A_.rows, n = A_.cols;
    std::iota(order_.begin(), order_.end(), Index{0});
    out_.residual = 0.0;
    if (m == 0 || n == 0) return finish(Status::converged);
    const double wanted = std::ceil(opt_.gamma * static_cast<double>(n));
    Index d = wanted < static_cast<double>(m) ? static_cast<Index>(wanted) : m;
    for (int attempt = 0; attempt < kAttempts && d < m; ++attempt, d *= 2) {
      if (!sketch(d, attempt)) return finish(Status::nonfinite);
      if (precondition() && orthonormalize()) return finish(ending());
    }
    if (!reflect()) return finish(Status::nonfinite);
    return finish(ending());
  }

 private:
  static constexpr int kAttempts = 3;
  static constexpr int kPowerSteps = 40;

  /// R̃ and the pivots from S A; false if that is not finite.
  bool sketch(Index d, int attempt) {
    const Index n = A_.cols;
    SmallMatrix<T> Y;
    Y.resize(d, n);
    const SparseStack<T> S(d, A_.rows, skeleton_seed({opt_.seed, 0}, attempt), opt_.nnz);
    S.apply_matrix(A_, Y.view());
    small_.resize(d, n);
    for (std::size_t i = 0; i < Y.data.size(); ++i) small_.data[i] = static_cast<W>(Y.data[i]);
    factor_.resize(std::min(d, n), n);
    if (!finite(small_)) return false;
    dense::qr_pivoted_r<W>(small_.view(), factor_.view(), order_);
    out_.sketch = d;
    out_.rank = numerical_rank();
    return true;
  }

  /// Q = A_pre, and the Cholesky factor of its Gram matrix; false if that is not definite.
  bool precondition() {
    const Index k = out_.rank;
    out_.iterations = 0;
    invert(factor_);
    panels_.multiply_gathered(A_, order_.first(static_cast<std::size_t>(k)), inverse_.view(),
                              Q_.columns(0, k), gram_);
    if (!cholesky()) return false;
    out_.condition = std::sqrt(power(false) * power(true));
    return true;
  }

  /// Q = Q L⁻ᴴ and R̃ = Lᴴ R̃, twice if need be; false if what was dropped from A is not small.
  bool orthonormalize() {
    const Index k = out_.rank;
    const double largest = k > 0 ? std::abs(factor_(0, 0)) : 0.0;
    for (;;) {
      const BlockView<T> Q = Q_.columns(0, k);
      SmallMatrix<W> R;
      R.resize(k, A_.cols);
      dense::multiply<W>(gram_.view(), BlockView<W>{factor_.data.data(), k, A_.cols, factor_.rows},
                         R.view());
      factor_ = std::move(R);
      invert(gram_);
      out_.residual = panels_.multiply(Q, inverse_.view());
      if (++out_.iterations == 2 || out_.residual <= out_.target) break;
      panels_.gram(Q, gram_);
      if (!cholesky()) return false;
    }
    if (k == A_.cols) return true;
    // Of columns orthogonal to Q the sketch shows a fourth of the norm or more.
    const auto rest = static_cast<double>(A_.cols - k);
    const double left = panels_.left_over(A_, order_, Q_.columns(0, k), factor_.view());
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    return left <= (10.0 * drop_ + static_cast<double>(A_.cols) * u) * std::sqrt(rest) * largest;
  }

  /// By reflections on A itself; false if A is not finite.
  bool reflect() {
    const Index m = A_.rows, n = A_.cols;
    small_.resize(m, n);
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < m; ++i) small_(i, j) = static_cast<W>(A_(i, j));
    }
    out_.sketch = out_.iterations = 0;
    if (!finite(small_)) return false;
    factor_.resize(std::min(m, n), n);
    dense::qr_pivoted<W>(small_.view(), factor_.view(), order_);
    out_.rank = numerical_rank();
    for (Index j = 0; j < out_.rank; ++j) {
      for (Index i = 0; i < m; ++i) Q_(i, j) = static_cast<T>(small_(i, j));
    }
    out_.residual = panels_.multiply(Q_.columns(0, out_.rank), {});
    return true;
  }

  Index numerical_rank() {
    Index k = 0;
    while (k < factor_.rows && std::abs(factor_(k, k)) > drop_ * std::abs(factor_(0, 0))) ++k;
    return k;
  }
  bool cholesky() { return gram_.rows == 0 || dense::cholesky_upper<W>(gram_.view()); }
  /// inverse_ = the inverse of the upper triangle that R begins with, of order `rank`.
  void invert(SmallMatrix<W>& R) {
    const Index k = out_.rank;
    inverse_.resize(k, k);
    for (Index i = 0; i < k; ++i) inverse_(i, i) = W{1.0};
    if (k > 0) {
      dense::solve_upper<W>(BlockView<W>{R.data.data(), k, k, R.rows}, inverse_.view());
    }
  }
  static bool finite(const SmallMatrix<W>& M) {
    return std::all_of(M.data.begin(), M.data.end(),
                       [](const W& x) { return std::isfinite(std::abs(x)); });
  }

  /// The largest eigenvalue of LLᴴ, or of its inverse, from below.
  double power(bool inverse) {
    const Index k = gram_.rows;
    if (k == 0) return 1.0;
    SmallMatrix<W> x, y;
    x.resize(k, 1);
    y.resize(k, 1);
    for (Index i = 0; i < k; ++i) x(i, 0) = philox::sign(opt_.seed, 1, i);
    double value = 1.0;
    for (int step = 0; step < kPowerSteps; ++step) {
      double before = 0.0, after = 0.0;
      for (const W& e : x.data) before += std::norm(e);
      for (W& e : x.data) e /= std::sqrt(before);
      if (inverse) {
        dense::solve_upper<W>(gram_.view(), x.view(), true);
        for (const W& e : x.data) after += std::norm(e);
        dense::solve_upper<W>(gram_.view(), x.view());
      } else {
        dense::multiply<W>(gram_.view(), x.view(), y.view());
        for (const W& e : y.data) after += std::norm(e);
        dense::multiply<W>(gram_.view(), y.view(), x.view(), true);
      }
      value = after;
    }
    return value;
  }

  Status ending() const {
    return out_.residual <= out_.target ? Status::converged : Status::precision_limit;
  }
  CqrrptOutcome finish(Status status) {
    if (status == Status::nonfinite) {
      out_.rank = 0;
      out_.residual = std::numeric_limits<double>::quiet_NaN();
    }
    for (Index j = 0; j < A_.cols; ++j) {
      for (Index i = 0; i < out_.rank; ++i) R_(i, j) = static_cast<T>(factor_(i, j));
    }
    out_.status = status;
    out_.verified = true;
    out_.seconds = clock_.seconds();
    return out_;
  }

  MatrixView<const T> A_;
  BlockView<T> Q_;
  MatrixView<T> R_;
  std::span<Index> order_;
  CqrrptOptions opt_;
  RowPanels<T> panels_;
  Clock clock_;
  double drop_;
  SmallMatrix<W> small_, factor_, inverse_, gram_;
  CqrrptOutcome out_;
};

/// A P = Q R: Q of m × min(m, n) and R of min(m, n) × n are filled as far as `rank` tells; column j
/// of A P is column order[j] of A. |R_jj| falls but for the distortion of the sketch.
template <Field T>
CqrrptOutcome cqrrpt(MatrixView<const T> A, BlockView<T> Q, MatrixView<T> R, std::span<Index> order,
                     const CqrrptOptions& opt = {}) {
  return CqrrptRun<T>(A, Q, R, order, opt).run();
}

}  // namespace ritz
