// Harmonic Ritz vectors of a projected problem, on the host in double precision.
#pragma once

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

/// The harmonic Ritz vectors z of the at most k values θ nearest 0, GᴴG z = θ GᴴN z, as columns of
/// S with orthonormal images Q = G S; their number. G and N have as many rows as columns or one
/// more; a real basis takes the real and imaginary parts of a conjugate pair, or neither.
template <class W>
RITZ_API Index harmonic_ritz(BlockView<const W> G, BlockView<const W> N, Index k, BlockView<W> S,
                             BlockView<W> Q);

}  // namespace ritz::dense
