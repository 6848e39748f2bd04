#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/lobpcg.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Block = py::array_t<T, py::array::f_style>;

  m.def("lobpcg_workspace", [](Index, Index cols, Index ncv) {
    S space;
    auto ws = std::make_shared<LobpcgWorkspace<S>>();
    ws->prepare(space, cols, ncv, 0, false);
    return make_workspace("lobpcg", std::move(ws));
  });

  // X is overwritten by the eigenvectors.
  m.def("lobpcg", [](const N& a, Block X, const py::object& b, const py::object& precond,
                     const py::object& constraints, const py::dict& options, PythonMonitor& monitor,
                     const py::object& workspace) {
    std::optional<LobpcgWorkspace<S>> fresh;
    auto& ws = workspace_of<LobpcgWorkspace<S>>("lobpcg", workspace, fresh);
    const auto opt = read_options<LobpcgOptions>(options);
    const Index n = X.shape(0), k = X.shape(1);
    py::array_t<double> w(k), residuals(k);
    std::fill_n(w.mutable_data(), k, std::nan(""));
    std::fill_n(residuals.mutable_data(), k, INFINITY);
    const auto Y = constraints.is_none() ? Block(new_block<T>(n, 0)) : constraints.cast<Block>();
    const auto* b_node = b.is_none() ? nullptr : &b.cast<const N&>();
    const auto* m_node = precond.is_none() ? nullptr : &precond.cast<const N&>();
    std::optional<OperatorRef<T>> b_ref, m_ref;
    if (b_node) b_ref.emplace(b_node->op);
    if (m_node) m_ref.emplace(m_node->op);
    const bool calls_python =
        a.calls_python || (b_node && b_node->calls_python) || (m_node && m_node->calls_python);
    S space;
    LobpcgOutcome outcome;
    const auto size = static_cast<std::size_t>(k);
    const std::span<double> values(w.mutable_data(), size);
    const std::span<double> errors(residuals.mutable_data(), size);
    const BlockView<T> vectors{X.mutable_data(), n, k, n};
    const BlockView<const T> known{Y.data(), n, Y.shape(1), n};
    {
      const RunGil gil(calls_python, n * k);
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::lobpcg<T>(space, OperatorRef<T>(a.op), vectors, values, errors, ws, opt,
                                    watch(monitor, observer),
                                    OptionalOperator<T>(b_ref ? &*b_ref : nullptr),
                                    OptionalOperator<T>(m_ref ? &*m_ref : nullptr), known);
    }
    py::dict d = as_dict(outcome);
    d["converged"] = outcome.converged;
    d["norm_a"] = outcome.norm_a;
    d["norm_b"] = outcome.norm_b;
    d["mass"] = outcome.mass;
    return py::make_tuple(w, X, residuals, d);
  });
}

}  // namespace

void bind_lobpcg(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
