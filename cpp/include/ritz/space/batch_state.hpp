// The numbers of the systems in a batch, and what an iteration makes of them: the same text on the
// host and in the kernels of a device.
#pragma once

#include "ritz/core/status.hpp"
#include "ritz/core/types.hpp"

namespace ritz {

/// Five numbers of each of `count` systems in the space's memory, array after array. A status is
/// one of the two below, or how the system ended.
struct BatchState {
  static constexpr Index kArrays = 5;
  static constexpr double kRunning = -1.0;
  static constexpr double kClaimed = -2.0;  ///< waits for its true residual, as all do at the start

  double* start = nullptr;
  Index count = 0;

  constexpr double* status() const { return start; }
  constexpr double* residual() const { return start + count; }  ///< ‖r‖, as last known
  constexpr double* iterations() const { return start + 2 * count; }
  constexpr double* rho() const { return start + 3 * count; }  ///< Re rᴴz
  constexpr double* target() const { return start + 4 * count; }

  static constexpr double code(Status status) {
    return static_cast<double>(static_cast<int>(status));
  }
  static constexpr bool finite(double x) { return x - x == 0.0; }

  /// Whether system k may step along p, with pq = Re pᴴq; otherwise it ends.
  static constexpr bool curved(double pq) { return finite(pq) && pq > 0.0; }
  constexpr void end_uncurved(Index k, double pq) const {
    status()[k] = code(finite(pq) ? Status::negative_curvature : Status::nonfinite);
    if (!finite(pq)) iterations()[k] += 1.0;
  }

  /// Whether system k may take the step that gave this residual, with ρ' = Re rᴴz; otherwise it
  /// ends with the x that it has.
  static constexpr bool usable(double residual, double next) {
    return finite(residual) && finite(next) && (next > 0.0 || !(residual > 0.0));
  }
  constexpr void end_unusable(Index k, double residual, double next) const {
    const bool numbers = finite(residual) && finite(next);
    status()[k] = code(numbers ? Status::indefinite_preconditioner : Status::nonfinite);
    iterations()[k] += 1.0;
  }

  /// After the step: a target that is met comes before a limit.
  constexpr void advance(Index k, double norm, double next, Index limit) const {
    residual()[k] = norm;
    rho()[k] = next;
    iterations()[k] += 1.0;
    if (norm <= target()[k]) {
      status()[k] = kClaimed;
    } else if (iterations()[k] >= static_cast<double>(limit)) {
      status()[k] = code(Status::max_iterations);
    }
  }
};

/// The systems whose status is `wanted`; null stands for all.
struct BatchSelection {
  const double* status = nullptr;
  double wanted = 0.0;

  constexpr bool has(Index k) const { return status == nullptr || status[k] == wanted; }
};

}  // namespace ritz
