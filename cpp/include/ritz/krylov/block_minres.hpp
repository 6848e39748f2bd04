// Block MINRES: A X = B for Hermitian A, indefinite or singular too, every column minimised over
// one block Krylov space by short recurrences.
//
// Band Lanczos with deflation: Ruhe: Implementation aspects of band Lanczos algorithms for
// computation of eigenvalues of large sparse symmetric matrices. Math. Comp. 33, 1979. Solution
// update: Paige, Saunders: Solution of sparse indefinite systems of linear equations. SIAM J.
// Numer. Anal. 12, 1975, with a band in the place of the tridiagonal.
#pragma once

#include <array>

#include "ritz/krylov/block_gmres.hpp"

namespace ritz {

using BlockMinresOptions = LinearOptions;

/// Blocks of n × k: three of Lanczos vectors, three of directions.
template <Space S>
struct BlockMinresWorkspace {
  using Block = BlockView<typename S::Value>;

  void prepare(S& space, Index n, Index k) {
    arena.begin(space, 6 * k * Arena<S>::padded(n) + Arena<S>::padded(Arena<S>::slot_elements(k)));
    for (Block& v : V) v = arena.block(n, k);
    for (Block& d : D) d = arena.block(n, k);
    h = arena.slots(k);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  std::array<Block, 3> V, D;
  typename S::Slots h;
};

/// Solves A X = B; one outcome a column. A step makes one block product of r ≤ k columns and about
/// (14 r + 2 k) r passes over a vector.
template <Space S, LinearOperator<typename S::Value> Op>
void block_minres(S& space, const Op& A, BlockView<const typename S::Value> B,
                  BlockView<typename S::Value> X, BlockMinresWorkspace<S>& ws,
                  const BlockMinresOptions& opt, const Monitor& monitor,
                  std::span<Outcome> outcomes) {
  using T = typename S::Value;
  using Wide = WideOf<T>;
  using Rotations = std::vector<PlaneRotation<Wide>>;
  const Index k = B.cols;
  const double drop = 64.0 * std::numeric_limits<RealOf<T>>::epsilon();
  BlockRun<S, Op> run(space, A, B, X, opt, monitor, outcomes);
  ws.prepare(space, B.rows, k);
  const auto many = [](Index count) { return static_cast<std::size_t>(count); };
  std::vector<double> norms(many(k));

  while (run.residual(ws.V[2])) {
    // Blocks 0, 1, 2: of the step before, of this step, of the next one; as many columns as their
    // ranks. Directions likewise, of two steps before, of the step before, of this step.
    auto V = ws.V, D = ws.D;
    std::array<Index, 3> width{0, 0, 0}, directions{0, 0, 0};
    SmallMatrix<Wide> first;
    width[2] = orthonormalize(space, V[2], V[2], first, ws.h);
    // Rows of the rotated right-hand side from the first unsolved on, and the rotations that reach
    // them: those of the last two steps.
    SmallMatrix<Wide> G;
    G.resize(4 * k, k);
    for (Index c = 0; c < k; ++c) {
      for (Index i = 0; i < width[2]; ++i) G(i, c) = first(i, c);
    }
    std::array<Rotations, 3> rotations;
    double largest = 0.0;  // diagonal of R so far

    bool again = width[2] > 0;
    while (again) {
      std::rotate(V.begin(), V.begin() + 1, V.end());
      std::rotate(D.begin(), D.begin() + 1, D.end());
      std::rotate(width.begin(), width.begin() + 1, width.end());
      std::rotate(directions.begin(), directions.begin() + 1, directions.end());
      std::rotate(rotations.begin(), rotations.begin() + 1, rotations.end());
      rotations[2].clear();
      directions[2] = 0;
      const Index r = width[1];
      width[2] = 0;
      run.apply(V[1].columns(0, r), V[2].columns(0, r));
      for (Index j = 0; j < r; ++j) {
        // Rows: directions of two blocks back, of one back, then V[1] and V[2]; a column of the
        // band is zero above V[0], whose rows are those of D[1].
        const Index base = directions[0];  // row of V[0] in `column`
        const Index here = base + directions[1];
        std::vector<Wide> column(many(here + width[1] + k));
        const auto w = V[2].column(j);
        const double before = space.read(space.norm2(w));
        for (int pass = 0; pass < 2; ++pass) {
          Index row = base;
          for (std::size_t block = 0; block < 3; ++block) {
            const auto basis = BlockView<const T>(V[block].columns(0, width[block]));
            std::vector<Wide> minus(many(width[block]));
            space.project(basis, w, ws.h.first(minus.size()));
            space.read(ws.h.first(minus.size()), minus);
            for (std::size_t i = 0; i < minus.size(); ++i) {
              column[many(row) + i] += minus[i];
              minus[i] = -minus[i];
            }
            space.axpy_columns(basis, minus, w);
            row += width[block];
          }
        }
        const double after = space.read(space.norm2(w));
        if (after > drop * drop * before) {
          const double norm = std::sqrt(after);
          column[many(here + width[1] + width[2])] = norm;
          space.axpby(1.0 / norm, w, 0.0, V[2].column(width[2]));
          ++width[2];
        }
        for (const Rotations& step : rotations) {
          for (const auto& rotation : step) rotation.apply(column);
        }
        for (Index i = width[1] + width[2] - 1; i > j; --i) {
          const auto rotation = PlaneRotation<Wide>::zeroing(
              here + i - 1, column[many(here + i - 1)], column[many(here + i)]);
          rotation.apply(column);
          rotations[2].push_back(rotation);
          auto right = rotation;
          right.row = i - 1;
          for (Index c = 0; c < k; ++c) right.apply(G.column(c));
        }
        // d = (v − Σ R_i d_i) / R_j, X = X + d G_j.
        const Wide diagonal = column[many(here + j)];
        largest = std::max(largest, std::abs(diagonal));
        const auto d = D[2].column(j);
        const bool unseen = std::abs(diagonal) <= drop * largest;
        if (unseen) {
          space.fill(0.0, d);
        } else {
          space.copy(V[1].column(j), d);
          Index row = 0;
          for (std::size_t block = 0; block < 3; ++block) {
            std::vector<Wide> minus(many(block == 2 ? j : directions[block]));
            for (Wide& m : minus) m = -column[many(row++)];
            space.axpy_columns(
                BlockView<const T>(D[block].columns(0, static_cast<Index>(minus.size()))), minus,
                d);
          }
          space.scale(1.0 / diagonal, d);
          for (Index c = 0; c < k; ++c) space.axpby(G(j, c), d, 1.0, X.column(c));
        }
      }
      directions[2] = r;
      // The rows of the next step: shift what is solved out, and the rotations' rows with it.
      for (Index c = 0; c < k; ++c) {
        const auto column = G.column(c);
        double norm2 = 0.0;
        for (Index i = 0; i < width[2]; ++i) {
          column[many(i)] = column[many(r + i)];
          norm2 += std::norm(column[many(i)]);
        }
        std::fill(column.begin() + width[2], column.end(), Wide{});
        norms[many(c)] = std::sqrt(norm2);
      }
      for (Rotations& step : rotations) {
        for (auto& rotation : step) rotation.row -= directions[0];
      }
      again = run.iterated(norms) && width[2] > 0;
    }
  }
}

}  // namespace ritz
