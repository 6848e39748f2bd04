#include <pybind11/complex.h>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/lobpcg.hpp"

namespace ritz::python {

namespace {

template <class Place>
py::tuple lobpcg(Place& place, const typename Place::N& a, const py::object& start,
                 const py::object& b, const py::object& precond, const py::object& constraints,
                 const py::dict& options, PythonMonitor& monitor) {
  using S = typename Place::S;
  using T = typename Place::Value;
  const auto opt = read_options<LobpcgOptions>(options);
  const BlockView<const T> guess = place.given_columns(start);
  const BlockView<const T> Y = place.given_columns(constraints);
  const Index n = guess.rows, k = guess.cols;
  const auto X = place.block(n, k);
  auto space = place.space();
  for (Index j = 0; j < k; ++j) space.copy(guess.column(j), X.view.column(j));
  py::array_t<double> w(k), residuals(k);
  std::fill_n(w.mutable_data(), k, std::nan(""));
  std::fill_n(residuals.mutable_data(), k, INFINITY);
  const auto size = static_cast<std::size_t>(k);
  const std::span<double> values(w.mutable_data(), size), errors(residuals.mutable_data(), size);

  bool calls_python = a.calls_python;
  std::optional<OperatorRef<T>> b_ref, m_ref;
  const auto optional = [&](const py::object& given,
                            std::optional<OperatorRef<T>>& held) -> OptionalOperator<T> {
    if (given.is_none()) return nullptr;
    const auto& node = given.cast<const typename Place::N&>();
    calls_python |= node.calls_python;
    return &held.emplace(node.op);
  };
  const OptionalOperator<T> B = optional(b, b_ref), M = optional(precond, m_ref);
  LobpcgWorkspace<S> ws;
  const LobpcgOutcome outcome =
      place.watched(calls_python, n * k, monitor, [&](const Monitor& watched) {
        return compiled::Lobpcg<S>::solve(space, OperatorRef<T>(a.op), X.view, values, errors, ws,
                                          opt, watched, B, M, Y);
      });
  py::dict d = as_dict(outcome);
  d["converged"] = outcome.converged;
  d["norm_a"] = outcome.norm_a;
  d["norm_b"] = outcome.norm_b;
  d["mass"] = outcome.mass;
  return py::make_tuple(w, X.array, residuals, d);
}

}  // namespace

void bind_lobpcg(Places& places) {
  places.each([]<class Place>(auto& to) { define(to, "lobpcg", &lobpcg<Place>); });
}

}  // namespace ritz::python
