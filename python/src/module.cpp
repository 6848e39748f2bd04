// The extension module ritz._core: one submodule for each element type, and what they share.
#include <pybind11/pybind11.h>

#include "bind_methods.hpp"
#include "device_core.hpp"
#include "monitor.hpp"
#include "ritz/compiled/linear.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/core/version.hpp"
#include "ritz/op/c_operator.hpp"
#include "ritz/space/kernel_table.hpp"
#include "workspace.hpp"

namespace {

namespace py = pybind11;
using namespace ritz;
using namespace ritz::python;

void bind_shared(py::module_& m) {
  py::class_<PythonMonitor>(m, "Monitor")
      .def(py::init<py::object, bool, double, Index>(), py::arg("callback"), py::arg("history"),
           py::arg("timeout"), py::arg("max_products"))
      .def_property_readonly("history", [](const PythonMonitor& monitor) {
        return py::array_t<double>(static_cast<py::ssize_t>(monitor.residuals.size()),
                                   monitor.residuals.data());
      });

  py::class_<PythonIteration>(m, "Iteration")
      .def_readonly("iteration", &PythonIteration::iteration)
      .def_readonly("residual", &PythonIteration::residual)
      .def_readonly("objective", &PythonIteration::objective)
      .def_property_readonly("products",
                             [](const PythonIteration& it) {
                               return py::make_tuple(it.products.apply, it.products.adjoint,
                                                     it.products.columns);
                             })
      .def_readonly("seconds", &PythonIteration::elapsed)
      .def_readonly("x", &PythonIteration::iterate)
      .def_readonly("change", &PythonIteration::change)
      .def_readonly("gradient_norm", &PythonIteration::gradient_norm)
      .def_readonly("step_norm", &PythonIteration::step_norm)
      .def_readonly("gain_ratio", &PythonIteration::gain_ratio)
      .def_readonly("damping", &PythonIteration::damping)
      .def_readonly("inner_iterations", &PythonIteration::inner_iterations)
      .def_readonly("accepted", &PythonIteration::accepted);

  py::class_<AnyWorkspace>(m, "Workspace")
      .def_readonly("method", &AnyWorkspace::method)
      .def_property_readonly("bytes",
                             [](const AnyWorkspace& w) { return w.bytes(w.workspace.get()); });

  m.def("status_name", [](int status) { return name(static_cast<Status>(status)); });
  m.def("advice", [](int status) { return advice(static_cast<Status>(status)); });
  m.def("isa", [] { return std::string(kernels::name(kernels::default_isa())); });
  m.def("set_num_threads", [](int n) { threads::set_num_threads(n); });
  m.def("num_threads", [] { return threads::num_threads(); });
  m.def("linear_methods", [] {
    return []<class... Methods>(std::tuple<Methods...>*) {
      return std::vector<std::string>{std::string(Methods::kName)...};
    }(static_cast<KrylovMethods*>(nullptr));
  });
  m.attr("version") = kVersion;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "Compiled methods of ritz; use the functions of ritz itself.";
  bind_shared(m);
  const ElementTypes types{m.def_submodule("f4"), m.def_submodule("f8"), m.def_submodule("c8"),
                           m.def_submodule("c16")};
  bind_f4(types.f4);
  bind_f8(types.f8);
  bind_c8(types.c8);
  bind_c16(types.c16);
  for (const auto bind : {&bind_cg_batch, &bind_eigs, &bind_kaczmarz, &bind_lstsq, &bind_quadrature,
                          &bind_selection, &bind_skeleton, &bind_sketch}) {
    bind(types);
  }
  Places places{types, bind_cuda(m)};
  for (const auto bind : {&bind_eigsh, &bind_estimators, &bind_funm, &bind_lobpcg, &bind_lowrank,
                          &bind_nystrom, &bind_svds}) {
    bind(places);
  }
  py::register_exception<CallbackFailed>(m, "CallbackFailed", PyExc_RuntimeError).attr("__doc__") =
      "A compiled operator reported a failure: it returned something but 0.";
}
