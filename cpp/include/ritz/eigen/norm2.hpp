// ‖A‖₂ between two numbers: from below by the largest Ritz value, from above with a probability.
//
// Golub-Kahan bidiagonalisation from a p₁ uniform on the sphere. Let δ = |v₁ᴴp₁| for a right
// singular vector v₁ of σ₁ = ‖A‖. For every polynomial q, δ |q(σ₁²)| ≤ ‖q(AᴴA) p₁‖.
//   1. q = det(λ − BᵀB) makes the right side Π αᵢβᵢ: σ₁ ≤ x where Π (x² − θᵢ²) = Π αᵢβᵢ / δ.
//      Hochstenbach: Probabilistic upper bounds for the matrix two-norm. J. Sci. Comput. 57, 2013.
//   2. With the q that is least on [0, θ²], an odd Chebyshev polynomial of √(1 − λ/θ²) over that
//      root, σ₁ ≤ θ cosh(arcosh(1/δ) / N) after N products: known beforehand, whatever A.
//      Kuczyński, Woźniakowski: Estimating the largest eigenvalue by the power and Lanczos
//      algorithms with a random start. SIAM J. Matrix Anal. Appl. 13, 1992.
// A δ below √(π / 2d) η (real), √(η / d) (complex) has probability η at most, d the length of p₁.
// Both bounds hold on the same event, at every step: the best of all may be taken.
#pragma once

#include "ritz/eigen/svds.hpp"

namespace ritz {

struct Norm2Options {
  double rtol = 1e-2;     ///< stop at upper − lower ≤ rtol · value
  double failure = 1e-6;  ///< η, the probability with which `upper` may be wrong
  Index max_basis = 200;  ///< steps, for which the vectors are kept
  RandomKey seed = {};    ///< of p₁

  template <class F>
  void visit(F f) {
    f("rtol", rtol);
    f("failure", failure);
    f("max_basis", max_basis);
    f("seed", seed.seed);
  }
};

struct Norm2Outcome : Outcome {
  double value = 0.0;       ///< the largest Ritz value
  double lower = 0.0;       ///< ‖A‖ ≥ lower: the value less rounding
  double upper = INFINITY;  ///< ‖A‖ ≤ upper with probability 1 − η
};

/// The least t > 1 that both bounds allow for σ₁/θ₁: θ are the singular values of the bidiagonal
/// matrix, descending, `log_product` = Σ log(αᵢβᵢ/θ₁²), 2 theta.size() − 1 products were made.
inline double norm2_excess(std::span<const double> theta, double log_product, double delta) {
  const auto steps = static_cast<double>(theta.size());
  const double most = std::cosh(std::acosh(1.0 / delta) / (2.0 * steps - 1.0));
  // f(ε) = Σ log((1 + ε)² − θᵢ²/θ₁²) − log_product + log δ increases with ε = t − 1.
  const auto f = [&](double excess) {
    double sum = std::log(delta) - log_product;
    for (const double x : theta) {
      const double below = (theta[0] - x) / theta[0], above = (theta[0] + x) / theta[0];
      sum += std::log((excess + below) * (excess + above));
    }
    return sum;
  };
  double low = 1e-18, high = most - 1.0;
  if (!(high > low) || !(f(high) > 0.0)) return most;
  for (int i = 0; i < 200 && high > 1.001 * low; ++i) {
    const double middle = std::sqrt(low * high);
    (f(middle) > 0.0 ? high : low) = middle;
  }
  return 1.0 + high;
}

/// Cost: two products and (3j + 7)(m + n) of traffic a step; max_basis + 1 vectors of each side.
template <Space S, AdjointOperator<typename S::Value> Op>
Norm2Outcome norm2(S& space, const Op& op, SvdsWorkspace<S>& ws, const Norm2Options& opt = {},
                   const Monitor& monitor = {}) {
  using T = typename S::Value;
  constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
  require_adjoint(op);
  check_tolerance("rtol", opt.rtol);
  if (!(opt.failure > 0.0 && opt.failure < 1.0)) {
    throw InvalidArgument("failure is " + std::to_string(opt.failure) +
                          "; pass a probability between 0 and 1");
  }
  if (opt.max_basis < 1) throw InvalidArgument("max_basis must be at least 1");
  const Clock clock;
  const Sided<Op> A(op, op.rows() < op.cols());
  const Index n = A.cols(), m = std::min(opt.max_basis, n);
  ws.prepare(space, op.rows(), op.cols(), m);
  const BlockView<double> B{ws.B.data(), m, m, m};
  std::fill(ws.B.begin(), ws.B.end(), 0.0);
  Norm2Outcome out;
  const auto finish = [&](Status status, Index steps) {
    out.status = status;
    out.iterations = steps;
    out.products = A.counts;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };

  const auto d = static_cast<double>(n);
  const double delta =
      std::min(1.0, ComplexField<T> ? std::sqrt(opt.failure / d)
                                    : opt.failure * std::sqrt(std::acos(-1.0) / (2.0 * d)));
  const auto p = ws.P.column(0);
  space.random_normal(opt.seed, p);
  RandomKey random{opt.seed.seed, opt.seed.stream + 1};
  append_orthonormal(space, ws.P, 0, 0.0, random, ws.room);

  double norm_a = 0.0, log_product = 0.0, best = INFINITY;
  for (Index j = 0, next = 1; j < m; ++j) {
    const auto step = bidiagonal_step(space, A, ws.P, ws.Q, 0, j, norm_a, random, ws.room);
    if (!std::isfinite(step.alpha) || !std::isfinite(step.beta)) {
      return finish(Status::nonfinite, j + 1);
    }
    B(j, j) = step.alpha;
    if (j + 1 < m) B(j, j + 1) = step.beta;
    const bool invariant = step.alpha == 0.0 || step.beta == 0.0;
    if (!invariant) log_product += std::log(step.alpha) + std::log(step.beta);
    Iteration now;
    now.iteration = j + 1;
    now.products = A.counts;
    now.residual = out.residual;
    now.objective = out.value;
    now.clock = &clock;
    const auto stop = monitor.check(now);
    if (j + 1 < next && j + 1 < m && !invariant && !stop) continue;
    next = j + 2 + j / 10;

    const Index size = j + 1;
    const auto theta = std::span(ws.values).first(static_cast<std::size_t>(size));
    dense::svd<double>(B.leading(size), BlockView<double>{ws.X.data(), size, size, m}, theta,
                       BlockView<double>{ws.Y.data(), size, size, m});
    const double rounding = kEps * (8.0 + static_cast<double>(size));
    out.value = theta[0];
    out.lower = out.value * (1.0 - rounding);
    if (invariant) {
      best = out.value;
    } else {
      const double scaled = log_product - 2.0 * static_cast<double>(size) * std::log(theta[0]);
      best = std::min(best, theta[0] * norm2_excess(theta, scaled, delta));
    }
    out.upper = std::max(best, out.value) * (1.0 + rounding);
    out.residual = out.upper - out.lower;
    out.target = std::max(opt.rtol, 4.0 * rounding) * out.value;
    if (out.residual <= out.target) return finish(Status::converged, size);
    if (stop) return finish(*stop, size);
  }
  return finish(Status::max_iterations, m);
}

}  // namespace ritz
