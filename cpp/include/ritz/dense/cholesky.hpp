// The Cholesky factorisation of a small Hermitian matrix on the host: A = L Lᴴ.
#pragma once

#include <cmath>
#include <limits>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

/// Overwrites the lower triangle of A by L; false if A is not positive definite to rounding.
template <class W>
bool cholesky(BlockView<W> A) {
  const Index n = A.rows;
  for (Index j = 0; j < n; ++j) {
    double pivot = std::real(A(j, j));
    const double before = pivot;
    for (Index k = 0; k < j; ++k) pivot -= std::norm(A(j, k));
    // Below this the pivot is what rounding left of the subtraction.
    constexpr double kEps = std::numeric_limits<double>::epsilon();
    if (!(pivot > kEps * static_cast<double>(n) * before) || !std::isfinite(pivot)) return false;
    const double root = std::sqrt(pivot);
    A(j, j) = root;
    for (Index i = j + 1; i < n; ++i) {
      W sum = A(i, j);
      for (Index k = 0; k < j; ++k) sum -= A(i, k) * conjugate(A(j, k));
      A(i, j) = sum / root;
    }
  }
  return true;
}

/// B = A⁻¹ B from the L of A.
template <class W>
void cholesky_solve(BlockView<const W> L, BlockView<W> B) {
  const Index n = L.rows;
  for (Index c = 0; c < B.cols; ++c) {
    for (Index i = 0; i < n; ++i) {
      W sum = B(i, c);
      for (Index k = 0; k < i; ++k) sum -= L(i, k) * B(k, c);
      B(i, c) = sum / L(i, i);
    }
    for (Index i = n - 1; i >= 0; --i) {
      W sum = B(i, c);
      for (Index k = i + 1; k < n; ++k) sum -= conjugate(L(k, i)) * B(k, c);
      B(i, c) = sum / L(i, i);
    }
  }
}

}  // namespace ritz::dense
