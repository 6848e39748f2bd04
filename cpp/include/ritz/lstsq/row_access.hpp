// Single rows of a matrix in memory: products with one, and steps along one.
//
//   rows(), cols()
//   dot<C>(i, x)        a_i x, or with C ā_i x, in double precision
//   add<C>(i, h, x)     x = x + h a_iᵀ, or with C x + h a_iᴴ
//   clear(i, x)         x = 0 where a_i is not
//   norms2()            all ‖a_i‖²
//   largest()           the largest element by its modulus
//   work()              elements of a row, on average
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/op/sparse.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// Rows of a dense matrix; where they are not contiguous, of a copy of it.
template <Field T>
class DenseRowAccess {
 public:
  using W = WideOf<T>;

  explicit DenseRowAccess(MatrixView<const T> A)
      : A_(A), kernels_(&kernels::tables(kernels::default_isa()).template of<T>()) {
    if (A.col_stride == 1 || A.cols <= 1) return;
    auto copy = std::make_shared<std::vector<T>>(static_cast<std::size_t>(A.rows * A.cols));
    constexpr Index kTile = 32;
    for (Index i = 0; i < A.rows; i += kTile) {
      for (Index j = 0; j < A.cols; ++j) {
        const Index last = std::min(A.rows, i + kTile);
        for (Index k = i; k < last; ++k) {
          (*copy)[static_cast<std::size_t>(k * A.cols + j)] = A(k, j);
        }
      }
    }
    A_ = {copy->data(), A.rows, A.cols, A.cols, 1};
    copy_ = std::move(copy);
  }

  Index rows() const { return A_.rows; }
  Index cols() const { return A_.cols; }
  double work() const { return static_cast<double>(A_.cols); }

  template <bool kConjugate>
  W dot(Index i, const T* x) const {
    const T* const a = &A_(i, 0);
    if constexpr (ComplexField<T> && !kConjugate) {
      W sum{};
      kernels_->project_transpose(A_.cols, 1, a, A_.cols, x, &sum);
      return sum;
    } else {
      return kernels_->dot(A_.cols, a, x);
    }
  }
  template <bool kConjugate>
  void add(Index i, W h, T* x) const {
    const T* const a = &A_(i, 0);
    if constexpr (ComplexField<T> && kConjugate) {
      kernels_->add_conjugate_columns(A_.cols, 1, a, A_.cols, &h, x);
    } else {
      kernels_->axpby(A_.cols, h, a, 1.0, x);
    }
  }
  void clear(Index, T* x) const { std::fill_n(x, A_.cols, T{}); }
  std::vector<double> norms2() const {
    std::vector<double> norms(static_cast<std::size_t>(A_.rows));
    constexpr Index kPart = 1024;
    threads::for_each_part((A_.rows + kPart - 1) / kPart, A_.rows * A_.cols, [&](Index part) {
      const Index last = std::min(A_.rows, (part + 1) * kPart);
      for (Index i = part * kPart; i < last; ++i) {
        norms[static_cast<std::size_t>(i)] = kernels_->norm2(A_.cols, &A_(i, 0));
      }
    });
    return norms;
  }
  double largest() const {
    double most = 0.0;
    for (Index i = 0; i < A_.rows; ++i) {
      for (Index j = 0; j < A_.cols; ++j) most = std::max(most, std::abs(W(A_(i, j))));
    }
    return most;
  }

 private:
  MatrixView<const T> A_;
  const kernels::KernelTable<T>* kernels_;
  std::shared_ptr<const std::vector<T>> copy_;
};

/// Rows of a sparse matrix.
template <Field T, std::signed_integral I>
class SparseRowAccess {
 public:
  using W = WideOf<T>;

  /// Of the matrix, or of its transpose, of which a copy is made.
  SparseRowAccess(const CompressedRows<T, I>& a, bool of_transpose) : a_(a) {
    if (!of_transpose) return;
    copy_ = std::make_shared<const TransposedCopy<T, I>>(a);
    a_ = copy_->view();
  }

  const CompressedRows<T, I>& arrays() const { return a_; }
  Index rows() const { return a_.rows; }
  Index cols() const { return a_.cols; }
  double work() const {
    return static_cast<double>(a_.entries()) / static_cast<double>(std::max<Index>(a_.rows, 1));
  }

  template <bool kConjugate>
  W dot(Index i, const T* x) const {
    W sum{};
    each(i, [&](Index j, W a) {
      if constexpr (kConjugate) a = conjugate(a);
      sum += a * static_cast<W>(x[j]);
    });
    return sum;
  }
  template <bool kConjugate>
  void add(Index i, W h, T* x) const {
    each(i, [&](Index j, W a) {
      if constexpr (kConjugate) a = conjugate(a);
      x[j] = static_cast<T>(static_cast<W>(x[j]) + h * a);
    });
  }
  void clear(Index i, T* x) const {
    each(i, [&](Index j, W) { x[j] = T{}; });
  }
  std::vector<double> norms2() const {
    std::vector<double> norms(static_cast<std::size_t>(a_.rows));
    // Entries of one place add up before they are squared.
    std::vector<T> row(static_cast<std::size_t>(a_.cols));
    for (Index i = 0; i < a_.rows; ++i) {
      add<true>(i, W{1.0}, row.data());
      norms[static_cast<std::size_t>(i)] = std::real(dot<false>(i, row.data()));
      clear(i, row.data());
    }
    return norms;
  }
  double largest() const {
    double most = 0.0;
    for (Index k = 0; k < a_.entries(); ++k) most = std::max(most, std::abs(W(a_.values[k])));
    return most;
  }

 private:
  template <class Use>
  void each(Index i, const Use& use) const {
    for (I k = a_.indptr[i]; k < a_.indptr[i + 1]; ++k) {
      use(static_cast<Index>(a_.indices[k]), static_cast<W>(a_.values[k]));
    }
  }

  CompressedRows<T, I> a_;
  std::shared_ptr<const TransposedCopy<T, I>> copy_;
};

}  // namespace ritz
