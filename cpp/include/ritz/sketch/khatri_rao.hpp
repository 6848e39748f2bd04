// Khatri–Rao sketches: row i is the tensor product of rows of independent factors,
//
//   sᵢ = aᵢ ⊗ bᵢ ⊗ … / √d   over m = m₁ m₂ ⋯ coordinates, the last index fastest,
//
// so that S (x ⊗ y ⊗ …) takes d (m₁ + m₂ + ⋯) products of numbers and no vector of length m.
//
// E SᴴS = I, but the variance of ‖S x‖² grows exponentially with the number of factors p, like 3^p
// for normal numbers, and so does the d that is needed.
//
// Rudelson: Row products of random matrices. Adv. Math. 231, 2012. Ahle, Kapralov, Knudsen, Pagh,
// Velingkar, Woodruff, Zandieh: Oblivious sketching of high-degree polynomial kernels. SODA 2020.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/sketch/sketch.hpp"
#include "ritz/sketch/tile_product.hpp"

namespace ritz {

/// What the elements of the factors are.
enum class FactorKind { signs, normal };

/// Factor k: a matrix of d × m independent elements of variance 1/d, row i a random stream.
template <Field T>
class KhatriRaoFactor : public SketchOperator<KhatriRaoFactor<T>, T> {
 public:
  KhatriRaoFactor(Index d, Index m, std::uint64_t seed, Index k, FactorKind kind)
      : d_(d), m_(m), seed_(seed), k_(k), kind_(kind) {
    check_sketch_shape(d, m);
  }

  Index rows() const { return d_; }
  Index cols() const { return m_; }
  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    TileProduct<T, false>::run(tiles(), A, Y);
  }
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    TileProduct<T, true>::run(tiles(), A, Y);
  }
  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    std::vector<T> row(static_cast<std::size_t>(Y.cols));
    for (Index r = 0; r < Y.rows; ++r) {
      fill(i + r, j, Y.cols, row.data());
      for (Index c = 0; c < Y.cols; ++c) {
        Y(r, c) = static_cast<RealOf<T>>(scale()) * row[static_cast<std::size_t>(c)];
      }
    }
  }

  /// Elements [j, j + n) of row i times √d.
  void fill(Index i, Index j, Index n, T* x) const {
    const RandomKey key{seed_, (std::uint64_t{0x19} << 56) |
                                   (static_cast<std::uint64_t>(k_) << 48) |
                                   static_cast<std::uint64_t>(i)};
    (kind_ == FactorKind::signs ? table_->random_signs : table_->random_normal)(key, j, n, x);
  }

 private:
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(d_)); }
  auto tiles() const {
    return [this](Index i, Index j, Index rows, Index cols, T* tile) {
      for (Index r = 0; r < rows; ++r) {
        T* const row = tile + r * TileProduct<T, false>::kTile;
        fill(i + r, j, cols, row);
        for (Index c = 0; c < cols; ++c) row[c] *= static_cast<RealOf<T>>(scale());
      }
    };
  }

  Index d_, m_;
  std::uint64_t seed_;
  Index k_;
  FactorKind kind_;
  const kernels::KernelTable<T>* table_ = &kernels::tables(kernels::default_isa()).template of<T>();
};

/// Products with a vector of m numbers contract one factor after the other: 2 d m (1 + 1/m₁ +
/// 1/(m₁ m₂) + ⋯) operations, and 16 m / m₁ numbers of memory a thread.
template <Field T>
class KhatriRao : public SketchOperator<KhatriRao<T>, T> {
  using Wide = WideOf<T>;

 public:
  KhatriRao(Index d, std::vector<Index> sizes, std::uint64_t seed,
            FactorKind kind = FactorKind::signs)
      : d_(d), sizes_(std::move(sizes)) {
    constexpr Index kMostFactors = 128;
    if (sizes_.empty() || static_cast<Index>(sizes_.size()) > kMostFactors) {
      throw InvalidArgument("there are " + std::to_string(sizes_.size()) +
                            " factors; pass the sizes of 1 to 128");
    }
    for (const Index size : sizes_) {
      check_sketch_shape(d, size);
      if (m_ > (Index{1} << 62) / size) {
        throw InvalidArgument("the product of the sizes of the factors overflows");
      }
      m_ *= size;
      factors_.emplace_back(d, size, seed, static_cast<Index>(factors_.size()), kind);
      total_ += size;
    }
  }

