#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/svds.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Array = py::array_t<T, py::array::c_style>;
  using Columns = py::array_t<T, py::array::f_style>;

  m.def("svds_workspace", [](Index rows, Index cols, Index ncv) {
    S space;
    auto ws = std::make_shared<SvdsWorkspace<S>>();
    const Index shorter = std::min(rows, cols), size = std::min(shorter, ncv);
    ws->prepare(space, rows, cols, size, std::min(shorter - size, size / 3));
    return make_workspace("svds", std::move(ws));
  });

  m.def("svds", [](const N& a, const py::dict& options, const py::object& v0,
                   const py::object& deflate, const py::object& checkpoint, PythonMonitor& monitor,
                   const py::object& workspace) {
    std::optional<SvdsWorkspace<S>> fresh;
    auto& ws = workspace_of<SvdsWorkspace<S>>("svds", workspace, fresh);
    auto opt = read_options<SvdsOptions>(options);
    const Index rows = a.op.rows(), cols = a.op.cols(), k = opt.k;
    py::array_t<double> s(k), residuals(k);
    std::fill_n(s.mutable_data(), k, std::nan(""));
    std::fill_n(residuals.mutable_data(), k, INFINITY);
    py::array_t<T> U = new_block<T>(rows, k), V = new_block<T>(cols, k);
    std::fill_n(U.mutable_data(), rows * k, T{});
    std::fill_n(V.mutable_data(), cols * k, T{});
    if (!v0.is_none()) {
      const auto from = v0.cast<Array>();
      check_size("v0", from.size(), std::min(rows, cols));
      std::copy_n(from.data(), from.size(), (rows < cols ? U : V).mutable_data());
      opt.warm_start = true;
    }
    std::optional<Columns> known;
    BlockView<const T> locked;
    if (!deflate.is_none()) {
      known.emplace(deflate.cast<Columns>());
      locked = {known->data(), known->shape(0), known->shape(1), known->shape(0)};
    }
    std::optional<Checkpoint> saved;
    if (!checkpoint.is_none()) {
      const auto [path, every] = checkpoint.cast<std::pair<std::string, double>>();
      saved.emplace(path, every);
    }
    S space;
    SvdsOutcome outcome;
    const auto size = static_cast<std::size_t>(k);
    const std::span<double> values(s.mutable_data(), size);
    const std::span<double> errors(residuals.mutable_data(), size);
    const BlockView<T> left{U.mutable_data(), rows, k, rows},
        right{V.mutable_data(), cols, k, cols};
    {
      const RunGil gil(a.calls_python, std::max(rows, cols));
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::svds<T>(space, OperatorRef<T>(a.op), values, errors, left, right, ws, opt,
                                  watch(monitor, observer), saved ? &*saved : nullptr, locked);
    }
    for (Index i = outcome.found; i < k; ++i) {  // what a failed run left is no result
      values[static_cast<std::size_t>(i)] = std::nan("");
      errors[static_cast<std::size_t>(i)] = INFINITY;
      std::fill_n(left.column(i).data, rows, static_cast<T>(std::nan("")));
      std::fill_n(right.column(i).data, cols, static_cast<T>(std::nan("")));
    }
    py::dict d = as_dict(outcome);
    d["restarts"] = outcome.restarts;
    d["found"] = outcome.found;
    d["converged"] = outcome.converged;
    d["norm_a"] = outcome.norm_a;
    return py::make_tuple(U, s, V, residuals, d);
  });

  m.def("norm2", [](const N& a, const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<Norm2Options>(options);
    S space;
    SvdsWorkspace<S> ws;
    Norm2Outcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(a.op.rows(), a.op.cols()));
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::norm2<T>(space, OperatorRef<T>(a.op), ws, opt, watch(monitor, observer));
    }
    py::dict d = as_dict(outcome);
    d["value"] = outcome.value;
    d["lower"] = outcome.lower;
    d["upper"] = outcome.upper;
    return d;
  });

  m.def("frobenius_norm", [](const N& a, const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<FrobeniusOptions>(options);
    S space;
    FrobeniusOutcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(a.op.rows(), a.op.cols()));
      Observer<T> observer(monitor, gil.held());
      outcome =
          compiled::frobenius_norm<T>(space, OperatorRef<T>(a.op), opt, watch(monitor, observer));
    }
    py::dict d = as_dict(outcome);
    d["value"] = outcome.value;
    d["stderr"] = outcome.stderr_;
    return d;
  });
}

}  // namespace

void bind_svds(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
