// The small projected problems of the iterative methods, on the host in double precision.
#pragma once

#include <span>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

/// Eigenvalues (ascending) of the symmetric `a`, which is overwritten by the eigenvectors.
RITZ_API void eigh(BlockView<double> a, std::span<double> values);

}  // namespace ritz::dense
