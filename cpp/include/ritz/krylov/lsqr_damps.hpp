// LSQR for many damping parameters: min ‖b − Axᵢ‖² + dampᵢ² ‖xᵢ‖² for i = 1 … s, a Tikhonov path,
// from one Golub-Kahan process: two products an iteration for all of them.
//
// The process does not know the damping, which enters the QR factorisation of its bidiagonal alone:
// Paige, Saunders: LSQR: an algorithm for sparse linear equations and sparse least squares. ACM
// TOMS 8, 1982, §2. In exact arithmetic these are the iterates of multi-shift CGLS, Frommer, Maass:
// Fast CG-based methods for Tikhonov-Phillips regularization. SIAM J. Sci. Comput. 20, 1999, whose
// ζ are not needed; residuals come without cancellation.
#pragma once

#include <span>
#include <vector>

#include "ritz/krylov/bidiagonal_qr.hpp"
#include "ritz/krylov/families.hpp"
#include "ritz/krylov/least_squares_run.hpp"

namespace ritz {

struct LsqrDampsOptions {
  double atol = 1e-6;        ///< relative error assumed in A, as for lsqr, each by itself
  double btol = 1e-6;        ///< relative error assumed in b
  double conlim = 1e8;       ///< give a damping up when cond([A; damp I]) is estimated beyond this
  Index max_iterations = 0;  ///< 0 means 10 min(m, n), as lsqr
  bool verify = true;        ///< evaluate r and Aᴴr before claiming convergence: 2s products

  template <class F>
  void visit(F f) {
    f("atol", atol);
    f("btol", btol);
    f("conlim", conlim);
    f("max_iterations", max_iterations);
    f("verify", verify);
  }
};

/// Vectors: U and q of length m; V, t and s columns W of length n.
template <Space S>
struct LsqrDampsWorkspace {
  using T = typename S::Value;

  /// What a damping's run knows of itself.
  struct Column {
    BidiagonalQr qr;
    bool open;                  ///< still iterating
    double slack = 1.0;         ///< tightened when a verification fails
    double checked = INFINITY;  ///< the optimality measure at that verification
  };

  void prepare(S& space, Index m, Index n, Index count) {
    arena.begin(space, 2 * Arena<S>::padded(m) + (2 + count) * Arena<S>::padded(n));
    for (auto* v : {&U, &q}) *v = arena.vector(m);
    for (auto* v : {&V, &t}) *v = arena.vector(n);
    W = arena.block(n, count);
    for (auto* h : {&a, &b, &z}) h->resize(static_cast<std::size_t>(count));
    columns.clear();
    columns.reserve(static_cast<std::size_t>(count));
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  VectorView<T> U, q, V, t;
  BlockView<T> W;
  std::vector<WideOf<T>> a, b, z;
  std::vector<Column> columns;
};

/// Minimises ‖b − A X_j‖² + damps[j]² ‖X_j‖² for every j; `outcomes[j]` tells of X_j and of the
/// products made for it alone, the returned outcome of all: its status is the first that is not
/// `converged`. A damping converges by the same tests as lsqr, and is then verified and left alone.
///
/// Memory movement per iteration, without the operator: U 3m, V 3n, {X, W} 4n for each damping that
/// goes on, V once more: 3m + 4n + 4ns.
template <Space S, AdjointOperator<typename S::Value> Op>
Outcome lsqr_damps(S& space, const Op& A, VectorView<const typename S::Value> b,
                   BlockView<typename S::Value> X, std::span<const double> damps,
                   LsqrDampsWorkspace<S>& ws, const LsqrDampsOptions& opt, const Monitor& monitor,
                   std::span<LeastSquaresOutcome> outcomes) {
  const Clock clock;
  const Index m = A.rows(), n = A.cols(), count = X.cols;
  check_size("b", b.size, m);
  check_size("X", X.rows, n);
  check_size("damps", static_cast<Index>(damps.size()), count);
  check_size("outcomes", static_cast<Index>(outcomes.size()), count);
  check_tolerance("atol", opt.atol);
  check_tolerance("btol", opt.btol);
  check_tolerance("conlim", opt.conlim);
  for (const double damp : damps) check_tolerance("damps", damp);
  require_adjoint(A);
  ws.prepare(space, m, n, count);
  auto& [arena, U, q, V, t, W, step, turn, one, columns] = ws;
  const std::size_t size = damps.size();
  Counted A_(A);
  Index iterations = 0;
  const Index limit = opt.max_iterations > 0 ? opt.max_iterations : 10 * std::min(m, n);
  const auto norm = [&](const auto& squared) { return std::sqrt(space.read(squared)); };
  const auto finish = [&] { return together(outcomes, iterations, A_.counts, clock.seconds()); };
  const auto finish_all = [&](Status status) {
    for (auto& out : outcomes) out.status = status;
    return finish();
  };

  // β u = b, α v = Aᴴu, w = v.
  const double norm_b = std::sqrt(right_hand_side_norm2(space, b, std::max(opt.atol, opt.btol), U));
  for (std::size_t j = 0; j < size; ++j) {
    space.fill(0.0, X.column(static_cast<Index>(j)));
    outcomes[j] = {};
    outcomes[j].residual = norm_b;
    outcomes[j].target = opt.btol * norm_b;
  }
  if (!std::isfinite(norm_b)) return finish_all(Status::nonfinite);
  for (auto& out : outcomes) out.verified = true;
  if (norm_b == 0.0) {
    for (auto& out : outcomes) out.normal_residual = 0.0;
  }
  if (norm_b <= opt.btol * norm_b || size == 0) return finish_all(Status::converged);
  space.copy(b, U);
  A_.apply_adjoint(U, t);
  double beta = norm_b, alpha = norm(space.norm2(t)) / beta;
  for (auto& out : outcomes) out.normal_residual = alpha * beta;
  if (!std::isfinite(alpha)) return finish_all(Status::nonfinite);
  if (alpha == 0.0) return finish_all(Status::converged);  // x = 0 is optimal
  double norm_a = alpha;
  space.axpby(1.0 / beta, t, 0.0, V);
  for (std::size_t j = 0; j < size; ++j) {
    columns.push_back({BidiagonalQr(alpha, beta, damps[j]), true});
    space.copy(V, W.column(static_cast<Index>(j)));
    outcomes[j].verified = false;
    one[j] = 1.0;
  }

  // The smaller of the two optimality measures over its bound: it must come to 1.
  const auto measure = [&](LeastSquaresOutcome& out) {
    if (out.residual == 0.0 || out.normal_residual == 0.0) return 0.0;
    const double bound = opt.btol * norm_b + opt.atol * norm_a * out.norm_x;
    const double normal_bound = opt.atol * norm_a * out.residual;
    const double consistent = out.residual / bound, optimal = out.normal_residual / normal_bound;
    out.target = consistent <= optimal ? bound : normal_bound;
    return std::min(consistent, optimal);
  };
  const auto evaluate = [&](std::size_t j) {
    LeastSquaresOutcome& out = outcomes[j];
    const auto x = X.column(static_cast<Index>(j));
    A_.apply(x, q);
    const double rr = space.read(space.axpby_norm2(1.0, b, -1.0, q));
    A_.apply_adjoint(q, t);
    ++out.products.apply;
    ++out.products.adjoint;
    out.normal_residual = norm(space.axpby_norm2(-damps[j] * damps[j], x, 1.0, t));
    out.norm_x = norm(space.norm2(x));
    out.residual = std::hypot(std::sqrt(rr), damps[j] * out.norm_x);
    out.verified = true;
  };
  const auto is_open = [&](std::size_t j) { return columns[j].open; };
  const auto slice = [](const std::vector<WideOf<typename S::Value>>& a, Index from, Index length) {
    return std::span(a).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(length));
  };
  const auto any_open = [&] {
    return std::any_of(columns.begin(), columns.end(), [](const auto& c) { return c.open; });
  };

