// One step of the Lanczos process with full reorthogonalisation, shared by every method that
// projects a Hermitian operator. Lanczos 1950; twice is enough: Giraud, Langou, Rozložník,
// van den Eshof: Rounding error analysis of the classical Gram-Schmidt orthogonalization process.
// Numer. Math. 101, 2005.
#pragma once

#include <cmath>

#include "ritz/core/arena.hpp"
#include "ritz/op/counted.hpp"

namespace ritz {

struct LanczosStep {
  double alpha;  ///< v_jᴴ A v_j
  double beta;   ///< ‖w‖ after orthogonalisation; column j + 1 is w/β if β > 0
};

/// Takes w = A v_j against v_0 … v_j twice and writes w/β into column j + 1 of V. h and g hold
/// j + 1 slots each. Traffic: (3 (j + 1) + 6) n; one operator product; one read.
template <Space S, class A>
LanczosStep lanczos_step(S& space, A& op, BlockView<typename S::Value> V, Index j,
                         typename S::Slots h, typename S::Slots g) {
  using T = typename S::Value;
  const BlockView<const T> basis = V.columns(0, j + 1);
  const VectorView<T> w = V.column(j + 1);
  const auto count = static_cast<std::size_t>(j + 1);

  op.apply(V.column(j), w);
  space.project(basis, w, h.first(count));
  space.subtract_project(basis, h.first(count), w, g.first(count));
  const double beta = std::sqrt(space.read(space.subtract_norm2(basis, g.first(count), w)));

  WideOf<T> first, second;
  space.read(h.subspan(count - 1, 1), {&first, 1});
  space.read(g.subspan(count - 1, 1), {&second, 1});
  if (beta > 0.0) space.scale(1.0 / beta, w);
  return {std::real(first) + std::real(second), beta};
}

/// Fills v with a random unit vector orthogonal to the columns of `basis`; its norm before
/// normalisation is returned, 0 if the basis leaves no room.
template <Space S>
double random_orthonormal(S& space, RandomKey key, BlockView<const typename S::Value> basis,
                          VectorView<typename S::Value> v, typename S::Slots h,
                          typename S::Slots g) {
  space.random_uniform(key, v);
  double norm2 = space.read(space.norm2(v));
  if (basis.cols > 0) {
    const auto count = static_cast<std::size_t>(basis.cols);
    space.project(basis, v, h.first(count));
    space.subtract_project(basis, h.first(count), v, g.first(count));
    norm2 = space.read(space.subtract_norm2(basis, g.first(count), v));
  }
  const double norm = std::sqrt(norm2);
  if (norm > 0.0) space.scale(1.0 / norm, v);
  return norm;
}

}  // namespace ritz
