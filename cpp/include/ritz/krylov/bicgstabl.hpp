// BiCGstab(ℓ): A x = b for general A by short recurrences, products of BiCG's residual polynomial
// and of minimising ones of degree ℓ, which also take in pairs of nonreal eigenvalues.
//
// Sleijpen, Fokkema: BiCGstab(ℓ) for linear equations involving unsymmetric matrices with complex
// spectrum. ETNA 1, 1993. The convex combination: Sleijpen, van der Vorst: Maintaining convergence
// properties of BiCGstab methods in finite precision arithmetic. Numer. Algorithms 10, 1995.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "ritz/dense/cholesky.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/shadow.hpp"

namespace ritz {

struct BicgstablOptions : LinearOptions {
  Index ell = 2;  ///< degree of the minimising polynomials: 2 is the least that takes in a pair

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("ell", ell);
  }
};

/// Vectors of length n: ℓ + 1 each of R = (r, A r, …) and U, the shadow r̂, and with a
/// preconditioner the change of M⁻¹x and one more; x is the caller's.
template <Space S>
struct BicgstablWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index, Index n, const BicgstablOptions& opt, bool preconditioned) {
    if (opt.ell < 1) throw InvalidArgument("ell must be at least 1");
    const Index l = opt.ell;
    arena.begin(space, (2 * l + (preconditioned ? 5 : 3)) * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(l + 1)));
    R = arena.block(n, l + 1);
    U = arena.block(n, l + 1);
    rhat = arena.vector(n);
    if (preconditioned) {
      y = arena.vector(n);
      z = arena.vector(n);
    }
    slots = arena.slots(l + 1);
    const auto size = static_cast<std::size_t>(l + 1);
    gram.resize(size * size);
    inner.resize(size * size);
    ends.resize(2 * size);
    gammas.resize(size - 1);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  BlockView<T> R, U;
  VectorView<T> rhat, y, z;
  typename S::Slots slots;
  std::vector<Wide> gram, inner, ends, gammas;
};

/// An iteration is 2ℓ products. Memory movement per iteration, in vectors of length n, without the
/// operator: 4 ℓ² + 18 ℓ + 5 in all, 57 for ℓ = 2. The preconditioner stands on the right, so that
/// ‖r‖ is the residual of A x = b; with one, x is formed at the end.
struct Bicgstabl {
  static constexpr std::string_view kName = "bicgstabl";
  using Options = BicgstablOptions;
  using Outcome = ritz::Outcome;
  template <Space S>
  using Workspace = BicgstablWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R_, Space S>
  static Task<> steps(R_& run, BicgstablWorkspace<S>& ws, const BicgstablOptions& opt,
                      Outcome& out) {
    using Wide = WideOf<typename S::Value>;
    // An inner product below this share of its factors' norms holds rounding errors only.
    constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    auto& space = run.space;
    const auto R = ws.R, U = ws.U;
    const auto r = R.column(0), rhat = ws.rhat, z = ws.z;
    const auto y = run.M ? ws.y : run.x;  // x = x₀ + M y
    const Index l = opt.ell;
    ShadowRestarts restarts;

    while (co_await run.residual(r)) {
      space.copy(r, rhat);
      if (run.M) space.fill(0.0, y);
      double residual = out.residual, shadow = residual;
      Wide rho = 1.0, alpha = 0.0, omega = 1.0;
      bool again = true, broken = false;
      while (again) {
        if (broken) {
          if (!restarts.allowed(residual)) {
            run.end(Status::breakdown);
            break;
          }
          shadow = restarts.draw(space, r, residual, rhat);
          rho = omega = 1.0;
          alpha = 0.0;
          broken = false;
        }
        rho *= -omega;
        for (Index j = 0; j < l; ++j) {
          const auto [rhat_r, rr] = space.dots({{rhat, R.column(j)}, {R.column(j), R.column(j)}});
          const Wide rho_next = space.read(rhat_r);
          const double size_r = std::sqrt(std::real(space.read(rr)));
          if (!std::isfinite(size_r)) {
            residual = size_r;
            break;
          }
          broken = std::abs(rho_next) <= kEps * shadow * size_r;
          if (broken) break;
          const Wide beta = alpha * (rho_next / rho);
          rho = rho_next;
          for (Index i = 0; i <= j; ++i) space.axpby(1.0, R.column(i), -beta, U.column(i));
          if (run.M) {
            co_await run.M.apply(U.column(j), z);
            co_await run.A.apply(z, U.column(j + 1));
          } else {
            co_await run.A.apply(U.column(j), U.column(j + 1));
          }
          const auto [rhat_u, uu] =
              space.dots({{rhat, U.column(j + 1)}, {U.column(j + 1), U.column(j + 1)}});
          const Wide gamma = space.read(rhat_u);
          const double size_u = std::sqrt(std::real(space.read(uu)));
          if (!std::isfinite(size_u)) {
            residual = size_u;
            break;
          }
          broken = std::abs(gamma) <= kEps * shadow * size_u;
          if (broken) break;
          alpha = rho / gamma;
          space.axpby(alpha, U.column(0), 1.0, y);
          residual = run.norm(space.axpy_norm2(-alpha, U.column(1), r));
          for (Index i = 1; i <= j; ++i) {
            space.axpby(-alpha, U.column(i + 1), 1.0, R.column(i));
          }
          if (!(residual > out.target)) break;
          if (run.M) {
            co_await run.M.apply(R.column(j), z);
            co_await run.A.apply(z, R.column(j + 1));
          } else {
            co_await run.A.apply(R.column(j), R.column(j + 1));
          }
        }
        if (!broken && std::isfinite(residual) && residual > out.target) {
          omega = minimize(space, ws, residual);
          broken = omega == 0.0;
          if (!std::isfinite(std::abs(omega))) {
            co_await run.iterated(std::abs(omega), false);
            break;
          }
          auto& gammas = ws.gammas;
          space.axpy_columns(R.columns(0, l), gammas, y);
          residual = run.norm(space.subtract_norm2(R.columns(1, l), gammas, r));
          for (Wide& g : gammas) g = -g;
          space.axpy_columns(U.columns(1, l), gammas, U.column(0));
        }
        again = co_await run.iterated(residual, !run.M);
      }
      if (run.M) {
        co_await run.M.apply(y, z);
        space.axpby(1.0, z, 1.0, run.x);
      }
    }
  }

