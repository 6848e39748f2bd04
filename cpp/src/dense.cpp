// The one translation unit that sees Eigen.
#include "ritz/dense/dense.hpp"

#include <Eigen/Eigenvalues>

#include <stdexcept>

namespace ritz::dense {

void eigh(BlockView<double> a, std::span<double> values) {
  using Matrix = Eigen::MatrixXd;
  Eigen::Map<Matrix, 0, Eigen::OuterStride<>> view(a.data, a.rows, a.cols,
                                                   Eigen::OuterStride<>(a.ld));
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(view);
  if (solver.info() != Eigen::Success) {
    throw std::runtime_error("the projected eigenvalue problem did not converge");
  }
  view = solver.eigenvectors();
  Eigen::Map<Eigen::VectorXd>(values.data(), a.cols) = solver.eigenvalues();
}

}  // namespace ritz::dense
