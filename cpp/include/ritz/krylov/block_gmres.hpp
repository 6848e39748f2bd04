// Block GMRES: A X = B for any square A, every column minimised over one block Krylov space.
//
// Ruhe's form, which adds vectors one by one and so drops those that depend on the rest: Aliaga,
// Boley, Freund, Hernández: A Lanczos-type method for multiple starting vectors. Math. Comp. 69,
// 2000. Saad: Iterative methods for sparse linear systems, 2nd ed., §6.12.
#pragma once

#include <complex>

#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/block_run.hpp"

namespace ritz {

struct BlockGmresOptions : LinearOptions {
  Index restart = 20;  ///< block products between restarts: SciPy's default for one column
};

/// Blocks of n: the basis V, (restart + 1) k vectors; two of k with a preconditioner.
template <Space S>
struct BlockGmresWorkspace {
  void prepare(S& space, Index n, Index k, Index restart, bool preconditioned) {
    const Index columns = (restart + 1) * k;
    arena.begin(space, (columns + (preconditioned ? 2 * k : 0)) * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(2 * columns)));
    V = arena.block(n, columns);
    if (preconditioned) {
      Z = arena.block(n, k);
      Y = arena.block(n, k);
    }
    h = arena.slots(2 * columns);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<typename S::Value> V, Z, Y;
  typename S::Slots h;
};

/// The plane rotation [c s; −s̄ c] that takes (a, b) to (r, 0); c is real.
template <class W>
struct PlaneRotation {
  Index row = 0;  ///< of a; b is in the next
  double c = 1.0;
  W s{};

  static PlaneRotation zeroing(Index row, W a, W b) {
    const double norm = std::hypot(std::abs(a), std::abs(b));
    if (norm == 0.0) return {row, 1.0, W{}};
    if (std::abs(a) == 0.0) return {row, 0.0, conjugate(b) / std::abs(b)};
    return {row, std::abs(a) / norm, a / std::abs(a) * conjugate(b) / norm};
  }
  void apply(std::span<W> column) const {
    W& a = column[static_cast<std::size_t>(row)];
    W& b = column[static_cast<std::size_t>(row + 1)];
    const W rotated = c * a + s * b;
    b = c * b - conjugate(s) * a;
    a = rotated;
  }
};

/// Solves A X = B with the right preconditioner M; one outcome a column. A step makes one block
/// product and orthogonalises its r columns against all before, twice: 4 j r vectors at step j.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
void block_gmres(S& space, const Op& A, BlockView<const typename S::Value> B,
                 BlockView<typename S::Value> X, BlockGmresWorkspace<S>& ws,
                 const BlockGmresOptions& opt, const Monitor& monitor, std::span<Outcome> outcomes,
                 const P& M = {}) {
  using T = typename S::Value;
  using Wide = WideOf<T>;
  constexpr bool kMaybe = !std::same_as<P, NoPreconditioner>;
  bool preconditioned = kMaybe;
  if constexpr (requires { static_cast<bool>(M); }) preconditioned = static_cast<bool>(M);
  if (opt.restart < 1) throw InvalidArgument("restart must be at least 1");
  const Index n = B.rows, k = B.cols;
  const Index restart = std::min(opt.restart, std::max<Index>(n, 1));
  const double drop = 64.0 * std::numeric_limits<RealOf<T>>::epsilon();
  BlockRun<S, Op> run(space, A, B, X, opt, monitor, outcomes);
  ws.prepare(space, n, k, restart, preconditioned);
  auto& [arena, V, Z, Y, h] = ws;
  SmallMatrix<Wide> R, G, first;
  std::vector<PlaneRotation<Wide>> rotations;
  std::vector<Wide> coefficients(static_cast<std::size_t>(2 * V.cols));
  std::vector<double> norms(static_cast<std::size_t>(k));

  const auto precondition = [&](BlockView<T> in, BlockView<T> out) {
    if constexpr (kMaybe) {
      run.preconditioner += in.cols;
      apply_columns(M, BlockView<const T>(in), out);
    }
  };

  while (run.residual(V.columns(0, k))) {
    const auto start = V.columns(0, k);
    Index width = orthonormalize(space, start, start, first, h);
    Index count = width;  // basis vectors
    Index solved = 0;     // columns of R
    R.resize(V.cols, V.cols);
    G.resize(V.cols, k);
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < width; ++i) G(i, j) = first(i, j);
    }
    rotations.clear();

    bool again = width > 0;
    while (again && count + width <= V.cols) {
      // The products of the newest vectors, in the place of the next ones.
      const auto newest = V.columns(solved, width), products = V.columns(count, width);
      if (preconditioned) {
        precondition(newest, Z.columns(0, width));
        run.apply(Z.columns(0, width), products);
      } else {
        run.apply(newest, products);
      }
      Index next = count;
      for (Index j = 0; j < width; ++j) {
        const auto w = products.column(j);
        const auto column = R.column(solved);
        const auto many = static_cast<std::size_t>(next);
        const auto basis = BlockView<const T>(V.columns(0, next));
        const double before = space.read(space.norm2(w));
        const double norm = orthogonalize(space, basis, w, h, std::span(coefficients));
        std::copy_n(coefficients.begin(), many, column.begin());
        if (norm * norm > drop * drop * before) {
          column[many] = norm;
          space.axpby(1.0 / norm, w, 0.0, V.column(next));
          ++next;
        }
        // Rotate the column as those before it, then what is left below its diagonal away.
        for (const auto& rotation : rotations) rotation.apply(column);
        for (Index i = next - 1; i > solved; --i) {
          const auto rotation = PlaneRotation<Wide>::zeroing(
              i - 1, column[static_cast<std::size_t>(i - 1)], column[static_cast<std::size_t>(i)]);
          rotation.apply(column);
          for (Index c = 0; c < k; ++c) rotation.apply(G.column(c));
          rotations.push_back(rotation);
        }
        ++solved;
      }
      width = next - count;
      count = next;
      for (Index c = 0; c < k; ++c) {
        double norm2 = 0.0;
        for (Index i = solved; i < count; ++i) norm2 += std::norm(G(i, c));
        norms[static_cast<std::size_t>(c)] = std::sqrt(norm2);
      }
      again = run.iterated(norms) && width > 0;
    }

    // X = X + M V R⁻¹ G; a vanishing diagonal of R belongs to a direction that A does not see.
    double largest = 0.0;
    for (Index j = 0; j < solved; ++j) largest = std::max(largest, std::abs(R(j, j)));
    for (Index c = 0; c < k; ++c) {
      const auto y = G.column(c).first(static_cast<std::size_t>(solved));
      for (Index i = solved - 1; i >= 0; --i) {
        Wide& yi = y[static_cast<std::size_t>(i)];
        const bool unseen = std::abs(R(i, i)) <= drop * largest;
        for (Index j = i + 1; j < solved; ++j) yi -= R(i, j) * y[static_cast<std::size_t>(j)];
        yi = unseen ? Wide{} : yi / R(i, i);
      }
      const auto basis = BlockView<const T>(V.columns(0, solved));
      if (preconditioned) {
        space.fill(0.0, Y.column(c));
        space.axpy_columns(basis, y, Y.column(c));
      } else {
        space.axpy_columns(basis, y, X.column(c));
      }
    }
    if (preconditioned) {
      precondition(Y, Z);
      for (Index c = 0; c < k; ++c) space.axpby(1.0, Z.column(c), 1.0, X.column(c));
    }
  }
}

}  // namespace ritz
