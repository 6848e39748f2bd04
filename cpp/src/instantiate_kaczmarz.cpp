#include "ritz/compiled/kaczmarz.hpp"
#include "ritz/sketch/gaussian.hpp"
#include "ritz/sketch/sparse_stack.hpp"

namespace ritz::compiled {

namespace {

template <Field T, class Solver>
void solve_columns(Solver& solver, BlockView<const T> B, BlockView<T> X,
                   std::span<const Monitor> monitors, std::span<KaczmarzOutcome> outcomes) {
  for (Index j = 0; j < B.cols; ++j) {
    const auto k = static_cast<std::size_t>(j);
    outcomes[k] = solver.solve(B.column(j), X.column(j), monitors[k]);
  }
}

template <Field T, class Source>
SketchAndProjectOutcome project(const OperatorRef<T>& A, Source source,
                                const ProjectionProblem<T>& problem,
                                const SketchAndProjectOptions& opt, const Monitor& monitor) {
  using Make = function_ref<AnySketch<T>(Index)>;
  const auto run = [&](const Make& make) {
    return SketchAndProject<T, OperatorRef<T>, Source, OptionalOperator<T>, Make>(
               A, source, problem.M, make, problem.b, problem.x, opt, monitor)
        .run();
  };
  const Index m = A.rows();
  const auto seed = [&](Index step) { return sketch_seed(opt.seed, step); };
  switch (problem.sketch) {
    case ProjectionSketch::gaussian:
      return run([&](Index step) { return AnySketch<T>(Gaussian<T>(opt.d, m, seed(step))); });
    case ProjectionSketch::sparse_stack:
      return run([&](Index step) {
        return AnySketch<T>(SparseStack<T>(opt.d, m, seed(step), problem.nnz));
      });
    case ProjectionSketch::rows:
      break;
  }
  const CoordinateSketches<T> sketches(source.weights(opt.spd), opt.d, opt.seed);
  return run([&](Index step) { return AnySketch<T>(sketches(step)); });
}

}  // namespace

template <Field T>
void kaczmarz(MatrixView<const T> A, BlockView<const T> B, BlockView<T> X,
              const KaczmarzOptions& opt, std::span<const Monitor> monitors,
              std::span<KaczmarzOutcome> outcomes) {
  DenseKaczmarz<T> solver(A, opt);
  solve_columns(solver, B, X, monitors, outcomes);
}

template <Field T, std::signed_integral I>
void kaczmarz(const OperatorRef<T>& A, const CompressedRows<T, I>& arrays, bool by_columns,
              BlockView<const T> B, BlockView<T> X, const KaczmarzOptions& opt,
              std::span<const Monitor> monitors, std::span<KaczmarzOutcome> outcomes) {
  SparseKaczmarz<T, OperatorRef<T>, I> solver(A, arrays, by_columns, opt);
  solve_columns(solver, B, X, monitors, outcomes);
}

template <Field T>
SketchAndProjectOutcome sketch_and_project(const OperatorRef<T>& A,
                                           const ProjectionProblem<T>& problem,
                                           const SketchAndProjectOptions& opt,
                                           const Monitor& monitor) {
  return project(A, OperatorSketcher<T, OperatorRef<T>>(A, opt.spd), problem, opt, monitor);
}

template <Field T>
SketchAndProjectOutcome sketch_and_project(const OperatorRef<T>& A, MatrixView<const T> elements,
                                           const ProjectionProblem<T>& problem,
                                           const SketchAndProjectOptions& opt,
                                           const Monitor& monitor) {
  return project(A, DenseSketcher<T>(elements), problem, opt, monitor);
}

template <Field T, std::signed_integral I>
SketchAndProjectOutcome sketch_and_project(const OperatorRef<T>& A,
                                           const CompressedRows<T, I>& arrays, bool by_columns,
                                           const ProjectionProblem<T>& problem,
                                           const SketchAndProjectOptions& opt,
                                           const Monitor& monitor) {
  return project(A, SparseSketcher<T, I>(arrays, by_columns), problem, opt, monitor);
}

template void kaczmarz<float>(MatrixView<const float>, BlockView<const float>, BlockView<float>,
                              const KaczmarzOptions&, std::span<const Monitor>,
                              std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<float>(const OperatorRef<float>&,
                                                           const ProjectionProblem<float>&,
                                                           const SketchAndProjectOptions&,
                                                           const Monitor&);
template SketchAndProjectOutcome sketch_and_project<float>(const OperatorRef<float>&,
                                                           MatrixView<const float>,
                                                           const ProjectionProblem<float>&,
                                                           const SketchAndProjectOptions&,
                                                           const Monitor&);
template void kaczmarz<float, std::int32_t>(const OperatorRef<float>&,
                                            const CompressedRows<float, std::int32_t>&, bool,
                                            BlockView<const float>, BlockView<float>,
                                            const KaczmarzOptions&, std::span<const Monitor>,
                                            std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<float, std::int32_t>(
    const OperatorRef<float>&, const CompressedRows<float, std::int32_t>&, bool,
    const ProjectionProblem<float>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<float, std::int64_t>(const OperatorRef<float>&,
                                            const CompressedRows<float, std::int64_t>&, bool,
                                            BlockView<const float>, BlockView<float>,
                                            const KaczmarzOptions&, std::span<const Monitor>,
                                            std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<float, std::int64_t>(
    const OperatorRef<float>&, const CompressedRows<float, std::int64_t>&, bool,
    const ProjectionProblem<float>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<double>(MatrixView<const double>, BlockView<const double>, BlockView<double>,
                               const KaczmarzOptions&, std::span<const Monitor>,
                               std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<double>(const OperatorRef<double>&,
                                                            const ProjectionProblem<double>&,
                                                            const SketchAndProjectOptions&,
                                                            const Monitor&);
template SketchAndProjectOutcome sketch_and_project<double>(const OperatorRef<double>&,
                                                            MatrixView<const double>,
                                                            const ProjectionProblem<double>&,
                                                            const SketchAndProjectOptions&,
                                                            const Monitor&);
template void kaczmarz<double, std::int32_t>(const OperatorRef<double>&,
                                             const CompressedRows<double, std::int32_t>&, bool,
                                             BlockView<const double>, BlockView<double>,
                                             const KaczmarzOptions&, std::span<const Monitor>,
                                             std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<double, std::int32_t>(
    const OperatorRef<double>&, const CompressedRows<double, std::int32_t>&, bool,
    const ProjectionProblem<double>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<double, std::int64_t>(const OperatorRef<double>&,
                                             const CompressedRows<double, std::int64_t>&, bool,
                                             BlockView<const double>, BlockView<double>,
                                             const KaczmarzOptions&, std::span<const Monitor>,
                                             std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<double, std::int64_t>(
    const OperatorRef<double>&, const CompressedRows<double, std::int64_t>&, bool,
    const ProjectionProblem<double>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<std::complex<float>>(MatrixView<const std::complex<float>>,
                                            BlockView<const std::complex<float>>,
                                            BlockView<std::complex<float>>, const KaczmarzOptions&,
                                            std::span<const Monitor>, std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<std::complex<float>>(
    const OperatorRef<std::complex<float>>&, const ProjectionProblem<std::complex<float>>&,
    const SketchAndProjectOptions&, const Monitor&);
template SketchAndProjectOutcome sketch_and_project<std::complex<float>>(
    const OperatorRef<std::complex<float>>&, MatrixView<const std::complex<float>>,
    const ProjectionProblem<std::complex<float>>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<std::complex<float>, std::int32_t>(
    const OperatorRef<std::complex<float>>&,
    const CompressedRows<std::complex<float>, std::int32_t>&, bool,
    BlockView<const std::complex<float>>, BlockView<std::complex<float>>, const KaczmarzOptions&,
    std::span<const Monitor>, std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<std::complex<float>, std::int32_t>(
    const OperatorRef<std::complex<float>>&,
    const CompressedRows<std::complex<float>, std::int32_t>&, bool,
    const ProjectionProblem<std::complex<float>>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<std::complex<float>, std::int64_t>(
    const OperatorRef<std::complex<float>>&,
    const CompressedRows<std::complex<float>, std::int64_t>&, bool,
    BlockView<const std::complex<float>>, BlockView<std::complex<float>>, const KaczmarzOptions&,
    std::span<const Monitor>, std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<std::complex<float>, std::int64_t>(
    const OperatorRef<std::complex<float>>&,
    const CompressedRows<std::complex<float>, std::int64_t>&, bool,
    const ProjectionProblem<std::complex<float>>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<std::complex<double>>(MatrixView<const std::complex<double>>,
                                             BlockView<const std::complex<double>>,
                                             BlockView<std::complex<double>>,
                                             const KaczmarzOptions&, std::span<const Monitor>,
                                             std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<std::complex<double>>(
    const OperatorRef<std::complex<double>>&, const ProjectionProblem<std::complex<double>>&,
    const SketchAndProjectOptions&, const Monitor&);
template SketchAndProjectOutcome sketch_and_project<std::complex<double>>(
    const OperatorRef<std::complex<double>>&, MatrixView<const std::complex<double>>,
    const ProjectionProblem<std::complex<double>>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<std::complex<double>, std::int32_t>(
    const OperatorRef<std::complex<double>>&,
    const CompressedRows<std::complex<double>, std::int32_t>&, bool,
    BlockView<const std::complex<double>>, BlockView<std::complex<double>>, const KaczmarzOptions&,
    std::span<const Monitor>, std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<std::complex<double>, std::int32_t>(
    const OperatorRef<std::complex<double>>&,
    const CompressedRows<std::complex<double>, std::int32_t>&, bool,
    const ProjectionProblem<std::complex<double>>&, const SketchAndProjectOptions&, const Monitor&);
template void kaczmarz<std::complex<double>, std::int64_t>(
    const OperatorRef<std::complex<double>>&,
    const CompressedRows<std::complex<double>, std::int64_t>&, bool,
    BlockView<const std::complex<double>>, BlockView<std::complex<double>>, const KaczmarzOptions&,
    std::span<const Monitor>, std::span<KaczmarzOutcome>);
template SketchAndProjectOutcome sketch_and_project<std::complex<double>, std::int64_t>(
    const OperatorRef<std::complex<double>>&,
    const CompressedRows<std::complex<double>, std::int64_t>&, bool,
    const ProjectionProblem<std::complex<double>>&, const SketchAndProjectOptions&, const Monitor&);

}  // namespace ritz::compiled
