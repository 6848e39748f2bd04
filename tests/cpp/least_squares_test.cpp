// LSQR, CGLS and CRAIG, and families of problems with dampings and shifts.
#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/krylov/cg_shifts.hpp"
#include "ritz/krylov/cgls.hpp"
#include "ritz/krylov/craig.hpp"
#include "ritz/krylov/lsqr.hpp"
#include "ritz/krylov/lsqr_damps.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class T>
struct Solved {
  std::vector<T> x;
  LeastSquaresOutcome out;
};

template <class Method, class S, class A, class P = NoPreconditioner>
Solved<typename S::Value> solve(const A& op, const std::vector<typename S::Value>& b,
                                const typename Method::Options& opt = {},
                                std::vector<typename S::Value> start = {}, const P& M = {}) {
  S space;
  typename Method::template Workspace<S> ws;
  Solved<typename S::Value> result{std::move(start), {}};
  result.x.resize(at(op.cols()));
  result.out =
      Stepper<Method, S, A, P>(space, op, view(b), view(result.x), ws, opt, {}, M).finish();
  return result;
}

template <class Method, class T>
typename Method::Options tight() {
  typename Method::Options opt;
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
  std::vector<Long<T>> r(b.begin(), b.end());
  long double sum = 0, normal = 0;
  for (Index i = 0; i < A.m; ++i) {
    for (Index j = 0; j < A.n; ++j) r[at(i)] -= lengthen(A(i, j)) * lengthen(x[at(j)]);
    sum += std::norm(r[at(i)]);
  }
  for (Index j = 0; j < A.n; ++j) {
    const Long<T> step = lengthen(x[at(j)]) - (x0.empty() ? Long<T>{} : lengthen(x0[at(j)]));
    sum += damp * damp * std::norm(step);
    Long<T> total = -static_cast<long double>(damp) * damp * step;
    for (Index i = 0; i < A.m; ++i) total += conj_long(lengthen(A(i, j))) * r[at(i)];
    normal += std::norm(total);
  }
  return {static_cast<double>(std::sqrt(sum)), static_cast<double>(std::sqrt(normal))};
}

template <Field T>
std::vector<T> scaled(const std::vector<T>& x, double s) {
  auto y = x;
  for (T& v : y) v = static_cast<T>(static_cast<WideOf<T>>(v) * s);
  return y;
}

template <class M, class S>
struct Case {
  using Method = M;
  using Space = S;
};
using C8 = std::complex<float>;
using C16 = std::complex<double>;
using Cases = std::tuple<Case<Lsqr, ReferenceSpace<double>>, Case<Lsqr, HostSpace<float>>,
                         Case<Lsqr, HostSpace<C16>>, Case<Cgls, ReferenceSpace<double>>,
                         Case<Cgls, HostSpace<float>>, Case<Cgls, HostSpace<C16>>>;
