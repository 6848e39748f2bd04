#include <pybind11/complex.h>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/lowrank.hpp"

namespace ritz::python {

namespace {

// The number of columns is known when the run has ended: arrays are made then, with the GIL.

template <class Place>
py::tuple rangefinder(Place& place, const typename Place::N& a, const py::dict& options,
                      PythonMonitor& monitor) {
  using S = typename Place::S;
  using T = typename Place::Value;
  const auto opt = read_options<RangefinderOptions>(options);
  const Index rows = a.op.rows(), cols = a.op.cols();
  Made<BlockView<T>> Q;
  const auto to = [&](Index rank) -> BlockView<T> {
    const py::gil_scoped_acquire gil;
    Q = place.block(rows, rank);
    return Q.view;
  };
  const RangefinderOutcome outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::LowRank<S>::rangefinder(space, A, opt, to, monitored);
      });
  py::dict d = as_dict(outcome);
  d["rank"] = outcome.rank;
  d["error"] = outcome.error;
  d["stderr"] = outcome.stderr_;
  d["norm"] = outcome.norm;
  return py::make_tuple(Q.array, d);
}

template <class Place>
py::tuple svd_lowrank(Place& place, const typename Place::N& a, const py::dict& options,
                      PythonMonitor& monitor) {
  using S = typename Place::S;
  using T = typename Place::Value;
  const auto opt = read_options<SvdLowrankOptions>(options);
  const Index rows = a.op.rows(), cols = a.op.cols();
  Made<BlockView<T>> U, V;
  std::vector<double> s, residuals;
  const auto to = [&](Index rank) -> TripletsView<T> {
    const py::gil_scoped_acquire gil;
    U = place.block(rows, rank);
    V = place.block(cols, rank);
    s.assign(static_cast<std::size_t>(rank), 0.0);
    residuals = s;
    return {s, residuals, U.view, V.view};
  };
  const SvdLowrankOutcome outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::LowRank<S>::svd_lowrank(space, A, opt, to, monitored);
      });
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
  return py::make_tuple(U.array, vector(s), place.adjoint(V), vector(residuals), d);
}

}  // namespace

void bind_lowrank(Places& places) {
  places.each([]<class Place>(auto& to) {
    define(to, "rangefinder", &rangefinder<Place>);
    define(to, "svd_lowrank", &svd_lowrank<Place>);
  });
}

}  // namespace ritz::python
