#include "ritz/dense/eigh.hpp"

#include "dense_map.hpp"

#include <Eigen/Eigenvalues>

#include <complex>
#include <stdexcept>

namespace ritz::dense {

namespace {

void require(Eigen::ComputationInfo info) {
  if (info != Eigen::Success) {
    throw std::runtime_error("the projected eigenvalue problem did not converge");
  }
}

}  // namespace

template <class W>
void eigh(BlockView<W> A, std::span<double> values) {
  auto view = map(A);
  const Eigen::SelfAdjointEigenSolver<Matrix<W>> solver(view);
  require(solver.info());
  view = solver.eigenvectors();
  Eigen::Map<Eigen::VectorXd>(values.data(), A.cols) = solver.eigenvalues();
}

void eigh_tridiagonal(std::span<const double> diagonal, std::span<const double> off,
                      std::span<double> values, BlockView<double> Y) {
  const auto n = static_cast<Index>(diagonal.size());
  Eigen::SelfAdjointEigenSolver<Matrix<double>> solver;
  solver.computeFromTridiagonal(Eigen::Map<const Eigen::VectorXd>(diagonal.data(), n),
                                Eigen::Map<const Eigen::VectorXd>(off.data(), n > 0 ? n - 1 : 0));
  require(solver.info());
  map(Y) = solver.eigenvectors();
  Eigen::Map<Eigen::VectorXd>(values.data(), n) = solver.eigenvalues();
}

template void eigh<double>(BlockView<double>, std::span<double>);
template void eigh<std::complex<double>>(BlockView<std::complex<double>>, std::span<double>);

}  // namespace ritz::dense
