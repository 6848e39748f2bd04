#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/estimators.hpp"
#include "workspace.hpp"

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

/// What `diagonal` and `row_norms2` have in common: (value, variance, account), both of `size`.
template <Field T, class Workspace, class Method>
py::tuple elementwise(const char* name, const Node<T>& a, Index size, const py::dict& options,
                      int method, std::uint64_t seed, PythonMonitor& monitor,
                      const py::object& workspace, const Method& run) {
  std::optional<Workspace> fresh;
  auto& ws = workspace_of<Workspace>(name, workspace, fresh);
  auto opt = read_options<ElementwiseOptions>(options);
  opt.method = static_cast<ElementwiseMethod>(method);
  opt.seed = {seed, 0};
  py::array_t<T> value = new_vector<T>(size), variance = new_vector<T>(size);
  HostSpace<T> space;
  ElementwiseOutcome outcome;
  {
    const auto to = view(value), errors = view(variance);
    const RunGil gil(a.calls_python, a.op.cols());
    Observer<T> observer(monitor, gil.held());
    outcome = run(space, OperatorRef<T>(a.op), to, errors, ws, opt, watch(monitor, observer));
  }
  py::dict account = as_dict(outcome);
  account["method"] = static_cast<int>(outcome.method);
  add_path(account, outcome.path);
  return py::make_tuple(value, variance, account);
}

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;

  m.def("trace_workspace", [](Index, Index cols, Index) {
    S space;
    auto ws = std::make_shared<TraceWorkspace<S>>();
    ws->prepare(space, cols);
    return make_workspace("trace", std::move(ws));
  });

  m.def("trace", [](const N& a, const py::dict& options, int method, std::uint64_t seed,
                    const std::string& checkpoint, double checkpoint_every, PythonMonitor& monitor,
                    const py::object& workspace) {
    std::optional<TraceWorkspace<S>> fresh;
    auto& ws = workspace_of<TraceWorkspace<S>>("trace", workspace, fresh);
    auto opt = read_options<TraceOptions>(options);
    opt.method = static_cast<TraceMethod>(method);
    opt.seed = {seed, 0};
    S space;
    TraceOutcome<T> outcome;
    {
      const RunGil gil(a.calls_python, a.op.cols());
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::trace<T>(
          space, OperatorRef<T>(a.op), ws, opt, watch(monitor, observer),
          checkpoint.empty() ? Checkpoint() : Checkpoint(checkpoint, checkpoint_every));
    }
    py::dict account = as_dict(outcome);
    account["method"] = static_cast<int>(outcome.method);
    add_path(account, outcome.path);
    py::array_t<WideOf<T>> values(static_cast<py::ssize_t>(outcome.path.size()));
    for (std::size_t i = 0; i < outcome.path.size(); ++i) {
      values.mutable_data()[i] = outcome.path[i].value;
    }
    account["path_value"] = values;
    return py::make_tuple(outcome.value, outcome.stderr_, account);
  });

  m.def("diagonal", [](const N& a, const py::dict& options, int method, std::uint64_t seed,
                       PythonMonitor& monitor, const py::object& workspace) {
    return elementwise<T, DiagonalWorkspace<S>>(
        "diagonal", a, a.op.rows(), options, method, seed, monitor, workspace,
        [](auto&&... arguments) { return compiled::diagonal<T>(arguments...); });
  });

  m.def("row_norms2", [](const N& a, const py::dict& options, int method, std::uint64_t seed,
                         PythonMonitor& monitor, const py::object& workspace) {
    return elementwise<T, RowNormsWorkspace<S>>(
        "row_norms", a, a.op.rows(), options, method, seed, monitor, workspace,
        [](auto&&... arguments) { return compiled::row_norms2<T>(arguments...); });
  });
}

}  // namespace

void bind_estimators(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
