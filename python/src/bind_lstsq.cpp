#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/lstsq.hpp"

namespace ritz::python {

namespace {

py::dict describe(const LstsqOutcome& out, const LstsqAccount& account, double unit) {
  py::dict d = as_dict(static_cast<const Outcome&>(out));
  d["message"] = message(out, account, unit);
  d["backward_error"] = out.backward_error;
  d["normal_residual"] = out.normal_residual;
  d["norm_x"] = out.norm_x;
  d["refinements"] = out.refinements;
  return d;
}

template <Field T>
void bind(py::module_& m) {
  using N = Node<T>;
  using Block = py::array_t<T, py::array::f_style>;
  constexpr double kUnit = std::numeric_limits<RealOf<T>>::epsilon() / 2.0;

  // solve(B, X, sketch, outcomes, options, monitor) for all columns of b.
  const auto run = [](Index n, bool calls_python, const Block& b, const py::dict& options,
                      int method, std::uint64_t seed, Index nnz, PythonMonitor& monitor,
                      const auto& solve) {
    auto opt = read_options<LstsqOptions>(options);
    opt.method = static_cast<LstsqMethod>(method);
    const Index rows = b.shape(0), k = b.shape(1);
    py::array_t<T> x = new_block<T>(n, k);
    const BlockView<T> X{x.mutable_data(), n, k, n};
    const BlockView<const T> B{b.data(), rows, k, rows};
    std::vector<LstsqOutcome> outcomes(static_cast<std::size_t>(k));
    LstsqAccount account;
    {
      const RunGil gil(calls_python, n * k);
      Observer<T> observer(monitor, gil.held());
      account = solve(B, X, compiled::LstsqSketch{seed, nnz}, std::span<LstsqOutcome>(outcomes),
                      opt, watch(monitor, observer));
    }
    py::list columns;
    for (const LstsqOutcome& out : outcomes) columns.append(describe(out, account, kUnit));
    py::dict d;
    d["method"] = static_cast<int>(account.method);
    d["d"] = account.d;
    d["rank"] = account.rank;
    d["condition"] = account.condition;
    d["passes"] = account.passes;
    d["products"] =
        py::make_tuple(account.products.apply, account.products.adjoint, account.products.columns);
    d["iterations"] = account.iterations;
    d["seconds"] = account.seconds;
    return py::make_tuple(x, columns, d);
  };

  m.def("lstsq", [run](const py::array_t<T>& a, const Block& b, const py::dict& options, int method,
                       std::uint64_t seed, Index nnz, PythonMonitor& monitor) {
    const auto size = static_cast<py::ssize_t>(sizeof(T));
    const MatrixView<const T> A{a.data(), a.shape(0), a.shape(1), a.strides(0) / size,
                                a.strides(1) / size};
    return run(A.cols, false, b, options, method, seed, nnz, monitor,
               [&](const auto&... rest) { return compiled::lstsq<T>(A, rest...); });
  });
  m.def("lstsq_operator", [run](const N& a, const Block& b, const py::dict& options, int method,
                                std::uint64_t seed, Index nnz, PythonMonitor& monitor) {
    const OperatorRef<T> A(a.op);
    return run(A.cols(), a.calls_python, b, options, method, seed, nnz, monitor,
               [&](const auto&... rest) { return compiled::lstsq<T>(A, rest...); });
  });
  const auto sparse = [&]<std::signed_integral I>(I, const char* name) {
    using Indices = py::array_t<I, py::array::c_style>;
    using Values = py::array_t<T, py::array::c_style>;
    // indptr and indices have been checked when the operator was made of them.
    m.def(name, [run](const N& a, bool by_columns, const Indices& indptr, const Indices& indices,
                      const Values& values, const Block& b, const py::dict& options, int method,
                      std::uint64_t seed, Index nnz, PythonMonitor& monitor) {
      const OperatorRef<T> A(a.op);
      const Index rows = by_columns ? A.cols() : A.rows(), cols = by_columns ? A.rows() : A.cols();
      check_size("indptr", indptr.size(), rows + 1);
      const CompressedRows<T, I> arrays{rows, cols, indptr.data(), indices.data(), values.data()};
      return run(A.cols(), false, b, options, method, seed, nnz, monitor, [&](const auto&... rest) {
        return compiled::lstsq<T, I>(A, arrays, by_columns, rest...);
      });
    });
  };
  sparse(std::int32_t{}, "lstsq_sparse_int32");
  sparse(std::int64_t{}, "lstsq_sparse_int64");
}

}  // namespace

void bind_lstsq(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
