#include <pybind11/complex.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bind_methods.hpp"
#include "monitor.hpp"
#include "ritz/compiled/selection.hpp"
#include "signals.hpp"

namespace ritz::python {

namespace {

template <class V>
py::array_t<V> array(const std::vector<V>& values) {
  return py::array_t<V>(static_cast<py::ssize_t>(values.size()), values.data());
}

/// run(look) without the GIL, with a look at the signals.
template <class Run>
auto unlocked(const Run& run) {
  Signals signals;
  const py::gil_scoped_release nogil;
  return run(selection::Look(signals));
}

/// run(watch) without the GIL, watched by `monitor`, and by signals between its iterations.
template <class Run>
auto watched(PythonMonitor& monitor, const Run& run) {
  Signals signals;
  const RunGil gil(false, 0);
  Observer<double> observer(monitor, gil.held());  // iterates are weights
  return run(selection::Watch{watch(monitor, observer), signals});
}

py::dict account(const selection::LewisOutcome& out) {
  py::dict d;
  d["status"] = static_cast<int>(out.status);
  d["iterations"] = out.iterations;
  d["residual"] = out.residual;
  d["rank"] = out.rank;
  return d;
}

/// (rows, coefficients in the element type of A, account)
template <Field T>
py::tuple described(const selection::MaxvolOutcome<WideOf<T>>& out, Index m) {
  const Index k = std::ssize(out.rows);
  py::array_t<T> B = new_block<T>(m, k);
  std::transform(out.coefficients.begin(), out.coefficients.end(), B.mutable_data(),
                 [](WideOf<T> b) { return static_cast<T>(b); });
  py::dict d;
  d["status"] = static_cast<int>(out.status);
  d["iterations"] = out.swaps;
  d["residual"] = out.largest;
  return py::make_tuple(array(out.rows), B, d);
}

template <Field T>
void bind_scores(py::module_& m) {
  using Array = py::array_t<T>;

  m.def("leverage_scores",
        [](const Array& a, Index sketch, Index probes, double rtol, std::uint64_t seed) {
          const auto A = matrix<T>(a);
          py::array_t<double> scores(A.rows);
          double* to = scores.mutable_data();
          const Index rank = unlocked([&](selection::Look look) {
            return compiled::leverage_scores<T>(A, to, {sketch, probes, rtol, seed}, look);
          });
          return py::make_tuple(scores, rank);
        });

  m.def("lewis_weights", [](const Array& a, double p, double tol, Index maxiter, double rtol,
                            PythonMonitor& monitor) {
    const auto A = matrix<T>(a);
    py::array_t<double> weights(A.rows);
    double* to = weights.mutable_data();
    const auto out = watched(monitor, [&](const selection::Watch& by) {
      return compiled::lewis_weights<T>(A, p, to, {tol, maxiter, rtol}, by);
    });
    return py::make_tuple(weights, account(out));
  });

  m.def("sensitivities", [](const Array& a, double p, double tol, Index maxiter, double rtol) {
    const auto A = matrix<T>(a);
    py::array_t<double> bounds(A.rows);
    double* to = bounds.mutable_data();
    const auto out = unlocked([&](selection::Look look) {
      return compiled::sensitivities<T>(A, p, to, {tol, maxiter, rtol}, look);
    });
    return py::make_tuple(bounds, account(out));
  });
}

template <Field T>
void bind_rows(py::module_& m) {
  using Array = py::array_t<T>;

  m.def("projection_dpp", [](const Array& v, Index repeats, double rtol, std::uint64_t seed) {
    const auto V = matrix<T>(v);
    const auto out = unlocked([&](selection::Look look) {
      return compiled::projection_dpp<T>(V, {repeats, rtol, seed}, look);
    });
    py::dict d;
    d["rank"] = out.rank;
    d["scores"] = array(out.scores);
    d["log_probability"] = array(out.log_probability);
    d["defect"] = out.defect;
    d["least_eigenvalue"] = out.least_eigenvalue;
    return py::make_tuple(array(out.rows), array(out.weights), d);
  });

  m.def("volume_sampling", [](const Array& a, Index size, int method, double least_eigenvalue,
                              Index max_draws, double rtol, std::uint64_t seed) {
    const auto A = matrix<T>(a);
    const auto out = unlocked([&](selection::Look look) {
      return compiled::volume_sampling<T>(A,
                                          {size, static_cast<selection::VolumeMethod>(method),
                                           least_eigenvalue, max_draws, rtol, seed},
                                          look);
    });
    py::dict d;
    d["status"] = static_cast<int>(out.status);
    d["iterations"] = out.draws;
    d["scores"] = array(out.scores);
    d["least_eigenvalue"] = out.least_eigenvalue;
    return py::make_tuple(array(out.rows), array(out.weights), d);
  });

  m.def("maxvol",
        [](const Array& a, double tol, Index max_swaps, double rtol, PythonMonitor& monitor) {
          const auto A = matrix<T>(a);
          return described<T>(watched(monitor,
                                      [&](const selection::Watch& by) {
                                        return compiled::maxvol<T>(A, {tol, max_swaps, rtol}, by);
                                      }),
                              A.rows);
        });

  m.def("maxvol_rectangular", [](const Array& a, double tol, Index size, Index max_size,
                                 double square_tol, Index max_swaps, double rtol,
                                 PythonMonitor& monitor) {
    const auto A = matrix<T>(a);
    return described<T>(watched(monitor,
                                [&](const selection::Watch& by) {
                                  return compiled::maxvol_rectangular<T>(
                                      A, {tol, size, max_size, {square_tol, max_swaps, rtol}}, by);
                                }),
                        A.rows);
  });
}

template <Field T>
void bind_columns(py::module_& m) {
  using Array = py::array_t<T>;

  m.def("column_subset", [](const Array& a, Index k, int method, std::uint64_t seed) {
    const auto A = matrix<T>(a);
    const auto out = unlocked([&](selection::Look look) {
      return compiled::column_subset<T>(A, k, {static_cast<selection::SubsetMethod>(method), seed},
                                        look);
    });
    py::dict d;
    d["scores"] = array(out.scores);
    d["best"] = out.best;
    d["norm"] = out.norm;
    return py::make_tuple(array(out.columns), out.error, d);
  });

  m.def("weighted_lstsq", [](const Array& a, const Array& b,
                             const py::array_t<double, py::array::c_style>& weights, double rtol) {
    const auto A = matrix<T>(a), B = matrix<T>(b);
    check_size("b", B.rows, A.rows);
    check_size("weights", weights.size(), A.rows);
    py::array_t<T> x = new_block<T>(A.cols, B.cols);
    const MatrixView<T> X(x.mutable_data(), A.cols, B.cols, 1, A.cols);
    const double* w = weights.data();
    const auto out = unlocked(
        [&](selection::Look look) { return compiled::weighted_lstsq<T>(A, B, w, X, rtol, look); });
    py::dict d;
    d["rank"] = out.rank;
    d["condition"] = out.condition;
    d["residual"] = out.residual;
    return py::make_tuple(x, d);
  });
}

}  // namespace

void bind_selection(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) {
    bind_scores<T>(m);
    bind_rows<T>(m);
    bind_columns<T>(m);
  });
}

}  // namespace ritz::python
