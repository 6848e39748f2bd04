// The scalars of a method between its operations on vectors: steps from an iteration to the next
// that a device can make by itself.
//
// A recurrence is a struct of doubles, or of complex numbers, with the formulas of its method. On
// the host a step is a call; on a device the struct lies in memory of the device and one of its
// threads makes the step, by the same text, so that the host need not come between two operations.
#pragma once

#include <cmath>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ritz/core/types.hpp"
#include "ritz/device/complex.hpp"

namespace ritz {

/// What the formulas call where they run on the host.
struct HostMath {
  static double sqrt(double x) { return std::sqrt(x); }
  static double hypot(double x, double y) { return std::hypot(x, y); }
};

constexpr bool is_finite(double x) { return x - x == 0.0; }

/// Sums that a step takes at most.
inline constexpr std::size_t kStepSums = 3;

/// Doubles of a recurrence at most.
inline constexpr std::size_t kMostScalars = 96;

/// What the sums of a step of R are, and how long each of its scalars: double, or what R names
/// Number, which is device::Complex<double>. The sums of real vectors have no imaginary part then,
/// and nor has what follows from them, so that one R serves both fields.
template <class R>
struct NumberOfRecurrence {
  using Type = double;
};
template <class R>
  requires requires { typename R::Number; }
struct NumberOfRecurrence<R> {
  using Type = typename R::Number;
};
template <class R>
using NumberOf = typename NumberOfRecurrence<R>::Type;

/// A real scalar among complex ones, as long as one of them.
struct PaddedReal {
  constexpr PaddedReal(double x = 0.0) : value(x) {}
  constexpr operator double() const { return value; }
  constexpr PaddedReal& operator+=(double x) {
    value += x;
    return *this;
  }

  double value, none = 0.0;
};

/// Doubles of slots, of which each has two, for each double of R.
template <class R>
inline constexpr std::size_t kSlotStride = 2 * sizeof(double) / sizeof(NumberOf<R>);

/// A sum from the two doubles of a slot, and from the host.
template <class Number>
constexpr Number from_slot(const double* slot) {
  if constexpr (std::same_as<Number, double>) {
    return slot[0];
  } else {
    return {slot[0], slot[1]};
  }
}
constexpr device::Complex<double> to_number(double x) { return x; }
constexpr device::Complex<double> to_number(std::complex<double> x) { return {x.real(), x.imag()}; }
/// A scalar as a coefficient for vectors whose sums are of type Wide.
template <class Wide>
constexpr Wide from_number(device::Complex<double> x) {
  if constexpr (std::same_as<Wide, double>) {
    return x.re;
  } else {
    return {x.re, x.im};
  }
}

/// `step<Math>(phase, sums)` makes one step of an iteration from the sums that it needs, and
/// `kNumber` is its place in the list of krylov/recurrences.hpp. All scalars are double; or, where
/// there is a Number, that or PaddedReal.
template <class R>
concept Recurrence =
    std::is_trivially_copyable_v<R> && alignof(R) == alignof(double) &&
    sizeof(R) % sizeof(NumberOf<R>) == 0 && sizeof(R) <= kMostScalars * sizeof(double) &&
    requires(R r, const NumberOf<R> (&sums)[kStepSums]) {
      r.template step<HostMath>(0, sums);
      std::int32_t{R::kNumber};
    };

/// A recurrence where reads are free.
template <class Wide, Recurrence R>
struct HostKept {
  double operator[](double R::* scalar) const { return now.*scalar; }
  double operator[](PaddedReal R::* scalar) const { return now.*scalar; }
  Wide operator[](device::Complex<double> R::* scalar) const {
    return from_number<Wide>(now.*scalar);
  }

  R now;
};

/// What a space does with recurrences where reads are free, and where sums are of type Wide.
template <class Wide>
struct HostRecurrences {
  template <Recurrence R>
  static HostKept<Wide, R> keep(const R& start) {
    return {start};
  }
  template <Recurrence R>
  static void assign(HostKept<Wide, R>& kept, const R& to) {
    kept.now = to;
  }
  template <Recurrence R, class... Sums>
  static void advance(HostKept<Wide, R>& kept, int phase, Sums... sums) {
    if constexpr (std::same_as<NumberOf<R>, double>) {
      kept.now.template step<HostMath>(phase, {sums...});
    } else {
      kept.now.template step<HostMath>(phase, {to_number(sums)...});
    }
  }
  template <Recurrence R>
  static const R& read(HostKept<Wide, R>& kept) {
    return kept.now;
  }
};

}  // namespace ritz
