// IDR(s): A x = b for general A by short recurrences, with residuals forced into spaces of
// shrinking dimension; s + 1 products take the residual from one space into the next.
//
// Van Gijzen, Sonneveld: Algorithm 913: An elegant IDR(s) variant that efficiently exploits
// biorthogonality properties. ACM Trans. Math. Softw. 38, 2011. Choice of ω: Sleijpen, van der
// Vorst: Maintaining convergence properties of BiCGstab methods in finite precision arithmetic.
// Numer. Algorithms 10, 1995.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "ritz/krylov/lanczos.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/shadow.hpp"

namespace ritz {

struct IdrsOptions : LinearOptions {
  Index s = 4;  ///< dimension of the shadow space, at most n: the authors' recommendation

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("s", s);
  }
};

/// Vectors of length n: s each of P, G, U; r, v, t, and one with a preconditioner.
template <Space S>
struct IdrsWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index, Index n, const IdrsOptions& opt, bool preconditioned) {
    if (opt.s < 1) throw InvalidArgument("s must be at least 1");
    const Index s = std::clamp<Index>(opt.s, 1, std::max<Index>(n, 1));
    arena.begin(space, (3 * s + (preconditioned ? 4 : 3)) * Arena<S>::padded(n) +
                           Arena<S>::padded(Arena<S>::slot_elements(2 * s)));
    for (BlockView<T>* block : {&P, &G, &U}) *block = arena.block(n, s);
    for (VectorView<T>* u : {&r, &v, &t}) *u = arena.vector(n);
    vhat = preconditioned ? arena.vector(n) : v;
    slots = arena.slots(2 * s);
    const auto size = static_cast<std::size_t>(s);
    m.resize(size * size);
    for (auto* a : {&f, &c, &h, &minus}) a->resize(size);
  }
  std::size_t bytes() const { return arena.bytes(); }

  FrameStack frames;
  Arena<S> arena;
  BlockView<T> P, G, U;
  VectorView<T> r, v, t, vhat;
  typename S::Slots slots;
  std::vector<Wide> m, f, c, h, minus;
};

/// An iteration is one product. Memory movement of the s + 1 iterations of a cycle, in vectors of
/// length n, without the operator: at most 2.5 s² + 19.5 s + 11, 129 for s = 4. The preconditioner
/// stands on the right, so that ‖r‖ is the residual of A x = b.
struct Idrs {
  static constexpr std::string_view kName = "idrs";
  using Options = IdrsOptions;
  using Outcome = ritz::Outcome;
  template <Space S>
  using Workspace = IdrsWorkspace<S>;
  template <Space S, class Op, class P>
  using Run = LinearRun<S, Op, P>;

