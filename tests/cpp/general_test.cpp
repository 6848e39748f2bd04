#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/krylov/bicgstab.hpp"
#include "ritz/krylov/bicgstabl.hpp"
#include "ritz/krylov/fgmres.hpp"
#include "ritz/krylov/gcrodr.hpp"
#include "ritz/krylov/gmres.hpp"
#include "ritz/krylov/idrs.hpp"
#include "ritz/krylov/sgmres.hpp"
#include "ritz/op/operator_ref.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <Field T>
using Erased = OperatorRef<T>;

template <class S, class Method>
struct Solved {
  std::vector<typename S::Value> x;
  typename Method::Outcome out;
};

/// A run in a workspace of the caller's. Operators are erased to save compilation.
template <class Method, class S>
typename Method::Outcome run_in(S& space, typename Method::template Workspace<S>& ws,
                                const Erased<typename S::Value>& A,
                                const std::vector<typename S::Value>& b,
                                std::vector<typename S::Value>& x,
                                const typename Method::Options& opt = {},
                                const Erased<typename S::Value>* M = nullptr,
                                const Monitor& monitor = {}) {
  using T = typename S::Value;
  const OptionalOperator<T> m(M);
  return Stepper<Method, S, Erased<T>, OptionalOperator<T>>(space, A, view(b), view(x), ws, opt,
                                                            monitor, m)
      .finish();
}

template <class Method, class S>
Solved<S, Method> solve(const Erased<typename S::Value>& A, const std::vector<typename S::Value>& b,
                        const typename Method::Options& opt = {},
                        const Erased<typename S::Value>* M = nullptr, const Monitor& monitor = {}) {
  S space;
  typename Method::template Workspace<S> ws;
  Solved<S, Method> result{std::vector<typename S::Value>(b.size()), {}};
  result.out = run_in<Method>(space, ws, A, b, result.x, opt, M, monitor);
  return result;
}

/// I + a random matrix of spectral radius about 1/2: easy for every method.
template <Field T>
Dense<T> near_identity(Index n, std::uint64_t seed) {
  auto A = random_dense<T>(n, n, seed).scaled(0.5 / std::sqrt(static_cast<double>(n)));
  for (Index i = 0; i < n; ++i) A(i, i) += T{1};
  return A;
}

/// x ↦ −Δx + c · ∇x on p × p points with a coefficient that waves with `phase`.
struct Transport {
  Index p = 20;
  double wind = 0.1, phase = 0.0;

  Index rows() const { return p * p; }
  Index cols() const { return p * p; }
  void apply(VectorView<const double> x, VectorView<double> y) const {
    const auto value = [&](Index i, Index j) {
      return i < 0 || j < 0 || i >= p || j >= p ? 0.0 : x[i + j * p];
    };
    const auto coefficient = [&](double i, double j) {
      const double h = 1.0 / static_cast<double>(p);
      return 1.0 + 0.5 * std::sin(3.0 * i * h + phase) * std::cos(2.0 * j * h - phase);
    };
    for (Index j = 0; j < p; ++j) {
      for (Index i = 0; i < p; ++i) {
        const auto u = static_cast<double>(i), v = static_cast<double>(j);
        const double w = coefficient(u - 0.5, v), e = coefficient(u + 0.5, v),
                     s = coefficient(u, v - 0.5), n = coefficient(u, v + 0.5);
        y[i + j * p] = (w + e + s + n) * value(i, j) - (w + wind) * value(i - 1, j) -
                       (e - wind) * value(i + 1, j) - (s + wind) * value(i, j - 1) -
                       (n - wind) * value(i, j + 1);
      }
    }
  }
};

template <class Method, class S>
struct Case {
  using M = Method;
  using Space = S;
};
template <class Method>
using InSomeSpaces =
    std::tuple<Case<Method, ReferenceSpace<std::complex<float>>>, Case<Method, HostSpace<double>>>;
