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

 private:
  using Apply = void (*)(const void*, VectorView<const T>, VectorView<T>);
  struct Table {
    Index (*rows)(const void*);
    Index (*cols)(const void*);
    bool (*has_adjoint)(const void*);
    Apply apply, adjoint;
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
  };

  const void* object_;
  const Table* table_;
};

}  // namespace ritz
