// The operator nodes that Python composes.
#pragma once

#include <optional>
#include <vector>

#include "arrays.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/algebra.hpp"
#include "ritz/op/any_operator.hpp"
#include "ritz/op/c_operator.hpp"
#include "ritz/op/chebyshev.hpp"
#include "ritz/op/dense.hpp"
#include "ritz/op/gauss_newton.hpp"
#include "ritz/op/sparse.hpp"

namespace ritz::python {

/// Keeps a Python object for as long as a copy of this lives; released under the GIL.
inline std::shared_ptr<void> keep(py::object object) {
  return {new py::object(std::move(object)), [](void* p) {
            const py::gil_scoped_acquire gil;
            delete static_cast<py::object*>(p);
          }};
}

/// An operator given by Python closures F.
template <class T, class F = Closure<T>>
class ClosureOperator {
 public:
  using Call = std::shared_ptr<F>;

  ClosureOperator(Index rows, Index cols, Call matvec, Call rmatvec, Call matmat, Call rmatmat,
                  bool fills)
      : rows_(rows),
        cols_(cols),
        matvec_(std::move(matvec)),
        rmatvec_(std::move(rmatvec)),
        matmat_(std::move(matmat)),
        rmatmat_(std::move(rmatmat)),
        fills_(fills) {}

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  bool has_adjoint() const { return *rmatvec_ || *rmatmat_; }
  void apply(VectorView<const T> x, VectorView<T> y) const { call(*matvec_, *matmat_, x, y); }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    call(*rmatvec_, *rmatmat_, x, y);
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    call_block(*matvec_, *matmat_, X, Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    call_block(*rmatvec_, *rmatmat_, X, Y);
  }

 private:
  void call(const F& single, const F& block, VectorView<const T> x, VectorView<T> y) const {
    const py::gil_scoped_acquire gil;
    threads::park();  // the closure's own BLAS wants the cores
    if (!single) {
      block.block(as_block(x), as_block(y));
    } else if (fills_) {
      single.fill(x, y);
    } else {
      single(x, y);
    }
  }
  void call_block(const F& single, const F& block, BlockView<const T> X, BlockView<T> Y) const {
    if (block) {
      const py::gil_scoped_acquire gil;
      threads::park();
      block.block(X, Y);
    } else {
      for (Index j = 0; j < X.cols; ++j) call(single, block, X.column(j), Y.column(j));
    }
  }

  Index rows_, cols_;
  Call matvec_, rmatvec_, matmat_, rmatmat_;
  bool fills_;
};

/// An operator over memory of Python objects.
template <class A>
class Kept : public A {
 public:
  Kept(A a, std::shared_ptr<void> owner) : A(std::move(a)), owner_(std::move(owner)) {}

 private:
  std::shared_ptr<void> owner_;
};

/// What Python calls Operator: a node, whether a product with it runs Python code, and where its
/// vectors live.
template <class T, class S = HostSpace<T>>
struct Node {
  AnyOperator<T> op;
  bool calls_python = false;
  S space{};
};

/// Operators in the places (i, j) of a grid.
template <class T, class S>
Node<T, S> block_of(const S& space, std::vector<Index> heights, std::vector<Index> widths,
                    const std::vector<std::tuple<Index, Index, Node<T, S>>>& parts) {
  using Any = AnyOperator<T>;
  std::vector<typename Block<S, Any>::Entry> entries;
  bool calls_python = false;
  for (const auto& [i, j, part] : parts) {
    entries.push_back({i, j, part.op});
    calls_python |= part.calls_python;
  }
  return {Any(Block<S, Any>(space, std::move(heights), std::move(widths), std::move(entries))),
          calls_python, space};
}

/// Binds what makes new operators of others, and what tells about one.
template <class T, class S, class... Holder>
void bind_algebra(py::class_<Node<T, S>, Holder...>& node) {
  using N = Node<T, S>;
  using Any = AnyOperator<T>;
  node.def("scaled",
           [](const N& a, WideOf<T> c) {
             return N{Any(Scaled<S, Any>(a.space, c, a.op)), a.calls_python, a.space};
           })
      .def("plus",
           [](const N& a, const N& b, WideOf<T> c) {
             return N{Any(Sum<S, Any, Any>(a.space, a.op, c, b.op)),
                      a.calls_python || b.calls_python, a.space};
           })
      .def("shifted",
           [](const N& a, WideOf<T> mu) {
             return N{Any(Shifted<S, Any>(a.space, a.op, mu)), a.calls_python, a.space};
           })
      .def("times",
           [](const N& a, const N& b) {
             return N{Any(Product<S, Any, Any>(a.space, a.op, b.op)),
                      a.calls_python || b.calls_python, a.space};
           })
      // The same operator with counts of its own: what it has prepared for products is shared.
      .def("recounted",
           [](const N& a) { return N{Any(Kept<Any>(a.op, nullptr)), a.calls_python, a.space}; })
      .def("adjoint",
           [](const N& a) { return N{Any(Adjoint<T, Any>(a.op)), a.calls_python, a.space}; })
      .def("conjugate",
           [](const N& a) {
             return N{Any(Conjugate<S, Any>(a.space, a.op)), a.calls_python, a.space};
           })
      .def("gauss_newton",
           [](const N& jacobian, const py::object& hessian, double damping) {
             const S& space = jacobian.space;
             if (hessian.is_none()) {
               return N{Any(GaussNewton<S, Any>(space, jacobian.op, {}, damping)),
                        jacobian.calls_python, space};
             }
             const auto& h = hessian.cast<const N&>();
             return N{Any(GaussNewton<S, Any, Any>(space, jacobian.op, h.op, damping)),
                      jacobian.calls_python || h.calls_python, space};
           })
      .def("chebyshev",
           [](const N& a, Index degree, double low, double high) {
             return N{Any(Chebyshev<S, Any>(a.space, a.op, degree, low, high)), a.calls_python,
                      a.space};
           })
      .def_property_readonly("rows", [](const N& a) { return a.op.rows(); })
      .def_property_readonly("cols", [](const N& a) { return a.op.cols(); })
      .def_property_readonly("has_adjoint", [](const N& a) { return a.op.has_adjoint(); })
      .def_readonly("calls_python", &N::calls_python)
      .def("counts", [](const N& a) {
        const Counts c = a.op.counts();
        return py::make_tuple(c.apply, c.adjoint, c.columns);
      });
}

}  // namespace ritz::python
