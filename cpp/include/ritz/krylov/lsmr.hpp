// LSMR: min ‖b − Ax‖² + damp² ‖x − x₀‖² for any A, by Golub-Kahan bidiagonalisation; it minimises
// ‖Aᴴr‖ over the Krylov space, so that the optimality measure falls monotonically.
//
// Fong, Saunders: LSMR: an iterative algorithm for sparse least-squares problems. SIAM J. Sci.
// Comput. 33, 2011. Symbols are the paper's; U = βu and V = αv are kept unnormalised, which saves
// a pass over each. Unlike the paper's reference code the condition estimate leaves out the
// artificial ρ̄₀ = 1, which made it wrong for ‖A‖ far from 1.
#pragma once

#include <algorithm>
#include <cmath>

#include "ritz/core/arena.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/op/counted.hpp"

namespace ritz {

struct LsmrOptions {
  double damp = 0.0;         ///< Tikhonov parameter: adds damp² ‖x − x₀‖²
  double atol = 1e-6;        ///< relative error assumed in A: stop at ‖Aᴴr‖ ≤ atol ‖A‖ ‖r‖
  double btol = 1e-6;        ///< relative error assumed in b: stop at ‖r‖ ≤ btol ‖b‖ + atol ‖A‖ ‖x‖
  double conlim = 1e8;       ///< give up when cond(A) is estimated beyond this: x means little then
  Index max_iterations = 0;  ///< 0 means 10 min(m, n): rounding can cost far more than min(m, n)
  bool warm_start = false;   ///< x holds x₀
  bool verify = true;        ///< evaluate r and Aᴴr before claiming convergence: two products
};

struct LsmrOutcome : Outcome {
  double normal_residual = INFINITY;  ///< ‖Aᴴ(b − Ax) − damp² (x − x₀)‖
  double norm_a = 0.0;                ///< largest ‖Av‖ or ‖Aᴴu‖ seen: a lower bound of ‖A‖
  double cond_a = 1.0;                ///< estimate of cond([A; damp I])
  double norm_x = 0.0;                ///< ‖x‖
};

/// Vectors: U and q of length m; V, t, h, h̄ of length n, and x₀ for a damped warm start.
template <Space S>
struct LsmrWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n, bool keep_x0) {
    arena.begin(space, 2 * Arena<S>::padded(m) + (keep_x0 ? 5 : 4) * Arena<S>::padded(n));
    for (Vector* v : {&U, &q}) *v = arena.vector(m);
    for (Vector* v : {&V, &t, &h, &hbar}) *v = arena.vector(n);
    if (keep_x0) x0 = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  Vector U, q, V, t, h, hbar, x0;
};

