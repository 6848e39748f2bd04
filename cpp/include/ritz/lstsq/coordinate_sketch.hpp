// The sketch that picks rows, and which sketch belongs to which step.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "ritz/lstsq/row_draws.hpp"
#include "ritz/sketch/sketch.hpp"

namespace ritz {

/// Rows c_l e_{i_l}ᵀ: with c_l = 1/√(d p_{i_l}) and rows drawn by p, E SᴴS = I.
template <Field T>
class CoordinateSketch : public SketchOperator<CoordinateSketch<T>, T> {
 public:
  CoordinateSketch(Index m, std::vector<Index> indices, std::vector<double> scales)
      : m_(m), indices_(std::move(indices)), scales_(std::move(scales)) {}

  Index rows() const { return static_cast<Index>(indices_.size()); }
  Index cols() const { return m_; }

  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    each([&](Index l, Index i, Real c) {
      for (Index j = 0; j < A.cols; ++j) Y(l, j) = c * A(i, j);
    });
  }
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    this->fill_zero(Y);
    each([&](Index l, Index i, Real c) {
      for (Index j = 0; j < A.cols; ++j) Y(i, j) += c * A(l, j);
    });
  }
  void submatrix(Index first, Index j, MatrixView<T> Y) const {
    this->fill_zero(Y);
    each([&](Index l, Index i, Real c) {
      if (l >= first && l < first + Y.rows && i >= j && i < j + Y.cols) Y(l - first, i - j) = c;
    });
  }
  template <std::signed_integral I>
  void apply_csr(const CompressedRows<T, I>& A, MatrixView<T> Y) const {
    this->fill_zero(Y);
    each([&](Index l, Index i, Real c) {
      for (I k = A.indptr[i]; k < A.indptr[i + 1]; ++k) {
        Y(l, static_cast<Index>(A.indices[k])) += c * A.values[k];
      }
    });
  }

 private:
  using Real = RealOf<T>;

  template <class Use>
  void each(const Use& use) const {
    for (Index l = 0; l < rows(); ++l) {
      const auto k = static_cast<std::size_t>(l);
      use(l, indices_[k], static_cast<Real>(scales_[k]));
    }
  }

  Index m_;
  std::vector<Index> indices_;
  std::vector<double> scales_;
};

/// The seed of the sketch of a step.
inline std::uint64_t sketch_seed(std::uint64_t seed, Index step) {
  constexpr std::uint64_t kStream =
      std::uint64_t{0x26} << 56 | static_cast<std::uint64_t>(RowStream::sketches) << 48;
  const philox::Block b = philox::bits(seed, kStream, step);
  return std::uint64_t{b[1]} << 32 | b[0];
}

/// Makes the sketch of a step that picks rows with probabilities proportional to their weights:
/// the rows that Kaczmarz would use.
template <Field T>
class CoordinateSketches {
 public:
  /// Weights that are not positive count as 0.
  CoordinateSketches(std::vector<double> weights, Index d, std::uint64_t seed)
      : weights_(std::move(weights)), d_(d) {
    for (double& w : weights_) {
      w = w > 0.0 && std::isfinite(w) ? w : 0.0;
      total_ += w;
    }
    draws_ = RowDraws(weights_, seed, RowStream::rows);
  }
  bool empty() const { return draws_.size() == 0; }

  CoordinateSketch<T> operator()(Index step) const {
    std::vector<Index> rows;
    draws_.draw(step, d_, rows);
    std::vector<double> scales;
    for (const Index i : rows) {
      const double p = weights_[static_cast<std::size_t>(i)] / total_;
      scales.push_back(1.0 / std::sqrt(static_cast<double>(rows.size()) * p));
    }
    return {static_cast<Index>(weights_.size()), std::move(rows), std::move(scales)};
  }

 private:
  std::vector<double> weights_;
  Index d_;
  double total_ = 0.0;
  RowDraws draws_;
};

}  // namespace ritz
