// Binds the nonlinear methods, for real element types.
#pragma once

#include "model.hpp"
#include "monitor.hpp"
#include "ritz/compiled/newton.hpp"
#include "workspace.hpp"

namespace ritz::python {

/// Options by name; `adapter` is not one of the method.
inline LevenbergMarquardtOptions options_of(const py::dict& given) {
  using Options = LevenbergMarquardtOptions;
  static constexpr std::pair<const char*, double Options::*> kNumbers[] = {
      {"ftol", &Options::ftol},
      {"xtol", &Options::xtol},
      {"gtol", &Options::gtol},
      {"l2", &Options::l2},
      {"initial_radius", &Options::initial_radius},
      {"max_radius", &Options::max_radius},
      {"min_gain", &Options::min_gain},
      {"forcing", &Options::forcing},
  };
  static constexpr std::pair<const char*, Index Options::*> kCounts[] = {
      {"max_iterations", &Options::max_iterations},
      {"max_inner", &Options::max_inner},
      {"probes", &Options::probes},
      {"refresh", &Options::refresh},
  };
  Options opt;
  for (const auto& [key, value] : given) {
    const auto name = py::cast<std::string>(key);
    bool known = name == "adapter";
    for (const auto& [option, member] : kNumbers) {
      if (name != option) continue;
      opt.*member = py::cast<double>(value);
      known = true;
    }
    for (const auto& [option, member] : kCounts) {
      if (name != option) continue;
      opt.*member = py::cast<Index>(value);
      known = true;
    }
    if (name == "seed") {
      opt.seed.seed = py::cast<std::uint64_t>(value);
      known = true;
    }
    if (!known) throw py::type_error("there is no option " + name);
  }
  return opt;
}

template <RealField T>
void bind_newton(py::module_& m) {
  using S = HostSpace<T>;

  m.def("levenberg_marquardt_workspace", [](Index rows, Index cols, Index) {
    S space;
    auto ws = std::make_shared<LevenbergMarquardtWorkspace<S>>();
    ws->prepare(space, rows, cols);
    ws->cg.prepare(space, cols, cols, {}, true);
    return make_workspace("levenberg_marquardt", std::move(ws));
  });

  m.def("levenberg_marquardt",
        [](const py::object& model, const py::object& loss, const py::object& x0,
           const py::dict& options, PythonMonitor& monitor, const py::object& workspace) {
          const LevenbergMarquardtOptions opt = options_of(options);
          const auto adapter = std::make_shared<Adapter>(options["adapter"]);
          std::optional<LevenbergMarquardtWorkspace<S>> fresh;
          auto& ws =
              workspace_of<LevenbergMarquardtWorkspace<S>>("levenberg_marquardt", workspace, fresh);
          PythonModel<T> f(model, adapter);
          std::optional<PythonLoss<T>> l;
          if (!loss.is_none()) l.emplace(loss, adapter);
          py::array_t<T> x = start<T>(x0, py::none(), f.parameters());
          S space;
          LevenbergMarquardtOutcome outcome;
          const auto xv = view(x);
          {
            const RunGil gil(true, std::max(f.parameters(), f.outputs()));
            Observer<T> observer(monitor, gil.held());
            outcome = compiled::levenberg_marquardt<T>(space, f, l ? &*l : nullptr, xv, ws, opt,
                                                       watch(monitor, observer));
          }
          py::dict d = as_dict(outcome);
          d["message"] = message(outcome);
          d["reason"] = static_cast<int>(outcome.reason);
          d["cost"] = outcome.cost;
          d["gradient_norm"] = outcome.gradient_norm;
          d["evaluations"] = outcome.evaluations;
          d["linearizations"] = outcome.linearizations;
          d["inner_iterations"] = outcome.inner_iterations;
          d["accepted"] = outcome.accepted;
          return py::make_tuple(x, d);
        });
}

}  // namespace ritz::python
