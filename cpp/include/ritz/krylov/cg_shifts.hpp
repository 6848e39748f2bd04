// Conjugate gradients for many shifts: (A + σᵢ I) xᵢ = b for i = 1 … s from one Krylov space, with
// one product an iteration for all of them.
//
// Residuals of all the systems stay collinear, rᵢ = ζᵢ r, where r belongs to the smallest shift,
// whose run the others follow by scalar recurrences. Jegerlehner: Krylov space solvers for shifted
// linear systems. arXiv:hep-lat/9612014, 1996. Van den Eshof, Sleijpen: Accurate conjugate gradient
// methods for families of shifted systems. Appl. Numer. Math. 49, 2004. Only the ratios
// ω = ζₙ₊₁/ζₙ and η = 1 − ω are formed here, which neither overflow nor cancel.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/families.hpp"
#include "ritz/op/algebra.hpp"
#include "ritz/op/counted.hpp"
#include "ritz/op/operator_ref.hpp"

namespace ritz {

struct CgShiftsOptions {
  double rtol = 1e-5;        ///< stop at ‖b − (A + σI) x‖ ≤ max(rtol ‖b‖, atol), each by itself
  double atol = 0.0;         ///< 0: an absolute threshold would depend on the units of b
  Index max_iterations = 0;  ///< 0 means 10 n, as cg
  bool verify = true;        ///< evaluate b − (A + σI) x before claiming convergence: s products

  template <class F>
  void visit(F f) {
    f("rtol", rtol);
    f("atol", atol);
    f("max_iterations", max_iterations);
    f("verify", verify);
  }
};

/// Vectors of length n: r, q and s columns P; three more if a column has to be finished by itself.
template <Space S>
struct CgShiftsWorkspace {
  using T = typename S::Value;

  /// What a shift's run knows of itself.
  struct Column {
    double zeta;  ///< its residual over that of the smallest shift
    double eta;   ///< 1 − ζ / (the last ζ)
    bool open;    ///< still iterating
    bool met;     ///< its recurrence met the target
  };

  void prepare(S& space, Index n, Index count) {
    arena.begin(space, (2 + count) * Arena<S>::padded(n));
    for (auto* v : {&r, &q}) *v = arena.vector(n);
    P = arena.block(n, count);
    for (auto* h : {&a, &b, &z}) h->resize(static_cast<std::size_t>(count));
    columns.resize(static_cast<std::size_t>(count));
  }
  std::size_t bytes() const { return arena.bytes() + cg.bytes(); }

  Arena<S> arena;
  VectorView<T> r, q;
  BlockView<T> P;
  std::vector<WideOf<T>> a, b, z;
  std::vector<Column> columns;
  CgWorkspace<S> cg;
};

/// Solves (A + shifts[j] I) X_j = b, for Hermitian A and shifts that make all of them positive
/// definite; `outcomes[j]` tells of X_j and of the products made for it alone, the returned outcome
/// of all: its status is the first that is not `converged`.
///
/// Memory movement per iteration, without the operator: pᴴq 2n, r 3n, {X, P} 4n for each shift that
/// goes on, r once more: 6n + 4ns; 3n more unless the smallest shift is 0. A shift that has met its
/// target is left alone from then on. At the end all are verified by one block product; one that
/// fails is finished by plain conjugate gradients from where it is.
template <Space S, LinearOperator<typename S::Value> Op>
Outcome cg_shifts(S& space, const Op& A, VectorView<const typename S::Value> b,
                  BlockView<typename S::Value> X, std::span<const double> shifts,
                  CgShiftsWorkspace<S>& ws, const CgShiftsOptions& opt, const Monitor& monitor,
                  std::span<Outcome> outcomes) {
  using T = typename S::Value;
  const Clock clock;
  const Index n = A.rows(), count = X.cols;
  check_size("A.cols()", A.cols(), n);
  check_size("b", b.size, n);
  check_size("X", X.rows, n);
  check_size("shifts", static_cast<Index>(shifts.size()), count);
  check_size("outcomes", static_cast<Index>(outcomes.size()), count);
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);
  for (const double sigma : shifts) {
    if (!std::isfinite(sigma)) throw InvalidArgument("shifts must be finite");
  }
  ws.prepare(space, n, count);
  const auto r = ws.r, q = ws.q;
  const auto P = ws.P;
  auto& columns = ws.columns;
  const std::size_t size = columns.size();
  Counted A_(A);
  const Index limit = opt.max_iterations > 0 ? opt.max_iterations : 10 * n;

