// What random vectors see of the spectrum of a Hermitian A: Jacobi matrices, whose nodes and
// weights are a density of states, or moments of Chebyshev polynomials, whose series is one.
//
// Lin, Saad, Yang: Approximating spectral densities of large matrices. SIAM Review 58, 2016.
// Chen, Trogdon, Ubaru: Analysis of stochastic Lanczos quadrature for spectrum approximation. ICML,
// 2021. Weiße, Wellein, Alvermann, Fehske: The kernel polynomial method. Rev. Mod. Phys. 78, 2006.
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/function/lanczos_block.hpp"

namespace ritz {

struct DensityOptions {
  Index probes = 16;       ///< random vectors
  Index steps = 100;       ///< products for each
  bool signs = false;      ///< probes of random signs; false: uniform on the sphere
  bool keep_basis = true;  ///< of Lanczos; false: three vectors instead of one a step
  Index block = 0;         ///< probes whose products go together; 0: as fit into 512 MiB, at most 8
  RandomKey seed = {};     ///< probe i is stream seed.stream + i

  template <class F>
  void visit(F g) {
    g("probes", probes);
    g("steps", steps);
    g("signs", signs);
    g("keep_basis", keep_basis);
    g("block", block);
  }
};

struct DensityOutcome : Outcome {
  Index samples = 0;  ///< probes that were completed
};

namespace density {

template <class A>
void check(const A& op, const DensityOptions& opt) {
  if (op.rows() != op.cols()) {
    throw InvalidArgument("A must be square: a spectral density needs a Hermitian A");
  }
  if (opt.probes < 1) throw InvalidArgument("probes must be at least 1");
  if (opt.steps < 1) throw InvalidArgument("steps must be at least 1");
}

template <Field T>
std::string identity(const char* method, Index n, Index width, const DensityOptions& opt,
                     double low, double high) {
  char text[200];
  std::snprintf(text, sizeof text, "%s %lld %d %lld %lld %d %d %lld %llu %llu %.17g %.17g", method,
                static_cast<long long>(n), static_cast<int>(sizeof(T)) * (ComplexField<T> ? -1 : 1),
                static_cast<long long>(opt.probes), static_cast<long long>(opt.steps),
                int{opt.signs}, int{opt.keep_basis}, static_cast<long long>(width),
                static_cast<unsigned long long>(opt.seed.seed),
                static_cast<unsigned long long>(opt.seed.stream), low, high);
  return text;
}

/// A unit vector for each of `count` probes from number `first`, at start(i).
template <Space S, class Start>
void fill(S& space, const DensityOptions& opt, Index first, Index count, const Start& start) {
  for (Index i = 0; i < count; ++i) {
    random_direction(space, opt.signs,
                     {opt.seed.seed, opt.seed.stream + static_cast<std::uint64_t>(first + i)},
                     start(i));
  }
}

}  // namespace density

template <Space S>
struct MeasuresWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index n, const DensityOptions& opt) {
    steps = std::min(n, opt.steps);
    width = block_width<T>(opt.block, opt.probes, opt.keep_basis ? steps : 3, n);
    block.prepare(space, Process::lanczos, n, n, width, steps, opt.keep_basis);
  }
  std::size_t bytes() const { return block.bytes(); }

  LanczosBlock<S> block;
  Index width = 1, steps = 0;
};

