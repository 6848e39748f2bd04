// All eigenvalues or singular values of a small operator, from its products with unit vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/dense/svd.hpp"
#include "ritz/function/bracket.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// The columns A e_j (or Aᴴ e_j) into Y, as many at once as E has columns.
template <Space S, class A>
void unit_products(S& space, const A& op, bool adjoint, BlockView<typename S::Value> E,
                   BlockView<typename S::Value> Y, Counts& counts) {
  using T = typename S::Value;
  for (Index first = 0; first < Y.cols; first += E.cols) {
    const Index count = std::min(E.cols, Y.cols - first);
    for (Index j = 0; j < count; ++j) {
      space.fill(0.0, E.column(j));
      space.fill(1.0, E.column(j).middle(first + j, 1));
    }
    const BlockView<const T> X = E.columns(0, count);
    if (adjoint) {
      (count > 1 && AdjointBlockOperator<A, T> ? counts.columns : counts.adjoint) += count;
      apply_adjoint_columns(op, X, Y.columns(first, count));
    } else {
      (count > 1 && BlockOperator<A, T> ? counts.columns : counts.apply) += count;
      apply_columns(op, X, Y.columns(first, count));
    }
  }
}

/// The eigenvalues of A, or its singular values, by dense decompositions: of A itself, or of the
/// factor R of A = QR. False if a NaN or an infinity came.
template <Space S, class A>
bool dense_spectrum(S& space, const A& op, bool singular, Counts& counts,
                    std::vector<double>& values) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const bool adjoint = singular && op.rows() < op.cols();
  const Index n = std::min(op.rows(), op.cols()), m = std::max(op.rows(), op.cols());
  const Index block = singular ? std::min<Index>(n, 16) : n;
  const auto size = static_cast<std::size_t>(n);
  Arena<S> arena;
  arena.begin(space, Arena<S>::padded(n) * block + Arena<S>::padded(m) * n +
                         2 * Arena<S>::padded(Arena<S>::slot_elements(n)));
  const BlockView<T> E = arena.block(n, block), Y = arena.block(m, n);
  const auto h = arena.slots(n), g = arena.slots(n);
  unit_products(space, op, adjoint, E, Y, counts);

  std::vector<W> small(size * size), again(size);
  const BlockView<W> R{small.data(), n, n, n};
  double norm = 0.0;
  for (Index j = 0; j < n; ++j) {
    const auto count = static_cast<std::size_t>(singular ? j : n);
    const std::span<W> column(&small[static_cast<std::size_t>(j) * size], count);
    if (!singular) {  // E holds the identity
      space.project(E, Y.column(j), h);
      space.read(h, column);
    } else {
      double off = 0.0;
      if (j > 0) {
        const BlockView<const T> Q = Y.columns(0, j);
        space.project(Q, Y.column(j), h.first(count));
        space.read(h.first(count), column);
        space.subtract_project(Q, h.first(count), Y.column(j), g.first(count));
        space.read(g.first(count), std::span(again).first(count));
        for (std::size_t i = 0; i < count; ++i) column[i] += again[i];
        off = std::sqrt(space.read(space.subtract_norm2(Q, g.first(count), Y.column(j))));
      } else {
        off = std::sqrt(space.read(space.norm2(Y.column(j))));
      }
      norm = std::max(norm, off);
      // What rounding leaves of a dependent column is no direction.
      const bool dependent =
          off <= backward_error(std::numeric_limits<RealOf<T>>::epsilon(), m) * norm;
      R(j, j) = dependent ? 0.0 : off;
      space.scale(dependent ? 0.0 : 1.0 / off, Y.column(j));
    }
  }
  for (const W& r : small) {
    if (!std::isfinite(std::abs(r))) return false;
  }
  values.resize(size);
  if (singular) {
    std::vector<W> U(size * size), V(size * size);
    dense::svd<W>(R, {U.data(), n, n, n}, values, {V.data(), n, n, n});
  } else {
    for (Index j = 0; j < n; ++j) {  // the Hermitian part
      for (Index i = j; i < n; ++i) R(i, j) = 0.5 * (R(i, j) + conjugate(R(j, i)));
    }
    dense::eigh<W>(R, values);
  }
  return true;
}

}  // namespace ritz
