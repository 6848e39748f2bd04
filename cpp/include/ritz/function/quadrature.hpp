// uᴴ f(A) u and uᴴ f(A) v of a Hermitian A, each between a lower and an upper bound.
// Golub, Meurant: Matrices, moments and quadrature. Numerical Analysis 1993, Pitman, 1994.
#pragma once

#include <array>
#include <numeric>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/function/bracket.hpp"
#include "ritz/function/lanczos_block.hpp"

namespace ritz {

struct QuadratureOptions {
  double rtol = 1e-6;      ///< stop when half of the bracket is at most rtol |value| + atol
  double atol = 0.0;       ///< likewise
  Index max_steps = 0;     ///< Lanczos steps; 0 means the smaller of n and 200
  bool keep_basis = true;  ///< false: three vectors instead of one a step, more steps
  double low = -std::numeric_limits<double>::infinity();  ///< no eigenvalue of A is less
  double high = std::numeric_limits<double>::infinity();  ///< no eigenvalue of A is greater

  template <class F>
  void visit(F g) {
    g("rtol", rtol);
    g("atol", atol);
    g("max_steps", max_steps);
    g("keep_basis", keep_basis);
    g("low", low);
    g("high", high);
  }
};

template <Field T>
struct QuadratureOutcome : Outcome {
  WideOf<T> value = std::numeric_limits<double>::quiet_NaN();  ///< the middle of the bracket
  /// Of a complex value the bounds of the real and of the imaginary part.
  WideOf<T> lower = -std::numeric_limits<double>::infinity();
  WideOf<T> upper = std::numeric_limits<double>::infinity();
  bool rigorous = false;  ///< the bracket holds by theory; else it is an estimate
};

template <Space S>
struct QuadratureWorkspace {
  using T = typename S::Value;
  /// uᴴ f(A) v needs two runs in a real field and four in a complex one.
  static constexpr Index kBilinear = ComplexField<T> ? 4 : 2;

  void prepare(S& space, Index n, Index terms, const QuadratureOptions& opt) {
    block.prepare(space, Process::lanczos, n, n, terms, steps(n, opt), opt.keep_basis);
    integrals.resize(static_cast<std::size_t>(terms));
    for (auto& integral : integrals) integral.clear();
    active.resize(static_cast<std::size_t>(terms));
    std::iota(active.begin(), active.end(), Index{0});
  }
  std::size_t bytes() const { return block.bytes(); }
  static Index steps(Index n, const QuadratureOptions& opt) {
    return std::min(n, opt.max_steps > 0 ? opt.max_steps : Index{200});
  }

  LanczosBlock<S> block;
  std::vector<BracketedIntegral> integrals;
  std::vector<Index> active;
};

namespace quadrature {

/// Σ coefficients[i] weights[i] ∫ f dμ_i, in pairs: even terms make the real part, odd ones the
/// imaginary part.
template <Space S>
struct Sum {
  std::array<double, 4> weights{};  ///< with their signs

  template <class Outcome>
  void add_up(const QuadratureWorkspace<S>& ws, Outcome& out) const {
    std::array<double, 2> value{}, lower{}, upper{};
    out.rigorous = true;
    for (std::size_t i = 0; i < ws.integrals.size(); ++i) {
      const double c = weights[i];
      if (c == 0.0) continue;
      const Bracket& b = ws.integrals[i].bracket;
      const std::size_t part = i / 2;
      value[part] += c * b.value;
      lower[part] += c * (c > 0.0 ? b.lower : b.upper);
      upper[part] += c * (c > 0.0 ? b.upper : b.lower);
      out.rigorous = out.rigorous && b.rigorous;
    }
    using W = WideOf<typename S::Value>;
    if constexpr (std::same_as<W, double>) {
      out.value = value[0];
      out.lower = lower[0];
      out.upper = upper[0];
    } else {
      out.value = {value[0], value[1]};
      out.lower = {lower[0], lower[1]};
      out.upper = {upper[0], upper[1]};
    }
    out.residual = std::hypot(upper[0] - lower[0], upper[1] - lower[1]) / 2.0;
    if (std::isnan(out.residual)) out.residual = upper[0] == lower[0] ? 0.0 : INFINITY;
  }
};

/// The runs from the vectors that are in place, until their sum is known well enough.
template <Space S, class A>
void run(S& space, const A& op, const Integrand& f, QuadratureWorkspace<S>& ws, const Sum<S>& sum,
         const QuadratureOptions& opt, const Monitor& monitor,
         QuadratureOutcome<typename S::Value>& out, const Clock& clock) {
  constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  const Index n = op.cols(), steps = ws.steps(n, opt);
  std::erase_if(ws.active,
                [&](Index i) { return sum.weights[static_cast<std::size_t>(i)] == 0.0; });
  const auto finish = [&](Status status) {
    out.status = status;
    out.verified = status == Status::converged;
  };
  for (Index step = 1;; ++step) {
    const bool finite = ws.block.advance(space, op, out.products, ws.active);
    out.iterations = step;
    if (!finite) {
      out.value = std::numeric_limits<double>::quiet_NaN();
      return finish(Status::nonfinite);
    }
    Iteration now;
    now.iteration = step;
    now.products = out.products;
    now.clock = &clock;
    std::optional<Status> stop;
    bool broken = false;
    for (const Index i : ws.active) broken = broken || ws.block.matrix(i).exact;
    if (quadrature_due(step, 16) || step == steps || broken) {
      for (const Index i : ws.active) {
        auto& integral = ws.integrals[static_cast<std::size_t>(i)];
        integral.update(ws.block.matrix(i), f, {opt.low, opt.high}, kEps, n);
        if (integral.bracket.negative) return finish(Status::negative_curvature);
      }
      sum.add_up(ws, out);
      out.target = opt.rtol * std::abs(out.value) + opt.atol;
      std::erase_if(ws.active, [&](Index i) {
        return ws.block.matrix(i).exact ||
               ws.integrals[static_cast<std::size_t>(i)].bracket.at_rounding();
      });
    }
    if (std::isinf(std::abs(out.value))) return finish(Status::breakdown);  // a pole at a node
    now.residual = out.residual;
    now.objective = std::real(out.value);
    stop = monitor.check(now);
    if (out.residual <= out.target) return finish(Status::converged);
    if (ws.active.empty()) {
      return finish(std::isnan(std::abs(out.value)) ? Status::nonfinite : Status::precision_limit);
    }
    if (stop || step == steps) {
      if (!(quadrature_due(step, 16) || step == steps || broken)) {
        for (const Index i : ws.active) {
          ws.integrals[static_cast<std::size_t>(i)].update(ws.block.matrix(i), f,
                                                           {opt.low, opt.high}, kEps, n);
        }
        sum.add_up(ws, out);
      }
      return finish(stop.value_or(Status::max_iterations));
    }
  }
}

template <Space S, class A>
void check(const A& op, const QuadratureOptions& opt) {
  if (op.rows() != op.cols()) {
    throw InvalidArgument("A must be square: a quadratic form needs a Hermitian A");
  }
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);
  if (!(opt.low <= opt.high)) {
    throw InvalidArgument("bounds are (" + std::to_string(opt.low) + ", " +
                          std::to_string(opt.high) + "); pass the smaller one first");
  }
}

}  // namespace quadrature