using DoubleCases = std::tuple<Case<Lsqr, HostSpace<double>>, Case<Cgls, HostSpace<double>>>;
using DeviceSpaces = std::tuple<SlotSpace<double>, SlotSpace<C16>>;

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("least squares: solution, measures and counters", C, ls_oracle) {
  using Method = typename C::Method;
  using S = typename C::Space;
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
        auto opt = tight<Method, T>();
        opt.damp = damp;
        opt.warm_start = warm;
        const auto counted = faulty<T>(A);
        const auto [x, out] = solve<Method, S>(counted, b, opt, x0);
        CHECK(out.status == Status::converged);
        CHECK(out.verified);
        CHECK(out.products.apply == counted.applied);
        CHECK(out.products.adjoint == counted.adjoint);
        CHECK(out.iterations <= 80);
        const auto exact = least_squares_solution(A, b, damp, x0);
        CHECK(distance(x, exact) <= 5000.0 * kEps<T> * (norm(exact) + norm(b)));
        const Measured truth = measure(A, x, b, damp, x0);
        const double scale = norm(b) + norm(x);
        CHECK(std::abs(out.residual - truth.residual) <= 4.0 * kEps<T> * scale);
        CHECK(std::abs(out.normal_residual - truth.normal_residual) <= 10.0 * kEps<T> * scale);
        CHECK(out.norm_x == doctest::Approx(norm(x)).epsilon(1e-6));
        CHECK(out.norm_a <= 1.001);  // ‖A‖ = 1
        CHECK(out.norm_a >= 0.3);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(ls_oracle, Cases);

TEST_CASE_TEMPLATE_DEFINE("least squares: the estimates agree with the truth at every iteration", C,
                          ls_estimates) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  const auto A = with_values<T>(60, geometric(30, 10.0), false, 15);
  const auto b = gaussian<T>(60, 16);
  const auto start = gaussian<T>(30, 17);
  for (const double damp : {0.0, 0.2}) {
    for (const bool warm : {false, true}) {
      typename Method::Options opt;
      opt.damp = damp;
      opt.warm_start = warm;
      opt.verify = false;
      opt.atol = opt.btol = 1e-14;
      double last = INFINITY;
      for (opt.max_iterations = 1; opt.max_iterations <= 8; ++opt.max_iterations) {
        const auto x0 = warm ? start : std::vector<T>{};
        const auto [x, out] = solve<Method, S>(A, b, opt, x0);
        CHECK(out.status == Status::max_iterations);
        CHECK_FALSE(out.verified);
        const Measured truth = measure(A, x, b, damp, x0);
        CHECK(out.residual == doctest::Approx(truth.residual).epsilon(1e3 * kEps<T>));
        CHECK(out.normal_residual == doctest::Approx(truth.normal_residual).epsilon(1e4 * kEps<T>));
        CHECK(out.norm_x == doctest::Approx(norm(x)).epsilon(1e3 * kEps<T>));
        CHECK(out.residual <= last * (1.0 + 1e-6));  // falls monotonically
        last = out.residual;
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(ls_estimates, Cases);

TEST_CASE_TEMPLATE_DEFINE("least squares: scaling A, b and damp", C, ls_scale) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  const double s = kDouble ? 1e20 : 1e8;
  const auto A = with_values<T>(60, geometric(30, 6.0), false, 21);
  const auto b = gaussian<T>(60, 22);
  for (const double damp : {0.0, 0.1}) {
    typename Method::Options opt;
    opt.damp = damp;
    opt.atol = opt.btol = kDouble ? 1e-9 : 1e-4;
    const auto plain = solve<Method, S>(A, b, opt);
    REQUIRE(plain.out.status == Status::converged);
    for (const double of_a : {1.0 / s, 1.0, s}) {
      for (const double of_b : {1.0 / s, 1.0, s}) {
        CAPTURE(of_a);
        CAPTURE(of_b);
        opt.damp = damp * of_a;
        const auto [x, out] = solve<Method, S>(A.scaled(of_a), scaled(b, of_b), opt);
        CHECK(out.status == plain.out.status);
        CHECK(std::abs(out.iterations - plain.out.iterations) <= 1);
        CHECK(out.residual / of_b == doctest::Approx(plain.out.residual).epsilon(1e-3));
        CHECK(out.norm_a / of_a == doctest::Approx(plain.out.norm_a).epsilon(0.1));
        CHECK(out.cond_a == doctest::Approx(plain.out.cond_a).epsilon(0.5));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(ls_scale, Cases);

TEST_CASE_TEMPLATE_DEFINE("least squares: the condition estimate is no artefact of the units", C,
                          ls_condition) {
  using Method = typename C::Method;
  using S = typename C::Space;
  const auto A = random_dense<double>(300, 100, 1);  // condition about 4
  const auto b = gaussian<double>(300, 2);
  double plain = 0.0;
  for (const double s : {1.0, 1e-9, 1e-10, 1e-20, 1e20}) {
    const auto [x, out] = solve<Method, S>(A.scaled(s), b);
    CHECK(out.status == Status::converged);
    CHECK(out.cond_a > 1.5);
    CHECK(out.cond_a < 4.5);
    if (plain == 0.0) plain = out.cond_a;
    CHECK(out.cond_a == doctest::Approx(plain).epsilon(1e-6));
  }
  auto opt = tight<Method, double>();
  opt.atol = opt.btol = 1e-14;
  opt.conlim = 100.0;
  const auto bad = with_values<double>(40, geometric(30, 1e4), false, 3);
  const auto [x, out] = solve<Method, S>(bad, gaussian<double>(40, 4), opt);
  CHECK(out.status == Status::condition_limit);
  CHECK(out.cond_a >= 100.0);
  CHECK(out.cond_a <= 1.1e4);
}
TEST_CASE_TEMPLATE_APPLY(ls_condition, DoubleCases);

TEST_CASE_TEMPLATE_DEFINE("least squares: no false success", C, ls_honest) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  for (const double condition : {1e2, 1e6, 1e10}) {
    const auto A = with_values<T>(30, geometric(20, condition), false, 8);
    std::vector<T> consistent(30);
    const auto ones = std::vector<T>(20, T{1});
    A.apply(view(ones), view(consistent));
    for (const auto& b : {gaussian<T>(30, 9), consistent}) {
      for (const double tol : {1e-3, 1e-6, 4.0 * kEps<T>, 0.0}) {
        CAPTURE(condition);
        CAPTURE(tol);
        auto opt = tight<Method, T>();
        opt.atol = opt.btol = tol;
        opt.max_iterations = 400;
        const auto [x, out] = solve<Method, S>(A, b, opt);
        CAPTURE(std::string(name(out.status)));
        CHECK(all_finite(x));
        if (out.status == Status::converged) {
          const Measured truth = measure(A, x, b);
          const double a = A.frobenius(), slack = 4.0 * kEps<T>;
          const bool consistent_met =
              truth.residual <= tol * (norm(b) + a * norm(x)) + slack * norm(b);
          const bool optimal_met =
              truth.normal_residual <= (tol + slack) * a * truth.residual + slack * a * a * norm(x);
          CHECK((consistent_met || optimal_met));
          CHECK(out.verified);
        } else {
          CHECK((out.status == Status::precision_limit || out.status == Status::max_iterations));
        }
        if (tol >= 1e-6 && tol > 50.0 * kEps<T>) CHECK(out.status == Status::converged);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(ls_honest, Cases);

TEST_CASE_TEMPLATE_DEFINE("least squares: the radius", C, ls_radius) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  const auto A = with_values<T>(60, geometric(30, 20.0), false, 5);
  const auto b = gaussian<T>(60, 6);
  for (const double damp : {0.0, 0.2}) {
    typename Method::Options opt;
    opt.damp = damp;
    const auto free = solve<Method, S>(A, b, opt);
    REQUIRE(free.out.status == Status::converged);
    opt.radius = 1.01 * norm(free.x);  // never reached
    const auto inside = solve<Method, S>(A, b, opt);
    CHECK(inside.out.status == Status::converged);
    CHECK(inside.out.iterations == free.out.iterations);
    CHECK(distance(inside.x, free.x) <= 100.0 * kEps<T> * norm(free.x));
    double last = norm(b);
    for (const double share : {0.01, 0.3, 0.9, 0.999}) {
      CAPTURE(share);
      opt.radius = share * norm(free.x);
      const auto [x, out] = solve<Method, S>(A, b, opt);
      CHECK(out.status == Status::boundary);
      CHECK(norm(x) == doctest::Approx(opt.radius).epsilon(100.0 * kEps<T>));
      CHECK(out.norm_x == doctest::Approx(opt.radius).epsilon(100.0 * kEps<T>));
      const Measured truth = measure(A, x, b, damp);
      CHECK(out.residual == doctest::Approx(truth.residual).epsilon(1e3 * kEps<T>));
      CHECK(out.normal_residual == doctest::Approx(truth.normal_residual).epsilon(1e-2));
      CHECK(truth.residual < last);  // a larger ball holds a better point
      last = truth.residual;
    }
  }
  typename Method::Options opt;
  opt.radius = 0.5;
  opt.warm_start = true;
  CHECK_THROWS_AS((solve<Method, S>(A, b, opt, std::vector<T>(30, T{1}))), InvalidArgument);
  opt.warm_start = false;
  opt.radius = 0.0;
  CHECK_THROWS_AS((solve<Method, S>(A, b, opt)), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(ls_radius, Cases);

TEST_CASE_TEMPLATE_DEFINE("least squares: small, empty, exact and deficient problems", C,
                          ls_small) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  for (const auto& [m, n] : {std::pair<Index, Index>{0, 4}, {4, 0}, {0, 0}}) {
    const auto [x, out] = solve<Method, S>(Dense<T>(m, n), gaussian<T>(m, 1));
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
  }
  const auto A = random_dense<T>(20, 12, 5);
  const auto none = solve<Method, S>(A, std::vector<T>(20));
  CHECK(none.out.status == Status::converged);
  CHECK(norm(none.x) == 0.0);
  // A start that solves the problem is kept.
  const auto solution = gaussian<T>(12, 6);
  std::vector<T> b(20);
  A.apply(view(solution), view(b));
  typename Method::Options opt;
  opt.warm_start = true;
  const auto exact = solve<Method, S>(A, b, opt, solution);
  CHECK(exact.out.status == Status::converged);
  CHECK(exact.out.iterations == 0);
  CHECK(exact.x == solution);
  // Without full rank, the solution of least norm: that of singular values 0 in place of none.
  auto values = geometric(20, 10.0);
  values[5] = values[11] = 0.0;
  const auto D = with_values<T>(30, values, false, 2);
  const auto rhs = gaussian<T>(30, 3);
  const auto [x, out] = solve<Method, S>(D, rhs, tight<Method, T>());
  CHECK(out.status == Status::converged);
  // Damping of this size moves it by damp²/σ², and hides the rounding of D, which has full rank.
  const auto limit = least_squares_solution(D, rhs, std::pow(kEps<T>, 0.25));
  CHECK(distance(x, limit) <= 1e3 * std::sqrt(kEps<T>) * norm(limit));
}
TEST_CASE_TEMPLATE_APPLY(ls_small, Cases);

TEST_CASE_TEMPLATE_DEFINE("least squares: NaN from the operator", C, ls_nonfinite) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  const auto A = with_values<T>(30, geometric(20, 100.0), false, 13);
  const auto b = gaussian<T>(30, 14);
  for (Index k = 1; k <= 7; ++k) {
    const auto [x, out] = solve<Method, S>(faulty<T>(A, k), b);
    CHECK(out.status == Status::nonfinite);
    CHECK(out.iterations == k / 2);  // the first product, Aᴴb, belongs to the start
    CHECK(all_finite(x));
  }
}
TEST_CASE_TEMPLATE_APPLY(ls_nonfinite, DoubleCases);

TEST_CASE("cgls: preconditioner") {
  using S = HostSpace<double>;
  // Columns of very different lengths: M = diag(‖a_j‖⁻²) makes it easy.
  auto A = random_dense<double>(80, 40, 3);
  std::vector<double> squares(40);
  for (Index j = 0; j < 40; ++j) {
    const double scale = std::pow(10.0, 0.1 * static_cast<double>(j % 30));
    for (Index i = 0; i < 80; ++i) {
      A(i, j) *= scale;
      squares[at(j)] += A(i, j) * A(i, j);
    }
  }
  const auto b = gaussian<double>(80, 4);
  for (const double damp : {0.0, 2.0}) {
    auto diagonal = squares;
    for (double& d : diagonal) d = 1.0 / (d + damp * damp);
    const DiagonalMatrix<double> M{diagonal};
    CglsOptions opt;
    opt.damp = damp;
    opt.atol = opt.btol = 1e-12;
    const auto plain = solve<Cgls, S>(A, b, opt);
    const auto counted = faulty<double>(M);
    const auto [x, out] = solve<Cgls, S>(A, b, opt, {}, counted);
    CHECK(out.status == Status::converged);
    CHECK(out.iterations < plain.out.iterations / 2);
    CHECK(out.preconditioner == counted.applied);
    const auto exact = least_squares_solution(A, b, damp);
    CHECK(distance(x, exact) <= 1e-9 * norm(exact));
    // The boundary is that of ‖x‖ in the norm of M⁻¹.
    const auto length = [&](const std::vector<double>& v) {
      double sum = 0.0;
      for (std::size_t j = 0; j < v.size(); ++j) sum += v[j] * v[j] / diagonal[j];
      return std::sqrt(sum);
    };
    opt.radius = 0.5 * length(exact);
    const auto bounded = solve<Cgls, S>(A, b, opt, {}, M);
    CHECK(bounded.out.status == Status::boundary);
    CHECK(length(bounded.x) == doctest::Approx(opt.radius).epsilon(1e-10));
  }
  const DiagonalMatrix<double> negative{std::vector<double>(40, -1.0)};
  CHECK(solve<Cgls, S>(A, b, {}, {}, negative).out.status == Status::indefinite_preconditioner);
}

TEST_CASE("lsqr and craig: a preconditioner that they would ignore is refused") {
  const auto A = random_dense<double>(6, 6, 1);
  const auto b = gaussian<double>(6, 2);
  CHECK_THROWS_AS((solve<Lsqr, HostSpace<double>>(A, b, {}, {}, A)), InvalidArgument);
  HostSpace<double> space;
  CraigWorkspace<HostSpace<double>> ws;
  std::vector<double> x(6);
  Stepper<Craig, HostSpace<double>, Dense<double>, Dense<double>> run(space, A, view(b), view(x),
                                                                      ws, {}, {}, A);
  CHECK_THROWS_AS(run.finish(), InvalidArgument);
}

TEST_CASE_TEMPLATE_DEFINE("least squares: a second solve allocates nothing", C, ls_alloc) {
  using Method = typename C::Method;
  using S = typename C::Space;
  using T = typename S::Value;
  const auto A = random_dense<T>(60, 40, 1);
  const auto b = gaussian<T>(60, 2);
  std::vector<T> x(40);
  S space;
  typename Method::template Workspace<S> ws;
  typename Method::Options opt;
  opt.damp = 0.1;
  opt.warm_start = true;
  const auto run = [&] {
    Stepper<Method, S, Dense<T>>(space, A, view(b), view(x), ws, opt).finish();
  };
  run();
  for (const bool warm : {true, false}) {
    opt.warm_start = warm;
    CHECK(allocations_in(run) == 0);
  }
}
TEST_CASE_TEMPLATE_APPLY(ls_alloc, DoubleCases);

TEST_CASE_TEMPLATE_DEFINE("least squares: on a device", S, ls_device) {
  using T = typename S::Value;
  const auto A = with_values<T>(50, geometric(20, 10.0), false, 5);
  const auto b = gaussian<T>(50, 6);
  const auto exact = least_squares_solution(A, b, 0.1);
  LsqrOptions opt;
  opt.damp = 0.1;
  opt.atol = opt.btol = 1e-12;
  const auto [x, out] = solve<Lsqr, S>(A, b, opt);
  CHECK(out.status == Status::converged);
  CHECK(distance(x, exact) <= 1e-9 * norm(exact));
  CglsOptions other;
  other.damp = 0.1;
  other.atol = other.btol = 1e-12;
  const auto [y, too] = solve<Cgls, S>(A, b, other);
  CHECK(too.status == Status::converged);
  CHECK(distance(y, exact) <= 1e-9 * norm(exact));
}
TEST_CASE_TEMPLATE_APPLY(ls_device, DeviceSpaces);

// ---- least norm ---------------------------------------------------------------------------------

TEST_CASE_TEMPLATE_DEFINE("craig: the solution of least norm", S, craig_oracle) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  const auto solve_craig = [](const auto& A, const std::vector<T>& b, std::vector<T> x,
                              const CraigOptions& opt) {
    S space;
    CraigWorkspace<S> ws;
    x.resize(at(A.cols()));
    const auto out = craig(space, A, view(b), view(x), ws, opt);
    return std::pair{x, out};
  };
  const double big = kDouble ? 0x1p66 : 0x1p27;  // powers of two change no rounding
  for (const auto& [m, n] : {std::pair<Index, Index>{20, 50}, {30, 30}, {50, 20}, {1, 5}, {2, 1}}) {
    const Index k = std::min(m, n);
    const auto tall = with_values<T>(std::max(m, n), geometric(k, 10.0), false, 5);
    Dense<T> A(m, n);
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        A(i, j) =
            m >= n ? tall(i, j) : static_cast<T>(conjugate(static_cast<WideOf<T>>(tall(j, i))));
      }
    }
    // What lies in the range of Aᴴ is the solution of least norm.
    const auto w = gaussian<T>(m, 7);
    std::vector<T> solution(at(n)), b(at(m));
    A.apply_adjoint(view(w), view(solution));
    A.apply(view(solution), view(b));
    Index iterations = -1;
    for (const double of_a : {1.0, 1.0 / big, big}) {
      for (const double of_b : {1.0, 1.0 / big, big}) {
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(of_a);
        CAPTURE(of_b);
        const auto scaled_a = A.scaled(of_a);
        const auto counted = faulty<T>(scaled_a);
        const auto rhs = scaled(b, of_b);
        CraigOptions opt;
        opt.rtol = kDouble ? 1e-11 : 1e-5;
        const auto [x, out] = solve_craig(counted, rhs, {}, opt);
        CHECK(out.status == Status::converged);
        CHECK(out.verified);
        CHECK(out.products.apply == counted.applied);
        CHECK(out.products.adjoint == counted.adjoint);
        CHECK(residual_norm(scaled_a, x, rhs) <= (opt.rtol + 2.0 * kEps<T>)*norm(rhs));
        CHECK(distance(scaled(x, of_a / of_b), solution) <= 100.0 * opt.rtol * norm(solution));
        if (iterations < 0) iterations = out.iterations;
        CHECK(out.iterations == iterations);
      }
    }
    // From x₀ it is the nearest solution.
    const auto x0 = gaussian<T>(n, 8);
    std::vector<T> moved = b, shift(at(m)), nearest = x0;
    A.apply(view(x0), view(shift));
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += shift[i];
    for (std::size_t i = 0; i < nearest.size(); ++i) nearest[i] += solution[i];
    CraigOptions opt;
    opt.rtol = kDouble ? 1e-11 : 1e-5;
    opt.warm_start = true;
    const auto [x, out] = solve_craig(A, moved, x0, opt);
    CHECK(out.status == Status::converged);
    CHECK(distance(x, nearest) <= 100.0 * opt.rtol * norm(nearest));
    opt.rtol = 1e-4;
    const auto done = solve_craig(A, moved, nearest, opt);
    CHECK(done.second.status == Status::converged);
    CHECK(done.second.iterations == 0);
  }
  // Without a solution there is no success.
  for (const double condition : {1.0, 3.0, 1e3}) {
    const auto A = with_values<T>(50, geometric(20, condition), false, 5);
    const auto [x, out] = solve_craig(A, gaussian<T>(50, 6), {}, {});
    CHECK((out.status == Status::breakdown || out.status == Status::max_iterations));
    if (condition < 100.0) CHECK(out.status == Status::breakdown);
  }
  const auto nothing = solve_craig(Dense<T>(3, 2), gaussian<T>(3, 1), {}, {});
  CHECK(nothing.second.status == Status::breakdown);
  CHECK(nothing.second.iterations == 0);
}
TEST_CASE_TEMPLATE_APPLY(craig_oracle, SomeSpaces);

TEST_CASE("craig: a second solve allocates nothing") {
  using S = HostSpace<double>;
  const auto A = random_dense<double>(20, 40, 1);
  const auto b = gaussian<double>(20, 2);
  std::vector<double> x(40);
  S space;
  CraigWorkspace<S> ws;
  const auto run = [&] { craig(space, A, view(b), view(x), ws); };
  run();
  CHECK(allocations_in(run) == 0);
}

// ---- families -----------------------------------------------------------------------------------

namespace {

template <class S>
struct Family {
  using T = typename S::Value;
  Index n, count;
  std::vector<T> x;
  Outcome all{};

  Family(Index n_, std::size_t count_)
      : n(n_), count(static_cast<Index>(count_)), x(at(n * count)) {}
  BlockView<T> X() { return {x.data(), n, count, n}; }
  std::vector<T> column(std::size_t j) {
    const auto v = X().column(static_cast<Index>(j));
    return {v.begin(), v.end()};
  }
};

template <Field T>
Dense<T> plus_shift(Dense<T> A, double sigma) {
  for (Index i = 0; i < A.n; ++i) A(i, i) += static_cast<T>(static_cast<RealOf<T>>(sigma));
  return A;
}

const std::vector<double> kShifts{0.0, 1e-2, 1.0, 10.0, -5e-3, 1e6, 0.1};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("cg_shifts: every shift as if alone", S, shifts_oracle) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  const Index n = 60;
  const auto A = hermitian<T>(geometric(n, 100.0), 3);
  const auto b = gaussian<T>(n, 4);
  for (const double s : {1.0, kDouble ? 1e20 : 1e8, kDouble ? 1e-20 : 1e-8}) {
    CAPTURE(s);
    const auto scaled_a = A.scaled(s);
    auto shifts = kShifts;
    for (double& sigma : shifts) sigma *= s;
    Family<S> family(n, shifts.size());
    std::vector<Outcome> outs(shifts.size());
    S space;
    CgShiftsWorkspace<S> ws;
    CgShiftsOptions opt;
    opt.rtol = kDouble ? 1e-10 : 1e-4;
    const auto counted = faulty<T>(scaled_a);
    const Outcome all = cg_shifts(space, counted, view(b), family.X(), shifts, ws, opt, {}, outs);
    CHECK(all.status == Status::converged);
    CHECK(all.verified);
    CHECK(all.products.total() == counted.applied);
    CHECK(counted.applied == all.iterations + static_cast<Index>(shifts.size()));
    for (std::size_t j = 0; j < shifts.size(); ++j) {
      CAPTURE(kShifts[j]);
      const auto shifted = plus_shift(scaled_a, shifts[j]);
      const auto x = family.column(j);
      CHECK(outs[j].status == Status::converged);
      CHECK(residual_norm(shifted, x, b) <= (opt.rtol + 2.0 * kEps<T>)*norm(b));
      std::vector<T> alone(at(n));
      CgWorkspace<S> cg_ws;
      CgOptions cg_opt;
      cg_opt.rtol = opt.rtol;
      const auto out = cg(space, shifted, view(b), view(alone), cg_ws, cg_opt);
      CHECK(std::abs(outs[j].iterations - out.iterations) <= 2 + out.iterations / 20);
      CHECK(distance(x, alone) <= 400.0 * opt.rtol * norm(alone));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(shifts_oracle, SomeSpaces);

TEST_CASE("cg_shifts: endings") {
  using S = HostSpace<double>;
  S space;
  CgShiftsWorkspace<S> ws;
  const Index n = 40;
  const auto A = hermitian<double>(geometric(n, 1e3), 3);
  const auto b = gaussian<double>(n, 4);
  const auto run = [&](const auto& op, const std::vector<double>& rhs,
                       const std::vector<double>& shifts, const CgShiftsOptions& opt,
                       const Monitor& monitor = {}) {
    Family<S> family(n, shifts.size());
    std::vector<Outcome> outs(shifts.size());
    family.all = cg_shifts(space, op, view(rhs), family.X(), shifts, ws, opt, monitor, outs);
    return std::pair{family, outs};
  };
  SUBCASE("an indefinite shift does not stop the others") {
    auto [family, outs] = run(A, b, {0.5, -0.3, 0.0, -0.1}, {});
    CHECK(outs[1].status == Status::negative_curvature);
    CHECK(outs[3].status == Status::negative_curvature);
    CHECK(family.all.status == Status::negative_curvature);
    for (const std::size_t j : {std::size_t{0}, std::size_t{2}}) {
      CHECK(outs[j].status == Status::converged);
      const auto shifted = plus_shift(A, j == 0 ? 0.5 : 0.0);
      CHECK(residual_norm(shifted, family.column(j), b) <= 1.0001e-5 * norm(b));
    }
  }
  SUBCASE("the iteration limit comes for the slow ones only") {
    CgShiftsOptions opt;
    opt.max_iterations = 10;
    auto [family, outs] = run(A, b, {0.0, 10.0}, opt);
    CHECK(outs[0].status == Status::max_iterations);
    CHECK(outs[0].iterations == 10);
    CHECK(outs[0].residual == doctest::Approx(residual_norm(A, family.column(0), b)).epsilon(1e-6));
    CHECK(outs[1].status == Status::converged);
    CHECK(outs[1].verified);
    CHECK(outs[1].iterations < 10);
  }
  SUBCASE("a target below what rounding allows") {
    CgShiftsOptions opt;
    opt.rtol = 1e-18;
    const auto [family, outs] = run(A, b, {0.0, 1.0}, opt);
    for (const auto& out : outs) CHECK(out.status == Status::precision_limit);
  }
  SUBCASE("drift is repaired") {
    using F = HostSpace<float>;
    F floats;
    CgShiftsWorkspace<F> fws;
    const auto B = hermitian<float>(geometric(n, 1e3), 3);
    const auto c = gaussian<float>(n, 4);
    const std::vector<double> shifts{0.0, 1e-3, 1.0};
    Family<F> family(n, shifts.size());
    std::vector<Outcome> outs(shifts.size());
    CgShiftsOptions opt;
    opt.rtol = 2e-5;  // the recurrence gets there, the truth does not
    const auto counted = faulty<float>(B);
    Index seen = 0;
    const auto watch = [&](const Iteration& it) {
      CHECK(it.iteration == ++seen);
      CHECK(it.products.total() == counted.applied);
      return false;
    };
    Monitor monitor;
    monitor.observer = watch;
    const auto all =
        cg_shifts(floats, counted, view(c), family.X(), shifts, fws, opt, monitor, outs);
    CHECK(seen == all.iterations);  // one after the other, through the repair too
    CHECK(all.iterations > outs[1].iterations);
    CHECK(all.products.total() == counted.applied);
    for (std::size_t j = 0; j < shifts.size(); ++j) {
      const double truth = residual_norm(plus_shift(B, shifts[j]), family.column(j), c);
      CHECK(outs[j].residual == doctest::Approx(truth).epsilon(0.1));
      CHECK((outs[j].status == Status::converged) == (truth <= 2e-5 * norm(c)));
    }
  }
  SUBCASE("zero, NaN, nothing") {
    const auto zero = run(A, std::vector<double>(40), {0.0, 1.0}, {});
    CHECK(zero.first.all.status == Status::converged);
    CHECK(norm(zero.first.x) == 0.0);
    auto bad = b;
    bad[3] = NAN;
    CHECK(run(A, bad, {0.0, 1.0}, {}).first.all.status == Status::nonfinite);
    CHECK(run(faulty<double>(A, 4), b, {0.0, 1.0}, {}).first.all.status == Status::nonfinite);
    CHECK(run(A, b, {}, {}).first.all.status == Status::converged);
    CHECK_THROWS_AS(run(A, b, {NAN}, {}), InvalidArgument);
  }
  SUBCASE("the observer stops it") {
    const auto stop = [](const Iteration& it) { return it.iteration == 3; };
    Monitor monitor;
    monitor.observer = stop;
    const auto [family, outs] = run(A, b, {0.0, 1e-3}, {}, monitor);
    CHECK(family.all.iterations == 3);
    for (const auto& out : outs) CHECK(out.status == Status::stopped);
  }
}

TEST_CASE_TEMPLATE_DEFINE("lsqr_damps: every damping as if alone", S, damps_oracle) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  for (const Index m : {Index{50}, Index{20}}) {
    const auto A = with_values<T>(m, geometric(20, 40.0), false, 5);
    const auto b = gaussian<T>(m, 6);
    for (const double s : {1.0, kDouble ? 1e20 : 1e8, kDouble ? 1e-20 : 1e-8}) {
      CAPTURE(m);
      CAPTURE(s);
      std::vector<double> damps{0.3, 0.0, 0.05, 1e5, 1.0};
      for (double& d : damps) d *= s;
      Family<S> family(20, damps.size());
      std::vector<LeastSquaresOutcome> outs(damps.size());
      S space;
      LsqrDampsWorkspace<S> ws;
      LsqrDampsOptions opt;
      opt.atol = opt.btol = 50.0 * kEps<T>;
      opt.conlim = 0.0;
      opt.max_iterations = 1000;
      const auto scaled_a = A.scaled(s);
      const auto counted = faulty<T>(scaled_a);
      const Outcome all = lsqr_damps(space, counted, view(b), family.X(), damps, ws, opt, {}, outs);
      CHECK(all.status == Status::converged);
      CHECK(all.verified);
      CHECK(all.products.apply == counted.applied);
      CHECK(all.products.adjoint == counted.adjoint);
      for (std::size_t j = 0; j < damps.size(); ++j) {
        CAPTURE(damps[j]);
        CAPTURE(outs[j].iterations);
        CAPTURE(outs[j].residual);
        CAPTURE(outs[j].normal_residual / s);
        CHECK(outs[j].status == Status::converged);
        const auto x = family.column(j);
        const auto exact = least_squares_solution(scaled_a, b, damps[j]);
        CHECK(distance(x, exact) <= 5000.0 * kEps<T> * (norm(exact) + norm(b) / s));
        const Measured truth = measure(scaled_a, x, b, damps[j]);
        const double scale = norm(b) + s * norm(x);
        CHECK(std::abs(outs[j].residual - truth.residual) <= 4.0 * kEps<T> * scale);
        LsqrOptions alone;
        alone.damp = damps[j];
        alone.atol = alone.btol = opt.atol;
        alone.conlim = 0.0;
        alone.max_iterations = 1000;
        const auto single = solve<Lsqr, S>(scaled_a, b, alone);
        CHECK(single.out.status == outs[j].status);
        CHECK(std::abs(outs[j].iterations - single.out.iterations) <= 1);
        CHECK(outs[j].norm_x == doctest::Approx(norm(x)).epsilon(1e-6));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(damps_oracle, SomeSpaces);

TEST_CASE("lsqr_damps: endings") {
  using S = HostSpace<double>;
  S space;
  LsqrDampsWorkspace<S> ws;
  const auto A = with_values<double>(50, geometric(30, 1e4), false, 5);
  const auto b = gaussian<double>(50, 6);
  const auto run = [&](const auto& op, const std::vector<double>& rhs,
                       const std::vector<double>& damps, const LsqrDampsOptions& opt,
                       const Monitor& monitor = {}) {
    Family<S> family(op.cols(), damps.size());
    std::vector<LeastSquaresOutcome> outs(damps.size());
    family.all = lsqr_damps(space, op, view(rhs), family.X(), damps, ws, opt, monitor, outs);
    return std::pair{family, outs};
  };
  LsqrDampsOptions opt;
  opt.max_iterations = 12;
  const auto limited = run(A, b, {0.0, 1.0}, opt);
  CHECK(limited.second[0].status == Status::max_iterations);
  CHECK(limited.second[1].status == Status::converged);
  opt = {};
  opt.atol = opt.btol = 1e-14;
  opt.conlim = 100.0;
  const auto conditioned = run(A, b, {0.0, 1.0}, opt);
  CHECK(conditioned.second[0].status == Status::condition_limit);
  CHECK(conditioned.second[1].status == Status::converged);
  opt = {};
  opt.atol = opt.btol = 0.0;
  opt.max_iterations = 50;
  for (const auto& out : run(A, b, {0.1, 1.0}, opt).second) {
    CHECK(out.status != Status::converged);
  }
  CHECK(run(A, std::vector<double>(50), {0.0, 1.0}, {}).first.all.status == Status::converged);
  for (const Index k : {1, 2, 3}) {
    CHECK(run(faulty<double>(A, k), b, {0.0, 1.0}, {}).first.all.status == Status::nonfinite);
  }
  for (const auto& [m, n] : {std::pair<Index, Index>{0, 4}, {4, 0}, {0, 0}}) {
    CHECK(run(Dense<double>(m, n), gaussian<double>(m, 1), {0.0, 1.0}, {}).first.all.status ==
          Status::converged);
  }
  CHECK_THROWS_AS(run(A, b, {-1.0}, {}), InvalidArgument);
}

TEST_CASE("families: a second solve allocates nothing") {
  using S = HostSpace<float>;  // where shifts are finished by cg too
  S space;
  const auto A = hermitian<float>(geometric(40, 1e3), 3);
  const auto b = gaussian<float>(40, 4);
  const std::vector<double> values{0.0, 1e-3, 1.0};
  Family<S> family(40, values.size());
  std::vector<Outcome> outs(values.size());
  std::vector<LeastSquaresOutcome> more(values.size());
  CgShiftsWorkspace<S> ws;
  CgShiftsOptions opt;
  opt.rtol = 1e-6;
  const auto shifts = [&] { cg_shifts(space, A, view(b), family.X(), values, ws, opt, {}, outs); };
  LsqrDampsWorkspace<S> damps_ws;
  const auto damps = [&] {
    lsqr_damps(space, A, view(b), family.X(), values, damps_ws, {}, {}, more);
  };
  shifts();
  damps();
  CHECK(outs[0].products.apply > 0);
  CHECK(allocations_in(shifts) == 0);
  CHECK(allocations_in(damps) == 0);
}

TEST_CASE("families: on a device") {
  using S = SlotSpace<double>;
  S space;
  const auto A = hermitian<double>(geometric(40, 50.0), 3);
  const auto b = gaussian<double>(40, 4);
  const std::vector<double> values{0.0, 0.1, 2.0};
  Family<S> family(40, values.size());
  std::vector<Outcome> outs(values.size());
  CgShiftsWorkspace<S> ws;
  CHECK(cg_shifts(space, A, view(b), family.X(), values, ws, {}, {}, outs).status ==
        Status::converged);
  for (std::size_t j = 0; j < values.size(); ++j) {
    CHECK(residual_norm(plus_shift(A, values[j]), family.column(j), b) <= 1.0001e-5 * norm(b));
  }
  std::vector<LeastSquaresOutcome> more(values.size());
  LsqrDampsWorkspace<S> damps_ws;
  CHECK(lsqr_damps(space, A, view(b), family.X(), values, damps_ws, {}, {}, more).status ==
        Status::converged);
}
