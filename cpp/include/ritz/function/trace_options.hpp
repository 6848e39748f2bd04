// Options, outcome and memory of `trace`.
#pragma once

#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/function/hutchpp.hpp"
#include "ritz/function/xnystrace.hpp"
#include "ritz/function/xtrace.hpp"

namespace ritz {

enum class TraceMethod : int {
  automatic = 0,
  hutchinson = 1,
  hutchpp = 2,
  xtrace = 3,
  xnystrace = 4,  ///< for positive semidefinite operators only
  exact = 5,
};

struct TraceOptions {
  Index samples = 100;  ///< at most this many products; n or more make the trace exact
  double rtol = 0.0;    ///< stop when the standard error is at most rtol |estimate|; 0 never
  RandomKey seed = {};  ///< sign sample i is stream seed.stream + i
  TraceMethod method = TraceMethod::hutchinson;
  bool positive = false;  ///< A is positive semidefinite, which `automatic` makes use of
  Index block = 1;        ///< columns of a product with sign or unit vectors
  bool keep_path = false;

  template <class F>
  void visit(const F& f) {
    f("samples", samples);
    f("rtol", rtol);
    f("positive", positive);
    f("block", block);
    f("keep_path", keep_path);
  }
};

/// Probes that a budget allows a method of so many products each. Beyond three quarters of n, half
/// of it at two products, the exact trace is cheaper.
constexpr Index most_probes(Index cost, Index n, Index budget) {
  return std::min(budget / cost, cost == 1 ? 3 * n / 4 : (n - 1) / 2);
}

template <Field T>
struct TraceOutcome : Outcome {
  /// The estimate after so many products.
  struct Point {
    Index products;
    WideOf<T> value;
    double stderr_;
  };

  WideOf<T> value = 0.0;
  double stderr_ = INFINITY;  ///< standard error of `value`; 0 if exact
  TraceMethod method = TraceMethod::hutchinson;
  std::vector<Point> path;  ///< if it was to be kept
};

template <Space S>
struct TraceWorkspace {
  using T = typename S::Value;

  /// The memory for sign and unit vectors; the other methods add theirs when they begin.
  void prepare(S& space, Index n, Index block = 1) {
    arena.begin(space, 2 * Arena<S>::padded(n) * block);
    z = arena.block(n, block);
    y = arena.block(n, block);
  }
  /// The memory for a run with these options, all of it if it has no tolerance.
  void prepare(S& space, Index n, const TraceOptions& opt) {
    prepare(space, n, opt.block);
    const auto probes = [&](Index cost) { return most_probes(cost, n, opt.samples); };
    if (opt.method == TraceMethod::hutchpp) hutchpp.prepare(space, n, probes(3));
    if (opt.method == TraceMethod::xnystrace) nystrom.prepare(space, n, probes(1));
    if (opt.method == TraceMethod::xtrace) xtrace.prepare(space, n, probes(2));
    if (opt.method == TraceMethod::automatic && opt.positive) nystrom.prepare(space, n, probes(1));
    if (opt.method == TraceMethod::automatic && !opt.positive) xtrace.prepare(space, n, probes(2));
  }
  /// Of vectors; beside them a run takes O(k²) numbers for k probes.
  std::size_t bytes() const {
    return arena.bytes() + xtrace.bytes() + nystrom.bytes() + hutchpp.bytes();
  }

  Arena<S> arena;
  BlockView<T> z, y;
  XTraceWorkspace<S> xtrace;
  NystromWorkspace<S> nystrom;
  HutchPPWorkspace<S> hutchpp;
};

}  // namespace ritz
