#include <pybind11/complex.h>

#include <deque>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/kaczmarz.hpp"

namespace ritz::python {

namespace {

py::dict describe(const KaczmarzOutcome& out) {
  py::dict d = as_dict(static_cast<const Outcome&>(out));
  d["message"] = message(out);
  d["normal_residual"] = out.normal_residual;
  d["normal_target"] = out.normal_target;
  d["norm_a"] = out.norm_a;
  d["norm_x"] = out.norm_x;
  d["row_uses"] = out.row_uses;
  d["column_uses"] = out.column_uses;
  d["checks"] = out.checks;
  d["passes"] = out.passes;
  d["method"] = static_cast<int>(out.method);
  return d;
}

py::dict describe(const SketchAndProjectOutcome& out) {
  py::dict d = as_dict(out);
  d["norm_a"] = out.norm_a;
  d["norm_x"] = out.norm_x;
  d["checks"] = out.checks;
  return d;
}

/// A new block, with the elements of `start` if there is one.
template <Field T>
py::array_t<T> start_of(const py::object& start, Index n, Index k) {
  py::array_t<T> x = new_block<T>(n, k);
  if (start.is_none()) return x;
  const auto given = start.cast<py::array_t<T, py::array::f_style>>();
  check_size("x0", given.size(), n * k);
  std::copy_n(given.data(), n * k, x.mutable_data());
  return x;
}

template <Field T>
void bind(py::module_& m) {
  using N = Node<T>;
  using Block = py::array_t<T, py::array::f_style>;

  // solve(B, X, options, monitors, outcomes), column after column.
  const auto columns = [](Index n, const Block& b, const py::object& x0, const py::dict& options,
                          int method, const std::vector<PythonMonitor*>& monitors,
                          const auto& solve) {
    auto opt = read_options<KaczmarzOptions>(options);
    opt.method = static_cast<KaczmarzMethod>(method);
    opt.warm_start = !x0.is_none();
    const Index rows = b.shape(0), k = b.shape(1);
    check_size("monitors", static_cast<Index>(monitors.size()), k);
    py::array_t<T> x = start_of<T>(x0, n, k);
    const BlockView<T> X{x.mutable_data(), n, k, n};
    const BlockView<const T> B{b.data(), rows, k, rows};
    std::vector<KaczmarzOutcome> outcomes(static_cast<std::size_t>(k));
    {
      const RunGil gil(false, n * k);
      std::deque<Observer<T>> observers;
      std::vector<Monitor> watching;
      for (PythonMonitor* monitor : monitors) {
        watching.push_back(watch(*monitor, observers.emplace_back(*monitor, gil.held())));
      }
      solve(B, X, opt, std::span<const Monitor>(watching), std::span<KaczmarzOutcome>(outcomes));
    }
    py::list all;
    for (const KaczmarzOutcome& out : outcomes) all.append(describe(out));
    return py::make_tuple(x, all);
  };

  // solve(A, problem, options, monitor)
  const auto project = [](const N& a, const py::array_t<T>& b, const py::object& x0, const N* mass,
                          int sketch, Index nnz, const py::dict& options, PythonMonitor& monitor,
                          const auto& solve) {
    auto opt = read_options<SketchAndProjectOptions>(options);
    opt.warm_start = !x0.is_none();
    const OperatorRef<T> A(a.op);
    py::array_t<T> x = start_of<T>(x0, A.cols(), 1);
    std::optional<OperatorRef<T>> M;
    if (mass) M.emplace(mass->op);
    const compiled::ProjectionProblem<T> problem{
        const_view(b), VectorView<T>(x.mutable_data(), A.cols()),
        OptionalOperator<T>(M ? &*M : nullptr), static_cast<compiled::ProjectionSketch>(sketch),
        nnz};
    SketchAndProjectOutcome outcome;
    {
      const RunGil gil(a.calls_python || (mass && mass->calls_python), A.cols() * opt.d);
      Observer<T> observer(monitor, gil.held());
      outcome = solve(A, problem, opt, watch(monitor, observer));
    }
    return py::make_tuple(x, describe(outcome));
  };

  m.def("kaczmarz", [columns](const py::array_t<T>& a, const Block& b, const py::object& x0,
                              const py::dict& options, int method,
                              const std::vector<PythonMonitor*>& monitors) {
    const MatrixView<const T> A = matrix(a);
    return columns(A.cols, b, x0, options, method, monitors,
                   [&](const auto&... rest) { compiled::kaczmarz<T>(A, rest...); });
  });
  m.def("sketch_and_project", [project](const N& a, const py::array_t<T>& b, const py::object& x0,
                                        const N* mass, int sketch, Index nnz,
                                        const py::dict& options, PythonMonitor& monitor) {
    return project(a, b, x0, mass, sketch, nnz, options, monitor,
                   [](const auto&... rest) { return compiled::sketch_and_project<T>(rest...); });
  });
  m.def("sketch_and_project_dense",
        [project](const N& a, const py::array_t<T>& elements, const py::array_t<T>& b,
                  const py::object& x0, const N* mass, int sketch, Index nnz,
                  const py::dict& options, PythonMonitor& monitor) {
          const MatrixView<const T> view = matrix(elements);
          return project(a, b, x0, mass, sketch, nnz, options, monitor,
                         [&](const auto& A, const auto&... rest) {
                           return compiled::sketch_and_project<T>(A, view, rest...);
                         });
        });

  const auto sparse = [&]<std::signed_integral I>(I, const std::string& suffix) {
    using Indices = py::array_t<I, py::array::c_style>;
    using Values = py::array_t<T, py::array::c_style>;
    // indptr and indices have been checked when the operator was made of them.
    const auto arrays_of = [](const N& a, bool by_columns, const Indices& indptr,
                              const Indices& indices, const Values& values) {
      const Index rows = by_columns ? a.op.cols() : a.op.rows();
      const Index cols = by_columns ? a.op.rows() : a.op.cols();
      check_size("indptr", indptr.size(), rows + 1);
      return CompressedRows<T, I>{rows, cols, indptr.data(), indices.data(), values.data()};
    };
    m.def(("kaczmarz_sparse_" + suffix).c_str(),
          [columns, arrays_of](const N& a, bool by_columns, const Indices& indptr,
                               const Indices& indices, const Values& values, const Block& b,
                               const py::object& x0, const py::dict& options, int method,
                               const std::vector<PythonMonitor*>& monitors) {
            const OperatorRef<T> A(a.op);
            const auto arrays = arrays_of(a, by_columns, indptr, indices, values);
            return columns(A.cols(), b, x0, options, method, monitors, [&](const auto&... rest) {
              compiled::kaczmarz<T, I>(A, arrays, by_columns, rest...);
            });
          });
    m.def(("sketch_and_project_sparse_" + suffix).c_str(),
          [project, arrays_of](
              const N& a, bool by_columns, const Indices& indptr, const Indices& indices,
              const Values& values, const py::array_t<T>& b, const py::object& x0, const N* mass,
              int sketch, Index nnz, const py::dict& options, PythonMonitor& monitor) {
            const auto arrays = arrays_of(a, by_columns, indptr, indices, values);
            return project(a, b, x0, mass, sketch, nnz, options, monitor,
                           [&](const auto& A, const auto&... rest) {
                             return compiled::sketch_and_project<T, I>(A, arrays, by_columns,
                                                                       rest...);
                           });
          });
  };
  sparse(std::int32_t{}, "int32");
  sparse(std::int64_t{}, "int64");
}

}  // namespace

void bind_kaczmarz(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
