// Functions on an interval 0 < m ≤ x ≤ M as sums of poles on the negative axis,
//
//   f(x) ≈ c + Σ wᵢ / (x + σᵢ), σᵢ > 0,   or x times that.
//
// Inverse square root: the conformal map of Hale, Higham, Trefethen: Computing A^α, log(A), and
// related matrix functions by contour integrals. SIAM J. Numer. Anal. 46, 2008, method 3, whose
// error falls by e^{−2πK/K′} a pole. Logarithm and powers: the trapezoidal rule in log σ for log x
// = ∫ (1/(1 + σ) − 1/(x + σ)) dσ and x^{−p} = sin(πp)/π ∫ σ^{−p}/(x + σ) dσ over σ > 0.
#pragma once

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/function/named.hpp"

namespace ritz {

struct PartialFractions {
  std::vector<double> shifts, weights;
  double constant = 0.0;
  bool times_x = false;
  double error = 0.0;  ///< max |f − this| over the interval, as sampled

  double operator()(double x) const {
    double sum = constant;
    for (std::size_t i = 0; i < shifts.size(); ++i) sum += weights[i] / (x + shifts[i]);
    return times_x ? x * sum : sum;
  }
};

namespace detail {

/// The complete elliptic integral K of the complementary modulus k′, by the arithmetic-geometric
/// mean.
inline double complete_elliptic(double complement) {
  double a = 1.0, b = complement;
  while (std::abs(a - b) > 1e-15 * a) {
    const double mean = 0.5 * (a + b);
    b = std::sqrt(a * b);
    a = mean;
  }
  return std::numbers::pi / (2.0 * a);
}

struct Elliptic {
  double sn, cn, dn;
};

/// Jacobi's functions of real u for the complementary modulus k′, by descending Landen steps.
inline Elliptic jacobi(double u, double complement) {
  double a[32], c[32];
  a[0] = 1.0;
  double b = complement;
  c[0] = std::sqrt((1.0 - b) * (1.0 + b));
  int n = 0;
  for (; n < 30 && std::abs(c[n]) > 1e-17 * a[n]; ++n) {
    a[n + 1] = 0.5 * (a[n] + b);
    c[n + 1] = 0.5 * (a[n] - b);
    b = std::sqrt(a[n] * b);
  }
  double phi = std::ldexp(a[n] * u, n);
  for (int i = n; i > 0; --i) {
    phi = 0.5 * (phi + std::asin(c[i] / a[i] * std::sin(phi)));
  }
  const double sn = std::sin(phi), cn = std::cos(phi);
  const double dn = n == 0 ? 1.0 : std::hypot(cn, complement * sn);
  return {sn, cn, dn};
}

/// x^{−1/2}: w = (2K′√m/(πN)) dn/cn², σ = m sn²/cn² at (j − ½)K′/N, for the modulus k′ = √(1 −
/// m/M).
inline PartialFractions inverse_square_root(double m, double M, int poles) {
  const double k = std::sqrt(m / M);
  const double K = complete_elliptic(k);
  PartialFractions r;
  for (int j = 1; j <= poles; ++j) {
    const Elliptic e = jacobi((j - 0.5) * K / poles, k);
    r.shifts.push_back(m * e.sn * e.sn / (e.cn * e.cn));
    r.weights.push_back(2.0 * K * std::sqrt(m) / (std::numbers::pi * poles) * e.dn / (e.cn * e.cn));
  }
  return r;
}

/// The trapezoidal rule of step h in log σ from `from` to `to`.
inline PartialFractions exponential_rule(const NamedFunction& f, double h, double from, double to) {
  PartialFractions r;
  const auto count = static_cast<int>(std::ceil((to - from) / h)) + 1;
  for (int i = 0; i < count; ++i) {
    const double u = from + i * h, sigma = std::exp(u);
    r.shifts.push_back(sigma);
    if (f.kind == Function::log) {
      r.constant += h * sigma / (1.0 + sigma);
      r.weights.push_back(-h * sigma);
    } else {
      const double p = f.p < 0.0 ? -f.p : 1.0 - f.p;
      r.weights.push_back(h * std::sin(std::numbers::pi * p) / std::numbers::pi *
                          std::exp((1.0 - p) * u));
    }
  }
  return r;
}

}  // namespace detail

/// For log, sqrt, invsqrt, inv, powers between −1 and 1 and the resolvent at z < m; its error is at
/// most `rtol` times |f|, or as small as double precision lets it be.
inline PartialFractions partial_fractions(const NamedFunction& f, double m, double M, double rtol) {
  if (!(m > 0.0 && m <= M && std::isfinite(M))) {
    throw InvalidArgument("the interval is [" + std::to_string(m) + ", " + std::to_string(M) +
                          "]; a sum of poles needs 0 < low ≤ high");
  }
  PartialFractions r;
  const auto measured = [&] {
    constexpr int kSamples = 400;
    double relative = 0.0;
    r.error = 0.0;
    for (int i = 0; i <= kSamples; ++i) {
      const double x = m * std::pow(M / m, static_cast<double>(i) / kSamples);
      const double value = evaluate_real(f, x), error = std::abs(r(x) - value);
      r.error = std::max(r.error, error);
      const double size = f.kind == Function::log ? std::max(std::abs(value), 1e-2) : value;
      relative = std::max(relative, error / std::abs(size));
    }
    return relative;
  };
  switch (f.kind) {
    case Function::inv:
      r = {{0.0}, {1.0}};
      return r;
    case Function::resolvent:
      if (!(f.z.real() < m))
        throw InvalidArgument("z lies in the spectrum's interval, or above it");
      r = {{-f.z.real()}, {1.0}};
      return r;
    case Function::invsqrt:
    case Function::sqrt: {
      double last = INFINITY;
      for (int poles = 4; poles <= 128; poles += std::max(1, poles / 4)) {
        r = detail::inverse_square_root(m, M, poles);
        r.times_x = f.kind == Function::sqrt;
        const double now = measured();
        if (now <= rtol || (now < 1e-12 && now > 0.5 * last)) break;
        last = now;
      }
      return r;
    }
    case Function::log:
    case Function::power: {
      if (f.kind == Function::power && !(std::abs(f.p) < 1.0 && f.p != 0.0)) {
        throw InvalidArgument("p is " + std::to_string(f.p) +
                              "; a sum of poles needs a power between -1 and 1, but 0");
      }
      const double p = f.kind == Function::log ? 0.0 : (f.p < 0.0 ? -f.p : 1.0 - f.p);
      const double digits = std::log(1.0 / std::max(rtol, 1e-14)) + 3.0;
      double last = INFINITY;
      for (double wide = digits; wide < 4.0 * digits; wide *= 1.2) {
        // The integrand decays like σ^{1−p} below m and σ^{−p} above M; like 1/σ for log.
        const double below = f.kind == Function::log ? wide : wide / (1.0 - p);
        const double above = f.kind == Function::log ? wide : wide / p;
        const double step = 2.0 * std::numbers::pi * std::numbers::pi / (1.05 * wide);
        const double least = f.kind == Function::log ? std::min(m, 1.0) : m;
        const double most = f.kind == Function::log ? std::max(M, 1.0) : M;
        r = detail::exponential_rule(f, step, std::log(least) - below, std::log(most) + above);
        r.times_x = f.kind == Function::power && f.p > 0.0;
        const double now = measured();
        if (now <= rtol || now > 0.9 * last) break;
        last = now;
      }
      return r;
    }
    default:
      throw InvalidArgument("this function is no sum of poles on the negative axis: pass poles");
  }
}

}  // namespace ritz
