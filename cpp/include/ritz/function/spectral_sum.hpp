// tr f(A) of a Hermitian A and tr (AᴴA)^(p/2) of any A by stochastic Lanczos quadrature, with the
// error of the sampling and that of the quadrature apart.
//
// Ubaru, Chen, Saad: Fast estimation of tr(f(A)) via stochastic Lanczos quadrature. SIAM J. Matrix
// Anal. Appl. 38, 2017.
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/function/bracket.hpp"
#include "ritz/function/dense_spectrum.hpp"
#include "ritz/function/lanczos_block.hpp"

namespace ritz {

struct SpectralSumOptions {
  Index probes = 16;       ///< random vectors
  Index max_steps = 0;     ///< products for each; 0 means the smaller of n and 200
  double rtol = 0.0;       ///< stop when both errors together are at most rtol |value| + atol
  double atol = 0.0;       ///< likewise; 0 for both takes all probes
  double power = 0.0;      ///< p > 0: the sum of p-th powers of the singular values; 0: tr f(A)
  bool signs = false;      ///< probes of random signs; false: uniform on the sphere
  bool keep_basis = true;  ///< false: three vectors instead of one a step, more steps
  bool exact = false;      ///< n products with unit vectors and a dense decomposition instead
  Index block = 0;         ///< probes whose products go together; 0: as fit into 512 MiB, at most 8
  double low = -std::numeric_limits<double>::infinity();  ///< no eigenvalue of A is less
  double high = std::numeric_limits<double>::infinity();  ///< no eigenvalue of A is greater
  RandomKey seed = {};                                    ///< probe i is stream seed.stream + i

  template <class F>
  void visit(F g) {
    g("probes", probes);
    g("max_steps", max_steps);
    g("rtol", rtol);
    g("atol", atol);
    g("power", power);
    g("signs", signs);
    g("keep_basis", keep_basis);
    g("exact", exact);
    g("block", block);
    g("low", low);
    g("high", high);
  }
};

struct SpectralSumOutcome : Outcome {
  double value = std::numeric_limits<double>::quiet_NaN();
  double stderr_ = INFINITY;           ///< standard error of the mean over the probes
  double quadrature_error = INFINITY;  ///< the mean over the probes of half their brackets
  Index samples = 0;                   ///< probes that were completed
  Index steps = 0;                     ///< most products that one probe took
  bool rigorous = true;                ///< of the quadrature error: the brackets hold by theory
};

template <Space S>
struct SpectralSumWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index rows, Index cols, const SpectralSumOptions& opt) {
    const auto probes = static_cast<std::size_t>(opt.probes);
    const Index steps = steps_of(rows, cols, opt);
    width = block_width<T>(opt.block, opt.probes, opt.keep_basis ? steps : 4, std::max(rows, cols));
    block.prepare(space, opt.power > 0.0 ? Process::golub_kahan : Process::lanczos, rows, cols,
                  width, steps, opt.keep_basis);
    integrals.resize(static_cast<std::size_t>(width));
    values.assign(probes, 0.0);
    halves.assign(probes, 0.0);
  }
  std::size_t bytes() const { return block.bytes(); }

  static Index steps_of(Index rows, Index cols, const SpectralSumOptions& opt) {
    const Index n = std::min(rows, cols), most = opt.power > 0.0 ? 2 * n : n;
    return std::min(most, opt.max_steps > 0 ? opt.max_steps : Index{200});
  }
  LanczosBlock<S> block;
  Index width = 1;
  std::vector<BracketedIntegral> integrals;
  std::vector<double> values, halves;  ///< of each probe: n ∫ f dμ, and half of its bracket
  std::vector<Index> active;
};

