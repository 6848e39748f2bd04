// An operator that counts what is asked of it: how a method knows its products.
#pragma once

#include "ritz/core/status.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// Refers to `a` and counts products; `counts` are those of one run.
template <class A>
class Counted {
 public:
  explicit Counted(const A& a) : a_(&a) {}

  Index rows() const { return a_->rows(); }
  Index cols() const { return a_->cols(); }

  template <class T>
  void apply(VectorView<const T> x, VectorView<T> y) {
    ++counts.apply;
    a_->apply(x, y);
  }
  template <class T>
  void apply(VectorView<T> x, VectorView<T> y) {
    apply(VectorView<const T>(x), y);
  }
  template <class T>
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) {
    ++counts.adjoint;
    a_->apply_adjoint(x, y);
  }
  template <class T>
  void apply_adjoint(VectorView<T> x, VectorView<T> y) {
    apply_adjoint(VectorView<const T>(x), y);
  }

  Counts counts;

 private:
  const A* a_;
};

}  // namespace ritz
