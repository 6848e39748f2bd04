#include "ritz/dense/schur.hpp"

#include "dense_map.hpp"

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ritz::dense {

namespace {

using Complex = std::complex<double>;

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr double kTiny = std::numeric_limits<double>::min();

template <class W>
constexpr bool kReal = !Eigen::NumTraits<W>::IsComplex;
template <class W>
using Real = typename Eigen::NumTraits<W>::Real;

/// The rows of the block that begins at row i.
template <class W>
Index block_size(BlockView<const W> T, Index i) {
  if constexpr (kReal<W>) {
    if (i + 1 < T.rows && T(i + 1, i) != 0.0) return 2;
  }
  return 1;
}

/// Where the blocks begin, and the end.
template <class W>
std::vector<Index> block_starts(BlockView<const W> T) {
  std::vector<Index> starts;
  for (Index i = 0; i < T.rows; i += block_size(T, i)) starts.push_back(i);
  starts.push_back(T.rows);
  return starts;
}

/// ((a − d)/2)² + b c: negative if the eigenvalues of (a b; c d) are a conjugate pair.
template <class R>
R discriminant(R a, R b, R c, R d) {
  const R half = (a - d) / 2;
  return half * half + b * c;
}

// The plain loops over matrices of up to four rows keep this file from instantiating Eigen's
// products, which take a minute to compile in these four fields.

template <class W>
W conjugated(W a) {
  if constexpr (kReal<W>) {
    return a;
  } else {
    return std::conj(a);
  }
}

/// A matrix of up to four rows and columns.
template <class W>
struct Tiny {
  Index n;
  W a[16] = {};  // column-major

  W& operator()(Index i, Index j) { return a[i + 4 * j]; }
  const W& operator()(Index i, Index j) const { return a[i + 4 * j]; }
  BlockView<W> view() { return {a, n, n, 4}; }
};

/// Rows [j, j + G.n) of the columns from `first` on become Gᴴ times what they are.
template <class W>
void from_left(const Tiny<W>& G, BlockView<W> T, Index j, Index first) {
  for (Index c = first; c < T.cols; ++c) {
    W x[4] = {};
    for (Index i = 0; i < G.n; ++i) {
      for (Index l = 0; l < G.n; ++l) x[i] += conjugated(G(l, i)) * T(j + l, c);
    }
    std::copy_n(x, G.n, &T(j, c));
  }
}

/// Columns [j, j + G.n) of the first `rows` rows become what they are times G.
template <class W>
void from_right(BlockView<W> T, const Tiny<W>& G, Index j, Index rows) {
  for (Index r = 0; r < rows; ++r) {
    W x[4] = {};
    for (Index i = 0; i < G.n; ++i) {
      for (Index l = 0; l < G.n; ++l) x[i] += T(r, j + l) * G(l, i);
    }
    for (Index i = 0; i < G.n; ++i) T(r, j + i) = x[i];
  }
}

/// T = ZᴴTZ and Q = Q Z, where Z is G in the rows and columns from j on.
template <class W>
void transform(BlockView<W> T, BlockView<W> Q, Index j, const Tiny<W>& G) {
  from_left(G, T, j, j);
  from_right(T, G, j, j + G.n);
  from_right(Q, G, j, Q.rows);
}

/// Makes the block at rows j and j + 1 triangular if its eigenvalues are real.
template <class W>
void split(BlockView<W> T, BlockView<W> Q, Index j) {
  if constexpr (kReal<W>) {
    const W a = T(j, j), b = T(j, j + 1), c = T(j + 1, j), d = T(j + 1, j + 1);
    const W square = discriminant(a, b, c, d);
    if (c == W(0) || square < W(0)) return;
    // λ − d without cancellation; (λ − d, c) is the eigenvector of λ.
    const W half = (a - d) / 2, z = half + std::copysign(std::sqrt(square), half);
    const W length = std::hypot(z, c);
    Tiny<W> G{2};
    G(0, 0) = G(1, 1) = z / length;
    G(1, 0) = c / length;
    G(0, 1) = -c / length;
    transform(T, Q, j, G);
    T(j + 1, j) = W(0);
  }
}

/// Solves K x = b of at most four equations by elimination with complete pivoting; x overwrites b.
/// A pivot of zero counts as rounding.
template <class R>
void solve_small(R (&K)[4][4], R (&b)[4], Index n) {
  Index order[4] = {0, 1, 2, 3};  // of the unknowns
  R largest(0);
  for (Index k = 0; k < n; ++k) {
    Index row = k, col = k;
    for (Index i = k; i < n; ++i) {
      for (Index j = k; j < n; ++j) {
        if (std::abs(K[i][j]) > std::abs(K[row][col])) row = i, col = j;
      }
    }
    std::swap(K[k], K[row]);
    std::swap(b[k], b[row]);
    for (Index i = 0; i < n; ++i) std::swap(K[i][k], K[i][col]);
    std::swap(order[k], order[col]);
    largest = std::max(largest, std::abs(K[k][k]));
    const R least =
        std::max(std::numeric_limits<R>::epsilon() * largest, std::numeric_limits<R>::min());
    if (!(std::abs(K[k][k]) > least)) K[k][k] = least;
    for (Index i = k + 1; i < n; ++i) {
      const R factor = K[i][k] / K[k][k];
      for (Index j = k; j < n; ++j) K[i][j] -= factor * K[k][j];
      b[i] -= factor * b[k];
    }
  }
  R x[4] = {};
  for (Index k = n; k-- > 0;) {
    for (Index j = k + 1; j < n; ++j) b[k] -= K[k][j] * x[order[j]];
    x[order[k]] = b[k] / K[k][k];
  }
  std::copy_n(x, n, b);
}

/// The first `cols` columns of M become orthonormal; the others complete the basis. M has at most
/// four rows, and columns that are far from dependent once the first ones are taken out of them.
template <class W>
void complete_basis(Tiny<W>& M, Index cols) {
  const Index n = M.n;
  for (Index j = 0; j < n; ++j) {
    Index unit = 0;
    if (j >= cols) {  // the unit vector that the columns before leave most of
      Real<W> least(2);
      for (Index i = 0; i < n; ++i) {
        Real<W> taken(0);
        for (Index l = 0; l < j; ++l) taken += std::norm(M(i, l));
        if (taken < least) {
          least = taken;
          unit = i;
        }
      }
      for (Index i = 0; i < n; ++i) M(i, j) = W(i == unit ? 1 : 0);
    }
    for (int pass = 0; pass < 3; ++pass) {
      for (Index l = 0; l < j; ++l) {
        W dot(0);
        for (Index i = 0; i < n; ++i) dot += conjugated(M(i, l)) * M(i, j);
        for (Index i = 0; i < n; ++i) M(i, j) -= dot * M(i, l);
      }
      Real<W> norm(0);
      for (Index i = 0; i < n; ++i) norm = std::hypot(norm, std::abs(M(i, j)));
      for (Index i = 0; i < n; ++i) M(i, j) /= norm;
    }
  }
}

/// The largest modulus in the first `cols` columns of the rows from `first` on.
template <class W>
Real<W> largest_of(const Tiny<W>& M, Index first, Index rows, Index cols) {
  Real<W> largest(0);
  for (Index j = 0; j < cols; ++j) {
    for (Index i = first; i < rows; ++i) largest = std::max(largest, std::abs(M(i, j)));
  }
  return largest;
}

/// An orthonormal basis whose first q columns span the invariant subspace of D = (A B; 0 C) that
/// belongs to C, of q rows: of (X; I) with A X − X C = −B.
template <class W>
Tiny<W> leading_basis(const Tiny<W>& D, Index q) {
  const Index p = D.n - q;
  Tiny<W> M{p + q};
  if (p == 1 && q == 1) {
    M(0, 0) = D(0, 1);  // the division is left out: C may be close to A
    M(1, 0) = D(1, 1) - D(0, 0);
  } else if constexpr (kReal<W>) {
    W K[4][4] = {}, b[4] = {};  // unknown X(i, j) at i + j p
    for (Index j = 0; j < q; ++j) {
      for (Index i = 0; i < p; ++i) {
        b[i + j * p] = -D(i, p + j);
        for (Index l = 0; l < p; ++l) K[i + j * p][l + j * p] += D(i, l);
        for (Index l = 0; l < q; ++l) K[i + j * p][i + l * p] -= D(p + l, p + j);
      }
    }
    solve_small(K, b, p * q);
    for (Index j = 0; j < q; ++j) {
      for (Index i = 0; i < p; ++i) M(i, j) = b[i + j * p];
      M(p + j, j) = W(1);
    }
  }
  const Real<W> largest = largest_of(M, 0, p + q, q);
  if (!(largest > Real<W>(0)) || !std::isfinite(largest)) {
    M = {p + q};
    for (Index i = 0; i < p + q; ++i) M(i, i) = W(1);
    return M;
  }
  for (Index j = 0; j < q; ++j) {
    for (Index i = 0; i < p + q; ++i) M(i, j) /= largest;
  }
  complete_basis(M, q);
  return M;
}

/// Swaps the blocks of p rows at j and of q rows after it; false if that would not be stable.
template <class W>
bool swap_blocks(BlockView<W> T, BlockView<W> Q, Index j, Index p, Index q) {
  const Index n = p + q;
  Tiny<W> D{n};
  for (Index i = 0; i < n; ++i) {
    for (Index l = 0; l < n; ++l) D(i, l) = T(j + i, j + l);
  }
  const Tiny<W> G = leading_basis(D, q);
  Tiny<W> swapped = D;
  from_left(G, swapped.view(), 0, 0);
  from_right(swapped.view(), G, 0, n);
  const Real<W> rounding = 10 * std::numeric_limits<Real<W>>::epsilon() * largest_of(D, 0, n, n);
  if (!(largest_of(swapped, q, n, q) <= rounding)) return false;
  if (p == 1 && q == 1) {
    const W first = T(j, j), second = T(j + 1, j + 1);
    transform(T, Q, j, G);
    T(j, j) = second;
    T(j + 1, j + 1) = first;
    T(j + 1, j) = W{};
    return true;
  }
  transform(T, Q, j, G);
  for (Index c = j; c < j + q; ++c) std::fill_n(&T(j + q, c), p, W(0));
  if (q == 2) split(T, Q, j);
  if (p == 2) split(T, Q, j + q);
  return true;
}

/// Solves the equations of one block of T − λ I in place; a pivot below `least` is replaced by it.
template <class W>
void solve_block(BlockView<const W> T, Index i, Index size, Complex lambda, double least,
                 Complex* x) {
  const auto guarded = [least](Complex pivot) {
    return std::abs(pivot) < least ? Complex(least) : pivot;
  };
  if (size == 1) {
    x[0] /= guarded(Complex(T(i, i)) - lambda);
    return;
  }
  Complex a = Complex(T(i, i)) - lambda, b = T(i, i + 1), c = T(i + 1, i),
          d = Complex(T(i + 1, i + 1)) - lambda;
  if (std::abs(c) > std::abs(a)) {
    std::swap(a, c);
    std::swap(b, d);
    std::swap(x[0], x[1]);
  }
  a = guarded(a);
  const Complex factor = c / a;
  x[1] = (x[1] - factor * x[0]) / guarded(d - factor * b);
  x[0] = (x[0] - b * x[1]) / a;
}

/// The eigenvector of the block at row j that belongs to λ, in the elements above its end.
template <class W>
void eigenvector(BlockView<const W> T, const std::vector<Index>& starts, std::size_t block,
                 Complex lambda, double least, Complex* x) {
  constexpr double kLarge = 1e100;
  const Index j = starts[block], end = starts[block + 1];
  std::fill(x, x + T.rows, Complex{});
  if (end - j == 1) {
    x[j] = 1.0;
  } else {  // of (T_jj − λ) the larger row is the safer one
    const Complex a = Complex(T(j, j)) - lambda, d = Complex(T(j + 1, j + 1)) - lambda;
    const Complex b = T(j, j + 1), c = T(j + 1, j);
    const double scale = std::max(std::abs(b), std::abs(c));
    if (std::abs(b) >= std::abs(c)) {
      x[j] = b / scale;
      x[j + 1] = -a / scale;
    } else {
      x[j] = -d / scale;
      x[j + 1] = c / scale;
    }
  }
  for (std::size_t above = block; above-- > 0;) {
    const Index i = starts[above], next = starts[above + 1];
    for (Index row = i; row < next; ++row) {
      Complex sum{};
      for (Index l = next; l < end; ++l) sum -= Complex(T(row, l)) * x[l];
      x[row] = sum;
    }
    solve_block(T, i, next - i, lambda, least, x + i);
    double largest = 0.0;
    for (Index row = i; row < next; ++row) largest = std::max(largest, std::abs(x[row]));
    if (largest > kLarge) {
      for (Index l = i; l < end; ++l) x[l] /= largest;
    }
  }
  double norm = 0.0;
  for (Index l = 0; l < end; ++l) norm = std::hypot(norm, std::abs(x[l]));
  for (Index l = 0; l < end; ++l) x[l] /= norm;
}

/// The eigenvalues of the block at row i: one, or the member of a pair in the upper half plane.
template <class W>
Complex value_of_block(BlockView<const W> T, Index i) {
  if constexpr (kReal<W>) {
    if (block_size(T, i) == 2) {
      const W a = T(i, i), d = T(i + 1, i + 1);
      const W square = discriminant(a, T(i, i + 1), T(i + 1, i), d);
      return {static_cast<double>((a + d) / 2), static_cast<double>(std::sqrt(-square))};
    }
    return static_cast<double>(T(i, i));
  } else {
    return static_cast<Complex>(T(i, i));
  }
}

/// Moves the block that begins at row `from` up to row `to`, where a block begins; the row that it
/// reached. It stops short where two blocks are too close to be swapped with a small backward
/// error: then their order means nothing.
template <class W>
Index move_block(BlockView<W> T, BlockView<W> Q, Index from, Index to) {
  while (from > to) {
    Index before = from - 1;
    if (before > to && block_size<W>(T, before - 1) == 2) --before;
    if (!swap_blocks(T, Q, before, from - before, block_size<W>(T, from))) return from;
    from = before;
  }
  return from;
}

/// The Schur form of A in units of its largest element, in ascending order of the keys.
template <class W, class Key>
bool ordered_schur(BlockView<W> A, BlockView<W> Q, const Key& key) {
  using Solver =
      std::conditional_t<kReal<W>, Eigen::RealSchur<Matrix<W>>, Eigen::ComplexSchur<Matrix<W>>>;
  auto a = map(A);
  const Solver solver((Matrix<W>(a)));
  if (solver.info() != Eigen::Success) return false;
  a = solver.matrixT();
  map(Q) = solver.matrixU();
  for (Index j = 0; j < A.rows; ++j) {
    for (Index i = j + (kReal<W> ? 2 : 1); i < A.rows; ++i) A(i, j) = W(0);
  }
  for (Index j = 0; j + 1 < A.rows; ++j) split(A, Q, j);
  for (Index to = 0; to < A.rows; to += block_size<W>(A, to)) {
    Index best = to;
    double least = key(value_of_block<W>(A, to));
    for (Index i = to + block_size<W>(A, to); i < A.rows; i += block_size<W>(A, i)) {
      const double here = key(value_of_block<W>(A, i));
      if (here < least) {
        best = i;
        least = here;
      }
    }
    // Of two blocks that cannot be swapped, being equal to rounding, the first goes first.
    for (Index reached = move_block(A, Q, best, to); reached > to;) {
      Index before = reached - 1;
      if (before > to && block_size<W>(A, before - 1) == 2) --before;
      reached = move_block(A, Q, before, to);
    }
  }
  return true;
}

/// b = factor · a, element by element in another precision.
template <class From, class To>
void convert(const Matrix<From>& a, double factor, BlockView<To> b) {
  map(b) = (a * From(static_cast<Real<From>>(factor))).template cast<To>();
}

/// The same in the arithmetic of L.
template <class L, class W, class Key>
bool ordered_schur_in(BlockView<W> A, BlockView<W> Q, double scale, const Key& key) {
  const Index n = A.rows;
  Matrix<L> T = map(A).template cast<L>() * L(static_cast<Real<L>>(scale)), U(n, n);
  const auto unscaled = [&](Complex value) { return key(value / scale); };
  if (!ordered_schur(BlockView<L>{T.data(), n, n, n}, BlockView<L>{U.data(), n, n, n}, unscaled)) {
    return false;
  }
  convert(T, 1.0, A);
  convert(U, 1.0, Q);
  for (Index j = 0; j + 1 < n; ++j) split(A, Q, j);  // rounding can make a pair real
  map(A) /= scale;
  return true;
}

template <class W>
struct Extended {
  using Type = long double;
};
template <>
struct Extended<Complex> {
  using Type = std::complex<long double>;
};

}  // namespace

template <class W>
bool schur(BlockView<W> A, BlockView<W> Q, function_ref<double(Complex)> key, bool extended) {
  const double largest = A.rows > 0 ? map(A).cwiseAbs().maxCoeff() : 0.0;
  if (!map(A).allFinite()) return false;
  if (largest == 0.0) {
    map(Q).setIdentity();
    return true;
  }
  const double scale = std::ldexp(1.0, -std::ilogb(largest));  // a power of two: exact
  return extended ? ordered_schur_in<typename Extended<W>::Type>(A, Q, scale, key)
                  : ordered_schur_in<W>(A, Q, scale, key);
}

template <class W>
void schur_values(BlockView<const W> T, std::span<Complex> values) {
  for (Index i = 0; i < T.rows; i += block_size(T, i)) {
    const auto at = static_cast<std::size_t>(i);
    values[at] = value_of_block(T, i);
    if (block_size(T, i) == 2) values[at + 1] = std::conj(values[at]);
  }
}

template <class W>
void schur_vectors(BlockView<const W> T, BlockView<Complex> X) {
  if (T.rows == 0) return;
  const double least = std::max(kEps * map(T).cwiseAbs().maxCoeff(), kTiny);
  std::vector<Complex> values(static_cast<std::size_t>(T.rows));
  schur_values(T, std::span(values));
  const auto starts = block_starts(T);
  for (std::size_t block = 0; block + 1 < starts.size(); ++block) {
    const Index j = starts[block];
    eigenvector(T, starts, block, values[static_cast<std::size_t>(j)], least, X.column(j).data);
    if (starts[block + 1] - j == 2) {
      for (Index i = 0; i < T.rows; ++i) X(i, j + 1) = std::conj(X(i, j));
    }
  }
}

template <class W>
void schur_conditions(BlockView<const W> T, std::span<double> conditions) {
  const Index n = T.rows;
  // Reversed both ways, Tᴴ is a Schur form again, and its eigenvectors are the left ones of T.
  const Matrix<W> reversed = map(T).adjoint().reverse();
  Matrix<Complex> X(n, n), Y(n, n);
  schur_vectors(T, BlockView<Complex>{X.data(), n, n, n});
  schur_vectors(BlockView<const W>{reversed.data(), n, n, n},
                BlockView<Complex>{Y.data(), n, n, n});
  for (Index j = 0; j < n; ++j) {
    // The reversal exchanges the members of a pair, and Tᴴ has conjugate eigenvalues: they fit.
    const double cosine = std::abs(Y.col(n - 1 - j).reverse().dot(X.col(j)));
    conditions[static_cast<std::size_t>(j)] =
        cosine > kTiny ? std::max(1.0, 1.0 / cosine) : std::numeric_limits<double>::infinity();
  }
}

template bool schur<double>(BlockView<double>, BlockView<double>, function_ref<double(Complex)>,
                            bool);
template bool schur<Complex>(BlockView<Complex>, BlockView<Complex>, function_ref<double(Complex)>,
                             bool);
template void schur_values<double>(BlockView<const double>, std::span<Complex>);
template void schur_values<Complex>(BlockView<const Complex>, std::span<Complex>);
template void schur_vectors<double>(BlockView<const double>, BlockView<Complex>);
template void schur_vectors<Complex>(BlockView<const Complex>, BlockView<Complex>);
template void schur_conditions<double>(BlockView<const double>, std::span<double>);
template void schur_conditions<Complex>(BlockView<const Complex>, std::span<double>);

}  // namespace ritz::dense
