// How sketch-and-project makes Aᴴ S from d columns S.
//
// Each kind has
//
//   sketch(S, W)       W = Aᴴ Sᴴ for a `Sketch` S of d rows
//   weights(diagonal)  ‖a_i‖² of all rows of A, or the diagonal of A; 1 where they are not known
//   products()         products that `sketch` has cost so far
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/lstsq/row_access.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/space/host.hpp"

namespace ritz {

template <Field T>
void conjugate_elements(BlockView<T> W) {
  if constexpr (ComplexField<T>) {
    for (Index j = 0; j < W.cols; ++j) {
      for (T& a : W.column(j)) a = std::conj(a);
    }
  }
}
/// The transpose of a block, in its memory.
template <Field T>
MatrixView<T> transpose_of(BlockView<T> W) {
  return {W.data, W.cols, W.rows, W.ld, 1};
}

/// A given by its products: d adjoint ones, in a block, or as many of A = Aᴴ. Memory: d m numbers.
template <Field T, class Op>
class OperatorSketcher {
 public:
  OperatorSketcher(const Op& A, bool self_adjoint) : A_(A), self_adjoint_(self_adjoint) {
    if (!self_adjoint) require_adjoint(A);
  }

  template <class S>
  void sketch(const S& s, BlockView<T> W) {
    const Index k = W.cols, m = A_.rows();
    if (k == 0) return;
    arena_.begin(space_, k * Arena<HostSpace<T>>::padded(m));
    const BlockView<T> columns = arena_.block(m, k);
    s.submatrix(0, 0, transpose_of(columns));
    conjugate_elements(columns);
    if (self_adjoint_) {
      apply_columns(A_, BlockView<const T>(columns), W);
    } else {
      apply_adjoint_columns(A_, BlockView<const T>(columns), W);
    }
    if (k > 1) {
      products_.columns += k;
    } else {
      ++(self_adjoint_ ? products_.apply : products_.adjoint);
    }
  }
  std::vector<double> weights(bool) const {
    return std::vector<double>(static_cast<std::size_t>(A_.rows()), 1.0);
  }
  const Counts& products() const { return products_; }

 private:
  const Op& A_;
  bool self_adjoint_;
  HostSpace<T> space_;
  Arena<HostSpace<T>> arena_;
  Counts products_;
};

/// A in memory.
template <Field T>
class DenseSketcher {
 public:
  explicit DenseSketcher(MatrixView<const T> A) : A_(A) {}

  template <class S>
  void sketch(const S& s, BlockView<T> W) {
    s.apply_matrix(A_, transpose_of(W));
    conjugate_elements(W);
  }
  std::vector<double> weights(bool diagonal) const {
    using Wide = WideOf<T>;
    std::vector<double> w(static_cast<std::size_t>(A_.rows));
    if (diagonal) {
      for (Index i = 0; i < A_.rows; ++i)
        w[static_cast<std::size_t>(i)] = std::real(Wide(A_(i, i)));
    } else if (A_.row_stride == 1) {
      for (Index j = 0; j < A_.cols; ++j) {
        for (Index i = 0; i < A_.rows; ++i) {
          w[static_cast<std::size_t>(i)] += std::norm(Wide(A_(i, j)));
        }
      }
    } else {
      w = DenseRowAccess<T>(A_).norms2();
    }
    return w;
  }
  Counts products() const { return {}; }

 private:
  MatrixView<const T> A_;
};

/// A sparse A; of one that is compressed by columns a copy is made.
template <Field T, std::signed_integral I>
class SparseSketcher {
 public:
  SparseSketcher(const CompressedRows<T, I>& arrays, bool by_columns)
      : access_(arrays, by_columns) {}

  template <class S>
  void sketch(const S& s, BlockView<T> W) {
    s.apply_csr(access_.arrays(), transpose_of(W));
    conjugate_elements(W);
  }
  std::vector<double> weights(bool diagonal) const {
    if (!diagonal) return access_.norms2();
    const CompressedRows<T, I>& a = access_.arrays();
    std::vector<double> w(static_cast<std::size_t>(a.rows));
    for (Index i = 0; i < a.rows; ++i) {
      for (I k = a.indptr[i]; k < a.indptr[i + 1]; ++k) {
        if (static_cast<Index>(a.indices[k]) == i) {
          w[static_cast<std::size_t>(i)] += static_cast<double>(std::real(a.values[k]));
        }
      }
    }
    return w;
  }
  Counts products() const { return {}; }

 private:
  SparseRowAccess<T, I> access_;
};

}  // namespace ritz
