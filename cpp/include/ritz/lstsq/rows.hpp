// How least squares reads a tall A: its sketch, its products with AᴴA, its residuals.
//
// Each kind has
//
//   sketch(S, Y)             Y = S A
//   matrix()                 A itself in memory, formed if need be
//   normal(P, Y)             Y = Aᴴ A P, in double precision
//   residual(B, X, Y, r2)    Y = Aᴴ(B − A X), r2[j] = ‖b_j − A x_j‖²
//   form_products()          products that `sketch` and `matrix` cost
//   pass_work()              multiplications in a product, memory traffic weighed in
//   kInMemory                whether `matrix` costs nothing
//   products(), passes()     made so far; readings of A
#pragma once

#include <algorithm>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/lstsq/normal_product.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/op/sparse.hpp"
#include "ritz/space/host.hpp"

namespace ritz {

/// Products of both kinds with blocks of columns.
class ProductCounter {
 public:
  const Counts& products() const { return products_; }
  Index passes() const { return passes_; }

 protected:
  void count(Index columns, Index passes, bool adjoint_too = true) {
    passes_ += passes;
    if (columns == 1) {
      ++products_.apply;
      if (adjoint_too) ++products_.adjoint;
    } else {
      products_.columns += adjoint_too ? 2 * columns : columns;
    }
  }
  Counts products_;
  Index passes_ = 0;
};

/// A in memory, by rows or by columns.
template <Field T>
class DenseRows : public ProductCounter {
 public:
  static constexpr bool kInMemory = true;

  explicit DenseRows(MatrixView<const T> A) : A_(A), product_(A) {}

  Index rows() const { return A_.rows; }
  Index cols() const { return A_.cols; }
  Index form_products() const { return 0; }
  double pass_work() const { return static_cast<double>(A_.rows) * static_cast<double>(A_.cols); }

  template <class S>
  void sketch(const S& s, MatrixView<T> Y) {
    s.apply_matrix(A_, Y);
    ++passes_;
  }
  MatrixView<const T> matrix() {
    ++passes_;
    return A_;
  }
  void normal(BlockView<const T> P, BlockView<WideOf<T>> Y) {
    product_.normal(P, Y);
    count(P.cols, readings(P.cols));
  }
  void residual(BlockView<const T> B, BlockView<const T> X, BlockView<WideOf<T>> Y,
                std::span<double> r2) {
    product_.residual(B, X, Y, r2);
    count(X.cols, readings(X.cols));
  }

 private:
  static Index readings(Index columns) { return (columns + 7) / 8; }

  MatrixView<const T> A_;
  NormalProduct<T> product_;
};

/// A given by its products. Its sketch takes n of them, with the columns of the identity in blocks
/// of 32: fewer than the d adjoint ones with the rows of S.
template <Field T, class Op>
class OperatorRows : public ProductCounter {
 public:
  static constexpr bool kInMemory = false;

  explicit OperatorRows(const Op& A) : A_(A) { require_adjoint(A); }

  Index rows() const { return A_.rows(); }
  Index cols() const { return A_.cols(); }
  Index form_products() const { return cols(); }
  double pass_work() const { return static_cast<double>(rows()) * static_cast<double>(cols()); }

  template <class S>
  void sketch(const S& s, MatrixView<T> Y) {
    each_block_of_columns([&](Index j, BlockView<const T> columns) {
      s.apply_matrix(MatrixView<const T>(columns), Y.part(0, j, Y.rows, columns.cols));
    });
  }
  MatrixView<const T> matrix() {
    formed_.resize(static_cast<std::size_t>(rows() * cols()));
    each_block_of_columns([&](Index j, BlockView<const T> columns) {
      for (Index c = 0; c < columns.cols; ++c) {
        std::copy_n(columns.column(c).data, rows(), formed_.data() + (j + c) * rows());
      }
    });
    return {formed_.data(), rows(), cols(), 1, rows()};
  }
  void normal(BlockView<const T> P, BlockView<WideOf<T>> Y) {
    const auto [AP, Z] = blocks(P.cols);
    apply_columns(A_, P, AP);
    apply_adjoint_columns(A_, BlockView<const T>(AP), Z);
    widen(Z, Y);
    count(P.cols, 2);
  }
  void residual(BlockView<const T> B, BlockView<const T> X, BlockView<WideOf<T>> Y,
                std::span<double> r2) {
    const auto [R, Z] = blocks(X.cols);
    apply_columns(A_, X, R);
    for (Index j = 0; j < X.cols; ++j) {
      r2[static_cast<std::size_t>(j)] = space_.axpby_norm2(1.0, B.column(j), -1.0, R.column(j));
    }
    apply_adjoint_columns(A_, BlockView<const T>(R), Z);
    widen(Z, Y);
    count(X.cols, 2);
  }

 private:
  static constexpr Index kColumns = 32;

  std::pair<BlockView<T>, BlockView<T>> blocks(Index k) {
    using Room = Arena<HostSpace<T>>;
    arena_.begin(space_, k * (Room::padded(rows()) + Room::padded(cols())));
    const BlockView<T> first = arena_.block(rows(), k);
    return {first, arena_.block(cols(), k)};
  }
  template <class Use>
  void each_block_of_columns(const Use& use) {
    const Index n = cols();
    for (Index j = 0; j < n; j += kColumns) {
      const Index k = std::min(kColumns, n - j);
      const auto [Y, E] = blocks(k);
      for (Index c = 0; c < k; ++c) {
        space_.fill(0.0, E.column(c));
        E(j + c, c) = T{1};
      }
      apply_columns(A_, BlockView<const T>(E), Y);
      count(k, 1, false);
      use(j, BlockView<const T>(Y));
    }
  }
  static void widen(BlockView<const T> Z, BlockView<WideOf<T>> Y) {
    for (Index j = 0; j < Z.cols; ++j) {
      for (Index i = 0; i < Z.rows; ++i) Y(i, j) = static_cast<WideOf<T>>(Z(i, j));
    }
  }

  const Op& A_;
  HostSpace<T> space_;
  Arena<HostSpace<T>> arena_;
  std::vector<T> formed_;
};

/// A sparse A: its products by an operator, its sketch from the arrays. `by_columns`: they are
/// those of the transpose.
template <Field T, class Op, std::signed_integral I>
class SparseRows : public OperatorRows<T, Op> {
 public:
  SparseRows(const Op& A, const CompressedRows<T, I>& arrays, bool by_columns)
      : OperatorRows<T, Op>(A), arrays_(arrays), by_columns_(by_columns) {}

  Index form_products() const { return 0; }
  double pass_work() const { return 2.0 * static_cast<double>(arrays_.entries()); }

  template <class S>
  void sketch(const S& s, MatrixView<T> Y) {
    by_columns_ ? s.apply_csc(arrays_, Y) : s.apply_csr(arrays_, Y);
    ++this->passes_;
  }
  MatrixView<const T> matrix() {
    const Index m = this->rows(), n = this->cols();
    formed_.assign(static_cast<std::size_t>(m * n), T{});
    for (Index i = 0; i < arrays_.rows; ++i) {
      for (I k = arrays_.indptr[i]; k < arrays_.indptr[i + 1]; ++k) {
        const auto j = static_cast<Index>(arrays_.indices[k]);
        formed_[static_cast<std::size_t>(by_columns_ ? j + i * m : i + j * m)] += arrays_.values[k];
      }
    }
    ++this->passes_;
    return {formed_.data(), m, n, 1, m};
  }

 private:
  CompressedRows<T, I> arrays_;
  bool by_columns_;
  std::vector<T> formed_;
};

}  // namespace ritz
