#include <pybind11/complex.h>

#include <system_error>

#include "bind_eigsh.hpp"
#include "bind_methods.hpp"
#include "monitor.hpp"
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

  m.def("eigsh", [](const N& a, const py::object& mass, const py::object& mass_inverse,
                    const py::object& solve, double sigma, const py::dict& options, int which,
                    std::uint64_t seed, const Block& v0, const Block& deflate,
                    const std::string& checkpoint, double checkpoint_every, PythonMonitor& monitor,
                    const py::object& workspace) {
    std::optional<EigshWorkspace<S>> fresh;
    auto& ws = workspace_of<EigshWorkspace<S>>("eigsh", workspace, fresh);
    const Index n = a.op.cols(), k = read_options<EigshOptions>(options).k;
    py::array_t<T> V = new_block<T>(n, k);
    S space;
    return run_eigsh(space, a, {{mass, mass_inverse, solve}, sigma, options, which, seed},
                     {v0.data(), v0.shape(0), v0.shape(1), v0.shape(0)},
                     {deflate.data(), deflate.shape(0), deflate.shape(1), deflate.shape(0)},
                     {V.mutable_data(), n, k, n}, V, ws,
                     checkpoint.empty() ? Checkpoint() : Checkpoint(checkpoint, checkpoint_every),
                     [&](bool calls_python, const auto& run) {
                       const RunGil gil(calls_python, n);
                       Observer<T> observer(monitor, gil.held());
                       return run(watch(monitor, observer));
                     });
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
