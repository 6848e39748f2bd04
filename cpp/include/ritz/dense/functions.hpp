// Functions of small square matrices on the host in double precision.
//
// exp: Higham: The scaling and squaring method for the matrix exponential revisited. SIAM J. Matrix
// Anal. Appl. 26, 2005. Square root, logarithm and sign: Higham: Functions of Matrices, SIAM, 2008,
// algorithms 6.3, 11.9 and section 5.3. φ_k by an augmented matrix: Sidje: Expokit. ACM Trans.
// Math. Softw. 24, 1998.
#pragma once

#include <complex>
#include <span>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"
#include "ritz/function/named.hpp"

namespace ritz::dense {

/// y = f(A) e₁; false if f is not defined on A: singular, or on the branch cut. O(n³).
RITZ_API bool function_column(const NamedFunction& f, BlockView<const std::complex<double>> A,
                              std::span<std::complex<double>> y);

/// F = f(A), likewise; not for φ_k.
RITZ_API bool function(const NamedFunction& f, BlockView<const std::complex<double>> A,
                       BlockView<std::complex<double>> F);

/// A X = X diag(values); `left` is X⁻¹ e₁. Returns the condition number of X, whose columns have
/// length one: infinite for a defective A.
RITZ_API double eigen(BlockView<const std::complex<double>> A,
                      std::span<std::complex<double>> values, BlockView<std::complex<double>> X,
                      std::span<std::complex<double>> left);

/// The eigenvalues of A.
RITZ_API void eigenvalues(BlockView<const std::complex<double>> A,
                          std::span<std::complex<double>> values);

}  // namespace ritz::dense
