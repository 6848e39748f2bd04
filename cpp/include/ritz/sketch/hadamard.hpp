// The fast Walsh–Hadamard transform, in natural order: H₁ = 1, H₂ₙ = [Hₙ Hₙ; Hₙ −Hₙ], so that
// element (i, j) is (−1)^popcount(i & j) and H² = N.
//
// Fino, Algazi: Unified matrix treatment of the fast Walsh–Hadamard transform. IEEE Trans. Comput.
// C-25, 1976. Butterflies are taken from the lowest bit of the index to the highest, whatever the
// blocking, so that results have the same bits for any number of threads, layout and width.
#pragma once

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// The least power of two that is at least n.
inline Index power_of_two(Index n) {
  constexpr Index kLargest = Index{1} << 62;
  if (n > kLargest) throw InvalidArgument("a length of " + std::to_string(n) + " is too large");
  return static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(std::max(n, Index{1}))));
}

namespace detail {

/// Rows that one thread takes through all low bits: at most an eighth of all, and what the last
/// cache holds. The bits that are left make steps of three.
template <Field T>
Index hadamard_block_rows(Index rows, Index width) {
  const Index row = width * static_cast<Index>(sizeof(T));
  const Index bytes = std::clamp(rows * row / 8, Index{1} << 19, Index{1} << 24);
  Index block = rows;
  for (int left = 0; block > 1 && (block * row > bytes || left % 3 != 0); ++left) block /= 2;
  return block;
}

}  // namespace detail

/// x = H x along the rows of a matrix of `rows` × `width` elements, stored by rows without gaps;
/// `rows` a power of two. fill(first, count) is called before the rows [first, first + count) are
/// read, from several threads at once, so that what makes them need not go through memory.
///
/// rows log₂(rows) width additions; memory is passed over once for the bits inside a cache, and
/// once for each three bits beyond.
template <Field T, class Fill>
void hadamard_transform(Index rows, Index width, T* x, const Fill& fill) {
  const auto& table = kernels::tables(kernels::default_isa()).template of<T>();
  const Index block = detail::hadamard_block_rows<T>(rows, width);
  threads::for_each_part(rows / block, rows * width, [&](Index part) {
    fill(part * block, block);
    table.hadamard(block, width, x + part * block * width);
  });
  constexpr Index kPiece = Index{1} << 14;
  for (Index h = block; h < rows;) {
    const int left = std::countr_zero(static_cast<std::uint64_t>(rows / h));
    const int steps = (left + 2) / 3, bits = (left + steps - 1) / steps;
    const Index run = h * width, group = run << bits;
    const Index pieces = (run + kPiece - 1) / kPiece;
    threads::for_each_part(rows * width / group * pieces, rows * width, [&](Index part) {
      const Index at = part % pieces * kPiece;
      T* const first = x + part / pieces * group + at;
      table.hadamard_step(bits, std::min(kPiece, run - at), run, first);
    });
    h <<= bits;
  }
}

/// out = c H [A; 0] for every column of A (n × width), padded to N rows, N a power of two; `out` is
/// N × width, stored by rows without gaps, and may be where A is.
template <Field T>
void hadamard_padded(MatrixView<const T> A, Index N, RealOf<T> c, T* out) {
  const Index width = A.cols;
  const bool in_place = A.data == out;
  hadamard_transform(N, width, out, [&](Index first, Index count) {
    if (in_place && c == 1) return;
    for (Index i = first; i < first + count; ++i) {
      T* const row = out + i * width;
      if (i >= A.rows) {
        std::fill_n(row, width, T{});
      } else if (A.col_stride == 1) {
        const T* const a = &A(i, 0);
        for (Index j = 0; j < width; ++j) row[j] = c * a[j];
      } else {
        for (Index j = 0; j < width; ++j) row[j] = c * A(i, j);
      }
    }
  });
}

/// X = H X for the columns of a matrix at any strides; its rows are those of X.transposed(). Throws
/// InvalidArgument unless X.rows is a power of two.
template <Field T>
void fwht(MatrixView<T> X) {
  const Index N = X.rows;
  if (N < 1 || power_of_two(N) != N) {
    throw InvalidArgument("a transform of length " + std::to_string(N) +
                          " was asked for; pad to a power of two");
  }
  if (X.cols == 0) return;
  const auto nothing = [](Index, Index) {};
  if (X.cols == 1 ? X.row_stride == 1 : X.col_stride == 1 && X.row_stride == X.cols) {
    return hadamard_transform(N, X.cols, X.data, nothing);
  }
  if (X.row_stride == 1) {
    for (Index j = 0; j < X.cols; ++j) hadamard_transform(N, Index{1}, &X(0, j), nothing);
    return;
  }
  constexpr Index kPanel = 16;
  std::vector<T> panel(static_cast<std::size_t>(N * std::min(kPanel, X.cols)));
  for (Index c = 0; c < X.cols; c += kPanel) {
    const MatrixView<T> part = X.part(0, c, N, std::min(kPanel, X.cols - c));
    hadamard_padded(MatrixView<const T>(part), N, RealOf<T>{1}, panel.data());
    for (Index i = 0; i < N; ++i) {
      for (Index j = 0; j < part.cols; ++j) {
        part(i, j) = panel[static_cast<std::size_t>(i * part.cols + j)];
      }
    }
  }
}
/// x = H x.
template <Field T>
void fwht(VectorView<T> x) {
  fwht(MatrixView<T>(x.data, x.size, 1, 1, x.size));
}

}  // namespace ritz
