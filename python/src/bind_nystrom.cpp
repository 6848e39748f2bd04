#include <pybind11/complex.h>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/nystrom.hpp"
#include "ritz/op/nystrom_preconditioner.hpp"
#include "ritz/op/symmetric_polynomial.hpp"

namespace ritz::python {

namespace {

/// A block of a workspace, for Python.
template <class Place>
Made<BlockView<typename Place::Value>> copied(Place& place, BlockView<typename Place::Value> X) {
  const auto made = place.block(X.rows, X.cols);
  auto space = place.space();
  for (Index j = 0; j < X.cols; ++j) space.copy(X.column(j), made.view.column(j));
  return made;
}

py::array_t<double> copied(const std::vector<double>& x) {
  return py::array_t<double>(static_cast<py::ssize_t>(x.size()), x.data());
}

template <class Place>
py::tuple nystrom(Place& place, const typename Place::N& a, const py::dict& options,
                  PythonMonitor& monitor) {
  using S = typename Place::S;
  const auto opt = read_options<NystromOptions>(options);
  NystromSketchWorkspace<S> ws;
  const NystromOutcome outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::Nystrom<S>::hermitian(space, A, ws, opt, monitored);
      });
  py::dict d = as_dict(outcome);
  d["error_frobenius"] = outcome.error.frobenius;
  d["error_spectral"] = outcome.error.spectral;
  d["shift"] = outcome.shift;
  return py::make_tuple(copied(place, ws.U.columns(0, outcome.rank)).array, copied(outcome.lambda),
                        d);
}

template <class Place>
py::tuple nystrom_generalized(Place& place, const typename Place::N& a, const py::dict& options,
                              PythonMonitor& monitor) {
  using S = typename Place::S;
  const auto opt = read_options<GeneralizedNystromOptions>(options);
  GeneralizedNystromWorkspace<S> ws;
  const GeneralizedNystromOutcome outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::Nystrom<S>::generalized(space, A, ws, opt, monitored);
      });
  py::dict d = as_dict(outcome);
  d["error"] = outcome.error;
  return py::make_tuple(copied(place, ws.U.columns(0, outcome.rank)).array, copied(outcome.s),
                        place.adjoint(copied(place, ws.Z.columns(0, outcome.rank))), d);
}

/// U diag(d) Uᴴ, over the memory of U.
template <class Place>
typename Place::N eigenfactors(Place& place, const py::object& U, std::vector<double> d) {
  EigenfactorOperator<typename Place::S> op(place.space(), place.given_columns(U), std::move(d),
                                            0.0);
  return {AnyOperator<typename Place::Value>(Kept(std::move(op), keep(U))), false, place.space()};
}

template <class Place>
typename Place::N preconditioner(Place& place, const py::object& U, std::vector<double> lambda,
                                 double mu) {
  auto op = nystrom_preconditioner(place.space(), place.given_columns(U), std::move(lambda), mu);
  return {AnyOperator<typename Place::Value>(Kept(std::move(op), keep(U))), false, place.space()};
}

}  // namespace

void bind_nystrom(Places& places) {
  places.each([]<class Place>(auto& to) {
    define(to, "nystrom", &nystrom<Place>);
    define(to, "nystrom_generalized", &nystrom_generalized<Place>);
    define(to, "eigenfactors", &eigenfactors<Place>);
    define(to, "nystrom_preconditioner", &preconditioner<Place>);
  });
  places.host.each([]<Field T>(py::module_ m) {
    m.def("symmetric_coefficients", symmetric_coefficients);
    m.def("symmetric_polynomial", [](const Node<T>& a, const std::vector<double>& traces) {
      return Node<T>{AnyOperator<T>(symmetric_polynomial(HostSpace<T>{}, a.op, traces)),
                     a.calls_python};
    });
  });
}

}  // namespace ritz::python
