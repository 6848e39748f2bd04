// Products of sketches with ζ elements ±1/√ζ in every column.
//
// Every element of a product is summed in double precision over the columns of S in rising order.
// So it has the same bits for any layout, number of threads and instruction set level, and for
// sparse matrices with sorted indices the same as for dense ones.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "ritz/sketch/sparse_columns.hpp"
#include "ritz/space/host_memory.hpp"

namespace ritz {

/// S A takes 2 ζ m n flops, reads A once and makes the ζ m elements of S anew for every 256 numbers
/// of a row of A, 0.5 ns each. Memory: d n doubles beside the result. Sᴴ A costs as much, and a
/// copy of an A that is not stored by rows.
template <class Derived, Field T>
class SparseProducts : public SparseColumns<Derived, T> {
 public:
  using SparseColumns<Derived, T>::rows, SparseColumns<Derived, T>::cols,
      SparseColumns<Derived, T>::nnz;

  /// Y = S A.
  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    const Index width = kParts * A.cols, tiles = (width + kTile - 1) / kTile;
    const Index group = tiles_at_once(tiles), groups = (tiles + group - 1) / group;
    const Index shares = row_shares(groups);
    const auto memory = zeros(rows() * width);
    double* const sums = static_cast<double*>(memory.get());
    threads::for_each_part(groups * shares, nnz() * cols() * A.cols, [&](Index part) {
      const Index c = part / shares * group * kTile, last = std::min(width, c + group * kTile);
      const Index t = nnz() * (part % shares) / shares;
      const Index end = nnz() * (part % shares + 1) / shares;
      each_chunk(0, cols(), t, end, [&](Index j, Index count, Index heads, const Index* entries) {
        for (Index k = c; k < last; k += kTile) {
          scatter(A, j, count, heads, entries, k, std::min(kTile, width - k), sums + rows() * k);
        }
      });
    });
    threads::for_each_part(tiles, rows() * A.cols, [&](Index tile) {
      const Index c = tile * kTile, tile_width = std::min(kTile, width - c);
      store(sums + rows() * c, tile_width, Y.part(0, c / kParts, rows(), tile_width / kParts));
    });
  }

