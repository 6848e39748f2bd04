// What the eigenvalue methods ask of A x = λ M x: products, counted, with operators that may be
// absent, and the norms that their tolerances are relative to.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <utility>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/eigen/hermitian_problem.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// y = A x or Y = A X; nothing for an absent A.
template <class Op, class T>
void apply_counted(const Op& op, VectorView<const T> x, VectorView<T> y, Counts& counts) {
  if constexpr (!std::same_as<Op, NoOperator>) {
    ++counts.apply;
    op.apply(x, y);
  }
}
template <class Op, class T>
void apply_counted(const Op& op, BlockView<const T> X, BlockView<T> Y, Counts& counts) {
  if constexpr (!std::same_as<Op, NoOperator>) {
    (X.cols > 1 ? counts.columns : counts.apply) += X.cols;
    apply_columns(op, X, Y);
  }
}

/// A lower bound of ‖A‖ by four steps of the power method, in two vectors; 1 for an absent A.
template <Space S, class Op>
double power_norm(S& space, const Op& op, RandomKey key, VectorView<typename S::Value> x,
                  VectorView<typename S::Value> y, Counts& counts) {
  using T = typename S::Value;
  if (!is_given(op)) return 1.0;
  space.random_uniform(key, x);
  double norm = 0.0, length = std::sqrt(space.read(space.norm2(x)));
  for (int step = 0; step < 4 && length > 0.0; ++step) {
    space.scale(1.0 / length, x);
    apply_counted(op, VectorView<const T>(x), y, counts);
    length = std::sqrt(space.read(space.norm2(y)));
    if (!std::isfinite(length)) return length;
    norm = std::max(norm, length);
    std::swap(x, y);
  }
  return norm;
}

}  // namespace ritz
