// Maxvol: n rows of A among which every row of A has coefficients of at most about one.
//
// Goreinov, Oseledets, Savostyanov, Tyrtyshnikov, Zamarashkin: How to find a good submatrix. In:
// Matrix Methods: Theory, Algorithms and Applications, 2010. Mikhalev, Oseledets: Rectangular
// maximum-volume submatrices and their applications. Linear Algebra Appl. 538, 2018.
#pragma once

#include "ritz/selection/leverage.hpp"

namespace ritz::selection {

struct MaxvolOptions {
  /// Converged means max |B_ij| ≤ tol for B = A A_I⁻¹, evaluated; at least 1.
  double tol = 1.05;
  /// Exchanges of rows at most; 0: max(100, 10 n).
  Index max_swaps = 0;
  double rtol = 0.0;
};

template <class W>
struct MaxvolOutcome {
  Status status = Status::max_iterations;
  Index swaps = 0;
  double largest = 0.0;  ///< max |B_ij|, or the largest row norm of B
  std::vector<Index> rows;
  std::vector<W> coefficients;  ///< B = A A_I⁺ by columns
};

namespace detail {

struct Largest {
  double square = -1.0;
  Index row = -1;
};

/// The larger of |x_i|² and best_i becomes best_i.
template <class W>
void raise(const W* x, Index count, double* best) {
  for (Index i = 0; i < count; ++i) {
    const double a = std::norm(x[i]);
    best[i] = a > best[i] ? a : best[i];
  }
}

/// Reduces the largest elements of pieces to the first largest of all.
inline Largest reduce(const std::vector<Largest>& pieces) {
  Largest best;
  for (const Largest& p : pieces) {
    if (p.square > best.square) best = p;
  }
  return best;
}

/// update(first, count, best) changes rows first … and sets best_i to the largest |element|² of row
/// i; returns the largest of all.
template <class Update>
Largest sweep(Index m, Index width, Look look, const Update& update) {
  std::vector<Largest> pieces(at((m + kPiece - 1) / kPiece));
  for_each_piece(m, width, look, [&](Index first, Index count) {
    double best[kPiece];
    std::fill_n(best, count, -1.0);
    update(first, count, best);
    const Index i = std::max_element(best, best + count) - best;
    pieces[at(first / kPiece)] = {best[i], first + i};
  });
  return reduce(pieces);
}

/// The pivot rows of Gaussian elimination with partial pivoting on Q, in their order.
template <class W>
std::vector<Index> pivot_rows(BlockView<const W> Q, Look look = {}) {
  const Index m = Q.rows, n = Q.cols;
  std::vector<W> lower(at(m * n));
  const BlockView<W> L{lower.data(), m, n, m};
  std::vector<Index> rows;
  Pace pace(look);
  for (Index k = 0; k < n; ++k) {
    // Column k of U on top of its pivot, by substitution in the pivot rows; conjugated for the
    // kernel, with the opposite sign.
    std::vector<W> u(at(k));
    for (Index t = 0; t < k; ++t) {
      W sum = Q(rows[at(t)], k);
      for (Index l = 0; l < t; ++l) sum -= L(rows[at(t)], l) * u[at(l)];
      u[at(t)] = sum;
    }
    for (W& a : u) a = conjugate(a);
    const Largest pivot = sweep(m, k + 1, look, [&](Index first, Index count, double* best) {
      W c[kPiece];
      times_conjugate(BlockView<const W>(L).columns(0, k), first, count, u.data(), c);
      for (Index i = 0; i < count; ++i) L(first + i, k) = Q(first + i, k) - c[i];
      for (const Index chosen : rows) {
        if (chosen >= first && chosen < first + count) L(chosen, k) = W{};
      }
      raise(&L(first, k), count, best);
    });
    const W scale = 1.0 / L(pivot.row, k);
    for (Index i = 0; i < m; ++i) L(i, k) *= scale;
    rows.push_back(pivot.row);
    pace(m * (k + 2) + k * k);
  }
  return rows;
}

/// B = Q Q_I⁺ for n or more rows I; returns its largest element.
template <class W>
Largest coefficients(BlockView<const W> Q, const std::vector<Index>& rows, BlockView<W> B,
                     Look look = {}) {
  const Index n = Q.cols, k = std::ssize(rows);
  // Q_I = E R, so that Q_I⁺ = R⁻¹Eᴴ.
  SmallMatrix<W> E(k, n), R(n, n), inverse(n, k);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < k; ++i) E(i, j) = Q(rows[at(i)], j);
  }
  dense::qr(E.view(), R.view());
  for (Index i = 0; i < k; ++i) {
    for (Index j = 0; j < n; ++j) inverse(j, i) = conjugate(E(i, j));
  }
  dense::solve_upper<W>(R.view(), inverse.view());
  return sweep(Q.rows, n * k, look, [&](Index first, Index count, double* best) {
    const BlockView<W> to{B.data + first, count, k, B.ld};
    dense::multiply<W>({Q.data + first, count, n, Q.ld}, std::as_const(inverse).view(), to);
    for (Index j = 0; j < k; ++j) raise(to.column(j).data, count, best);
  });
}

