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

/// The harmonic Ritz pairs for the target σ of a Hermitian A with A V = V T + V₊ B, G = [T; B]: the
/// unit vectors z as columns of Z, those of the values nearest σ first, their distances from it,
/// zᴴTz, and ‖A V z − (zᴴTz) V z‖. Morgan, Zeng: A harmonic restarted Arnoldi algorithm for
/// calculating eigenvalues and determining multiplicity. Linear Algebra Appl. 415, 2006.
template <class W>
RITZ_API void harmonic_pairs(BlockView<const W> G, double sigma, BlockView<W> Z,
                             std::span<double> distances, std::span<double> values,
                             std::span<double> residuals);

/// The restart with the harmonic Ritz vectors Z (any basis of their span): orthonormal columns
/// S = [Y c] with A [V V₊] Y = [V V₊] S [diag(values); coupling]. Y are Ritz vectors over span(Z).
template <class W>
RITZ_API void harmonic_restart(BlockView<const W> G, double sigma, BlockView<const W> Z,
                               BlockView<W> S, std::span<double> values, BlockView<W> coupling);

}  // namespace ritz::dense
