#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "ritz/compiled/estimators.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

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

  m.def("trace", [](const N& a, Index samples, double rtol, std::uint64_t seed,
                    PythonMonitor& monitor, const py::object& workspace) {
    std::optional<TraceWorkspace<S>> fresh;
    auto& ws = workspace_of<TraceWorkspace<S>>("trace", workspace, fresh);
    TraceOptions opt;
    opt.samples = samples;
    opt.rtol = rtol;
    opt.seed = {seed, 0};
    S space;
    TraceOutcome<T> outcome;
    {
      const RunGil gil(a.calls_python, a.op.cols());
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::trace<T>(space, OperatorRef<T>(a.op), ws, opt, watch(monitor, observer));
    }
    return py::make_tuple(outcome.value, outcome.stderr_, as_dict(outcome));
  });
}

}  // namespace

void bind_estimators(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
