// Fastfood: blocks of N rows, one below the other, the last cut off after d rows in all,
//
//   V = √(N/d) C Ĥ G Π Ĥ B,   Ĥ = H_N/√N,   N the least power of two ≥ m, vectors padded by zeros,
//
// B random signs, Π a random permutation, G = diag(g) standard normal, C = diag(cᵢ/‖g‖) with cᵢ²
// from the χ² distribution of N degrees of freedom, all drawn anew for every block.
//
// Row i of Ĥ G Π Ĥ B is w = B Ĥ Πᵀ G ĥᵢ, and all entries of ĥᵢ² are 1/N. Hence over G and C
//
//   E (cᵢ/‖g‖)² w wᵀ = N · B Ĥ Πᵀ diag(E gₖ²/‖g‖²)/N Π Ĥ B = N · (1/N)(1/N) I = I/N,
//
// as E cᵢ² = N, and gₖ²/‖g‖² are equally distributed with sum 1. With the factor N/d each of the d
// rows adds I/d, so that E SᴴS = I, for any d and for the first m of N coordinates. Rows have the
// lengths of rows of a Gaussian matrix; without C all those of a block would be as long.
//
// Le, Sarlós, Smola: Fastfood: approximating kernel expansions in loglinear time. ICML 2013.
// Marsaglia, Tsang: A simple method for generating gamma variables. ACM TOMS 26, 2000.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ritz/sketch/hadamard_panels.hpp"
#include "ritz/sketch/signed_permutation.hpp"

namespace ritz {

namespace detail {

/// A number from the χ² distribution of n degrees of freedom, element i of a stream. It is twice a
/// Gamma variable of shape n/2, by rejection; at least 95 % of the tries are taken.
inline double chi_square(Index n, RandomKey key, Index i) {
  constexpr Index kTries = 64;
  if (n == 1) {
    const double z = philox::normal2(key.seed, key.stream, i * kTries).first;
    return z * z;
  }
  const double d = static_cast<double>(n) / 2.0 - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  for (Index k = 0; k < kTries; k += 2) {
    const double z = philox::normal2(key.seed, key.stream, i * kTries + k).first;
    const double root = 1.0 + c * z, v = root * root * root;
    const double u = 0.5 + 0.5 * philox::uniform2(key.seed, key.stream, i * kTries + k + 1).first;
    if (v > 0.0 && std::log(u) < 0.5 * z * z + d * (1.0 - v + std::log(v))) return 2.0 * d * v;
  }
  return static_cast<double>(n);  // of probability below 2^-130
}

}  // namespace detail

/// A product with k columns costs 2 N log₂ N additions a column and block, O(d log m) for d ≥ m.
/// Two panels of N rows of 128 bytes are the scratch memory, O(d + m) numbers say what S is: they
/// are made at the first product and shared by copies.
template <Field T>
class Fastfood : public HadamardPanels<Fastfood<T>, T> {
  using Base = HadamardPanels<Fastfood, T>;
  using Real = RealOf<T>;

 public:
  Fastfood(Index d, Index m, std::uint64_t seed) : d_(d), m_(m) {
    check_sketch_shape(d, m);
    check_transform_length(m);
    N_ = power_of_two(m);
    drawn_ = std::make_shared<Drawn>();
    drawn_->seed = seed;
  }

  Index rows() const { return d_; }
  Index cols() const { return m_; }
  /// N.
  Index length() const { return N_; }

  /// From products with unit vectors, of the rows of S or of its columns: whichever S has fewer of,
  /// so that a part has the bits of all.
  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    const bool by_rows = d_ < m_;
    const MatrixView<T> part = by_rows ? Y.transposed() : Y;  // of the products
    const Index from = by_rows ? i : j, first = by_rows ? j : i;
    PanelMemory<T> scratch;
    for (Index c = 0; c < part.cols; c += Base::kPanel) {
      const Index count = std::min(Base::kPanel, part.cols - c);
      const auto load = [&](Index at, Real f, T* row) {
        for (Index k = 0; k < count; ++k) row[k] = at == from + c + k ? f : Real{0};
      };
      const auto store = [&](Index at, Real f, const T* row) {
        if (at < first || at >= first + part.rows) return;
        for (Index k = 0; k < count; ++k) part(at - first, c + k) = f * row[k];
      };
      // All is real: a product of the adjoint is a row of S.
      by_rows ? adjoint(load, count, scratch, store) : forward(load, count, scratch, store);
    }
  }

