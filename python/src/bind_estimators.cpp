#include <pybind11/complex.h>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/estimators.hpp"

namespace ritz::python {

namespace {

/// The products and the standard errors of a path.
template <class Points>
void add_path(py::dict& account, const Points& path) {
  const auto size = static_cast<py::ssize_t>(path.size());
  py::array_t<Index> products(size);
  py::array_t<double> errors(size);
  for (std::size_t i = 0; i < path.size(); ++i) {
    products.mutable_data()[i] = path[i].products;
    errors.mutable_data()[i] = path[i].stderr_;
  }
  account["path_products"] = products;
  account["path_stderr"] = errors;
}

template <class Place>
AnyWorkspace trace_workspace(Place& place, Index, Index cols, Index) {
  auto space = place.space();
  auto ws = std::make_shared<TraceWorkspace<typename Place::S>>();
  ws->prepare(space, cols);
  return place.lent(make_workspace("trace", std::move(ws)));
}

template <class Place>
py::tuple trace(Place& place, const typename Place::N& a, const py::dict& options, int method,
                std::uint64_t seed, const std::string& checkpoint, double checkpoint_every,
                PythonMonitor& monitor, const py::object& workspace) {
  using S = typename Place::S;
  using T = typename Place::Value;
  std::optional<TraceWorkspace<S>> fresh;
  auto& ws = workspace_of<TraceWorkspace<S>>("trace", workspace, fresh);
  auto opt = read_options<TraceOptions>(options);
  opt.method = static_cast<TraceMethod>(method);
  opt.seed = {seed, 0};
  const TraceOutcome<T> outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::Estimators<S>::trace(
            space, A, ws, opt, monitored,
            checkpoint.empty() ? Checkpoint() : Checkpoint(checkpoint, checkpoint_every));
      });
  py::dict account = as_dict(outcome);
  account["method"] = static_cast<int>(outcome.method);
  add_path(account, outcome.path);
  py::array_t<WideOf<T>> values(static_cast<py::ssize_t>(outcome.path.size()));
  for (std::size_t i = 0; i < outcome.path.size(); ++i) {
    values.mutable_data()[i] = outcome.path[i].value;
  }
  account["path_value"] = values;
  return py::make_tuple(outcome.value, outcome.stderr_, account);
}

/// What `diagonal` and `row_norms2` have in common: (value, variance, account), both of `size`.
template <class Workspace, class Place, class Method>
py::tuple elementwise(Place& place, const char* name, const typename Place::N& a,
                      const py::dict& options, int method, std::uint64_t seed,
                      PythonMonitor& monitor, const py::object& workspace, const Method& run) {
  std::optional<Workspace> fresh;
  auto& ws = workspace_of<Workspace>(name, workspace, fresh);
  auto opt = read_options<ElementwiseOptions>(options);
  opt.method = static_cast<ElementwiseMethod>(method);
  opt.seed = {seed, 0};
  auto [value, to] = place.vector(a.op.rows());
  auto [variance, errors] = place.vector(a.op.rows());
  auto space = place.space();
  const ElementwiseOutcome outcome =
      place.watched(a.calls_python, a.op.cols(), monitor, [&](const Monitor& watched) {
        return run(space, OperatorRef<typename Place::Value>(a.op), to, errors, ws, opt, watched);
      });
  py::dict account = as_dict(outcome);
  account["method"] = static_cast<int>(outcome.method);
  add_path(account, outcome.path);
  return py::make_tuple(value, variance, account);
}

template <class Place>
py::tuple diagonal(Place& place, const typename Place::N& a, const py::dict& options, int method,
                   std::uint64_t seed, PythonMonitor& monitor, const py::object& workspace) {
  using S = typename Place::S;
  return elementwise<DiagonalWorkspace<S>>(place, "diagonal", a, options, method, seed, monitor,
                                           workspace, compiled::Estimators<S>::diagonal);
}

template <class Place>
py::tuple row_norms2(Place& place, const typename Place::N& a, const py::dict& options, int method,
                     std::uint64_t seed, PythonMonitor& monitor, const py::object& workspace) {
  using S = typename Place::S;
  return elementwise<RowNormsWorkspace<S>>(place, "row_norms", a, options, method, seed, monitor,
                                           workspace, compiled::Estimators<S>::row_norms2);
}

}  // namespace

void bind_estimators(Places& places) {
  places.each([]<class Place>(auto& to) {
    define(to, "trace_workspace", &trace_workspace<Place>);
    define(to, "trace", &trace<Place>);
    // A device's own `diagonal` is the operator.
    define(to, "estimate_diagonal", &diagonal<Place>);
    define(to, "row_norms2", &row_norms2<Place>);
  });
}

}  // namespace ritz::python
