#include <pybind11/complex.h>

#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/funm.hpp"

namespace ritz::python {

namespace {

using Complex = std::complex<double>;

/// (kind, t, p, k, z) for each function by name.
std::vector<NamedFunction> named(const py::list& given) {
  std::vector<NamedFunction> functions;
  for (const auto item : given) {
    const auto [kind, t, p, k, z] = item.cast<std::tuple<int, Complex, double, int, Complex>>();
    functions.push_back({static_cast<Function>(kind), t, p, k, z});
  }
  return functions;
}

/// A Python function of points: x (m,) ↦ (m, functions). Refers to it: made without the GIL.
template <class X, class W>
class PythonFunction {
 public:
  explicit PythonFunction(const py::object& f) : f_(&f) {}

  void operator()(std::span<const X> x, BlockView<W> Y) const {
    const py::gil_scoped_acquire gil;
    const py::array_t<X> points(static_cast<py::ssize_t>(x.size()), x.data());
    const auto values = (*f_)(points).template cast<py::array_t<W, py::array::f_style>>();
    copy(values, Y);
  }

  static void copy(const py::array_t<W, py::array::f_style>& values, BlockView<W> Y) {
    if (values.ndim() != 2 || values.shape(0) != Y.rows || values.shape(1) != Y.cols) {
      throw py::value_error("the functions returned an array of the wrong shape");
    }
    for (Index k = 0; k < Y.cols; ++k) std::copy_n(values.data(0, k), Y.rows, &Y(0, k));
  }

 private:
  const py::object* f_;
};

/// A Python function of a matrix: H (k, k) ↦ the first columns of its functions (k, functions) and
/// their relative accuracy.
class PythonMatrixFunction {
 public:
  explicit PythonMatrixFunction(const py::object& f) : f_(&f) {}

  double operator()(BlockView<const Complex> H, BlockView<Complex> Y) const {
    const py::gil_scoped_acquire gil;
    py::array_t<Complex, py::array::f_style> matrix({H.rows, H.cols});
    for (Index j = 0; j < H.cols; ++j) std::copy_n(&H(0, j), H.rows, matrix.mutable_data(0, j));
    const py::tuple answer = (*f_)(matrix);
    const auto values = answer[0].cast<py::array_t<Complex, py::array::f_style>>();
    PythonFunction<Complex, Complex>::copy(values, Y);
    return answer[1].cast<double>();
  }

 private:
  const py::object* f_;
};

/// Runs one method. `names` are functions by name, or empty for the Python function f.
template <Space S>
FunmOutcome run(const std::string& method, const typename compiled::Functions<S>::Problem& problem,
                const std::vector<NamedFunction>& names, const py::object& f, bool of_matrix,
                const PartialFractions& fractions, RandomKey seed) {
  using Methods = compiled::Functions<S>;
  using W = WideOf<typename S::Value>;
  const bool by_name = !names.empty();
  const PythonFunction<double, W> on_line(f);
  if (method == "lanczos") {
    FunmWorkspace<S> ws;
    return by_name ? Methods::lanczos(problem, names, ws)
                   : Methods::lanczos(problem, SpectralFunctions<W>(on_line), ws);
  }
  if (method == "chebyshev") {
    FunmChebyshevWorkspace<S> ws;
    return by_name ? Methods::chebyshev(problem, names, seed, ws)
                   : Methods::chebyshev(problem, SpectralFunctions<W>(on_line), seed, ws);
  }
  if (method == "rational") {
    FunmRationalWorkspace<S> ws;
    return Methods::rational(problem, fractions, ws);
  }
  FunmArnoldiWorkspace<S> ws;
  if (by_name) return Methods::arnoldi(problem, names, ws);
  if (of_matrix) {
    const PythonMatrixFunction small(f);
    SmallFacts facts;
    facts.outside = false;
    return Methods::arnoldi(problem, SmallFunctions(small), facts, ws);
  }
  const PythonFunction<Complex, Complex> on_plane(f);
  return Methods::arnoldi(problem, ComplexFunctions(on_plane), ws);
}

template <class Place>
py::tuple funm(Place& place, const std::string& method, const typename Place::N& a,
               const py::object& b, const py::list& names, const py::object& f, Index count,
               bool of_matrix, const py::object& poles, const py::dict& options, std::uint64_t seed,
               PythonMonitor& monitor) {
  using S = typename Place::S;
  using T = typename Place::Value;
  const auto opt = read_options<FunmOptions>(options);
  const auto functions = named(names);
  const Index n = a.op.cols();
  const VectorView<const T> start = place.given(b);
  auto [array, Y] = place.block(n, count);
  std::vector<FunmAccount> accounts(static_cast<std::size_t>(count));
  PartialFractions fractions;
  if (!poles.is_none()) {
    std::tie(fractions.shifts, fractions.weights, fractions.constant) =
        poles.cast<std::tuple<std::vector<double>, std::vector<double>, double>>();
  } else if (method == "rational") {
    fractions = partial_fractions(functions.at(0), opt.t * opt.low, opt.t * opt.high,
                                  std::max(0.1 * opt.rtol, 1e-13));
  }
  auto space = place.space();
  const OperatorRef<T> A(a.op);
  const BlockView<T> to = Y;
  const FunmOutcome outcome =
      place.watched(a.calls_python, n, monitor, [&](const Monitor& watched) {
        return run<S>(method, {space, A, start, to, opt, watched, accounts}, functions, f,
                      of_matrix, fractions, {seed, 0});
      });
  py::list errors, norms;
  for (const FunmAccount& account : accounts) {
    errors.append(account.error);
    norms.append(account.norm);
  }
  py::dict d = as_dict(outcome);
  d["errors"] = errors;
  d["norms"] = norms;
  d["bound"] = outcome.bound;
  d["basis"] = outcome.basis;
  d["repeated"] = outcome.repeated;
  d["offending"] = outcome.offending;
  d["poles"] = static_cast<Index>(fractions.shifts.size());
  return py::make_tuple(array, d);
}

}  // namespace

void bind_funm(Places& places) {
  places.each([]<class Place>(auto& to) { define(to, "funm", &funm<Place>); });
}

}  // namespace ritz::python
