// d rows of a random orthogonal or unitary matrix of order m, scaled so that E SᴴS = I.
//
// Mezzadri: How to generate random matrices from the classical compact groups. Notices AMS 54,
// 2007.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/dense/qr.hpp"
#include "ritz/sketch/philox.hpp"
#include "ritz/sketch/sketch.hpp"
#include "ritz/sketch/tile_product.hpp"

namespace ritz {

/// S = √(m/d) Qᴴ, the columns of Q uniformly distributed (Haar measure): S Sᴴ = (m/d) I exactly.
///
/// Made once, by a QR factorisation of an m × d Gaussian matrix in double precision: 4 m d²
/// operations, 2 m d numbers of double precision meanwhile; S itself is stored, m d numbers.
template <Field T>
class Orthogonal : public SketchOperator<Orthogonal<T>, T> {
 public:
  /// Throws InvalidArgument if d > m: there are no more orthogonal rows than coordinates.
  Orthogonal(Index d, Index m, std::uint64_t seed) : d_(d), m_(m) {
    check_sketch_shape(d, m);
    if (d > m) {
      throw InvalidArgument("d is " + std::to_string(d) + " and m is " + std::to_string(m) +
                            "; orthogonal rows need d ≤ m: pass fewer rows, or use Gaussian");
    }
    rows_ = std::make_shared<std::vector<T>>(make(d, m, seed));
  }

  Index rows() const { return d_; }
  Index cols() const { return m_; }
  /// Y = S A: 2 d m k operations.
  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    TileProduct<T, false>::run(tiles(), A, Y);
  }
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    TileProduct<T, true>::run(tiles(), A, Y);
  }
  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    for (Index r = 0; r < Y.rows; ++r) {
      for (Index c = 0; c < Y.cols; ++c) Y(r, c) = row(i + r)[j + c];
    }
  }

 private:
  using W = WideOf<T>;

  static std::vector<T> make(Index d, Index m, std::uint64_t seed) {
    const auto size = static_cast<std::size_t>(d);
    std::vector<W> q(size * static_cast<std::size_t>(m)), r(size * size);
    const auto& kernels = kernels::tables(kernels::default_isa()).template of<W>();
    for (Index i = 0; i < d; ++i) {
      const std::uint64_t stream = std::uint64_t{0x18} << 56 | static_cast<std::uint64_t>(i);
      kernels.random_normal({seed, stream}, 0, m, q.data() + i * m);
    }
    dense::qr<W>({q.data(), m, d, m}, {r.data(), d, d, d});
    // The factorisation is unique, and Q uniform, where the diagonal of R is positive.
    std::vector<T> rows(q.size());
    const double scale = std::sqrt(static_cast<double>(m) / static_cast<double>(d));
    for (Index i = 0; i < d; ++i) {
      const W diagonal = r[static_cast<std::size_t>(i * (d + 1))];
      const W factor = scale * conjugate(diagonal / std::abs(diagonal));
      for (Index j = 0; j < m; ++j) {
        const auto k = static_cast<std::size_t>(i * m + j);
        rows[k] = static_cast<T>(factor * conjugate(q[k]));
      }
    }
    return rows;
  }

  const T* row(Index i) const { return rows_->data() + i * m_; }
  auto tiles() const {
    return [this](Index i, Index j, Index rows, Index cols, T* tile) {
      for (Index r = 0; r < rows; ++r) {
        std::copy_n(row(i + r) + j, cols, tile + r * TileProduct<T, false>::kTile);
      }
    };
  }

  Index d_, m_;
  std::shared_ptr<const std::vector<T>> rows_;
};

}  // namespace ritz
