// Gauss and Gauss-Radau rules of the measure that a vector u and a Hermitian A define,
// ∫ f dμ = uᴴ f(A) u / uᴴu, from the Jacobi matrix that Lanczos steps leave of them, and the
// brackets of the integral that they give where the derivatives of f keep their signs.
//
// Golub, Meurant: Matrices, Moments and Quadrature with Applications. Princeton, 2010.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "ritz/core/function_ref.hpp"
#include "ritz/function/named.hpp"
#include "ritz/function/tridiagonal.hpp"

namespace ritz {

/// The k × k matrix T of the recurrence; `off` has k elements, the last of which couples T to what
/// it does not hold.
struct Jacobi {
  std::vector<double> diagonal, off;
  double norm = 0.0;   ///< a lower bound of ‖A‖
  bool exact = false;  ///< `off.back()` is rounding: T holds all that u sees of A

  Index size() const { return static_cast<Index>(diagonal.size()); }
  void clear() {
    diagonal.clear();
    off.clear();
    norm = 0.0;
    exact = false;
  }
};

/// ∫ f dμ ≈ Σ weights[j] f(nodes[j]), nodes ascending.
struct QuadratureRule {
  std::vector<double> nodes, weights;
  std::vector<double> last;  ///< |last component| of each eigenvector of T

  /// The Gauss rule of the tridiagonal matrix of this diagonal and off-diagonal; false for a NaN.
  bool set(std::span<const double> diagonal, std::span<const double> off) {
    const std::size_t k = diagonal.size();
    if (!eigen_.compute(diagonal, off.first(k > 0 ? k - 1 : 0), 1.0, false)) return false;
    order_.resize(k);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    const auto theta = eigen_.values();
    std::sort(order_.begin(), order_.end(), [&](std::size_t i, std::size_t j) {
      return theta[i] < theta[j] || (theta[i] == theta[j] && i < j);
    });
    nodes.resize(k);
    weights.resize(k);
    last.resize(k);
    for (std::size_t j = 0; j < k; ++j) {
      nodes[j] = theta[order_[j]];
      weights[j] = eigen_.first_row()[order_[j]] * eigen_.first_row()[order_[j]];
      last[j] = std::abs(eigen_.last_row()[order_[j]]);
    }
    return true;
  }

 private:
  TridiagonalEigen eigen_;
  std::vector<std::size_t> order_;
};

/// The diagonal element that borders T so that z becomes an eigenvalue; nothing if z lies among the
/// eigenvalues of T rather than beside them. Golub: Some modified matrix eigenvalue problems. SIAM
/// Review 15, 1973.
inline std::optional<double> radau_element(const Jacobi& T, double z) {
  const std::size_t k = T.diagonal.size();
  double pivot = T.diagonal[0] - z;
  const bool below = pivot > 0.0;
  for (std::size_t j = 1; j < k && pivot != 0.0; ++j) {
    if ((pivot > 0.0) != below) return std::nullopt;
    pivot = T.diagonal[j] - z - T.off[j - 1] * (T.off[j - 1] / pivot);
  }
  if (pivot == 0.0 || (pivot > 0.0) != below) return std::nullopt;
  return z + T.off[k - 1] * (T.off[k - 1] / pivot);
}

/// The sign of the m-th derivative of f on (low, high), m ≥ 1: 0 if it vanishes there, nothing if
/// it changes or is not known.
inline std::optional<int> derivative_sign(const NamedFunction& f, Index m, double low,
                                          double high) {
  const double t = f.t.real();
  if (!f.is_real() || t == 0.0) return std::nullopt;
  const int alternating = m % 2 == 0 ? 1 : -1;
  const int outer = t < 0.0 ? alternating : 1;
  const double from = t > 0.0 ? t * low : t * high, to = t > 0.0 ? t * high : t * low;
  const auto pole = [&](double z) -> std::optional<int> {  // 1 / (y − z)
    if (from >= z) return outer * alternating;
    if (to <= z) return -outer;
    return std::nullopt;
  };
  const auto power = [&](double p) -> std::optional<int> {  // y^p
    const double degree = std::ceil(p), order = static_cast<double>(m);
    if (p >= 0.0 && p == degree && order > p) return 0;
    if (!(from >= 0.0)) return std::nullopt;
    if (p > 0.0 && order <= degree) return outer;
    const bool even = std::fmod(std::max(degree, 0.0), 2.0) == 0.0;
    return outer * (even ? alternating : -alternating);
  };
  switch (f.kind) {
    case Function::exp:
    case Function::phi:
      return outer;
    case Function::log:
      return from >= 0.0 ? std::optional(-outer * alternating) : std::nullopt;
    case Function::sqrt:
      return power(0.5);
    case Function::invsqrt:
      return power(-0.5);
    case Function::inv:
      return pole(0.0);
    case Function::resolvent:
      return pole(f.z.real());
    case Function::power:
      return power(f.p);
    case Function::sign:
      if (from > 0.0 || to < 0.0) return 0;
      return std::nullopt;
  }
  return std::nullopt;
}

/// What is integrated: f by name, or any function of real numbers.
struct Integrand {
  NamedFunction named;
  /// y_j = f(x_j); if it is set, `named` is not looked at, and nothing is known of derivatives.
  function_ref<void(std::span<const double>, std::span<double>)> values;

  bool custom() const { return static_cast<bool>(values); }
  /// Defined for t x ≥ 0 only.
  bool half_line() const { return !custom() && named.half_line() && named.t.real() > 0.0; }
  void evaluate(std::span<const double> x, std::span<double> y) const {
    if (custom()) return values(x, y);
    const bool clamp = half_line();
    for (std::size_t j = 0; j < x.size(); ++j) {
      y[j] = evaluate_real(named, clamp ? std::max(x[j], 0.0) : x[j]);
    }
  }
};

/// lower ≤ ∫ f dμ ≤ upper, as far as `rigorous` says.
struct Bracket {
  double value = std::numeric_limits<double>::quiet_NaN();
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
  double rounding = std::numeric_limits<double>::infinity();  ///< share of it in (upper − lower)/2
  bool rigorous = false;  ///< by theory; otherwise an estimate from the depths so far
  bool negative = false;  ///< T has an eigenvalue where f is not defined

  double half_width() const { return upper > lower ? 0.5 * (upper - lower) : 0.0; }
  /// Nothing is to be gained by more steps.
  bool at_rounding() const { return half_width() <= 2.0 * rounding && std::isfinite(rounding); }
};

}  // namespace ritz
