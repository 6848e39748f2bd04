#include <pybind11/complex.h>
#include <pybind11/stl.h>

#include "bind_methods.hpp"
#include "operators.hpp"
#include "ritz/compiled/sketch.hpp"

namespace ritz::python {

namespace {

/// A new matrix, by rows where `a` is.
template <class T>
py::array_t<T> new_matrix(Index rows, Index cols, bool by_rows) {
  return by_rows ? new_block<T>(cols, rows).attr("T").template cast<py::array_t<T>>()
                 : new_block<T>(rows, cols);
}

/// out = c H a along the middle axis of three, padded by zeros to that of `out`.
template <Field T>
void transform(const py::array_t<T>& a, py::array_t<T>& out, RealOf<T> c) {
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  const Index count = a.shape(0), length = out.shape(1), width = out.shape(2);
  const Index each = length * width, stride = a.strides(0) / size;
  const MatrixView<const T> A(a.data(), a.shape(1), width, a.strides(1) / size,
                              a.strides(2) / size);
  T* const y = out.mutable_data();
  const py::gil_scoped_release nogil;
  const auto one = [&](Index i) {
    compiled::fwht<T>({A.data + i * stride, A.rows, A.cols, A.row_stride, A.col_stride}, length, c,
                      y + i * each);
  };
  if (each >= threads::kParallelElements) {
    for (Index i = 0; i < count; ++i) one(i);
  } else {
    threads::for_each_part(count, count * each, one);
  }
}

/// c H a along the middle axis of three, padded by zeros to `length`, a power of two: in `a` itself
/// if it is lent, or a new array.
template <Field T>
py::array_t<T> fwht(py::array_t<T> a, Index length, RealOf<T> c, bool lent) {
  if (a.ndim() != 3 || length < a.shape(1) || (lent && length != a.shape(1))) {
    throw py::value_error("a 3-d array is needed, in the middle not longer than the result");
  }
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  const py::ssize_t count = a.shape(0), width = a.shape(2);
  py::array_t<T> out = a;
  if (!lent) {
    // At lines of memory, which NumPy's own arrays are not.
    const Index all = count * length * width;
    auto buffer = HostSpace<T>().allocate(static_cast<std::size_t>(all) * sizeof(T));
    auto* const data = static_cast<T*>(buffer.get());
    out = array_over<T>(data, {count, length, width}, {size * length * width, size * width, size},
                        std::move(buffer));
  }
  if (out.size() > 0) transform<T>(a, out, c);
  return out;
}

template <Field T>
void bind(py::module_& m) {
  using S = AnySketch<T>;
  using Array = py::array_t<T>;

  m.def("SparseStack", compiled::sparse_stack<T>);
  m.def("SparseSign", compiled::sparse_sign<T>);
  m.def("Gaussian", compiled::gaussian<T>);
  m.def("Rademacher", compiled::rademacher<T>);
  m.def("Orthogonal", compiled::orthogonal<T>);
  m.def("SRHT", compiled::srht<T>);
  m.def("Fastfood", compiled::fastfood<T>);
  m.def("KhatriRao", [](Index d, Index, std::uint64_t seed, const std::vector<Index>& sizes,
                        bool normal) { return compiled::khatri_rao<T>(d, sizes, seed, normal); });
  m.def("KhatriRaoFactor", compiled::khatri_rao_factor<T>);
  m.def("fwht", fwht<T>);

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
      .def(
          "submatrix",
          [](const S& s, Index i, Index j, Index rows, Index cols, const py::object& out) {
            if (i < 0 || j < 0 || rows < 0 || cols < 0 || i + rows > s.rows() ||
                j + cols > s.cols()) {
              throw py::index_error("the part is not inside the sketch");
            }
            Array y = out.is_none() ? new_block<T>(rows, cols) : out.cast<Array>();
            const auto Y = matrix<T>(y);
            const py::gil_scoped_release nogil;
            s.submatrix(i, j, Y);
            return y;
          },
          py::arg("i"), py::arg("j"), py::arg("rows"), py::arg("cols"),
          py::arg("out") = py::none());
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
