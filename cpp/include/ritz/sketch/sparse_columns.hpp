// Sketches with ζ elements ±1/√ζ in every column: how their elements are made.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "ritz/core/threads.hpp"
#include "ritz/sketch/sketch.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// The elements of a sketch which says where those of its columns are:
///
///   entries(j, count, t, heads, out, ld): for the columns j + k, k < count, of S and their
///       elements t + l, l < heads, out[l ld + k] = row · 2 + 1 if the element is negative, row · 2
///       otherwise;
///   kDisjoint: whether elements of different t lie in different rows.
template <class Derived, Field T>
class SparseColumns : public SketchOperator<Derived, T> {
 public:
  Index rows() const { return d_; }
  Index cols() const { return m_; }
  /// Elements in a column.
  Index nnz() const { return nnz_; }

  /// Y = S[i : i + Y.rows, j : j + Y.cols].
  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    this->fill_zero(Y);
    const Index step = chunk();
    const Real one = static_cast<Real>(scale_);
    threads::for_each_part((Y.cols + step - 1) / step, nnz_ * Y.cols, [&](Index part) {
      const Index first = part * step, columns = std::min(step, Y.cols - first);
      each_chunk(j + first, columns, 0, nnz_,
                 [&](Index, Index count, Index heads, const Index* entries) {
                   for (Index t = 0; t < heads; ++t) {
                     for (Index k = 0; k < count; ++k) {
                       const Index entry = entries[t * step + k], row = (entry >> 1) - i;
                       if (row < 0 || row >= Y.rows) continue;
                       Y(row, first + k) = (entry & 1) != 0 ? -one : one;
                     }
                   }
                 });
    });
  }

 protected:
  SparseColumns(Index d, Index m, Index nnz, Isa isa)
      : d_(d), m_(m), nnz_(std::min(nnz, d)), kernels_(&kernels::tables(isa).template of<T>()) {
    check_sketch_shape(d, m);
    if (d > Index{1} << 62) {
      throw InvalidArgument("d is " + std::to_string(d) + "; pass at most 2^62 rows");
    }
    if (nnz < 1) {
      throw InvalidArgument("nnz is " + std::to_string(nnz) +
                            "; pass at least 1 nonzero for each column");
    }
    scale_ = 1.0 / std::sqrt(static_cast<double>(nnz_));
  }
  const kernels::KernelTable<T>& kernels() const { return *kernels_; }
  /// 1/√ζ
  double scale() const { return scale_; }

  /// Columns of S whose elements are made at once: whole groups of counters but where a column has
  /// very many elements.
  Index chunk() const {
    const Index least = 4 * kernels::kRowCounters;
    if (nnz_ * least <= kMaxEntries) return std::min(kChunk, kMaxEntries / nnz_ / least * least);
    return Derived::kDisjoint ? least : kMaxEntries / nnz_;
  }
  Index heads_at_once() const { return kMaxEntries / chunk(); }

  /// use(column, count, heads, entries) for the elements [t, end) of the columns [j, j + columns),
  /// chunk after chunk; the entries of an element are chunk() apart.
  template <class Use>
  void each_chunk(Index j, Index columns, Index t, Index end, const Use& use) const {
    alignas(64) std::array<Index, kMaxEntries> entries;
    const Index step = chunk(), most = heads_at_once();
    for (Index k = 0; k < columns; k += step) {
      const Index count = std::min(step, columns - k);
      for (Index h = t; h < end; h += most) {
        const Index heads = std::min(most, end - h);
        self().entries(j + k, count, h, heads, entries.data(), step);
        use(j + k, count, heads, entries.data());
      }
    }
  }

 private:
  using Real = RealOf<T>;
  // Elements that are made at once, of at most kChunk columns.
  static constexpr Index kMaxEntries = 4096, kChunk = 512;

  const Derived& self() const { return static_cast<const Derived&>(*this); }

  Index d_, m_, nnz_;
  double scale_ = 1.0;
  const kernels::KernelTable<T>* kernels_;
};

}  // namespace ritz
