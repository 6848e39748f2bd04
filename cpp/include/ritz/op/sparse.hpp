// Compressed sparse matrices as operators.
#pragma once

#include <algorithm>
#include <concepts>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// Arrays of a matrix compressed by rows: row i has the values [indptr[i], indptr[i + 1]), in the
/// columns that `indices` gives. Entries may be in any order; those of the same place add up.
template <Field T, std::signed_integral I>
struct CompressedRows {
  Index rows = 0;
  Index cols = 0;
  const I* indptr = nullptr;
  const I* indices = nullptr;
  const T* values = nullptr;

  Index entries() const { return static_cast<Index>(indptr[rows]); }

  /// Throws InvalidArgument unless the arrays describe a matrix of this shape.
  void check() const {
    if (rows < 0 || cols < 0 || std::max(rows, cols) > std::numeric_limits<I>::max()) {
      throw InvalidArgument("the sparse matrix has " + std::to_string(rows) + " rows and " +
                            std::to_string(cols) +
                            " columns; pass sizes that its index type holds");
    }
    if (indptr[0] != 0 || !std::is_sorted(indptr, indptr + rows + 1)) {
      throw InvalidArgument("indptr does not rise from 0; pass the start of every row and the end");
    }
    for (Index k = 0; k < entries(); ++k) {
      if (indices[k] < 0 || indices[k] >= cols) {
        throw InvalidArgument("indices holds " + std::to_string(indices[k]) + " at " +
                              std::to_string(k) + "; the matrix has " + std::to_string(cols) +
                              " columns");
      }
    }
  }

  /// Y = A X, or Ā X. One reading of the matrix serves up to eight columns of X.
  template <bool kConjugate>
  void multiply(BlockView<const T> X, BlockView<T> Y) const {
    // About 10 µs each: enough to pay for handing it out, little enough to balance the load.
    constexpr Index kPartWork = 16384;
    const Index work = entries() + rows;
    const Index parts = std::clamp<Index>(work / kPartWork, 1, 1024);
    threads::for_each_part(parts, work * X.cols, [&](Index part) {
      const Index first = row_at(work * part / parts), last = row_at(work * (part + 1) / parts);
      Index j = 0;
      for (; j + 8 <= X.cols; j += 8) multiply_rows<8, kConjugate>(first, last, X, Y, j);
      for (; j + 4 <= X.cols; j += 4) multiply_rows<4, kConjugate>(first, last, X, Y, j);
      for (; j + 2 <= X.cols; j += 2) multiply_rows<2, kConjugate>(first, last, X, Y, j);
      for (; j < X.cols; ++j) multiply_rows<1, kConjugate>(first, last, X, Y, j);
    });
  }

