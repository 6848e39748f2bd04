#include "ritz/dense/qr.hpp"

#include "dense_map.hpp"

#include <Eigen/QR>

#include <algorithm>
#include <complex>

namespace ritz::dense {

namespace {

template <class W, class Factors>
void unpack(const Factors& factors, BlockView<W> A, BlockView<W> R) {
  const Index k = std::min(A.rows, A.cols);
  map(R) = factors.matrixQR().topRows(k).template triangularView<Eigen::Upper>();
  map(A.columns(0, k)) = factors.householderQ() * Matrix<W>::Identity(A.rows, k);
}

}  // namespace

template <class W>
void qr(BlockView<W> A, BlockView<W> R) {
  unpack<W>(Eigen::HouseholderQR<Matrix<W>>(map(A)), A, R);
}

template <class W>
void qr_pivoted(BlockView<W> A, BlockView<W> R, std::span<Index> order) {
  const Eigen::ColPivHouseholderQR<Matrix<W>> factors(map(A));
  unpack<W>(factors, A, R);
  const auto& indices = factors.colsPermutation().indices();
  std::copy_n(indices.data(), order.size(), order.begin());
}

template <class W>
void solve_upper(BlockView<const W> R, BlockView<W> B, bool adjoint) {
  if (adjoint) {
    map(R).template triangularView<Eigen::Upper>().adjoint().solveInPlace(map(B));
  } else {
    map(R).template triangularView<Eigen::Upper>().solveInPlace(map(B));
  }
}

template <class W>
void multiply(BlockView<const W> A, BlockView<const W> B, BlockView<W> C, bool adjoint) {
  if (adjoint) {
    map(C).noalias() = map(A).adjoint() * map(B);
  } else {
    map(C).noalias() = map(A) * map(B);
  }
}

template void qr<double>(BlockView<double>, BlockView<double>);
template void qr_pivoted<double>(BlockView<double>, BlockView<double>, std::span<Index>);
template void solve_upper<double>(BlockView<const double>, BlockView<double>, bool);
template void multiply<double>(BlockView<const double>, BlockView<const double>, BlockView<double>,
                               bool);
template void qr<std::complex<double>>(BlockView<std::complex<double>>,
                                       BlockView<std::complex<double>>);
template void qr_pivoted<std::complex<double>>(BlockView<std::complex<double>>,
                                               BlockView<std::complex<double>>, std::span<Index>);
template void solve_upper<std::complex<double>>(BlockView<const std::complex<double>>,
                                                BlockView<std::complex<double>>, bool);
template void multiply<std::complex<double>>(BlockView<const std::complex<double>>,
                                             BlockView<const std::complex<double>>,
                                             BlockView<std::complex<double>>, bool);

}  // namespace ritz::dense
