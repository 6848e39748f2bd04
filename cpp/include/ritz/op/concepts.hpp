// What a method asks of an operator, and the one way to apply it to a vector or a block.
#pragma once

#include <concepts>

#include "ritz/core/error.hpp"
#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz {

/// y = A x for x of `cols()` and y of `rows()` elements; x and y never overlap.
template <class A, class T>
concept LinearOperator = requires(const A& a, VectorView<const T> x, VectorView<T> y) {
  { a.rows() } -> std::convertible_to<Index>;
  { a.cols() } -> std::convertible_to<Index>;
  a.apply(x, y);
};

template <class A, class T>
concept AdjointOperator =
    LinearOperator<A, T> &&
    requires(const A& a, VectorView<const T> x, VectorView<T> y) { a.apply_adjoint(x, y); };

template <class A, class T>
concept BlockOperator =
    requires(const A& a, BlockView<const T> X, BlockView<T> Y) { a.apply_block(X, Y); };

template <class A, class T>
concept AdjointBlockOperator =
    requires(const A& a, BlockView<const T> X, BlockView<T> Y) { a.apply_adjoint_block(X, Y); };

/// Whether y = Aᴴ x can be asked for; a type-erased operator knows only at run time.
template <class A>
constexpr bool has_adjoint(const A& a) {
  if constexpr (requires { a.has_adjoint(); }) {
    return a.has_adjoint();
  } else {
    return requires(VectorView<const double> x, VectorView<double> y) { a.apply_adjoint(x, y); } ||
           requires(VectorView<const float> x, VectorView<float> y) { a.apply_adjoint(x, y); } ||
           requires(VectorView<const std::complex<double>> x, VectorView<std::complex<double>> y) {
             a.apply_adjoint(x, y);
           } ||
           requires(VectorView<const std::complex<float>> x, VectorView<std::complex<float>> y) {
             a.apply_adjoint(x, y);
           };
  }
}

/// Y = A X, as one block product where A offers it and X has more than one column.
template <class A, class T>
void apply_columns(const A& a, BlockView<const T> X, BlockView<T> Y) {
  if constexpr (BlockOperator<A, T>) {
    if (X.cols > 1) return a.apply_block(X, Y);
  }
  for (Index j = 0; j < X.cols; ++j) a.apply(X.column(j), Y.column(j));
}

/// Throws unless y = Aᴴ x can be asked for.
template <class A>
void require_adjoint(const A& a) {
  if (!has_adjoint(a)) {
    throw InvalidArgument("the operator has no adjoint product: supply rmatvec (the VJP)");
  }
}

/// Y = Aᴴ X, likewise; throws where A has no adjoint product.
template <class A, class T>
void apply_adjoint_columns(const A& a, BlockView<const T> X, BlockView<T> Y) {
  if constexpr (AdjointBlockOperator<A, T>) {
    if (X.cols > 1) return a.apply_adjoint_block(X, Y);
  }
  if constexpr (AdjointOperator<A, T>) {
    for (Index j = 0; j < X.cols; ++j) a.apply_adjoint(X.column(j), Y.column(j));
  } else {
    require_adjoint(a);
  }
}

template <class T>
BlockView<T> as_block(VectorView<T> x) {
  return {x.data, x.size, 1, x.size};
}

}  // namespace ritz
