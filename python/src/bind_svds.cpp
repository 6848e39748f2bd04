#include <pybind11/complex.h>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/svds.hpp"

namespace ritz::python {

namespace {

template <class Place>
AnyWorkspace svds_workspace(Place& place, Index rows, Index cols, Index ncv) {
  auto space = place.space();
  auto ws = std::make_shared<SvdsWorkspace<typename Place::S>>();
  const Index shorter = std::min(rows, cols), size = std::min(shorter, ncv);
  ws->prepare(space, rows, cols, size, std::min(shorter - size, size / 3));
  return place.lent(make_workspace("svds", std::move(ws)));
}

template <class Place>
py::tuple svds(Place& place, const typename Place::N& a, const py::dict& options,
               const py::object& v0, const py::object& deflate, const py::object& checkpoint,
               PythonMonitor& monitor, const py::object& workspace) {
  using S = typename Place::S;
  using T = typename Place::Value;
  std::optional<SvdsWorkspace<S>> fresh;
  auto& ws = workspace_of<SvdsWorkspace<S>>("svds", workspace, fresh);
  auto opt = read_options<SvdsOptions>(options);
  const Index rows = a.op.rows(), cols = a.op.cols(), k = opt.k;
  py::array_t<double> s(k), residuals(k);
  std::fill_n(s.mutable_data(), k, std::nan(""));
  std::fill_n(residuals.mutable_data(), k, INFINITY);
  const auto left = place.block(rows, k), right = place.block(cols, k);
  const BlockView<T> U = left.view, V = right.view;
  auto space = place.space();
  for (const BlockView<T>& block : {U, V}) {
    for (Index i = 0; i < k; ++i) space.fill(0.0, block.column(i));
  }
  if (!v0.is_none()) {
    const VectorView<const T> from = place.given(v0);
    check_size("v0", from.size, std::min(rows, cols));
    space.copy(from, (rows < cols ? U : V).column(0));
    opt.warm_start = true;
  }
  std::optional<Checkpoint> saved;
  if (!checkpoint.is_none()) {
    const auto [path, every] = checkpoint.cast<std::pair<std::string, double>>();
    saved.emplace(path, every);
  }
  const auto size = static_cast<std::size_t>(k);
  const std::span<double> values(s.mutable_data(), size), errors(residuals.mutable_data(), size);
  const BlockView<const T> locked = place.given_columns(deflate);
  const SvdsOutcome outcome =
      place.watched(a.calls_python, std::max(rows, cols), monitor, [&](const Monitor& watched) {
        const SvdsOutcome out =
            compiled::SingularValues<S>::svds(space, OperatorRef<T>(a.op), values, errors, U, V, ws,
                                              opt, watched, saved ? &*saved : nullptr, locked);
        for (Index i = out.found; i < k; ++i) {  // what a failed run left is no result
          values[static_cast<std::size_t>(i)] = std::nan("");
          errors[static_cast<std::size_t>(i)] = INFINITY;
          space.fill(std::nan(""), U.column(i));
          space.fill(std::nan(""), V.column(i));
        }
        return out;
      });
  py::dict d = as_dict(outcome);
  d["restarts"] = outcome.restarts;
  d["found"] = outcome.found;
  d["converged"] = outcome.converged;
  d["norm_a"] = outcome.norm_a;
  return py::make_tuple(left.array, s, place.adjoint(right), residuals, d);
}

template <class Place>
py::dict norm2(Place& place, const typename Place::N& a, const py::dict& options,
               PythonMonitor& monitor) {
  using S = typename Place::S;
  const auto opt = read_options<Norm2Options>(options);
  SvdsWorkspace<S> ws;
  const Norm2Outcome outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::SingularValues<S>::norm2(space, A, ws, opt, monitored);
      });
  py::dict d = as_dict(outcome);
  d["value"] = outcome.value;
  d["lower"] = outcome.lower;
  d["upper"] = outcome.upper;
  return d;
}

template <class Place>
py::dict frobenius_norm(Place& place, const typename Place::N& a, const py::dict& options,
                        PythonMonitor& monitor) {
  using S = typename Place::S;
  const auto opt = read_options<FrobeniusOptions>(options);
  const FrobeniusOutcome outcome =
      watched(place, a, monitor, [&](S& space, const auto& A, const Monitor& monitored) {
        return compiled::SingularValues<S>::frobenius_norm(space, A, opt, monitored);
      });
  py::dict d = as_dict(outcome);
  d["value"] = outcome.value;
  d["stderr"] = outcome.stderr_;
  return d;
}

}  // namespace

void bind_svds(Places& places) {
  places.each([]<class Place>(auto& to) {
    define(to, "svds_workspace", &svds_workspace<Place>);
    define(to, "svds", &svds<Place>);
    define(to, "norm2", &norm2<Place>);
    define(to, "frobenius_norm", &frobenius_norm<Place>);
  });
}

}  // namespace ritz::python
