#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "ritz/compiled/eigsh.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Array = py::array_t<T, py::array::c_style>;

  m.def("eigsh_workspace", [](Index, Index cols, Index ncv) {
    S space;
    auto ws = std::make_shared<EigshWorkspace<S>>();
    ws->prepare(space, cols, ncv);
    return make_workspace("eigsh", std::move(ws));
  });

  m.def("eigsh", [](const N& a, Index k, int which, Index ncv, Index max_restarts, double tol,
                    const py::object& v0, bool verify, std::uint64_t seed, PythonMonitor& monitor,
                    const py::object& workspace) {
    std::optional<EigshWorkspace<S>> fresh;
    auto& ws = workspace_of<EigshWorkspace<S>>("eigsh", workspace, fresh);
    const Index n = a.op.cols();
    py::array_t<double> w(k), residuals(k);
    std::fill_n(w.mutable_data(), k, std::nan(""));
    std::fill_n(residuals.mutable_data(), k, INFINITY);
    py::array_t<T> V = new_block<T>(n, k);
    std::fill_n(V.mutable_data(), n * k, T{});
    EigshOptions opt;
    opt.k = k;
    opt.which = static_cast<Which>(which);
    opt.ncv = ncv;
    opt.max_restarts = max_restarts;
    opt.tol = tol;
    opt.verify = verify;
    opt.seed = {seed, 0};
    if (!v0.is_none()) {
      const auto from = v0.cast<Array>();
      check_size("v0", from.size(), n);
      std::copy_n(from.data(), n, V.mutable_data());
      opt.warm_start = true;
    }
    S space;
    EigshOutcome outcome;
    const std::span<double> values(w.mutable_data(), static_cast<std::size_t>(k));
    const std::span<double> errors(residuals.mutable_data(), static_cast<std::size_t>(k));
    const BlockView<T> vectors{V.mutable_data(), n, k, n};
    {
      const RunGil gil(a.calls_python, n);
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::eigsh<T>(space, OperatorRef<T>(a.op), values, errors, vectors, ws, opt,
                                   watch(monitor, observer));
    }
    py::dict d = as_dict(outcome);
    d["restarts"] = outcome.restarts;
    d["found"] = outcome.found;
    d["converged"] = outcome.converged;
    d["norm_a"] = outcome.norm_a;
    return py::make_tuple(w, V, residuals, d);
  });
}

}  // namespace

void bind_eigsh(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
