// How a run ended, and what it cost. The same for every method and every language.
#pragma once

#include <cstdio>
#include <limits>
#include <string>

#include "ritz/core/types.hpp"

namespace ritz {

/// `converged` is a promise: the stated inequality was evaluated on the true residual and holds.
/// Everything else is an honest other ending; the values are part of the C ABI.
enum class Status : int {
  converged = 0,
  max_iterations = 1,
  max_products = 2,
  timeout = 3,
  stopped = 4,
  precision_limit = 5,
  stagnation = 6,
  condition_limit = 7,
  negative_curvature = 8,
  indefinite_preconditioner = 9,
  breakdown = 10,
  nonfinite = 11,
  evaluation_failed = 12,
  boundary = 13,
  least_squares_solution = 14,
};

/// The name of a status, as Python and the logs spell it.
constexpr const char* name(Status status) {
  switch (status) {
    case Status::converged:
      return "converged";
    case Status::max_iterations:
      return "max_iterations";
    case Status::max_products:
      return "max_products";
    case Status::timeout:
      return "timeout";
    case Status::stopped:
      return "stopped";
    case Status::precision_limit:
      return "precision_limit";
    case Status::stagnation:
      return "stagnation";
    case Status::condition_limit:
      return "condition_limit";
    case Status::negative_curvature:
      return "negative_curvature";
    case Status::indefinite_preconditioner:
      return "indefinite_preconditioner";
    case Status::breakdown:
      return "breakdown";
    case Status::nonfinite:
      return "nonfinite";
    case Status::evaluation_failed:
      return "evaluation_failed";
    case Status::boundary:
      return "boundary";
    case Status::least_squares_solution:
      return "least_squares_solution";
  }
  return "unknown";
}

/// What happened, and what to try next.
constexpr const char* advice(Status status) {
  switch (status) {
    case Status::converged:
      return "the tolerance was met, checked on the true residual";
    case Status::max_iterations:
      return "the iteration limit came first: raise it, loosen the tolerance, or precondition";
    case Status::max_products:
      return "the limit on operator products came first: raise it, or precondition";
    case Status::timeout:
      return "the time limit came first";
    case Status::stopped:
      return "the callback asked for the stop";
    case Status::precision_limit:
      return "the working precision cannot meet the tolerance: the true residual has stopped "
             "falling; loosen the tolerance, use float64, or precondition";
    case Status::stagnation:
      return "no further progress is possible: a linear system may have no solution (minres_qlp "
             "and "
             "lsmr take those); otherwise check the derivatives with ritz.check, the scaling, or "
             "start elsewhere";
    case Status::condition_limit:
      return "the estimated condition number passed its limit: regularise with damp, or raise the "
             "limit";
    case Status::negative_curvature:
      return "the operator is not positive definite: use a method for indefinite systems, or add "
             "a shift";
    case Status::indefinite_preconditioner:
      return "the preconditioner is not positive definite: its product with the residual gave a "
             "non-positive inner product";
    case Status::breakdown:
      return "the recurrence broke down: an inner product that it divides by vanished";
    case Status::nonfinite:
      return "a NaN or infinity appeared: look at the operator's output at this iteration";
    case Status::evaluation_failed:
      return "the model could not be evaluated at the starting point: start elsewhere";
    case Status::boundary:
      return "the step reached the radius first: x lies on it, as a trust region wants";
    case Status::least_squares_solution:
      return "the system has no solution, and x minimises the residual: as far as the working "
             "precision tells, it is orthogonal to the range of the operator";
  }
  return "";
}

/// Operator products: single ones, adjoint ones, and columns that went through block products.
struct Counts {
  Index apply = 0;
  Index adjoint = 0;
  Index columns = 0;

  constexpr Index total() const { return apply + adjoint + columns; }
  constexpr Counts& operator+=(const Counts& other) {
    apply += other.apply;
    adjoint += other.adjoint;
    columns += other.columns;
    return *this;
  }
};

/// What every method returns beside its solution.
struct Outcome {
  Status status = Status::max_iterations;
  Index iterations = 0;
  Counts products;           ///< products with the operator (not the preconditioner)
  Index preconditioner = 0;  ///< products with the preconditioner
  double residual = std::numeric_limits<double>::quiet_NaN();  ///< as last measured
  double target = 0.0;    ///< what `residual` was asked to come down to
  bool verified = false;  ///< `residual` was evaluated from its definition, not by a recurrence
  double seconds = 0.0;
};

/// One sentence for people: what happened, at which iteration, with both numbers, what to do.
inline std::string message(const Outcome& outcome) {
  char numbers[96];
  std::snprintf(numbers, sizeof numbers, " at iteration %lld: residual %.3e, target %.3e; ",
                static_cast<long long>(outcome.iterations), outcome.residual, outcome.target);
  return std::string(name(outcome.status)) + numbers + advice(outcome.status);
}

}  // namespace ritz