/// Row i takes the place of row I_j: B −= b_j (b_i − e_j)ᵀ / B_ij; returns the new largest element,
/// found in the same pass.
template <class W>
Largest exchange(BlockView<W> B, Index i, Index j, Look look = {}) {
  const auto& kernels = kernels::tables(kernels::default_isa()).template of<W>();
  std::vector<W> factor(at(B.cols));
  for (Index k = 0; k < B.cols; ++k) {
    factor[at(k)] = -(B(i, k) - (k == j ? 1.0 : 0.0)) / B(i, j);
  }
  return sweep(B.rows, B.cols, look, [&](Index first, Index count, double* best) {
    W column[kPiece];
    std::copy_n(&B(first, j), count, column);
    for (Index k = 0; k < B.cols; ++k) {
      kernels.axpby(count, factor[at(k)], column, W{1.0}, &B(first, k));
      raise(&B(first, k), count, best);
    }
  });
}

}  // namespace detail

/// Maxvol on a matrix of orthonormal columns. Of a run that was stopped B is computed anew as well.
template <class W>
MaxvolOutcome<W> exchange_rows(BlockView<const W> Q, const MaxvolOptions& opt,
                               const Watch& watch = {}) {
  const Index m = Q.rows, n = Q.cols;
  MaxvolOutcome<W> out;
  out.rows = detail::pivot_rows(Q, watch.look);
  out.coefficients.resize(at(m * n));
  const BlockView<W> B{out.coefficients.data(), m, n, m};
  // Exchanges that rounding alone asks for would go on for ever.
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  const double tol = std::max(opt.tol, 1.0 + 64.0 * kEps * static_cast<double>(n));
  const Index most = opt.max_swaps > 0 ? opt.max_swaps : std::max<Index>(100, 10 * n);
  detail::Largest largest = detail::coefficients(Q, out.rows, B, watch.look);
  std::optional<Status> stop;
  for (Index stale = 0;;) {
    const bool small = largest.square <= tol * tol;
    if (stale > 0 && (small || stale >= n || out.swaps == most || stop)) {
      largest = detail::coefficients(Q, out.rows, B, watch.look);
      stale = 0;
      continue;
    }
    if (small || out.swaps == most || stop) break;
    Index j = 0;
    for (Index k = 1; k < n; ++k) {
      if (std::norm(B(largest.row, k)) > std::norm(B(largest.row, j))) j = k;
    }
    out.rows[at(j)] = largest.row;
    largest = detail::exchange(B, largest.row, j, watch.look);
    ++out.swaps;
    ++stale;
    stop = watch.check(out.swaps, std::sqrt(largest.square));
  }
  out.largest = std::sqrt(largest.square);
  if (out.largest <= tol) {
    out.status = Status::converged;
  } else if (out.swaps < most) {
    out.status = stop.value_or(Status::max_iterations);
  }
  return out;
}

/// n rows I of A with max |(A A_I⁻¹)_ij| ≤ tol: then |det A_I| is at least 1 / (tol √n)ⁿ of the
/// largest there is, and ‖A_I⁻¹‖ ≤ √(1 + n (m − n) tol²) / σ_min(A). Rows are I_j, in the order of
/// the columns of B.
///
/// Starts with the pivots of an LU factorisation, and exchanges a row for that of the largest
/// element while it exceeds tol: the volume grows by it. 2 m n flops and one pass over B each;
/// every n exchanges, and before it is called converged, B is computed anew, 2 m n² flops. Works on
/// an orthonormal basis of the range, which has the same B. Memory for 3 m n numbers in double
/// precision at first, 2 m n then. Throws InvalidArgument if A has dependent columns.
template <Field T>
MaxvolOutcome<WideOf<T>> maxvol(MatrixView<const T> A, const MaxvolOptions& opt = {},
                                const Watch& watch = {}) {
  return exchange_rows(full_rank_basis(A, opt.rtol, watch.look, "maxvol").Q(), opt, watch);
}

struct RectangularOptions {
  /// Converged means ‖row i of A A_I⁺‖ ≤ tol for all i, evaluated.
  double tol = 1.1;
  /// Rows wanted exactly, at least n; 0: as few as meet the tolerance.
  Index size = 0;
  /// Rows at most; 0: m.
  Index max_size = 0;
  /// Of the first n rows.
  MaxvolOptions square = {};
};

