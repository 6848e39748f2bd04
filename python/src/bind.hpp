// Binds the operators of one element type into its submodule.
#pragma once

#include "monitor.hpp"
#include "operators.hpp"
#include "ritz/op/block_diagonal.hpp"

namespace ritz::python {

template <Field T>
void bind_operators(py::module_& m) {
  using S = HostSpace<T>;
  using Any = AnyOperator<T>;
  using N = Node<T>;
  using Array = py::array_t<T, py::array::c_style>;
  const auto leaf = [](auto a) { return N{Any(std::move(a)), false}; };

  py::class_<N> bound(m, "Operator");
  bound
      .def_static(
          "closure",
          [](Index rows, Index cols, py::object matvec, py::object rmatvec, py::object matmat,
             py::object rmatmat, bool fills, py::object adapter, const std::string& name) {
            const auto shared = std::make_shared<Adapter>(std::move(adapter));
            const auto call = [&](py::object f, const char* what) {
              return std::make_shared<Closure<T>>(std::move(f), shared, name + what);
            };
            return N{Any(ClosureOperator<T>(rows, cols, call(std::move(matvec), "matvec"),
                                            call(std::move(rmatvec), "rmatvec"),
                                            call(std::move(matmat), "matmat"),
                                            call(std::move(rmatmat), "rmatmat"), fills)),
                     true};
          },
          py::arg("rows"), py::arg("cols"), py::arg("matvec"), py::arg("rmatvec"),
          py::arg("matmat"), py::arg("rmatmat"), py::arg("out"), py::arg("adapter"),
          py::arg("name"))
      .def_static(
          "dense",
          [leaf](const py::array_t<T>& a) {
            const bool row_major = (a.flags() & py::array::c_style) != 0;
            if (a.ndim() != 2 || (!row_major && !(a.flags() & py::array::f_style))) {
              throw py::value_error("a dense operator needs a contiguous 2-d array");
            }
            const Index rows = a.shape(0), cols = a.shape(1);
            return leaf(Kept(
                DenseMatrix<T>(a.data(), rows, cols, row_major ? cols : rows, row_major), keep(a)));
          })
      .def_static("identity", [leaf](Index n) { return leaf(Identity<S>(S{}, n)); })
      .def_static("diagonal",
                  [leaf](const Array& d) { return leaf(Diagonal<S>(S{}, const_view<T>(d))); })
      .def_static(
          "block_diagonal",
          [leaf](const py::array_t<Index, py::array::c_style>& sizes, const Array& elements) {
            BlockDiagonal<T> d({sizes.data(), sizes.data() + sizes.size()}, elements.data());
            check_size("elements", elements.size(), d.count());
            return leaf(Kept(std::move(d), keep(elements)));
          })
      .def_static("native",
                  [](Index rows, Index cols, std::uintptr_t apply, std::uintptr_t adjoint,
                     std::uintptr_t context, py::object keepalive) {
                    ritz_operator a;
                    ritz_operator_init(&a);
                    a.dtype = dtype_code<T>();
                    a.rows = rows;
                    a.cols = cols;
                    a.ctx = reinterpret_cast<void*>(context);
                    a.apply = reinterpret_cast<ritz_apply_fn>(apply);
                    a.apply_adjoint = reinterpret_cast<ritz_apply_fn>(adjoint);
                    return N{Any(Kept(COperator<T>(a), keep(std::move(keepalive)))), false};
                  })
      .def_static("capsule",
                  [](const py::capsule& capsule) {
                    const auto* a = static_cast<const ritz_operator*>(
                        PyCapsule_GetPointer(capsule.ptr(), "ritz_operator_v1"));
                    if (a == nullptr) throw py::error_already_set();
                    return N{Any(Kept(COperator<T>(*a), keep(capsule))), false};
                  })
      .def_static("block",
                  [](std::vector<Index> heights, std::vector<Index> widths,
                     const std::vector<std::tuple<Index, Index, N>>& parts) {
                    return block_of<T, S>({}, std::move(heights), std::move(widths), parts);
                  })
      .def("apply",
           [](const N& a, const Array& x) {
             check_size("x", x.size(), a.op.cols());
             py::array_t<T> y = new_vector<T>(a.op.rows());
             const RunGil gil(a.calls_python, x.size());
             a.op.apply(const_view<T>(x), view(y));
             return y;
           })
      .def("apply_adjoint",
           [](const N& a, const Array& x) {
             check_size("x", x.size(), a.op.rows());
             py::array_t<T> y = new_vector<T>(a.op.cols());
             const RunGil gil(a.calls_python, x.size());
             a.op.apply_adjoint(const_view<T>(x), view(y));
             return y;
           })
      .def("apply_block",
           [](const N& a, const py::array_t<T, py::array::f_style | py::array::forcecast>& x) {
             check_size("X", x.shape(0), a.op.cols());
             py::array_t<T> y = new_block<T>(a.op.rows(), x.shape(1));
             const RunGil gil(a.calls_python, x.size());
             a.op.apply_block({x.data(), x.shape(0), x.shape(1), x.shape(0)},
                              {y.mutable_data(), a.op.rows(), x.shape(1), a.op.rows()});
             return y;
           })
      .def("apply_adjoint_block",
           [](const N& a, const py::array_t<T, py::array::f_style | py::array::forcecast>& x) {
             check_size("X", x.shape(0), a.op.rows());
             py::array_t<T> y = new_block<T>(a.op.cols(), x.shape(1));
             const RunGil gil(a.calls_python, x.size());
             a.op.apply_adjoint_block({x.data(), x.shape(0), x.shape(1), x.shape(0)},
                                      {y.mutable_data(), a.op.cols(), x.shape(1), a.op.cols()});
             return y;
           });
  bind_algebra(bound);

  const auto bind_sparse = [&]<class I>(I, const char* csr, const char* csc) {
    using Indices = py::array_t<I, py::array::c_style>;
    const auto check = [](Index major, const Indices& indptr, const Indices& indices,
                          const Array& data) {
      if (indptr.size() != major + 1 || indices.size() < indptr.data()[major] ||
          data.size() < indptr.data()[major]) {
        throw py::value_error("indptr, indices and data do not form a compressed sparse matrix");
      }
    };
    m.def(csr, [check](Index rows, Index cols, const Indices& indptr, const Indices& indices,
                       const Array& data) {
      check(rows, indptr, indices, data);
      return N{Any(Kept(CsrMatrix<T, I>(rows, cols, indptr.data(), indices.data(), data.data()),
                        keep(py::make_tuple(indptr, indices, data)))),
               false};
    });
    m.def(csc, [check](Index rows, Index cols, const Indices& indptr, const Indices& indices,
                       const Array& data) {
      check(cols, indptr, indices, data);
      return N{Any(Kept(CscMatrix<T, I>(rows, cols, indptr.data(), indices.data(), data.data()),
                        keep(py::make_tuple(indptr, indices, data)))),
               false};
    });
  };
  bind_sparse(std::int32_t{}, "csr_int32", "csc_int32");
  bind_sparse(std::int64_t{}, "csr_int64", "csc_int64");
}

}  // namespace ritz::python
