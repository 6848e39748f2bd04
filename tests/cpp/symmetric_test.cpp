#include <doctest/doctest.h>

#include <array>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/krylov/cr.hpp"
#include "ritz/krylov/fcg.hpp"
#include "ritz/krylov/minres.hpp"
#include "ritz/krylov/minres_qlp.hpp"
#include "ritz/krylov/symmlq.hpp"
#include "ritz/op/operator_ref.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

/// A method in a space, with type-erased operators so that it is compiled once.
template <class M, class S>
struct Case {
  using Method = M;
  using Space = S;
  using T = typename S::Value;
  using Options = typename M::Options;
  using Workspace = typename M::template Workspace<S>;
  static constexpr bool kDefinite = std::same_as<M, Cr> || std::same_as<M, Fcg>;
  static constexpr bool kLeastSquares =
      std::same_as<M, Minres> || std::same_as<M, MinresQlp> || std::same_as<M, Cr>;

  static auto run(S& space, Workspace& ws, const OperatorRef<T>& A, const std::vector<T>& b,
                  std::vector<T>& x, const Options& opt = {}, const OperatorRef<T>* P = nullptr) {
    const OptionalOperator<T> optional(P);
    return Stepper<M, S, OperatorRef<T>, OptionalOperator<T>>(space, A, view(b), view(x), ws, opt,
                                                              {}, optional)
        .finish();
  }
  /// From zero in a fresh workspace.
  static auto solve(const OperatorRef<T>& A, const std::vector<T>& b, const Options& opt = {},
                    const OperatorRef<T>* P = nullptr) {
    S space;
    Workspace ws;
    std::vector<T> x(b.size());
    const auto out = run(space, ws, A, b, x, opt, P);
    return std::pair(x, out);
  }
};

template <class S>
using Methods =
    std::tuple<Case<Minres, S>, Case<MinresQlp, S>, Case<Symmlq, S>, Case<Cr, S>, Case<Fcg, S>>;
using Cases = decltype(std::tuple_cat(Methods<HostSpace<float>>{},
                                      Methods<HostSpace<std::complex<double>>>{}));
using DeviceCases = Methods<SlotSpace<double>>;

/// Eigenvalues of both signs, unless the method needs one.
template <class C>
std::vector<double> spectrum(Index n, double condition, Index zeros = 0) {
  auto values = geometric(n, condition);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!C::kDefinite && i % 3 == 1) values[i] = -values[i];
    if (static_cast<Index>(i % 7) == 3 && zeros-- > 0) values[i] = 0.0;
  }
  return values;
}

