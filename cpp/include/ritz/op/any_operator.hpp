// A type-erased operator that owns what it erases and counts its products: what runtime
// composition, the C ABI and other languages hold.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "ritz/core/error.hpp"
#include "ritz/core/status.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// Copies share the operator and its counts. Products may run in several threads at once if the
/// erased operator allows it.
template <Field T>
class AnyOperator {
 public:
  AnyOperator() = default;

  template <LinearOperator<T> A>
    requires(!std::same_as<std::remove_cvref_t<A>, AnyOperator>)
  explicit AnyOperator(A a) : model_(std::make_shared<Model<A>>(std::move(a))) {}

  Index rows() const { return model_->rows(); }
  Index cols() const { return model_->cols(); }
  bool has_adjoint() const { return model_->has_adjoint(); }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    count(model_->applied);
    model_->apply(x, y);
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    require_adjoint(*this);
    count(model_->adjoint);
    model_->apply_adjoint(x, y);
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    count(X.cols == 1 ? model_->applied : model_->columns, X.cols);
    model_->apply(X, Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    require_adjoint(*this);
    count(X.cols == 1 ? model_->adjoint : model_->columns, X.cols);
    model_->apply_adjoint(X, Y);
  }

  /// All products since the operator was made.
  Counts counts() const { return {model_->applied, model_->adjoint, model_->columns}; }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Index rows() const = 0;
    virtual Index cols() const = 0;
    virtual bool has_adjoint() const = 0;
    virtual void apply(VectorView<const T> x, VectorView<T> y) const = 0;
    virtual void apply_adjoint(VectorView<const T> x, VectorView<T> y) const = 0;
    virtual void apply(BlockView<const T> X, BlockView<T> Y) const = 0;
    virtual void apply_adjoint(BlockView<const T> X, BlockView<T> Y) const = 0;
    mutable std::atomic<Index> applied = 0, adjoint = 0, columns = 0;
  };

  template <class A>
  struct Model final : Base {
    explicit Model(A operand) : a(std::move(operand)) {}
    Index rows() const override { return a.rows(); }
    Index cols() const override { return a.cols(); }
    bool has_adjoint() const override { return ritz::has_adjoint(a); }
    void apply(VectorView<const T> x, VectorView<T> y) const override { a.apply(x, y); }
    void apply_adjoint(VectorView<const T> x, VectorView<T> y) const override {
      if constexpr (AdjointOperator<A, T>) a.apply_adjoint(x, y);
    }
    void apply(BlockView<const T> X, BlockView<T> Y) const override { apply_columns(a, X, Y); }
    void apply_adjoint(BlockView<const T> X, BlockView<T> Y) const override {
      if constexpr (AdjointOperator<A, T>) apply_adjoint_columns(a, X, Y);
    }
    A a;
  };

  static void count(std::atomic<Index>& counter, Index by = 1) {
    counter.fetch_add(by, std::memory_order_relaxed);
  }

  std::shared_ptr<const Base> model_;
};

}  // namespace ritz