namespace slq {

struct Statistics {
  double mean = std::numeric_limits<double>::quiet_NaN(), deviation = INFINITY, half = INFINITY;
};

inline Statistics statistics(std::span<const double> values, std::span<const double> halves) {
  Statistics s;
  const auto count = static_cast<double>(values.size());
  if (values.empty()) return s;
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  s.half = std::accumulate(halves.begin(), halves.end(), 0.0) / count;
  double squares = 0.0;  // equal ones, infinite ones too, do not deviate
  for (const double v : values) squares += v == s.mean ? 0.0 : (v - s.mean) * (v - s.mean);
  if (values.size() > 1) s.deviation = std::sqrt(squares / (count - 1.0));
  return s;
}

/// Σ f over the whole spectrum; returns how it ended.
template <Space S, class A>
Status sum_exactly(S& space, const A& op, const Integrand& f, const SpectralSumOptions& opt,
                   SpectralSumOutcome& out) {
  const bool singular = opt.power > 0.0;
  const Index n = std::min(op.rows(), op.cols());
  std::vector<double> spectrum, values(static_cast<std::size_t>(n));
  out.iterations = out.samples = n;
  if (!dense_spectrum(space, op, singular, out.products, spectrum)) return Status::nonfinite;
  if (singular) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::pow(spectrum[i], opt.power);
  } else {
    const double norm = std::max(std::abs(spectrum.front()), std::abs(spectrum.back()));
    const double E =
        norm * backward_error(std::numeric_limits<RealOf<typename S::Value>>::epsilon(), n);
    if (f.half_line() && spectrum.front() < -E) return Status::negative_curvature;
    f.evaluate(spectrum, values);
  }
  out.value = std::accumulate(values.begin(), values.end(), 0.0);
  if (std::isnan(out.value)) return Status::nonfinite;
  out.stderr_ = out.quadrature_error = out.residual = 0.0;
  return Status::converged;
}

/// What run a checkpoint belongs to.
template <Field T, class A>
std::string identity(const A& op, const Integrand& f, const SpectralSumOptions& opt, Index width) {
  std::string s = "spectral_sum";
  const auto add = [&s](auto x) {
    char text[40];
    std::snprintf(text, sizeof text, " %.17g", static_cast<double>(x));
    s += text;
  };
  add(op.rows());
  add(op.cols());
  add(static_cast<int>(sizeof(T)) * (ComplexField<T> ? -1 : 1));
  add(f.custom() ? -1 : static_cast<int>(f.named.kind));
  for (const double x : {f.named.t.real(), f.named.p, f.named.z.real(), opt.rtol, opt.atol,
                         opt.power, opt.low, opt.high}) {
    add(x);
  }
  for (const Index x :
       {opt.probes, opt.max_steps, width, Index{opt.signs}, Index{opt.keep_basis}}) {
    add(x);
  }
  for (const std::uint64_t x : {opt.seed.seed, opt.seed.stream}) {
    char text[24];
    std::snprintf(text, sizeof text, " %llu", static_cast<unsigned long long>(x));
    s += text;
  }
  return s;
}

}  // namespace slq

