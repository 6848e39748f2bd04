// How far V f(T) e₁ ‖b‖ is from f(A) b after m Lanczos steps: with T = S Θ Sᵀ,
//
//   f(A) b − ‖b‖ V f(T) e₁ = ‖b‖ β g(A) v_{m+1},   g(x) = Σᵢ s_{1i} s_{mi} (f(x) − f(θᵢ))/(x − θᵢ),
//
// so that the error is at most ‖b‖ β max |g| over an interval that holds the spectrum. g is β₁ …
// β_{m−1} times the divided difference f[θ₁, …, θ_m, x], whose modulus is largest at one end for
// exp, φ_k, log, inverse and fractional powers: then the maximum over the points tried here is the
// true one. It is the residual bound of Saad for exp, and for 1/(x − z) the residual over the
// distance of z.
//
// Saad: Analysis of some Krylov subspace approximations to the matrix exponential operator. SIAM J.
// Numer. Anal. 29, 1992. Chen, Greenbaum, Musco, Musco: Error bounds for Lanczos-based matrix
// function approximation. SIAM J. Matrix Anal. Appl. 43, 2022. Frommer, Schweitzer: Error bounds
// and estimates for Krylov subspace approximations of Stieltjes matrix functions. BIT 56, 2016.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "ritz/core/function_ref.hpp"
#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"
#include "ritz/function/tridiagonal.hpp"

namespace ritz {

/// Column i of Y becomes fᵢ at the points x, all functions and all points in one call.
template <class W>
using SpectralFunctions = function_ref<void(std::span<const double> x, BlockView<W> Y)>;

/// What is known of the spectrum of A beforehand, and of the functions.
struct SpectralFacts {
  double low = -INFINITY;    ///< no eigenvalue lies below it; −∞ where nothing is known
  double high = INFINITY;    ///< nor above it
  double least = -INFINITY;  ///< the functions are defined from here on: `half_line` ones from 0
  bool jump = false;         ///< one of them jumps at 0, as sign does
  bool singular = false;     ///< one of them is infinite somewhere on the axis, or jumps

  bool known() const { return std::isfinite(low) && std::isfinite(high); }
};

/// Of one function, in units of ‖b‖.
struct FunmError {
  double norm;   ///< ‖f(T) e₁‖
  double bound;  ///< β max |g|
  double floor;  ///< what rounding of A leaves of f(A) b
};

/// The values of the functions at the Ritz values and at the points where g is looked at.
template <class W>
class FunmErrors {
 public:
  /// False if a function is not finite at a Ritz value, which then is `offending()`. `eps` is that
  /// of the vectors, `norm_a` the largest |θ| or step seen. Cost: (2m + 1) m operations a function.
  bool evaluate(const TridiagonalEigen& T, double beta, double eps, double norm_a,
                const SpectralFacts& facts, const SpectralFunctions<W>& f, Index functions) {
    const std::size_t m = T.values().size();
    const double nudge = 4.0 * eps * norm_a;
    x_.assign(T.values().begin(), T.values().end());
    for (double& x : x_) {  // below by a rounding of A
      if (x < facts.least && x >= facts.least - nudge * std::sqrt(static_cast<double>(m))) {
        x = facts.least;
      }
    }
    for (std::size_t i = 0; i < m; ++i) x_.push_back(x_[i] + nudge);
    append_points(T, beta, nudge, facts);
    const auto rows = static_cast<Index>(x_.size());
    y_.resize(x_.size() * static_cast<std::size_t>(functions));
    const BlockView<W> Y{y_.data(), rows, functions, rows};
    f(x_, Y);
    errors_.resize(static_cast<std::size_t>(functions));
    for (Index k = 0; k < functions; ++k) {
      for (std::size_t i = 0; i < m; ++i) {
        if (std::isfinite(std::abs(Y(static_cast<Index>(i), k)))) continue;
        offending_ = x_[i];
        return false;
      }
      errors_[static_cast<std::size_t>(k)] = error(T, beta, eps, nudge, Y.column(k));
    }
    return true;
  }

  std::span<const FunmError> errors() const { return errors_; }
  double offending() const { return offending_; }
  /// f(θᵢ) of function k, in the order of T's values.
  W at_value(std::size_t i, Index k) const {
    return y_[i + x_.size() * static_cast<std::size_t>(k)];
  }