  while (any_open()) {
    // Golub-Kahan: U = A v − α u, V = Aᴴu − β v.
    A_.apply(V, q);
    const double beta_next = norm(space.axpby_norm2(1.0 / alpha, q, -alpha / beta, U));
    double alpha_next = 0.0;
    if (beta_next > 0.0) {
      A_.apply_adjoint(U, t);
      alpha_next = norm(space.axpby_norm2(1.0 / beta_next, t, -beta_next / alpha, V));
    }
    ++iterations;
    const bool finite = std::isfinite(beta_next) && std::isfinite(alpha_next);
    if (finite) {
      norm_a = std::max({norm_a, std::hypot(alpha, beta_next), std::hypot(alpha_next, beta_next)});
      for (std::size_t j = 0; j < size; ++j) {
        if (!is_open(j)) continue;
        auto& qr = columns[j].qr;
        qr.next(alpha_next, beta_next);
        step[j] = qr.phi / (qr.rho * alpha);
        turn[j] = -qr.theta / qr.rho * (alpha_next / alpha);
      }
      // x = x + (φ/ρ) w, w = v − (θ/ρ) w.
      each_run(count, is_open, [&](Index j, Index run) {
        space.multi_shift(slice(step, j, run), slice(turn, j, run), slice(one, j, run), V,
                          X.columns(j, run), W.columns(j, run));
      });
      beta = beta_next;
      alpha = alpha_next;
    }

    Iteration now;
    now.iteration = iterations;
    now.products = A_.counts;
    now.residual = 0.0;
    now.clock = &clock;
    for (std::size_t j = 0; j < size; ++j) {
      if (!is_open(j)) continue;
      LeastSquaresOutcome& out = outcomes[j];
      out.iterations = iterations;
      if (!finite) continue;
      const auto& qr = columns[j].qr;
      out.residual = qr.residual;
      out.normal_residual = qr.normal_residual;
      out.norm_x = qr.lq.norm;
      out.cond_a = qr.lq.condition;
      out.norm_a = norm_a;
      now.residual = std::max(now.residual, out.residual);
    }
    const auto stop = monitor.check(now);
    const bool exhausted = !(alpha > 0.0 && beta > 0.0);
    for (std::size_t j = 0; j < size; ++j) {
      if (!is_open(j)) continue;
      LeastSquaresOutcome& out = outcomes[j];
      auto& column = columns[j];
      const auto close = [&](Status status) {
        out.status = status;
        column.open = false;
      };
      if (!finite || !std::isfinite(out.residual) || !std::isfinite(out.normal_residual)) {
        close(Status::nonfinite);
        continue;
      }
      if (exhausted || measure(out) <= column.slack) {
        if (opt.verify) evaluate(j);
        const double measured = measure(out);
        if (!std::isfinite(out.residual) || !std::isfinite(out.normal_residual)) {
          close(Status::nonfinite);
        } else if (measured <= 1.0) {
          close(Status::converged);
        } else if (exhausted || !(measured < 0.5 * column.checked)) {
          close(Status::precision_limit);
        } else {  // the estimates were too good: ask more of them
          column.checked = measured;
          column.slack *= 0.5 / measured;
          out.verified = false;
        }
        if (!column.open) continue;
      }
      if (out.cond_a >= opt.conlim && opt.conlim > 0.0) {
        close(Status::condition_limit);
      } else if (stop) {
        close(*stop);
      } else if (iterations >= limit) {
        close(Status::max_iterations);
      }
    }
  }
  return finish();
}

}  // namespace ritz