/// n / probes Σ ∫ f dμ_i over random unit vectors u_i: unbiased but for the quadrature. Each probe
/// takes as many products as bring half of its bracket to a fifth of the standard error, or of the
/// tolerance. One product a step, and (3 (j + 1) + 6) n of traffic at step j.
template <Space S, LinearOperator<typename S::Value> A>
SpectralSumOutcome spectral_sum(S& space, const A& op, const Integrand& f,
                                SpectralSumWorkspace<S>& ws, const SpectralSumOptions& opt = {},
                                const Monitor& monitor = {}, Checkpoint checkpoint = {}) {
  using T = typename S::Value;
  const bool singular = opt.power > 0.0;
  if (!singular && op.rows() != op.cols()) {
    throw InvalidArgument("A must be square: tr f(A) needs a Hermitian A");
  }
  if (singular) require_adjoint(op);
  if (opt.probes < 2) throw InvalidArgument("probes must be at least 2: one has no error");
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);

  constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
  const Clock clock;
  const Index n = std::min(op.rows(), op.cols());
  const auto dimension = static_cast<double>(n);
  SpectralSumOutcome out;
  const auto finish = [&](Status status) {
    out.status = status;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };
  if (n == 0) {
    out.value = out.stderr_ = out.quadrature_error = out.residual = 0.0;
    return finish(Status::converged);
  }
  if (opt.exact && monitor.max_products < n) return finish(Status::max_products);
  if (opt.exact) return finish(slq::sum_exactly(space, op, f, opt, out));

  ws.prepare(space, op.rows(), op.cols(), opt);
  const Index steps = ws.steps_of(op.rows(), op.cols(), opt);
  bool resolved = true;
  const auto bytes = [](auto& x) { return Checkpoint::value(x); };
  const Checkpoint::Part state[] = {Checkpoint::Part(ws.values), Checkpoint::Part(ws.halves),
                                    bytes(out.samples),          bytes(out.products),
                                    bytes(out.iterations),       bytes(out.steps),
                                    bytes(out.rigorous),         bytes(resolved)};
  const std::string identity = checkpoint ? slq::identity<T>(op, f, opt, ws.width) : "";
  if (checkpoint) checkpoint.load(identity, state);

  // The two errors from the first `count` probes.
  const auto measure = [&](Index count) {
    const auto first = static_cast<std::size_t>(count);
    const auto s =
        slq::statistics(std::span(ws.values).first(first), std::span(ws.halves).first(first));
    out.value = s.mean;
    out.stderr_ = s.deviation / std::sqrt(static_cast<double>(count));
    out.quadrature_error = s.half;
    out.residual = out.stderr_ + out.quadrature_error;
    out.target = opt.rtol * std::abs(out.value) + opt.atol;
    return s;
  };
  const bool tolerance = opt.rtol > 0.0 || opt.atol > 0.0;
  const auto enough = [&] {
    return tolerance && out.samples >= std::min<Index>(8, opt.probes) && out.residual <= out.target;
  };
  if (out.samples > 0) measure(out.samples);
  while (out.samples < opt.probes && !enough()) {
    const Index count = std::min(ws.width, opt.probes - out.samples);
    ws.block.begin();
    ws.active.resize(static_cast<std::size_t>(count));
    std::iota(ws.active.begin(), ws.active.end(), Index{0});
    for (Index i = 0; i < count; ++i) {
      ws.integrals[static_cast<std::size_t>(i)].clear();
      random_direction(
          space, opt.signs,
          {opt.seed.seed, opt.seed.stream + static_cast<std::uint64_t>(out.samples + i)},
          ws.block.start(i));
    }
    for (Index step = 1; !ws.active.empty() && step <= steps; ++step) {
      const bool finite = ws.block.advance(space, op, out.products, ws.active);
      ++out.iterations;
      out.steps = std::max(out.steps, step);
      if (!finite) return finish(Status::nonfinite);
      for (const Index i : ws.active) {
        auto& integral = ws.integrals[static_cast<std::size_t>(i)];
        const Jacobi& J = ws.block.matrix(i);
        if (!quadrature_due(step, 8) && step < steps && !J.exact) continue;
        if (singular) {
          integral.update_even(J, opt.power, kEps, n);
        } else {
          integral.update(J, f, {opt.low, opt.high}, kEps, n);
        }
        if (integral.bracket.negative) return finish(Status::negative_curvature);
        const auto at = static_cast<std::size_t>(out.samples + i);
        ws.values[at] = dimension * integral.bracket.value;
        ws.halves[at] = dimension * integral.bracket.half_width();
      }
      const auto s = measure(out.samples + count);
      // A fifth of the standard error expected in the end, or of what is allowed.
      const double expected = std::isfinite(s.deviation)
                                  ? s.deviation / std::sqrt(static_cast<double>(opt.probes))
                                  : 0.0;
      const double allowed = 0.2 * std::max(expected, out.target);
      const bool last = step == steps;
      std::erase_if(ws.active, [&](Index i) {
        const Bracket& b = ws.integrals[static_cast<std::size_t>(i)].bracket;
        const bool done =
            ws.block.matrix(i).exact || b.at_rounding() || dimension * b.half_width() <= allowed;
        if (done || last) out.rigorous = out.rigorous && b.rigorous;
        if (last && !done) resolved = false;
        return done;
      });
      Iteration now;
      now.iteration = out.iterations;
      now.products = out.products;
      now.residual = out.residual;
      now.objective = out.value;
      now.clock = &clock;
      const auto stop = monitor.check(now);
      if (stop && !(ws.active.empty() && out.samples + count == opt.probes)) {
        // Probes in the middle of their way say nothing, unless there are no others.
        if (ws.active.empty() || last) out.samples += count;
        if (out.samples > 0) measure(out.samples);
        return finish(*stop);
      }
    }
    out.samples += count;
    measure(out.samples);
    if (checkpoint && checkpoint.due()) checkpoint.save(identity, state);
  }
  if (checkpoint) checkpoint.remove();
  if (std::isnan(out.value)) return finish(Status::nonfinite);
  if (!std::isfinite(out.residual)) return finish(Status::precision_limit);
  if (tolerance) return finish(enough() ? Status::converged : Status::max_iterations);
  return finish(resolved ? Status::converged : Status::max_iterations);
}

}  // namespace ritz
