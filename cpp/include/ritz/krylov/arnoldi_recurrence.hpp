// The scalars of one vector's orthogonalization against a basis; see arnoldi.hpp.
#pragma once

#include "ritz/space/recurrence.hpp"

namespace ritz {

struct ArnoldiRecurrence {
  static constexpr std::int32_t kNumber = 5;
  /// Its first step takes nothing from what was there before.
  static constexpr bool kStartsItself = true;

  double again = 0.0;  ///< whether a second pass is made
  double norm = 0.0;   ///< ‖w‖ after the last
  double by_w = 0.0;   ///< 1 / ‖w‖, or 0

  /// After the first pass, with ‖w‖² and ‖Vᴴw‖², in a precision; after the second, with ‖w‖²; after
  /// two that were made in any case.
  enum Phase { kFirstInSingle, kFirstInDouble, kSecond, kBoth };

  template <class Math>
  constexpr void step(int phase, const double (&sums)[kStepSums]) {
    // Keeps ‖VᴴV − I‖ below 10 ε √k, both triangles counted.
    constexpr double kOrthogonal = 5.0;
    if (phase < kSecond) {
      const double epsilon = phase == kFirstInSingle ? 0x1p-23 : 0x1p-52;
      const double left = Math::sqrt(sums[1]);
      norm = Math::sqrt(sums[0]);
      again = left <= kOrthogonal * epsilon * norm ? 0.0 : 1.0;
    } else {
      if (phase == kBoth) again = 1.0;
      if (again > 0.0) norm = Math::sqrt(sums[0]);
      by_w = norm > 0.0 ? 1.0 / norm : 0.0;
    }
  }
};

}  // namespace ritz
