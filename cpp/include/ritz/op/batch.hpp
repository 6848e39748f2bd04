// Operators of a batch: one product makes those of all its systems.
#pragma once

#include "ritz/op/dense.hpp"
#include "ritz/space/batch.hpp"

namespace ritz {

/// Y = (A₁ x₁, A₂ x₂, …) for the columns of X and Y; systems that are not of the selection may be
/// left out.
template <class A, class T>
concept BatchOperator =
    requires(const A& a, BlockView<const T> X, BlockView<T> Y, BatchSelection selected) {
      { a.rows() } -> std::convertible_to<Index>;   // of each system
      { a.count() } -> std::convertible_to<Index>;  // systems
      a.apply_batch(X, Y, selected);
    };

/// Dense matrices of n × n by rows, one after the other; in the memory of the space, and the data
/// must outlive it.
template <class S>
class DenseBatch {
 public:
  using T = typename S::Value;

  DenseBatch(S& space, const T* data, Index count, Index n)
      : space_(&space), data_(data), count_(count), n_(n) {}

  Index rows() const { return n_; }
  Index count() const { return count_; }
  void apply_batch(BlockView<const T> X, BlockView<T> Y, BatchSelection selected) const {
    if constexpr (requires { space_->queue(); }) {
      device::Call call{};
      call.kernel = device::Kernel::dense_batch;
      call.element = device::element_of<T>;
      call.n = n_;
      call.cols = count_;
      call.ld = X.ld;
      call.ld2 = Y.ld;
      call.v[0] = const_cast<T*>(data_);
      call.v[1] = const_cast<T*>(X.data);
      call.v[2] = Y.data;
      call.h[0] = selected.status;
      call.c[0].re = selected.wanted;
      space_->queue().call(call);
    } else {
      for_each_system(*space_, count_, count_ * n_ * n_, [&](Index k) {
        if (selected.has(k)) apply_one(k, X.column(k), Y.column(k));
      });
    }
  }
  /// y = A_k x
  void apply_one(Index k, VectorView<const T> x, VectorView<T> y) const
    requires(S::kReadsAreFree)
  {
    DenseMatrix<T>(data_ + k * n_ * n_, n_, n_, n_, true).apply(x, y);
  }

 private:
  S* space_;
  const T* data_;
  Index count_, n_;
};

/// An operator on all systems as one vector, the first system's elements first; the columns that it
/// is given must have no gaps between them.
template <class A>
class FlatBatch {
 public:
  FlatBatch(const A& a, Index count, Index n) : a_(&a), count_(count), n_(n) {
    check_size("the batch", n * count, a.rows());
  }

  Index rows() const { return n_; }
  Index count() const { return count_; }
  template <Field T>
  void apply_batch(BlockView<const T> X, BlockView<T> Y, BatchSelection) const {
    if (X.ld != X.rows || Y.ld != Y.rows) {
      throw InvalidArgument("a function of all systems needs them without gaps: X has an ld of " +
                            std::to_string(X.ld));
    }
    a_->apply(VectorView<const T>(X.data, X.rows * X.cols), VectorView<T>(Y.data, Y.rows * Y.cols));
  }

 private:
  const A* a_;
  Index count_, n_;
};

}  // namespace ritz
