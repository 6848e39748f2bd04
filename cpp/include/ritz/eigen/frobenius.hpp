// ‖A‖_F from products with random vectors, with its standard error: E ‖Aω‖² = ‖A‖_F² for
// independent standard normals ω, with variance 2 ‖AᴴA‖_F² (real), ‖AᴴA‖_F² (complex).
// Girard: A fast 'Monte-Carlo cross-validation' procedure for large least squares problems with
// noisy data. Numer. Math. 56, 1989.
#pragma once

#include <cmath>

#include "ritz/core/arena.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

struct FrobeniusOptions {
  Index samples = 100;  ///< at most this many products; n or more make the norm exact
  double rtol = 0.0;    ///< stop when the standard error is at most rtol · value; 0 never
  RandomKey seed = {};  ///< sample i is stream seed.stream + i

  template <class F>
  void visit(F f) {
    f("samples", samples);
    f("rtol", rtol);
    f("seed", seed.seed);
  }
};

struct FrobeniusOutcome : Outcome {
  double value = 0.0;
  double stderr_ = INFINITY;  ///< standard error of `value`; 0 if exact
};

/// Blocks of up to 8 vectors of each side; one product a sample, and 2 (m + n) of traffic.
template <Space S, LinearOperator<typename S::Value> Op>
FrobeniusOutcome frobenius_norm(S& space, const Op& op, const FrobeniusOptions& opt = {},
                                const Monitor& monitor = {}) {
  using T = typename S::Value;
  if (opt.samples < 2) throw InvalidArgument("samples must be at least 2: one has no error");
  check_tolerance("rtol", opt.rtol);
  const Clock clock;
  const Index m = op.rows(), n = op.cols();
  const bool exact = opt.samples >= n;
  const Index count = exact ? n : opt.samples, width = std::min<Index>(count, 8);
  Arena<S> arena;
  arena.begin(space, (Arena<S>::padded(n) + Arena<S>::padded(m)) * width);
  const BlockView<T> X = arena.block(n, width), Y = arena.block(m, width);
  FrobeniusOutcome out;
  double mean = 0.0, squares = 0.0;  // of ‖Aω‖² / scale; Σ (· − mean)², by Welford's update
  double scale = 0.0;
  const auto finish = [&](Status status) {
    out.status = status;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };

  for (Index first = 0; first < count; first += width) {
    const Index cols = std::min(width, count - first);
    for (Index j = 0; j < cols; ++j) {
      const Index i = first + j;
      if (exact) {
        space.fill(0.0, X.column(j));
        space.fill(1.0, X.column(j).middle(i, 1));
      } else {
        space.random_normal({opt.seed.seed, opt.seed.stream + static_cast<std::uint64_t>(i)},
                            X.column(j));
      }
    }
    apply_columns(op, BlockView<const T>(X.columns(0, cols)), Y.columns(0, cols));
    ++(cols == 1 ? out.products.apply : out.products.columns);
    if (cols > 1) out.products.columns += cols - 1;
    for (Index j = 0; j < cols; ++j) {
      const double norm2 = space.read(space.norm2(Y.column(j)));
      ++out.iterations;
      if (!std::isfinite(norm2)) return finish(Status::nonfinite);
      if (scale == 0.0) scale = norm2;
      const double sample = scale > 0.0 ? norm2 / scale : 0.0, before = sample - mean;
      mean += before / static_cast<double>(out.iterations);
      squares += before * (sample - mean);
    }
    const auto made = static_cast<double>(out.iterations);
    out.value = std::sqrt(scale) * std::sqrt(exact ? mean * made : mean);
    if (exact) {
      out.stderr_ = out.iterations == n ? 0.0 : INFINITY;
    } else if (out.iterations > 1) {
      // The square root halves the relative error.
      const double error = std::sqrt(squares / (made - 1.0) / made);
      out.stderr_ = mean > 0.0 ? out.value * error / (2.0 * mean) : 0.0;
    }
    out.residual = out.stderr_;
    out.target = opt.rtol * out.value;
    // A few samples may agree by chance; ten hardly do.
    if (!exact && opt.rtol > 0.0 && out.iterations >= 10 && out.stderr_ <= out.target) {
      return finish(Status::converged);
    }
    Iteration now;
    now.iteration = out.iterations;
    now.products = out.products;
    now.residual = out.stderr_;
    now.objective = out.value;
    now.clock = &clock;
    if (const auto stop = monitor.check(now); stop && out.iterations < count) return finish(*stop);
  }
  // Without a tolerance the samples asked for are all that was asked.
  return finish(exact || opt.rtol == 0.0 ? Status::converged : Status::max_iterations);
}

}  // namespace ritz
