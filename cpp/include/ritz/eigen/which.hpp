// Which eigenvalues are wanted, and what it means that one is better than those at hand.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "ritz/core/types.hpp"

namespace ritz {

enum class Which : int {
  largest = 0,    ///< "LA"
  smallest = 1,   ///< "SA"
  magnitude = 2,  ///< "LM"
  both_ends = 3,  ///< "BE": half from each end, one more from the high end if k is odd
};

/// The positions of `values` into `order`, best first; the k wanted ones are the first k. Ties go
/// by position.
inline void order_wanted(std::span<const double> values, std::span<Index> order, Which which) {
  const auto value = [&](Index i) { return values[static_cast<std::size_t>(i)]; };
  const auto key = [&](Index i) {
    if (which == Which::smallest) return value(i);
    return which == Which::magnitude ? -std::abs(value(i)) : -value(i);
  };
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(),
            [&](Index i, Index j) { return key(i) < key(j) || (key(i) == key(j) && i < j); });
  if (which != Which::both_ends) return;
  // Largest, smallest, second largest, …: rotations, which need no memory.
  for (std::size_t i = 1; i < order.size(); i += 2) {
    const auto at = order.begin() + static_cast<std::ptrdiff_t>(i);
    std::rotate(at, order.end() - 1, order.end());
  }
}

/// By how much `value` would beat the worst of `wanted` (best first); not positive if it would not.
inline double improvement(double value, std::span<const double> wanted, Which which) {
  const double last = wanted.back();
  if (which == Which::largest) return value - last;
  if (which == Which::smallest) return last - value;
  if (which == Which::magnitude) return std::abs(value) - std::abs(last);
  const bool high = wanted.size() % 2 == 1;  // the end that the last one is from
  const double before = wanted.size() > 1 ? wanted[wanted.size() - 2] : last;
  const double low_end = high ? before : last, high_end = high ? last : before;
  if (wanted.size() == 1) return value - last;
  return std::max(value - high_end, low_end - value);
}

/// How many of the ascending values coincide with each one: neighbours whose bounds overlap.
inline void multiplicities(std::span<const double> values, std::span<const double> bounds,
                           std::span<Index> counts) {
  for (std::size_t first = 0; first < values.size();) {
    std::size_t last = first + 1;
    while (last < values.size() &&
           values[last] - values[last - 1] <= bounds[last] + bounds[last - 1]) {
      ++last;
    }
    std::fill(counts.begin() + static_cast<std::ptrdiff_t>(first),
              counts.begin() + static_cast<std::ptrdiff_t>(last), static_cast<Index>(last - first));
    first = last;
  }
}

}  // namespace ritz
