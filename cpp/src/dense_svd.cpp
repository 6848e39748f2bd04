#include "ritz/dense/svd.hpp"

#include "dense_map.hpp"

#include <Eigen/SVD>

#include <complex>
#include <stdexcept>

namespace ritz::dense {

template <class W>
void svd(BlockView<const W> A, BlockView<W> U, std::span<double> s, BlockView<W> V) {
  const Eigen::BDCSVD<Matrix<W>> solver(map(A), Eigen::ComputeThinU | Eigen::ComputeThinV);
  if (solver.info() != Eigen::Success) {
    throw std::runtime_error("the projected singular value problem did not converge");
  }
  map(U) = solver.matrixU();
  map(V) = solver.matrixV();
  Eigen::Map<Eigen::VectorXd>(s.data(), static_cast<Index>(s.size())) = solver.singularValues();
}

template void svd<double>(BlockView<const double>, BlockView<double>, std::span<double>,
                          BlockView<double>);
template void svd<std::complex<double>>(BlockView<const std::complex<double>>,
                                        BlockView<std::complex<double>>, std::span<double>,
                                        BlockView<std::complex<double>>);

}  // namespace ritz::dense
