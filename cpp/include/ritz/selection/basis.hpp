// An orthonormal basis of the range of a tall matrix, from which rows are scored and drawn.
//
// Demmel, Grigori, Hoemmen, Langou: Communication-optimal parallel and sequential QR and LU
// factorizations. SIAM J. Sci. Comput. 34, 2012.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/view.hpp"
#include "ritz/dense/small_matrix.hpp"
#include "ritz/selection/watch.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz::selection {

/// Rows that one part of a loop over all rows takes: their running sums stay in the first-level
/// cache, and the cut depends on the sizes alone.
inline constexpr Index kPiece = 512;

/// use(first, count) for all pieces of m rows, on all threads where m × `width` elements warrant
/// it.
template <class Use>
void for_each_piece(Index m, Index width, Look look, const Use& use) {
  for_each_part((m + kPiece - 1) / kPiece, m * std::max<Index>(width, 1), look,
                [&](Index part) { use(part * kPiece, std::min(kPiece, m - part * kPiece)); });
}

inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// |a| to a factor of two; NaN where a part is.
template <Field T>
double magnitude(T a) {
  if constexpr (ComplexField<T>) {
    return std::abs(static_cast<double>(a.real())) + std::abs(static_cast<double>(a.imag()));
  } else {
    return std::abs(static_cast<double>(a));
  }
}

/// Powers of two d with every column of A diag(d) of norm about one, and one for a zero column: no
/// later decision depends on the units of a column. Throws InvalidArgument if A, called `name`, has
/// an element that is not finite.
template <Field T>
std::vector<double> column_scales(MatrixView<const T> A, Look look = {}, const char* name = "A") {
  const Index m = A.rows, n = A.cols, pieces = (m + kPiece - 1) / kPiece;
  SmallMatrix<double> partial(n, pieces);
  std::vector<double> largest(at(n)), scales(at(n), 1.0);
  const auto reduce = [&](const auto& add) {
    std::fill(partial.data.begin(), partial.data.end(), 0.0);
    const bool by_rows = std::abs(A.col_stride) < std::abs(A.row_stride);
    for_each_piece(m, n, look, [&](Index first, Index count) {
      double* to = &partial.data[at(first / kPiece * n)];
      if (by_rows) {
        for (Index i = first; i < first + count; ++i) {
          for (Index j = 0; j < n; ++j) add(to[j], magnitude(A(i, j)), j);
        }
      } else {
        for (Index j = 0; j < n; ++j) {
          for (Index i = first; i < first + count; ++i) add(to[j], magnitude(A(i, j)), j);
        }
      }
    });
  };
  // A NaN must not get lost in a comparison.
  reduce([](double& to, double a, Index) { to = a <= to || std::isnan(to) ? to : a; });
  for (Index p = 0; p < pieces; ++p) {
    for (Index j = 0; j < n; ++j) {
      const double a = partial(j, p);
      if (!std::isfinite(a)) {
        throw InvalidArgument(std::string(name) + " holds a NaN or an infinity in column " +
                              std::to_string(j) + "; pass finite numbers");
      }
      largest[at(j)] = std::max(largest[at(j)], a);
    }
  }
  reduce([&](double& to, double a, Index j) {
    const double x = a / largest[at(j)];
    to += x * x;
  });
  for (Index j = 0; j < n; ++j) {
    if (largest[at(j)] == 0.0) continue;
    double sum = 0.0;
    for (Index p = 0; p < pieces; ++p) sum += partial(j, p);
    const int exponent = std::ilogb(largest[at(j)]) + std::ilogb(std::sqrt(sum));
    scales[at(j)] = std::ldexp(1.0, std::clamp(-exponent, -1022, 1023));
  }
  return scales;
}

/// to = rows first … of A diag(scales), in double precision.
template <Field T>
void copy_rows(MatrixView<const T> A, const std::vector<double>& scales, Index first,
               BlockView<WideOf<T>> to) {
  for (Index j = 0; j < to.cols; ++j) {
    for (Index i = 0; i < to.rows; ++i) {
      to(i, j) = static_cast<WideOf<T>>(A(first + i, j)) * scales[at(j)];
    }
  }
}

/// A diag(scales) = Q R for a matrix whose columns are given in units of their own.
template <class W>
struct Basis {
  Index rows = 0, cols = 0, rank = 0;
  std::vector<double> scales;
  std::vector<W> q;  ///< rows × rank by columns, orthonormal
  SmallMatrix<W> r;  ///< min(rows, cols) × cols, upper triangular, of all columns

  BlockView<const W> Q() const { return {q.data(), rows, rank, rows}; }
};

