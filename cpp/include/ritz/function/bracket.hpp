// The bracket of one integral ∫ f dμ as its Jacobi matrix grows.
#pragma once

#include "ritz/core/error.hpp"
#include "ritz/function/gauss.hpp"

namespace ritz {

/// What is known of the spectrum of A: low ≤ λ ≤ high.
struct SpectrumBounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// What products and recurrences in a precision of `eps` leave unsaid about a vector of n elements:
/// T is that of A + E with ‖E‖ ≤ backward_error · ‖A‖.
inline double backward_error(double eps, Index n) {
  return eps * (8.0 + 0.5 * std::sqrt(static_cast<double>(n)));
}

/// Steps at which a bracket is evaluated: all at first, then so many in each doubling, as a rule
/// costs O(k²).
inline bool quadrature_due(Index step, Index each_doubling) {
  return step % std::max<Index>(1, step / each_doubling) == 0;
}

/// The Gauss rule of k nodes errs by f^(2k)(ξ)/(2k)! ∫ Π(x − θ)² dμ, the Radau rule with a node z
/// beside the spectrum by f^(2k+1)(ξ)/(2k+1)! ∫ (x − z) Π(x − θ)² dμ: bounds of the integral where
/// the derivatives have a sign. Without, the bracket is an estimate: four times what the last
/// quarter of the steps has changed.
///
/// Rounding: T is exact for an operator A + E, so that the rules are evaluated for a spectrum wider
/// by ‖E‖, and each bound is loosened by what a shift of its nodes by ‖E‖ would change. Cost: O(k²)
/// of small work.
class BracketedIntegral {
 public:
  void clear() {
    earlier_.clear();
    bracket = {};
  }

  /// After a step, or several; throws InvalidArgument if T contradicts the bounds.
  void update(const Jacobi& T, const Integrand& f, const SpectrumBounds& given, double eps,
              Index n) {
    begin();
    if (!gauss_.set(T.diagonal, T.off)) return;
    const double first = gauss_.nodes.front(), last = gauss_.nodes.back();
    const double norm = std::max({std::abs(first), std::abs(last), T.norm});
    const double E = backward_error(eps, n) * norm + (T.exact ? T.off.back() : 0.0);
    if (first < given.low - E || last > given.high + E) {
      throw InvalidArgument("bounds are (" + std::to_string(given.low) + ", " +
                            std::to_string(given.high) + "), but A has a Rayleigh quotient of " +
                            std::to_string(first < given.low - E ? first : last) +
                            ": pass bounds that hold the spectrum, or none");
    }
    if (f.half_line() && first < -E) {
      bracket.negative = true;
      return;
    }
    relative_ = backward_error(eps, n);
    const Term gauss = apply(gauss_, f, E);
    bracket.value = gauss.value;
    if (norm == 0.0) {  // A u = 0
      bracket.lower = bracket.upper = gauss.value;
      bracket.rounding = 0.0;
      bracket.rigorous = true;
      return;
    }
    if (T.exact) {
      add(gauss, 0, true);
      bracket.rigorous = !f.custom();
    } else {
      bound(T, f, given, gauss, E);
    }
    fall_back(T, gauss);
  }

  /// The same for ∫ |x|^p of a Golub-Kahan process, p > 0: in λ = x² its matrix of even order is a
  /// Gauss rule, and that of odd order the Radau rule with a node at 0, which bounds AᴴA below.
  void update_even(const Jacobi& T, double p, double eps, Index n) {
    begin();
    relative_ = backward_error(eps, n);
    const auto values = [p](std::span<const double> x, std::span<double> y) {
      for (std::size_t j = 0; j < x.size(); ++j) y[j] = std::pow(std::abs(x[j]), p);
    };
    Integrand f;
    f.values = values;
    NamedFunction of_square;
    of_square.kind = Function::power;
    of_square.p = p / 2.0;
    const Index size = T.size();
    const double E = backward_error(eps, n) * T.norm + (T.exact ? T.off.back() : 0.0);
    diagonal_.assign(static_cast<std::size_t>(size + 1), 0.0);
    for (Index order = size; order <= (T.exact ? size : size + 1); ++order) {
      if (!gauss_.set(std::span(diagonal_).first(static_cast<std::size_t>(order)), T.off)) return;
      const Term term = apply(gauss_, f, E);
      bracket.value = term.value;
      // λ^(p/2) has derivatives of constant sign on the half line.
      const auto sign = derivative_sign(of_square, order, 0.0, INFINITY);
      add(term, T.exact ? 0 : *sign, true);
    }
    bracket.rigorous = true;
    if (std::isfinite(bracket.lower) && std::isfinite(bracket.upper)) {
      bracket.rounding = std::max(lower_.rounding, upper_.rounding);
      if (!T.exact) bracket.value = std::midpoint(bracket.lower, bracket.upper);
    }
  }

  Bracket bracket;

 private:
  struct Term {
    double value, rounding;
  };

  void begin() {
    bracket = {};
    lower_rigorous_ = upper_rigorous_ = false;
  }

