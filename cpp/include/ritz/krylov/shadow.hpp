// The shadow residual r̂ of the methods that come from BiCG, drawn anew after a breakdown.
#pragma once

#include <cmath>

#include "ritz/space/concept.hpp"

namespace ritz {

/// A breakdown leaves r as it is; another r̂ goes on from there. That is worth a second time only if
/// something was gained since the first.
class ShadowRestarts {
 public:
  /// Whether to go on after a breakdown at this residual.
  bool allowed(double residual) {
    if (!(residual <= 0.5 * last_)) return false;
    last_ = residual;
    return true;
  }
  /// r̂ = a random vector + 2 r, in units of r; ‖r̂‖. The part of r keeps r̂ᴴr away from 0, the random
  /// one r̂ᴴAr.
  template <Space S>
  double draw(S& space, VectorView<const typename S::Value> r, double norm_r,
              VectorView<typename S::Value> rhat) {
    space.random_uniform({kSeed, stream_++}, rhat);
    const double size = std::sqrt(space.read(space.norm2(rhat)));
    return std::sqrt(space.read(space.axpby_norm2(2.0, r, norm_r / size, rhat)));
  }

 private:
  static constexpr std::uint64_t kSeed = 1;  // fixed: a solve has the same bits every time
  double last_ = INFINITY;
  std::uint64_t stream_ = 0;
};

}  // namespace ritz
