// The trace of an operator from products with random signs, with its standard error.
// Hutchinson: A stochastic estimator of the trace of the influence matrix. Commun. Stat. 19, 1990.
#pragma once

#include <cmath>

#include "ritz/core/arena.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/op/counted.hpp"

namespace ritz {

struct TraceOptions {
  Index samples = 100;  ///< at most this many products; n or more make the trace exact
  double rtol = 0.0;    ///< stop when the standard error is at most rtol |estimate|; 0 never
  RandomKey seed = {};  ///< sample i is stream seed.stream + i
};

template <Field T>
struct TraceOutcome : Outcome {
  WideOf<T> value = 0.0;
  double stderr_ = INFINITY;  ///< standard error of `value`; 0 if exact
};

template <Space S>
struct TraceWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index n) {
    arena.begin(space, 2 * Arena<S>::padded(n));
    for (Vector* v : {&z, &y}) *v = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  Vector z, y;
};

/// Mean of zᴴAz over random sign vectors z: unbiased, with variance 2 ‖A − diag(A)‖²_F for a real
/// symmetric A. With samples ≥ n it sums the diagonal instead, exactly. One product a sample.
template <Space S, LinearOperator<typename S::Value> A>
TraceOutcome<typename S::Value> trace(S& space, const A& op, TraceWorkspace<S>& ws,
                                      const TraceOptions& opt = {}, const Monitor& monitor = {}) {
  if (op.rows() != op.cols()) throw InvalidArgument("A must be square: only then has it a trace");
  if (opt.samples < 2) throw InvalidArgument("samples must be at least 2: one has no error");
  check_tolerance("rtol", opt.rtol);

  const Clock clock;
  const Index n = op.rows();
  ws.prepare(space, n);
  auto& [arena, z, y] = ws;
  Counted A_(op);
  TraceOutcome<typename S::Value> out;

  const auto finish = [&](Status status, Index samples) {
    out.status = status;
    out.iterations = samples;
    out.products = A_.counts;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };

  const bool exact = opt.samples >= n;
  WideOf<typename S::Value> mean = 0.0;
  double squares = 0.0;  // Σ |sample − mean|², by Welford's update
  if (exact) space.fill(0.0, z);
  const Index count = exact ? n : opt.samples;
  for (Index i = 0; i < count; ++i) {
    if (exact) {
      space.fill(1.0, z.middle(i, 1));
    } else {
      space.random_signs({opt.seed.seed, opt.seed.stream + static_cast<std::uint64_t>(i)}, z);
    }
    A_.apply(z, y);
    const auto sample = space.read(space.dot(z, y));
    if (!std::isfinite(std::abs(sample))) return finish(Status::nonfinite, i + 1);
    if (exact) {
      space.fill(0.0, z.middle(i, 1));
      out.value += sample;
    } else {
      const auto before = sample - mean;
      mean += before / static_cast<double>(i + 1);
      squares += std::real(before * conjugate(sample - mean));
      out.value = mean;
      out.stderr_ = i == 0
                        ? INFINITY
                        : std::sqrt(squares / static_cast<double>(i) / static_cast<double>(i + 1));
      out.residual = out.stderr_;
      out.target = opt.rtol * std::abs(mean);
      // Two samples may agree by chance; ten hardly do.
      if (opt.rtol > 0.0 && i >= 9 && out.stderr_ <= out.target) {
        return finish(Status::converged, i + 1);
      }
    }
    Iteration now;
    now.iteration = i + 1;
    now.products = A_.counts;
    now.residual = out.stderr_;
    now.objective = std::real(out.value);
    now.clock = &clock;
    if (const auto stop = monitor.check(now); stop && i + 1 < count) return finish(*stop, i + 1);
  }
  if (exact) out.residual = out.stderr_ = 0.0;
  // Without a tolerance the samples asked for are all that was asked.
  return finish(exact || opt.rtol == 0.0 ? Status::converged : Status::max_iterations, count);
}

}  // namespace ritz
