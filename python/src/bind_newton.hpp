// Binds the nonlinear methods, for real element types.
#pragma once

#include "bind.hpp"
#include "model.hpp"

namespace ritz::python {

inline LevenbergMarquardtOptions options_of(const py::dict& given) {
  LevenbergMarquardtOptions opt;
  for (const auto& [key, value] : given) {
    const auto name = py::cast<std::string>(key);
    const auto read = [&](auto& option) {
      option = py::cast<std::remove_reference_t<decltype(option)>>(value);
    };
    if (name == "ftol")
      read(opt.ftol);
    else if (name == "xtol")
      read(opt.xtol);
    else if (name == "gtol")
      read(opt.gtol);
    else if (name == "l2")
      read(opt.l2);
    else if (name == "max_iterations")
      read(opt.max_iterations);
    else if (name == "initial_radius")
      read(opt.initial_radius);
    else if (name == "max_radius")
      read(opt.max_radius);
    else if (name == "min_gain")
      read(opt.min_gain);
    else if (name == "forcing")
      read(opt.forcing);
    else if (name == "max_inner")
      read(opt.max_inner);
    else if (name == "probes")
      read(opt.probes);
    else if (name == "refresh")
      read(opt.refresh);
    else if (name == "seed")
      read(opt.seed.seed);
    else if (name != "adapter")
      throw py::type_error("there is no option " + name);
  }
  return opt;
}

template <RealField T>
void bind_newton(py::module_& m) {
  using S = HostSpace<T>;

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
