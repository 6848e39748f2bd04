#include "ritz/krylov/lsmr.hpp"

#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/jacobian.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class S>
struct Solved {
  std::vector<typename S::Value> x;
  LsmrOutcome out;
};

template <class S, class A>
Solved<S> solve(const A& op, const std::vector<typename S::Value>& b, const LsmrOptions& opt = {},
                const Monitor& monitor = {}, std::vector<typename S::Value> start = {}) {
  S space;
  LsmrWorkspace<S> ws;
  Solved<S> result{std::move(start), {}};
  result.x.resize(at(op.cols()));
  result.out = lsmr(space, op, view(b), view(result.x), ws, opt, monitor);
  return result;
}

template <class T>
LsmrOptions tight() {
  LsmrOptions opt;
  opt.atol = opt.btol = 20.0 * kEps<T>;
  opt.conlim = 0.0;
  opt.max_iterations = 1000;
  return opt;
}

struct Measured {
  double residual, normal_residual;  // ‖[b − Ax; damp (x − x₀)]‖, ‖Aᴴ(b − Ax) − damp² (x − x₀)‖
};

template <Field T>
Measured measure(const Dense<T>& A, const std::vector<T>& x, const std::vector<T>& b,
                 double damp = 0.0, const std::vector<T>& x0 = {}) {
  std::vector<Long<T>> r(b.begin(), b.end()), g(x.size());
  long double sum = 0;
  for (Index i = 0; i < A.m; ++i) {
    for (Index j = 0; j < A.n; ++j) r[at(i)] -= lengthen(A(i, j)) * lengthen(x[at(j)]);
    sum += std::norm(r[at(i)]);
  }
  long double normal = 0;
  for (Index j = 0; j < A.n; ++j) {
    const Long<T> step = lengthen(x[at(j)]) - (x0.empty() ? Long<T>{} : lengthen(x0[at(j)]));
    sum += damp * damp * std::norm(step);
    Long<T> total = -static_cast<long double>(damp) * damp * step;
    for (Index i = 0; i < A.m; ++i) total += conj_long(lengthen(A(i, j))) * r[at(i)];
    normal += std::norm(total);
  }
  return {static_cast<double>(std::sqrt(sum)), static_cast<double>(std::sqrt(normal))};
}

/// The promise of `converged`, evaluated again, with what rounding of the products allows.
template <Field T>
bool keeps_promise(const Measured& truth, const LsmrOptions& opt, const Dense<T>& A,
                   const std::vector<T>& x, const std::vector<T>& b) {
  const double a = A.frobenius(), slack = 4.0 * kEps<T>;
  return truth.residual <= opt.btol * norm(b) + opt.atol * a * norm(x) + slack * norm(b) ||
         truth.normal_residual <= (opt.atol + slack) * a * truth.residual + slack * a * a * norm(x);
}

