#include "ritz/krylov/cg.hpp"

#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class S>
struct Solved {
  std::vector<typename S::Value> x;
  CgOutcome out;
};

/// A run from zero in a fresh workspace.
template <class S, class A, class M = NoPreconditioner>
Solved<S> solve(const A& op, const std::vector<typename S::Value>& b, const CgOptions& opt = {},
                const Monitor& monitor = {}, const M& preconditioner = {}) {
  S space;
  CgWorkspace<S> ws;
  Solved<S> result{std::vector<typename S::Value>(b.size()), {}};
  result.out = cg(space, op, view(b), view(result.x), ws, opt, monitor, preconditioner);
  return result;
}

template <class T>
std::vector<T> ones(Index n) {
  return std::vector<T>(at(n), T{1});
}

/// What rounding allows a residual that was found to be `target` to differ by.
template <class T>
double allowed(double target, double norm_b) {
  return target * (1.0 + 1e-6) + kEps<T> * norm_b;
}

/// Runs `interrupted` in a workspace, and then checks that the workspace still gives the same bits
/// as a fresh one.
template <class S, class F>
void check_reusable_after(F interrupted) {
  using T = typename S::Value;
  const Index n = 30;
  const auto A = hermitian<T>(geometric(n, 100.0), 3);
  const auto b = gaussian<T>(n, 4);
  S space;
  CgWorkspace<S> ws;
  interrupted(space, ws, A, b);
  auto x = ones<T>(n);
  const CgOutcome out = cg(space, A, view(b), view(x), ws);
  const auto fresh = solve<S>(A, b);
  CHECK(out.status == Status::converged);
  CHECK(out.iterations == fresh.out.iterations);
  CHECK(x == fresh.x);
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("cg: solution, residual and counters against the oracle", S, cg_oracle) {
  using T = typename S::Value;
  const Index n = 40;
  const auto A = hermitian<T>(geometric(n, 50.0), 1);
  const auto b = gaussian<T>(n, 2);
  CgOptions opt;
  opt.rtol = 50.0 * kEps<T>;
  const auto counted = faulty<T>(A);
  const auto [x, out] = solve<S>(counted, b, opt);

  CHECK(out.status == Status::converged);
  CHECK(out.verified);
  CHECK(out.target == doctest::Approx(opt.rtol * norm(b)));
  const double residual = residual_norm(A, x, b);
  CHECK(residual <= allowed<T>(out.target, norm(b)));
  CHECK(std::abs(residual - out.residual) <= kEps<T> * norm(b));
  CHECK(out.products.apply == counted.applied);
  CHECK(out.products.adjoint == 0);
  CHECK(out.products.apply >= out.iterations + 1);  // the verification is counted
  CHECK(out.iterations <= 2 * n);

  std::vector<Long<T>> a(A.a.begin(), A.a.end()), rhs(b.begin(), b.end());
  const auto exact = eliminate(a, rhs);
  std::vector<T> solution(exact.size());
  std::transform(exact.begin(), exact.end(), solution.begin(),
                 [](Long<T> v) { return static_cast<T>(v); });
  CHECK(distance(x, solution) <= 50.0 * 1.01 * (opt.rtol + kEps<T>)*norm(b));
}
TEST_CASE_TEMPLATE_APPLY(cg_oracle, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: no false success", S, cg_honest) {
  using T = typename S::Value;
  const Index n = 32;
  for (const double condition : {1e2, 1e4, 1e6, 1e8, 1e10, 1e12}) {
    const auto A = hermitian<T>(geometric(n, condition), 7);
    const auto b = gaussian<T>(n, 8);
    for (const double rtol : {1e-3, 1e-5, 4.0 * kEps<T>, 0.0}) {
      CAPTURE(condition);
      CAPTURE(rtol);
      CgOptions opt;
      opt.rtol = rtol;
      const auto [x, out] = solve<S>(A, b, opt);
      CAPTURE(std::string(name(out.status)));
      CHECK(all_finite(x));
      const double residual = residual_norm(A, x, b);
      const double oracle_error = 1e-18 * norm(x);  // of sums in long double, ‖A‖ = 1
      if (out.status == Status::converged) {
        CHECK(out.verified);
        CHECK(residual <= allowed<T>(rtol * norm(b), norm(b)) + oracle_error);
      } else {
        // Rounding may turn the smallest eigenvalues of A negative in float32.
        const bool honest = out.status == Status::precision_limit ||
                            out.status == Status::max_iterations ||
                            out.status == Status::negative_curvature;
        CHECK(honest);
      }
      if (out.verified) {
        CHECK(std::abs(out.residual - residual) <= 4.0 * kEps<T> * norm(b) + oracle_error);
      }
      if (condition * 100.0 * kEps<T> < rtol) CHECK(out.status == Status::converged);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_honest, AllSpaces);

TEST_CASE("cg: float32 on a Poisson problem whose tolerance float32 cannot meet") {
  const Laplacian<float> A{120, 120};
  const auto b = gaussian<float>(A.rows(), 5);
  CgOptions opt;
  opt.rtol = 1e-6;
  const auto [x, out] = solve<HostSpace<float>>(A, b, opt);
  long double sum = 0;
  const Laplacian<double> exact{120, 120};
  const std::vector<double> wide(x.begin(), x.end());
  std::vector<double> product(wide.size());
  exact.apply(view(wide), view(product));
  for (std::size_t i = 0; i < b.size(); ++i) {
    const long double r = static_cast<long double>(b[i]) - product[i];
    sum += r * r;
  }
  const double residual = static_cast<double>(std::sqrt(sum));
  CHECK((out.status == Status::precision_limit || residual <= 1.1e-6 * norm(b)));
  CHECK(out.status == Status::precision_limit);
  CHECK(out.residual == doctest::Approx(residual).epsilon(0.05));
  CHECK(out.residual > out.target);
}

TEST_CASE_TEMPLATE_DEFINE("cg: scaling A or b changes neither status nor iterations", S, cg_scale) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  // Powers of two change no bit; powers of ten perturb A and b by a rounding error.
  for (const double s : {kDouble ? 0x1p66 : 0x1p27, kDouble ? 1e20 : 1e8}) {
    const bool exact = std::exp2(std::round(std::log2(s))) == s;
    const auto A = hermitian<T>(geometric(40, exact ? 1000.0 : 20.0), 11);
    const auto b = gaussian<T>(40, 12);
    CgOptions opt;
    opt.rtol = kDouble ? 1e-8 : 1e-4;
    const auto plain = solve<S>(A, b, opt);
    REQUIRE(plain.out.status == Status::converged);
    const double relative = plain.out.residual / norm(b);
    for (const double of_a : {1.0 / s, 1.0, s}) {
      for (const double of_b : {1.0 / s, 1.0, s}) {
        CAPTURE(of_a);
        CAPTURE(of_b);
        auto scaled_b = b;
        for (T& v : scaled_b) v = static_cast<T>(static_cast<WideOf<T>>(v) * of_b);
        const auto [x, out] = solve<S>(A.scaled(of_a), scaled_b, opt);
        CHECK(out.status == plain.out.status);
        CHECK(std::abs(out.iterations - plain.out.iterations) <= (exact ? 0 : 1));
        if (out.iterations == plain.out.iterations) {
          CHECK(out.residual / norm(scaled_b) == doctest::Approx(relative).epsilon(0.01));
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_scale, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: NaN or infinity from the operator", S, cg_nonfinite) {
  using T = typename S::Value;
  using R = RealOf<T>;
  const auto A = hermitian<T>(geometric(30, 1000.0), 13);
  const auto b = gaussian<T>(30, 14);
  for (const R poison : {std::numeric_limits<R>::quiet_NaN(), std::numeric_limits<R>::infinity(),
                         -std::numeric_limits<R>::infinity()}) {
    for (Index k = 1; k <= 6; ++k) {
      CAPTURE(k);
      CAPTURE(poison);
      auto bad = faulty<T>(A, k);
      bad.poison = static_cast<T>(poison);
      const auto [x, out] = solve<S>(bad, b);
      CHECK(out.status == Status::nonfinite);
      CHECK(out.iterations == k);
      CHECK(all_finite(x));
      CHECK(message(out).find("iteration " + std::to_string(k)) != std::string::npos);
    }
  }
  SUBCASE("in the right-hand side") {
    auto bad = b;
    bad[3] = static_cast<T>(std::numeric_limits<R>::quiet_NaN());
    CHECK(solve<S>(A, bad).out.status == Status::nonfinite);
  }
  SUBCASE("in the product that verifies") {
    const Index last = solve<S>(A, b).out.products.apply;
    const auto [x, out] = solve<S>(faulty<T>(A, last), b);
    CHECK(out.status == Status::nonfinite);
    CHECK(all_finite(x));
  }
  SUBCASE("in the product of a warm start") {
    S space;
    CgWorkspace<S> ws;
    CgOptions opt;
    opt.warm_start = true;
    auto x = ones<T>(30);
    const auto out = cg(space, faulty<T>(A, 1), view(b), view(x), ws, opt);
    CHECK(out.status == Status::nonfinite);
    CHECK(out.iterations == 0);
    CHECK(x == ones<T>(30));
  }
  SUBCASE("in the preconditioner") {
    const auto M = diagonal_matrix<T>(std::vector<double>(30, 1.0));
    for (Index k = 1; k <= 3; ++k) {
      const auto [x, out] = solve<S>(A, b, {}, {}, faulty<T>(M, k));
      CHECK(out.status == Status::nonfinite);
      CHECK(all_finite(x));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_nonfinite, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: a workspace survives whatever ends a run", S, cg_reuse) {
  using T = typename S::Value;
  std::vector<T> x(30);
  SUBCASE("an exception of the operator, of any type, unchanged") {
    for (Index k = 1; k <= 4; ++k) {
      check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
        int caught = 0;
        try {
          cg(space, faulty<T>(A, 0, k), view(b), view(x), ws);
        } catch (int value) {
          caught = value;
        }
        CHECK(caught == 42);
      });
    }
  }
  SUBCASE("an exception of the observer") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
      const auto observer = [](const Iteration& now) -> bool {
        if (now.iteration == 2) throw std::domain_error("from the observer");
        return false;
      };
      Monitor monitor;
      monitor.observer = observer;
      CHECK_THROWS_WITH_AS(cg(space, A, view(b), view(x), ws, {}, monitor), "from the observer",
                           std::domain_error);
    });
  }
  SUBCASE("a stop") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
      const auto observer = [](const Iteration& now) { return now.iteration == 3; };
      Monitor monitor;
      monitor.observer = observer;
      const auto out = cg(space, A, view(b), view(x), ws, {}, monitor);
      CHECK(out.status == Status::stopped);
      CHECK(out.iterations == 3);
      CgOptions three;
      three.max_iterations = 3;
      const auto limited = solve<S>(A, b, three);
      CHECK(limited.out.status == Status::max_iterations);
      CHECK(limited.out.iterations == 3);
      CHECK(x == limited.x);
    });
  }
  SUBCASE("a NaN") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
      CHECK(cg(space, faulty<T>(A, 2), view(b), view(x), ws).status == Status::nonfinite);
    });
  }
  SUBCASE("a larger problem with a preconditioner") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto&, const auto&) {
      const auto D = diagonal_matrix<T>(geometric(75, 10.0));
      const auto b = gaussian<T>(75, 1);
      std::vector<T> y(75);
      CHECK(cg(space, D, view(b), view(y), ws, {}, {}, D).status == Status::converged);
    });
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_reuse, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: indefinite, singular and zero operators", S, cg_indefinite) {
  using T = typename S::Value;
  SUBCASE("indefinite") {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      auto values = geometric(30, 100.0);
      for (std::size_t i = 0; i < values.size(); i += 3) values[i] = -values[i];
      const auto A = hermitian<T>(values, seed);
      const auto b = gaussian<T>(30, seed);
      const auto [x, out] = solve<S>(A, b);
      CHECK(all_finite(x));
      if (out.status == Status::converged) {
        CHECK(residual_norm(A, x, b) <= allowed<T>(1e-5 * norm(b), norm(b)));
      } else {
        CHECK(out.status == Status::negative_curvature);
        CHECK(out.residual > out.target);
      }
    }
  }
  SUBCASE("negative definite, and zero") {
    for (const double value : {-1.0, -1e-12, 0.0}) {
      const auto A = diagonal_matrix<T>(std::vector<double>(10, value));
      const auto [x, out] = solve<S>(A, ones<T>(10));
      CHECK(out.status == Status::negative_curvature);
      CHECK(out.iterations == 0);
      CHECK(x == std::vector<T>(10));
    }
  }
  SUBCASE("singular, consistent") {
    auto d = geometric(30, 50.0);
    auto b = gaussian<T>(30, 3);
    for (const std::size_t i : {4u, 17u, 29u}) {
      d[i] = 0.0;
      b[i] = T{};
    }
    const auto [x, out] = solve<S>(diagonal_matrix<T>(d), b);
    CHECK(out.status == Status::converged);
    CHECK(x[4] == T{});  // the solution of least norm: nothing leaves the range
    std::vector<T> Ax(30);
    diagonal_matrix<T>(d).apply(view(x), view(Ax));
    CHECK(distance(Ax, b) <= allowed<T>(1e-5 * norm(b), norm(b)));
  }
  SUBCASE("singular, inconsistent") {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      auto values = geometric(30, 50.0);
      values[10] = 0.0;
      const auto A = hermitian<T>(values, seed);
      const auto [x, out] = solve<S>(A, gaussian<T>(30, seed + 100));
      CHECK(out.status != Status::converged);
      CHECK(all_finite(x));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_indefinite, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: the smallest problems", S, cg_small) {
  using T = typename S::Value;
  CgOptions warm;
  warm.warm_start = true;
  S space;
  CgWorkspace<S> ws;
  SUBCASE("identity") {
    const auto I = diagonal_matrix<T>(std::vector<double>(20, 1.0));
    const auto b = gaussian<T>(20, 1);
    const auto [x, out] = solve<S>(I, b);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 1);
    CHECK(distance(x, b) <= kEps<T> * norm(b));
  }
  SUBCASE("b = 0") {
    const auto A = hermitian<T>(geometric(20, 10.0), 1);
    for (const bool start : {false, true}) {
      auto x = gaussian<T>(20, 9);
      CgOptions opt;
      opt.warm_start = start;
      const std::vector<T> b(20);
      const auto out = cg(space, A, view(b), view(x), ws, opt);
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == 0);
      CHECK(out.residual == 0.0);
      CHECK(x == b);
    }
  }
  SUBCASE("n = 0") {
    const auto [x, out] = solve<S>(diagonal_matrix<T>({}), std::vector<T>{});
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
  }
  SUBCASE("n = 1") {
    for (const double a : {3.0, 0.1, 7e-9}) {
      const auto [x, out] = solve<S>(diagonal_matrix<T>({a}), ones<T>(1));
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == 1);
      CHECK(std::abs(std::abs(x[0]) * a - 1.0) <= 4.0 * kEps<T>);
    }
  }
  SUBCASE("warm start at the solution") {
    const auto A = diagonal_matrix<T>(geometric(20, 10.0));
    auto x = gaussian<T>(20, 9);
    const auto solution = x;
    std::vector<T> b(20);
    A.apply(view(x), view(b));
    const auto out = cg(space, A, view(b), view(x), ws, warm);
    CHECK(out.status == Status::converged);
    CHECK(out.verified);
    CHECK(out.iterations == 0);
    CHECK(out.products.apply == 1);
    CHECK(x == solution);
  }
  SUBCASE("warm start near the solution") {
    const auto A = hermitian<T>(geometric(40, 1000.0), 5);
    const auto b = gaussian<T>(40, 6);
    const auto cold = solve<S>(A, b);
    auto x = cold.x;
    x[0] += static_cast<T>(RealOf<T>{0.001F});
    const auto out = cg(space, A, view(b), view(x), ws, warm);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations < cold.out.iterations);
    CHECK(residual_norm(A, x, b) <= allowed<T>(1e-5 * norm(b), norm(b)));
  }
  SUBCASE("an absolute tolerance above the start's residual") {
    CgOptions opt;
    opt.atol = 1e3;
    const auto [x, out] = solve<S>(diagonal_matrix<T>(geometric(9, 9.0)), ones<T>(9), opt);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
    CHECK(out.target == 1e3);
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_small, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: preconditioners", S, cg_preconditioner) {
  using T = typename S::Value;
  const Index n = 60;
  const auto d = geometric(n, 1e3);
  std::vector<double> inverse(d.size());
  std::transform(d.begin(), d.end(), inverse.begin(), [](double x) { return 1.0 / x; });
  auto A = hermitian<T>(std::vector<double>(at(n), 1.0), 1);
  const auto couplings = hermitian<T>(geometric(n, 10.0), 2);
  for (Index j = 0; j < n; ++j) {  // D^½ (I + ¼ C) D^½
    for (Index i = 0; i < n; ++i) {
      const double root = std::sqrt(d[at(i)] * d[at(j)]);
      const WideOf<T> one = i == j ? 1.0 : 0.0;
      A(i, j) = static_cast<T>(root * (one + 0.25 * static_cast<WideOf<T>>(couplings(i, j))));
    }
  }
  const auto b = gaussian<T>(n, 3);

  SUBCASE("the diagonal saves most iterations and solves the same problem") {
    const auto diagonal = diagonal_matrix<T>(inverse);
    const auto M = faulty<T>(diagonal);
    const auto plain = solve<S>(A, b);
    const auto [x, out] = solve<S>(A, b, {}, {}, M);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations * 4 <= plain.out.iterations);
    CHECK(out.preconditioner == M.applied);
    CHECK(residual_norm(A, x, b) <= allowed<T>(1e-5 * norm(b), norm(b)));
  }
  SUBCASE("indefinite ones are found out") {
    for (std::size_t flip = 0; flip < d.size(); flip += 7) {
      auto signs = inverse;
      for (std::size_t i = 0; i <= flip; ++i) signs[i] = -signs[i];
      const auto [x, out] = solve<S>(A, b, {}, {}, diagonal_matrix<T>(signs));
      CHECK(all_finite(x));
      if (out.status == Status::converged) {
        CHECK(residual_norm(A, x, b) <= allowed<T>(1e-5 * norm(b), norm(b)));
      } else {
        CHECK(out.status == Status::indefinite_preconditioner);
      }
    }
    for (const double value : {-1.0, 0.0}) {
      const auto M = diagonal_matrix<T>(std::vector<double>(at(n), value));
      CHECK(solve<S>(A, b, {}, {}, M).out.status == Status::indefinite_preconditioner);
    }
    // The first inner product is negative, all later ones positive.
    auto M = diagonal_matrix<T>(std::vector<double>(2, 1.0));
    M.d[0] = static_cast<T>(-1.0);
    const auto D = diagonal_matrix<T>({1.0, 2.0});
    const auto [x, out] = solve<S>(D, std::vector<T>{T{2}, T{1}}, {}, {}, M);
    CHECK(out.status == Status::indefinite_preconditioner);
  }
  SUBCASE("of another shape") {
    const auto M = diagonal_matrix<T>(geometric(n - 1, 2.0));
    CHECK_THROWS_AS(solve<S>(A, b, {}, {}, M), InvalidArgument);
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_preconditioner, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: the decrease of the quadratic model", S, cg_model) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(50, 100.0), 21);
  const auto b = gaussian<T>(50, 22);
  const auto model = [&](const std::vector<T>& x) {
    std::vector<T> Ax(50);
    A.apply(view(x), view(Ax));
    long double q = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      q += std::real(conj_long(lengthen(x[i])) * (lengthen(Ax[i]) / 2.0L - lengthen(b[i])));
    }
    return static_cast<double>(q);
  };
  CgOptions opt;
  for (opt.max_iterations = 1; opt.max_iterations <= 9; ++opt.max_iterations) {
    const auto [x, out] = solve<S>(A, b, opt);
    CHECK(out.model_decrease == doctest::Approx(-model(x)).epsilon(100.0 * kEps<T>));
  }
  opt = {};
  const auto full = solve<S>(A, b, opt);
  opt.rtol = 0.0;
  opt.quadratic_rtol = 0.1;
  const auto [x, out] = solve<S>(A, b, opt);
  CHECK(out.status == Status::converged);
  CHECK(out.iterations < full.out.iterations);
  CHECK(out.model_decrease >= 0.8 * full.out.model_decrease);
  CHECK(out.model_decrease <= (1.0 + 1e-4) * full.out.model_decrease);
}
TEST_CASE_TEMPLATE_APPLY(cg_model, SomeSpaces);