/// uᴴ f(A) u by Gauss and Gauss-Radau rules: one product a step, and (3 (j + 1) + 6) n of traffic
/// at step j. The error falls twice as fast as that of the Krylov approximation of f(A) u.
template <Space S, LinearOperator<typename S::Value> A>
QuadratureOutcome<typename S::Value> quadratic_form(S& space, const A& op,
                                                    VectorView<const typename S::Value> u,
                                                    const Integrand& f, QuadratureWorkspace<S>& ws,
                                                    const QuadratureOptions& opt = {},
                                                    const Monitor& monitor = {}) {
  quadrature::check<S>(op, opt);
  check_size("u", u.size, op.cols());
  const Clock clock;
  QuadratureOutcome<typename S::Value> out;
  const double length = u.size == 0 ? 0.0 : std::sqrt(space.read(space.norm2(u)));
  if (length == 0.0) {
    out.value = out.lower = out.upper = out.residual = 0.0;
    out.rigorous = out.verified = true;
    out.status = Status::converged;
  } else if (!std::isfinite(length)) {
    out.status = Status::nonfinite;
  } else {
    ws.prepare(space, u.size, 1, opt);
    space.copy(u, ws.block.start(0));
    space.scale(1.0 / length, ws.block.start(0));
    quadrature::Sum<S> sum;
    sum.weights[0] = length * length;
    quadrature::run(space, op, f, ws, sum, opt, monitor, out, clock);
  }
  out.seconds = clock.seconds();
  return out;
}

/// uᴴ f(A) v by polarisation, ¼ Σ i^{-k} (u + iᵏ v)ᴴ f(A) (u + iᵏ v): two runs in a real field,
/// four in a complex one, whose products go through A together.
template <Space S, LinearOperator<typename S::Value> A>
QuadratureOutcome<typename S::Value> bilinear_form(S& space, const A& op,
                                                   VectorView<const typename S::Value> u,
                                                   VectorView<const typename S::Value> v,
                                                   const Integrand& f, QuadratureWorkspace<S>& ws,
                                                   const QuadratureOptions& opt = {},
                                                   const Monitor& monitor = {}) {
  using T = typename S::Value;
  quadrature::check<S>(op, opt);
  check_size("u", u.size, op.cols());
  check_size("v", v.size, op.cols());
  const Clock clock;
  QuadratureOutcome<T> out;
  const double length_u = u.size == 0 ? 0.0 : std::sqrt(space.read(space.norm2(u)));
  const double length_v = u.size == 0 ? 0.0 : std::sqrt(space.read(space.norm2(v)));
  if (length_u == 0.0 || length_v == 0.0) {
    out.value = out.lower = out.upper = out.residual = 0.0;
    out.rigorous = out.verified = true;
    out.status = Status::converged;
  } else if (!std::isfinite(length_u) || !std::isfinite(length_v)) {
    out.status = Status::nonfinite;
  } else {
    constexpr Index kTerms = QuadratureWorkspace<S>::kBilinear;
    constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
    ws.prepare(space, u.size, kTerms, opt);
    quadrature::Sum<S> sum;
    // Terms: u + v, u − v, and of the imaginary part u − iv, u + iv.
    for (Index i = 0; i < kTerms; ++i) {
      WideOf<T> c = i % 2 == 0 ? 1.0 : -1.0;
      if constexpr (ComplexField<T>) {
        if (i >= 2) c = {0.0, i == 2 ? -1.0 : 1.0};
      }
      const VectorView<T> x = ws.block.start(i);
      space.copy(u, x);
      const double length =
          std::sqrt(space.read(space.axpby_norm2(c / length_v, v, 1.0 / length_u, x)));
      const auto at = static_cast<std::size_t>(i);
      // Of u = ±v nothing but rounding is left.
      if (length <= 8.0 * kEps) continue;
      space.scale(1.0 / length, x);
      sum.weights[at] = (i % 2 == 0 ? 0.25 : -0.25) * length * length * length_u * length_v;
    }
    quadrature::run(space, op, f, ws, sum, opt, monitor, out, clock);
  }
  out.seconds = clock.seconds();
  return out;
}

}  // namespace ritz