template <class S, class F>
void check_reusable_after(F interrupted) {
  using T = typename S::Value;
  const auto A = with_values<T>(40, geometric(20, 5.0), false, 3);
  const auto b = gaussian<T>(40, 4);
  S space;
  LsmrWorkspace<S> ws;
  interrupted(space, ws, A, b);
  std::vector<T> x(20, T{7});
  LsmrOptions opt;
  opt.max_iterations = 100;
  const LsmrOutcome out = lsmr(space, A, view(b), view(x), ws, opt);
  const auto fresh = solve<S>(A, b, opt);
  CHECK(out.status == Status::converged);
  CHECK(out.iterations == fresh.out.iterations);
  CHECK(x == fresh.x);
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("lsmr: solution, measures and counters", S, lsmr_oracle) {
  using T = typename S::Value;
  for (const Index m : {Index{50}, Index{20}}) {  // inconsistent; square and consistent
    for (const double damp : {0.0, 0.3}) {
      for (const bool warm : {false, true}) {
        CAPTURE(m);
        CAPTURE(damp);
        CAPTURE(warm);
        const auto A = with_values<T>(m, geometric(20, 40.0), false, 5);
        const auto b = gaussian<T>(m, 6);
        const auto x0 = warm ? gaussian<T>(20, 7) : std::vector<T>{};
        LsmrOptions opt = tight<T>();
        opt.damp = damp;
        opt.warm_start = warm;
        const auto counted = faulty<T>(A);
        const auto [x, out] = solve<S>(counted, b, opt, {}, x0);
        CHECK(out.status == Status::converged);
        CHECK(out.verified);
        CHECK(out.products.apply == counted.applied);
        CHECK(out.products.adjoint == counted.adjoint);
        CHECK(out.iterations <= 60);

        const auto exact = least_squares_solution(A, b, damp, x0);
        CHECK(distance(x, exact) <= 5000.0 * kEps<T> * (norm(exact) + norm(b)));
        const Measured truth = measure(A, x, b, damp, x0);
        CHECK(keeps_promise(truth, opt, A, x, b));
        const double scale = norm(b) + norm(x);
        CHECK(std::abs(out.residual - truth.residual) <= 4.0 * kEps<T> * scale);
        CHECK(std::abs(out.normal_residual - truth.normal_residual) <= 10.0 * kEps<T> * scale);
        CHECK(out.norm_x == doctest::Approx(norm(x)).epsilon(1e-6));
        CHECK(out.norm_a <= A.frobenius() * 1.001);
        CHECK(out.norm_a >= 0.3);  // ‖A‖ = 1
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_oracle, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("lsmr: the estimates agree with the truth at every iteration", S,
                          lsmr_estimates) {
  using T = typename S::Value;
  const auto A = with_values<T>(60, geometric(30, 10.0), false, 15);
  const auto b = gaussian<T>(60, 16);
  const auto start = gaussian<T>(30, 17);
  for (const double damp : {0.0, 0.2}) {
    for (const bool warm : {false, true}) {
      LsmrOptions opt;
      opt.damp = damp;
      opt.warm_start = warm;
      opt.verify = false;
      opt.atol = opt.btol = 1e-14;
      double last = INFINITY;
      for (opt.max_iterations = 1; opt.max_iterations <= 8; ++opt.max_iterations) {
        const auto x0 = warm ? start : std::vector<T>{};
        const auto [x, out] = solve<S>(A, b, opt, {}, x0);
        CHECK(out.status == Status::max_iterations);
        CHECK_FALSE(out.verified);
        const Measured truth = measure(A, x, b, damp, x0);
        CHECK(out.residual == doctest::Approx(truth.residual).epsilon(1e3 * kEps<T>));
        CHECK(out.normal_residual == doctest::Approx(truth.normal_residual).epsilon(1e4 * kEps<T>));
        CHECK(out.normal_residual <= last * (1.0 + 1e-6));  // falls monotonically
        last = out.normal_residual;
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_estimates, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("lsmr: no false success", S, lsmr_honest) {
  using T = typename S::Value;
  for (const double condition : {1e2, 1e4, 1e6, 1e8, 1e10, 1e12}) {
    const auto A = with_values<T>(30, geometric(20, condition), false, 8);
    const auto b = gaussian<T>(30, 9);
    std::vector<T> consistent(30);
    const auto ones = std::vector<T>(20, T{1});
    A.apply(view(ones), view(consistent));
    for (const auto& rhs : {b, consistent}) {
      for (const double tol : {1e-3, 1e-6, 4.0 * kEps<T>, 0.0}) {
        for (const Index limit : {0, 400}) {
          CAPTURE(condition);
          CAPTURE(tol);
          LsmrOptions opt;
          opt.atol = opt.btol = tol;
          opt.conlim = 0.0;
          opt.max_iterations = limit;
          const auto [x, out] = solve<S>(A, rhs, opt);
          CAPTURE(std::string(name(out.status)));
          CAPTURE(out.iterations);
          CHECK(all_finite(x));
          if (out.status == Status::converged) {
            CHECK(out.verified);
            CHECK(keeps_promise(measure(A, x, rhs), opt, A, x, rhs));
          } else {
            CHECK((out.status == Status::precision_limit || out.status == Status::max_iterations));
          }
          if (limit > 0 && tol >= 1e-6 && tol > 50.0 * kEps<T>) {
            CHECK(out.status == Status::converged);
          }
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_honest, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("lsmr: scaling A, b and damp", S, lsmr_scale) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  for (const double s : {kDouble ? 0x1p66 : 0x1p27, kDouble ? 1e20 : 1e8}) {
    const bool exact = std::exp2(std::round(std::log2(s))) == s;
    const auto A = with_values<T>(60, geometric(30, exact ? 20.0 : 6.0), false, 21);
    const auto b = gaussian<T>(60, 22);
    for (const double damp : {0.0, 0.1}) {
      LsmrOptions opt;
      opt.damp = damp;
      opt.atol = opt.btol = kDouble ? 1e-9 : 1e-4;
      opt.max_iterations = 300;
      const auto plain = solve<S>(A, b, opt);
      REQUIRE(plain.out.status == Status::converged);
      for (const double of_a : {1.0 / s, 1.0, s}) {
        for (const double of_b : {1.0 / s, 1.0, s}) {
          CAPTURE(of_a);
          CAPTURE(of_b);
          auto scaled_b = b;
          for (T& v : scaled_b) v = static_cast<T>(static_cast<WideOf<T>>(v) * of_b);
          opt.damp = damp * of_a;
          const auto [x, out] = solve<S>(A.scaled(of_a), scaled_b, opt);
          CHECK(out.status == plain.out.status);
          CHECK(std::abs(out.iterations - plain.out.iterations) <= (exact ? 0 : 1));
          CHECK(out.residual / of_b == doctest::Approx(plain.out.residual).epsilon(1e-3));
          CHECK(out.norm_a / of_a == doctest::Approx(plain.out.norm_a).epsilon(0.1));
          const double drift = std::abs(std::log(out.cond_a / plain.out.cond_a));
          CHECK(drift <= (exact ? 1e-12 : 1.0));  // the last pivot of R is sensitive to rounding
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_scale, AllSpaces);

TEST_CASE("lsmr: the condition estimate of a small operator is no artefact of its size") {
  const auto A = random_dense<double>(300, 100, 1);  // condition about 4
  const auto b = gaussian<double>(300, 2);
  double plain = 0.0;
  for (const double s : {1.0, 1e-9, 1e-10, 1e-20, 1e20}) {
    const auto [x, out] = solve<HostSpace<double>>(A.scaled(s), b);
    CHECK(out.status == Status::converged);
    CHECK(out.cond_a > 1.5);
    CHECK(out.cond_a < 4.5);
    if (plain == 0.0) plain = out.cond_a;
    CHECK(out.cond_a == doctest::Approx(plain).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE_DEFINE("lsmr: NaN or infinity from the operator", S, lsmr_nonfinite) {
  using T = typename S::Value;
  using R = RealOf<T>;
  const auto A = with_values<T>(30, geometric(20, 100.0), false, 13);
  const auto b = gaussian<T>(30, 14);
  for (const R poison :
       {std::numeric_limits<R>::quiet_NaN(), -std::numeric_limits<R>::infinity()}) {
    for (Index k = 1; k <= 7; ++k) {
      auto bad = faulty<T>(A, k);
      bad.poison = static_cast<T>(poison);
      const auto [x, out] = solve<S>(bad, b);
      CHECK(out.status == Status::nonfinite);
      CHECK(out.iterations == k / 2);  // the first product, Aᴴb, belongs to the start
      CHECK(all_finite(x));
    }
  }
  const auto last = solve<S>(A, b).out.products;
  for (Index k = last.total() - 1; k <= last.total(); ++k) {
    const auto [x, out] = solve<S>(faulty<T>(A, k), b);
    CHECK(out.status == Status::nonfinite);
    CHECK(all_finite(x));
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_nonfinite, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("lsmr: a workspace survives whatever ends a run", S, lsmr_reuse) {
  using T = typename S::Value;
  std::vector<T> x(20);
  SUBCASE("an exception of the operator") {
    for (Index k = 1; k <= 5; ++k) {
      check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
        CHECK_THROWS_AS(lsmr(space, faulty<T>(A, 0, k), view(b), view(x), ws), int);
      });
    }
  }
  SUBCASE("an exception of the observer") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
      const auto observer = [](const Iteration&) -> bool { throw std::domain_error("observer"); };
      Monitor monitor;
      monitor.observer = observer;
      CHECK_THROWS_WITH_AS(lsmr(space, A, view(b), view(x), ws, {}, monitor), "observer",
                           std::domain_error);
    });
  }
  SUBCASE("a stop") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
      const auto observer = [](const Iteration& now) { return now.iteration == 4; };
      Monitor monitor;
      monitor.observer = observer;
      const auto out = lsmr(space, A, view(b), view(x), ws, {}, monitor);
      CHECK(out.status == Status::stopped);
      CHECK(out.iterations == 4);
      LsmrOptions four;
      four.max_iterations = 4;
      CHECK(x == solve<S>(A, b, four).x);
    });
  }
  SUBCASE("a NaN, and a damped warm start") {
    check_reusable_after<S>([&](S& space, auto& ws, const auto& A, const auto& b) {
      LsmrOptions opt;
      opt.damp = 1.0;
      opt.warm_start = true;
      CHECK(lsmr(space, faulty<T>(A, 5), view(b), view(x), ws, opt).status == Status::nonfinite);
    });
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_reuse, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("lsmr: the smallest and the degenerate problems", S, lsmr_small) {
  using T = typename S::Value;
  LsmrOptions warm = tight<T>();
  warm.warm_start = true;
  SUBCASE("zero operator") {
    const Dense<T> A(8, 5);
    const auto [x, out] = solve<S>(A, gaussian<T>(8, 1));
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
    CHECK(out.normal_residual == 0.0);
    CHECK(x == std::vector<T>(5));
  }
  SUBCASE("b = 0") {
    const auto [x, out] = solve<S>(random_dense<T>(8, 5, 1), std::vector<T>(8));
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
    CHECK(x == std::vector<T>(5));
  }
  SUBCASE("b orthogonal to the range") {
    Dense<T> A(8, 3);
    for (Index i = 0; i < 3; ++i) A(i, i) = T{2};
    std::vector<T> b(8);
    b[5] = T{1};
    const auto [x, out] = solve<S>(A, b);
    CHECK(out.status == Status::converged);
    CHECK(out.residual == 1.0);
    CHECK(x == std::vector<T>(3));
  }
  SUBCASE("no rows, no columns, neither") {
    for (const auto& [m, n] : {std::pair<Index, Index>{0, 4}, {4, 0}, {0, 0}}) {
      const auto [x, out] = solve<S>(Dense<T>(m, n), gaussian<T>(m, 1));
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == 0);
      CHECK(norm(x) == 0.0);
    }
  }
  SUBCASE("one by one") {
    Dense<T> A(1, 1);
    A(0, 0) = T{3};
    const auto [x, out] = solve<S>(A, std::vector<T>{T{6}});
    CHECK(out.status == Status::converged);
    CHECK(std::abs(x[0] - T{2}) <= 10.0 * kEps<T>);
  }
  SUBCASE("identity, one iteration") {
    Dense<T> I(9, 9);
    for (Index i = 0; i < 9; ++i) I(i, i) = T{1};
    const auto b = gaussian<T>(9, 1);
    const auto [x, out] = solve<S>(I, b);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 1);
    CHECK(distance(x, b) <= 10.0 * kEps<T> * norm(b));
  }
  SUBCASE("fewer rows than columns: the solution of least norm") {
    const auto wide = with_values<T>(40, geometric(15, 10.0), false, 3);
    const auto A = make_jacobian<T>(
        15, 40, [&](VectorView<const T> v, VectorView<T> y) { wide.apply_adjoint(v, y); },
        [&](VectorView<const T> u, VectorView<T> y) { wide.apply(u, y); });
    const auto b = gaussian<T>(15, 4);
    const auto [x, out] = solve<S>(A, b, tight<T>());
    CHECK(out.status == Status::converged);
    // x = B (BᴴB)⁻¹ b for A = Bᴴ
    Dense<T> N(15, 15);
    for (Index j = 0; j < 15; ++j) {
      for (Index k = 0; k < 15; ++k) {
        Long<T> sum{};
        for (Index i = 0; i < 40; ++i)
          sum += conj_long(lengthen(wide(i, j))) * lengthen(wide(i, k));
        N(j, k) = static_cast<T>(sum);
      }
    }
    std::vector<Long<T>> a(N.a.begin(), N.a.end()), rhs(b.begin(), b.end());
    const auto y = eliminate(a, rhs);
    std::vector<T> small(15), least(40);
    std::transform(y.begin(), y.end(), small.begin(), [](Long<T> v) { return static_cast<T>(v); });
    wide.apply(view(small), view(least));
    CHECK(distance(x, least) <= 2000.0 * kEps<T> * norm(least));
  }
  SUBCASE("rank deficient") {
    auto values = geometric(20, 10.0);
    values[5] = values[11] = 0.0;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const auto A = with_values<T>(30, values, false, seed);
      const auto b = gaussian<T>(30, seed + 1);
      LsmrOptions opt;
      opt.atol = opt.btol = 100.0 * kEps<T>;
      opt.max_iterations = 200;
      const auto [x, out] = solve<S>(A, b, opt);
      CHECK(out.status == Status::converged);
      CHECK(keeps_promise(measure(A, x, b), opt, A, x, b));
      CHECK(norm(x) <= 20.0 * norm(b));
    }
  }
  SUBCASE("warm start at the solution of a consistent system") {
    const auto A = random_dense<T>(20, 12, 5);
    const auto solution = gaussian<T>(12, 6);
    std::vector<T> b(20);
    A.apply(view(solution), view(b));
    const auto [x, out] = solve<S>(A, b, warm, {}, solution);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
    CHECK(x == solution);
    auto perturbed = solution;
    perturbed[0] += static_cast<T>(static_cast<RealOf<T>>(4.0 * kEps<T>));
    const auto again = solve<S>(A, b, warm, {}, perturbed);
    CHECK(again.out.status == Status::converged);
    CHECK(again.out.verified);
    CHECK(again.out.iterations == 0);
  }
  SUBCASE("warm start near the solution of an inconsistent one") {
    const auto A = with_values<T>(40, geometric(20, 30.0), false, 3);
    const auto b = gaussian<T>(40, 4);
    LsmrOptions opt;
    opt.atol = opt.btol = 1e-4;
    opt.warm_start = true;
    const auto cold = solve<S>(A, b, opt);
    const auto again = solve<S>(A, b, opt, {}, least_squares_solution(A, b));
    CHECK(again.out.status == Status::converged);
    CHECK(again.out.iterations <= 1);
    CHECK(again.out.iterations < cold.out.iterations);
  }
  SUBCASE("an ill-conditioned operator is reported") {
    const auto A = with_values<T>(40, geometric(30, 1e4), false, 3);
    LsmrOptions opt;
    opt.conlim = 100.0;
    opt.atol = opt.btol = 1e-12;
    const auto [x, out] = solve<S>(A, gaussian<T>(40, 4), opt);
    CHECK(out.status == Status::condition_limit);
    CHECK(out.cond_a >= 100.0);
    CHECK(out.cond_a <= 1.1e4);
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_small, SomeSpaces);

TEST_CASE("lsmr: misuse names the argument") {
  using S = ReferenceSpace<double>;
  S space;
  LsmrWorkspace<S> ws;
  const auto A = random_dense<double>(5, 3, 1);
  const auto b = gaussian<double>(5, 1);
  std::vector<double> x(3), wrong(4);
  const auto attempt = [&](auto change) {
    LsmrOptions opt;
    change(opt);
    lsmr(space, A, view(b), view(x), ws, opt);
  };
  CHECK_THROWS_AS(attempt([](auto& o) { o.atol = -1.0; }), InvalidArgument);
  CHECK_THROWS_AS(attempt([](auto& o) { o.btol = std::nan(""); }), InvalidArgument);
  CHECK_THROWS_AS(attempt([](auto& o) { o.damp = -1.0; }), InvalidArgument);
  CHECK_THROWS_AS(attempt([](auto& o) { o.conlim = std::nan(""); }), InvalidArgument);
  CHECK_THROWS_AS(lsmr(space, A, view(b), view(wrong), ws), InvalidArgument);
  CHECK_THROWS_AS(lsmr(space, A, view(std::as_const(wrong)), view(x), ws), InvalidArgument);
  for (const double size : {1e-200, 1e-160, 1e200}) {
    const std::vector<double> extreme(5, size);
    CHECK_THROWS_AS(lsmr(space, A, view(extreme), view(x), ws), InvalidArgument);
  }
}

TEST_CASE_TEMPLATE_DEFINE("lsmr: a second solve in a workspace allocates nothing", S, lsmr_alloc) {
  using T = typename S::Value;
  const auto A = random_dense<T>(60, 40, 1);
  const auto b = gaussian<T>(60, 2);
  std::vector<T> x(40);
  S space;
  LsmrWorkspace<S> ws;
  LsmrOptions opt;
  opt.damp = 0.1;
  opt.warm_start = true;
  lsmr(space, A, view(b), view(x), ws, opt);
  for (const bool warm : {true, false}) {
    opt.warm_start = warm;
    CHECK(allocations_in([&] { lsmr(space, A, view(b), view(x), ws, opt); }) == 0);
  }
}
TEST_CASE_TEMPLATE_APPLY(lsmr_alloc, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("lsmr: the same bits for any number of threads", S, lsmr_threads) {
  using T = typename S::Value;
  const Laplacian<T> A{150'001, 1};
  const auto b = gaussian<T>(A.rows(), 2);
  LsmrOptions opt;
  opt.max_iterations = 8;
  opt.atol = opt.btol = 0.0;
  const Index before = threads::num_threads();
  threads::set_num_threads(1);
  const auto one = solve<S>(A, b, opt);
  for (const Index count : {Index{2}, Index{7}}) {
    threads::set_num_threads(count);
    const auto many = solve<S>(A, b, opt);
    CHECK(many.x == one.x);
    CHECK(many.out.residual == one.out.residual);
    CHECK(many.out.cond_a == one.out.cond_a);
  }
  threads::set_num_threads(before);
}
TEST_CASE_TEMPLATE_APPLY(lsmr_threads, HostSpaces);
