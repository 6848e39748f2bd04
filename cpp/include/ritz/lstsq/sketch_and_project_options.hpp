// Options and outcomes of sketch-and-project.
#pragma once

#include <cstdint>

#include "ritz/core/status.hpp"

namespace ritz {

struct SketchAndProjectOptions {
  double rtol = 1e-6;        ///< stop at ‖b − Ax‖ ≤ max(rtol ‖b‖, atol)
  double atol = 0.0;         ///< 0: an absolute threshold would depend on the units of b
  double relaxation = 1.0;   ///< ω: how much of a projection is made, between 0 and 2
  Index d = 1;               ///< columns of S
  Index max_iterations = 0;  ///< 0: 1000 max(m, n)/d
  bool warm_start = false;   ///< x holds x₀
  bool spd = false;          ///< B = A, Hermitian and positive definite
  std::uint64_t seed = 0;

  template <class F>
  void visit(F f) {
    f("rtol", rtol);
    f("atol", atol);
    f("relaxation", relaxation);
    f("d", d);
    f("max_iterations", max_iterations);
    f("warm_start", warm_start);
    f("spd", spd);
    f("seed", seed);
  }
};

struct SketchAndProjectOutcome : Outcome {
  double norm_a = 0.0;  ///< ‖A‖_F, estimated from the sketches
  double norm_x = 0.0;
  Index checks = 0;  ///< evaluations of the true residual
};

}  // namespace ritz
