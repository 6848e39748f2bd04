// The functions that funm knows by name, at a real or a complex argument.
#pragma once

#include <cmath>
#include <complex>
#include <limits>
#include <span>
#include <type_traits>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz {

enum class Function : int {
  exp = 0,
  log = 1,
  sqrt = 2,
  invsqrt = 3,
  inv = 4,
  power = 5,      ///< x^p
  sign = 6,       ///< 0 at 0
  phi = 7,        ///< φ_k(x) = Σ_i x^i / (i + k)!, so that φ_0 = exp and φ_1 = (eˣ − 1)/x
  resolvent = 8,  ///< 1 / (x − z)
};

/// x ↦ f(t x), f by name.
struct NamedFunction {
  Function kind = Function::exp;
  std::complex<double> t = 1.0;
  double p = 1.0;                ///< of `power`
  int k = 1;                     ///< of `phi`
  std::complex<double> z = 0.0;  ///< of `resolvent`

  bool is_real() const { return t.imag() == 0.0 && z.imag() == 0.0; }
  /// Defined, and real, only where t x ≥ 0.
  bool half_line() const {
    return kind == Function::log || kind == Function::sqrt || kind == Function::invsqrt ||
           (kind == Function::power && p != std::round(p));
  }
  /// Infinite, or with a jump, at a point of the real axis.
  bool singular() const {
    return kind == Function::log || kind == Function::invsqrt || kind == Function::inv ||
           kind == Function::sign || kind == Function::resolvent ||
           (kind == Function::power && p < 0.0);
  }
};

/// φ_k(x), by its series near 0 and by φ_k(x) = (φ_{k−1}(x) − 1/(k − 1)!)/x elsewhere.
template <class X>
X phi(int k, X x) {
  if (k == 0) return std::exp(x);
  if (std::abs(x) < 1.0 + 0.5 * k) {
    double factorial = 1.0;
    for (int i = 2; i <= k; ++i) factorial *= i;
    X term = 1.0 / factorial, sum = term;
    for (int i = 1; i < 100; ++i) {
      term *= x / static_cast<double>(i + k);
      sum += term;
      if (std::abs(term) <= 0x1p-60 * std::abs(sum)) break;
    }
    return sum;
  }
  X value;
  if constexpr (std::is_same_v<X, double>) {
    value = std::expm1(x) / x;
  } else {
    value = (std::exp(x) - 1.0) / x;
  }
  double factorial = 1.0;
  for (int i = 2; i <= k; ++i) {
    value = (value - 1.0 / factorial) / x;
    factorial *= i;
  }
  return value;
}

/// f(x) of a function with real t and z; NaN where it is not real.
inline double evaluate_real(const NamedFunction& f, double x) {
  const double tx = f.t.real() * x;
  switch (f.kind) {
    case Function::exp:
      return std::exp(tx);
    case Function::log:
      return std::log(tx);
    case Function::sqrt:
      return std::sqrt(tx);
    case Function::invsqrt:
      return 1.0 / std::sqrt(tx);
    case Function::inv:
      return 1.0 / tx;
    case Function::power:
      return std::pow(tx, f.p);
    case Function::sign:
      return tx > 0.0 ? 1.0 : (tx < 0.0 ? -1.0 : tx);
    case Function::phi:
      return phi(f.k, tx);
    case Function::resolvent:
      return 1.0 / (tx - f.z.real());
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// Principal values; sign by the real part.
inline std::complex<double> evaluate(const NamedFunction& f, std::complex<double> x) {
  const std::complex<double> tx = f.t * x;
  switch (f.kind) {
    case Function::exp:
      return std::exp(tx);
    case Function::log:
      return std::log(tx);
    case Function::sqrt:
      return std::sqrt(tx);
    case Function::invsqrt:
      return 1.0 / std::sqrt(tx);
    case Function::inv:
      return 1.0 / tx;
    case Function::power:
      return std::pow(tx, f.p);
    case Function::sign:
      return tx.real() > 0.0 ? 1.0 : (tx.real() < 0.0 ? -1.0 : 0.0);
    case Function::phi:
      return phi(f.k, tx);
    case Function::resolvent:
      return 1.0 / (tx - f.z);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// Column i of Y becomes functions[i] at the real numbers x; NaN where the value has no place in W.
template <class W>
void evaluate(std::span<const NamedFunction> functions, std::span<const double> x, BlockView<W> Y) {
  for (std::size_t i = 0; i < functions.size(); ++i) {
    const NamedFunction& f = functions[i];
    for (std::size_t j = 0; j < x.size(); ++j) {
      W& y = Y(static_cast<Index>(j), static_cast<Index>(i));
      if (f.is_real() || f.half_line()) {
        y = evaluate_real(f, x[j]);
      } else if constexpr (std::is_same_v<W, double>) {
        y = std::numeric_limits<double>::quiet_NaN();
      } else {
        y = evaluate(f, std::complex<double>(x[j]));
      }
    }
  }
}

}  // namespace ritz