  /// Σ w f(x), and what E and the rounding of u may change in it.
  Term apply(const QuadratureRule& rule, const Integrand& f, double E) {
    const std::size_t k = rule.nodes.size();
    x_.resize(3 * k);
    y_.resize(3 * k);
    for (std::size_t j = 0; j < k; ++j) {
      x_[j] = rule.nodes[j];
      x_[k + j] = rule.nodes[j] - E;
      x_[2 * k + j] = rule.nodes[j] + E;
    }
    f.evaluate(x_, y_);
    double sum = 0.0, change = 0.0, size = 0.0, squares = 0.0;
    for (std::size_t j = 0; j < k; ++j) {
      const double w = rule.weights[j], y = y_[j];
      if (w == 0.0) continue;
      sum += w * y;
      change += w * std::max(std::abs(y_[k + j] - y), std::abs(y_[2 * k + j] - y));
      size += w * std::abs(y);
    }
    for (std::size_t j = 0; j < k; ++j) {
      const double scaled = size > 0.0 ? y_[j] / size : 0.0;
      squares += rule.weights[j] * scaled * scaled;
    }
    const double rounding = 2.0 * change + relative_ * size * std::max(1.0, std::sqrt(squares));
    return {sum, std::isnan(rounding) ? INFINITY : rounding};
  }

  /// The integral lies above a rule whose error has sign +1, below one of sign −1.
  void add(const Term& term, int sign, bool rigorous) {
    if (!std::isfinite(term.value) || !std::isfinite(term.rounding)) return;
    // What holds by theory goes before what is closer.
    const double lower = term.value - term.rounding, upper = term.value + term.rounding;
    if (sign >= 0 && (rigorous == lower_rigorous_ ? lower > bracket.lower : rigorous)) {
      bracket.lower = lower;
      lower_ = term;
      lower_rigorous_ = rigorous;
    }
    if (sign <= 0 && (rigorous == upper_rigorous_ ? upper < bracket.upper : rigorous)) {
      bracket.upper = upper;
      upper_ = term;
      upper_rigorous_ = rigorous;
    }
  }

  void bound(const Jacobi& T, const Integrand& f, const SpectrumBounds& given, const Term& gauss,
             double E) {
    if (f.custom()) return;
    const double residual = std::abs(T.off.back());
    const double first = gauss_.nodes.front(), last = gauss_.nodes.back();
    double low = given.low, high = given.high;
    if (f.half_line()) low = std::max(low, 0.0);
    const bool singular = !std::isfinite(f.half_line() ? evaluate_real(f.named, 0.0) : 0.0);
    bool low_known = std::isfinite(low) && !(singular && low == 0.0);
    bool high_known = std::isfinite(high);
    // Where nothing is given, the extreme Ritz values, widened by their residuals.
    double a = low, b = high;
    if (!low_known) a = std::max(low, first - 2.0 * residual * gauss_.last.front() - E);
    if (!high_known) b = last + 2.0 * residual * gauss_.last.back() + E;
    const auto sign_of = [&](Index m, bool& rigorous) {
      auto sign = derivative_sign(f.named, m, low, high);
      rigorous = sign.has_value();
      return sign ? sign : derivative_sign(f.named, m, a, b);
    };
    bool known = false;
    const Index k = T.size();
    if (const auto sign = sign_of(2 * k, known)) add(gauss, *sign, known);
    const auto odd = sign_of(2 * k + 1, known);
    if (!odd) return;
    const auto radau = [&](double z, int sign, bool rigorous) {
      const auto element = radau_element(T, z);
      const bool holds =
          f.half_line() ||
          derivative_sign(f.named, 2 * k + 1, std::min(z - E, first), std::max(z + E, last));
      if (!element || !holds) return;
      diagonal_ = T.diagonal;
      diagonal_.push_back(*element);
      if (radau_.set(diagonal_, T.off)) add(apply(radau_, f, E), sign, rigorous);
    };
    if (std::isfinite(a) && !(singular && a <= 0.0)) {
      radau(std::min(a, first) - 2.0 * E, *odd, known && low_known);
    }
    if (std::isfinite(b)) radau(std::max(b, last) + 2.0 * E, -*odd, known && high_known);
  }

  /// The middle of the bracket, and an estimate for a side that has no bound.
  void fall_back(const Jacobi& T, const Term& gauss) {
    const bool closed = std::isfinite(bracket.lower) && std::isfinite(bracket.upper);
    if (closed) {
      if (!T.exact) bracket.rigorous = lower_rigorous_ && upper_rigorous_;
      if (bracket.lower > bracket.upper) std::swap(bracket.lower, bracket.upper);
      bracket.rounding = std::max(lower_.rounding, upper_.rounding);
      if (!T.exact) bracket.value = std::midpoint(bracket.lower, bracket.upper);
    } else if (!T.exact && std::isfinite(gauss.value)) {
      const Index k = T.size();
      const Index before = k - std::max<Index>(3, k / 4);
      double change = 0.0;
      auto past = earlier_.rbegin();
      for (; past != earlier_.rend(); ++past) {
        change = std::max(change, std::abs(gauss.value - past->second));
        if (past->first <= before) break;
      }
      if (past == earlier_.rend()) change = INFINITY;
      const double half = 4.0 * change + gauss.rounding;
      if (!std::isfinite(bracket.lower)) bracket.lower = gauss.value - half;
      if (!std::isfinite(bracket.upper)) bracket.upper = gauss.value + half;
      bracket.rounding = gauss.rounding;
    }
    earlier_.emplace_back(T.size(), gauss.value);
  }

  QuadratureRule gauss_, radau_;
  std::vector<double> diagonal_, x_, y_;
  std::vector<std::pair<Index, double>> earlier_;  // depths and their Gauss values
  Term lower_{}, upper_{};
  bool lower_rigorous_ = false, upper_rigorous_ = false;
  double relative_ = 0.0;
};

}  // namespace ritz
