// A few singular triplets, the largest or the smallest: thick-restart Golub-Kahan bidiagonalisation
// of A itself, never of AᴴA.
//
// Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
// Comput. 27, 2005; Stoll: A Krylov-Schur approach to the truncated SVD. Linear Algebra Appl. 436,
// 2012. With the shorter side on the right, A P = Q B holds exactly: σ_min(B) is the least ‖A p‖
// over span(P), so that the smallest values, too, lie at the end of what is projected, and are
// approached from above. (The harmonic Ritz values of AᴴA on P that the paper takes for them are
// the same values of the mirrored process, on Q.)
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ritz/eigen/restarted_bidiagonalization.hpp"

namespace ritz {

template <Space S, class Op>
class SvdsRun : RestartedBidiagonalization<S, Op> {
  using Base = RestartedBidiagonalization<S, Op>;
  using Base::A_, Base::P, Base::at_, Base::begin, Base::checkpoint_, Base::clock_, Base::combine,
      Base::coupling, Base::deflate_, Base::from, Base::iterate, Base::k_, Base::kAttainable,
      Base::known_, Base::locked_, Base::m_, Base::monitor_, Base::n_, Base::opt_, Base::out_,
      Base::random_, Base::refined_value, Base::resume, Base::space_, Base::tolerance, Base::value,
      Base::wide_, Base::ws_;

 public:
  using T = typename S::Value;

  SvdsRun(S& space, const Op& op, SvdsWorkspace<S>& ws, const SvdsOptions& opt,
          const Monitor& monitor, Checkpoint* checkpoint, BlockView<const T> deflate)
      : Base(space, op, ws, opt, monitor, checkpoint, deflate) {}

  SvdsOutcome run(std::span<double> s, std::span<double> residuals, BlockView<T> U,
                  BlockView<T> V) {
    const BlockView<T> right = wide_ ? U : V, left = wide_ ? V : U;
    if (!resume()) begin(opt_.warm_start ? right : BlockView<T>{});
    auto stop = iterate(std::max<Index>((m_ - k_) / 8, 2), [] { return false; });
    if (stop == Status::nonfinite) return finish(*stop);
    if (out_.converged == k_ && !stop) stop = Status::converged;
    deliver(s, residuals, left, right);
    if (stop == Status::converged && opt_.probe) stop = find_copies(s, residuals, left, right);
    Status status = stop.value_or(Status::max_iterations);
    complete(s, residuals, left, right, status);
    measure(s, residuals, left, right, status);
    return finish(status);
  }

 private:
  /// The triplets found, by descending σ.
  void deliver(std::span<double> s, std::span<double> residuals, BlockView<T> left,
               BlockView<T> right) {
    combine(out_.found);
    for (Index i = 0; i < out_.found; ++i) {
      insert(i, i, s, residuals, left, right);
    }
  }

  void move(Index source, Index to, std::span<double> s, std::span<double> residuals,
            BlockView<T> left, BlockView<T> right) {
    const auto i = static_cast<std::size_t>(source), j = static_cast<std::size_t>(to);
    s[j] = s[i];
    residuals[j] = residuals[i];
    ws_.partnerless[j] = ws_.partnerless[i];
    space_.copy(left.column(source), left.column(to));
    space_.copy(right.column(source), right.column(to));
  }

  /// Ritz triplet i, combined already, joins `count` others in their order.
  void insert(Index i, Index count, std::span<double> s, std::span<double> residuals,
              BlockView<T> left, BlockView<T> right) {
    const double sigma = std::max(refined_value(from(i)), 0.0);
    const auto at = [](Index j) { return static_cast<std::size_t>(j); };
    Index place = count;
    for (; place > 0 && s[at(place - 1)] < sigma; --place) {
      move(place - 1, place, s, residuals, left, right);
    }
    s[at(place)] = sigma;
    ws_.partnerless[at(place)] = ws_.missing[at(i)];
    residuals[at(place)] = ws_.missing[at(i)] ? sigma : std::abs(coupling(i));
    space_.copy(P().column(i), right.column(place));
    space_.copy(ws_.Q.column(i), left.column(place));
  }