 private:
  /// Writes γ_1 … γ_ℓ, r − Σ γ_j R_j being the new residual, into ws.gammas; returns γ_ℓ, 0 if R
  /// has become dependent, NaN or infinity if it holds one.
  template <Space S>
  static WideOf<typename S::Value> minimize(S& space, BicgstablWorkspace<S>& ws, double residual) {
    using Wide = WideOf<typename S::Value>;
    constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    // Below this cosine the minimising γ_ℓ would spoil the coefficients of BiCG: the paper's value.
    constexpr double kCosine = 0.7;
    const Index l = ws.R.cols - 1;
    const BlockView<Wide> Z{ws.gram.data(), l + 1, l + 1, l + 1};  // Rᴴ R
    for (Index j = 1; j <= l; ++j) {
      space.project(ws.R, ws.R.column(j), ws.slots);
      space.read(ws.slots, {&Z(0, j), static_cast<std::size_t>(l + 1)});
      if (!std::isfinite(std::real(Z(j, j)))) return std::real(Z(j, j));
      Z(j, 0) = conjugate(Z(0, j));
    }
    Z(0, 0) = residual * residual;
    // R y_0 and R y_ℓ: r and A^ℓ r made orthogonal to the columns between.
    const BlockView<Wide> inner{ws.inner.data(), l - 1, l - 1, l - 1};
    const BlockView<Wide> Y{ws.ends.data(), l + 1, 2, l + 1};
    std::fill(ws.ends.begin(), ws.ends.end(), Wide{});
    for (Index j = 1; j < l; ++j) {
      for (Index i = 1; i < l; ++i) inner(i - 1, j - 1) = Z(i, j);
      Y(j, 0) = -Z(j, 0);
      Y(j, 1) = -Z(j, l);
    }
    auto& gammas = ws.gammas;
    std::fill(gammas.begin(), gammas.end(), Wide{});
    if (l > 1) {
      if (!dense::cholesky(inner)) return 0.0;
      dense::cholesky_solve(BlockView<const Wide>(inner), {&Y(1, 0), l - 1, 2, Y.ld});
    }
    Y(0, 0) = Y(l, 1) = 1.0;
    const auto product = [&](Index a, Index b) {  // y_aᴴ Z y_b
      Wide sum{};
      for (Index i = 0; i <= l; ++i) {
        for (Index j = 0; j <= l; ++j) sum += conjugate(Y(i, a)) * Z(i, j) * Y(j, b);
      }
      return sum;
    };
    const double k0 = std::sqrt(std::max(std::real(product(0, 0)), 0.0));
    const double kl2 = std::real(product(1, 1));
    const Wide cross = product(1, 0);
    Wide gamma{};
    if (kl2 > kEps * std::real(Z(l, l))) {
      const double limit = kCosine * k0 * std::sqrt(kl2), size = std::abs(cross);
      gamma = size >= limit ? cross / kl2
              : size > 0.0  ? cross / size * (limit / kl2)
                            : Wide{limit / kl2};
    }
    for (Index j = 1; j <= l; ++j) {
      gammas[static_cast<std::size_t>(j - 1)] = gamma * Y(j, 1) - Y(j, 0);
    }
    return gamma;
  }
};

/// Solves A x = b.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome bicgstabl(S& space, const Op& A, VectorView<const typename S::Value> b,
                  VectorView<typename S::Value> x, BicgstablWorkspace<S>& ws,
                  const BicgstablOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Bicgstabl, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