/// Solves the (damped) least-squares problem; `residual` of the outcome is ‖[b − Ax; damp (x −
/// x₀)]‖. Memory movement per iteration, without the operator: U 3m, V 3n, {h̄, x, h} 7n: total 3m +
/// 10n. Two reads an iteration: the scalar recurrences live on the host.
template <Space S, AdjointOperator<typename S::Value> A>
LsmrOutcome lsmr(S& space, const A& op, VectorView<const typename S::Value> b,
                 VectorView<typename S::Value> x, LsmrWorkspace<S>& ws, const LsmrOptions& opt = {},
                 const Monitor& monitor = {}) {
  check_size("b", b.size, op.rows());
  check_size("x", x.size, op.cols());
  check_tolerance("atol", opt.atol);
  check_tolerance("btol", opt.btol);
  check_tolerance("damp", opt.damp);
  check_tolerance("conlim", opt.conlim);
  if (!has_adjoint(op)) throw InvalidArgument("A has no adjoint product: lsmr needs rmatvec");

  const Clock clock;
  const Index m = b.size, n = x.size;
  const Index limit = opt.max_iterations > 0 ? opt.max_iterations : 10 * std::min(m, n);
  const bool keep_x0 = opt.warm_start && opt.damp > 0.0;
  ws.prepare(space, m, n, keep_x0);
  auto& [arena, U, q, V, t, h, hbar, x0] = ws;
  Counted A_(op);
  LsmrOutcome out;

  const auto finish = [&](Status status, Index iterations) {
    out.status = status;
    out.iterations = iterations;
    out.products = A_.counts;
    out.seconds = clock.seconds();
    return out;
  };
  const auto norm = [&](auto squared) { return std::sqrt(space.read(squared)); };

  const double norm_b = std::sqrt(right_hand_side_norm2(space, b, std::max(opt.atol, opt.btol), U));
  if (!std::isfinite(norm_b)) return finish(Status::nonfinite, 0);
  if (opt.warm_start) {
    if (keep_x0) space.copy(x, x0);
    A_.apply(x, U);
    out.residual = norm(space.axpby_norm2(1.0, b, -1.0, U));
    out.norm_x = norm(space.norm2(x));
  } else {
    space.fill(0.0, x);
    space.copy(b, U);
    out.residual = norm_b;
  }

  // β u = b − A x₀, α v = Aᴴu.
  double beta = out.residual;
  if (!std::isfinite(beta)) return finish(Status::nonfinite, 0);
  out.target = opt.btol * norm_b;
  if (beta <= out.target) {  // the start is good enough, whatever ‖A‖ is
    if (beta == 0.0) out.normal_residual = 0.0;
    out.verified = true;
    return finish(Status::converged, 0);
  }
  A_.apply_adjoint(U, t);
  double alpha = norm(space.axpby_norm2(1.0 / beta, t, 0.0, V));
  if (!std::isfinite(alpha)) return finish(Status::nonfinite, 0);
  out.normal_residual = alpha * beta;
  if (alpha == 0.0) {  // x₀ is optimal already: Aᴴr was evaluated, and vanishes
    out.verified = true;
    return finish(Status::converged, 0);
  }
  space.axpby(1.0 / alpha, V, 0.0, h);
  space.fill(0.0, hbar);

  // Scalars of the two QR factorisations (§2.8 of the paper, "sym_ortho" = Givens by hypot).
  double zetabar = alpha * beta, alphabar = alpha, rho = 1.0, rhobar = 1.0, cbar = 1.0, sbar = 0.0;
  // Scalars of the estimate of ‖r‖ (§5.1).
  double betadd = beta, betad = 0.0, rhodold = 1.0, tautildeold = 0.0, thetatilde = 0.0, zeta = 0.0;
  double damped2 = 0.0;  // the part of ‖r‖² that the damping rows hold
  // Scalars of the estimate of cond(A) (§5.3).
  double max_rhobar = 0.0, min_rhobar = INFINITY;
  out.norm_a = alpha;         // = ‖Aᴴu‖
  double slack = 1.0;         // tightened when a verification fails
  double checked = INFINITY;  // the optimality measure at that verification

  for (Index k = 0; k < limit; ++k) {
    // Golub-Kahan: U = A v − α u, V = Aᴴu − β v.
    A_.apply(V, q);
    const double beta_next = norm(space.axpby_norm2(1.0 / alpha, q, -alpha / beta, U));
    double alpha_next = 0.0;
    if (beta_next > 0.0) {
      A_.apply_adjoint(U, t);
      alpha_next = norm(space.axpby_norm2(1.0 / beta_next, t, -beta_next / alpha, V));
    }
    if (!std::isfinite(beta_next) || !std::isfinite(alpha_next)) {
      return finish(Status::nonfinite, k + 1);
    }
    // ‖Av‖ and ‖Aᴴu‖. The paper's Frobenius norm of the bidiagonal grows without bound once u and v
    // lose their orthogonality, and the tolerance of the stopping test with it.
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
    out.norm_x =
        norm(space.update3(-(thetabar * rho) / (rhoold * rhobarold), hbar, zeta / (rho * rhobar), x,
                           alpha > 0.0 ? 1.0 / alpha : 0.0, V, -thetanew / rho, h));

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
    if (k > 0) {
      max_rhobar = std::max(max_rhobar, rhobarold);
      min_rhobar = std::min(min_rhobar, rhobarold);
    }
    out.cond_a = std::max(max_rhobar, rhotemp) / std::min(min_rhobar, rhotemp);

    Iteration now;
    now.iteration = k + 1;
    now.products = A_.counts;
    now.residual = out.residual;
    now.x = x.data;
    now.size = n;
    now.clock = &clock;
    const auto stop = monitor.check(now);

    // The two optimality measures over their bounds: at most one of them must come to 1.
    const auto measure = [&] {
      const double consistent =
          out.residual / (opt.btol * norm_b + opt.atol * out.norm_a * out.norm_x);
      const double optimal = out.normal_residual / (opt.atol * out.norm_a * out.residual);
      out.target = consistent <= optimal ? opt.btol * norm_b + opt.atol * out.norm_a * out.norm_x
                                         : opt.atol * out.norm_a * out.residual;
      return out.residual == 0.0 || out.normal_residual == 0.0 ? 0.0
                                                               : std::min(consistent, optimal);
    };
    // α or β = 0 ends the process: the estimates are exact, there is nothing to continue with.
    const bool exhausted = !(alpha > 0.0 && beta > 0.0);
    if (measure() <= slack || exhausted) {
      if (opt.verify) {
        // t = x − x₀ for the damping rows, then t = Aᴴ(b − Ax) − damp² (x − x₀).
        space.axpby(1.0, x, 0.0, t);
        if (keep_x0) space.axpby(-1.0, x0, 1.0, t);
        const double damp2 = opt.damp * opt.damp;
        const double damping = opt.damp > 0.0 ? damp2 * space.read(space.norm2(t)) : 0.0;
        A_.apply(x, q);
        out.residual = std::sqrt(space.read(space.axpby_norm2(1.0, b, -1.0, q)) + damping);
        A_.apply_adjoint(q, t);
        if (opt.damp > 0.0) space.axpby(-damp2, x, 1.0, t);
        if (keep_x0) space.axpby(damp2, x0, 1.0, t);
        out.normal_residual = norm(space.norm2(t));
        out.verified = true;
      }
      if (!std::isfinite(out.residual) || !std::isfinite(out.normal_residual)) {
        return finish(Status::nonfinite, k + 1);
      }
      const double measured = measure();
      if (measured <= 1.0) return finish(Status::converged, k + 1);
      if (exhausted || measured > 0.5 * checked) return finish(Status::precision_limit, k + 1);
      checked = measured;
      slack *= 0.5 / measured;
      out.verified = false;
    }
    if (out.cond_a >= opt.conlim && opt.conlim > 0.0) {
      return finish(Status::condition_limit, k + 1);
    }
    if (stop) return finish(*stop, k + 1);
  }
  return finish(Status::max_iterations, limit);
}

}  // namespace ritz
