// Who watches a run, and who may end it early: an observer, a clock, a budget of products.
#pragma once

#include <chrono>
#include <limits>
#include <optional>

#include "ritz/core/function_ref.hpp"
#include "ritz/core/status.hpp"

namespace ritz {

/// Seconds since its construction.
class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What an observer sees after each iteration. NaN where a method has no such quantity.
struct Iteration {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  Index iteration = 0;  ///< iterations finished
  Counts products;
  double residual = kNone;   ///< the quantity that the method drives to its target
  double objective = kNone;  ///< the value being minimised
  const void* x = nullptr;   ///< the iterate, in the space's memory; null if it is not at hand
  Index size = 0;            ///< elements of x
  const Clock* clock = nullptr;

  // Nonlinear methods only.
  double change = kNone;         ///< objective before minus after the trial step
  double gradient_norm = kNone;  ///< ‖g‖
  double step_norm = kNone;      ///< ‖d‖
  double gain_ratio = kNone;     ///< actual over predicted decrease
  double damping = kNone;        ///< λ
  Index inner_iterations = 0;
  bool accepted = true;

  double seconds() const { return clock ? clock->seconds() : kNone; }
};

/// Passed to a method by value; the default watches nothing and limits nothing.
struct Monitor {
  function_ref<bool(const Iteration&)> observer;             ///< returns true to stop; may throw
  double timeout = std::numeric_limits<double>::infinity();  ///< seconds
  Index max_products = std::numeric_limits<Index>::max();
  Index check_every = 10;  ///< iterations between two reads, where reads are not free

  /// Whether the method should read its scalars in iteration k (from 0).
  template <class Space>
  bool due(Index k) const {
    return Space::kReadsAreFree || (k + 1) % check_every == 0;
  }

  /// A status to end with, or nothing to go on.
  std::optional<Status> check(const Iteration& now) const {
    if (observer && observer(now)) return Status::stopped;
    if (now.products.total() >= max_products) return Status::max_products;
    if (timeout != std::numeric_limits<double>::infinity() && now.seconds() > timeout) {
      return Status::timeout;
    }
    return std::nullopt;
  }
};

}  // namespace ritz
