#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/eigs.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

/// Real columns as `EigsPairs` has them, as the complex eigenvectors of `values`.
template <Field T>
void to_complex(BlockView<const T> columns, std::span<const std::complex<double>> values,
                std::complex<RealOf<T>>* V) {
  const Index n = columns.rows;
  for (std::size_t j = 0; j < values.size(); ++j) {
    const double side = values[j].imag();
    const T* x = columns.column(static_cast<Index>(j)).data;
    for (Index i = 0; i < n; ++i) {
      if constexpr (ComplexField<T>) {
        *V++ = x[i];
      } else if (side == 0.0) {
        *V++ = {x[i], T(0)};
      } else if (side > 0.0) {
        *V++ = {x[i], x[i + columns.ld]};
      } else {
        *V++ = {x[i - columns.ld], -x[i]};
      }
    }
  }
}

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Array = py::array_t<T, py::array::c_style>;
  using Complex = std::complex<RealOf<T>>;

  m.def("eigs_workspace", [](Index, Index cols, Index ncv) {
    S space;
    auto ws = std::make_shared<EigsWorkspace<S>>();
    ws->prepare(space, cols, ncv, true);
    return make_workspace("eigs", std::move(ws));
  });

  m.def("eigs", [](const N& a, const py::object& mass, const py::object& solve, int which,
                   const py::dict& options, const py::object& v0, PythonMonitor& monitor,
                   const py::object& workspace, const std::string& checkpoint, double every) {
    std::optional<EigsWorkspace<S>> fresh;
    auto& ws = workspace_of<EigsWorkspace<S>>("eigs", workspace, fresh);
    auto opt = read_options<EigsOptions>(options);
    opt.which = static_cast<EigsWhich>(which);
    const Index n = a.op.cols(), k = opt.k, columns = std::min(n, RealField<T> ? k + 1 : k);
    const auto size = static_cast<std::size_t>(k);
    std::vector<std::complex<double>> values(size, std::nan(""));
    py::array_t<double> residuals(k), conditions(k);
    std::fill_n(residuals.mutable_data(), k, INFINITY);
    std::fill_n(conditions.mutable_data(), k, INFINITY);
    py::array_t<T> X = new_block<T>(n, columns);
    std::fill_n(X.mutable_data(), n * columns, T{});
    if (!v0.is_none()) {
      const auto from = v0.cast<Array>();
      check_size("v0", from.size(), n);
      std::copy_n(from.data(), n, X.mutable_data());
      opt.warm_start = true;
    }
    const auto* m_node = mass.is_none() ? nullptr : &mass.cast<const N&>();
    const auto* f_node = solve.is_none() ? nullptr : &solve.cast<const N&>();
    std::optional<OperatorRef<T>> m_ref, f_ref;
    if (m_node) m_ref.emplace(m_node->op);
    if (f_node) f_ref.emplace(f_node->op);
    const bool calls_python =
        a.calls_python || (m_node && m_node->calls_python) || (f_node && f_node->calls_python);
    Checkpoint file = checkpoint.empty() ? Checkpoint() : Checkpoint(checkpoint, every);
    S space;
    EigsOutcome outcome;
    const EigsPairs<T> pairs{values,
                             {residuals.mutable_data(), size},
                             {conditions.mutable_data(), size},
                             {X.mutable_data(), n, columns, n}};
    {
      const RunGil gil(calls_python, n);
      Observer<T> observer(monitor, gil.held());
      outcome =
          compiled::eigs<T>(space, OperatorRef<T>(a.op), pairs, ws, opt, watch(monitor, observer),
                            OptionalOperator<T>(m_ref ? &*m_ref : nullptr),
                            OptionalOperator<T>(f_ref ? &*f_ref : nullptr), &file);
    }
    py::array_t<std::complex<double>> w(k);
    std::copy(values.begin(), values.end(), w.mutable_data());
    py::array_t<Complex> V = new_block<Complex>(n, k);
    to_complex<T>(BlockView<const T>{X.data(), n, columns, n}, values, V.mutable_data());
    py::dict d = as_dict(outcome);
    d["restarts"] = outcome.restarts;
    d["found"] = outcome.found;
    d["converged"] = outcome.converged;
    d["locked"] = outcome.locked;
    d["norm_a"] = outcome.norm_a;
    d["norm_m"] = outcome.norm_m;
    d["mass"] = outcome.mass;
    return py::make_tuple(w, V, residuals, conditions, d);
  });
}

}  // namespace

void bind_eigs(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
