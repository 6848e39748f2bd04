// `kaczmarz` and `sketch_and_project` on host memory.
#pragma once

#include <span>

#include "ritz/lstsq/kaczmarz.hpp"
#include "ritz/lstsq/sketch_and_project.hpp"
#include "ritz/op/operator_ref.hpp"

namespace ritz::compiled {

/// For all columns of B one after the other: the j-th has monitors[j] and outcomes[j].
template <Field T>
RITZ_API void kaczmarz(MatrixView<const T> A, BlockView<const T> B, BlockView<T> X,
                       const KaczmarzOptions& opt, std::span<const Monitor> monitors,
                       std::span<KaczmarzOutcome> outcomes);

/// `arrays` are those of A, or with `by_columns` of its transpose.
template <Field T, std::signed_integral I>
RITZ_API void kaczmarz(const OperatorRef<T>& A, const CompressedRows<T, I>& arrays, bool by_columns,
                       BlockView<const T> B, BlockView<T> X, const KaczmarzOptions& opt,
                       std::span<const Monitor> monitors, std::span<KaczmarzOutcome> outcomes);

enum class ProjectionSketch : int { gaussian = 0, sparse_stack = 1, rows = 2 };

/// What sketch-and-project takes beside A; M may be absent.
template <Field T>
struct ProjectionProblem {
  VectorView<const T> b;
  VectorView<T> x;
  OptionalOperator<T> M;
  ProjectionSketch sketch = ProjectionSketch::gaussian;
  Index nnz = 8;  ///< of a column of a SparseStack
};

template <Field T>
RITZ_API SketchAndProjectOutcome sketch_and_project(const OperatorRef<T>& A,
                                                    const ProjectionProblem<T>& problem,
                                                    const SketchAndProjectOptions& opt,
                                                    const Monitor& monitor);
/// The same for an A in memory; the operator makes the true residuals.
template <Field T>
RITZ_API SketchAndProjectOutcome sketch_and_project(const OperatorRef<T>& A,
                                                    MatrixView<const T> elements,
                                                    const ProjectionProblem<T>& problem,
                                                    const SketchAndProjectOptions& opt,
                                                    const Monitor& monitor);
template <Field T, std::signed_integral I>
RITZ_API SketchAndProjectOutcome sketch_and_project(const OperatorRef<T>& A,
                                                    const CompressedRows<T, I>& arrays,
                                                    bool by_columns,
                                                    const ProjectionProblem<T>& problem,
                                                    const SketchAndProjectOptions& opt,
                                                    const Monitor& monitor);

}  // namespace ritz::compiled
