#include "ritz/dense/svd.hpp"

#include "dense_map.hpp"

#include <Eigen/SVD>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <stdexcept>

namespace ritz::dense {

namespace {

template <class W, class Solver>
bool solve(const Solver& solver, BlockView<W> U, std::span<double> s, BlockView<W> V) {
  if (solver.info() != Eigen::Success) return false;
  map(U) = solver.matrixU();
  map(V) = solver.matrixV();
  Eigen::Map<Eigen::VectorXd>(s.data(), static_cast<Index>(s.size())) = solver.singularValues();
  return true;
}

/// Whether A V = U diag(s) to rounding.
template <class W>
bool accurate(BlockView<const W> A, BlockView<W> U, std::span<const double> s, BlockView<W> V) {
  if (s.empty()) return true;
  const Eigen::Map<const Eigen::VectorXd> values(s.data(), static_cast<Index>(s.size()));
  const double error = (map(A) * map(V) - map(U) * values.asDiagonal()).colwise().norm().maxCoeff();
  const auto size = static_cast<double>(std::max(A.rows, A.cols));
  return error <= 4.0 * std::numeric_limits<double>::epsilon() * std::sqrt(size) * s[0];
}

}  // namespace

template <class W>
void svd(BlockView<const W> A, BlockView<W> U, std::span<double> s, BlockView<W> V) {
  constexpr int kThin = Eigen::ComputeThinU | Eigen::ComputeThinV;
  // Divide and conquer now and then loses five digits to values that crowd; Jacobi never does, at
  // several times the cost.
  if (solve<W>(Eigen::BDCSVD<Matrix<W>>(map(A), kThin), U, s, V) && accurate<W>(A, U, s, V)) return;
  if (!solve<W>(Eigen::JacobiSVD<Matrix<W>>(map(A), kThin), U, s, V)) {
    throw std::runtime_error("the projected singular value problem did not converge");
  }
}

template void svd<double>(BlockView<const double>, BlockView<double>, std::span<double>,
                          BlockView<double>);
template void svd<std::complex<double>>(BlockView<const std::complex<double>>,
                                        BlockView<std::complex<double>>, std::span<double>,
                                        BlockView<std::complex<double>>);

}  // namespace ritz::dense
