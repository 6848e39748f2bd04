// f(A) b for a Hermitian operator by a Chebyshev series on an interval [a, b] that holds its
// spectrum:
//
//   f(A) b ≈ Σ c_k T_k(B) b,  B = (2A − (a + b) I)/(b − a),  T_{k+1} = 2B T_k − T_{k−1},
//
// without a basis and without inner products but to look after the run. What is left out is at most
// ‖b‖ Σ |c_k| over the terms not made. Tal-Ezer, Kosloff: An accurate and efficient scheme for
// propagating the time dependent Schrödinger equation. J. Chem. Phys. 81, 1984. Trefethen:
// Approximation Theory and Approximation Practice, SIAM, 2013.
#pragma once

#include <numbers>
#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/function/funm_options.hpp"
#include "ritz/function/interval.hpp"

namespace ritz {

/// The coefficients of several functions on an interval, as many as double precision can tell.
template <class W>
class ChebyshevSeries {
 public:
  static constexpr std::size_t kMost = 8192;

  /// False if a function is not finite on the interval; that point is `offending`.
  bool compute(const SpectralFunctions<W>& f, Index functions, double low, double high,
               double& offending) {
    const auto count = static_cast<std::size_t>(functions);
    for (size_ = 32;; size_ *= 2) {
      x_.resize(size_);
      for (std::size_t j = 0; j < size_; ++j) {
        const double angle =
            std::numbers::pi * (static_cast<double>(j) + 0.5) / static_cast<double>(size_);
        x_[j] = 0.5 * (high + low) + 0.5 * (high - low) * std::cos(angle);
      }
      y_.resize(size_ * count);
      f(x_, {y_.data(), static_cast<Index>(size_), functions, static_cast<Index>(size_)});
      for (std::size_t i = 0; i < y_.size(); ++i) {
        if (std::isfinite(std::abs(y_[i]))) continue;
        offending = x_[i % size_];
        return false;
      }
      transform(count);
      resolved_ = true;
      for (std::size_t k = 0; k < count; ++k) resolved_ = resolved_ && decayed(k);
      if (resolved_ || size_ >= kMost) break;
    }
    accumulate(count);
    return true;
  }

  std::size_t size() const { return size_; }
  /// Whether the coefficients fall to rounding before they end.
  bool resolved() const { return resolved_; }
  W operator()(std::size_t j, std::size_t k) const { return c_[j + k * size_]; }
  /// Σ_{i ≥ j} |c_i| of function k, with what the series itself lacks.
  double tail(std::size_t j, std::size_t k) const { return tails_[j + k * (size_ + 1)]; }
  /// Σ (1 + i) |c_i|: what a rounding of B in every product moves the sum by, in roundings.
  double spread(std::size_t k) const { return spreads_[k]; }
  /// What the coefficients of function k cannot be told from: roundings of its largest value.
  double noise(std::size_t k) const {
    double size = 0.0;
    for (std::size_t j = 0; j < size_; ++j) size = std::max(size, std::abs(y_[j + k * size_]));
    return 4.0 * std::numeric_limits<double>::epsilon() * size;
  }

 private:
  /// c_k = (2/N) Σ f(x_j) cos(π k (j + ½)/N), half of that for k = 0.
  void transform(std::size_t count) {
    std::vector<double> cosine(4 * size_);
    for (std::size_t i = 0; i < cosine.size(); ++i) {
      cosine[i] =
          std::cos(std::numbers::pi * static_cast<double>(i) / (2.0 * static_cast<double>(size_)));
    }
    c_.assign(size_ * count, W{});
    for (std::size_t k = 0; k < count; ++k) {
      for (std::size_t i = 0; i < size_; ++i) {
        W sum{};
        for (std::size_t j = 0; j < size_; ++j) {
          sum += y_[j + k * size_] * cosine[i * (2 * j + 1) % cosine.size()];
        }
        c_[i + k * size_] = sum * ((i == 0 ? 1.0 : 2.0) / static_cast<double>(size_));
      }
    }
  }
  double largest(std::size_t from, std::size_t to, std::size_t k) const {
    double size = 0.0;
    for (std::size_t i = from; i < to; ++i) size = std::max(size, std::abs(c_[i + k * size_]));
    return size;
  }
  bool decayed(std::size_t k) const { return largest(3 * size_ / 4, size_, k) <= noise(k); }
  void accumulate(std::size_t count) {
    tails_.assign((size_ + 1) * count, 0.0);
    spreads_.assign(count, 0.0);
    for (std::size_t k = 0; k < count; ++k) {
      // An unresolved function lacks at least as much again as its last quarter.
      double sum = 0.0;
      if (decayed(k)) {  // and what is only noise at the end is no term
        const double least = noise(k);
        for (std::size_t i = size_; i-- > 1 && std::abs(c_[i + k * size_]) <= least;) {
          c_[i + k * size_] = 0.0;
        }
      } else {
        for (std::size_t i = 3 * size_ / 4; i < size_; ++i) sum += std::abs(c_[i + k * size_]);
      }
      tails_[size_ + k * (size_ + 1)] = sum;
      for (std::size_t i = size_; i-- > 0;) {
        const double term = std::abs(c_[i + k * size_]);
        sum += term;
        tails_[i + k * (size_ + 1)] = sum;
        spreads_[k] += (1.0 + static_cast<double>(i)) * term;
      }
    }
  }