 private:
  /// The ends of the spectrum, the middles between neighbouring Ritz values, and both sides of a
  /// jump.
  void append_points(const TridiagonalEigen& T, double beta, double nudge,
                     const SpectralFacts& facts) {
    const std::size_t m = T.values().size();
    order_.resize(m);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](std::size_t i, std::size_t j) {
      return x_[i] < x_[j] || (x_[i] == x_[j] && i < j);
    });
    const std::size_t bottom = order_.front(), top = order_.back();
    if (std::isfinite(facts.low)) {
      x_.push_back(std::min(facts.low, x_[bottom]));
    } else {
      append_end(x_[bottom], -beta * std::abs(T.last_row()[bottom]), facts.least);
    }
    if (std::isfinite(facts.high)) {
      x_.push_back(std::max(facts.high, x_[top]));
    } else {
      append_end(x_[top], beta * std::abs(T.last_row()[top]), facts.least);
    }
    if (facts.jump && !(facts.low > 0.0) && !(facts.high < 0.0)) {
      x_.push_back(-nudge);
      x_.push_back(nudge);
    }
    for (std::size_t i = 0; i + 1 < m; ++i) {
      x_.push_back(0.5 * x_[order_[i]] + 0.5 * x_[order_[i + 1]]);
    }
  }

  /// Where nothing is known: an outer Ritz value moved outward by its residual, and again by no
  /// more than three quarters of the way to 0, where functions tend to be singular. While the
  /// residual is not small beside it, the end may also have the other sign.
  void append_end(double theta, double step, double least) {
    const double end = std::max(theta + step, least);
    x_.push_back(end);
    if (theta * step >= 0.0) return;
    if (std::abs(step) > 0.75 * std::abs(theta)) x_.push_back(0.25 * theta);
    if (std::abs(step) > 0.1 * std::abs(theta)) x_.push_back(std::max(-theta, least));
  }

  FunmError error(const TridiagonalEigen& T, double beta, double eps, double nudge,
                  VectorView<const W> y) const {
    const std::size_t m = T.values().size();
    const auto s1 = T.first_row(), sm = T.last_row();
    const auto value = [&](std::size_t i) { return y[static_cast<Index>(i)]; };
    double norm2 = 0.0, moved2 = 0.0, all2 = 0.0;
    for (std::size_t i = 0; i < m; ++i) {
      norm2 += s1[i] * s1[i] * std::norm(value(i));
      moved2 += s1[i] * s1[i] * std::norm(value(m + i) - value(i)) / 4.0;
      all2 += std::norm(value(i)) / static_cast<double>(m);
    }
    for (std::size_t k = 0; k + 1 < m; ++k) {
      const std::size_t i = order_[k], j = order_[k + 1];
      const double gap = x_[j] - x_[i];
      if (!(gap > nudge)) continue;
      const double slope = std::abs(value(j) - value(i)) / gap * nudge / 4.0;
      moved2 += slope * slope * (s1[i] * s1[i] + s1[j] * s1[j]);
    }
    double largest = 0.0;
    for (std::size_t j = 2 * m; j < x_.size(); ++j) {
      if (!std::isfinite(std::abs(value(j)))) continue;
      W g = 0.0;
      for (std::size_t i = 0; i < m; ++i) {
        const double distance = x_[j] - x_[i];
        g += s1[i] * sm[i] *
             (std::abs(distance) > nudge / 4.0 ? (value(j) - value(i)) / distance
                                               : (value(m + i) - value(i)) / nudge);
      }
      largest = std::max(largest, std::abs(g));
    }
    FunmError e;
    e.norm = std::sqrt(norm2);
    e.bound = beta == 0.0 ? 0.0 : beta * largest;
    // To first order, and a step's rounding is that of one processor: twice that covers the others.
    e.floor = 2.0 * std::sqrt(moved2 + eps * eps * (4.0 * norm2 + all2));
    return e;
  }

  std::vector<double> x_;
  std::vector<W> y_;
  std::vector<std::size_t> order_;
  std::vector<FunmError> errors_;
  double offending_ = 0.0;
};

}  // namespace ritz
