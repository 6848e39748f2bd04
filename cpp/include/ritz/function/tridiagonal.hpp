// A symmetric tridiagonal matrix T = S Θ Sᵀ, of which methods over the Lanczos process need the
// eigenvalues, the first and the last row of S, and a few products with S: all in O(m²), as S is
// kept as the rotations that make it.
//
// Implicit QL with Wilkinson's shift: Golub, Welsch: Calculation of Gauss quadrature rules. Math.
// Comp. 23, 1969. Parlett: The Symmetric Eigenvalue Problem, SIAM, 1998, chapter 8.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "ritz/core/types.hpp"

namespace ritz {

class TridiagonalEigen {
 public:
  /// Of T with this diagonal and off-diagonal (one element less), times `scale`; false if the
  /// iteration fails, which only a NaN or an infinity brings about. Without `keep_rotations` there
  /// is no `multiply`; with it about 16 m² bytes are held.
  bool compute(std::span<const double> diagonal, std::span<const double> off, double scale,
               bool keep_rotations) {
    const std::size_t m = diagonal.size();
    rotations_.clear();
    sweeps_.clear();
    values_.assign(diagonal.begin(), diagonal.end());
    off_.assign(off.begin(), off.begin() + static_cast<std::ptrdiff_t>(m > 0 ? m - 1 : 0));
    off_.push_back(0.0);
    first_.assign(m, 0.0);
    last_.assign(m, 0.0);
    if (m == 0) return true;
    first_[0] = last_[m - 1] = 1.0;
    // In units of a power of two near ‖T‖ nothing overflows or underflows on the way.
    double size = 0.0;
    for (std::size_t i = 0; i < m; ++i) {
      size = std::max({size, std::abs(values_[i]), std::abs(off_[i])});
      if (!std::isfinite(values_[i] + off_[i])) return false;
    }
    if (size == 0.0) return true;
    const int power = std::ilogb(size);
    for (double& d : values_) d = std::scalbn(d, -power);
    for (double& e : off_) e = std::scalbn(e, -power);
    for (std::size_t l = 0; l < m; ++l) {
      for (int sweep = 0;; ++sweep) {
        std::size_t end = l;
        while (end + 1 < m && !negligible(end)) ++end;
        if (end == l) break;
        if (sweep == kSweeps) return false;
        chase(l, end, keep_rotations);
      }
    }
    for (double& d : values_) d = std::scalbn(d, power) * scale;
    return true;
  }

  /// In no order.
  std::span<const double> values() const { return values_; }
  std::span<const double> first_row() const { return first_; }
  std::span<const double> last_row() const { return last_; }

  /// y = S y.
  template <class W>
  void multiply(std::span<W> y) const {
    auto g = rotations_.end();
    for (auto sweep = sweeps_.rbegin(); sweep != sweeps_.rend(); ++sweep) {
      for (std::size_t i = sweep->first; i < sweep->second; ++i) {
        const auto [c, s] = *--g;
        const W above = y[i], below = y[i + 1];
        y[i] = c * above + s * below;
        y[i + 1] = c * below - s * above;
      }
    }
  }

 private:
  static constexpr int kSweeps = 80;
  static constexpr double kEps = std::numeric_limits<double>::epsilon();

  bool negligible(std::size_t i) const {
    const double near = std::abs(values_[i]) + std::abs(values_[i + 1]);
    return std::abs(off_[i]) <= std::max(kEps * near, kEps * kEps);
  }

  /// One QL sweep on the rows l … end, none of whose off-diagonal elements is negligible.
  void chase(std::size_t l, std::size_t end, bool keep_rotations) {
    const double half = (values_[l + 1] - values_[l]) / (2.0 * off_[l]);
    const double shift = off_[l] / (half + std::copysign(std::hypot(half, 1.0), half));
    double g = values_[end] - values_[l] + shift, s = 1.0, c = 1.0, p = 0.0;
    std::size_t next = end;  // rows next … end are done
    for (; next > l; --next) {
      const std::size_t i = next - 1;
      const double f = s * off_[i], b = c * off_[i], r = std::hypot(f, g);
      off_[i + 1] = r;
      if (r == 0.0) {  // T has split on the way
        values_[i + 1] -= p;
        off_[end] = 0.0;
        break;
      }
      s = f / r;
      c = g / r;
      g = values_[i + 1] - p;
      const double t = (values_[i] - g) * s + 2.0 * c * b;
      p = s * t;
      values_[i + 1] = g + p;
      g = c * t - b;
      for (auto* row : {&first_, &last_}) {
        double& above = (*row)[i];
        double& below = (*row)[i + 1];
        std::tie(above, below) = std::pair{c * above - s * below, s * above + c * below};
      }
      if (keep_rotations) rotations_.emplace_back(c, s);
    }
    if (keep_rotations) sweeps_.emplace_back(next, end);
    if (next > l) return;
    values_[l] -= p;
    off_[l] = g;
    off_[end] = 0.0;
  }

  std::vector<double> values_, off_, first_, last_;
  std::vector<std::pair<double, double>> rotations_;         // (c, s)
  std::vector<std::pair<std::size_t, std::size_t>> sweeps_;  // columns first … second
};

}  // namespace ritz
