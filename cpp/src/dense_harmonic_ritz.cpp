#include "ritz/dense/harmonic_ritz.hpp"

#include "dense_map.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <algorithm>
#include <complex>
#include <numeric>

namespace ritz::dense {

namespace {

/// Eigenvectors of the at most k eigenvalues of the largest modulus; none if the iteration failed.
template <class W>
Matrix<W> dominant(const Matrix<W>& T, Index k) {
  constexpr bool kReal = std::is_same_v<W, double>;
  const std::conditional_t<kReal, Eigen::EigenSolver<Matrix<W>>,
                           Eigen::ComplexEigenSolver<Matrix<W>>>
      solver(T);
  if (solver.info() != Eigen::Success) return Matrix<W>(T.rows(), 0);
  const auto& values = solver.eigenvalues();
  const auto vectors = solver.eigenvectors();
  Eigen::Matrix<Index, Eigen::Dynamic, 1> order(T.cols());
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(), [&](Index i, Index j) {
    const double a = std::abs(values[i]), b = std::abs(values[j]);
    return a > b || (a == b && i < j);
  });
  Matrix<W> P(T.rows(), std::min(k, static_cast<Index>(T.cols())));
  Index count = 0;
  for (const Index i : order) {
    if constexpr (kReal) {
      if (values[i].imag() < 0.0) continue;  // its conjugate stands for both
      if (values[i].imag() > 0.0) {
        if (count + 2 > P.cols()) break;
        P.col(count++) = vectors.col(i).real();
        P.col(count++) = vectors.col(i).imag();
        continue;
      }
      if (count == P.cols()) break;
      P.col(count++) = vectors.col(i).real();
    } else {
      if (count == P.cols()) break;
      P.col(count++) = vectors.col(i);
    }
  }
  return P.leftCols(count);
}

}  // namespace

template <class W>
Index harmonic_ritz(BlockView<const W> G, BlockView<const W> N, Index k, BlockView<W> S,
                    BlockView<W> Q) {
  // 1/θ are the eigenvalues of G⁺N: G is not squared.
  const Matrix<W> T = map(G).colPivHouseholderQr().solve(map(N));
  if (!T.allFinite()) return 0;
  const Matrix<W> P = dominant(T, k);
  if (P.cols() == 0) return 0;
  const Eigen::ColPivHouseholderQR<Matrix<W>> basis(P);  // a defective problem repeats vectors
  const Index count = basis.rank();
  const Matrix<W> B = basis.householderQ() * Matrix<W>::Identity(P.rows(), count);
  const Matrix<W> images = map(G) * B;
  const Eigen::HouseholderQR<Matrix<W>> qr(images);
  const Matrix<W> R = qr.matrixQR().topRows(count).template triangularView<Eigen::Upper>();
  const auto pivots = R.diagonal().cwiseAbs();
  if (!(pivots.minCoeff() > Eigen::NumTraits<double>::epsilon() * pivots.maxCoeff())) return 0;
  const Matrix<W> inverse =
      R.template triangularView<Eigen::Upper>().solve(Matrix<W>::Identity(count, count));
  map(S.columns(0, count)) = B * inverse;
  map(Q.columns(0, count)) = qr.householderQ() * Matrix<W>::Identity(images.rows(), count);
  return count;
}

template Index harmonic_ritz<double>(BlockView<const double>, BlockView<const double>, Index,
                                     BlockView<double>, BlockView<double>);
template Index harmonic_ritz<std::complex<double>>(BlockView<const std::complex<double>>,
                                                   BlockView<const std::complex<double>>, Index,
                                                   BlockView<std::complex<double>>,
                                                   BlockView<std::complex<double>>);

}  // namespace ritz::dense