namespace detail {

/// Q (m × n) becomes orthonormal in its first min(m, n) columns; returns R. Panels of rows are
/// factored on their own, and then their triangles, so that threads share the work.
template <class W>
SmallMatrix<W> tall_qr(BlockView<W> Q, Look look) {
  const Index m = Q.rows, n = Q.cols;
  const Index height = std::max<Index>(8 * n, 2048), panels = std::max<Index>(m / height, 1);
  const auto panel = [&](Index p) {
    const Index first = p * height, count = p + 1 == panels ? m - first : height;
    return BlockView<W>{Q.data + first, count, n, Q.ld};
  };
  SmallMatrix<W> R(std::min(m, n), n);
  if (panels == 1) {
    dense::qr(Q, R.view());
    return R;
  }
  SmallMatrix<W> stack(panels * n, n);
  const auto triangle = [&](Index p) {
    return BlockView<W>{stack.data.data() + p * n, n, n, stack.rows};
  };
  for_each_part(panels, m * n, look, [&](Index p) { dense::qr(panel(p), triangle(p)); });
  dense::qr(stack.view(), R.view());
  for_each_part(panels, m * n, look, [&](Index p) {
    const BlockView<W> to = panel(p);
    const SmallMatrix<W> copy = [&] {
      SmallMatrix<W> c(to.rows, n);
      for (Index j = 0; j < n; ++j) std::copy_n(to.column(j).data, to.rows, &c(0, j));
      return c;
    }();
    dense::multiply<W>(copy.view(), triangle(p), to);
  });
  return R;
}

/// Q = Q U for a U of Q.cols × r, in place; the first r columns remain.
template <class W>
void rotate(BlockView<W> Q, BlockView<const W> U, Look look) {
  for_each_piece(Q.rows, Q.cols * U.cols, look, [&](Index first, Index count) {
    SmallMatrix<W> copy(count, Q.cols);
    for (Index j = 0; j < Q.cols; ++j) std::copy_n(&Q(first, j), count, &copy(0, j));
    dense::multiply<W>(copy.view(), U, {&Q(first, 0), count, U.cols, Q.ld});
  });
}

/// The number of |R_ii| above tol |R_00| when columns are pivoted; U becomes the left factor.
template <class W>
Index pivoted_rank(const SmallMatrix<W>& R, double tol, SmallMatrix<W>& U,
                   std::vector<Index>& order) {
  const Index k = R.rows, n = R.cols;
  SmallMatrix<W> work = R, triangle(k, n);
  order.resize(at(n));
  dense::qr_pivoted<W>(work.view(), triangle.view(), order);
  U = SmallMatrix<W>(k, k);
  std::copy_n(work.data.begin(), k * k, U.data.begin());
  Index rank = 0;
  while (rank < k && std::abs(triangle(rank, rank)) > tol * std::abs(triangle(0, 0))) ++rank;
  return rank;
}

}  // namespace detail

/// The threshold for ranks: what rounding leaves of a column that depends on the others.
template <Field T>
double rank_tolerance(Index m, Index n, double rtol) {
  const double eps = std::numeric_limits<RealOf<T>>::epsilon();
  return rtol > 0.0 ? rtol : eps * static_cast<double>(std::max(m, n));
}

/// An orthonormal basis of the range of A, after its columns were scaled to about norm one: `rank`
/// counts the diagonal elements of the pivoted R above `rtol` times the largest, by default
/// max(m, n) eps. 6 m n² flops, 8 m n² below full rank; memory for m n numbers in double
/// precision. Throws InvalidArgument for elements that are not finite.
template <Field T>
Basis<WideOf<T>> orthonormal_basis(MatrixView<const T> A, double rtol = 0.0, Look look = {},
                                   const char* name = "A") {
  using W = WideOf<T>;
  const Index m = A.rows, n = A.cols;
  Basis<W> basis{m, n, 0, column_scales(A, look, name), std::vector<W>(at(m * n)), {}};
  const BlockView<W> Q{basis.q.data(), m, n, m};
  for_each_piece(m, n, look, [&](Index first, Index count) {
    copy_rows(A, basis.scales, first, BlockView<W>{Q.data + first, count, n, m});
  });
  basis.r = detail::tall_qr(Q, look);
  if (look) look();
  SmallMatrix<W> U;
  std::vector<Index> order;
  basis.rank = detail::pivoted_rank(basis.r, rank_tolerance<T>(m, n, rtol), U, order);
  if (basis.rank < basis.r.rows) {
    detail::rotate<W>({Q.data, m, basis.r.rows, m}, U.view().columns(0, basis.rank), look);
  }
  basis.q.resize(at(m * basis.rank));
  return basis;
}

/// The basis of an A that must have full column rank, or an error that says so.
template <Field T>
Basis<WideOf<T>> full_rank_basis(MatrixView<const T> A, double rtol, Look look, const char* why) {
  auto basis = orthonormal_basis(A, rtol, look);
  if (basis.rank < A.cols) {
    throw InvalidArgument("A has numerical rank " + std::to_string(basis.rank) + " with " +
                          std::to_string(A.cols) + " columns; " + why +
                          " needs independent columns: drop some, or pass an orthonormal basis "
                          "of the range");
  }
  return basis;
}

/// norms[i] = ‖row i of V‖².
template <class W>
void row_norms2(BlockView<const W> V, double* norms, Look look = {}) {
  for_each_piece(V.rows, V.cols, look, [&](Index first, Index count) {
    std::fill_n(norms + first, count, 0.0);
    for (Index j = 0; j < V.cols; ++j) {
      const W* v = V.column(j).data + first;
      for (Index i = 0; i < count; ++i) norms[first + i] += std::norm(v[i]);
    }
  });
}

/// c = V conj(w) for rows first …, by the kernels of this processor.
template <class W>
void times_conjugate(BlockView<const W> V, Index first, Index count, const W* w, W* c) {
  const auto& kernels = kernels::tables(kernels::default_isa()).template of<W>();
  std::fill_n(c, count, W{});
  W h[kernels::kPanelColumns];
  for (Index j = 0; j < V.cols; j += kernels::kPanelColumns) {
    const Index cols = std::min(kernels::kPanelColumns, V.cols - j);
    for (Index k = 0; k < cols; ++k) h[k] = conjugate(w[j + k]);
    kernels.add_columns(count, cols, V.data + first + j * V.ld, V.ld, h, c);
  }
}

}  // namespace ritz::selection
