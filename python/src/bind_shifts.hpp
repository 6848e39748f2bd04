// Binds the methods that solve a family of problems, one for each shift or damping, from one Krylov
// space.
#pragma once

#include "bind_linear.hpp"

namespace ritz::python {

/// Runs `solve(space, A, b, X, values, options, monitor, outcomes)` and returns (X, what each
/// column came to, what all of them together did).
template <Field T, class Options, class OneOutcome, class Solve>
py::tuple solve_family(const py::object& a, const py::array_t<T, py::array::c_style>& b,
                       const py::array_t<double, py::array::c_style>& values,
                       const py::dict& options, PythonMonitor& monitor, const Solve& solve) {
  const auto& node = a.cast<const Node<T>&>();
  const OperatorRef<T> A(node.op);
  const Index n = A.cols(), count = values.size();
  const auto opt = read_options<Options>(options);
  py::array_t<T> x = new_block<T>(n, count);
  const BlockView<T> X{x.mutable_data(), n, count, n};
  const std::span<const double> given(values.data(), static_cast<std::size_t>(count));
  std::vector<OneOutcome> outcomes(given.size());
  Outcome all;
  {
    const RunGil gil(node.calls_python, std::max(A.rows(), n));
    Observer<T> observer(monitor, gil.held());
    HostSpace<T> space;
    all = solve(space, A, const_view<T>(b), X, given, opt, watch(monitor, observer),
                std::span<OneOutcome>(outcomes));
  }
  py::list described;
  for (const auto& outcome : outcomes) {
    py::dict d = as_dict(outcome);
    if constexpr (requires { outcome.visit([](const char*, double) {}); }) {
      outcome.visit([&](const char* name, double value) { d[name] = value; });
    }
    described.append(d);
  }
  return py::make_tuple(x, described, as_dict(all));
}

template <Field T>
void bind_shifts(py::module_& m) {
  using S = HostSpace<T>;
  using Array = py::array_t<T, py::array::c_style>;
  using Values = py::array_t<double, py::array::c_style>;

  m.def("cg_shifts", [](const py::object& a, const Array& b, const Values& shifts,
                        const py::dict& options, PythonMonitor& monitor) {
    CgShiftsWorkspace<S> ws;
    return solve_family<T, CgShiftsOptions, Outcome>(
        a, b, shifts, options, monitor,
        [&](auto& space, const auto& A, auto v, auto X, auto values, const auto& opt,
            const auto& watched, auto outcomes) {
          return compiled::cg_shifts<T>(space, A, v, X, values, ws, opt, watched, outcomes);
        });
  });
  m.def("lsqr_damps", [](const py::object& a, const Array& b, const Values& damps,
                         const py::dict& options, PythonMonitor& monitor) {
    LsqrDampsWorkspace<S> ws;
    return solve_family<T, LsqrDampsOptions, LeastSquaresOutcome>(
        a, b, damps, options, monitor,
        [&](auto& space, const auto& A, auto v, auto X, auto values, const auto& opt,
            const auto& watched, auto outcomes) {
          return compiled::lsqr_damps<T>(space, A, v, X, values, ws, opt, watched, outcomes);
        });
  });
}

}  // namespace ritz::python
