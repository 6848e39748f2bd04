// Block conjugate gradients: A X = B for Hermitian positive definite A, all columns from one block
// Krylov space.
//
// O'Leary: The block conjugate gradient algorithm and related methods. Linear Algebra Appl. 29,
// 1980. In Dubrulle's form, which keeps the residual block as an orthonormal basis times a small
// matrix: Dubrulle: Retooling the method of block conjugate gradients. ETNA 12, 2001; its symbols.
// A direction that becomes dependent is dropped, so that the block shrinks with the rank of the
// residuals and no small matrix is ever singular for that reason.
#pragma once

#include "ritz/dense/cholesky.hpp"
#include "ritz/krylov/block_run.hpp"

namespace ritz {

using BlockCgOptions = LinearOptions;

/// Blocks of n × k: W, S, Q, and Z with a preconditioner.
template <Space S>
struct BlockCgWorkspace {
  void prepare(S& space, Index n, Index k, bool preconditioned) {
    arena.begin(space, (preconditioned ? 4 : 3) * k * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(k)));
    W = arena.block(n, k);
    D = arena.block(n, k);
    Q = arena.block(n, k);
    Z = preconditioned ? arena.block(n, k) : W;
    h = arena.slots(k);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<typename S::Value> W, D, Q, Z;
  typename S::Slots h;
};

/// Solves A X = B; one outcome a column. An iteration makes one block product of as many columns as
/// the residuals have rank r ≤ k, and about 7 r² + k r passes over a vector.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
void block_cg(S& space, const Op& A, BlockView<const typename S::Value> B,
              BlockView<typename S::Value> X, BlockCgWorkspace<S>& ws, const BlockCgOptions& opt,
              const Monitor& monitor, std::span<Outcome> outcomes, const P& M = {}) {
  using T = typename S::Value;
  using Wide = WideOf<T>;
  constexpr bool kMaybe = !std::same_as<P, NoPreconditioner>;
  bool preconditioned = kMaybe;
  if constexpr (requires { static_cast<bool>(M); }) preconditioned = static_cast<bool>(M);
  const Index k = B.cols;
  BlockRun<S, Op> run(space, A, B, X, opt, monitor, outcomes);
  ws.prepare(space, B.rows, k, preconditioned);
  auto& [arena, W, D, Q, Z, h] = ws;
  SmallMatrix<Wide> sigma, zeta, gram, step, product;
  std::vector<double> norms(static_cast<std::size_t>(k));

  const auto precondition = [&](Index cols) {
    if constexpr (kMaybe) {
      if (!preconditioned) return;
      run.preconditioner += cols;
      apply_columns(M, BlockView<const T>(W.columns(0, cols)), Z.columns(0, cols));
    }
  };
  /// W σ = the residuals; the rank, 0 if the run has ended.
  const auto factor = [&](Index cols, SmallMatrix<Wide>& R) -> Index {
    precondition(cols);
    const Index rank = orthonormalize(space, W.columns(0, cols), Z.columns(0, cols), R, h);
    if (rank < 0) run.end(Status::indefinite_preconditioner);
    return std::max<Index>(rank, 0);
  };

  while (run.residual(W)) {
    Index r = factor(k, sigma);
    for (Index j = 0; j < r; ++j) space.copy(Z.column(j), D.column(j));

    bool again = r > 0;
    while (again) {
      const auto directions = D.columns(0, r), products = Q.columns(0, r);
      run.apply(directions, products);
      // ξ = (Dᴴ A D)⁻¹, applied to σ for X and to I for W.
      gram.resize(r, r);
      for (Index j = 0; j < r; ++j) {
        space.project(directions, products.column(j), h.first(static_cast<std::size_t>(r)));
        space.read(h.first(static_cast<std::size_t>(r)), gram.column(j));
      }
      bool finite = true;
      for (const Wide& g : gram.data) finite = finite && std::isfinite(std::abs(g));
      if (!finite) {
        run.end(Status::nonfinite);
        break;
      }
      if (!dense::cholesky(gram.view())) {
        run.end(Status::negative_curvature);
        break;
      }
      const BlockView<const Wide> L = gram.view();
      step = sigma;
      dense::cholesky_solve(L, step.view());
      for (Index j = 0; j < k; ++j) space.axpy_columns(directions, step.column(j), X.column(j));
      step.resize(r, r);
      for (Index j = 0; j < r; ++j) step(j, j) = -1.0;
      dense::cholesky_solve(L, step.view());
      for (Index j = 0; j < r; ++j) {
        space.axpy_columns(products, step.column(j), W.column(j));  // W − A D ξ
      }
      const Index next = factor(r, zeta);
      if (run.ended()) break;

      // D = Z + D ζᴴ, σ = ζ σ.
      step.resize(r, next);
      product.resize(next, k);
      for (Index i = 0; i < next; ++i) {
        for (Index j = 0; j < r; ++j) {
          step(j, i) = conjugate(zeta(i, j));
          for (Index c = 0; c < k; ++c) product(i, c) += zeta(i, j) * sigma(j, c);
        }
      }
      std::swap(sigma, product);
      if (next > 0) space.combine(directions, BlockView<const Wide>(step.view()));
      for (Index j = 0; j < next; ++j) space.axpby(1.0, Z.column(j), 1.0, D.column(j));
      r = next;

      // ‖W σ_j‖: W is orthonormal without M.
      gram.resize(r, r);
      for (Index j = 0; j < r; ++j) {
        if (!preconditioned) {
          gram(j, j) = 1.0;
          continue;
        }
        space.project(W.columns(0, r), W.column(j), h.first(static_cast<std::size_t>(r)));
        space.read(h.first(static_cast<std::size_t>(r)), gram.column(j));
      }
      for (Index c = 0; c < k; ++c) {
        Wide norm2{};
        for (Index i = 0; i < r; ++i) {
          for (Index j = 0; j < r; ++j) norm2 += conjugate(sigma(i, c)) * gram(i, j) * sigma(j, c);
        }
        norms[static_cast<std::size_t>(c)] = std::sqrt(std::max(std::real(norm2), 0.0));
      }
      again = run.iterated(norms) && r > 0;
    }
  }
}

}  // namespace ritz
