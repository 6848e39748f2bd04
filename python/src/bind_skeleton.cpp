#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/skeleton.hpp"

namespace ritz::python {

namespace {

template <class T>
py::array_t<T> columns_of(const SmallMatrix<T>& A) {
  py::array_t<T> a = new_block<T>(A.rows, A.cols);
  std::copy(A.data.begin(), A.data.end(), a.mutable_data());
  return a;
}

inline py::array_t<Index> indices_of(const std::vector<Index>& indices) {
  return py::array_t<Index>(static_cast<py::ssize_t>(indices.size()), indices.data());
}

/// Where A is in memory, the arrays that a sketch reads; they outlive the source.
template <Field T>
class Held {
 public:
  template <class I>
  using Indices = py::array_t<I, py::array::c_style>;

  Held(HostSpace<T>& space, const OperatorRef<T>& A, std::uint64_t seed, const py::object& memory) {
    const RandomKey key{seed, 0};
    if (memory.is_none()) {
      source_ = std::make_unique<SkeletonSource<T>>(space, A, key);
    } else if (py::isinstance<py::array>(memory)) {
      const auto a = memory.cast<py::array_t<T>>();
      kept_ = a;
      source_ = std::make_unique<ArraySource<T>>(space, A, key, matrix<T>(a));
    } else {
      const auto parts = memory.cast<py::tuple>();
      if (py::isinstance<Indices<std::int32_t>>(parts[1])) {
        compressed<std::int32_t>(space, A, key, parts);
      } else {
        compressed<std::int64_t>(space, A, key, parts);
      }
    }
  }
  SkeletonSource<T>& source() { return *source_; }

 private:
  /// (layout, indptr, indices, values) as the operator A has checked them.
  template <std::signed_integral I>
  void compressed(HostSpace<T>& space, const OperatorRef<T>& A, RandomKey key,
                  const py::tuple& parts) {
    const bool by_rows = parts[0].cast<std::string>() == "csr";
    const auto indptr = parts[1].cast<Indices<I>>(), indices = parts[2].cast<Indices<I>>();
    const auto values = parts[3].cast<py::array_t<T, py::array::c_style>>();
    kept_ = py::make_tuple(indptr, indices, values);
    const CompressedRows<T, I> a{by_rows ? A.rows() : A.cols(), by_rows ? A.cols() : A.rows(),
                                 indptr.data(), indices.data(), values.data()};
    source_ = std::make_unique<SketchedSource<T>>(
        space, A, key, [a, by_rows](const SparseStack<T>& sketch, MatrixView<T> Y) {
          if (by_rows) {
            sketch.apply_csr(a, Y);
          } else {
            sketch.apply_csc(a, Y);
          }
        });
  }

  py::object kept_;
  std::unique_ptr<SkeletonSource<T>> source_;
};

py::dict account_of(const InterpolativeOutcome& outcome) {
  py::dict account = as_dict(outcome);
  account["rank"] = outcome.rank;
  account["norm"] = outcome.norm;
  account["sketch"] = outcome.sketch;
  return account;
}

template <Field T>
void bind(py::module_& m) {
  using N = Node<T>;

  m.def("interpolative", [](const N& a, const py::object& memory, const py::dict& options,
                            std::uint64_t seed, bool with_columns, PythonMonitor& monitor) {
    const auto opt = read_options<InterpolativeOptions>(options);
    HostSpace<T> space;
    const OperatorRef<T> A(a.op);
    Held<T> held(space, A, seed, memory);
    Interpolative<T> factors;
    InterpolativeOutcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(a.op.rows(), a.op.cols()));
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::interpolative<T>(space, held.source(), factors, opt,
                                           watch(monitor, observer), with_columns);
    }
    return py::make_tuple(indices_of(factors.columns), columns_of(factors.X),
                          with_columns ? py::object(columns_of(factors.C)) : py::none(),
                          account_of(outcome));
  });

  m.def("cur", [](const N& a, const py::object& memory, const py::dict& options, int core,
                  std::uint64_t seed, PythonMonitor& monitor) {
    CurOptions opt;
    static_cast<InterpolativeOptions&>(opt) = read_options<InterpolativeOptions>(options);
    opt.core = static_cast<CurCore>(core);
    HostSpace<T> space;
    const OperatorRef<T> A(a.op);
    Held<T> held(space, A, seed, memory);
    Cur<T> factors;
    InterpolativeOutcome outcome;
    {
      const RunGil gil(a.calls_python, std::max(a.op.rows(), a.op.cols()));
      Observer<T> observer(monitor, gil.held());
      outcome = compiled::cur<T>(space, held.source(), factors, opt, watch(monitor, observer));
    }
    return py::make_tuple(columns_of(factors.C), columns_of(factors.U),
                          columns_of(factors.Rt).attr("T"), indices_of(factors.rows),
                          indices_of(factors.columns), account_of(outcome));
  });

  m.def("cqrrpt", [](const py::array_t<T>& a, const py::dict& options, std::uint64_t seed) {
    auto opt = read_options<CqrrptOptions>(options);
    opt.seed = seed;
    const auto A = matrix<T>(a);
    const Index k = std::min(A.rows, A.cols);
    py::array_t<T> q = new_block<T>(A.rows, k), r = new_block<T>(k, A.cols);
    py::array_t<Index> order(A.cols);
    const BlockView<T> Q{q.mutable_data(), A.rows, k, std::max<Index>(A.rows, 1)},
        R{r.mutable_data(), k, A.cols, std::max<Index>(k, 1)};
    const std::span<Index> piv(order.mutable_data(), static_cast<std::size_t>(A.cols));
    CqrrptOutcome outcome;
    {
      const py::gil_scoped_release nogil;
      outcome = compiled::cqrrpt<T>(A, Q, R, piv, opt);
    }
    py::dict account = as_dict(outcome);
    account["rank"] = outcome.rank;
    account["sketch"] = outcome.sketch;
    account["condition"] = outcome.condition;
    return py::make_tuple(q, r, order, account);
  });
}

}  // namespace

void bind_skeleton(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
