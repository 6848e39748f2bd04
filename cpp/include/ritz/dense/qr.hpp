// QR factorisations and triangular solves of small matrices on the host in double precision.
#pragma once

#include <span>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

// W is double or complex<double>; k = min(rows, cols).

/// A = Q R by Householder reflections: A of m × n is overwritten by Q in its first k columns,
/// R is k × n. O(m n k) work.
template <class W>
RITZ_API void qr(BlockView<W> A, BlockView<W> R);

/// A P = Q R with |R_ii| descending; column j of A P is column order[j] of A.
template <class W>
RITZ_API void qr_pivoted(BlockView<W> A, BlockView<W> R, std::span<Index> order);

/// The same without Q, which costs as much again; A is lost.
template <class W>
RITZ_API void qr_pivoted_r(BlockView<W> A, BlockView<W> R, std::span<Index> order);

/// G = Rᴴ R by Cholesky: the upper triangle of G becomes R, and what is below it zero. False if G
/// is not positive definite to rounding.
template <class W>
RITZ_API bool cholesky_upper(BlockView<W> G);

/// B = R⁻¹ B for an upper triangular R, or R⁻ᴴ B.
template <class W>
RITZ_API void solve_upper(BlockView<const W> R, BlockView<W> B, bool adjoint = false);

/// C = A B, with Aᴴ for A where `adjoint`.
template <class W>
RITZ_API void multiply(BlockView<const W> A, BlockView<const W> B, BlockView<W> C,
                       bool adjoint = false);

}  // namespace ritz::dense
