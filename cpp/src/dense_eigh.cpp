#include "ritz/dense/eigh.hpp"

#include "dense_map.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <algorithm>
#include <complex>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

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

template <class W>
void harmonic_pairs(BlockView<const W> G, double sigma, BlockView<W> Z, std::span<double> distances,
                    std::span<double> values, std::span<double> residuals) {
  const Index n = G.cols;
  Matrix<W> shifted = map(G);
  shifted.diagonal().array() -= sigma;
  const Eigen::HouseholderQR<Matrix<W>> qr(shifted);
  Matrix<W> R = qr.matrixQR().topRows(n).template triangularView<Eigen::Upper>();
  // σ itself may be an eigenvalue that has converged: its vector is what R⁻¹ then finds first.
  const double least = std::numeric_limits<double>::epsilon() * R.cwiseAbs().maxCoeff();
  for (Index i = 0; i < n; ++i) {
    if (std::abs(R(i, i)) <= least) R(i, i) = least > 0.0 ? least : 1.0;
  }
  // With u = R z: (GᴴG) z = θ G₁ᴴ z becomes (Q₁ᴴ R⁻¹) u = u / θ, Q₁ the first rows of Q.
  const Matrix<W> Q = qr.householderQ() * Matrix<W>::Identity(G.rows, n);
  const auto upper = R.template triangularView<Eigen::Upper>();
  const Matrix<W> product =
      upper.template solve<Eigen::OnTheRight>(Matrix<W>(Q.topRows(n).adjoint()));
  const Eigen::SelfAdjointEigenSolver<Matrix<W>> solver(
      Matrix<W>(0.5 * (product + product.adjoint())));
  require(solver.info());
  const Matrix<W> vectors = upper.solve(solver.eigenvectors());
  std::vector<Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
    return std::abs(solver.eigenvalues()[i]) > std::abs(solver.eigenvalues()[j]);
  });
  for (Index i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const Index from = order[at];
    map(Z).col(i) = vectors.col(from).normalized();
    distances[at] = 1.0 / std::abs(solver.eigenvalues()[from]);
    Eigen::Matrix<W, Eigen::Dynamic, 1> image = map(G) * map(Z).col(i);
    values[at] = std::real(map(Z).col(i).dot(image.head(n)));
    image.head(n) -= values[at] * map(Z).col(i);
    residuals[at] = image.norm();
  }
}

template <class W>
void harmonic_restart(BlockView<const W> G, double sigma, BlockView<const W> Z, BlockView<W> S,
                      std::span<double> values, BlockView<W> coupling) {
  const Index n = G.cols, rows = G.rows, keep = Z.cols, width = rows - n;
  const Eigen::HouseholderQR<Matrix<W>> basis{Matrix<W>(map(Z))};
  const Matrix<W> B = basis.householderQ() * Matrix<W>::Identity(n, keep);
  const Eigen::SelfAdjointEigenSolver<Matrix<W>> ritz(
      Matrix<W>(B.adjoint() * map(G).topRows(n) * B));
  require(ritz.info());
  const Matrix<W> Y = B * ritz.eigenvectors();
  // All residuals of harmonic Ritz vectors lie in the null space c of (G − σ I)ᴴ.
  Matrix<W> shifted = map(G);
  shifted.diagonal().array() -= sigma;
  const Eigen::HouseholderQR<Matrix<W>> qr(shifted);
  Matrix<W> last = Matrix<W>::Zero(rows, width);
  last.bottomRows(width).setIdentity();
  Matrix<W> both(rows, keep + width);
  both.topLeftCorner(n, keep) = Y;
  both.bottomLeftCorner(width, keep).setZero();
  both.rightCols(width) = qr.householderQ() * last;
  const Eigen::HouseholderQR<Matrix<W>> orthonormal(both);
  auto s = map(S);
  s = orthonormal.householderQ() * Matrix<W>::Identity(rows, keep + width);
  s.leftCols(keep) = both.leftCols(keep);
  map(coupling) = s.rightCols(width).adjoint() * map(G) * Y;
  Eigen::Map<Eigen::VectorXd>(values.data(), keep) = ritz.eigenvalues();
}

template void eigh<double>(BlockView<double>, std::span<double>);
template void eigh<std::complex<double>>(BlockView<std::complex<double>>, std::span<double>);
template void harmonic_pairs<double>(BlockView<const double>, double, BlockView<double>,
                                     std::span<double>, std::span<double>, std::span<double>);
template void harmonic_pairs<std::complex<double>>(BlockView<const std::complex<double>>, double,
                                                   BlockView<std::complex<double>>,
                                                   std::span<double>, std::span<double>,
                                                   std::span<double>);
template void harmonic_restart<double>(BlockView<const double>, double, BlockView<const double>,
                                       BlockView<double>, std::span<double>, BlockView<double>);
template void harmonic_restart<std::complex<double>>(BlockView<const std::complex<double>>, double,
                                                     BlockView<const std::complex<double>>,
                                                     BlockView<std::complex<double>>,
                                                     std::span<double>,
                                                     BlockView<std::complex<double>>);

}  // namespace ritz::dense
