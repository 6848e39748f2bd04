// What a skeleton decomposition asks of A: random combinations of its rows, and rows and columns
// themselves. An operator answers with products; an array is read.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/lowrank/skeleton_seed.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/sketch/sparse_stack.hpp"
#include "ritz/space/host.hpp"

namespace ritz {

/// Rows come as columns, so that they are contiguous: column i of Z is row i of what is asked for,
/// not conjugated. A itself has to have an adjoint product.
template <Field T>
class SkeletonSource {
 public:
  using S = HostSpace<T>;

  SkeletonSource(S& space, const OperatorRef<T>& A, RandomKey seed)
      : s_(space), A_(A), seed_(seed) {}
  virtual ~SkeletonSource() = default;

  Index rows() const { return A_.rows(); }
  Index cols() const { return A_.cols(); }
  const Counts& products() const { return products_; }
  /// Rows that `sketch` is best asked for at once.
  virtual Index batch() const { return kBlock; }

  /// Z_i = Aᵀ ω̄_{first + i} with independent standard normal ω.
  virtual void sketch(Index first, BlockView<T> Z) {
    adjoint_products(Z, [&](Index i, VectorView<T> x) {
      s_.random_normal(
          {seed_.seed, kSkeletonStream + seed_.stream + static_cast<std::uint64_t>(first + i)}, x);
    });
  }
  /// Z_i = row I_i of A
  virtual void rows_of(std::span<const Index> I, BlockView<T> Z) {
    adjoint_products(Z, [&](Index i, VectorView<T> x) { unit(I[static_cast<std::size_t>(i)], x); });
  }
  /// C_j = column J_j of A
  virtual void columns_of(std::span<const Index> J, BlockView<T> C) {
    Arena<S> arena;
    arena.begin(s_, Arena<S>::padded(cols()) * std::min(kBlock, C.cols));
    const BlockView<T> X = arena.block(cols(), std::min(kBlock, C.cols));
    for (Index j = 0; j < C.cols; j += kBlock) {
      const Index count = std::min(kBlock, C.cols - j);
      for (Index l = 0; l < count; ++l) unit(J[static_cast<std::size_t>(j + l)], X.column(l));
      times(X.columns(0, count), C.columns(j, count));
    }
  }
  /// Y = A X
  void times(BlockView<const T> X, BlockView<T> Y) {
    for (Index j = 0; j < X.cols; j += kBlock) {
      const Index count = std::min(kBlock, X.cols - j);
      (count > 1 ? products_.columns : products_.apply) += count;
      apply_columns(A_, X.columns(j, count), Y.columns(j, count));
    }
  }

 protected:
  static constexpr Index kBlock = 32;  // columns of one block product

  S& space() { return s_; }
  RandomKey seed() const { return seed_; }

 private:
  void unit(Index i, VectorView<T> x) {
    s_.fill(0.0, x);
    s_.fill(1.0, x.middle(i, 1));
  }
  /// Z_i = conj(Aᴴ x_i), fill(i, x) making x_i.
  template <class Fill>
  void adjoint_products(BlockView<T> Z, const Fill& fill) {
    Arena<S> arena;
    arena.begin(s_, Arena<S>::padded(rows()) * std::min(kBlock, Z.cols));
    const BlockView<T> X = arena.block(rows(), std::min(kBlock, Z.cols));
    for (Index i = 0; i < Z.cols; i += kBlock) {
      const Index count = std::min(kBlock, Z.cols - i);
      for (Index l = 0; l < count; ++l) fill(i + l, X.column(l));
      (count > 1 ? products_.columns : products_.adjoint) += count;
      apply_adjoint_columns(A_, BlockView<const T>(X.columns(0, count)), Z.columns(i, count));
      if constexpr (ComplexField<T>) {
        for (Index l = 0; l < count; ++l) {
          for (T& z : Z.column(i + l)) z = std::conj(z);
        }
      }
    }
  }

  S& s_;
  const OperatorRef<T>& A_;
  RandomKey seed_;
  Counts products_;
};

/// A in memory: a sketch reads it once, by a SparseStack of the rows asked for, scaled so that
/// E ωωᴴ = I for each of them.
template <Field T>
class SketchedSource : public SkeletonSource<T> {
 public:
  /// Y = S A
  using Apply = std::function<void(const SparseStack<T>& sketch, MatrixView<T> Y)>;

  SketchedSource(HostSpace<T>& space, const OperatorRef<T>& A, RandomKey seed, Apply apply)
      : SkeletonSource<T>(space, A, seed), apply_(std::move(apply)) {}

  Index batch() const override { return this->rows(); }
  void sketch(Index first, BlockView<T> Z) override {
    const SparseStack<T> sketch(Z.cols, this->rows(), skeleton_seed(this->seed(), first));
    apply_(sketch, MatrixView<T>(Z).transposed());
    const double scale = std::sqrt(static_cast<double>(Z.cols));
    for (Index i = 0; i < Z.cols; ++i) this->space().scale(scale, Z.column(i));
  }

 private:
  Apply apply_;
};

/// A dense matrix at any strides.
template <Field T>
class ArraySource final : public SketchedSource<T> {
 public:
  ArraySource(HostSpace<T>& space, const OperatorRef<T>& op, RandomKey seed, MatrixView<const T> A)
      : SketchedSource<T>(
            space, op, seed,
            [A](const SparseStack<T>& sketch, MatrixView<T> Y) { sketch.apply_matrix(A, Y); }),
        A_(A) {}

  void rows_of(std::span<const Index> I, BlockView<T> Z) override {
    copy_columns(A_.transposed(), I, Z);
  }
  void columns_of(std::span<const Index> J, BlockView<T> C) override { copy_columns(A_, J, C); }

 private:
  static void copy_columns(MatrixView<const T> A, std::span<const Index> J, BlockView<T> C) {
    for (Index j = 0; j < C.cols; ++j) {
      for (Index i = 0; i < C.rows; ++i) C(i, j) = A(i, J[static_cast<std::size_t>(j)]);
    }
  }

  MatrixView<const T> A_;
};

}  // namespace ritz
