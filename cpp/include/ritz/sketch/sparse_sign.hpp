// SparseSign: columns of ζ random signs in ζ distinct random rows.
//
// Nelson, Nguyễn: OSNAP: faster numerical linear algebra algorithms via sparser subspace
// embeddings. FOCS, 2013. Tropp, Yurtsever, Udell, Cevher: Streaming low-rank matrix approximation
// with an application to scientific simulation. SIAM J. Sci. Comput. 41, 2019.
// Bentley, Floyd: Programming pearls: a sample of brilliance. Commun. ACM 30, 1987 (the rows).
#pragma once

#include "ritz/sketch/random_rows.hpp"
#include "ritz/sketch/sparse_products.hpp"

namespace ritz {

/// S of d × m, each column with ±1/√ζ in ζ of its d rows, all choices of rows alike.
///
/// E ‖S x‖⁴ − ‖x‖⁴ = 2/d (‖x‖⁴ − Σ x_j⁴) for real x. Column j is a function of (seed, d, ζ, j).
/// Making a column takes ζ²/2 comparisons.
template <Field T>
class SparseSign : public SparseProducts<SparseSign<T>, T> {
 public:
  static constexpr bool kDisjoint = false;
  /// Above this dense random signs cost less.
  static constexpr Index kMaxNonzeros = 512;

  /// More nonzeros than rows are as many as rows. Throws InvalidArgument unless d, m, nnz ≥ 1 and
  /// nnz ≤ kMaxNonzeros.
  SparseSign(Index d, Index m, std::uint64_t seed, Index nnz = 8, Isa isa = kernels::default_isa())
      : SparseProducts<SparseSign, T>(d, m, nnz, isa), seed_(seed) {
    if (this->nnz() > kMaxNonzeros) {
      throw InvalidArgument("nnz is " + std::to_string(nnz) + "; pass at most " +
                            std::to_string(kMaxNonzeros) + ", or use dense random signs");
    }
  }

  /// The rows and signs of the elements t … t + heads − 1 of columns j … j + count − 1; as there
  /// are at most kMaxNonzeros, t is 0 and heads all of them.
  void entries(Index j, Index count, Index, Index heads, Index* out, Index ld) const {
    for (Index t = 0; t < heads; ++t) {
      // Floyd's: a row of the first d − ζ + t + 1, or the last of those if it is taken.
      const Index last = this->rows() - heads + t;
      Index* const drawn = out + t * ld;
      const RandomKey key{seed_, std::uint64_t{0x13} << 56 | static_cast<std::uint64_t>(t)};
      random_rows(this->kernels(), key, j, count, last + 1, 0, drawn);
      for (Index k = 0; k < count; ++k) {
        bool taken = false;
        for (Index s = 0; s < t; ++s) taken |= (out[s * ld + k] ^ drawn[k]) <= 1;
        if (taken) drawn[k] = last << 1 | (drawn[k] & 1);
      }
    }
  }

 private:
  std::uint64_t seed_;
};

}  // namespace ritz
