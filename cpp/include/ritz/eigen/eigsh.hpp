// A few extreme eigenpairs of a Hermitian operator: thick-restart Lanczos with full
// reorthogonalisation. Wu, Simon: Thick-restart Lanczos method for large symmetric eigenvalue
// problems. SIAM J. Matrix Anal. Appl. 22, 2000.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/krylov/lanczos.hpp"

namespace ritz {

enum class Which : int {
  largest = 0,    ///< "LA"
  smallest = 1,   ///< "SA"
  magnitude = 2,  ///< "LM"
};

struct EigshOptions {
  Index k = 6;                     ///< eigenpairs wanted, as SciPy
  Which which = Which::magnitude;  ///< as SciPy
  Index ncv = 0;                   ///< basis vectors; 0 means max(2k + 1, 20), as SciPy
  Index max_restarts = 0;          ///< 0 means 10 n, as SciPy
  double tol = 0.0;                ///< ‖Av − θv‖ ≤ tol ‖A‖; 0 means what the precision allows
  bool warm_start = false;         ///< column 0 of the vectors holds a first guess
  bool verify = true;              ///< evaluate the k residuals: k products
  RandomKey seed = {};             ///< of the starting vector, and of new ones after a breakdown
};

struct EigshOutcome : Outcome {
  Index restarts = 0;
  Index found = 0;      ///< pairs returned: k, or fewer if the run was stopped early
  Index converged = 0;  ///< pairs that meet the tolerance
  double norm_a = 0.0;  ///< largest |θ| seen: a lower bound of ‖A‖
};

template <Space S>
struct EigshWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index n, Index m) {
    const auto size = static_cast<std::size_t>(m);
    arena.begin(space, Arena<S>::padded(n) * (m + 1) +
                           2 * Arena<S>::padded(Arena<S>::slot_elements(m + 1)));
    V = arena.block(n, m + 1);
    h = arena.slots(m + 1);
    g = arena.slots(m + 1);
    projected.resize(size * size);
    ritz_vectors.resize(size * size);
    selected.resize(size * size);
    values.resize(size);
    order.resize(size);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> V;
  std::span<WideOf<T>> h, g;
  std::vector<double> projected, ritz_vectors, values;
  std::vector<WideOf<T>> selected;
  std::vector<Index> order;
};

