// How the small matrices look to Eigen.
#pragma once

#include <Eigen/Core>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz::dense {

template <class W>
using Matrix = Eigen::Matrix<W, Eigen::Dynamic, Eigen::Dynamic>;

template <class W>
auto map(BlockView<const W> a) {
  return Eigen::Map<const Matrix<W>, 0, Eigen::OuterStride<>>(a.data, a.rows, a.cols,
                                                              Eigen::OuterStride<>(a.ld));
}
template <class W>
auto map(BlockView<W> a) {
  return Eigen::Map<Matrix<W>, 0, Eigen::OuterStride<>>(a.data, a.rows, a.cols,
                                                        Eigen::OuterStride<>(a.ld));
}

}  // namespace ritz::dense
