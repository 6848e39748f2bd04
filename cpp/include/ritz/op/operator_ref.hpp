// A type-erased operator by reference: what the compiled methods see.
#pragma once

#include "ritz/op/concepts.hpp"

namespace ritz {

/// Two pointers; the operator must outlive it. One indirect call a product.
template <Field T>
class OperatorRef {
 public:
  template <LinearOperator<T> A>
    requires(!std::same_as<std::remove_cvref_t<A>, OperatorRef>)
  OperatorRef(const A& a) : object_(&a), table_(&kTable<A>) {}

  Index rows() const { return table_->rows(object_); }
  Index cols() const { return table_->cols(object_); }
  bool has_adjoint() const { return table_->has_adjoint(object_); }
  void apply(VectorView<const T> x, VectorView<T> y) const { table_->apply(object_, x, y); }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    table_->adjoint(object_, x, y);
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    table_->apply_block(object_, X, Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    table_->adjoint_block(object_, X, Y);
  }

 private:
  using Apply = void (*)(const void*, VectorView<const T>, VectorView<T>);
  using ApplyBlock = void (*)(const void*, BlockView<const T>, BlockView<T>);
  struct Table {
    Index (*rows)(const void*);
    Index (*cols)(const void*);
    bool (*has_adjoint)(const void*);
    Apply apply, adjoint;
    ApplyBlock apply_block, adjoint_block;
  };
  template <class A>
  static constexpr Table kTable = {
      [](const void* a) -> Index { return static_cast<const A*>(a)->rows(); },
      [](const void* a) -> Index { return static_cast<const A*>(a)->cols(); },
      [](const void* a) { return ritz::has_adjoint(*static_cast<const A*>(a)); },
      [](const void* a, VectorView<const T> x, VectorView<T> y) {
        static_cast<const A*>(a)->apply(x, y);
      },
      [](const void* a, VectorView<const T> x, VectorView<T> y) {
        if constexpr (AdjointOperator<A, T>) static_cast<const A*>(a)->apply_adjoint(x, y);
      },
      [](const void* a, BlockView<const T> X, BlockView<T> Y) {
        apply_columns(*static_cast<const A*>(a), X, Y);
      },
      [](const void* a, BlockView<const T> X, BlockView<T> Y) {
        apply_adjoint_columns(*static_cast<const A*>(a), X, Y);
      },
  };

  const void* object_;
  const Table* table_;
};

/// An operator that may be absent: a preconditioner that is known at run time only.
template <Field T>
class OptionalOperator {
 public:
  OptionalOperator(const OperatorRef<T>* a = nullptr) : a_(a) {}

  explicit operator bool() const { return a_ != nullptr; }
  Index rows() const { return a_->rows(); }
  Index cols() const { return a_->cols(); }
  void apply(VectorView<const T> x, VectorView<T> y) const { a_->apply(x, y); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const { a_->apply_block(X, Y); }

 private:
  const OperatorRef<T>* a_;
};

}  // namespace ritz
