// The Schur form of small matrices on the host in double precision, in any order of its
// eigenvalues. Bai, Demmel: On swapping diagonal blocks in real Schur form. Linear Algebra Appl.
// 186, 1993.
#pragma once

#include <complex>
#include <span>

#include "ritz/core/function_ref.hpp"
#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

// W is double or complex<double>. A Schur form T is upper triangular; a real one has 2 × 2 blocks
// on its diagonal, each with a pair of conjugate eigenvalues, and zeros under them.

/// A = Q T Qᴴ with the eigenvalues λ in the order of ascending key(λ), which is the same for both
/// members of a pair; A becomes T. False if the QR iteration did not converge. `extended` computes
/// in long double and rounds once: what repeats this on its own results hundreds of times does not
/// drift then.
template <class W>
RITZ_API bool schur(BlockView<W> A, BlockView<W> Q, function_ref<double(std::complex<double>)> key,
                    bool extended);

/// The eigenvalues in the order of the diagonal, of a pair the one in the upper half plane first.
template <class W>
RITZ_API void schur_values(BlockView<const W> T, std::span<std::complex<double>> values);

/// The eigenvectors of T, of unit length, one a column; of a pair they are conjugates. A defective
/// T repeats its vectors.
template <class W>
RITZ_API void schur_vectors(BlockView<const W> T, BlockView<std::complex<double>> X);

/// The condition numbers 1/|yᴴx| of the eigenvalues, y and x being the left and right unit
/// eigenvectors; infinite for a defective one.
template <class W>
RITZ_API void schur_conditions(BlockView<const W> T, std::span<double> conditions);

}  // namespace ritz::dense