  const double norm_b = std::sqrt(right_hand_side_norm2(space, b, opt.rtol, r));
  const double target = std::max(opt.rtol * norm_b, opt.atol);
  // A residual below the rounding of b is as good as none: going on would move nothing but ζ.
  const double enough = std::max(target, std::numeric_limits<RealOf<T>>::epsilon() / 4.0 * norm_b);
  for (std::size_t j = 0; j < size; ++j) {
    columns[j] = {1.0, 0.0, true, false};
    outcomes[j] = {};
    outcomes[j].target = target;
    outcomes[j].residual = norm_b;
    space.fill(0.0, X.column(static_cast<Index>(j)));
  }
  std::optional<Status> stop;
  Index iterations = 0;
  const auto close_all = [&](Status status) {
    for (std::size_t j = 0; j < size; ++j) {
      if (!columns[j].open) continue;
      outcomes[j].status = status;
      outcomes[j].iterations = iterations;
      columns[j].open = false;
    }
  };
  const auto is_open = [&](std::size_t j) { return columns[j].open; };
  const auto slice = [](const std::vector<WideOf<T>>& a, Index from, Index length) {
    return std::span(a).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(length));
  };
  if (!std::isfinite(norm_b)) {
    close_all(Status::nonfinite);
  } else if (norm_b <= target) {  // x = 0 will do
    for (Outcome& out : outcomes) out.verified = true;
    close_all(Status::converged);
  } else {
    space.copy(b, r);
  }

  // Each pass starts from collinear residuals; another is made only where A + σI, σ the smallest
  // shift, turned out not to be positive definite, and the others go on without it.
  for (;;) {
    std::size_t base = size;
    for (std::size_t j = 0; j < size; ++j) {
      if (columns[j].open && (base == size || shifts[j] < shifts[base])) base = j;
    }
    if (base == size) break;
    const double sigma = shifts[base], scale = columns[base].zeta;
    const auto p = P.column(static_cast<Index>(base));
    space.scale(scale, r);
    for (std::size_t j = 0; j < size; ++j) {
      columns[j].zeta /= scale;
      columns[j].eta = 0.0;
      if (is_open(j)) space.axpby(columns[j].zeta, r, 0.0, P.column(static_cast<Index>(j)));
    }
    double rr = space.read(space.norm2(r)), carried = 0.0;  // β/α of the last iteration

    while (columns[base].open) {
      A_.apply(p, q);
      if (sigma != 0.0) space.axpby(sigma, p, 1.0, q);
      const double pq = space.read(space.real_dot(p, q));
      const double alpha = rr / pq;
      if (pq <= 0.0) {
        outcomes[base].status = Status::negative_curvature;
        columns[base].open = false;
        break;
      }
      const double rr_next = space.read(space.axpy_norm2(-alpha, q, r));
      ++iterations;
      if (!std::isfinite(pq) || !std::isfinite(rr_next)) {
        close_all(Status::nonfinite);
        break;
      }
      const double beta = rr_next / rr;

      for (std::size_t j = 0; j < size; ++j) {
        if (!is_open(j)) continue;
        auto& c = columns[j];
        const double e = alpha * ((shifts[j] - sigma) + carried * c.eta);
        const double omega = 1.0 / (1.0 + e);
        c.eta = e * omega;
        c.zeta *= omega;
        ws.a[j] = alpha * omega;
        ws.b[j] = beta * omega * omega;
        ws.z[j] = c.zeta;
      }
      // x = x + ω α p, p = ζ r + ω² β p
      each_run(count, is_open, [&](Index j, Index run) {
        space.multi_shift(slice(ws.a, j, run), slice(ws.b, j, run), slice(ws.z, j, run), r,
                          X.columns(j, run), P.columns(j, run));
      });
      rr = rr_next;
      carried = beta / alpha;

      const double residual = std::sqrt(rr);
      for (std::size_t j = 0; j < size; ++j) {
        if (!is_open(j)) continue;
        outcomes[j].iterations = iterations;
        outcomes[j].residual = columns[j].zeta * residual;
        columns[j].met = outcomes[j].residual <= enough;
        columns[j].open = !columns[j].met;
      }
      Iteration now;
      now.iteration = iterations;
      now.products = A_.counts;
      now.residual = residual;
      now.clock = &clock;
      stop = monitor.check(now);
      if (!stop && iterations >= limit) stop = Status::max_iterations;
      if (stop) close_all(*stop);
    }
  }

  // The true residuals, in what was P.
  const auto met = [&](std::size_t j) { return columns[j].met; };
  if (opt.verify) {
    each_run(count, met, [&](Index j, Index run) {
      apply_columns(A, BlockView<const T>(X.columns(j, run)), P.columns(j, run));
      (BlockOperator<Op, T> && run > 1 ? A_.counts.columns : A_.counts.apply) += run;
    });
  }
  for (std::size_t j = 0; j < size; ++j) {
    if (!met(j)) continue;
    Outcome& out = outcomes[j];
    out.status = Status::converged;
    if (!opt.verify) continue;
    const auto x = X.column(static_cast<Index>(j));
    out.residual = std::sqrt(
        space.read(space.add3_norm2(1.0, b, -shifts[j], x, -1.0, P.column(static_cast<Index>(j)))));
    out.verified = true;
    out.products.columns = 1;
    if (out.residual <= target) continue;
    out.status = stop.value_or(Status::precision_limit);
    if (!std::isfinite(out.residual)) out.status = Status::nonfinite;
    if (stop || enough > target || !std::isfinite(out.residual)) continue;
    // The recurrence has drifted from the truth: finish this one by itself.
    CgOptions rest;
    rest.rtol = opt.rtol;
    rest.atol = opt.atol;
    rest.max_iterations = std::max<Index>(limit - out.iterations, 1);
    rest.warm_start = true;
    const Continued part{&monitor, &clock, A_.counts, iterations};
    const Shifted<S, OperatorRef<T>> shifted(space, OperatorRef<T>(A), shifts[j]);
    const CgOutcome finished = cg(space, shifted, b, x, ws.cg, rest, part.monitor());
    A_.counts += finished.products;
    iterations += finished.iterations;
    out.status = finished.status;
    out.iterations += finished.iterations;
    out.products += finished.products;
    out.residual = finished.residual;
    out.verified = finished.verified;
  }

  return together(outcomes, iterations, A_.counts, clock.seconds());
}

}  // namespace ritz
