#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "operators.hpp"
#include "ritz/compiled/sketch.hpp"

namespace ritz::python {

namespace {

/// An array at the strides it has: no copy is made of a slice or a transpose.
template <class T>
MatrixView<const T> matrix(const py::array_t<T>& a) {
  if (a.ndim() != 2) throw py::value_error("a 2-d array is needed");
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  return {a.data(), a.shape(0), a.shape(1), a.strides(0) / size, a.strides(1) / size};
}

/// A new matrix, by rows where `a` is.
template <class T>
py::array_t<T> new_matrix(Index rows, Index cols, bool by_rows) {
  return by_rows ? new_block<T>(cols, rows).attr("T").template cast<py::array_t<T>>()
                 : new_block<T>(rows, cols);
}

template <class T>
MatrixView<T> matrix(py::array_t<T>& a) {
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  return {a.mutable_data(), a.shape(0), a.shape(1), a.strides(0) / size, a.strides(1) / size};
}

template <Field T>
void bind(py::module_& m) {
  using S = AnySketch<T>;
  using Array = py::array_t<T>;

  auto sketch = py::class_<S>(m, "Sketch");
  sketch.def("operator", [](const S& s) { return Node<T>{AnyOperator<T>(s), false}; })
      .def("apply",
           [](const S& s, const Array& a) {
             const auto A = matrix<T>(a);
             check_size("A", A.rows, s.cols());
             Array y =
                 new_matrix<T>(s.rows(), A.cols, std::abs(A.col_stride) < std::abs(A.row_stride));
             const auto Y = matrix<T>(y);
             const py::gil_scoped_release nogil;
             s.apply_matrix(A, Y);
             return y;
           })
      .def("apply_adjoint",
           [](const S& s, const Array& a) {
             const auto A = matrix<T>(a);
             check_size("A", A.rows, s.rows());
             Array y =
                 new_matrix<T>(s.cols(), A.cols, std::abs(A.col_stride) < std::abs(A.row_stride));
             const auto Y = matrix<T>(y);
             const py::gil_scoped_release nogil;
             s.apply_adjoint_matrix(A, Y);
             return y;
           })
      .def("submatrix", [](const S& s, Index i, Index j, Index rows, Index cols) {
        if (i < 0 || j < 0 || rows < 0 || cols < 0 || i + rows > s.rows() || j + cols > s.cols()) {
          throw py::index_error("the part is not inside the sketch");
        }
        Array y = new_block<T>(rows, cols);
        const auto Y = matrix<T>(y);
        const py::gil_scoped_release nogil;
        s.submatrix(i, j, Y);
        return y;
      });
  const auto sparse = [&]<std::signed_integral I>(I, const char* csr, const char* csc) {
    using Indices = py::array_t<I, py::array::c_style>;
    using Values = py::array_t<T, py::array::c_style>;
    // rows × cols is the shape of what is compressed by rows: A, or its transpose.
    const auto times = [](const auto& apply) {
      return [apply](const S& s, Index rows, Index cols, const Indices& indptr,
                     const Indices& indices, const Values& values) {
        if (indptr.size() != rows + 1 || indices.size() < indptr.data()[rows] ||
            values.size() < indptr.data()[rows]) {
          throw py::value_error("indptr, indices and data do not form a compressed sparse matrix");
        }
        const CompressedRows<T, I> a{rows, cols, indptr.data(), indices.data(), values.data()};
        a.check();
        return apply(s, a);
      };
    };
    sketch
        .def(csr, times([](const S& s, const CompressedRows<T, I>& a) {
               check_size("A", a.rows, s.cols());
               Array y = new_matrix<T>(s.rows(), a.cols, true);
               const auto Y = matrix<T>(y);
               const py::gil_scoped_release nogil;
               s.apply_csr(a, Y);
               return y;
             }))
        .def(csc, times([](const S& s, const CompressedRows<T, I>& transpose) {
               check_size("A", transpose.cols, s.cols());
               Array y = new_block<T>(s.rows(), transpose.rows);
               const auto Y = matrix<T>(y);
               const py::gil_scoped_release nogil;
               s.apply_csc(transpose, Y);
               return y;
             }));
  };
  sparse(std::int32_t{}, "apply_csr_int32", "apply_csc_int32");
  sparse(std::int64_t{}, "apply_csr_int64", "apply_csc_int64");
}

}  // namespace

void bind_sketch(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