using Cases =
    decltype(std::tuple_cat(InSomeSpaces<Gmres>{}, InSomeSpaces<Fgmres>{}, InSomeSpaces<Bicgstab>{},
                            InSomeSpaces<Bicgstabl>{}, InSomeSpaces<Idrs>{}, InSomeSpaces<Gcrodr>{},
                            InSomeSpaces<Sgmres>{}));

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("general: solution, residual and counters against the oracle", C,
                          general_oracle) {
  using Method = typename C::M;
  using S = typename C::Space;
  using T = typename S::Value;
  const Index n = 40;
  const auto A = near_identity<T>(n, 1);
  const auto b = gaussian<T>(n, 2);
  const auto counted = faulty<T>(A);
  const auto D = diagonal_matrix<T>(geometric(n, 3.0));
  const auto M = faulty<T>(D);
  const Erased<T> erased_m(M);
  for (const bool preconditioned : {false, true}) {
    counted.applied = 0;
    typename Method::Options opt;
    opt.rtol = 20.0 * kEps<T>;
    const auto [x, out] = solve<Method, S>(counted, b, opt, preconditioned ? &erased_m : nullptr);
    CHECK(out.status == Status::converged);
    CHECK(out.verified);
    const double residual = residual_norm(A, x, b);
    CHECK(residual <= out.target * (1.0 + 1e-6) + kEps<T> * norm(b));
    CHECK(std::abs(residual - out.residual) <= 2.0 * kEps<T> * norm(b));
    CHECK(out.products.apply == counted.applied);
    CHECK(out.products.adjoint == 0);
    CHECK(out.preconditioner == M.applied);

    std::vector<Long<T>> a(A.a.begin(), A.a.end()), rhs(b.begin(), b.end());
    const auto exact = eliminate(a, rhs);
    std::vector<T> solution(exact.size());
    std::transform(exact.begin(), exact.end(), solution.begin(),
                   [](Long<T> v) { return static_cast<T>(v); });
    CHECK(distance(x, solution) <= 10.0 * (opt.rtol + kEps<T>)*norm(b));
  }
}
TEST_CASE_TEMPLATE_APPLY(general_oracle, Cases);

TEST_CASE_TEMPLATE_DEFINE("general: the smallest problems", C, general_small) {
  using Method = typename C::M;
  using S = typename C::Space;
  using T = typename S::Value;
  using Options = typename Method::Options;
  Options warm;
  warm.warm_start = true;
  S space;
  typename Method::template Workspace<S> ws;
  SUBCASE("b = 0, also from a start") {
    for (const bool start : {false, true}) {
      auto x = gaussian<T>(20, 9);
      const std::vector<T> b(20);
      const auto out =
          run_in<Method>(space, ws, near_identity<T>(20, 1), b, x, start ? warm : Options{});
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == 0);
      CHECK(x == b);
    }
  }
  SUBCASE("n = 0") {
    const auto [x, out] = solve<Method, S>(diagonal_matrix<T>({}), {});
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
  }
  SUBCASE("n = 1") {
    for (const double a : {3.0, -0.1, 7e-9}) {
      const auto [x, out] = solve<Method, S>(diagonal_matrix<T>({a}), {T{1}});
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == 1);
      CHECK(std::abs(x[0] * static_cast<T>(static_cast<RealOf<T>>(a)) - T{1}) <= 4.0 * kEps<T>);
    }
  }
  SUBCASE("n = 2, a Jordan block") {
    Dense<T> J(2, 2);
    J(0, 0) = J(0, 1) = J(1, 1) = T{1};
    const std::vector<T> b{T{1}, T{2}};
    const auto [x, out] = solve<Method, S>(J, b);
    CHECK(out.status == Status::converged);
    CHECK(residual_norm(J, x, b) <= 1.01e-5 * norm(b));
  }
  SUBCASE("b in an eigenspace") {
    auto d = geometric(30, 100.0);
    for (std::size_t i = 10; i < 20; ++i) d[i] = -0.3;
    std::vector<T> b(30);
    for (std::size_t i = 10; i < 20; ++i) b[i] = gaussian<T>(30, 3)[i];
    const auto [x, out] = solve<Method, S>(diagonal_matrix<T>(d), b);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 1);
  }
  SUBCASE("a start at the solution") {
    const auto A = near_identity<T>(20, 1);
    auto x = gaussian<T>(20, 9);
    const auto solution = x;
    std::vector<T> b(20);
    A.apply(view(std::as_const(x)), view(b));
    const auto out = run_in<Method>(space, ws, A, b, x, warm);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
    CHECK(x == solution);
  }
}
TEST_CASE_TEMPLATE_APPLY(general_small, Cases);

