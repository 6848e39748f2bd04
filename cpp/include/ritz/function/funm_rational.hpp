// f(A) b for a Hermitian positive definite operator by partial fractions, c b + Σ wᵢ (tA + σᵢ)⁻¹ b,
// with all the systems solved in one Krylov space: cg_shifts.hpp, partial_fractions.hpp.
#pragma once

#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/function/funm_options.hpp"
#include "ritz/function/partial_fractions.hpp"
#include "ritz/krylov/cg_shifts.hpp"

namespace ritz {

/// Columns for as many solutions as there are poles, and one vector more.
template <Space S>
struct FunmRationalWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index n, Index poles) {
    arena.begin(space, (poles + 1) * Arena<S>::padded(n));
    X = arena.block(n, poles);
    w = arena.vector(n);
    weights.resize(static_cast<std::size_t>(poles));
  }
  std::size_t bytes() const { return arena.bytes() + cg.bytes(); }

  Arena<S> arena;
  BlockView<T> X;
  VectorView<T> w;
  std::vector<WideOf<T>> weights;
  CgShiftsWorkspace<S> cg;
};

/// y = r(tA) b, t > 0, for a spectrum of A within [opt.low, opt.high], opt.low ≥ 0. The error is
/// that of r and Σ |wᵢ| ‖rᵢ‖/(t low + σᵢ) of the systems, whose residuals rᵢ are evaluated: a
/// bound. One product an iteration for all poles, one for each pole to verify, one to begin, one
/// more for times_x. Memory: 2 vectors a pole and 4. Traffic of an iteration: (6 + 4 poles) n.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm_rational(S& space, const Op& A, VectorView<const typename S::Value> b,
                          VectorView<typename S::Value> y, const PartialFractions& r,
                          FunmRationalWorkspace<S>& ws, const FunmOptions& opt,
                          const Monitor& monitor, FunmAccount& account) {
  using T = typename S::Value;
  constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
  const Clock clock;
  const Index n = A.rows(), poles = static_cast<Index>(r.shifts.size());
  if (A.rows() != A.cols()) throw InvalidArgument("A must be square: funm needs a Hermitian A");
  check_size("b", b.size, n);
  check_size("y", y.size, n);
  if (!(opt.t > 0.0 && std::isfinite(opt.t))) throw InvalidArgument("t must be positive");
  ws.prepare(space, n, poles);
  FunmOutcome out;
  out.basis = 0;
  out.bound = true;
  Counted A_(A);
  const auto finish = [&](Status status) {
    if (status == Status::nonfinite) {
      space.fill(std::numeric_limits<double>::quiet_NaN(), y);
      account = {};
    }
    out.status = status;
    out.residual = account.error;
    out.seconds = clock.seconds();
    return out;
  };
  const double norm_b = std::sqrt(right_hand_side_norm2(space, b, opt.rtol, y));
  if (!std::isfinite(norm_b)) return finish(Status::nonfinite);
  if (norm_b == 0.0) {
    space.fill(0.0, y);
    account = {0.0, 0.0};
    out.verified = true;
    return finish(Status::converged);
  }
  // |r| at the Rayleigh quotient is about ‖y‖/‖b‖: exactly for the square root, below it for convex
  // r.
  A_.apply(b, ws.w);
  out.products = A_.counts;
  const double quotient = opt.t * space.read(space.real_dot(b, ws.w)) / (norm_b * norm_b);
  if (!std::isfinite(quotient)) return finish(Status::nonfinite);
  const double low = opt.t * opt.low, high = opt.t * opt.high;
  const double size = std::abs(r(std::clamp(quotient, low, high))) * norm_b;
  const double goal = std::max(opt.rtol * size, opt.atol);
  const auto reach = [&](double sigma) {  // ‖(A + σ)⁻¹‖, times ‖A‖ on the way out
    return r.times_x ? high / (high + sigma) : 1.0 / (low + sigma);
  };
  double sum = 0.0;
  for (std::size_t i = 0; i < r.shifts.size(); ++i) {
    sum += std::abs(r.weights[i]) * reach(r.shifts[i]);
  }

  std::vector<double> shifts(r.shifts);
  for (double& sigma : shifts) sigma /= opt.t;
  std::vector<Outcome> outcomes(shifts.size());
  CgShiftsOptions linear;
  linear.rtol = 0.0;
  linear.atol = std::max(0.5 * goal / sum, 2.0 * kEps * norm_b);
  linear.max_iterations = opt.max_iterations;
  const Continued rest{&monitor, &clock, A_.counts, 0};
  const Outcome solved =
      cg_shifts(space, A, b, ws.X, shifts, ws.cg, linear, rest.monitor(), outcomes);
  out.iterations = solved.iterations;
  out.products += solved.products;
  out.verified = solved.verified;
  if (solved.status == Status::nonfinite) return finish(Status::nonfinite);

  double systems = 0.0, magnitude = 0.0;
  for (std::size_t i = 0; i < shifts.size(); ++i) {
    ws.weights[i] = r.weights[i] / opt.t;
    systems += std::abs(r.weights[i]) * reach(r.shifts[i]) * outcomes[i].residual;
    magnitude += std::abs(r.weights[i]) * reach(r.shifts[i]);
  }
  const auto to = r.times_x ? ws.w : y;
  space.axpby(r.constant, b, 0.0, to);
  space.axpy_columns(BlockView<const T>(ws.X), ws.weights, to);
  if (r.times_x) {
    Counted last(A);
    last.apply(ws.w, y);
    space.scale(opt.t, y);
    out.products += last.counts;
  }
  account.norm = std::sqrt(space.read(space.norm2(y)));
  account.error = systems + r.error * norm_b + 2.0 * kEps * account.norm;
  if (!std::isfinite(account.norm)) return finish(Status::nonfinite);
  out.target = std::max(opt.rtol * account.norm, opt.atol);
  if (account.error <= out.target) return finish(Status::converged);
  return finish(solved.status == Status::converged ? Status::precision_limit : solved.status);
}

}  // namespace ritz
