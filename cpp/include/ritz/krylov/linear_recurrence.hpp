// What a run asks of the scalars of its method; see linear_run.hpp.
#pragma once

#include "ritz/space/recurrence.hpp"

namespace ritz {

/// Of a process that may end by an Event, whose first one is none, before its residual came to the
/// target. Real is double, or PaddedReal where the method's coefficients may be complex.
template <class Real, class Event>
struct ProcessRecurrence {
  Real running = 1.0;     ///< 0 from the end on: vectors and scalars stay what they are then
  Real event = 0.0;       ///< an Event
  Real steps = 0.0;       ///< made to their end
  Real unfinished = 0.0;  ///< 1 if the event came in a step that counts as an iteration
  Real residual = 0.0;    ///< at the start, then the method's
  Real target = 0.0;
  Real epsilon = 0.0;  ///< of the vectors' precision

  constexpr bool end(Event what, bool counts = false) {
    running = 0.0;
    event = static_cast<double>(what);
    unfinished = counts ? 1.0 : 0.0;
    return false;
  }
  constexpr bool is(Event what) const { return event == static_cast<double>(what); }
};

/// What ends a method whose coefficients may be complex.
enum class LinearEvent {
  none,
  breakdown,
  negative_curvature,
  indefinite_preconditioner,
  nonfinite
};

/// What the recurrences of such methods share.
struct LinearRecurrence : ProcessRecurrence<PaddedReal, LinearEvent> {
  using Number = device::Complex<double>;

  /// After an event that left x and r what they were.
  constexpr void resume() {
    running = 1.0;
    event = 0.0;
  }
  /// Once x and r are those of this step.
  constexpr void close(double r) {
    residual = r;
    steps += 1.0;
    if (!is_finite(residual) || residual <= target) running = 0.0;
  }
};

}  // namespace ritz
