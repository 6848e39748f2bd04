// SparseStack: ζ CountSketches one below the other.
//
// Kane, Nelson: Sparser Johnson-Lindenstrauss transforms. J. ACM 61, 2014 (the block construction).
// Charikar, Chen, Farach-Colton: Finding frequent items in data streams. ICALP, 2002 (ζ = 1).
#pragma once

#include "ritz/sketch/random_rows.hpp"
#include "ritz/sketch/sparse_products.hpp"

namespace ritz {

/// S of d × m whose rows are cut into ζ blocks, of which the first d mod ζ have one row more: each
/// column has one ±1/√ζ in every block, at a row h_t(j) of it, and the sign is drawn by itself.
///
/// E ‖S x‖⁴ − ‖x‖⁴ = 2/ζ² Σ_t (‖x‖⁴ − Σ x_j⁴)/d_t for real x, d_t the heights of the blocks.
/// Column j is a function of (seed, d, ζ, j): a sketch over fewer coordinates consists of the first
/// columns of one over more.
template <Field T>
class SparseStack : public SparseProducts<SparseStack<T>, T> {
 public:
  static constexpr bool kDisjoint = true;

  /// More nonzeros than rows are as many as rows. Throws InvalidArgument unless d, m, nnz ≥ 1.
  SparseStack(Index d, Index m, std::uint64_t seed, Index nnz = 8, Isa isa = kernels::default_isa())
      : SparseProducts<SparseStack, T>(d, m, nnz, isa),
        seed_(seed),
        short_(d / this->nnz()),
        longer_(d % this->nnz()) {}

  /// The rows and signs of the elements t … t + heads − 1 of columns j … j + count − 1.
  void entries(Index j, Index count, Index t, Index heads, Index* out, Index ld) const {
    for (Index l = 0; l < heads; ++l, ++t, out += ld) {
      const Index height = short_ + (t < longer_ ? 1 : 0);
      const Index start = t * short_ + std::min(t, longer_);
      const RandomKey key{seed_, std::uint64_t{0x12} << 56 | static_cast<std::uint64_t>(t)};
      random_rows(this->kernels(), key, j, count, height, start, out);
    }
  }

 private:
  std::uint64_t seed_;
  Index short_, longer_;
};

/// One ±1 in every column.
template <Field T>
class CountSketch : public SparseStack<T> {
 public:
  CountSketch(Index d, Index m, std::uint64_t seed) : SparseStack<T>(d, m, seed, 1) {}
};

}  // namespace ritz
