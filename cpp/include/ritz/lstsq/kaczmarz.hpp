// Randomized Kaczmarz: A x = b, or min ‖b − A x‖, from single rows of a matrix in memory.
//
// References, method and costs are in kaczmarz_run.hpp.
#pragma once

#include "ritz/lstsq/kaczmarz_run.hpp"

namespace ritz {

/// The solver for a dense A, whose rows or columns must be contiguous; A outlives it.
template <Field T>
class DenseKaczmarz {
 public:
  DenseKaczmarz(const DenseKaczmarz&) = delete;
  DenseKaczmarz(MatrixView<const T> A, const KaczmarzOptions& opt)
      : rows_(A), solver_(rows_, Make{A}, opt) {}
  KaczmarzOutcome solve(VectorView<const T> b, VectorView<T> x, const Monitor& monitor = {}) {
    return solver_.solve(b, x, monitor);
  }
  const RowDraws& draws() const { return solver_.draws(); }

 private:
  struct Make {
    MatrixView<const T> A;
    DenseRowAccess<T> operator()(bool columns) const {
      return DenseRowAccess<T>(columns ? A.transposed() : A);
    }
  };
  DenseRows<T> rows_;
  Kaczmarz<T, DenseRows<T>, DenseRowAccess<T>, Make> solver_;
};

/// The solver for a sparse A: `arrays` are those of A, or with `by_columns` of its transpose, and
/// Op multiplies by A for the true residuals. Both outlive it.
template <Field T, class Op, std::signed_integral I>
class SparseKaczmarz {
 public:
  SparseKaczmarz(const SparseKaczmarz&) = delete;
  SparseKaczmarz(const Op& A, const CompressedRows<T, I>& arrays, bool by_columns,
                 const KaczmarzOptions& opt)
      : rows_(A, arrays, by_columns), solver_(rows_, Make{arrays, by_columns}, opt) {}
  KaczmarzOutcome solve(VectorView<const T> b, VectorView<T> x, const Monitor& monitor = {}) {
    return solver_.solve(b, x, monitor);
  }
  const RowDraws& draws() const { return solver_.draws(); }

 private:
  struct Make {
    CompressedRows<T, I> arrays;
    bool by_columns;
    SparseRowAccess<T, I> operator()(bool columns) const { return {arrays, columns != by_columns}; }
  };
  SparseRows<T, Op, I> rows_;
  Kaczmarz<T, SparseRows<T, Op, I>, SparseRowAccess<T, I>, Make> solver_;
};

}  // namespace ritz
