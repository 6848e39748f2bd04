// ‖b‖², and whether a solver can work in its units.
#pragma once

#include <cmath>
#include <limits>

#include "ritz/core/error.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// ‖b‖²; infinite or NaN only if b holds such an element. Throws where residuals of the size of
/// rtol ‖b‖ could not be told from zero, or ‖b‖² overflows. `work` is a vector of b's size.
template <Space S>
double right_hand_side_norm2(S& space, VectorView<const typename S::Value> b, double rtol,
                             VectorView<typename S::Value> work) {
  // Squares of residuals down to eps ‖b‖ must stay above the least normal number.
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  constexpr double kLeast = std::numeric_limits<double>::min() / (kEps * kEps);
  const double bb = space.read(space.norm2(b));
  const bool small = bb == 0.0 ? space.read(space.axpby_norm2(1e150, b, 0.0, work)) > 0.0
                               : bb < kLeast && rtol > 0.0;
  if (small) throw InvalidArgument("b is so small that its norm underflows: scale b up");
  if (std::isinf(bb) && std::isfinite(space.read(space.axpby_norm2(1e-150, b, 0.0, work)))) {
    throw InvalidArgument("b is so large that its norm overflows: scale b down");
  }
  return bb;
}

}  // namespace ritz
