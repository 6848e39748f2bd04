#include <pybind11/complex.h>

#include <system_error>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/eigsh.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Reals = py::array_t<double, py::array::c_style>;
  using Block = py::array_t<T, py::array::f_style>;  // (n, 0) for none

  m.def("eigsh_workspace", [](Index, Index cols, Index ncv) {
    S space;
    auto ws = std::make_shared<EigshWorkspace<S>>();
    ws->prepare(space, cols, ncv);
    return make_workspace("eigsh", std::move(ws));
  });

  m.def("multiplicities", [](const Reals& values, const Reals& bounds) {
    py::array_t<Index> counts(values.size());
    const auto size = static_cast<std::size_t>(values.size());
    multiplicities({values.data(), size}, {bounds.data(), size}, {counts.mutable_data(), size});
    return counts;
  });

  m.def("eigsh",
        [](const N& a, const py::object& mass, const py::object& mass_inverse,
           const py::object& solve, double sigma, const py::dict& options, int which,
           std::uint64_t seed, const Block& v0, const Block& deflate, const std::string& checkpoint,
           double checkpoint_every, PythonMonitor& monitor, const py::object& workspace) {
          std::optional<EigshWorkspace<S>> fresh;
          auto& ws = workspace_of<EigshWorkspace<S>>("eigsh", workspace, fresh);
          const Index n = a.op.cols();
          auto opt = read_options<EigshOptions>(options);
          opt.which = static_cast<Which>(which);
          opt.seed = {seed, 0};
          const Index k = opt.k;

          py::array_t<double> w(k), residuals(k), bounds(k);
          std::fill_n(w.mutable_data(), k, std::nan(""));
          for (auto* errors : {&residuals, &bounds})
            std::fill_n(errors->mutable_data(), k, INFINITY);
          py::array_t<T> V = new_block<T>(n, k);
          std::fill_n(V.mutable_data(), n * k, T{});
          const auto room = static_cast<std::size_t>(k);
          const EigshResults<T> results{{w.mutable_data(), room},
                                        {residuals.mutable_data(), room},
                                        {bounds.mutable_data(), room},
                                        {V.mutable_data(), n, k, n}};

          bool calls_python = a.calls_python;
          std::optional<OperatorRef<T>> references[3];
          const auto optional = [&](const py::object& given, int place) -> OptionalOperator<T> {
            if (given.is_none()) return nullptr;
            const auto& node = given.cast<const N&>();
            calls_python |= node.calls_python;
            return &references[place].emplace(node.op);
          };
          const OperatorRef<T> reference(a.op);
          compiled::HermitianProblem<T> problem{reference, optional(mass, 0),
                                                optional(mass_inverse, 1), optional(solve, 2)};
          problem.sigma = sigma;
          problem.start = {v0.data(), v0.shape(0), v0.shape(1), v0.shape(0)};
          problem.deflate = {deflate.data(), deflate.shape(0), deflate.shape(1), deflate.shape(0)};

          S space;
          EigshOutcome outcome;
          {
            const RunGil gil(calls_python, n);
            Observer<T> observer(monitor, gil.held());
            outcome = compiled::eigsh<T>(
                space, problem, results, ws, opt, watch(monitor, observer),
                checkpoint.empty() ? Checkpoint() : Checkpoint(checkpoint, checkpoint_every));
          }
          py::dict d = as_dict(outcome);
          d["restarts"] = outcome.restarts;
          d["found"] = outcome.found;
          d["converged"] = outcome.converged;
          d["locked"] = outcome.locked;
          d["norm_a"] = outcome.norm_a;
          return py::make_tuple(w, V, residuals, bounds, d);
        });
}

}  // namespace

void bind_eigsh(const ElementTypes& types) {
  // A checkpoint that cannot be written is an OSError, as of Python's own files.
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::system_error& e) {
      PyErr_SetString(PyExc_OSError, e.what());
    }
  });
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