/// The Jacobi matrices of `probes` random unit vectors in `measures`: as many as were completed. A
/// probe that has seen all of its Krylov space, after g steps for g distinct eigenvalues, is exact.
/// One product a step, and (3 (j + 1) + 6) n of traffic at step j.
template <Space S, LinearOperator<typename S::Value> A>
DensityOutcome spectral_measures(S& space, const A& op, std::vector<Jacobi>& measures,
                                 MeasuresWorkspace<S>& ws, const DensityOptions& opt = {},
                                 const Monitor& monitor = {}, Checkpoint checkpoint = {}) {
  density::check(op, opt);
  const Clock clock;
  const Index n = op.cols();
  DensityOutcome out;
  measures.clear();
  const auto finish = [&](Status status) {
    measures.resize(static_cast<std::size_t>(out.samples));
    out.status = status;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };
  if (n == 0) return finish(Status::converged);
  ws.prepare(space, n, opt);
  const auto probes = static_cast<std::size_t>(opt.probes);
  measures.resize(probes);

  // The state as arrays of fixed size; a row of `table` is the diagonal, the off-diagonal, the
  // size, the norm, and whether the matrix is exact.
  const auto steps = static_cast<std::size_t>(ws.steps), row = 2 * steps + 3;
  std::vector<double> table(checkpoint ? probes * row : 0);
  const Checkpoint::Part state[] = {Checkpoint::Part(table), Checkpoint::value(out.samples),
                                    Checkpoint::value(out.products),
                                    Checkpoint::value(out.iterations)};
  const std::string identity =
      checkpoint ? density::identity<typename S::Value>("spectral_measures", n, ws.width, opt, 0, 0)
                 : "";
  if (checkpoint && checkpoint.load(identity, state)) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(out.samples); ++i) {
      const double* from = &table[i * row];
      const auto size = static_cast<std::ptrdiff_t>(from[2 * steps]);
      measures[i].diagonal.assign(from, from + size);
      measures[i].off.assign(from + steps, from + steps + size);
      measures[i].norm = from[2 * steps + 1];
      measures[i].exact = from[2 * steps + 2] != 0.0;
    }
  }
  std::vector<Index> active;
  while (out.samples < opt.probes) {
    const Index count = std::min(ws.width, opt.probes - out.samples);
    ws.block.begin();
    density::fill(space, opt, out.samples, count, [&](Index i) { return ws.block.start(i); });
    active.resize(static_cast<std::size_t>(count));
    std::iota(active.begin(), active.end(), Index{0});
    for (Index step = 1; !active.empty() && step <= ws.steps; ++step) {
      const bool finite = ws.block.advance(space, op, out.products, active);
      ++out.iterations;
      if (!finite) return finish(Status::nonfinite);
      std::erase_if(active, [&](Index i) { return ws.block.matrix(i).exact; });
      Iteration now;
      now.iteration = out.iterations;
      now.products = out.products;
      now.clock = &clock;
      const bool complete = active.empty() || step == ws.steps;
      if (const auto stop = monitor.check(now);
          stop && !(complete && out.samples + count == opt.probes)) {
        // Of an unfinished first group the matrices are those of fewer steps.
        for (Index i = 0; i < count && (complete || out.samples == 0); ++i) {
          measures[static_cast<std::size_t>(out.samples + i)] = ws.block.matrix(i);
        }
        if (complete || out.samples == 0) out.samples += count;
        return finish(*stop);
      }
    }
    for (Index i = 0; i < count; ++i) {
      measures[static_cast<std::size_t>(out.samples + i)] = ws.block.matrix(i);
    }
    out.samples += count;
    if (checkpoint && checkpoint.due()) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(out.samples); ++i) {
        double* to = &table[i * row];
        std::copy(measures[i].diagonal.begin(), measures[i].diagonal.end(), to);
        std::copy(measures[i].off.begin(), measures[i].off.end(), to + steps);
        to[2 * steps] = static_cast<double>(measures[i].size());
        to[2 * steps + 1] = measures[i].norm;
        to[2 * steps + 2] = measures[i].exact ? 1.0 : 0.0;
      }
      checkpoint.save(identity, state);
    }
  }
  if (checkpoint) checkpoint.remove();
  return finish(Status::converged);
}

template <Space S>
struct MomentsWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index n, const DensityOptions& opt) {
    width = block_width<T>(opt.block, opt.probes, 3, n);
    arena.begin(space, 3 * Arena<S>::padded(n) * width);
    for (auto& t : terms) t = arena.block(n, width);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> terms[3];
  Index width = 1;
};

