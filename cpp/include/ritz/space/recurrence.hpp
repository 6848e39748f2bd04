// The scalars of a method between its operations on vectors: steps from an iteration to the next
// that a device can make by itself.
//
// A recurrence is a struct of doubles with the formulas of its method. On the host a step is a
// call; on a device the struct lies in memory of the device and one of its threads makes the step,
// by the same text, so that the host need not come between two operations.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ritz {

/// What the formulas call where they run on the host.
struct HostMath {
  static double sqrt(double x) { return std::sqrt(x); }
  static double hypot(double x, double y) { return std::hypot(x, y); }
};

constexpr bool is_finite(double x) { return x - x == 0.0; }

/// Sums that a step takes at most.
inline constexpr std::size_t kStepSums = 3;

/// Scalars of a recurrence at most.
inline constexpr std::size_t kMostScalars = 96;

/// Doubles only; `step<Math>(phase, sums)` makes one step of an iteration from the sums that it
/// needs, and `kNumber` is its place in the list of krylov/recurrences.hpp.
template <class R>
concept Recurrence =
    std::is_trivially_copyable_v<R> && alignof(R) == alignof(double) &&
    sizeof(R) % sizeof(double) == 0 && sizeof(R) <= kMostScalars * sizeof(double) &&
    requires(R r, const double (&sums)[kStepSums]) {
      r.template step<HostMath>(0, sums);
      std::int32_t{R::kNumber};
    };

/// A recurrence where reads are free.
template <Recurrence R>
struct HostKept {
  double operator[](double R::* scalar) const { return now.*scalar; }

  R now;
};

/// What a space does with recurrences where reads are free.
struct HostRecurrences {
  template <Recurrence R>
  static HostKept<R> keep(const R& start) {
    return {start};
  }
  template <Recurrence R>
  static void assign(HostKept<R>& kept, const R& to) {
    kept.now = to;
  }
  template <Recurrence R, std::same_as<double>... Sums>
  static void advance(HostKept<R>& kept, int phase, Sums... sums) {
    kept.now.template step<HostMath>(phase, {sums...});
  }
  template <Recurrence R>
  static const R& read(HostKept<R>& kept) {
    return kept.now;
  }
};

}  // namespace ritz
