#include <pybind11/complex.h>

#include <array>
#include <system_error>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/eigsh.hpp"

namespace ritz::python {

namespace {

template <class Place>
AnyWorkspace eigsh_workspace(Place& place, Index, Index cols, Index ncv) {
  auto space = place.space();
  auto ws = std::make_shared<EigshWorkspace<typename Place::S>>();
  ws->prepare(space, cols, ncv);
  return place.lent(make_workspace("eigsh", std::move(ws)));
}

/// `mass`, `mass_inverse` and `solve`: nodes of M, M⁻¹ and (A − σM)⁻¹, or None.
template <class Place>
py::tuple eigsh(Place& place, const typename Place::N& a, const py::object& mass,
                const py::object& mass_inverse, const py::object& solve, double sigma,
                const py::dict& options, int which, std::uint64_t seed, const py::object& v0,
                const py::object& deflate, const std::string& checkpoint, double checkpoint_every,
                PythonMonitor& monitor, const py::object& workspace) {
  using S = typename Place::S;
  using T = typename Place::Value;
  std::optional<EigshWorkspace<S>> fresh;
  auto& ws = workspace_of<EigshWorkspace<S>>("eigsh", workspace, fresh);
  auto opt = read_options<EigshOptions>(options);
  opt.which = static_cast<Which>(which);
  opt.seed = {seed, 0};
  const Index n = a.op.cols();
  const auto k = static_cast<std::size_t>(opt.k);
  py::array_t<double> w(opt.k), residuals(opt.k), bounds(opt.k);
  std::fill_n(w.mutable_data(), k, std::nan(""));
  for (auto* errors : {&residuals, &bounds}) std::fill_n(errors->mutable_data(), k, INFINITY);
  auto [array, V] = place.block(n, opt.k);
  auto space = place.space();
  for (Index j = 0; j < V.cols; ++j) space.fill(0.0, V.column(j));
  const EigshResults<T> results{
      {w.mutable_data(), k}, {residuals.mutable_data(), k}, {bounds.mutable_data(), k}, V};

  bool calls_python = a.calls_python;
  std::array<std::optional<OperatorRef<T>>, 3> references;
  std::size_t used = 0;
  const auto optional = [&](const py::object& given) -> OptionalOperator<T> {
    if (given.is_none()) return nullptr;
    const auto& node = given.cast<const typename Place::N&>();
    calls_python |= node.calls_python;
    return &references[used++].emplace(node.op);
  };
  const OperatorRef<T> reference(a.op);
  compiled::HermitianProblem<T> problem{reference, optional(mass), optional(mass_inverse),
                                        optional(solve)};
  problem.sigma = sigma;
  problem.start = place.given_columns(v0);
  problem.deflate = place.given_columns(deflate);
  const EigshOutcome outcome = place.watched(calls_python, n, monitor, [&](const Monitor& watched) {
    return compiled::eigsh(
        space, problem, results, ws, opt, watched,
        checkpoint.empty() ? Checkpoint() : Checkpoint(checkpoint, checkpoint_every));
  });
  py::dict d = as_dict(outcome);
  d["restarts"] = outcome.restarts;
  d["found"] = outcome.found;
  d["converged"] = outcome.converged;
  d["locked"] = outcome.locked;
  d["norm_a"] = outcome.norm_a;
  return py::make_tuple(w, array, residuals, bounds, d);
}

py::array_t<Index> multiplicities_of(const py::array_t<double, py::array::c_style>& values,
                                     const py::array_t<double, py::array::c_style>& bounds) {
  py::array_t<Index> counts(values.size());
  const auto size = static_cast<std::size_t>(values.size());
  multiplicities({values.data(), size}, {bounds.data(), size}, {counts.mutable_data(), size});
  return counts;
}

}  // namespace

void bind_eigsh(Places& places) {
  // A checkpoint that cannot be written is an OSError, as of Python's own files.
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::system_error& e) {
      PyErr_SetString(PyExc_OSError, e.what());
    }
  });
  places.host.each([]<Field T>(py::module_ m) { m.def("multiplicities", &multiplicities_of); });
  places.each([]<class Place>(auto& to) {
    define(to, "eigsh_workspace", &eigsh_workspace<Place>);
    define(to, "eigsh", &eigsh<Place>);
  });
}

}  // namespace ritz::python
