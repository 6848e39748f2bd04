// Small Hermitian eigenproblems on the host in double precision.
#pragma once

#include <span>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

/// Eigenvalues (ascending) of the Hermitian A, of which the lower triangle is read; A is
/// overwritten by the eigenvectors. W is double or complex<double>.
template <class W>
RITZ_API void eigh(BlockView<W> A, std::span<double> values);

/// Eigenvalues (ascending) of the symmetric tridiagonal matrix of the given diagonal and
/// off-diagonal (one element less); Y becomes the eigenvectors.
RITZ_API void eigh_tridiagonal(std::span<const double> diagonal, std::span<const double> off,
                               std::span<double> values, BlockView<double> Y);

}  // namespace ritz::dense
