// An interval that holds the spectrum of a Hermitian operator, from a few Lanczos steps.
//
// Zhou, Li: Bounding the spectrum of large Hermitian matrices. Linear Algebra Appl. 435, 2011: each
// outer Ritz value is moved outward by its residual. That is a good estimate, not a bound.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/function/tridiagonal.hpp"
#include "ritz/op/counted.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

struct SpectralInterval {
  double low = 0.0, high = 0.0;              ///< NaN if a product was not finite
  double inner_low = 0.0, inner_high = 0.0;  ///< the outer Ritz values: an interval it contains
};

/// At most `steps` products, from a random vector; `work` holds three columns. Traffic: 10 n a
/// step.
template <Space S, class A>
SpectralInterval spectral_interval(S& space, Counted<A>& op, Index steps, RandomKey key,
                                   BlockView<typename S::Value> work) {
  constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  std::vector<double> alpha, beta;
  Index cursor = 1;
  space.random_uniform(key, work.column(1));
  space.scale(1.0 / std::sqrt(space.read(space.norm2(work.column(1)))), work.column(1));
  double size = 0.0;
  const Index count = std::min(steps, op.rows());
  for (Index j = 0; j < count; ++j, ++cursor) {
    const auto u = work.column((cursor + 2) % 3), v = work.column(cursor % 3);
    const auto w = work.column((cursor + 1) % 3);
    op.apply(v, w);
    alpha.push_back(space.read(space.real_dot(v, w)));
    space.axpby(-alpha.back(), v, 1.0, w);
    const double norm2 =
        j == 0 ? space.read(space.norm2(w)) : space.read(space.axpy_norm2(-beta.back(), u, w));
    beta.push_back(std::sqrt(norm2));
    size = std::max(size, std::hypot(alpha.back(), beta.back()));
    if (!(beta.back() > kEps * size)) break;
    space.scale(1.0 / beta.back(), w);
  }
  TridiagonalEigen T;
  const std::span<const double> off(beta.data(), alpha.size() - 1);
  if (!T.compute(alpha, off, 1.0, false)) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan, nan};
  }
  SpectralInterval I{INFINITY, -INFINITY, INFINITY, -INFINITY};
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    const double theta = T.values()[i], step = beta.back() * std::abs(T.last_row()[i]);
    I.low = std::min(I.low, theta - step);
    I.high = std::max(I.high, theta + step);
    I.inner_low = std::min(I.inner_low, theta);
    I.inner_high = std::max(I.inner_high, theta);
  }
  const double margin = 0.01 * (I.high - I.low) + 4.0 * kEps * size;
  I.low -= margin;
  I.high += margin;
  return I;
}

}  // namespace ritz
