#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/lowrank.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;

  // The number of columns is known when the run has ended: arrays are made then, with the GIL.
  m.def("rangefinder", [](const N& a, const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<RangefinderOptions>(options);
    const Index rows = a.op.rows(), cols = a.op.cols();
    std::optional<py::array_t<T>> Q;
    const auto to = [&](Index rank) -> BlockView<T> {
      const py::gil_scoped_acquire gil;
      Q.emplace(new_block<T>(rows, rank));
      return {Q->mutable_data(), rows, rank, rows};
    };
    S space;
    RangefinderOutcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(rows, cols));
      Observer<T> observer(monitor, gil.held());
      outcome =
          compiled::rangefinder<T>(space, OperatorRef<T>(a.op), opt, to, watch(monitor, observer));
    }
    py::dict d = as_dict(outcome);
    d["rank"] = outcome.rank;
    d["error"] = outcome.error;
    d["stderr"] = outcome.stderr_;
    d["norm"] = outcome.norm;
    return py::make_tuple(*Q, d);
  });

  m.def("svd_lowrank", [](const N& a, const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<SvdLowrankOptions>(options);
    const Index rows = a.op.rows(), cols = a.op.cols();
    std::optional<py::array_t<T>> U, V;
    std::vector<double> s, residuals;
    const auto to = [&](Index rank) -> TripletsView<T> {
      const py::gil_scoped_acquire gil;
      U.emplace(new_block<T>(rows, rank));
      V.emplace(new_block<T>(cols, rank));
      s.assign(static_cast<std::size_t>(rank), 0.0);
      residuals = s;
      return {s,
              residuals,
              {U->mutable_data(), rows, rank, rows},
              {V->mutable_data(), cols, rank, cols}};
    };
    S space;
    SvdLowrankOutcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(rows, cols));
      Observer<T> observer(monitor, gil.held());
      outcome =
          compiled::svd_lowrank<T>(space, OperatorRef<T>(a.op), opt, to, watch(monitor, observer));
    }
    const auto vector = [](const std::vector<double>& x) {
      return py::array_t<double>(static_cast<py::ssize_t>(x.size()), x.data());
    };
    py::dict d = as_dict(outcome);
    d["rank"] = outcome.rank;
    d["basis"] = outcome.basis;
    d["passes"] = outcome.passes;
    d["error"] = outcome.error;
    d["stderr"] = outcome.stderr_;
    d["norm"] = outcome.norm;
    d["kind"] = static_cast<int>(outcome.kind);
    return py::make_tuple(*U, vector(s), *V, vector(residuals), d);
  });
}

}  // namespace

void bind_lowrank(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
