// What all ways to f(A) b take and tell.
#pragma once

#include <cmath>
#include <limits>
#include <span>

#include "ritz/core/status.hpp"
#include "ritz/function/funm_error.hpp"
#include "ritz/function/named.hpp"

namespace ritz {

struct FunmOptions {
  double rtol = 1e-6;        ///< stop at an error of max(rtol ‖y‖, atol), every function by itself
  double atol = 0.0;         ///< 0: an absolute threshold would depend on the units of b
  double t = 1.0;            ///< y = f(t A) b
  Index max_basis = 0;       ///< vectors kept; 0 means n
  Index max_iterations = 0;  ///< 0 means 10 n
  double low = -INFINITY;    ///< an interval that holds the spectrum of A, if one is known
  double high = INFINITY;
  bool verify = true;  ///< evaluate the residuals of inverses and resolvents: one product for each

  template <class F>
  void visit(F f) {
    f("rtol", rtol);
    f("atol", atol);
    f("t", t);
    f("max_basis", max_basis);
    f("max_iterations", max_iterations);
    f("low", low);
    f("high", high);
    f("verify", verify);
  }
};

/// `residual` is the error ‖y − f(tA) b‖ of the function that is furthest from its target.
struct FunmOutcome : Outcome {
  bool bound = false;  ///< `residual` is an upper bound, rounding apart; else an estimate
  Index basis = 0;     ///< vectors kept
  Index repeated = 0;  ///< products made a second time
  double offending = std::numeric_limits<double>::quiet_NaN();  ///< where f is not finite
};

/// The whole error of one function, and the norm of its value.
struct FunmAccount {
  double error = INFINITY, norm = 0.0;
};

/// What the names tell.
inline SpectralFacts facts_of(std::span<const NamedFunction> functions) {
  SpectralFacts facts;
  for (const NamedFunction& f : functions) {
    if (f.half_line()) facts.least = 0.0;
    if (f.kind == Function::sign) facts.jump = true;
    if (f.singular()) facts.singular = true;
  }
  return facts;
}

}  // namespace ritz
