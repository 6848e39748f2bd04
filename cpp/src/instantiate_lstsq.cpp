#include "ritz/compiled/lstsq.hpp"
#include "ritz/sketch/sparse_stack.hpp"

namespace ritz::compiled {

namespace {

template <Field T, class Rows>
LstsqAccount solve(Rows rows, BlockView<const T> B, BlockView<T> X, const LstsqSketch& sketch,
                   std::span<LstsqOutcome> outcomes, const LstsqOptions& opt,
                   const Monitor& monitor) {
  const auto make = [&](Index d) {
    constexpr std::uint64_t kPurpose = std::uint64_t{0x24} << 56;
    return SparseStack<T>(d, rows.rows(), sketch.seed ^ kPurpose, sketch.nnz);
  };
  return ritz::lstsq<T>(rows, B, X, make, outcomes, opt, monitor);
}

}  // namespace

template <Field T>
LstsqAccount lstsq(MatrixView<const T> A, BlockView<const T> B, BlockView<T> X,
                   const LstsqSketch& sketch, std::span<LstsqOutcome> outcomes,
                   const LstsqOptions& opt, const Monitor& monitor) {
  return solve<T>(DenseRows<T>(A), B, X, sketch, outcomes, opt, monitor);
}

template <Field T>
LstsqAccount lstsq(const OperatorRef<T>& A, BlockView<const T> B, BlockView<T> X,
                   const LstsqSketch& sketch, std::span<LstsqOutcome> outcomes,
                   const LstsqOptions& opt, const Monitor& monitor) {
  return solve<T>(OperatorRows<T, OperatorRef<T>>(A), B, X, sketch, outcomes, opt, monitor);
}

template <Field T, std::signed_integral I>
LstsqAccount lstsq(const OperatorRef<T>& A, const CompressedRows<T, I>& arrays, bool by_columns,
                   BlockView<const T> B, BlockView<T> X, const LstsqSketch& sketch,
                   std::span<LstsqOutcome> outcomes, const LstsqOptions& opt,
                   const Monitor& monitor) {
  return solve<T>(SparseRows<T, OperatorRef<T>, I>(A, arrays, by_columns), B, X, sketch, outcomes,
                  opt, monitor);
}

template LstsqAccount lstsq<float>(MatrixView<const float>, BlockView<const float>,
                                   BlockView<float>, const LstsqSketch&, std::span<LstsqOutcome>,
                                   const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<float>(const OperatorRef<float>&, BlockView<const float>,
                                   BlockView<float>, const LstsqSketch&, std::span<LstsqOutcome>,
                                   const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<float, std::int32_t>(const OperatorRef<float>&,
                                                 const CompressedRows<float, std::int32_t>&, bool,
                                                 BlockView<const float>, BlockView<float>,
                                                 const LstsqSketch&, std::span<LstsqOutcome>,
                                                 const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<float, std::int64_t>(const OperatorRef<float>&,
                                                 const CompressedRows<float, std::int64_t>&, bool,
                                                 BlockView<const float>, BlockView<float>,
                                                 const LstsqSketch&, std::span<LstsqOutcome>,
                                                 const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<double>(MatrixView<const double>, BlockView<const double>,
                                    BlockView<double>, const LstsqSketch&, std::span<LstsqOutcome>,
                                    const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<double>(const OperatorRef<double>&, BlockView<const double>,
                                    BlockView<double>, const LstsqSketch&, std::span<LstsqOutcome>,
                                    const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<double, std::int32_t>(const OperatorRef<double>&,
                                                  const CompressedRows<double, std::int32_t>&, bool,
                                                  BlockView<const double>, BlockView<double>,
                                                  const LstsqSketch&, std::span<LstsqOutcome>,
                                                  const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<double, std::int64_t>(const OperatorRef<double>&,
                                                  const CompressedRows<double, std::int64_t>&, bool,
                                                  BlockView<const double>, BlockView<double>,
                                                  const LstsqSketch&, std::span<LstsqOutcome>,
                                                  const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<std::complex<float>>(MatrixView<const std::complex<float>>,
                                                 BlockView<const std::complex<float>>,
                                                 BlockView<std::complex<float>>, const LstsqSketch&,
                                                 std::span<LstsqOutcome>, const LstsqOptions&,
                                                 const Monitor&);
template LstsqAccount lstsq<std::complex<float>>(const OperatorRef<std::complex<float>>&,
                                                 BlockView<const std::complex<float>>,
                                                 BlockView<std::complex<float>>, const LstsqSketch&,
                                                 std::span<LstsqOutcome>, const LstsqOptions&,
                                                 const Monitor&);
template LstsqAccount lstsq<std::complex<float>, std::int32_t>(
    const OperatorRef<std::complex<float>>&,
    const CompressedRows<std::complex<float>, std::int32_t>&, bool,
    BlockView<const std::complex<float>>, BlockView<std::complex<float>>, const LstsqSketch&,
    std::span<LstsqOutcome>, const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<std::complex<float>, std::int64_t>(
    const OperatorRef<std::complex<float>>&,
    const CompressedRows<std::complex<float>, std::int64_t>&, bool,
    BlockView<const std::complex<float>>, BlockView<std::complex<float>>, const LstsqSketch&,
    std::span<LstsqOutcome>, const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<std::complex<double>>(MatrixView<const std::complex<double>>,
                                                  BlockView<const std::complex<double>>,
                                                  BlockView<std::complex<double>>,
                                                  const LstsqSketch&, std::span<LstsqOutcome>,
                                                  const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<std::complex<double>>(const OperatorRef<std::complex<double>>&,
                                                  BlockView<const std::complex<double>>,
                                                  BlockView<std::complex<double>>,
                                                  const LstsqSketch&, std::span<LstsqOutcome>,
                                                  const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<std::complex<double>, std::int32_t>(
    const OperatorRef<std::complex<double>>&,
    const CompressedRows<std::complex<double>, std::int32_t>&, bool,
    BlockView<const std::complex<double>>, BlockView<std::complex<double>>, const LstsqSketch&,
    std::span<LstsqOutcome>, const LstsqOptions&, const Monitor&);
template LstsqAccount lstsq<std::complex<double>, std::int64_t>(
    const OperatorRef<std::complex<double>>&,
    const CompressedRows<std::complex<double>, std::int64_t>&, bool,
    BlockView<const std::complex<double>>, BlockView<std::complex<double>>, const LstsqSketch&,
    std::span<LstsqOutcome>, const LstsqOptions&, const Monitor&);

}  // namespace ritz::compiled