  /// A Krylov space holds one direction of a multiple value's vectors; rounding brings in the
  /// others only where the rest converges slowly. So the process starts anew, random and orthogonal
  /// to the triplets found, until its best Ritz value is no better than their worst after a few
  /// steps.
  Status find_copies(std::span<double> s, std::span<double> residuals, BlockView<T> left,
                     BlockView<T> right) {
    const Index k = k_, found = out_.found, full = m_;
    const Index few = std::clamp<Index>(at_.steps / 8, 4, 12);
    std::optional<Status> stop;
    locked_ += k;
    m_ = std::min(full, n_ - locked_);
    k_ = 1;
    while (m_ > 0 && !stop) {
      for (Index i = 0; i < k; ++i) {
        const auto z = ws_.P.column(deflate_.cols + i);
        space_.copy(right.column(i), z);
        append_orthonormal(space_, ws_.P, deflate_.cols + i, 0.0, random_, ws_.room);
      }
      known_ = left.columns(0, k);
      begin({});
      const double worst = s[static_cast<std::size_t>(opt_.smallest ? 0 : k - 1)];
      const auto better = [&] {
        const double gain = opt_.smallest ? worst - value(0) : value(0) - worst;
        return gain > out_.target;
      };
      const Index start = at_.steps;
      stop = iterate(1, [&] { return at_.steps - start >= few && !better(); });
      if (stop || !better()) break;
      combine(1);
      const Index last = opt_.smallest ? 0 : k - 1;
      if (!ws_.missing[0] && !ws_.partnerless[static_cast<std::size_t>(last)]) {
        part(s[static_cast<std::size_t>(last)], left.column(last), right.column(last));
      }
      if (opt_.smallest) {  // the first is to go
        for (Index i = 1; i < k; ++i) move(i, i - 1, s, residuals, left, right);
      }
      insert(0, k - 1, s, residuals, left, right);
      inserted_ = true;
    }
    k_ = k;
    out_.found = found;
    return stop.value_or(Status::converged);
  }

  /// Parts Ritz triplet 0 from the one (u, σ, v) that it is to replace, and whose error it carries
  /// as a component g of the left vector on u: A [v, v₀] = [u, u₀ − g u] (σ, σ₀ g; 0, σ₀).
  void part(double sigma, VectorView<const T> u, VectorView<const T> v) {
    using W = WideOf<T>;
    const auto u0 = ws_.Q.column(0), v0 = P().column(0);
    const W g = space_.read(space_.dot(u, u0));
    const double sigma0 = value(0);
    const std::array<W, 4> H{W{sigma}, W{}, sigma0 * g, W{sigma0}};
    std::array<W, 4> X, Y;
    std::array<double, 2> values;
    dense::svd<W>({H.data(), 2, 2, 2}, {X.data(), 2, 2, 2}, values, {Y.data(), 2, 2, 2});
    const std::size_t c = opt_.smallest ? 2 : 0;
    space_.axpby(X[c] - X[c + 1] * g, u, X[c + 1], u0);
    space_.axpby(Y[c], v, Y[c + 1], v0);
  }

  /// Orthonormal to rounding whatever the number of restarts, and with partners for null vectors.
  void complete(std::span<double> s, std::span<double> residuals, BlockView<T> left,
                BlockView<T> right, Status& status) {
    for (Index i = 0; i < out_.found; ++i) {
      append_orthonormal(space_, right, i, 0.0, random_, ws_.room);
      append_orthonormal(space_, left, i, 0.0, random_, ws_.room);
    }
    if (opt_.right_only) return;
    bool null = false;  // from the first on: all must be orthogonal to the new ones
    for (Index i = 0; i < out_.found && status == Status::converged; ++i) {
      const auto at = static_cast<std::size_t>(i);
      null = null || ws_.partnerless[at];
      if (null) status = find_left_null(left, i, residuals[at] = s[at]);
    }
  }

  /// Column i of `left`, orthogonal to those before it, becomes a null vector of Aᴴ: what is left
  /// of a random vector when its nearest one in the range of A is subtracted. LSMR for that keeps
  /// the optimal polynomial without a restart.
  Status find_left_null(BlockView<T> left, Index i, double& residual) {
    const auto b = ws_.Q.column(0), x = ws_.P.column(0), u = left.column(i);
    space_.random_normal(random_, u);
    ++random_.stream;
    const auto observe = [&](const Iteration& it) {
      Iteration now = it;
      now.iteration += at_.steps;
      now.products = A_.counts;
      now.clock = &clock_;
      return monitor_.observer && monitor_.observer(now);
    };
    LsmrOptions opt;
    opt.atol = std::max(tolerance() - 0.5 * kAttainable, 0.25 * kAttainable);
    opt.btol = 0.0;
    opt.conlim = INFINITY;
    for (int attempt = 0; attempt < 3; ++attempt) {
      append_orthonormal(space_, left, i, 0.0, random_, ws_.room);
      space_.copy(u, b);
      Monitor limits = monitor_;
      limits.observer = observe;
      limits.timeout -= clock_.seconds();
      limits.max_products -= std::min(A_.counts.total(), limits.max_products);
      const auto solved =
          lsmr(space_, A_, VectorView<const T>(b), x, ws_.least_squares, opt, limits);
      at_.steps += solved.iterations;
      for (const Status end :
           {Status::stopped, Status::timeout, Status::max_products, Status::nonfinite}) {
        if (solved.status == end) return end;
      }
      A_.apply(x, u);
      space_.axpby(1.0, b, -1.0, u);
      append_orthonormal(space_, left, i, 0.0, random_, ws_.room);
      A_.apply_adjoint(u, x);
      residual = std::max(residual, std::sqrt(space_.read(space_.norm2(x))));
      if (residual <= 0.75 * out_.target) break;
    }
    return Status::converged;
  }