TEST_CASE("cg: misuse names the argument") {
  using S = ReferenceSpace<double>;
  S space;
  CgWorkspace<S> ws;
  const auto A = diagonal_matrix<double>({1.0, 2.0});
  const std::vector<double> b{1.0, 1.0};
  std::vector<double> x(2), short_x(1);
  const auto with = [&](auto change) {
    CgOptions opt;
    change(opt);
    return [&, opt] { cg(space, A, view(b), view(x), ws, opt); };
  };
  CHECK_THROWS_AS(with([](auto& o) { o.rtol = -1e-3; })(), InvalidArgument);
  CHECK_THROWS_AS(with([](auto& o) { o.rtol = std::nan(""); })(), InvalidArgument);
  CHECK_THROWS_AS(with([](auto& o) { o.atol = -1.0; })(), InvalidArgument);
  CHECK_THROWS_AS(with([](auto& o) { o.quadratic_rtol = std::nan(""); })(), InvalidArgument);
  CHECK_THROWS_WITH_AS(cg(space, A, view(b), view(short_x), ws),
                       "x has 1 elements; the operator needs 2", InvalidArgument);
  CHECK_THROWS_AS(cg(space, A, view(std::as_const(short_x)), view(x), ws), InvalidArgument);
  CHECK_THROWS_AS(cg(space, Dense<double>(2, 3), view(b), view(x), ws), InvalidArgument);
  for (const double size : {1e-200, 1e-160, 1e200}) {  // squares underflow, lose digits, overflow
    const std::vector<double> extreme{size, size};
    CHECK_THROWS_AS(cg(space, A, view(extreme), view(x), ws), InvalidArgument);
  }
  for (const double size : {1e-130, 1e130}) {
    const std::vector<double> fine{size, size};
    CHECK(cg(space, A, view(fine), view(x), ws).status == Status::converged);
    CHECK(x[1] == doctest::Approx(size / 2.0));
  }
}

