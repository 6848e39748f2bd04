// `lstsq` on host memory, with SparseStack sketches.
#pragma once

#include "ritz/lstsq/lstsq.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/op/sparse.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// The sketch: a SparseStack of `nnz` nonzeros a column.
struct LstsqSketch {
  std::uint64_t seed = 0;
  Index nnz = 8;
};

template <Field T>
RITZ_API LstsqAccount lstsq(MatrixView<const T> A, BlockView<const T> B, BlockView<T> X,
                            const LstsqSketch& sketch, std::span<LstsqOutcome> outcomes,
                            const LstsqOptions& opt, const Monitor& monitor);

template <Field T>
RITZ_API LstsqAccount lstsq(const OperatorRef<T>& A, BlockView<const T> B, BlockView<T> X,
                            const LstsqSketch& sketch, std::span<LstsqOutcome> outcomes,
                            const LstsqOptions& opt, const Monitor& monitor);

/// `arrays` are those of A, or with `by_columns` of its transpose.
template <Field T, std::signed_integral I>
RITZ_API LstsqAccount lstsq(const OperatorRef<T>& A, const CompressedRows<T, I>& arrays,
                            bool by_columns, BlockView<const T> B, BlockView<T> X,
                            const LstsqSketch& sketch, std::span<LstsqOutcome> outcomes,
                            const LstsqOptions& opt, const Monitor& monitor);

}  // namespace ritz::compiled