  /// Rayleigh-Ritz once more: a triplet from the complement of others carries their errors, as
  /// components on each other, that UᴴAV = X diag(σ) Yᴴ knows of. U X and V Y, with their products.
  void rotate(std::span<double> s, BlockView<T> left, BlockView<T> right, BlockView<T> AV,
              BlockView<T> AU) {
    using W = WideOf<T>;
    const Index count = out_.found;
    const auto size = static_cast<std::size_t>(count);
    std::vector<W> H(size * size), X(size * size), Y(size * size);
    for (std::size_t i = 0; i < size; ++i) {
      const auto h = ws_.room.h.first(size);
      space_.project(left.columns(0, count), AV.column(static_cast<Index>(i)), h);
      space_.read(h, std::span(H).subspan(i * size, size));
    }
    dense::svd<W>({H.data(), count, count, count}, {X.data(), count, count, count}, s.first(size),
                  {Y.data(), count, count, count});
    const BlockView<const W> from_left{X.data(), count, count, count};
    const BlockView<const W> from_right{Y.data(), count, count, count};
    space_.combine(left.columns(0, count), from_left);
    space_.combine(AU, from_left);
    space_.combine(right.columns(0, count), from_right);
    space_.combine(AV, from_right);
  }

  void measure(std::span<double> s, std::span<double> residuals, BlockView<T> left,
               BlockView<T> right, Status& status) {
    const Index found = out_.found;
    const auto AV = ws_.Q.columns(0, found);
    const auto AU = ws_.P.columns(0, found);
    if (opt_.verify && found > 0) {
      A_.apply_block(BlockView<const T>(right.columns(0, found)), AV);
      A_.apply_adjoint_block(BlockView<const T>(left.columns(0, found)), AU);
      if (inserted_ && !opt_.right_only) rotate(s, left, right, AV, AU);
    }
    out_.residual = 0.0;
    out_.converged = 0;
    for (Index i = 0; i < found; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const bool one_side = opt_.right_only && ws_.partnerless[at];
      if (opt_.verify) {
        const auto av = AV.column(i), au = AU.column(i);
        residuals[at] = std::sqrt(space_.read(space_.axpy_norm2(-s[at], left.column(i), av)));
        project_out<S>(space_, deflate_, au, ws_.room);
        const double other = std::sqrt(space_.read(space_.axpy_norm2(-s[at], right.column(i), au)));
        if (!one_side) residuals[at] = std::max(residuals[at], other);
      }
      if (!std::isfinite(residuals[at])) status = Status::nonfinite;
      out_.residual = std::max(out_.residual, residuals[at]);
      if (residuals[at] <= out_.target) ++out_.converged;
    }
    out_.verified = opt_.verify;
    if (status == Status::converged && out_.converged < k_) status = Status::precision_limit;
  }

  SvdsOutcome finish(Status status) {
    if (status == Status::nonfinite) out_.found = out_.converged = 0;
    out_.status = status;
    out_.iterations = at_.steps;
    out_.restarts = at_.restarts;
    out_.norm_a = at_.norm_a;
    out_.products = A_.counts;
    out_.seconds = clock_.seconds();
    if (checkpoint_ && status == Status::converged) checkpoint_->remove();
    return out_;
  }

  bool inserted_ = false;
};

/// Singular values into `s`, descending, max(‖Av − σu‖, ‖Aᴴu − σv‖) into `residuals`, the vectors
/// into U and V. By Weyl's bound a singular value lies within the residual of each. The columns of
/// `deflate`, orthonormal, are kept out of V: the triplets are those of A (I − Z Zᴴ).
/// Cost: two products and (3j + 7)(m + n) of traffic a step; a restart of (ncv + kept)(m + n) every
/// ncv − kept steps.
template <Space S, AdjointOperator<typename S::Value> Op>
SvdsOutcome svds(S& space, const Op& A, std::span<double> s, std::span<double> residuals,
                 BlockView<typename S::Value> U, BlockView<typename S::Value> V,
                 SvdsWorkspace<S>& ws, const SvdsOptions& opt = {}, const Monitor& monitor = {},
                 Checkpoint* checkpoint = nullptr,
                 BlockView<const typename S::Value> deflate = {}) {
  check_size("U", U.rows, A.rows());
  check_size("V", V.rows, A.cols());
  if (deflate.cols > 0) check_size("deflate", deflate.rows, A.cols());
  for (const auto& [what, came] : {std::pair{"s", static_cast<Index>(s.size())},
                                   {"residuals", static_cast<Index>(residuals.size())},
                                   {"U", U.cols},
                                   {"V", V.cols}}) {
    if (came < opt.k) {
      throw InvalidArgument(std::string(what) + " has room for " + std::to_string(came) +
                            "; k = " + std::to_string(opt.k) + " are wanted");
    }
  }
  return SvdsRun<S, Op>(space, A, ws, opt, monitor, checkpoint, deflate).run(s, residuals, U, V);
}

}  // namespace ritz