  std::size_t size_ = 0;
  bool resolved_ = false;
  std::vector<double> x_, tails_, spreads_;
  std::vector<W> y_, c_;
};

/// Three vectors of length n.
template <Space S>
struct FunmChebyshevWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index n) {
    arena.begin(space, 3 * Arena<S>::padded(n));
    R = arena.block(n, 3);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> R;
  ChebyshevSeries<WideOf<T>> series;
};

/// As `funm`. Without an interval 20 products look for one; should it turn out too narrow, as
/// vectors that grow show, it is widened and the run begins again. The error is a bound where the
/// interval is given. One product a term; traffic: 5 n for one function, 3 n for each further one.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm_chebyshev(S& space, const Op& op, VectorView<const typename S::Value> b,
                           BlockView<typename S::Value> Y,
                           const SpectralFunctions<WideOf<typename S::Value>>& f,
                           SpectralFacts facts, FunmChebyshevWorkspace<S>& ws,
                           const FunmOptions& opt, RandomKey seed, const Monitor& monitor,
                           std::span<FunmAccount> accounts) {
  constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  constexpr double kRounding = 4.0 * kEps;  // of a product and the recurrence
  constexpr Index kProbe = 20, kWidenings = 8, kEvery = 4;
  if (op.rows() != op.cols()) throw InvalidArgument("A must be square: funm needs a Hermitian A");
  check_size("b", b.size, op.rows());
  check_size("Y", Y.rows, op.rows());
  check_size("accounts", static_cast<Index>(accounts.size()), Y.cols);
  if (facts.singular && !(std::isfinite(opt.low) && std::isfinite(opt.high))) {
    throw InvalidArgument(
        "interval is missing: a Chebyshev series of this function needs one that keeps away from "
        "its "
        "singularity");
  }
  const Clock clock;
  ws.prepare(space, op.rows());
  Counted A(op);
  FunmOutcome out;
  out.bound = std::isfinite(opt.low) && std::isfinite(opt.high);
  out.basis = 0;
  const auto finish = [&](Status status) {
    if (status == Status::nonfinite || status == Status::breakdown) {
      for (Index k = 0; k < Y.cols; ++k) {
        space.fill(std::numeric_limits<double>::quiet_NaN(), Y.column(k));
      }
      std::fill(accounts.begin(), accounts.end(), FunmAccount{});
      out.residual = INFINITY;
    }
    out.status = status;
    out.products = A.counts;
    out.seconds = clock.seconds();
    return out;
  };
  const double norm_b = std::sqrt(right_hand_side_norm2(space, b, opt.rtol, ws.R.column(0)));
  if (!std::isfinite(norm_b)) return finish(Status::nonfinite);
  for (Index k = 0; k < Y.cols; ++k) space.fill(0.0, Y.column(k));
  std::fill(accounts.begin(), accounts.end(), FunmAccount{0.0, 0.0});
  if (norm_b == 0.0) {
    out.residual = 0.0;
    out.verified = true;
    return finish(Status::converged);
  }

  double low = opt.low, high = opt.high;
  if (!out.bound) {
    const SpectralInterval I = spectral_interval(space, A, kProbe, seed, ws.R);
    if (!std::isfinite(I.low) || !std::isfinite(I.high)) return finish(Status::nonfinite);
    if (!std::isfinite(low)) low = I.low;
    if (!std::isfinite(high)) high = I.high;
    if (std::isfinite(facts.least)) {  // where f(tA) is defined at all
      if (opt.t > 0.0) low = std::max(low, facts.least / opt.t);
      if (opt.t < 0.0) high = std::min(high, facts.least / opt.t);
    }
  }
  const Index limit = opt.max_iterations > 0 ? opt.max_iterations : 10 * op.rows();
  for (Index widening = 0;; ++widening) {
    double from = std::min(opt.t * low, opt.t * high), to = std::max(opt.t * low, opt.t * high);
    // A single eigenvalue still wants an interval: one as wide as its rounding.
    const double least_width = 16.0 * kEps * std::max(std::abs(from), std::abs(to));
    const double half = std::max({0.5 * (to - from), least_width, 1e-290});
    const double centre = 0.5 * from + 0.5 * to;
    from = std::max(centre - half, facts.least);
    if (!ws.series.compute(f, Y.cols, from, centre + half, out.offending)) {
      return finish(Status::breakdown);
    }
    const auto& c = ws.series;
    const double width = 0.5 * (centre + half - from), middle = 0.5 * (centre + half + from);
    const double scale = opt.t / width, shift = middle / width;

    // t_{k+1} = 2B t_k − t_{k−1} in place of t_{k−1}'s successor, y = y + c t_{k+1}
    const auto rounding = [&](std::size_t k) {  // of products, recurrence, and coefficients
      return (kRounding * c.spread(k) + c.noise(k)) * norm_b;
    };
    const auto column = [&](std::size_t j) { return ws.R.column(static_cast<Index>(j % 3)); };
    space.copy(b, column(0));
    for (Index k = 0; k < Y.cols; ++k) {
      space.axpby(c(0, static_cast<std::size_t>(k)), b, 0.0, Y.column(k));
    }
    bool grown = false;
    for (std::size_t j = 0;; ++j) {
      const bool last = j + 1 >= c.size() || static_cast<Index>(j) >= limit;
      if (last || j % static_cast<std::size_t>(kEvery) == 0) {
        const double size = std::sqrt(space.read(space.norm2(column(j))));
        if (!std::isfinite(size)) return finish(Status::nonfinite);
        grown = size > 1.5 * norm_b + 100.0 * kEps * static_cast<double>(j) * norm_b;
        bool met = true, spent = true;
        double worst = -1.0;
        for (std::size_t k = 0; k < accounts.size(); ++k) {
          const double norm = std::sqrt(space.read(space.norm2(Y.column(static_cast<Index>(k)))));
          const double tail = c.tail(j + 1, k) * norm_b, floor = rounding(k);
          const double target = std::max(opt.rtol * norm, opt.atol);
          accounts[k] = {tail + floor, norm};
          const bool ok = tail + floor <= target;
          met = met && ok;
          spent = spent && (ok || tail <= floor / 4.0);
          const double ratio = ok ? 0.0 : accounts[k].error / target;
          if (!(ratio <= worst)) {
            worst = ratio;
            out.residual = accounts[k].error;
            out.target = target;
          }
        }
        if (grown) break;
        if (met) return finish(Status::converged);
        if (spent || (last && j + 1 >= c.size())) return finish(Status::precision_limit);
      }
      Iteration now;
      now.iteration = out.iterations;
      now.products = A.counts;
      now.residual = out.residual;
      now.clock = &clock;
      if (j > 0 || widening > 0) {
        if (const auto stop = monitor.check(now)) {
          for (std::size_t k = 0; k < accounts.size(); ++k) {
            accounts[k].error = c.tail(j + 1, k) * norm_b + rounding(k);
            out.residual = std::max(k == 0 ? 0.0 : out.residual, accounts[k].error);
          }
          return finish(*stop);
        }
      }
      if (last) return finish(Status::max_iterations);
      const double twice = j == 0 ? 1.0 : 2.0;
      const auto v = column(j), w = column(j + 1), u = column(j + 2);
      A.apply(v, w);
      ++out.iterations;
      space.step3(-twice * shift, v, twice * scale, w, j == 0 ? 0.0 : -1.0, u, c(j + 1, 0),
                  Y.column(0));
      for (Index k = 1; k < Y.cols; ++k) {
        space.axpby(c(j + 1, static_cast<std::size_t>(k)), w, 1.0, Y.column(k));
      }
    }
    // An eigenvalue lies outside.
    if (out.bound || widening == kWidenings) {
      out.bound = false;
      return finish(Status::breakdown);
    }
    const double more = 0.1 * (high - low);
    low -= more;
    high += more;
    if (std::isfinite(facts.least)) {
      if (opt.t > 0.0) low = std::max(low, facts.least / opt.t);
      if (opt.t < 0.0) high = std::min(high, facts.least / opt.t);
    }
  }
}

/// The same for functions by name.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm_chebyshev(S& space, const Op& A, VectorView<const typename S::Value> b,
                           BlockView<typename S::Value> Y, std::span<const NamedFunction> functions,
                           FunmChebyshevWorkspace<S>& ws, const FunmOptions& opt, RandomKey seed,
                           const Monitor& monitor, std::span<FunmAccount> accounts) {
  using Wide = WideOf<typename S::Value>;
  check_size("functions", static_cast<Index>(functions.size()), Y.cols);
  const auto values = [&](std::span<const double> x, BlockView<Wide> to) {
    evaluate<Wide>(functions, x, to);
  };
  return funm_chebyshev(space, A, b, Y, SpectralFunctions<Wide>(values), facts_of(functions), ws,
                        opt, seed, monitor, accounts);
}

}  // namespace ritz
