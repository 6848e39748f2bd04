// A sketch of single long vectors, one after the other: CountSketch after Hadamard transforms.
//
// Ailon, Chazelle: The fast Johnson–Lindenstrauss transform and approximate nearest neighbors. SIAM
// J. Comput. 39, 2009. Transforms of blocks: Balabanov, Beaupère, Grigori, Lederer: Block
// subsampled randomized Hadamard transform for Nyström approximation on distributed architectures.
// ICML 2023.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "ritz/core/threads.hpp"
#include "ritz/sketch/hadamard.hpp"
#include "ritz/sketch/random_rows.hpp"
#include "ritz/space/host_memory.hpp"

namespace ritz {

/// y = S x for x of n and y of d elements, S = [C₁HD₁ C₂HD₂ …] on blocks of B elements of x: D
/// random signs, H Hadamard's matrix over √B, C a CountSketch, whose columns have one ±1 each.
///
/// E SᴴS = I. B is 4 d at least where x is that long: then also of d/4 vectors that are zero but in
/// the same d/4 places, the transform leaves multiples for C to keep apart. A product reads x once
/// and costs about a fifth of a SparseStack's; it allocates nothing.
template <Field T>
class VectorSketch {
 public:
  /// Makes room; a smaller sketch later needs no other.
  void prepare(Index d, Index n) {
    d_ = d;
    n_ = n;
    block_ = std::min(power_of_two(n), std::max(kBlock, power_of_two(4 * d)));
    blocks_ = (n + block_ - 1) / block_;
    parts_ = std::clamp<Index>(blocks_, 1, kParts);
    stride_ = kNumbers * (block_ + d_);
    const auto bytes = static_cast<std::size_t>(parts_ * stride_) * sizeof(double);
    if (bytes > bytes_) {
      memory_.reset();
      memory_ = host_memory::allocate(bytes);
      bytes_ = bytes;
    }
  }
  /// Another S of the same shape.
  void draw(std::uint64_t seed) { seed_ = seed; }
  std::size_t bytes() const { return bytes_; }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    threads::for_each_part(parts_, kCost * n_, [&](Index part) {
      double* const sums = memory(part);
      std::fill_n(sums, kNumbers * d_, 0.0);
      for (Index b = blocks_ * part / parts_; b < blocks_ * (part + 1) / parts_; ++b) {
        add_block(x, b, reinterpret_cast<T*>(sums + kNumbers * d_), sums);
      }
    });
    // Always in the same order, whichever thread made a part.
    double* const total = memory(0);
    for (Index p = 1; p < parts_; ++p) {
      const double* const more = memory(p);
      for (Index i = 0; i < kNumbers * d_; ++i) total[i] += more[i];
    }
    const double scale = 1.0 / std::sqrt(static_cast<double>(block_));
    for (Index i = 0; i < d_; ++i) {
      if constexpr (ComplexField<T>) {
        y[i] = static_cast<T>(std::complex<double>{scale * total[2 * i], scale * total[2 * i + 1]});
      } else {
        y[i] = static_cast<T>(scale * total[i]);
      }
    }
  }

 private:
  static constexpr Index kNumbers = ComplexField<T> ? 2 : 1;
  static constexpr Index kBlock = 4096;  // stays in a first-level cache
  static constexpr Index kParts = 64;
  static constexpr Index kCost = 8;  // passes over x that take as long
  static constexpr Index kChunk = 512;
  static constexpr std::uint64_t kPurpose = std::uint64_t{0x26} << 56;

  double* memory(Index part) const { return static_cast<double*>(memory_.get()) + part * stride_; }
  /// sums += C H D x for block b, by way of z.
  void add_block(VectorView<const T> x, Index b, T* z, double* sums) const {
    const auto& table = kernels::tables(kernels::default_isa()).template of<T>();
    const Index first = b * block_, count = std::min(block_, n_ - first);
    table.random_signs({seed_, kPurpose}, first, count, z);
    table.multiply(count, z, &x[first], z);
    std::fill(z + count, z + block_, T{});
    table.hadamard(block_, 1, z);
    std::array<Index, kChunk> entries;
    for (Index i = 0; i < block_; i += kChunk) {
      const Index some = std::min(kChunk, block_ - i);
      random_rows(table, {seed_, kPurpose | 1}, first + i, some, d_, 0, entries.data());
      table.scatter_rows(some, 1, entries.data(), kChunk, kNumbers,
                         reinterpret_cast<const RealOf<T>*>(z + i), kNumbers, sums);
    }
  }

  Index d_ = 0, n_ = 0, block_ = 1, blocks_ = 0, parts_ = 1, stride_ = 0;
  std::uint64_t seed_ = 0;
  std::size_t bytes_ = 0;
  std::shared_ptr<void> memory_;
};

}  // namespace ritz
