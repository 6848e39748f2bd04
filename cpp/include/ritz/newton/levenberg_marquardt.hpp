// Levenberg-Marquardt-damped Gauss-Newton: min ℓ(f(x)) + (μ/2) ‖x‖² by steps d that solve
//   (Jᴴ H J + μ I + λ D) d = −g,    D ≈ diag(JᴴJ) + μ,  λ = 1 / radius,
// inexactly, by conjugate gradients preconditioned with D⁻¹, which gives the same iterates as
// column scaling, or with what the model offers.
//
// Levenberg 1944; Marquardt 1963; damping by Nielsen: Damping parameter in Marquardt's method.
// IMM-REP-1999-05, Technical University of Denmark, 1999; inner stop by Nash and Sofer (see
// cg.hpp).
#pragma once

#include <algorithm>
#include <cmath>

#include "ritz/krylov/cg.hpp"
#include "ritz/newton/model.hpp"
#include "ritz/op/jacobian.hpp"

namespace ritz {

struct LevenbergMarquardtOptions {
  double ftol = 1e-8;  ///< stop when an accepted step changes the cost, and was predicted to, by at
                       ///< most ftol · cost
  double xtol = 1e-8;  ///< stop when an accepted step has ‖d‖_D ≤ xtol ‖x‖_D
  double gtol = 1e-8;  ///< stop when ‖g‖_{D⁻¹} ≤ gtol ‖f‖: for half the sum of squares, the cosine
                       ///< between f and the columns of J, as MINPACK; for other losses, gtol times
                       ///< its value at the start
  Index max_iterations = 100;   ///< trial steps, accepted or not
  double l2 = 0.0;              ///< μ
  double initial_radius = 1e4;  ///< as Ceres: nearly undamped, for columns of unit length
  double max_radius = 1e16;     ///< as Ceres: beyond it λD is lost in rounding
  double min_gain = 1e-3;       ///< accept a step with gain ratio above this, as Ceres
  double forcing = 1e-2;        ///< quadratic_rtol of the inner CG
  Index max_inner = 500;        ///< CG iterations a step, as Ceres
  Index probes = 16;            ///< random VJPs for D at the start; fewer leave D too noisy, and
                                ///< with probes ≥ n the columns are measured exactly by n JVPs
  Index refresh = 2;            ///< new probes mixed into D at every accepted step
  RandomKey seed = {};          ///< of the probes
};

enum class Reason : int { none = 0, gradient = 1, cost = 2, step = 3 };

/// `residual` and `target` are those of the test that was met: of the gradient unless it was
/// another.
struct LevenbergMarquardtOutcome : Outcome {
  Reason reason = Reason::none;  ///< which test was met
  double cost = INFINITY;        ///< ℓ(f(x)) + (μ/2) ‖x‖²
  double gradient_norm = INFINITY;
  Index evaluations = 0;  ///< of the model
  Index linearizations = 0;
  Index inner_iterations = 0;
  Index accepted = 0;
};

/// One sentence for people; see message(const Outcome&).
inline std::string message(const LevenbergMarquardtOutcome& out) {
  if (out.status != Status::converged) return message(static_cast<const Outcome&>(out));
  const char* what = out.reason == Reason::cost   ? "the relative change of the cost"
                     : out.reason == Reason::step ? "the relative length of the step"
                                                  : "the scaled gradient";
  char text[160];
  std::snprintf(text, sizeof text, "converged at iteration %lld: %s is %.3e, at most %.3e",
                static_cast<long long>(out.iterations), what, out.residual, out.target);
  return text;
}

/// Eleven vectors of the parameters' length and four of the outputs'.
template <Space S>
struct LevenbergMarquardtWorkspace {
  using Vector = VectorView<typename S::Value>;

  void prepare(S& space, Index m, Index n) {
    arena.begin(space, 4 * Arena<S>::padded(m) + 7 * Arena<S>::padded(n));
    for (Vector* v : {&z, &z_trial, &u, &hu}) *v = arena.vector(m);
    for (Vector* v : {&x_trial, &d, &g, &columns, &D, &D_inverse, &t}) *v = arena.vector(n);
  }
  std::size_t bytes() const { return arena.bytes() + cg.bytes(); }

