// LSMR: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by Golub-Kahan bidiagonalisation; it minimises
// ‖Aᴴr‖ over the Krylov space, so that the optimality measure falls monotonically.
//
// Fong, Saunders: LSMR: an iterative algorithm for sparse least-squares problems. SIAM J. Sci.
// Comput. 33, 2011. Symbols are the paper's; U = βu and V = αv are kept unnormalised, which saves
// a pass over each. Unlike the paper's reference code the condition estimate leaves out the
// artificial ρ̄₀ = 1, which made it wrong for ‖A‖ far from 1.
#pragma once

#include "ritz/krylov/least_squares_run.hpp"

namespace ritz {

using LsmrOptions = LeastSquaresOptions;
using LsmrOutcome = LeastSquaresOutcome;

/// Vectors: U and q of length m; V, t, h, h̄ of length n, and x₀ for a damped warm start.
template <Space S>
struct LsmrWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n, const LsmrOptions& opt, bool) {
    arena.begin(space, 2 * Arena<S>::padded(m) + (opt.keeps_x0() ? 5 : 4) * Arena<S>::padded(n));
    for (Vector* v : {&U, &q}) *v = arena.vector(m);
    for (Vector* v : {&V, &t, &h, &hbar}) *v = arena.vector(n);
    if (opt.keeps_x0()) x0 = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  Vector U, q, V, t, h, hbar, x0;
};

/// Memory movement per iteration, without the operator: U 3m, V 3n, {h̄, x, h} 7n: total 3m + 10n.
/// Two reads an iteration: the scalar recurrences live on the host.
struct Lsmr {
  static constexpr std::string_view kName = "lsmr";
  static constexpr bool kAnyShape = true;
  using Options = LsmrOptions;
  using Outcome = LsmrOutcome;
  template <Space S>
  using Workspace = LsmrWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LeastSquaresRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, LsmrWorkspace<S>& ws, const LsmrOptions& opt, LsmrOutcome& out) {
    auto& space = run.space;
    auto& [frames, arena, U, q, V, t, h, hbar, x0] = ws;
    const auto x = run.x;
    if (run.M) throw InvalidArgument("lsmr takes no M: give it the operator A M, and x = M y");

    // β u = b − A x₀, α v = Aᴴu.
    if (!co_await run.start(U, t, x0)) co_return;
    double beta = out.residual, alpha = out.normal_residual / beta;
    space.axpby(1.0 / beta, t, 0.0, V);
    space.axpby(1.0 / alpha, V, 0.0, h);
    space.fill(0.0, hbar);

    // Scalars of the two QR factorisations (§2.8 of the paper, "sym_ortho" = Givens by hypot).
    double zetabar = alpha * beta, alphabar = alpha, rho = 1.0, rhobar = 1.0, cbar = 1.0,
           sbar = 0.0;
    // Scalars of the estimate of ‖r‖ (§5.1).
    double betadd = beta, betad = 0.0, rhodold = 1.0, tautildeold = 0.0, thetatilde = 0.0,
           zeta = 0.0;
    double damped2 = 0.0;  // the part of ‖r‖² that the damping rows hold
    // Scalars of the estimate of cond(A) (§5.3).
    double max_rhobar = 0.0, min_rhobar = INFINITY;

    bool again = true;
    while (again) {
      // Golub-Kahan: U = A v − α u, V = Aᴴu − β v.
      co_await run.A.apply(V, q);
      const double beta_next = run.norm(space.axpby_norm2(1.0 / alpha, q, -alpha / beta, U));
      double alpha_next = 0.0;
      if (beta_next > 0.0) {
        co_await run.A.apply_adjoint(U, t);
        alpha_next = run.norm(space.axpby_norm2(1.0 / beta_next, t, -beta_next / alpha, V));
      }
      if (!std::isfinite(beta_next) || !std::isfinite(alpha_next)) {
        ++out.iterations;
        run.end(Status::nonfinite);
        co_return;
      }
      // ‖Av‖ and ‖Aᴴu‖. The paper's Frobenius norm of the bidiagonal grows without bound once u and
      // v lose their orthogonality, and the tolerance of the stopping test with it.
      out.norm_a =
          std::max({out.norm_a, std::hypot(alpha, beta_next), std::hypot(alpha_next, beta_next)});
      beta = beta_next;
      alpha = alpha_next;

      // Rotation Q̂ takes the damping row into ᾱ.
      const double alphahat = std::hypot(alphabar, opt.damp);
      const double chat = alphabar / alphahat, shat = opt.damp / alphahat;
      // Rotation Q turns the lower bidiagonal into the upper one R.
      const double rhoold = rho;
      rho = std::hypot(alphahat, beta);
      const double c = alphahat / rho, s = beta / rho;
      const double thetanew = s * alpha;
      alphabar = c * alpha;
      // Rotation Q̄ turns Rᴴ into R̄.
      const double rhobarold = rhobar, zetaold = zeta;
      const double thetabar = sbar * rho, rhotemp = cbar * rho;
      rhobar = std::hypot(cbar * rho, thetanew);
      cbar = cbar * rho / rhobar;
      sbar = thetanew / rhobar;
      zeta = cbar * zetabar;
      zetabar = -sbar * zetabar;

      // h̄ = h − (θ̄ρ / (ρ_{k−1} ρ̄_{k−1})) h̄,  x = x + (ζ / (ρρ̄)) h̄,  h = v − (θ/ρ) h.
      out.norm_x = run.norm(space.update3(-(thetabar * rho) / (rhoold * rhobarold), hbar,
                                          zeta / (rho * rhobar), x, alpha > 0.0 ? 1.0 / alpha : 0.0,
                                          V, -thetanew / rho, h));

      // Estimate of ‖r‖: apply Q̂, Q to the right-hand side, then Q̃ to R̃.
      const double betaacute = chat * betadd, betacheck = -shat * betadd;
      const double betahat = c * betaacute;
      betadd = -s * betaacute;
      const double thetatildeold = thetatilde;
      const double rhotildeold = std::hypot(rhodold, thetabar);
      const double ctildeold = rhodold / rhotildeold, stildeold = thetabar / rhotildeold;
      thetatilde = stildeold * rhobar;
      rhodold = ctildeold * rhobar;
      betad = -stildeold * betad + ctildeold * betahat;
      tautildeold = (zetaold - thetatildeold * tautildeold) / rhotildeold;
      const double taud = (zeta - thetatilde * tautildeold) / rhodold;
      damped2 += betacheck * betacheck;
      out.residual = std::sqrt(damped2 + (betad - taud) * (betad - taud) + betadd * betadd);
      out.normal_residual = std::abs(zetabar);

      // Estimate of cond(A); ρ̄₀ = 1 is no singular value.
      if (out.iterations > 0) {
        max_rhobar = std::max(max_rhobar, rhobarold);
        min_rhobar = std::min(min_rhobar, rhobarold);
      }
      out.cond_a = std::max(max_rhobar, rhotemp) / std::min(min_rhobar, rhotemp);
      // α or β = 0 ends the process.
      again = co_await run.iterated(!(alpha > 0.0 && beta > 0.0));
      if (!again) again = co_await run.unverified(q, t);
    }
  }
};

/// Solves the (damped) least-squares problem.
template <Space S, AdjointOperator<typename S::Value> Op>
LsmrOutcome lsmr(S& space, const Op& A, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, LsmrWorkspace<S>& ws, const LsmrOptions& opt = {},
                 const Monitor& monitor = {}) {
  return Stepper<Lsmr, S, Op>(space, A, b, x, ws, opt, monitor).finish();
}

}  // namespace ritz
