#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/nystrom.hpp"
#include "ritz/op/nystrom_preconditioner.hpp"
#include "ritz/op/symmetric_polynomial.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

template <class T>
py::array_t<T> copied(BlockView<const T> X) {
  py::array_t<T> a = new_block<T>(X.rows, X.cols);
  for (Index j = 0; j < X.cols; ++j) {
    std::copy_n(X.column(j).data, X.rows, a.mutable_data() + j * X.rows);
  }
  return a;
}

inline py::array_t<double> copied(const std::vector<double>& x) {
  return py::array_t<double>(static_cast<py::ssize_t>(x.size()), x.data());
}

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Columns = py::array_t<T, py::array::f_style>;
  const auto view_of = [](const Columns& U) {
    return BlockView<const T>{U.data(), U.shape(0), U.shape(1), U.shape(0)};
  };
  const auto leaf = [](auto op, const Columns& U) {
    return N{AnyOperator<T>(Kept(std::move(op), keep(U))), false};
  };

  m.def("nystrom", [](const N& a, const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<NystromOptions>(options);
    S space;
    NystromSketchWorkspace<S> ws;
    NystromOutcome outcome;
    {
      const RunGil gil(a.calls_python, a.op.cols());
      Observer<T> observer(monitor, gil.held());
      outcome =
          compiled::nystrom<T>(space, OperatorRef<T>(a.op), ws, opt, watch(monitor, observer));
    }
    py::dict d = as_dict(outcome);
    d["error_frobenius"] = outcome.error.frobenius;
    d["error_spectral"] = outcome.error.spectral;
    d["shift"] = outcome.shift;
    return py::make_tuple(copied<T>(ws.U.columns(0, outcome.rank)), copied(outcome.lambda), d);
  });

  m.def("nystrom_generalized", [](const N& a, const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<GeneralizedNystromOptions>(options);
    S space;
    GeneralizedNystromWorkspace<S> ws;
    GeneralizedNystromOutcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(a.op.rows(), a.op.cols()));
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::nystrom_generalized<T>(space, OperatorRef<T>(a.op), ws, opt,
                                                 watch(monitor, observer));
    }
    py::dict d = as_dict(outcome);
    d["error"] = outcome.error;
    return py::make_tuple(copied<T>(ws.U.columns(0, outcome.rank)), copied(outcome.s),
                          copied<T>(ws.Z.columns(0, outcome.rank)), d);
  });

  // U diag(d) Uᴴ, over the memory of U.
  m.def("eigenfactors", [leaf, view_of](const Columns& U, std::vector<double> d) {
    return leaf(EigenfactorOperator<S>(S{}, view_of(U), std::move(d), 0.0), U);
  });
  m.def("nystrom_preconditioner",
        [leaf, view_of](const Columns& U, std::vector<double> lambda, double mu) {
          return leaf(nystrom_preconditioner(S{}, view_of(U), std::move(lambda), mu), U);
        });
  m.def("symmetric_coefficients", symmetric_coefficients);
  m.def("symmetric_polynomial", [](const N& a, const std::vector<double>& traces) {
    return N{AnyOperator<T>(symmetric_polynomial(S{}, a.op, traces)), a.calls_python};
  });
}

}  // namespace

void bind_nystrom(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