  Arena<S> arena;
  CgWorkspace<S> cg;
  Vector z, z_trial, u, hu, x_trial, d, g, columns, D, D_inverse, t;
};

/// Minimises from x, in place: on return x is the best point found. Products a trial step: one JVP
/// and one VJP for each inner iteration; an accepted step adds a VJP for g and `refresh` for D.
template <Space S, Model<typename S::Value> F, Loss<typename S::Value> L = HalfSquaredLoss>
LevenbergMarquardtOutcome levenberg_marquardt(S& space, F& f, VectorView<typename S::Value> x,
                                              LevenbergMarquardtWorkspace<S>& ws,
                                              const LevenbergMarquardtOptions& opt = {},
                                              const Monitor& monitor = {}, L loss = {}) {
  using T = typename S::Value;
  using Vector = VectorView<T>;
  using ConstVector = VectorView<const T>;
  constexpr bool kSquared = std::same_as<L, HalfSquaredLoss>;
  // A few parameters cost a few products: their steps are solved for, not truncated.
  constexpr double kExactForcing = 1e-6;
  check_size("x", x.size, f.parameters());
  for (const auto& [what, value] :
       {std::pair{"ftol", opt.ftol}, {"xtol", opt.xtol}, {"gtol", opt.gtol}, {"l2", opt.l2}}) {
    check_tolerance(what, value);
  }

  const Clock clock;
  const Index m = f.outputs(), n = f.parameters();
  ws.prepare(space, m, n);
  auto& [arena, cg_ws, z, z_trial, u, hu, x_trial, d, g, columns, D, D_inverse, t] = ws;
  LevenbergMarquardtOutcome out;

  const auto finish = [&](Status status, Index iterations, Reason reason = Reason::none) {
    out.status = status;
    out.reason = reason;
    out.iterations = iterations;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };
  const auto jvp = [&](ConstVector v, Vector result) {
    ++out.products.apply;
    f.jvp(v, result);
  };
  const auto vjp = [&](ConstVector v, Vector result) {
    ++out.products.adjoint;
    f.vjp(v, result);
  };
  // ‖v‖ weighted by the diagonal w; t is overwritten.
  const auto norm_in = [&](Vector w, Vector v) {
    space.multiply(w, v, t);
    return std::sqrt(space.read(space.real_dot(v, t)));
  };
  // Infinite where the model fails: such a trial step is rejected like one that climbs.
  const auto cost_at = [&](ConstVector point, Vector output) -> double {
    ++out.evaluations;
    if (!f.evaluate(point, output)) return INFINITY;
    double cost = 0.0;
    if constexpr (kSquared) {
      cost = space.read(space.norm2(output)) / 2.0;
    } else {
      cost = loss.value(ConstVector(output));
    }
    if (opt.l2 > 0.0) cost += opt.l2 * space.read(space.norm2(point)) / 2.0;
    return std::isfinite(cost) ? cost : INFINITY;
  };
  const auto linearize = [&] {
    ++out.linearizations;
    f.linearize(x);
    if constexpr (kSquared) {
      vjp(z, g);
    } else {
      loss.gradient(ConstVector(z), u);
      vjp(u, g);
    }
    space.axpby(opt.l2, x, 1.0, g);
    out.gradient_norm = std::sqrt(space.read(space.norm2(g)));
  };
  // D = diag(JᴴJ) + μ: from the columns themselves, or as E |Jᴴs|² over random signs s. A running
  // mean: it evens out the noise of `refresh` probes, and keeps a parameter whose column all but
  // vanishes on the way from running off undamped.
  std::uint64_t stream = opt.seed.stream;
  const auto rescale = [&](Index probes) {
    const double fresh =
        std::min(1.0, static_cast<double>(probes) / static_cast<double>(opt.probes));
    space.scale(1.0 - fresh, columns);
    if (n <= opt.probes) {
      space.fill(0.0, t);
      for (Index j = 0; j < n; ++j) {
        space.fill(1.0, t.middle(j, 1));
        jvp(t, u);
        space.fill(0.0, t.middle(j, 1));
        space.fill(std::sqrt(fresh * space.read(space.norm2(u))), D.middle(j, 1));
      }
      space.add_squares(1.0, D, columns);
    } else {
      for (Index i = 0; i < probes; ++i) {
        space.random_signs({opt.seed.seed, stream++}, u);
        vjp(u, t);
        space.add_squares(fresh / static_cast<double>(probes), t, columns);
      }
    }
    space.fill(opt.l2, D);
    space.axpby(1.0, columns, 1.0, D);
    space.reciprocal(D, D_inverse);
    space.reciprocal(D_inverse, D);  // a column that vanishes counts as one of unit length
  };

  out.cost = cost_at(x, z);
  if (out.cost == INFINITY) return finish(Status::evaluation_failed, 0);
  linearize();
  space.fill(0.0, columns);
  rescale(opt.probes);
  if (!std::isfinite(out.gradient_norm)) return finish(Status::nonfinite, 0);
  out.residual = norm_in(D_inverse, g);
  const double first = out.residual;
  const auto gradient_target = [&] {
    return opt.gtol * (kSquared ? std::sqrt(2.0 * out.cost) : first);
  };
  out.target = gradient_target();
  if (out.residual == 0.0) return finish(Status::converged, 0, Reason::gradient);

  double radius = opt.initial_radius, shrink = 2.0;
  for (Index k = 0; k < opt.max_iterations; ++k) {
    const double lambda = 1.0 / radius;
    const auto damped_gauss_newton = make_operator<T>(n, n, [&](ConstVector v, Vector y) {
      jvp(v, u);
      if constexpr (kSquared) {
        vjp(u, y);
      } else {
        loss.hessian_product(ConstVector(z), ConstVector(u), hu);
        vjp(hu, y);
      }
      if (opt.l2 > 0.0) space.axpby(opt.l2, v, 1.0, y);
      space.multiply_add(lambda, D, v, y);
    });
    const auto preconditioner = make_operator<T>(n, n, [&](ConstVector r, Vector y) {
      if constexpr (PreconditionedModel<F, T>) {
        if (has_preconditioner<T>(f)) return f.precondition(r, y);
      }
      space.multiply(D_inverse, r, y);
    });
    if constexpr (PreconditionedModel<F, T>) {
      if (has_preconditioner<T>(f)) {
        space.fill(opt.l2, t);
        space.axpby(lambda, D, 1.0, t);
        f.prepare(t);
      }
    }

    CgOptions inner;
    inner.rtol = 0.0;  // the residual says little about a truncated Newton step
    inner.quadratic_rtol = n <= opt.probes ? std::min(opt.forcing, kExactForcing) : opt.forcing;
    inner.max_iterations = opt.max_inner;
    inner.verify = false;
    // Time and products run out inside a step too; the step as far as it came is tried all the
    // same.
    Monitor within;
    within.timeout = monitor.timeout - clock.seconds();
    within.max_products = std::max<Index>(1, (monitor.max_products - out.products.total()) / 2);
    within.check_every = monitor.check_every;
    space.axpby(-1.0, g, 0.0, x_trial);
    const CgOutcome step = cg(space, damped_gauss_newton, ConstVector(x_trial), d, cg_ws, inner,
                              within, preconditioner);
    out.inner_iterations += step.iterations;
    if (step.status == Status::nonfinite) return finish(Status::nonfinite, k + 1);

    // cg's Q contains the damping term, which the model of the cost does not.
    const double step_D = norm_in(D, d);
    const double predicted = step.model_decrease + lambda / 2.0 * step_D * step_D;
    if (!(predicted > 0.0)) return finish(Status::stagnation, k + 1);
    // What the model promises without damping, whose part in shortening the step is 1 / (1 + λ):
    // with wrong derivatives radius, predicted decrease and change vanish together, and mean
    // nothing.
    const double promised = (1.0 + lambda) * predicted;
    space.axpby(1.0, x, 0.0, x_trial);
    space.axpby(1.0, d, 1.0, x_trial);
    const double cost = cost_at(x_trial, z_trial);
    const double change = out.cost - cost;
    const double gain = change / predicted;
    const bool accepted = gain > opt.min_gain;

    Iteration now;
    now.iteration = k + 1;
    now.change = change;
    now.step_norm = std::sqrt(space.read(space.norm2(d)));
    now.gain_ratio = gain;
    now.damping = lambda;
    now.inner_iterations = step.iterations;
    now.accepted = accepted;

    Reason met = Reason::none;
    if (accepted) {
      ++out.accepted;
      const double before = out.cost;
      out.cost = cost;
      space.copy(x_trial, x);
      std::swap(z, z_trial);
      const double x_D = norm_in(D, x);
      linearize();
      rescale(opt.refresh);
      if (!std::isfinite(out.gradient_norm)) return finish(Status::nonfinite, k + 1);
      out.residual = norm_in(D_inverse, g);
      out.target = gradient_target();
      radius = std::min(opt.max_radius,
                        radius / std::max(1.0 / 3.0, 1.0 - std::pow(2.0 * gain - 1.0, 3)));
      shrink = 2.0;
      if (out.residual <= out.target) {
        met = Reason::gradient;
      } else if (std::max(change, promised) <= opt.ftol * before) {
        met = Reason::cost;
        out.residual = std::max(change, predicted) / before;
        out.target = opt.ftol;
      } else if (step_D <= opt.xtol * x_D && lambda <= 1.0) {  // not short by damping
        met = Reason::step;
        out.residual = step_D / x_D;
        out.target = opt.xtol;
      }
    } else {
      // Rounding in the cost hides a decrease this small: nothing better can be told from here.
      constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
      if (promised <= opt.ftol * out.cost && std::abs(change) <= 10.0 * kEps * out.cost) {
        met = Reason::cost;
      }
      radius /= shrink;
      shrink *= 2.0;
    }

    now.products = out.products;
    now.residual = out.residual;
    now.objective = out.cost;
    now.gradient_norm = out.gradient_norm;
    now.x = x.data;
    now.size = n;
    now.clock = &clock;
    const auto stop = monitor.check(now);
    if (met != Reason::none) return finish(Status::converged, k + 1, met);
    if (stop) return finish(*stop, k + 1);
    // d has lost all digits against x, and the cost still will not fall.
    if (radius < 1e-32) return finish(Status::stagnation, k + 1);
  }
  return finish(Status::max_iterations, opt.max_iterations);
}

}  // namespace ritz