namespace detail {

/// F_i = ‖row i of Q Q_I⁺‖² = q_i M q_iᴴ, M = (Q_IᴴQ_I)⁻¹, from their definitions.
template <class W>
void coefficient_norms(BlockView<const W> Q, const std::vector<Index>& rows, SmallMatrix<W>& M,
                       std::vector<double>& F, Look look = {}) {
  const Index n = Q.cols;
  SmallMatrix<W> part(std::ssize(rows), n), R(n, n), inverse(n, n), adjoint(n, n);
  for (Index k = 0; k < n; ++k) {
    for (Index i = 0; i < part.rows; ++i) part(i, k) = Q(rows[at(i)], k);
    inverse(k, k) = 1.0;
  }
  dense::qr(part.view(), R.view());
  dense::solve_upper<W>(R.view(), inverse.view());
  for (Index k = 0; k < n; ++k) {
    for (Index l = 0; l < n; ++l) adjoint(l, k) = conjugate(inverse(k, l));
  }
  M = SmallMatrix<W>(n, n);
  dense::multiply<W>(inverse.view(), adjoint.view(), M.view());
  for_each_piece(Q.rows, n * n, look, [&](Index first, Index count) {
    SmallMatrix<W> B(count, n);
    dense::multiply<W>({Q.data + first, count, n, Q.ld}, std::as_const(inverse).view(), B.view());
    std::fill_n(&F[at(first)], count, 0.0);
    for (Index k = 0; k < n; ++k) {
      for (Index i = 0; i < count; ++i) F[at(first + i)] += std::norm(B(i, k));
    }
  });
}

/// F and M after row i has joined: by Sherman and Morrison.
template <class W>
void add_row(BlockView<const W> Q, Index i, SmallMatrix<W>& M, std::vector<double>& F,
             Look look = {}) {
  const Index n = Q.cols;
  std::vector<W> g(at(n));  // conj(M q_iᴴ), as the kernel wants it
  for (Index k = 0; k < n; ++k) {
    for (Index l = 0; l < n; ++l) g[at(l)] += conjugate(M(l, k)) * Q(i, k);
  }
  const double scale = 1.0 / (1.0 + F[at(i)]);
  for (Index k = 0; k < n; ++k) {
    for (Index l = 0; l < n; ++l) M(l, k) -= scale * conjugate(g[at(l)]) * g[at(k)];
  }
  for_each_piece(Q.rows, n, look, [&](Index first, Index count) {
    W c[kPiece];
    times_conjugate(Q, first, count, g.data(), c);
    for (Index k = 0; k < count; ++k) {
      double& f = F[at(first + k)];
      f = std::max(f - scale * std::norm(c[k]), 0.0);
    }
  });
}

}  // namespace detail

/// Rows I, n or more, with rows of A A_I⁺ no longer than tol: those of maxvol, and then again and
/// again the row whose coefficients have the largest norm. 2 m n flops a row added, 2 m n² to
/// evaluate what is claimed at the end, and 2 m n k for the coefficients in k rows.
template <Field T>
MaxvolOutcome<WideOf<T>> maxvol_rectangular(MatrixView<const T> A,
                                            const RectangularOptions& opt = {},
                                            const Watch& watch = {}) {
  using W = WideOf<T>;
  const Index m = A.rows;
  const auto basis = full_rank_basis(A, opt.square.rtol, watch.look, "maxvol_rectangular");
  const BlockView<const W> Q = basis.Q();
  MaxvolOutcome<W> out = exchange_rows(Q, opt.square, watch);
  std::optional<Status> stop;
  if (out.status == Status::stopped || out.status == Status::timeout) stop = out.status;
  const Index most = opt.size > 0 ? opt.size : opt.max_size > 0 ? std::min(opt.max_size, m) : m;
  std::vector<char> chosen(at(m), 0);
  for (const Index i : out.rows) chosen[at(i)] = 1;
  SmallMatrix<W> M;
  std::vector<double> F(at(m));
  detail::coefficient_norms(Q, out.rows, M, F, watch.look);
  for (bool fresh = true;;) {
    out.largest = std::sqrt(*std::max_element(F.begin(), F.end()));
    const bool small = out.largest <= opt.tol;
    const Index k = std::ssize(out.rows);
    if (!fresh) stop = watch.check(out.swaps + k - A.cols, out.largest);
    const bool enough = (small && opt.size == 0) || k >= most;
    if ((enough || stop) && fresh) {
      out.status = small && enough ? Status::converged : enough ? Status::max_iterations : *stop;
      out.coefficients.resize(at(m * k));
      detail::coefficients(Q, out.rows, BlockView<W>{out.coefficients.data(), m, k, m}, watch.look);
      return out;
    }
    if (enough || stop) {
      detail::coefficient_norms(Q, out.rows, M, F, watch.look);
      fresh = true;
      continue;
    }
    Index next = -1;
    for (Index i = 0; i < m; ++i) {
      if (!chosen[at(i)] && (next < 0 || F[at(i)] > F[at(next)])) next = i;
    }
    out.rows.push_back(next);
    chosen[at(next)] = 1;
    detail::add_row(Q, next, M, F, watch.look);
    fresh = false;
  }
}

}  // namespace ritz::selection