TEST_CASE_TEMPLATE_DEFINE("general: scaling by powers of two changes no bit", C, general_scale) {
  using Method = typename C::M;
  using S = typename C::Space;
  using T = typename S::Value;
  const auto A = near_identity<T>(40, 11);
  const auto b = gaussian<T>(40, 12);
  const auto plain = solve<Method, S>(A, b);
  REQUIRE(plain.out.status == Status::converged);
  const double s = kEps<T> < 1e-10 ? 0x1p66 : 0x1p27;
  for (const double of_a : {1.0 / s, s}) {
    for (const double of_b : {1.0 / s, s}) {
      auto scaled_b = b;
      for (T& v : scaled_b) v = static_cast<T>(static_cast<WideOf<T>>(v) * of_b);
      const auto [x, out] = solve<Method, S>(A.scaled(of_a), scaled_b);
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == plain.out.iterations);
      CHECK(out.residual / of_b == doctest::Approx(plain.out.residual).epsilon(1e-3));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(general_scale, Cases);

TEST_CASE_TEMPLATE_DEFINE("general: no false success", C, general_honest) {
  using Method = typename C::M;
  using S = typename C::Space;
  using T = typename S::Value;
  const Index n = 32;
  for (const double condition : {1e2, 1e6, 1e10, 1e14}) {
    const auto A = with_values<T>(n, geometric(n, condition), false, 7);
    const auto b = gaussian<T>(n, 8);
    for (const double rtol : {1e-3, 4.0 * kEps<T>, 0.0}) {
      CAPTURE(condition);
      CAPTURE(rtol);
      typename Method::Options opt;
      opt.rtol = rtol;
      const auto [x, out] = solve<Method, S>(A, b, opt);
      CAPTURE(std::string(name(out.status)));
      if (!all_finite(x)) {
        CHECK(out.status == Status::nonfinite);
        continue;
      }
      const double residual = residual_norm(A, x, b);
      const double rounding = kEps<T> * (norm(b) + norm(x));  // ‖A‖ = 1
      if (out.status == Status::converged) {
        CHECK(out.verified);
        CHECK(residual <= rtol * norm(b) * (1.0 + 1e-6) + rounding);
      }
      if (out.verified) CHECK(std::abs(out.residual - residual) <= 4.0 * rounding);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(general_honest, Cases);

TEST_CASE_TEMPLATE_DEFINE("general: whatever ends a run leaves x finite and the workspace usable",
                          C, general_endings) {
  using Method = typename C::M;
  using S = typename C::Space;
  using T = typename S::Value;
  const Index n = 40;
  const auto A = near_identity<T>(n, 13);
  const auto b = gaussian<T>(n, 14);
  const auto D = diagonal_matrix<T>(geometric(n, 3.0));
  typename Method::Options opt;
  opt.rtol = 100.0 * kEps<T>;
  const auto fresh = solve<Method, S>(A, b, opt);
  REQUIRE(fresh.out.status == Status::converged);
  S space;
  typename Method::template Workspace<S> ws;
  const auto check_usable = [&] {
    std::vector<T> x(b.size());
    const auto out = run_in<Method>(space, ws, A, b, x, opt);
    CHECK(out.status == Status::converged);
    CHECK(x == fresh.x);
  };
  SUBCASE("a NaN from the operator or the preconditioner") {
    for (Index k = 1; k <= 5; ++k) {
      std::vector<T> x(b.size());
      const auto bad = faulty<T>(A, k);
      CHECK(run_in<Method>(space, ws, bad, b, x, opt).status == Status::nonfinite);
      CHECK(all_finite(x));
      check_usable();
      const auto bad_m = faulty<T>(D, k);
      const Erased<T> M(bad_m);
      CHECK(run_in<Method>(space, ws, A, b, x, opt, &M).status == Status::nonfinite);
      check_usable();
    }
  }
  SUBCASE("an exception of the operator") {
    for (Index k = 1; k <= 4; ++k) {
      std::vector<T> x(b.size());
      const auto bad = faulty<T>(A, 0, k);
      CHECK_THROWS_AS(run_in<Method>(space, ws, bad, b, x, opt), int);
      check_usable();
    }
  }
  SUBCASE("a limit: the residual told is that of the x returned") {
    for (const bool preconditioned : {false, true}) {
      const Erased<T> M(D);
      auto few = opt;
      few.max_iterations = 3;
      std::vector<T> x(b.size());
      const auto out = run_in<Method>(space, ws, A, b, x, few, preconditioned ? &M : nullptr);
      CHECK(out.status == Status::max_iterations);
      CHECK(out.iterations == 3);
      CHECK(residual_norm(A, x, b) ==
            doctest::Approx(out.residual).epsilon(1e-3).scale(1e3 * kEps<T> * norm(b)));
      check_usable();
    }
  }
  SUBCASE("the observer") {
    const auto observer = [](const Iteration& now) { return now.iteration == 2; };
    Monitor monitor;
    monitor.observer = observer;
    std::vector<T> x(b.size());
    const auto out = run_in<Method>(space, ws, A, b, x, opt, nullptr, monitor);
    CHECK(out.status == Status::stopped);
    CHECK(out.iterations == 2);
    CHECK(residual_norm(A, x, b) ==
          doctest::Approx(out.residual).epsilon(1e-3).scale(1e3 * kEps<T> * norm(b)));
    check_usable();
  }
}
TEST_CASE_TEMPLATE_APPLY(general_endings, Cases);

TEST_CASE_TEMPLATE_DEFINE("general: a second solve in a workspace allocates nothing", C,
                          general_alloc) {
  using Method = typename C::M;
  using S = typename C::Space;
  using T = typename S::Value;
  auto d = geometric(300, 20.0);
  for (std::size_t i = 0; i < d.size(); i += 2) d[i] += 1.0;
  const auto A = diagonal_matrix<T>(d);
  const Erased<T> a(A);
  const auto b = gaussian<T>(300, 2);
  std::vector<T> x(300);
  S space;
  typename Method::template Workspace<S> ws;
  run_in<Method>(space, ws, a, b, x, {}, &a);
  for (const bool warm : {false, true}) {
    typename Method::Options opt;
    opt.warm_start = warm;
    // The reference space allocates in `combine`, by which cycles are joined: there none are.
    if constexpr (requires { opt.restart; }) {
      if (!std::same_as<S, HostSpace<T>>) opt.max_iterations = 10;
    }
    CHECK(allocations_in([&] {
            run_in<Method>(space, ws, a, b, x, opt, &a);
            run_in<Method>(space, ws, a, b, x, opt);
          }) == 0);
  }
}
TEST_CASE_TEMPLATE_APPLY(general_alloc, Cases);

TEST_CASE_TEMPLATE_DEFINE("gmres: singular, stagnating and inconsistent systems", S,
                          gmres_singular) {
  using T = typename S::Value;
  GmresOptions opt;
  opt.rtol = 100.0 * kEps<T>;
  SUBCASE("consistent: the Krylov space ends at a solution") {
    auto d = geometric(12, 10.0);
    auto b = gaussian<T>(12, 3);
    d[4] = d[7] = 0.0;
    b[4] = b[7] = T{};
    const auto [x, out] = solve<Gmres, S>(diagonal_matrix<T>(d), b, opt);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations <= 11);
    CHECK(x[4] == T{});
  }
  SUBCASE("inconsistent and range-symmetric: the least residual, and no claim") {
    auto d = geometric(12, 10.0);
    const auto b = gaussian<T>(12, 3);
    d[4] = 0.0;
    const auto [x, out] = solve<Gmres, S>(diagonal_matrix<T>(d), b, opt);
    CHECK(out.status == Status::stagnation);
    CHECK(out.residual == doctest::Approx(static_cast<double>(std::abs(b[4]))).epsilon(1e-4));
    CHECK(all_finite(x));
  }
  SUBCASE("a nilpotent Jordan block takes nothing off e_1") {
    Dense<T> J(6, 6);
    for (Index i = 0; i + 1 < 6; ++i) J(i, i + 1) = T{1};
    std::vector<T> b(6);
    b[5] = T{1};
    const auto [x, out] = solve<Gmres, S>(J, b, opt);
    CHECK(out.status == Status::stagnation);
    CHECK(out.residual == doctest::Approx(1.0));
    CHECK(x == std::vector<T>(6));
  }
  SUBCASE("a cyclic shift: nothing until the last step of the whole space") {
    const Index n = 24;
    Dense<T> P(n, n);
    for (Index i = 0; i < n; ++i) P((i + 1) % n, i) = T{1};
    std::vector<T> b(at(n));
    b[0] = T{1};
    opt.restart = n;
    const auto whole = solve<Gmres, S>(P, b, opt);
    CHECK(whole.out.status == Status::converged);
    CHECK(whole.out.iterations == n);
    opt.restart = n - 1;
    const auto restarted = solve<Gmres, S>(P, b, opt);
    CHECK(restarted.out.status == Status::stagnation);
    CHECK(restarted.out.iterations == n - 1);
    CHECK(restarted.out.residual == doctest::Approx(1.0));
  }
  SUBCASE("zero") {
    const auto [x, out] = solve<Gmres, S>(Dense<T>(5, 5), gaussian<T>(5, 1), opt);
    CHECK(out.status == Status::stagnation);
    CHECK(x == std::vector<T>(5));
  }
}
TEST_CASE_TEMPLATE_APPLY(gmres_singular, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("gmres: the residual estimate is the least over the Krylov space", S,
                          gmres_minimal) {
  using T = typename S::Value;
  const Index n = 20;
  const auto A = near_identity<T>(n, 5);
  const auto b = gaussian<T>(n, 6);
  for (const Index k : {1, 3, 7}) {
    GmresOptions opt;
    opt.rtol = 0.0;
    opt.max_iterations = k;
    const auto [x, out] = solve<Gmres, S>(A, b, opt);
    Dense<T> images(n, k);  // A K, K = b, A b, …
    std::vector<T> v = b, w(at(n));
    for (Index j = 0; j < k; ++j) {
      A.apply(view(std::as_const(v)), view(w));
      std::copy(w.begin(), w.end(), &images(0, j));
      v = w;
    }
    const auto y = least_squares_solution(images, b);
    CHECK(out.residual == doctest::Approx(residual_norm(images, y, b)).epsilon(1e3 * kEps<T>));
  }
}
TEST_CASE_TEMPLATE_APPLY(gmres_minimal, SomeSpaces);

TEST_CASE("gmres: at full length it reaches the attainable accuracy at any condition") {
  using S = HostSpace<double>;
  const Index n = 60;
  for (const double condition : {1e8, 1e10}) {
    const auto A = with_values<double>(n, geometric(n, condition), false, 3);
    const auto b = gaussian<double>(n, 4);
    GmresOptions opt;
    opt.restart = n;
    opt.rtol = 0.0;
    const auto [x, out] = solve<Gmres, S>(A, b, opt);
    CHECK(out.status == Status::precision_limit);
    CHECK(residual_norm(A, x, b) <= 10.0 * kEps<double> * (norm(b) + norm(x)));
  }
}

TEST_CASE_TEMPLATE_DEFINE("gmres: the basis is orthonormal to rounding at any condition", S,
                          gmres_basis) {
  using T = typename S::Value;
  const Index n = 120, m = 60;
  for (const double condition : {10.0, 1e3, 0.01 / kEps<T>}) {
    const auto A = with_values<T>(n, geometric(n, condition), condition == 1e3, 3);
    const auto b = gaussian<T>(n, 4);
    GmresOptions opt;
    opt.restart = m;
    opt.rtol = 0.0;
    opt.max_iterations = m - 1;
    S space;
    Gmres::Workspace<S> ws;
    std::vector<T> x(b.size());
    const auto out = run_in<Gmres>(space, ws, A, b, x, opt);
    REQUIRE(out.iterations == m - 1);
    const Index k = out.iterations;
    double off2 = 0.0;
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) {
        Long<T> sum = i == j ? -1.0L : 0.0L;
        for (Index l = 0; l < n; ++l) {
          sum += conj_long(lengthen(ws.V(l, i))) * lengthen(ws.V(l, j));
        }
        off2 += static_cast<double>(std::norm(sum));
      }
    }
    CHECK(std::sqrt(off2) <= 10.0 * kEps<T> * std::sqrt(static_cast<double>(k)));
  }
}
TEST_CASE_TEMPLATE_APPLY(gmres_basis, SomeSpaces);

TEST_CASE("fgmres: a preconditioner that changes from product to product") {
  using S = HostSpace<double>;
  struct Changing {
    Index n;
    mutable Index calls = 0;
    Index rows() const { return n; }
    Index cols() const { return n; }
    void apply(VectorView<const double> x, VectorView<double> y) const {
      ++calls;
      for (Index i = 0; i < n; ++i) {
        y[i] = x[i] * (1.0 + 0.5 * std::sin(static_cast<double>(calls * (i + 1))));
      }
    }
  };
  const auto A = near_identity<double>(50, 2);
  const auto b = gaussian<double>(50, 3);
  FgmresOptions opt;
  opt.rtol = 1e-10;
  opt.restart = 50;
  const Changing changing{50};
  const Erased<double> M(changing);
  const auto flexible = solve<Fgmres, S>(A, b, opt, &M);
  CHECK(flexible.out.status == Status::converged);
  CHECK(flexible.out.preconditioner == flexible.out.iterations);
  CHECK(flexible.out.products.apply == flexible.out.iterations + 1);  // no restart was needed
  const auto rigid = solve<Gmres, S>(A, b, opt, &M);
  CHECK(rigid.out.products.apply > flexible.out.products.apply);
  // With one that does not change they are the same method.
  const auto D = diagonal_matrix<double>(geometric(50, 4.0));
  const Erased<double> fixed(D);
  CHECK(solve<Fgmres, S>(A, b, opt, &fixed).out.iterations ==
        solve<Gmres, S>(A, b, opt, &fixed).out.iterations);
}

TEST_CASE_TEMPLATE_DEFINE("short recurrences: breakdowns are survived or told", S, breakdowns) {
  using T = typename S::Value;
  SUBCASE("bicgstab: r̂ᴴ A r = 0 at once, and goes on with another r̂") {
    // Symmetric indefinite with bᵀ A b = 0.
    const auto A = diagonal_matrix<T>({1.0, -1.0, 2.0, -2.0});
    const std::vector<T> b(4, T{1});
    const auto [x, out] = solve<Bicgstab, S>(A, b);
    CHECK(out.status == Status::converged);
    CHECK(std::abs(x[2] - T{0.5f}) <= 1e-3);
  }
  Dense<T> K(2, 2);  // skew: BiCGSTAB's polynomials of degree 1 have no use for its spectrum
  K(0, 1) = T{1};
  K(1, 0) = T{-1};
  const std::vector<T> b{T{1}, T{0}};
  SUBCASE("bicgstab on a skew operator") {
    const auto [x, out] = solve<Bicgstab, S>(K, b);
    CHECK(all_finite(x));
    if (out.status != Status::converged) {
      CHECK(out.status == Status::breakdown);
      CHECK(residual_norm(K, x, b) == doctest::Approx(out.residual));
    }
  }
  SUBCASE("bicgstabl and idrs on it") {
    CHECK(solve<Bicgstabl, S>(K, b).out.status == Status::converged);
    CHECK(solve<Idrs, S>(K, b).out.status == Status::converged);
  }
  SUBCASE("the zero operator") {
    const Dense<T> Z(4, 4);
    const auto c = gaussian<T>(4, 1);
    CHECK(solve<Bicgstab, S>(Z, c).out.status == Status::breakdown);
    CHECK(solve<Bicgstabl, S>(Z, c).out.status == Status::breakdown);
    CHECK(solve<Idrs, S>(Z, c).out.status == Status::breakdown);
  }
}
TEST_CASE_TEMPLATE_APPLY(breakdowns, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("short recurrences: every ell and s, to the end of the space", S,
                          orders) {
  using T = typename S::Value;
  const auto A = near_identity<T>(30, 21);
  const auto b = gaussian<T>(30, 22);
  for (const Index order : {1, 2, 3, 4, 8}) {
    BicgstablOptions l;
    l.ell = order;
    CHECK(solve<Bicgstabl, S>(A, b, l).out.status == Status::converged);
    IdrsOptions s;
    s.s = order;
    CHECK(solve<Idrs, S>(A, b, s).out.status == Status::converged);
  }
  IdrsOptions whole;
  whole.s = 100;  // cut down to n: the shadow space leaves no residual
  const auto out = solve<Idrs, S>(A, b, whole).out;
  CHECK(out.status == Status::converged);
  CHECK(out.iterations <= 31);
}
TEST_CASE_TEMPLATE_APPLY(orders, SomeSpaces);

TEST_CASE("gcrodr: the space that is carried on") {
  using S = HostSpace<double>;
  S space;
  GcrodrWorkspace<S> ws;
  GcrodrOptions opt;
  opt.rtol = 1e-6;
  opt.recycle = true;
  const Transport A{40, 0.02, 0.0};
  const auto b = gaussian<double>(1600, 5);
  std::vector<double> x(1600);
  const auto first = run_in<Gcrodr>(space, ws, A, b, x, opt);
  REQUIRE(first.status == Status::converged);
  CHECK(first.recycled == 0.0);

  SUBCASE("A U = C, C orthonormal") {
    CHECK(ws.recycled.held == 20);
    std::vector<double> image(1600);
    for (Index i = 0; i < ws.recycled.held; ++i) {
      A.apply(ws.recycled.U.column(i), view(image));
      CHECK(std::sqrt(space.axpy_norm2(-1.0, ws.recycled.W.column(i), view(image))) <= 1e-11);
      for (Index j = 0; j <= i; ++j) {
        CHECK(std::abs(space.dot(ws.recycled.W.column(j), ws.recycled.W.column(i)) -
                       (i == j ? 1.0 : 0.0)) <= 1e-13);
      }
    }
  }
  SUBCASE("the same system again takes half the products at most") {
    const auto second = run_in<Gcrodr>(space, ws, A, b, x, opt);
    CHECK(second.status == Status::converged);
    CHECK(second.recycled == 20.0);
    CHECK(2 * second.products.apply <= first.products.apply);
  }
  SUBCASE("told wrongly that A is the same, it converges all the same") {
    opt.same_operator = 1;
    const Transport other{40, 0.02, 0.3};
    const auto second = run_in<Gcrodr>(space, ws, other, b, x, opt);
    CHECK(second.status == Status::converged);
    std::vector<double> image(1600);
    other.apply(view(std::as_const(x)), view(image));
    CHECK(distance(image, b) <= 1.01e-6 * norm(b));
  }
  SUBCASE("b = A u for a carried u: one iteration") {
    const std::vector<double> u(ws.recycled.U.column(3).begin(), ws.recycled.U.column(3).end());
    std::vector<double> image(1600);
    A.apply(view(u), view(image));
    const auto second = run_in<Gcrodr>(space, ws, A, image, x, opt);
    CHECK(second.status == Status::converged);
    CHECK(second.iterations == 1);
    CHECK(second.products.apply == 2);  // to see that A is the same, and to verify
  }
  SUBCASE("not asked to recycle, it forgets") {
    opt.recycle = false;
    const auto second = run_in<Gcrodr>(space, ws, A, b, x, opt);
    CHECK(second.products.apply == first.products.apply);
    CHECK(second.recycled == 0.0);
  }
  SUBCASE("another size begins anew") {
    const Transport smaller{12, 0.02, 0.0};
    const auto c = gaussian<double>(144, 1);
    std::vector<double> y(144);
    const auto out = run_in<Gcrodr>(space, ws, smaller, c, y, opt);
    CHECK(out.status == Status::converged);
    CHECK(out.recycled == 0.0);
  }
  SUBCASE("with a preconditioner, another operator A M") {
    const auto D = diagonal_matrix<double>(geometric(1600, 2.0));
    const Erased<double> M(D);
    const auto out = run_in<Gcrodr>(space, ws, A, b, x, opt, &M);
    CHECK(out.status == Status::converged);
    CHECK(out.recycled == 20.0);
    const auto again = run_in<Gcrodr>(space, ws, A, b, x, opt, &M);
    CHECK(again.products.apply < out.products.apply);
  }
}

TEST_CASE("gcrodr: a slowly varying sequence needs 0.6 of GMRES(40)'s products at most") {
  using S = HostSpace<double>;
  for (const double wind : {0.0, 0.02}) {
    S space;
    GcrodrWorkspace<S> ws;
    GcrodrOptions opt;
    opt.rtol = 1e-8;
    opt.recycle = true;
    GmresOptions plain;
    plain.rtol = 1e-8;
    plain.restart = 40;
    Index recycled = 0, restarted = 0;
    for (int system = 0; system < 8; ++system) {
      const Transport A{40, wind, 0.02 * system};
      const auto b = gaussian<double>(1600, 100 + static_cast<std::uint64_t>(system));
      std::vector<double> x(1600);
      const auto out = run_in<Gcrodr>(space, ws, A, b, x, opt);
      CHECK(out.status == Status::converged);
      recycled += out.products.total();
      restarted += solve<Gmres, S>(A, b, plain).out.products.total();
    }
    CAPTURE(recycled);
    CAPTURE(restarted);
    CHECK(static_cast<double>(recycled) <= 0.6 * static_cast<double>(restarted));
  }
}

TEST_CASE("gcrodr: a space that is not worth its set-up is dropped") {
  using S = HostSpace<double>;
  S space;
  GcrodrWorkspace<S> ws;
  GcrodrOptions opt;
  opt.recycle = true;
  std::vector<Index> products;
  std::vector<bool> carried;
  for (std::uint64_t system = 0; system < 8; ++system) {
    // Unrelated operators that take a dozen products each.
    const auto A = near_identity<double>(80, 40 + system);
    const auto b = gaussian<double>(80, 60 + system);
    std::vector<double> x(80);
    const auto out = run_in<Gcrodr>(space, ws, A, b, x, opt);
    CHECK(out.status == Status::converged);
    carried.push_back(out.recycled > 0.0);
  }
  CHECK(carried == std::vector<bool>{false, true, true, true, false, true, true, true});
}

TEST_CASE_TEMPLATE_DEFINE("gcrodr: harmonic Ritz vectors against the definition", W, ritz_vectors) {
  using Wide = W;
  const Index n = 9, rows = 10, k = 4;
  const auto G = random_dense<Wide>(rows, n, 3), N = random_dense<Wide>(rows, n, 4);
  std::vector<Wide> s(at(n * k)), q(at(rows * k));
  const BlockView<const Wide> g{G.a.data(), rows, n, rows}, m{N.a.data(), rows, n, rows};
  const BlockView<Wide> S_{s.data(), n, k, n}, Q{q.data(), rows, k, rows};
  const Index count = dense::harmonic_ritz<Wide>(g, m, k, S_, Q);
  CHECK(count >= k - 1);
  CHECK(count <= k);
  // Q = G S is orthonormal, and GᴴN S stays in the span of GᴴG S: an invariant subspace.
  Dense<Wide> images(n, count);
  const auto adjoint_times = [&](const std::vector<Wide>& v) {
    std::vector<Wide> w(at(n));
    G.apply_adjoint(view(v), view(w));
    return w;
  };
  for (Index j = 0; j < count; ++j) {
    std::vector<Wide> column(&S_(0, j), &S_(0, j) + n), image(at(rows));
    G.apply(view(std::as_const(column)), view(image));
    for (Index i = 0; i < rows; ++i) CHECK(std::abs(image[at(i)] - Q(i, j)) <= 1e-12);
    for (Index l = 0; l <= j; ++l) {
      Wide sum{};
      for (Index i = 0; i < rows; ++i) sum += conjugate(Q(i, l)) * Q(i, j);
      CHECK(std::abs(sum - (l == j ? 1.0 : 0.0)) <= 1e-12);
    }
    const auto w = adjoint_times(image);
    std::copy(w.begin(), w.end(), &images(0, j));
  }
  for (Index j = 0; j < count; ++j) {
    std::vector<Wide> column(&S_(0, j), &S_(0, j) + n), image(at(rows));
    N.apply(view(std::as_const(column)), view(image));
    const auto w = adjoint_times(image);
    const auto y = least_squares_solution(images, w);
    CHECK(residual_norm(images, y, w) <= 1e-8 * norm(w));
  }
}
TEST_CASE_TEMPLATE_APPLY(ritz_vectors, std::tuple<double, std::complex<double>>);

TEST_CASE("gmres: on a device it reads the Hessenberg column and no more") {
  using S = SlotSpace<double>;
  const auto A = near_identity<double>(60, 31);
  const auto b = gaussian<double>(60, 32);
  std::vector<double> x(60);
  S space;
  Gmres::Workspace<S> ws;
  GmresOptions opt;
  opt.rtol = 1e-12;
  opt.restart = 12;
  const Index before = space.reads();
  const auto out = run_in<Gmres>(space, ws, A, b, x, opt);
  CHECK(out.status == Status::converged);
  CHECK(out.iterations > 12);
  CHECK(space.reads() - before <= 3 + 3 * out.iterations);
  CHECK(x == solve<Gmres, ReferenceSpace<double>>(A, b, opt).x);
}

TEST_CASE("general: bad options") {
  using S = HostSpace<double>;
  const auto A = near_identity<double>(4, 1);
  const auto b = gaussian<double>(4, 2);
  GmresOptions g;
  g.restart = 0;
  CHECK_THROWS_AS((solve<Gmres, S>(A, b, g)), InvalidArgument);
  GcrodrOptions c;
  c.restart = -1;
  CHECK_THROWS_AS((solve<Gcrodr, S>(A, b, c)), InvalidArgument);
  BicgstablOptions l;
  l.ell = 0;
  CHECK_THROWS_AS((solve<Bicgstabl, S>(A, b, l)), InvalidArgument);
  IdrsOptions s;
  s.s = 0;
  CHECK_THROWS_AS((solve<Idrs, S>(A, b, s)), InvalidArgument);
}
