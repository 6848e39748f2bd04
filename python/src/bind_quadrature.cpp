#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/quadrature.hpp"

namespace ritz::python {

namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

Doubles array_of(std::span<const double> x) {
  return Doubles(static_cast<py::ssize_t>(x.size()), x.data());
}

/// The integrand that Python gives: (kind, t, p, z) of a NamedFunction, or a function of an array.
class PythonIntegrand {
 public:
  explicit PythonIntegrand(const py::object& given) {
    if (py::isinstance<py::tuple>(given)) {
      const auto [kind, t, p, z] = given.cast<std::tuple<int, double, double, double>>();
      integrand_.named.kind = static_cast<Function>(kind);
      integrand_.named.t = t;
      integrand_.named.p = p;
      integrand_.named.z = z;
    } else {
      function_ = given;
      integrand_.values = *this;
    }
  }
  PythonIntegrand(const PythonIntegrand&) = delete;

  const Integrand& get() const { return integrand_; }

  void operator()(std::span<const double> x, std::span<double> y) {
    const py::gil_scoped_acquire gil;
    const Doubles values(function_(array_of(x)));
    if (static_cast<std::size_t>(values.size()) != y.size()) {
      throw py::value_error("f returned " + std::to_string(values.size()) +
                            " values for an array of " + std::to_string(y.size()) +
                            ": pass a function that works elementwise");
    }
    std::copy_n(values.data(), y.size(), y.data());
  }

 private:
  py::object function_;
  Integrand integrand_;
};

Checkpoint checkpoint_of(const std::string& path, double every) {
  return path.empty() ? Checkpoint() : Checkpoint(path, every);
}

template <Field T>
void bind(py::module_& m) {
  using S = HostSpace<T>;
  using N = Node<T>;
  using Array = py::array_t<T, py::array::c_style>;

  // v is None: uᴴ f(A) u.
  m.def("bilinear_form", [](const N& a, const Array& u, const py::object& v, const py::object& f,
                            const py::dict& options, PythonMonitor& monitor) {
    const auto opt = read_options<QuadratureOptions>(options);
    const PythonIntegrand integrand(f);
    const VectorView<const T> left = const_view<T>(u);
    const Array second = v.is_none() ? Array() : v.cast<Array>();
    const VectorView<const T> right = const_view<T>(second);
    const bool quadratic = v.is_none();
    S space;
    QuadratureWorkspace<S> ws;
    QuadratureOutcome<T> out;
    {
      const RunGil gil(a.calls_python, left.size);
      Observer<T> observer(monitor, gil.held());
      const Monitor watched = watch(monitor, observer);
      const OperatorRef<T> op(a.op);
      out = quadratic
                ? compiled::quadratic_form<T>(space, op, left, integrand.get(), ws, opt, watched)
                : compiled::bilinear_form<T>(space, op, left, right, integrand.get(), ws, opt,
                                             watched);
    }
    py::dict account = as_dict(out);
    account["rigorous"] = out.rigorous;
    return py::make_tuple(out.value, out.lower, out.upper, account);
  });

  m.def("spectral_sum",
        [](const N& a, const py::object& f, std::uint64_t seed, const py::dict& options,
           const std::string& path, double every, PythonMonitor& monitor) {
          auto opt = read_options<SpectralSumOptions>(options);
          opt.seed = {seed, 0};
          const PythonIntegrand integrand(f);
          S space;
          SpectralSumWorkspace<S> ws;
          SpectralSumOutcome out;
          {
            const RunGil gil(a.calls_python, a.op.cols());
            Observer<T> observer(monitor, gil.held());
            out = compiled::spectral_sum<T>(space, OperatorRef<T>(a.op), integrand.get(), ws, opt,
                                            watch(monitor, observer), checkpoint_of(path, every));
          }
          py::dict account = as_dict(out);
          account["quadrature_error"] = out.quadrature_error;
          account["samples"] = out.samples;
          account["steps"] = out.steps;
          account["rigorous"] = out.rigorous;
          return py::make_tuple(out.value, out.stderr_, account);
        });

  // A list of (diagonal, off-diagonal, exact), one for each probe.
  m.def("spectral_measures", [](const N& a, std::uint64_t seed, const py::dict& options,
                                const std::string& path, double every, PythonMonitor& monitor) {
    auto opt = read_options<DensityOptions>(options);
    opt.seed = {seed, 0};
    S space;
    MeasuresWorkspace<S> ws;
    std::vector<Jacobi> measures;
    DensityOutcome out;
    {
      const RunGil gil(a.calls_python, a.op.cols());
      Observer<T> observer(monitor, gil.held());
      out = compiled::spectral_measures<T>(space, OperatorRef<T>(a.op), measures, ws, opt,
                                           watch(monitor, observer), checkpoint_of(path, every));
    }
    py::list matrices;
    for (const Jacobi& J : measures) {
      matrices.append(py::make_tuple(array_of(J.diagonal), array_of(J.off), J.exact));
    }
    return py::make_tuple(matrices, as_dict(out));
  });

  m.def("chebyshev_moments", [](const N& a, double low, double high, std::uint64_t seed,
                                const py::dict& options, const std::string& path, double every,
                                PythonMonitor& monitor) {
    auto opt = read_options<DensityOptions>(options);
    opt.seed = {seed, 0};
    S space;
    MomentsWorkspace<S> ws;
    std::vector<double> moments;
    DensityOutcome out;
    {
      const RunGil gil(a.calls_python, a.op.cols());
      Observer<T> observer(monitor, gil.held());
      out = compiled::chebyshev_moments<T>(space, OperatorRef<T>(a.op), low, high, moments, ws, opt,
                                           watch(monitor, observer), checkpoint_of(path, every));
    }
    return py::make_tuple(array_of(moments).reshape({out.samples, 2 * opt.steps + 1}),
                          as_dict(out));
  });

  // Nodes, weights and |last components| of the Gauss rule of a Jacobi matrix.
  m.def("gauss_rule", [](const Doubles& diagonal, const Doubles& off) {
    QuadratureRule rule;
    const std::span d(diagonal.data(), static_cast<std::size_t>(diagonal.size()));
    const std::span e(off.data(), static_cast<std::size_t>(off.size()));
    if (e.size() + 1 < d.size()) throw py::value_error("off is too short for diagonal");
    if (!rule.set(d, e)) throw py::value_error("diagonal or off holds a NaN or an infinity");
    return py::make_tuple(array_of(rule.nodes), array_of(rule.weights), array_of(rule.last));
  });
}

}  // namespace

void bind_quadrature(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