  /// Y = Sᴴ A.
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    if (A.col_stride != 1 && A.cols > 1) {
      const auto memory =
          host_memory::allocate(static_cast<std::size_t>(rows() * A.cols) * sizeof(T));
      const MatrixView<T> copy{static_cast<T*>(memory.get()), rows(), A.cols, A.cols, 1};
      for (Index j = 0; j < A.cols; ++j) {
        for (Index i = 0; i < rows(); ++i) copy(i, j) = A(i, j);
      }
      return apply_adjoint_matrix(copy, Y);
    }
    const Index step = chunk();
    threads::for_each_part((cols() + step - 1) / step, nnz() * cols() * A.cols, [&](Index part) {
      const Index first = part * step, count = std::min(step, cols() - first);
      const auto add = [&](Index k, Index some, Index c, Index width, Index heads,
                           const Index* entries, double* sums) {
        kernels().gather_rows(some, heads, entries + k, step, width,
                              reinterpret_cast<const Real*>(A.data) + c, kParts * A.row_stride,
                              sums);
      };
      const MatrixView<T> result = Y.part(first, 0, count, Y.cols);
      if (nnz() <= heads_at_once()) {
        each_chunk(first, count, 0, nnz(), [&](Index, Index, Index heads, const Index* entries) {
          each_sum(result, [&](Index k, Index some, Index c, Index width, double* sums) {
            add(k, some, c, width, heads, entries, sums);
          });
        });
        return;
      }
      each_sum(result, [&](Index k, Index some, Index c, Index width, double* sums) {
        each_chunk(first, count, 0, nnz(), [&](Index, Index, Index heads, const Index* entries) {
          add(k, some, c, width, heads, entries, sums);
        });
      });
    });
  }

  /// Y = S A for an A compressed by rows.
  template <std::signed_integral I>
  void apply_csr(const CompressedRows<T, I>& A, MatrixView<T> Y) const {
    const Index width = kParts * A.cols, shares = row_shares(1);
    const auto memory = zeros(rows() * width);
    double* const sums = static_cast<double*>(memory.get());
    threads::for_each_part(shares, nnz() * A.entries(), [&](Index share) {
      const Index t = nnz() * share / shares, end = nnz() * (share + 1) / shares;
      const Index step = chunk();
      each_chunk(0, cols(), t, end, [&](Index j, Index count, Index heads, const Index* entries) {
        for (Index k = 0; k < count; ++k) {
          const I* const indptr = A.indptr + j + k;
          for (Index h = 0; h < heads; ++h) {
            const Index entry = entries[h * step + k];
            double* const y = sums + (entry >> 1) * width;
            for (I e = indptr[0]; e < indptr[1]; ++e) {
              add(sign(entry), A.values[e], y + kParts * static_cast<Index>(A.indices[e]));
            }
          }
        }
      });
    });
    store(sums, width, Y);
  }

  /// Y = S A for an A compressed by columns, whose transpose is given compressed by rows. Where the
  /// indices of a column do not rise, a copy of A is made.
  template <std::signed_integral I>
  void apply_csc(const CompressedRows<T, I>& transpose, MatrixView<T> Y) const {
    // For few entries only their own columns of S are made, each by itself.
    const bool few = transpose.entries() < cols() / 16;
    if (!few && !rising(transpose)) {
      const TransposedCopy<T, I> A(transpose);
      return apply_csr(A.view(), Y);
    }
    const Index n = transpose.rows, length = kParts * rows();
    const Index parts = std::clamp<Index>(threads::num_threads(), 1, std::max<Index>(n, 1));
    const auto memory = zeros(length * n);
    double* const sums = static_cast<double*>(memory.get());
    std::vector<I> next(transpose.indptr, transpose.indptr + n);
    threads::for_each_part(parts, nnz() * transpose.entries(), [&](Index part) {
      const Index first = n * part / parts, last = n * (part + 1) / parts;
      const auto add_columns = [&](Index j, Index count, Index heads, const Index* entries) {
        for (Index c = first; c < last; ++c) {
          const I end = transpose.indptr[c + 1];
          I& e = next[static_cast<std::size_t>(c)];
          while (e < end && transpose.indices[e] < j) ++e;
          for (I k = e; k < end && transpose.indices[k] < j + count; ++k) {
            add_entry(transpose.values[k], heads, entries + (transpose.indices[k] - j),
                      sums + c * length);
          }
        }
      };
      if (!few) each_chunk(0, cols(), 0, nnz(), add_columns);
      for (Index c = first; c < last; ++c) {
        for (I e = transpose.indptr[c]; few && e < transpose.indptr[c + 1]; ++e) {
          each_chunk(static_cast<Index>(transpose.indices[e]), 1, 0, nnz(),
                     [&](Index, Index, Index heads, const Index* entries) {
                       add_entry(transpose.values[e], heads, entries, sums + c * length);
                     });
        }
        store(sums + c * length, kParts, Y.part(0, c, rows(), 1));
      }
    });
  }

 protected:
  using SparseColumns<Derived, T>::SparseColumns, SparseColumns<Derived, T>::kernels;

 private:
  using Base = SparseColumns<Derived, T>;
  using Real = RealOf<T>;
  using Base::chunk, Base::each_chunk, Base::heads_at_once, Base::scale;
  static constexpr Index kParts = ComplexField<T> ? 2 : 1;
  // Numbers of a row of A that a pass takes: its sums stay in a second-level cache.
  static constexpr Index kTile = 64;
  // Sums of all passes that share the elements of S.
  static constexpr Index kGroupSums = Index{1} << 16;
  // Rows that are copied, or results that are summed, before they leave the first-level cache.
  static constexpr Index kRows = 32;

  static std::shared_ptr<void> zeros(Index count) {
    auto memory = host_memory::allocate(static_cast<std::size_t>(count) * sizeof(double));
    std::fill_n(static_cast<double*>(memory.get()), count, 0.0);
    return memory;
  }

  // Neither the tiles of a group nor the threads that share the elements of a column change the
  // order of any sum.
  Index tiles_at_once(Index tiles) const {
    return std::clamp<Index>(kGroupSums / (kTile * rows()), 1,
                             std::clamp<Index>(tiles / threads::num_threads(), 1, 4));
  }
  Index row_shares(Index parts) const {
    if (!Derived::kDisjoint || parts == 0) return 1;
    return std::clamp<Index>((threads::num_threads() + parts - 1) / parts, 1, nnz());
  }

  /// Adds numbers [c, c + width) of the rows [j, j + count) of A; they are copied first unless they
  /// are one after the other.
  void scatter(MatrixView<const T> A, Index j, Index count, Index heads, const Index* entries,
               Index c, Index width, double* sums) const {
    const Index step = chunk();
    if (A.col_stride == 1 || A.cols == 1) {
      const Real* const a = reinterpret_cast<const Real*>(&A(j, 0)) + c;
      return kernels().scatter_rows(count, heads, entries, step, width, a, kParts * A.row_stride,
                                    sums);
    }
    alignas(64) std::array<T, static_cast<std::size_t>(kRows * kTile / kParts)> copy;
    const Index columns = width / kParts;
    for (Index k = 0; k < count; k += kRows) {
      const Index some = std::min(kRows, count - k);
      for (Index i = 0; i < columns; ++i) {
        const T* const a = &A(j + k, c / kParts + i);
        T* const to = copy.data() + i;
        for (Index l = 0; l < some; l += 8) prefetch(a + (l + 2 * kRows) * A.row_stride);
        for (Index l = 0; l < some; ++l) to[l * columns] = a[l * A.row_stride];
      }
      kernels().scatter_rows(some, heads, entries + k, step, width,
                             reinterpret_cast<const Real*>(copy.data()), width, sums);
    }
  }

  /// Columns are too far apart for the processor to foresee where their next pieces are read.
  static void prefetch([[maybe_unused]] const T* a) {
#if defined(__GNUC__)
    __builtin_prefetch(a);
#endif
  }
  /// add(k, count, c, width, sums) for numbers [c, c + width) of the rows [k, k + count) of Y, then
  /// Y = sums/√ζ.
  template <class Add>
  void each_sum(MatrixView<T> Y, const Add& add) const {
    alignas(64) std::array<double, kRows * kTile> sums;
    for (Index k = 0; k < Y.rows; k += kRows) {
      const Index count = std::min(kRows, Y.rows - k);
      for (Index c = 0; c < kParts * Y.cols; c += kTile) {
        const Index width = std::min(kTile, kParts * Y.cols - c);
        std::fill_n(sums.data(), count * width, 0.0);
        add(k, count, c, width, sums.data());
        store(sums.data(), width, Y.part(k, c / kParts, count, width / kParts));
      }
    }
  }

  static double sign(Index entry) { return (entry & 1) != 0 ? -1.0 : 1.0; }
  static void add(double sign, T a, double* y) {
    if constexpr (ComplexField<T>) {
      y[0] += sign * static_cast<double>(a.real());
      y[1] += sign * static_cast<double>(a.imag());
    } else {
      y[0] += sign * static_cast<double>(a);
    }
  }
  /// Adds a times a column of S to `sums`.
  void add_entry(T a, Index heads, const Index* entries, double* sums) const {
    const Index step = chunk();
    for (Index h = 0; h < heads; ++h) {
      const Index entry = entries[h * step];
      add(sign(entry), a, sums + kParts * (entry >> 1));
    }
  }
  template <std::signed_integral I>
  static bool rising(const CompressedRows<T, I>& A) {
    for (Index i = 0; i < A.rows; ++i) {
      if (!std::is_sorted(A.indices + A.indptr[i], A.indices + A.indptr[i + 1])) return false;
    }
    return true;
  }
  /// Y = sums/√ζ, sums by rows of `width` numbers.
  void store(const double* sums, Index width, MatrixView<T> Y) const {
    for (Index i = 0; i < Y.rows; ++i, sums += width) {
      for (Index j = 0; j < Y.cols; ++j) {
        if constexpr (ComplexField<T>) {
          Y(i, j) = {static_cast<Real>(scale() * sums[2 * j]),
                     static_cast<Real>(scale() * sums[2 * j + 1])};
        } else {
          Y(i, j) = static_cast<Real>(scale() * sums[j]);
        }
      }
    }
  }
};

}  // namespace ritz
