// Sketching operators S of d × m, random with E SᴴS = I.
//
// A sketch is its shape and its seed: element (i, j) is a function of (seed, i, j), so that any
// part can be made again without the rest, and products have the same bits for any number of
// threads. Halko, Martinsson, Tropp: Finding structure with randomness. SIAM Review 53, 2011.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/view.hpp"
#include "ritz/op/sparse.hpp"

namespace ritz {

template <class S, class T>
concept Sketch = requires(const S& s, MatrixView<const T> A, MatrixView<T> Y) {
  { s.rows() } -> std::convertible_to<Index>;
  { s.cols() } -> std::convertible_to<Index>;
  s.apply_matrix(A, Y);              // Y = S A, A of m × k
  s.apply_adjoint_matrix(A, Y);      // Y = Sᴴ A, A of d × k
  s.submatrix(Index{}, Index{}, Y);  // Y = S[i : i + Y.rows, j : j + Y.cols]
};

/// What makes a sketch a linear operator, and applies it to sparse matrices.
template <class Derived, Field T>
class SketchOperator {
 public:
  void apply(VectorView<const T> x, VectorView<T> y) const {
    apply_block({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    apply_adjoint_block({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const { self().apply_matrix(X, Y); }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    self().apply_adjoint_matrix(X, Y);
  }

  /// Y = S A for an A compressed by rows: each row of A is added in by its column of S.
  template <std::signed_integral I>
  void apply_csr(const CompressedRows<T, I>& A, MatrixView<T> Y) const {
    fill_zero(Y);
    each_panel(A.rows, [&](Index first, Index count, const T* columns) {
      for (Index i = 0; i < count; ++i) {
        for (I k = A.indptr[first + i]; k < A.indptr[first + i + 1]; ++k) {
          add(A.values[k], columns + i * Y.rows, Y, static_cast<Index>(A.indices[k]));
        }
      }
    });
  }
  /// Y = S A for an A compressed by columns, whose transpose is given compressed by rows.
  template <std::signed_integral I>
  void apply_csc(const CompressedRows<T, I>& transpose, MatrixView<T> Y) const {
    const TransposedCopy<T, I> A(transpose);
    self().apply_csr(A.view(), Y);
  }

 protected:
  static void fill_zero(MatrixView<T> Y) {
    for (Index j = 0; j < Y.cols; ++j) {
      for (Index i = 0; i < Y.rows; ++i) Y(i, j) = T{};
    }
  }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }

  static void add(T a, const T* column, MatrixView<T> Y, Index j) {
    for (Index i = 0; i < Y.rows; ++i) Y(i, j) += a * column[i];
  }
  /// use(first, count, columns) for all columns of S in panels.
  template <class Use>
  void each_panel(Index m, const Use& use) const {
    constexpr Index kPanel = 64;
    const Index d = self().rows();
    std::vector<T> columns(static_cast<std::size_t>(d * std::min(m, kPanel)));
    for (Index j = 0; j < m; j += kPanel) {
      const Index count = std::min(kPanel, m - j);
      self().submatrix(0, j, BlockView<T>{columns.data(), d, count, d});
      use(j, count, columns.data());
    }
  }
};

/// A sketch of any kind; copies share it.
template <Field T>
class AnySketch : public SketchOperator<AnySketch<T>, T> {
 public:
  template <Sketch<T> S>
    requires(!std::same_as<S, AnySketch>)
  explicit AnySketch(S s) : model_(std::make_shared<Model<S>>(std::move(s))) {}

  Index rows() const { return model_->rows(); }
  Index cols() const { return model_->cols(); }
  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const { model_->apply(A, Y); }
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    model_->apply_adjoint(A, Y);
  }
  void submatrix(Index i, Index j, MatrixView<T> Y) const { model_->submatrix(i, j, Y); }
  template <std::signed_integral I>
  void apply_csr(const CompressedRows<T, I>& A, MatrixView<T> Y) const {
    model_->apply_csr(A, Y);
  }
  template <std::signed_integral I>
  void apply_csc(const CompressedRows<T, I>& transpose, MatrixView<T> Y) const {
    model_->apply_csc(transpose, Y);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Index rows() const = 0;
    virtual Index cols() const = 0;
    virtual void apply(MatrixView<const T> A, MatrixView<T> Y) const = 0;
    virtual void apply_adjoint(MatrixView<const T> A, MatrixView<T> Y) const = 0;
    virtual void submatrix(Index i, Index j, MatrixView<T> Y) const = 0;
    virtual void apply_csr(const CompressedRows<T, std::int32_t>& A, MatrixView<T> Y) const = 0;
    virtual void apply_csr(const CompressedRows<T, std::int64_t>& A, MatrixView<T> Y) const = 0;
    virtual void apply_csc(const CompressedRows<T, std::int32_t>& A, MatrixView<T> Y) const = 0;
    virtual void apply_csc(const CompressedRows<T, std::int64_t>& A, MatrixView<T> Y) const = 0;
  };
  template <class S>
  struct Model final : Base {
    explicit Model(S sketch) : s(std::move(sketch)) {}
    Index rows() const override { return s.rows(); }
    Index cols() const override { return s.cols(); }
    void apply(MatrixView<const T> A, MatrixView<T> Y) const override { s.apply_matrix(A, Y); }
    void apply_adjoint(MatrixView<const T> A, MatrixView<T> Y) const override {
      s.apply_adjoint_matrix(A, Y);
    }
    void submatrix(Index i, Index j, MatrixView<T> Y) const override { s.submatrix(i, j, Y); }
    void apply_csr(const CompressedRows<T, std::int32_t>& A, MatrixView<T> Y) const override {
      s.apply_csr(A, Y);
    }
    void apply_csr(const CompressedRows<T, std::int64_t>& A, MatrixView<T> Y) const override {
      s.apply_csr(A, Y);
    }
    void apply_csc(const CompressedRows<T, std::int32_t>& A, MatrixView<T> Y) const override {
      s.apply_csc(A, Y);
    }
    void apply_csc(const CompressedRows<T, std::int64_t>& A, MatrixView<T> Y) const override {
      s.apply_csc(A, Y);
    }
    S s;
  };
  std::shared_ptr<const Base> model_;
};

/// Throws InvalidArgument unless d × m is a shape that a sketch can have.
inline void check_sketch_shape(Index d, Index m) {
  if (d < 1 || m < 1) {
    throw InvalidArgument("the sketch has shape (" + std::to_string(d) + ", " + std::to_string(m) +
                          "); pass d ≥ 1 rows over m ≥ 1 coordinates");
  }
}

}  // namespace ritz