/// Ritz values (ascending) into `values`, residual norms ‖Av − θv‖ into `residuals`, Ritz vectors
/// into `vectors`. By Weyl's bound an eigenvalue lies within the residual norm of each value.
/// Cost: one product and (3j + 6) n of traffic a step, a restart every ncv − kept steps.
template <Space S, LinearOperator<typename S::Value> A>
EigshOutcome eigsh(S& space, const A& op, std::span<double> values, std::span<double> residuals,
                   BlockView<typename S::Value> vectors, EigshWorkspace<S>& ws,
                   const EigshOptions& opt = {}, const Monitor& monitor = {}) {
  using T = typename S::Value;
  if (op.rows() != op.cols()) throw InvalidArgument("A must be square: eigsh needs a Hermitian A");
  const Index n = op.rows();
  if (opt.k < 1 || opt.k > n) {
    throw InvalidArgument("k is " + std::to_string(opt.k) + "; pass 1 to n = " + std::to_string(n));
  }
  const Index k = opt.k;
  const Index m = std::min(n, opt.ncv > 0 ? opt.ncv : std::max<Index>(2 * k + 1, 20));
  if (m < k + 1 && m < n) {
    throw InvalidArgument("ncv is " + std::to_string(opt.ncv) +
                          "; pass at least k + 1 = " + std::to_string(k + 1));
  }
  check_tolerance("tol", opt.tol);
  check_size("vectors", vectors.rows, n);
  for (const auto& [what, came] : {std::pair{"values", static_cast<Index>(values.size())},
                                   {"residuals", static_cast<Index>(residuals.size())},
                                   {"vectors", vectors.cols}}) {
    if (came < k) {
      throw InvalidArgument(std::string(what) + " has room for " + std::to_string(came) +
                            "; k = " + std::to_string(k) + " are wanted");
    }
  }

  const Clock clock;
  ws.prepare(space, n, m);
  auto& V = ws.V;
  const BlockView<double> T_{ws.projected.data(), m, m, m}, Y{ws.ritz_vectors.data(), m, m, m};
  Counted A_(op);
  EigshOutcome out;
  // Rounding in the basis and its restarts leaves residuals of 10 to 30 eps ‖A‖: 64 is attainable.
  constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
  const double tol = std::max(opt.tol, 64.0 * kEps);
  const Index max_restarts = opt.max_restarts > 0 ? opt.max_restarts : 10 * n;

  const auto finish = [&](Status status, Index steps) {
    out.status = status;
    out.iterations = steps;
    out.products = A_.counts;
    out.seconds = clock.seconds();
    return out;
  };
  // The wanted Ritz pairs, best first.
  const auto sort = [&](Index size) {
    std::iota(ws.order.begin(), ws.order.begin() + size, Index{0});
    const auto key = [&](Index i) {
      const double theta = ws.values[static_cast<std::size_t>(i)];
      return opt.which == Which::largest    ? -theta
             : opt.which == Which::smallest ? theta
                                            : -std::abs(theta);
    };
    // Ties by position: as stable_sort, which would allocate.
    std::sort(ws.order.begin(), ws.order.begin() + size,
              [&](Index i, Index j) { return key(i) < key(j) || (key(i) == key(j) && i < j); });
  };

  // yᵀTy / yᵀy in extended precision. The small eigensolver errs by an ulp, at every restart with
  // the same sign, so that after hundreds of them its own eigenvalues would be wrong by hundreds.
  const auto rayleigh_quotient = [&](Index column, Index size) {
    long double above = 0.0L, below = 0.0L;
    for (Index j = 0; j < size; ++j) {
      const long double y = Y(j, column);
      long double Ty = 0.0L;
      for (Index i = 0; i < size; ++i) Ty += static_cast<long double>(T_(i, j)) * Y(i, column);
      above += y * Ty;
      below += y * y;
    }
    return static_cast<double>(above / below);
  };

  std::uint64_t stream = opt.seed.stream;
  double norm0 = 0.0;
  if (opt.warm_start) {
    space.copy(vectors.column(0), V.column(0));
    norm0 = std::sqrt(space.read(space.norm2(V.column(0))));
    if (norm0 > 0.0) space.scale(1.0 / norm0, V.column(0));
  }
  if (!(norm0 > 0.0)) {
    random_orthonormal(space, {opt.seed.seed, stream++}, V.columns(0, 0), V.column(0), ws.h, ws.g);
  }
  std::fill(ws.projected.begin(), ws.projected.end(), 0.0);

  Index kept = 0, steps = 0, size = m;
  double beta = 0.0;
  std::optional<Status> stop;
  for (;; ++out.restarts) {
    for (Index j = kept; j < m && !stop; ++j) {
      const LanczosStep step = lanczos_step(space, A_, V, j, ws.h, ws.g);
      ++steps;
      if (!std::isfinite(step.alpha) || !std::isfinite(step.beta)) {
        out.found = out.converged = 0;
        return finish(Status::nonfinite, steps);
      }
      size = j + 1;
      beta = step.beta;
      T_(j, j) = step.alpha;
      out.norm_a = std::max(out.norm_a, std::hypot(step.alpha, beta));
      if (beta <= kEps * out.norm_a || size == n) {
        // The Krylov space is invariant: go on from a new direction, so that eigenvalues that the
        // start could not see, multiple ones above all, are found too.
        beta = 0.0;
        if (size < n) {
          random_orthonormal(space, {opt.seed.seed, stream++}, V.columns(0, size), V.column(size),
                             ws.h, ws.g);
        }
      }
      if (size < m) T_(size, j) = T_(j, size) = beta;

      Iteration now;
      now.iteration = steps;
      now.products = A_.counts;
      now.residual = out.residual;
      now.clock = &clock;
      stop = monitor.check(now);
    }

    // Rayleigh-Ritz; the residual of pair i is β times the last entry of its vector.
    const BlockView<double> Y_ = Y.leading(size);
    std::copy(ws.projected.begin(), ws.projected.end(), ws.ritz_vectors.begin());
    dense::eigh(Y_, std::span(ws.values).first(static_cast<std::size_t>(size)));
    sort(size);
    out.norm_a = std::max({out.norm_a, std::abs(ws.values[0]),
                           std::abs(ws.values[static_cast<std::size_t>(size - 1)])});
    out.target = tol * out.norm_a;
    out.residual = 0.0;
    out.converged = 0;
    out.found = std::min(k, size);
    for (Index i = 0; i < out.found; ++i) {
      const double residual = std::abs(beta * Y_(size - 1, ws.order[static_cast<std::size_t>(i)]));
      out.residual = std::max(out.residual, residual);
      // Half of the least tolerance is left to rounding, which this estimate knows nothing of.
      if (residual <= out.target - 32.0 * kEps * out.norm_a) ++out.converged;
    }

    const bool last = out.converged == k || stop || size == n || out.restarts == max_restarts;
    const Index keep = last ? out.found : std::clamp((3 * m + 2 * out.converged) / 5, k, m - 1);
    for (Index i = 0; i < keep; ++i) {
      const Index from = ws.order[static_cast<std::size_t>(i)];
      ws.values[static_cast<std::size_t>(from)] = rayleigh_quotient(from, size);
    }
    if (last) {  // ascending, as SciPy
      std::sort(ws.order.begin(), ws.order.begin() + keep, [&](Index i, Index j) {
        return ws.values[static_cast<std::size_t>(i)] < ws.values[static_cast<std::size_t>(j)];
      });
    }
    for (Index i = 0; i < keep; ++i) {
      const Index from = ws.order[static_cast<std::size_t>(i)];
      for (Index row = 0; row < size; ++row) {
        ws.selected[static_cast<std::size_t>(row + i * m)] = Y_(row, from);
      }
    }
    space.combine(V.columns(0, size), {ws.selected.data(), size, keep, m});
    if (last) break;

    // Restart: T = diag(θ) bordered by β times the last entries of the Ritz vectors.
    space.copy(V.column(m), V.column(keep));
    std::fill(ws.projected.begin(), ws.projected.end(), 0.0);
    for (Index i = 0; i < keep; ++i) {
      const Index from = ws.order[static_cast<std::size_t>(i)];
      T_(i, i) = ws.values[static_cast<std::size_t>(from)];
      T_(i, keep) = T_(keep, i) = beta * Y_(m - 1, from);
    }
    kept = keep;
  }

  Status status = Status::converged;
  if (out.converged < k) status = stop.value_or(Status::max_iterations);
  out.residual = 0.0;
  out.converged = 0;
  for (Index i = 0; i < out.found; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const Index from = ws.order[at];
    values[at] = ws.values[static_cast<std::size_t>(from)];
    space.copy(V.column(i), vectors.column(i));
    space.scale(1.0 / std::sqrt(space.read(space.norm2(vectors.column(i)))), vectors.column(i));
    residuals[at] = std::abs(beta * Y(size - 1, from));
    if (opt.verify) {
      const VectorView<T> w = V.column(m);
      A_.apply(vectors.column(i), w);
      residuals[at] = std::sqrt(space.read(space.axpy_norm2(-values[at], vectors.column(i), w)));
    }
    if (!std::isfinite(residuals[at])) {
      out.found = out.converged = 0;
      return finish(Status::nonfinite, steps);
    }
    out.residual = std::max(out.residual, residuals[at]);
    if (residuals[at] <= out.target) ++out.converged;
  }
  out.verified = opt.verify;
  if (status == Status::converged && out.converged < k) status = Status::precision_limit;
  return finish(status, steps);
}

}  // namespace ritz