TEST_CASE("cg: without verification the outcome says so") {
  const auto A = hermitian<double>(geometric(30, 10.0), 1);
  CgOptions opt;
  opt.verify = false;
  const auto [x, out] = solve<HostSpace<double>>(A, gaussian<double>(30, 2), opt);
  CHECK(out.status == Status::converged);
  CHECK_FALSE(out.verified);
  CHECK(out.products.apply == out.iterations);
}

TEST_CASE_TEMPLATE_DEFINE("cg: a second solve in a workspace allocates nothing", S, cg_alloc) {
  using T = typename S::Value;
  const auto A = diagonal_matrix<T>(geometric(500, 100.0));
  const auto b = gaussian<T>(500, 2);
  std::vector<T> x(500);
  S space;
  CgWorkspace<S> ws;
  cg(space, A, view(b), view(x), ws, {}, {}, A);
  CgOptions opt;
  for (const bool warm : {false, true}) {
    opt.warm_start = warm;
    CHECK(allocations_in([&] {
            cg(space, A, view(b), view(x), ws, opt, {}, A);
            cg(space, A, view(b), view(x), ws, opt);
          }) == 0);
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_alloc, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("cg: the same bits for any number of threads", S, cg_threads) {
  using T = typename S::Value;
  const Laplacian<T> A{150'001, 1};
  const auto b = gaussian<T>(A.rows(), 2);
  CgOptions opt;
  opt.max_iterations = 12;
  opt.rtol = 0.0;
  const Index before = threads::num_threads();
  threads::set_num_threads(1);
  const auto one = solve<S>(A, b, opt);
  for (const Index count : {Index{2}, Index{7}}) {
    threads::set_num_threads(count);
    const auto many = solve<S>(A, b, opt);
    CHECK(many.x == one.x);
    CHECK(many.out.residual == one.out.residual);
    CHECK(many.out.model_decrease == one.out.model_decrease);
  }
  threads::set_num_threads(before);
}
TEST_CASE_TEMPLATE_APPLY(cg_threads, HostSpaces);

// The same text on a device: coefficients in slots, reads only at checks.
using SlotSpaces = std::tuple<SlotSpace<float>, SlotSpace<double>, SlotSpace<std::complex<double>>>;

TEST_CASE_TEMPLATE_DEFINE("cg: on a device it reads at checks only", S, cg_device) {
  using T = typename S::Value;
  static_assert(Space<S>);
  static_assert(!std::convertible_to<typename S::Real, double>);
  static_assert(!std::convertible_to<typename S::Coefficient, double>);
  static_assert(!std::convertible_to<typename S::Scalar, std::complex<double>>);
  using Host = ReferenceSpace<T>;
  const auto A = hermitian<T>(geometric(80, 300.0), 31);
  const auto b = gaussian<T>(80, 32);
  const auto M = diagonal_matrix<T>(std::vector<double>(80, 2.0));
  std::vector<T> x(80);

  for (const Index every : {1, 3, 10, 25}) {
    CAPTURE(every);
    S space;
    CgWorkspace<S> ws;
    Monitor monitor;
    monitor.check_every = every;
    for (const bool verify : {true, false}) {
      CgOptions opt;
      opt.verify = verify;
      const auto host = solve<Host>(A, b, opt);
      const Index before = space.reads();
      const auto out = cg(space, A, view(b), view(x), ws, opt, monitor);
      CHECK(out.status == Status::converged);
      CHECK(space.reads() - before <= 3 + 3 * out.iterations / every);
      CHECK(out.iterations >= host.out.iterations);
      // Each verification, successful or not, waits for a check.
      const Index verifications = verify ? host.out.products.apply - host.out.iterations : 1;
      CHECK(out.iterations < host.out.iterations + every * verifications);
      CHECK(x == host.x);  // frozen at the iteration that converged
      CHECK(out.residual == host.out.residual);
      CHECK(std::isnan(out.model_decrease));
    }
    const auto host = solve<Host>(A, b, {}, {}, M);
    const Index before = space.reads();
    const auto out = cg(space, A, view(b), view(x), ws, {}, monitor, M);
    CHECK(out.status == Status::converged);
    CHECK(space.reads() - before <= 5 + 3 * out.iterations / every);
    CHECK(x == host.x);
  }

  SUBCASE("with every iteration read, the model's decrease is whole") {
    CgOptions opt;
    opt.rtol = 0.0;
    opt.quadratic_rtol = 0.1;
    S space;
    CgWorkspace<S> ws;
    const auto host = solve<Host>(A, b, opt);
    const auto out = cg(space, A, view(b), view(x), ws, opt);
    CHECK(out.model_decrease == host.out.model_decrease);
    CHECK(x == host.x);
  }
  SUBCASE("a residual that vanishes exactly between two checks") {
    const auto I = diagonal_matrix<T>(std::vector<double>(80, 1.0));
    S space;
    CgWorkspace<S> ws;
    const std::vector<T> e(80, T{1});
    const auto out = cg(space, I, view(e), view(x), ws);
    CHECK(out.status == Status::converged);
    CHECK(x == e);
  }
  SUBCASE("nothing stays frozen after an exception") {
    S space;
    CgWorkspace<S> ws;
    const auto host = solve<Host>(A, b);
    const auto throwing = faulty<T>(A, 0, host.out.iterations + 1);
    Monitor late;
    late.check_every = 1000;
    CHECK_THROWS_AS(cg(space, throwing, view(b), view(x), ws, {}, late), int);
    CHECK_FALSE(space.frozen());
    CHECK(cg(space, A, view(b), view(x), ws).status == Status::converged);
    CHECK(x == host.x);
  }
  SUBCASE("an indefinite operator is found at a check") {
    S space;
    CgWorkspace<S> ws;
    const auto negative = diagonal_matrix<T>(std::vector<double>(80, -1.0));
    auto values = geometric(80, 10.0);
    values[40] = -1.0;
    CHECK(cg(space, hermitian<T>(values, 1), view(b), view(x), ws).status !=
          Status::max_iterations);
    CHECK_FALSE(space.frozen());
  }
}
TEST_CASE_TEMPLATE_APPLY(cg_device, SlotSpaces);
