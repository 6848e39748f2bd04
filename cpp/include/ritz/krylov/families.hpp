// What methods for a family of problems, one a column, share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "ritz/core/monitor.hpp"

namespace ritz {

/// body(first, size) for every longest run of neighbours among 0 … count − 1 with chosen(j).
template <class Chosen, class Body>
void each_run(Index count, const Chosen& chosen, const Body& body) {
  for (Index j = 0; j < count; ++j) {
    Index end = j;
    while (end < count && chosen(static_cast<std::size_t>(end))) ++end;
    if (end > j) body(j, end - j);
    j = end;
  }
}

/// The outcome of a whole family: its status is the first that is not `converged`.
template <class One>
Outcome together(std::span<One> outcomes, Index iterations, const Counts& products,
                 double seconds) {
  Outcome all;
  all.status = Status::converged;
  all.iterations = iterations;
  all.products = products;
  all.residual = 0.0;
  all.verified = true;
  all.seconds = seconds;
  for (One& out : outcomes) {
    out.seconds = seconds;
    if (all.status == Status::converged) all.status = out.status;
    all.residual = std::max(all.residual, out.residual);
    all.target = std::max(all.target, out.target);
    all.verified = all.verified && out.verified;
  }
  return all;
}

/// Watches a part of a run, before which iterations and products were made.
struct Continued {
  const Monitor* whole;
  const Clock* clock;
  Counts products;
  Index iterations;

  bool operator()(const Iteration& part) const {
    Iteration now = part;
    now.iteration += iterations;
    now.products += products;
    now.clock = clock;
    return whole->observer(now);
  }
  /// Refers to this.
  Monitor monitor() const {
    Monitor left = *whole;
    if (left.observer) left.observer = *this;
    left.timeout -= clock->seconds();
    left.max_products -= products.total();
    return left;
  }
};

}  // namespace ritz