/// ‖A r‖ / ‖r‖ for r = b − A x.
template <class T>
double normal_residual(const Dense<T>& A, const std::vector<T>& x, const std::vector<T>& b) {
  std::vector<T> r(b.size()), g(b.size());
  A.apply(view(x), view(r));
  for (std::size_t i = 0; i < r.size(); ++i) r[i] = b[i] - r[i];
  A.apply(view(r), view(g));
  return norm(g) / norm(r);
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("symmetric: residual, counters, warm start", C, symmetric_solve) {
  using T = typename C::T;
  const Index n = 40;
  const auto dense = hermitian<T>(spectrum<C>(n, 20.0), 1);
  const auto A = faulty<T>(dense);
  const auto b = gaussian<T>(n, 2);
  typename C::Options opt;
  opt.rtol = 100.0 * kEps<T>;
  const auto D = diagonal_matrix<T>(geometric(n, 5.0));
  const OperatorRef<T> ref(D);
  for (const OperatorRef<T>* M : std::array<const OperatorRef<T>*, 2>{nullptr, &ref}) {
    A.applied = 0;
    auto [x, out] = C::solve(A, b, opt, M);
    REQUIRE(out.status == Status::converged);
    CHECK(out.verified);
    CHECK(out.products.apply == A.applied);
    CHECK(out.products.apply >= out.iterations + 1);
    const double true_residual = residual_norm(dense, x, b);
    CHECK(true_residual <= out.target * 1.001 + 20.0 * kEps<T> * norm(x));
    CHECK(std::abs(true_residual - out.residual) <= 20.0 * kEps<T> * norm(x));

    // What the recurrence says before the verification is the truth too.
    auto loose = opt;
    loose.rtol = 1e-2;
    loose.verify = false;
    const auto [y, claimed] = C::solve(A, b, loose, M);
    CHECK(claimed.status == Status::converged);
    CHECK_FALSE(claimed.verified);
    CHECK(residual_norm(dense, y, b) <= 1.01 * claimed.residual);

    typename C::Space space;
    typename C::Workspace ws;
    opt.warm_start = true;
    opt.rtol = 1e-3;
    const auto again = C::run(space, ws, A, b, x, opt, M);
    CHECK(again.status == Status::converged);
    CHECK(again.iterations == 0);
    CHECK(again.products.apply == 1);
    x[0] += T{1};
    CHECK(C::run(space, ws, A, b, x, opt, M).status == Status::converged);
    CHECK(residual_norm(dense, x, b) <= 1.001e-3 * norm(b));
    opt.warm_start = false;
    opt.rtol = 100.0 * kEps<T>;
  }
}
TEST_CASE_TEMPLATE_APPLY(symmetric_solve, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: a shift", C, symmetric_shift) {
  using T = typename C::T;
  if constexpr (requires(typename C::Options o) { o.shift; }) {
    const Index n = 30;
    const double sigma = C::kDefinite ? -0.5 : 0.25;  // between two eigenvalues
    const auto values = geometric(n, 10.0);
    auto moved = values;
    for (double& v : moved) v -= sigma;
    const auto A = hermitian<T>(values, 5), B = hermitian<T>(moved, 5);
    const auto b = gaussian<T>(n, 6);
    typename C::Options opt;
    opt.rtol = 1e-4;
    opt.shift = sigma;
    const auto D = diagonal_matrix<T>(geometric(n, 5.0));
    const OperatorRef<T> ref(D);
    for (const OperatorRef<T>* M : std::array<const OperatorRef<T>*, 2>{nullptr, &ref}) {
      const auto [x, out] = C::solve(A, b, opt, M);
      CHECK(out.status == Status::converged);
      CHECK(residual_norm(B, x, b) <= 1.01e-4 * norm(b));
      auto plain = opt;
      plain.shift = 0.0;
      CHECK(std::abs(C::solve(B, b, plain, M).second.iterations - out.iterations) <= 1);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(symmetric_shift, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: singular systems", C, symmetric_singular) {
  using T = typename C::T;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    CAPTURE(seed);
    const Index n = seed % 2 == 0 ? 40 : 9;
    auto values = spectrum<C>(n, 10.0, 1 + static_cast<Index>(seed % 3));
    const auto A = hermitian<T>(values, seed);
    const auto any = gaussian<T>(n, seed + 50);
    auto inside = any;
    A.apply(view(any), view(inside));
    const auto [x, out] = C::solve(A, inside);
    CHECK(out.status == Status::converged);
    CHECK(residual_norm(A, x, inside) <= 1.01e-5 * norm(inside) + 10.0 * kEps<T> * norm(x));

    const auto [y, lost] = C::solve(A, any);
    CAPTURE(std::string(name(lost.status)));
    CHECK(lost.status != Status::converged);
    CHECK(all_finite(y));
    if constexpr (C::kLeastSquares) {
      CHECK(lost.status == Status::least_squares_solution);
      CHECK(lost.verified);
      CHECK(std::abs(lost.residual - residual_norm(A, y, any)) <= 1e-3 * lost.residual);
      const double lifted = std::same_as<typename C::Method, MinresQlp> ? 200.0 : 10.0;
      CHECK(normal_residual(A, y, any) <= lifted * std::sqrt(kEps<T>));
    }
    if constexpr (std::same_as<typename C::Method, MinresQlp>) {
      for (double& v : values) v = v == 0.0 ? 0.0 : 1.0 / v;
      auto shortest = any;
      hermitian<T>(values, seed).apply(view(any), view(shortest));
      CHECK(distance(y, shortest) <= 50.0 * std::sqrt(kEps<T>) * norm(shortest));
    }
    if constexpr (std::same_as<typename C::Method, Symmlq>) {
      CHECK(lost.status == Status::stagnation);
    }
  }
  SUBCASE("zero") {
    const auto Z = diagonal_matrix<T>(std::vector<double>(10, 0.0));
    const auto [x, out] = C::solve(Z, gaussian<T>(10, 1));
    CHECK(out.status == (C::kLeastSquares                           ? Status::least_squares_solution
                         : std::same_as<typename C::Method, Symmlq> ? Status::stagnation
                                                                    : Status::negative_curvature));
    CHECK(out.iterations == 0);
    CHECK(x == std::vector<T>(10));
  }
}
TEST_CASE_TEMPLATE_APPLY(symmetric_singular, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: powers of two in A and b change no bit", C, symmetric_scale) {
  using T = typename C::T;
  const double s = kEps<T> < 1e-10 ? 0x1p66 : 0x1p27;
  typename C::Options opt;
  opt.rtol = kEps<T> < 1e-10 ? 1e-9 : 1e-4;
  for (const Index zeros : {0, 3}) {
    const auto A = hermitian<T>(spectrum<C>(30, 50.0, zeros), 11);
    const auto b = gaussian<T>(30, 12);
    const auto [x, out] = C::solve(A, b, opt);
    for (const double of_a : {1.0 / s, s}) {
      for (const double of_b : {1.0 / s, 1.0, s}) {
        auto scaled = b, expected = x;
        for (T& v : scaled) v = static_cast<T>(static_cast<WideOf<T>>(v) * of_b);
        for (T& v : expected) v = static_cast<T>(static_cast<WideOf<T>>(v) * (of_b / of_a));
        const auto moved = A.scaled(of_a);
        const auto [y, same] = C::solve(moved, scaled, opt);
        CHECK(same.status == out.status);
        CHECK(same.iterations == out.iterations);
        if (zeros == 0) CHECK(y == expected);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(symmetric_scale, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: NaN, infinity, indefinite M", C, symmetric_nonfinite) {
  using T = typename C::T;
  using R = RealOf<T>;
  const auto A = hermitian<T>(spectrum<C>(30, 100.0), 13);
  const auto b = gaussian<T>(30, 14);
  for (const R poison :
       {std::numeric_limits<R>::quiet_NaN(), -std::numeric_limits<R>::infinity()}) {
    for (Index k = 1; k <= 5; ++k) {
      auto bad = faulty<T>(A, k);
      bad.poison = static_cast<T>(poison);
      const auto [x, out] = C::solve(bad, b);
      CHECK(out.status == Status::nonfinite);
      CHECK(out.iterations == k);
      CHECK(all_finite(x));
    }
    const auto I = diagonal_matrix<T>(std::vector<double>(30, 1.0));
    for (Index k = 1; k <= 4; ++k) {
      auto bad = faulty<T>(I, k);
      bad.poison = static_cast<T>(poison);
      const OperatorRef<T> ref(bad);
      const auto [x, out] = C::solve(A, b, {}, &ref);
      CHECK(out.status == Status::nonfinite);
      CHECK(all_finite(x));
    }
  }
  auto signs = geometric(30, 4.0);
  signs[3] = -1e3;
  const auto M = diagonal_matrix<T>(signs);
  const OperatorRef<T> ref(M);
  const auto [x, out] = C::solve(A, b, {}, &ref);
  CHECK(out.status == Status::indefinite_preconditioner);
  CHECK(all_finite(x));
}
TEST_CASE_TEMPLATE_APPLY(symmetric_nonfinite, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: the smallest problems", C, symmetric_small) {
  using T = typename C::T;
  CHECK(C::solve(diagonal_matrix<T>({}), {}).second.status == Status::converged);
  for (const double a : {3.0, 0.1, 7e-9}) {
    const auto [x, out] = C::solve(diagonal_matrix<T>({a}), {T{1}});
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 1);
    CHECK(std::abs(std::abs(x[0]) * a - 1.0) <= 4.0 * kEps<T>);
  }
  const auto D = diagonal_matrix<T>(geometric(20, 1e4));
  for (const std::size_t i : {0u, 7u, 19u}) {
    std::vector<T> b(20);
    b[i] = T{2};
    CHECK(C::solve(D, b).second.iterations == 1);  // an eigenvector
  }
  const auto [x, out] = C::solve(D, std::vector<T>(20));
  CHECK(out.status == Status::converged);
  CHECK(out.iterations == 0);
  typename C::Options three;
  three.max_iterations = 3;
  const auto A = hermitian<T>(spectrum<C>(40, 1000.0), 3);
  const auto b = gaussian<T>(40, 4);
  const auto [y, limited] = C::solve(A, b, three);
  CHECK(limited.status == Status::max_iterations);
  CHECK(limited.iterations == 3);
  CHECK(residual_norm(A, y, b) == doctest::Approx(limited.residual).epsilon(1e-4));
}
TEST_CASE_TEMPLATE_APPLY(symmetric_small, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: a second solve allocates nothing", C, symmetric_alloc) {
  using T = typename C::T;
  const auto A = diagonal_matrix<T>(geometric(500, 100.0));
  const auto zero = diagonal_matrix<T>(std::vector<double>(500, 0.0));
  const OperatorRef<T> ref(A);
  const auto b = gaussian<T>(500, 2);
  std::vector<T> x(500);
  typename C::Space space;
  typename C::Workspace ws;
  typename C::Options opt;
  C::run(space, ws, A, b, x, opt, &ref);
  C::run(space, ws, zero, b, x, opt);
  for (const bool warm : {false, true}) {
    opt.warm_start = warm;
    CHECK(allocations_in([&] {
            C::run(space, ws, A, b, x, opt, &ref);
            C::run(space, ws, A, b, x, opt);
            C::run(space, ws, zero, b, x, opt);
          }) == 0);
  }
}
TEST_CASE_TEMPLATE_APPLY(symmetric_alloc, Cases);

TEST_CASE_TEMPLATE_DEFINE("symmetric: on a device as on the host", C, symmetric_device) {
  using T = typename C::T;
  using Host = Case<typename C::Method, ReferenceSpace<T>>;
  const auto A = hermitian<T>(spectrum<C>(60, 100.0), 31);
  const auto b = gaussian<T>(60, 32);
  const auto D = diagonal_matrix<T>(geometric(60, 5.0));
  const OperatorRef<T> ref(D);
  for (const OperatorRef<T>* M : std::array<const OperatorRef<T>*, 2>{nullptr, &ref}) {
    const auto [x, out] = C::solve(A, b, {}, M);
    const auto [y, host] = Host::solve(A, b, {}, M);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == host.iterations);
    CHECK(x == y);
  }
}
TEST_CASE_TEMPLATE_APPLY(symmetric_device, DeviceCases);

TEST_CASE("minres: a direction of negative curvature when asked for one") {
  using T = std::complex<double>;
  using C = Case<Minres, HostSpace<T>>;
  auto values = geometric(30, 10.0);
  values[20] = -values[20];
  const auto A = hermitian<T>(values, 21);
  const auto b = gaussian<T>(30, 22);
  MinresOptions opt;
  CHECK(C::solve(A, b, opt).second.status == Status::converged);
  opt.npc = true;
  const auto D = diagonal_matrix<T>(geometric(30, 3.0));
  const OperatorRef<T> ref(D);
  for (const OperatorRef<T>* M : std::array<const OperatorRef<T>*, 2>{nullptr, &ref}) {
    HostSpace<T> space;
    MinresWorkspace<HostSpace<T>> ws;
    std::vector<T> x(30), product(30);
    const OperatorRef<T> indefinite(A);
    const OptionalOperator<T> preconditioner(M);
    Stepper<Minres, HostSpace<T>, OperatorRef<T>, OptionalOperator<T>> run(
        space, indefinite, view(b), view(x), ws, opt, {}, preconditioner);
    const auto out = run.finish();
    REQUIRE(out.status == Status::negative_curvature);
    CHECK(out.iterations >= 1);
    CHECK(std::abs(residual_norm(A, x, b) - out.residual) <= 1e-12 * norm(b));
    const auto d = run.direction();
    A.apply(d, view(product));
    const double dd = space.norm2(d);
    const double curvature = space.real_dot(d, view(product)) / dd;
    CHECK(curvature <= 0.0);
    CHECK(out.curvature == doctest::Approx(curvature).epsilon(1e-8));
  }
  const auto P = hermitian<T>(geometric(30, 10.0), 21);
  CHECK(C::solve(P, b, opt).second.status == Status::converged);
}

TEST_CASE("fcg: a preconditioner that changes from call to call") {
  using T = double;
  struct Changing {
    const DiagonalMatrix<T>& D;
    mutable Index calls = 0;
    Index rows() const { return D.rows(); }
    Index cols() const { return D.cols(); }
    void apply(VectorView<const T> x, VectorView<T> y) const {
      ++calls;
      for (Index i = 0; i < x.size; ++i) {  // nonlinear, and another one each time
        y[i] = x[i] / D.d[at(i)] * (1.0 + 0.5 * std::sin(static_cast<double>(i * calls)));
      }
    }
  };
  const Index n = 300;
  const auto D = diagonal_matrix<T>(geometric(n, 1e6));
  const auto b = gaussian<T>(n, 3);
  using C = Case<Fcg, HostSpace<T>>;
  FcgOptions opt;
  opt.rtol = 1e-8;
  Index before = 1000;
  for (const Index memory : {1, 4, 16}) {
    const Changing M{D};
    opt.memory = memory;
    const OperatorRef<T> ref(M);
    const auto [x, out] = C::solve(D, b, opt, &ref);
    CHECK(out.status == Status::converged);
    CHECK(out.preconditioner == M.calls);
    CHECK(out.iterations <= before + 2);  // no theorem, but no harm either
    before = out.iterations;
  }
  CHECK(before < 60);
}