  template <class R, Space S>
  static Task<> steps(R& run, IdrsWorkspace<S>& ws, const IdrsOptions&, Outcome& out) {
    using Wide = WideOf<typename S::Value>;
    // An inner product below this share of its factors' norms holds rounding errors only.
    constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
    // ω is enlarged until the residual and its image are taken to meet at this cosine: the value
    // of the paper on ω.
    constexpr double kCosine = 0.7;
    auto& space = run.space;
    auto& [frames, arena, P, G, U, r, v, t, vhat, slots, m_, f, c, h, minus] = ws;
    const Index s = P.cols;
    const BlockView<Wide> M{m_.data(), s, s, s};  // Pᴴ G, lower triangular
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    const auto part = [&](const std::vector<Wide>& from, Index first, Index count) {
      return std::span(from).subspan(at(first), at(count));
    };
    const auto negative = [&](const std::vector<Wide>& from, Index first, Index count) {
      for (Index i = 0; i < count; ++i) minus[at(i)] = -from[at(first + i)];
      return part(minus, 0, count);
    };
    ShadowRestarts restarts;
    std::uint64_t drawn = 0;

    while (co_await run.residual(r)) {
      double residual = out.residual;
      bool again = true, broken = false, fresh = true;
      if (drawn == 0) draw(space, ws, drawn++);
      Wide omega = 1.0;
      while (again) {
        if (broken) {
          if (!restarts.allowed(residual)) {
            run.end(Status::breakdown);
            co_return;
          }
          draw(space, ws, drawn++);
          fresh = true;
          omega = 1.0;
          broken = false;
        }
        space.project(P, r, slots);
        space.read(slots.first(at(s)), f);
        for (Index k = 0; again && !broken && k < s; ++k) {
          // v = r − G c is orthogonal to the columns of P from k on.
          space.copy(r, v);
          if (!fresh) {
            for (Index i = k; i < s; ++i) {
              Wide sum = f[at(i)];
              for (Index j = k; j < i; ++j) sum -= M(i, j) * c[at(j)];
              c[at(i)] = sum / M(i, i);
            }
            space.axpy_columns(G.columns(k, s - k), negative(c, k, s - k), v);
          }
          if (run.M) co_await run.M.apply(v, vhat);
          space.scale(omega, vhat);
          if (!fresh) {
            space.axpy_columns(U.columns(k, s - k), part(c, k, s - k), vhat);
          }
          space.copy(vhat, U.column(k));
          co_await run.A.apply(U.column(k), G.column(k));

          // Take g against p_0 … p_{k−1}, and u along; then M's column Pᴴ g.
          space.project(P, G.column(k), slots);
          space.read(slots.first(at(s)), h);
          for (Index i = 0; i < k; ++i) {
            for (Index j = 0; j < i; ++j) h[at(i)] -= M(i, j) * h[at(j)];
            h[at(i)] /= M(i, i);
          }
          for (Index i = k; i < s; ++i) {
            for (Index j = 0; j < k; ++j) h[at(i)] -= M(i, j) * h[at(j)];
            M(i, k) = h[at(i)];
          }
          double size_g2 = 0.0;
          if (k > 0) {
            space.axpy_columns(U.columns(0, k), negative(h, 0, k), U.column(k));
            size_g2 = space.read(space.subtract_norm2(G.columns(0, k), part(h, 0, k), G.column(k)));
          } else {
            size_g2 = space.read(space.norm2(G.column(k)));
          }
          if (!std::isfinite(size_g2)) {
            ++out.iterations;
            run.end(Status::nonfinite);
            co_return;
          }
          broken = std::abs(M(k, k)) <= kEps * std::sqrt(size_g2);
          if (broken) break;

          const Wide beta = f[at(k)] / M(k, k);
          space.axpby(beta, U.column(k), 1.0, run.x);
          residual = run.norm(space.axpy_norm2(-beta, G.column(k), r));
          for (Index i = k + 1; i < s; ++i) f[at(i)] -= beta * M(i, k);
          again = co_await run.iterated(residual);
        }
        if (!again) break;
        if (broken) {
          again = co_await run.iterated(residual);
          continue;
        }
        fresh = false;

        // Into the next space: r −= ω A M r.
        if (run.M) {
          co_await run.M.apply(r, vhat);
        } else {
          space.copy(r, vhat);
        }
        co_await run.A.apply(vhat, t);
        const Wide t_r = space.read(space.dot(t, r));
        const double size_t2 = space.read(space.norm2(t));
        if (!std::isfinite(size_t2)) {
          ++out.iterations;
          run.end(Status::nonfinite);
          co_return;
        }
        broken = size_t2 == 0.0;
        if (!broken) {
          const double limit = kCosine * residual * std::sqrt(size_t2), size = std::abs(t_r);
          omega = size >= limit ? t_r / size_t2
                  : size > 0.0  ? t_r / size * (limit / size_t2)
                                : Wide{limit / size_t2};
          space.axpby(omega, vhat, 1.0, run.x);
          residual = run.norm(space.axpy_norm2(-omega, t, r));
        }
        again = co_await run.iterated(residual);
      }
    }
  }

 private:
  /// Orthonormal columns of P from the `count`-th draw; the seed is fixed, so that a solve has the
  /// same bits every time.
  template <Space S>
  static void draw(S& space, IdrsWorkspace<S>& ws, std::uint64_t count) {
    const auto s = static_cast<std::size_t>(ws.P.cols);
    for (Index j = 0; j < ws.P.cols; ++j) {
      const RandomKey key{2, count * s + static_cast<std::uint64_t>(j)};
      random_orthonormal(space, key, ws.P.columns(0, j), ws.P.column(j), ws.slots.first(s),
                         ws.slots.subspan(s, s));
    }
  }
};

/// Solves A x = b.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome idrs(S& space, const Op& A, VectorView<const typename S::Value> b,
             VectorView<typename S::Value> x, IdrsWorkspace<S>& ws, const IdrsOptions& opt = {},
             const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Idrs, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