  template <class Load, class Store>
  void forward(const Load& load, Index width, PanelMemory<T>& scratch, const Store& store) const {
    T* const x = scratch.numbers(2 * N_ * width);
    T* const y = x + N_ * width;
    for (const Block& block : drawn()) {
      hadamard_transform(N_, width, x, [&](Index first, Index count) {
        for (Index j = first; j < first + count; ++j) {
          if (j < m_) {
            load(j, block.sign(j), x + j * width);
          } else {
            std::fill_n(x + j * width, width, T{});
          }
        }
      });
      hadamard_transform(N_, width, y, [&](Index first, Index count) {
        for (Index i = first; i < first + count; ++i) {
          const T* const from = x + block.permutation.source(i).index * width;
          const Real g = block.g[static_cast<std::size_t>(i)];
          for (Index k = 0; k < width; ++k) y[i * width + k] = g * from[k];
        }
      });
      for_each_range(block.rows(), width, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
          store(block.first + i, block.c[static_cast<std::size_t>(i)], y + i * width);
        }
      });
    }
  }

  template <class Load, class Store>
  void adjoint(const Load& load, Index width, PanelMemory<T>& scratch, const Store& store) const {
    T* const x = scratch.numbers(3 * N_ * width);
    T* const y = x + N_ * width;
    T* const sum = y + N_ * width;
    std::fill_n(sum, N_ * width, T{});
    for (const Block& block : drawn()) {
      hadamard_transform(N_, width, x, [&](Index first, Index count) {
        for (Index i = first; i < first + count; ++i) {
          if (i < block.rows()) {
            load(block.first + i, block.c[static_cast<std::size_t>(i)], x + i * width);
          } else {
            std::fill_n(x + i * width, width, T{});
          }
        }
      });
      hadamard_transform(N_, width, y, [&](Index first, Index count) {
        for (Index j = first; j < first + count; ++j) {
          const Index i = block.permutation.target(j).index;
          const Real g = block.g[static_cast<std::size_t>(i)];
          for (Index k = 0; k < width; ++k) y[j * width + k] = g * x[i * width + k];
        }
      });
      for_each_range(m_, width, [&](Index first, Index last) {
        for (Index j = first; j < last; ++j) {
          const Real sign = block.sign(j);
          for (Index k = 0; k < width; ++k) sum[j * width + k] += sign * y[j * width + k];
        }
      });
    }
    for_each_range(m_, width, [&](Index first, Index last) {
      for (Index j = first; j < last; ++j) store(j, Real{1}, sum + j * width);
    });
  }

 private:
  struct Block {
    Index first;                    // its first row in S
    SignedPermutation permutation;  // Π; the sign of element j of B is that of target(j)
    std::vector<Real> g, c;         // G, and C with the factors of V and of both Ĥ

    Index rows() const { return static_cast<Index>(c.size()); }
    Real sign(Index j) const { return permutation.target(j).negative ? Real{-1} : Real{1}; }
  };
  struct Drawn {
    std::uint64_t seed = 0;
    std::once_flag once;
    std::vector<Block> blocks;
  };

  const std::vector<Block>& drawn() const {
    Drawn& drawn = *drawn_;
    std::call_once(drawn.once, [&] {
      for (Index first = 0; first < d_; first += N_) drawn.blocks.push_back(made(first));
    });
    return drawn.blocks;
  }

  Block made(Index first) const {
    const auto key = [&](std::uint64_t part) {
      const auto number = static_cast<std::uint64_t>(first / N_);
      return RandomKey{drawn_->seed, (std::uint64_t{0x17} << 56) | (part << 48) | number};
    };
    Block block{first, SignedPermutation(N_, key(0), key(1)), {}, {}};
    std::vector<double> g(static_cast<std::size_t>(N_));
    philox::normals(drawn_->seed, key(2).stream, 0, N_, g.data());
    double norm2 = 0.0;
    for (const double z : g) norm2 += z * z;
    // √(N/d) of V, 1/N of the two transforms.
    const double scale = 1.0 / std::sqrt(static_cast<double>(d_) * static_cast<double>(N_) * norm2);
    block.g.assign(g.begin(), g.end());
    const Index rows = std::min(N_, d_ - first);
    for (Index i = 0; i < rows; ++i) {
      block.c.push_back(static_cast<Real>(scale * std::sqrt(detail::chi_square(N_, key(3), i))));
    }
    return block;
  }

  Index d_, m_, N_ = 0;
  std::shared_ptr<Drawn> drawn_;
};

}  // namespace ritz
