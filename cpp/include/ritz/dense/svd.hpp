// Small singular value problems on the host in double precision.
#pragma once

#include <span>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

/// A = U diag(s) Vᴴ, s descending, with min(rows, cols) columns in U and V. W is double or
/// complex<double>. By a divide-and-conquer bidiagonal method, and by Jacobi's where A V = U
/// diag(s) shows that not to be accurate.
template <class W>
RITZ_API void svd(BlockView<const W> A, BlockView<W> U, std::span<double> s, BlockView<W> V);

}  // namespace ritz::dense
