// Options and outcomes of randomized Kaczmarz.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "ritz/core/status.hpp"

namespace ritz {

enum class KaczmarzMethod : int {
  automatic = 0,  ///< plain; extended from where the residual has stopped falling
  plain = 1,      ///< for consistent systems
  extended = 2,   ///< for all
};

struct KaczmarzOptions {
  double rtol =
      1e-6;  ///< stop at ‖r‖ ≤ max(rtol ‖b‖, atol) or, unless plain, ‖Aᴴr‖ ≤ rtol ‖A‖_F ‖r‖
  double atol = 0.0;         ///< 0: an absolute threshold would depend on the units of b
  double relaxation = 1.0;   ///< ω: how much of a projection is made, between 0 and 2
  Index block = 1;           ///< rows that are projected on together
  Index max_iterations = 0;  ///< steps; 0: as use max(m, n) rows a thousand times
  Index check_every = 0;    ///< steps from one look at the estimates to the next; 0: min(m, n) rows
  bool warm_start = false;  ///< x holds x₀
  KaczmarzMethod method = KaczmarzMethod::automatic;
  std::uint64_t seed = 0;

  template <class F>
  void visit(F f) {
    f("rtol", rtol);
    f("atol", atol);
    f("relaxation", relaxation);
    f("block", block);
    f("max_iterations", max_iterations);
    f("check_every", check_every);
    f("warm_start", warm_start);
    f("seed", seed);
  }
};

/// `residual` is ‖b − Ax‖, `products` the rows used as parts of products, rounded up, and the
/// products that evaluated residuals.
struct KaczmarzOutcome : Outcome {
  double normal_residual = INFINITY;  ///< ‖Aᴴ(b − Ax)‖, where it was evaluated last
  double normal_target = 0.0;         ///< what that was asked to come down to
  double norm_a = 0.0;                ///< ‖A‖_F
  double norm_x = 0.0;
  Index row_uses = 0;
  Index column_uses = 0;
  Index checks = 0;     ///< evaluations of the true residual
  double passes = 0.0;  ///< readings of A: row_uses/m + column_uses/n, residuals, norms
  KaczmarzMethod method = KaczmarzMethod::plain;  ///< the one that ended the run
};

/// One sentence for people.
inline std::string message(const KaczmarzOutcome& out) {
  char numbers[160];
  std::snprintf(numbers, sizeof numbers,
                " at step %lld: residual %.3e, target %.3e; normal residual %.3e, target %.3e; ",
                static_cast<long long>(out.iterations), out.residual, out.target,
                out.normal_residual, out.normal_target);
  std::string text = name(out.status) + std::string(numbers);
  if (out.status == Status::stagnation) {
    return text + "the residual hardly falls any more: " +
           (out.method == KaczmarzMethod::plain ? "there may be no solution, and the extended "
                                                  "method then minimises the residual; or "
                                                : "") +
           "A is too ill-conditioned for steps along rows, and lsmr needs fewer products";
  }
  return text + advice(out.status);
}

}  // namespace ritz