 private:
  /// The first row before which at least `work` rows and entries lie.
  Index row_at(Index work) const {
    Index low = 0, high = rows;
    while (low < high) {
      const Index middle = low + (high - low) / 2;
      if (static_cast<Index>(indptr[middle]) + middle < work) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /// A running sum in double precision.
  struct Sum {
    double re = 0.0, im = 0.0;

    template <bool kConjugate>
    void add_product(T a, T x) {
      if constexpr (ComplexField<T>) {
        // std::complex would call a function that looks for infinities.
        const double a_re = a.real(), x_re = x.real(), x_im = x.imag();
        const double a_im = kConjugate ? -static_cast<double>(a.imag()) : a.imag();
        re += a_re * x_re - a_im * x_im;
        im += a_re * x_im + a_im * x_re;
      } else {
        re += static_cast<double>(a) * static_cast<double>(x);
      }
    }
    T value() const {
      if constexpr (ComplexField<T>) {
        return static_cast<T>(std::complex<double>(re, im));
      } else {
        return static_cast<T>(re);
      }
    }
  };

  /// Rows [first, last) of columns [j, j + C) of Y.
  template <int C, bool kConjugate>
  void multiply_rows(Index first, Index last, BlockView<const T> X, BlockView<T> Y, Index j) const {
    // A single column takes four sums in turn, so as not to wait for each addition to end.
    constexpr int kSums = C == 1 ? 4 : 1;
    const T* x = X.data + j * X.ld;
    for (Index i = first; i < last; ++i) {
      Sum sums[kSums][C];
      Index k = static_cast<Index>(indptr[i]);
      const Index end = static_cast<Index>(indptr[i + 1]);
      for (; k + kSums <= end; k += kSums) {
        for (int s = 0; s < kSums; ++s) add_entry<C, kConjugate>(k + s, x, X.ld, sums[s]);
      }
      for (; k < end; ++k) add_entry<C, kConjugate>(k, x, X.ld, sums[0]);
      for (int c = 0; c < C; ++c) {
        for (int s = 1; s < kSums; ++s) {
          sums[0][c].re += sums[s][c].re;
          sums[0][c].im += sums[s][c].im;
        }
        Y(i, j + c) = sums[0][c].value();
      }
    }
  }
  template <int C, bool kConjugate>
  void add_entry(Index k, const T* x, Index ld, Sum (&sums)[C]) const {
    const T* at = x + static_cast<Index>(indices[k]);
    for (int c = 0; c < C; ++c) {
      sums[c].template add_product<kConjugate>(values[k], at[c * ld]);
    }
  }
};

/// The transpose of a compressed matrix, compressed the same way.
template <Field T, std::signed_integral I>
class TransposedCopy {
 public:
  explicit TransposedCopy(const CompressedRows<T, I>& a)
      : starts_(static_cast<std::size_t>(a.cols) + 1),
        indices_(static_cast<std::size_t>(a.entries())),
        values_(static_cast<std::size_t>(a.entries())) {
    // A counting sort by column; next[j] is where the next entry of column j goes.
    std::vector<I> next(static_cast<std::size_t>(a.cols) + 1);
    for (Index k = 0; k < a.entries(); ++k) ++next[at(a.indices[k]) + 1];
    for (std::size_t j = 1; j < next.size(); ++j) next[j] = static_cast<I>(next[j] + next[j - 1]);
    starts_ = next;
    for (Index i = 0; i < a.rows; ++i) {
      for (I k = a.indptr[i]; k < a.indptr[i + 1]; ++k) {
        const std::size_t to = at(next[at(a.indices[k])]++);
        indices_[to] = static_cast<I>(i);
        values_[to] = a.values[k];
      }
    }
    view_ = {a.cols, a.rows, starts_.data(), indices_.data(), values_.data()};
  }
  TransposedCopy(const TransposedCopy&) = delete;
  TransposedCopy& operator=(const TransposedCopy&) = delete;

  const CompressedRows<T, I>& view() const { return view_; }

 private:
  static std::size_t at(I i) { return static_cast<std::size_t>(i); }

  std::vector<I> starts_, indices_;
  std::vector<T> values_;
  CompressedRows<T, I> view_;
};

/// A copy of the transpose, made when first asked for and shared by copies of the operator.
///
/// Products with it write every element once, by one thread, in one order: the same bits for any
/// number of threads, which adding into columns would not give.
template <Field T, std::signed_integral I>
class LazyTranspose {
 public:
  explicit LazyTranspose(const CompressedRows<T, I>& a) : shared_(std::make_shared<Shared>(a)) {}

  const CompressedRows<T, I>& operator*() const {
    std::call_once(shared_->once, [this] {
      shared_->copy = std::make_unique<TransposedCopy<T, I>>(shared_->original);
    });
    return shared_->copy->view();
  }

 private:
  struct Shared {
    explicit Shared(const CompressedRows<T, I>& a) : original(a) {}
    CompressedRows<T, I> original;
    std::once_flag once;
    std::unique_ptr<TransposedCopy<T, I>> copy;
  };
  std::shared_ptr<Shared> shared_;
};

/// A view of a matrix compressed by rows; the arrays must outlive it. The first adjoint product
/// makes a copy of the transpose, which costs about as much memory as the matrix and the time of
/// several products.
template <Field T, std::signed_integral I = std::int32_t>
class CsrMatrix {
 public:
  /// indptr of rows + 1, indices and values of indptr[rows] elements. Throws InvalidArgument unless
  /// they describe a rows × cols matrix; the check reads `indices` once.
  CsrMatrix(Index rows, Index cols, const I* indptr, const I* indices, const T* values)
      : a_{rows, cols, indptr, indices, values}, transpose_((a_.check(), a_)) {}

  Index rows() const { return a_.rows; }
  Index cols() const { return a_.cols; }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    a_.template multiply<false>({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    (*transpose_).template multiply<true>({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    a_.template multiply<false>(X, Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    (*transpose_).template multiply<true>(X, Y);
  }

 private:
  CompressedRows<T, I> a_;
  LazyTranspose<T, I> transpose_;
};

/// A view of a matrix compressed by columns, likewise; here the first direct product makes the
/// copy.
template <Field T, std::signed_integral I = std::int32_t>
class CscMatrix {
 public:
  /// indptr of cols + 1, indices and values of indptr[cols] elements.
  CscMatrix(Index rows, Index cols, const I* indptr, const I* indices, const T* values)
      : transpose_{cols, rows, indptr, indices, values}, a_((transpose_.check(), transpose_)) {}

  Index rows() const { return transpose_.cols; }
  Index cols() const { return transpose_.rows; }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    (*a_).template multiply<false>({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    transpose_.template multiply<true>({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    (*a_).template multiply<false>(X, Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    transpose_.template multiply<true>(X, Y);
  }

 private:
  CompressedRows<T, I> transpose_;  // the columns of A are the rows of its transpose
  LazyTranspose<T, I> a_;
};

}  // namespace ritz
