// Dense sketches of independent elements: normal numbers, or random signs.
//
// Row i of S is the random stream i of its kind, times 1/√d: more coordinates lengthen the rows and
// more rows, but for the scale, add to them. S is never stored: products make it tile by tile.
// Halko, Martinsson, Tropp: Finding structure with randomness. SIAM Review 53, 2011.
// Achlioptas: Database-friendly random projections. J. Comput. Syst. Sci. 66, 2003.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>

#include "ritz/sketch/sketch.hpp"
#include "ritz/sketch/tile_product.hpp"

namespace ritz {

/// What sketches of independent elements share. `Derived::fill(row, j, n, x)` makes the elements
/// [j, j + n) of a row.
template <class Derived, Field T>
class IndependentSketch : public SketchOperator<Derived, T> {
 public:
  Index rows() const { return d_; }
  Index cols() const { return m_; }

  /// Y = S A: 2 d m k operations, d m elements made for every 512 columns of A.
  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    TileProduct<T, false>::run(tiles(), A, Y);
  }
  /// Y = Sᴴ A, at the same cost.
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    TileProduct<T, true>::run(tiles(), A, Y);
  }
  /// The same bits as the same part of any larger part.
  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    if (Y.col_stride == 1) {
      constexpr Index kPiece = Index{1} << 15;
      const Index pieces = (Y.cols + kPiece - 1) / kPiece;
      threads::for_each_part(Y.rows * pieces, 4 * Y.rows * Y.cols, [&](Index part) {
        const Index r = part / pieces, c = part % pieces * kPiece;
        self().fill(i + r, j + c, std::min(kPiece, Y.cols - c), &Y(r, c));
      });
      return;
    }
    // By columns: tiles are transposed on the stack.
    constexpr Index kHeight = 16, kWidth = 128;
    threads::for_each_part((Y.rows + kHeight - 1) / kHeight, 4 * Y.rows * Y.cols, [&](Index part) {
      T tile[static_cast<std::size_t>(kHeight * kWidth)];
      const Index first = part * kHeight, height = std::min(kHeight, Y.rows - first);
      for (Index c = 0; c < Y.cols; c += kWidth) {
        const Index width = std::min(kWidth, Y.cols - c);
        for (Index r = 0; r < height; ++r) {
          self().fill(i + first + r, j + c, width, tile + r * kWidth);
        }
        for (Index k = 0; k < width; ++k) {
          for (Index r = 0; r < height; ++r) Y(first + r, c + k) = tile[r * kWidth + k];
        }
      }
    });
  }

 protected:
  IndependentSketch(Index d, Index m, std::uint64_t seed, std::uint64_t kind)
      : d_(d), m_(m), seed_(seed), kind_(kind << 56) {
    check_sketch_shape(d, m);
  }

  RandomKey key(Index row) const { return {seed_, kind_ | static_cast<std::uint64_t>(row)}; }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(d_)); }
  const kernels::KernelTable<T>& kernels() const { return *kernels_; }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
  auto tiles() const {
    return [this](Index i, Index j, Index rows, Index cols, T* tile) {
      for (Index r = 0; r < rows; ++r) self().fill(i + r, j, cols, tile + r * kTile);
    };
  }

  static constexpr Index kTile = TileProduct<T, false>::kTile;

  Index d_, m_;
  std::uint64_t seed_, kind_;
  const kernels::KernelTable<T>* kernels_ =
      &kernels::tables(kernels::default_isa()).template of<T>();
};

/// Elements N(0, 1/d), with independent real and imaginary parts when complex.
///
/// In single precision, numbers made from 31 bits and 32: |√d s| ≤ 6.7; in double, from 53 each:
/// |√d s| ≤ 8.7, and all digits are random.
template <Field T>
class Gaussian : public IndependentSketch<Gaussian<T>, T> {
 public:
  Gaussian(Index d, Index m, std::uint64_t seed)
      : IndependentSketch<Gaussian, T>(d, m, seed, 0x10) {}

  void fill(Index row, Index j, Index n, T* x) const {
    this->kernels().sketch_normal(this->key(row), j, n, this->scale(), x);
  }
};

/// Elements ±1/√d.
template <Field T>
class Rademacher : public IndependentSketch<Rademacher<T>, T> {
 public:
  Rademacher(Index d, Index m, std::uint64_t seed)
      : IndependentSketch<Rademacher, T>(d, m, seed, 0x11) {}

  void fill(Index row, Index j, Index n, T* x) const {
    this->kernels().sketch_signs(this->key(row), j, n, this->scale(), x);
  }
};

}  // namespace ritz
