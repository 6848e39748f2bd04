// `eigsh` as both submodules of an element type have it, in host memory and in a device's.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/eigsh.hpp"

namespace ritz::python {

/// What the caller asks, apart from where its vectors are.
struct EigshRequest {
  std::array<py::object, 3> others;  // nodes of M, M⁻¹ and (A − σM)⁻¹, or None
  double sigma;
  py::dict options;
  int which;
  std::uint64_t seed;
};

/// `go(calls_python, run)` returns run(monitor), holding what a run needs; V_array is V for Python.
template <class S, class T = typename S::Value, class Go>
py::tuple run_eigsh(S& space, const Node<T, S>& a, const EigshRequest& request,
                    BlockView<const T> start, BlockView<const T> deflate, BlockView<T> V,
                    const py::object& V_array, EigshWorkspace<S>& ws, const Checkpoint& checkpoint,
                    const Go& go) {
  auto opt = read_options<EigshOptions>(request.options);
  opt.which = static_cast<Which>(request.which);
  opt.seed = {request.seed, 0};
  const auto k = static_cast<std::size_t>(V.cols);
  py::array_t<double> w(V.cols), residuals(V.cols), bounds(V.cols);
  std::fill_n(w.mutable_data(), k, std::nan(""));
  for (auto* errors : {&residuals, &bounds}) std::fill_n(errors->mutable_data(), k, INFINITY);
  for (Index j = 0; j < V.cols; ++j) space.fill(0.0, V.column(j));
  const EigshResults<T> results{
      {w.mutable_data(), k}, {residuals.mutable_data(), k}, {bounds.mutable_data(), k}, V};

  bool calls_python = a.calls_python;
  std::optional<OperatorRef<T>> references[3];
  const auto optional = [&](std::size_t place) -> OptionalOperator<T> {
    if (request.others[place].is_none()) return nullptr;
    const auto& node = request.others[place].cast<const Node<T, S>&>();
    calls_python |= node.calls_python;
    return &references[place].emplace(node.op);
  };
  const OperatorRef<T> reference(a.op);
  compiled::HermitianProblem<T> problem{reference, optional(0), optional(1), optional(2)};
  problem.sigma = request.sigma;
  problem.start = start;
  problem.deflate = deflate;
  const EigshOutcome outcome = go(calls_python, [&](const Monitor& monitor) {
    return compiled::eigsh(space, problem, results, ws, opt, monitor, checkpoint);
  });
  py::dict d = as_dict(outcome);
  d["restarts"] = outcome.restarts;
  d["found"] = outcome.found;
  d["converged"] = outcome.converged;
  d["locked"] = outcome.locked;
  d["norm_a"] = outcome.norm_a;
  return py::make_tuple(w, V_array, residuals, bounds, d);
}

}  // namespace ritz::python