/// moments[m + i (2 steps + 1)] = uᵢᴴ T_m(Ã) uᵢ, m = 0 … 2 steps, with Ã = (2A − (low + high)) /
/// (high − low), whose spectrum must lie in [−1, 1]: two moments a product. A moment beyond 1 shows
/// that it does not, and ends the run with Status::breakdown. Traffic: 6n a product.
template <Space S, LinearOperator<typename S::Value> A>
DensityOutcome chebyshev_moments(S& space, const A& op, double low, double high,
                                 std::vector<double>& moments, MomentsWorkspace<S>& ws,
                                 const DensityOptions& opt = {}, const Monitor& monitor = {},
                                 Checkpoint checkpoint = {}) {
  using T = typename S::Value;
  density::check(op, opt);
  if (!(low < high)) throw InvalidArgument("bounds must be two numbers, the smaller one first");
  const Clock clock;
  const Index n = op.cols();
  const auto row = static_cast<std::size_t>(2 * opt.steps + 1);
  DensityOutcome out;
  moments.assign(static_cast<std::size_t>(opt.probes) * row, 0.0);
  const auto finish = [&](Status status) {
    moments.resize(static_cast<std::size_t>(out.samples) * row);
    out.status = status;
    out.verified = status == Status::converged;
    out.seconds = clock.seconds();
    return out;
  };
  if (n == 0) return finish(Status::converged);
  ws.prepare(space, n, opt);
  const Checkpoint::Part state[] = {Checkpoint::Part(moments), Checkpoint::value(out.samples),
                                    Checkpoint::value(out.products),
                                    Checkpoint::value(out.iterations)};
  const std::string identity =
      checkpoint ? density::identity<T>("chebyshev_moments", n, ws.width, opt, low, high) : "";
  if (checkpoint) checkpoint.load(identity, state);

  const double centre = std::midpoint(low, high), radius = 0.5 * (high - low);
  while (out.samples < opt.probes) {
    const Index count = std::min(ws.width, opt.probes - out.samples);
    BlockView<T> before = ws.terms[0], now = ws.terms[1], next = ws.terms[2];
    density::fill(space, opt, out.samples, count, [&](Index i) { return now.column(i); });
    for (Index step = 1; step <= opt.steps; ++step) {
      (count > 1 && BlockOperator<A, T> ? out.products.columns : out.products.apply) += count;
      apply_columns(op, BlockView<const T>(now.columns(0, count)), next.columns(0, count));
      ++out.iterations;
      for (Index i = 0; i < count; ++i) {
        double* mu = &moments[static_cast<std::size_t>(out.samples + i) * row];
        const VectorView<T> t = now.column(i), w = next.column(i);
        const auto m = static_cast<std::size_t>(step);
        // T_{m+1} = 2Ã T_m − T_{m−1}, and T_1 = Ã T_0.
        const double twice = step == 1 ? 1.0 : 2.0;
        const double norm2 =
            step == 1 ? space.read(space.axpby_norm2(-centre / radius, t, 1.0 / radius, w))
                      : space.read(space.add3_norm2(-twice * centre / radius, t, -1.0,
                                                    before.column(i), twice / radius, w));
        const double along = space.read(space.real_dot(t, w));
        mu[0] = 1.0;
        if (step == 1) mu[1] = along;
        if (step > 1) mu[2 * m - 1] = 2.0 * along - mu[1];
        mu[2 * m] = 2.0 * norm2 - 1.0;
        if (!std::isfinite(norm2)) return finish(Status::nonfinite);
        if (norm2 > 1.01) return finish(Status::breakdown);
      }
      std::swap(before, now);
      std::swap(now, next);
      Iteration done;
      done.iteration = out.iterations;
      done.products = out.products;
      done.clock = &clock;
      const bool complete = step == opt.steps;
      if (const auto stop = monitor.check(done);
          stop && !(complete && out.samples + count == opt.probes)) {
        if (complete) out.samples += count;
        return finish(*stop);
      }
    }
    out.samples += count;
    if (checkpoint && checkpoint.due()) checkpoint.save(identity, state);
  }
  if (checkpoint) checkpoint.remove();
  return finish(Status::converged);
}

}  // namespace ritz