  Index rows() const { return d_; }
  Index cols() const { return m_; }

  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    std::vector<T> copy;
    for (Index c = 0; c < A.cols; ++c) {
      const T* const a = contiguous(A, c, copy);
      each_tile([&](Index first, Index count) {
        std::vector<T> rows = factor_rows(first, count), sums;
        contract(a, rows, count, sums);
        for (Index r = 0; r < count; ++r) {
          Y(first + r, c) = scaled(sums[static_cast<std::size_t>(r)]);
        }
      });
    }
  }

  /// Y = Σᵢ s̄ᵢ A(i, :): each thread adds its own part of the coordinates.
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    const Index rest = m_ / sizes_[0];
    const Index pieces = (rest + kPiece - 1) / kPiece;
    for (Index c = 0; c < A.cols; ++c) {
      threads::for_each_part(pieces, d_ * m_, [&](Index p) {
        const Index at = p * kPiece, n = std::min(kPiece, rest - at);
        std::vector<T> sums(static_cast<std::size_t>(sizes_[0] * n)), tails;
        for (Index first = 0; first < d_; first += kernels::kPanelColumns) {
          const Index count = std::min(kernels::kPanelColumns, d_ - first);
          const std::vector<T> rows = factor_rows(first, count);
          tails.resize(static_cast<std::size_t>(count * n));
          for (Index r = 0; r < count; ++r) {
            elements(rows.data() + r * total_, 1, at, n, tails.data() + r * n);
          }
          for (Index j = 0; j < sizes_[0]; ++j) {
            Wide h[kernels::kPanelColumns];
            for (Index r = 0; r < count; ++r) {
              const Wide a = static_cast<Wide>(A(first + r, c));
              h[r] =
                  conjugate(static_cast<Wide>(rows[static_cast<std::size_t>(r * total_ + j)])) * a;
            }
            table_->add_conjugate_columns(n, count, tails.data(), n, h, sums.data() + j * n);
          }
        }
        for (Index j = 0; j < sizes_[0]; ++j) {
          for (Index k = 0; k < n; ++k) {
            Y(j * rest + at + k, c) = scaled(sums[static_cast<std::size_t>(j * n + k)]);
          }
        }
      });
    }
  }

  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    std::vector<T> row(static_cast<std::size_t>(Y.cols));
    for (Index r = 0; r < Y.rows; ++r) {
      const std::vector<T> factors = factor_rows(i + r, 1);
      elements(factors.data(), 0, j, Y.cols, row.data());
      for (Index c = 0; c < Y.cols; ++c) Y(r, c) = scaled(row[static_cast<std::size_t>(c)]);
    }
  }

  /// y = S (x₁ ⊗ x₂ ⊗ …), without forming the product.
  void apply_factors(std::span<const VectorView<const T>> x, VectorView<T> y) const {
    std::vector<T> row;
    for (Index i = 0; i < d_; ++i) {
      Wide product = 1.0 / std::sqrt(static_cast<double>(d_));
      for (std::size_t k = 0; k < sizes_.size(); ++k) {
        row.resize(static_cast<std::size_t>(sizes_[k]));
        factors_[k].fill(i, 0, sizes_[k], row.data());
        Wide sum = 0.0;
        for (Index j = 0; j < sizes_[k]; ++j) {
          sum += static_cast<Wide>(row[static_cast<std::size_t>(j)]) * static_cast<Wide>(x[k][j]);
        }
        product *= sum;
      }
      y[i] = static_cast<T>(product);
    }
  }

 private:
  // Rows that read a vector together, and elements of it that they read at once.
  static constexpr Index kTile = 16;
  static constexpr Index kPiece = 1024;

  T scaled(T x) const {
    return static_cast<RealOf<T>>(1.0 / std::sqrt(static_cast<double>(d_))) * x;
  }

  static const T* contiguous(MatrixView<const T> A, Index c, std::vector<T>& copy) {
    if (A.row_stride == 1) return &A(0, c);
    copy.resize(static_cast<std::size_t>(A.rows));
    for (Index i = 0; i < A.rows; ++i) copy[static_cast<std::size_t>(i)] = A(i, c);
    return copy.data();
  }
  template <class Use>
  void each_tile(const Use& use) const {
    threads::for_each_part((d_ + kTile - 1) / kTile, d_ * m_, [&](Index part) {
      use(part * kTile, std::min(kTile, d_ - part * kTile));
    });
  }

  /// The rows [first, first + count) of all factors, those of one row one after the other.
  std::vector<T> factor_rows(Index first, Index count) const {
    std::vector<T> rows(static_cast<std::size_t>(count * total_));
    T* to = rows.data();
    for (Index r = 0; r < count; ++r) {
      for (std::size_t k = 0; k < factors_.size(); to += sizes_[k], ++k) {
        factors_[k].fill(first + r, 0, sizes_[k], to);
      }
    }
    return rows;
  }

  /// sums = the products of `count` rows with x, one factor at a time: x as a matrix of m₁ rows
  /// becomes one vector for each of the rows, and each of these the next matrix.
  void contract(const T* x, const std::vector<T>& rows, Index count, std::vector<T>& sums) const {
    Index rest = m_ / sizes_[0];
    sums.assign(static_cast<std::size_t>(count * rest), T{});
    for (Index at = 0; at < rest; at += kPiece) {
      for (Index j = 0; j < sizes_[0]; j += kernels::kPanelColumns) {
        for (Index r = 0; r < count; ++r) {
          add(x + at, rest, std::min(kPiece, rest - at), rows.data() + r * total_, j, sizes_[0],
              sums.data() + r * rest + at);
        }
      }
    }
    Index offset = sizes_[0];
    for (std::size_t k = 1; k < sizes_.size(); offset += sizes_[k], ++k) {
      const Index before = rest;
      rest /= sizes_[k];
      std::vector<T> next(static_cast<std::size_t>(count * rest), T{});
      for (Index r = 0; r < count; ++r) {
        for (Index j = 0; j < sizes_[k]; j += kernels::kPanelColumns) {
          add(sums.data() + r * before, rest, rest, rows.data() + r * total_ + offset, j, sizes_[k],
              next.data() + r * rest);
        }
      }
      sums = std::move(next);
    }
  }
  /// y += Σ over a panel of columns from j on of factor(j) times n elements of row j of x.
  void add(const T* x, Index ld, Index n, const T* factor, Index j, Index size, T* y) const {
    Wide h[kernels::kPanelColumns];
    const Index cols = std::min(kernels::kPanelColumns, size - j);
    for (Index k = 0; k < cols; ++k) h[k] = static_cast<Wide>(factor[j + k]);
    table_->add_columns(n, cols, x + j * ld, ld, h, y);
  }

  /// Elements [at, at + n) of the tensor product of a row's factors from number `from` on.
  void elements(const T* factors, std::size_t from, Index at, Index n, T* out) const {
    std::vector<Index> index(sizes_.size());
    Index rest = at;
    for (std::size_t k = sizes_.size(); k-- > from;) {
      index[k] = rest % sizes_[k];
      rest /= sizes_[k];
    }
    for (std::size_t k = 0; k < from; ++k) factors += sizes_[k];
    const std::size_t last = sizes_.size() - 1;
    for (Index i = 0; i < n;) {
      T head{1};
      const T* factor = factors;
      for (std::size_t k = from; k < last; factor += sizes_[k], ++k) head *= factor[index[k]];
      if (from > last) {  // the product of none
        out[i++] = head;
        continue;
      }
      for (; i < n && index[last] < sizes_[last]; ++index[last]) {
        out[i++] = head * factor[index[last]];
      }
      for (std::size_t k = last; k > from && index[k] == sizes_[k]; --k) {
        index[k] = 0;
        ++index[k - 1];
      }
    }
  }

  Index d_, m_ = 1, total_ = 0;
  std::vector<Index> sizes_;
  std::vector<KhatriRaoFactor<T>> factors_;
  const kernels::KernelTable<T>* table_ = &kernels::tables(kernels::default_isa()).template of<T>();
};

}  // namespace ritz
