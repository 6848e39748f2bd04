#include "ritz/function/quadrature.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "problems.hpp"
#include "ritz/function/spectral_density.hpp"
#include "ritz/function/spectral_sum.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

Integrand named(Function kind, double p = 1.0, double t = 1.0) {
  Integrand f;
  f.named.kind = kind;
  f.named.p = p;
  f.named.t = t;
  return f;
}

long double exact_value(const NamedFunction& f, long double x) {
  const long double y = static_cast<long double>(f.t.real()) * x;
  switch (f.kind) {
    case Function::exp:
      return std::exp(y);
    case Function::log:
      return std::log(y);
    case Function::sqrt:
      return std::sqrt(y);
    case Function::invsqrt:
      return 1.0L / std::sqrt(y);
    case Function::inv:
      return 1.0L / y;
    default:
      return std::pow(y, static_cast<long double>(f.p));
  }
}

/// Σ |u_i|² f(d_i) of the numbers as they are stored.
template <class T>
double form_of_diagonal(const DiagonalMatrix<T>& D, const std::vector<T>& u,
                        const NamedFunction& f) {
  long double sum = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const long double d = std::real(lengthen(D.d[i]));
    sum += std::norm(lengthen(u[i])) * exact_value(f, d);
  }
  return static_cast<double>(sum);
}

QuadratureOptions with_bounds(double low, double high, double rtol) {
  QuadratureOptions opt;
  opt.low = low;
  opt.high = high;
  opt.rtol = rtol;
  return opt;
}

template <class S, class A>
QuadratureOutcome<typename S::Value> form(const A& op, const std::vector<typename S::Value>& u,
                                          const Integrand& f, const QuadratureOptions& opt = {},
                                          const Monitor& monitor = {}) {
  S space;
  QuadratureWorkspace<S> ws;
  return quadratic_form(space, op, view(u), f, ws, opt, monitor);
}

const std::vector<Integrand> kFunctions = {
    named(Function::inv),         named(Function::log),        named(Function::sqrt),
    named(Function::invsqrt),     named(Function::exp),        named(Function::exp, 1.0, -1.0),
    named(Function::power, 1.5),  named(Function::power, 2.5), named(Function::power, 3.0),
    named(Function::power, -2.0), named(Function::power, 0.3)};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("quadratic_form: the bracket holds the value at every depth", S,
                          quadratic_bracket) {
  using T = typename S::Value;
  for (const double condition : {10.0, 1e3, kEps<T> < 1e-10 ? 1e12 : 1e5}) {
    const auto D = diagonal_matrix<T>(geometric(120, condition));
    const auto low = static_cast<double>(std::real(lengthen(D.d.back())));
    const auto u = gaussian<T>(120, 3);
    for (const Integrand& f : kFunctions) {
      CAPTURE(condition);
      CAPTURE(static_cast<int>(f.named.kind));
      CAPTURE(f.named.p);
      CAPTURE(f.named.t.real());
      const double truth = form_of_diagonal(D, u, f.named);
      for (const Index depth : {1, 2, 3, 5, 8, 13, 30, 60, 119, 120}) {
        CAPTURE(depth);
        auto opt = with_bounds(low, 1.0, 0.0);
        opt.max_steps = depth;
        const auto out = form<S>(D, u, f, opt);
        const double value = std::real(out.value);
        CHECK(std::real(out.lower) <= truth);
        CHECK(truth <= std::real(out.upper));
        CHECK(std::real(out.lower) <= value);
        CHECK(value <= std::real(out.upper));
        CHECK(out.rigorous);
        CHECK(out.products.apply == out.iterations);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(quadratic_bracket, SomeSpaces);

TEST_CASE("quadratic_form: brackets close at the rate of the theory") {
  using S = HostSpace<double>;
  const auto D = diagonal_matrix<double>(geometric(200, 10.0));
  const auto u = gaussian<double>(200, 4);
  for (const Integrand& f : kFunctions) {
    CAPTURE(static_cast<int>(f.named.kind));
    const auto out = form<S>(D, u, f, with_bounds(0.1, 1.0, 1e-10));
    CHECK(out.status == Status::converged);
    CHECK(out.rigorous);
    CHECK(out.verified);
    CHECK(out.iterations <= 20);
    CHECK(out.residual <= 1e-10 * std::abs(out.value));
    CHECK(out.value == doctest::Approx(form_of_diagonal(D, u, f.named)).epsilon(1.1e-10));
    // Twice the rate of a Krylov approximation: ((√κ − 1)/(√κ + 1))^(2k).
    auto five = with_bounds(0.1, 1.0, 0.0);
    five.max_steps = 5;
    const auto early = form<S>(D, u, f, five);
    CHECK(early.residual <= 0.02 * std::abs(early.value));
  }
}

TEST_CASE_TEMPLATE_DEFINE("quadratic_form: without bounds, with no basis, and any function", S,
                          quadratic_estimates) {
  using T = typename S::Value;
  const double rtol = kEps<T> < 1e-10 ? 1e-9 : 1e-3;
  const auto A = hermitian<T>(geometric(80, 50.0), 2);
  const auto u = gaussian<T>(80, 5);
  const auto square = [](std::span<const double> x, std::span<double> y) {
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = 1.0 / (1.0 + 25.0 * x[i] * x[i]);
  };
  Integrand runge;
  runge.values = square;
  for (const Integrand& f : {named(Function::inv), named(Function::log), runge}) {
    CAPTURE(f.custom());
    QuadratureOptions opt;
    opt.rtol = rtol;
    auto full = opt;
    full.rtol = 0.0;
    const auto truth = form<S>(A, u, f, full);
    for (const bool keep : {true, false}) {
      opt.keep_basis = keep;
      const auto out = form<S>(A, u, f, opt);
      CHECK(out.status == Status::converged);
      CHECK_FALSE(out.rigorous);
      CHECK(std::abs(out.value - truth.value) <= 2.0 * rtol * std::abs(truth.value));
      CHECK(std::real(out.lower) <= std::real(truth.upper));
      CHECK(std::real(truth.lower) <= std::real(out.upper));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(quadratic_estimates, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("quadratic_form: g distinct eigenvalues end a run at step g", S,
                          quadratic_distinct) {
  using T = typename S::Value;
  for (const Index g : {1, 2, 3, 4, 5}) {
    std::vector<double> spectrum;
    for (Index i = 0; i < 60; ++i) spectrum.push_back(1.0 + static_cast<double>(i % g));
    for (const double factor :
         {1.0, kEps<T> < 1e-10 ? 1e25 : 1e8, kEps<T> < 1e-10 ? 1e-25 : 1e-8}) {
      CAPTURE(g);
      CAPTURE(factor);
      const auto A = hermitian<T>(spectrum, 1).scaled(factor);
      const auto u = gaussian<T>(60, 6);
      QuadratureOptions opt;
      opt.rtol = 0.0;
      const auto out = form<S>(A, u, named(Function::log), opt);
      CHECK(out.iterations == g);
      CHECK(out.rigorous);
      CHECK(out.status == Status::precision_limit);
      CHECK(out.residual <= 1e3 * kEps<T> * norm(u) * norm(u));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(quadratic_distinct, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("quadratic_form: scaled operators and vectors", S, quadratic_scale) {
  using T = typename S::Value;
  const double s = kEps<T> < 1e-10 ? 1e25 : 1e8;
  const auto D = diagonal_matrix<T>(geometric(100, 30.0));
  const auto u = gaussian<T>(100, 7);
  const double rtol = kEps<T> < 1e-10 ? 1e-8 : 1e-4;
  const auto plain = form<S>(D, u, named(Function::inv), with_bounds(1.0 / 31.0, 1.01, rtol));
  CHECK(plain.status == Status::converged);
  for (const double factor : {s, 1.0 / s}) {
    auto B = D;
    for (T& x : B.d) x = static_cast<T>(static_cast<WideOf<T>>(x) * factor);
    const auto opt = with_bounds(factor / 31.0, 1.01 * factor, rtol);
    const auto out = form<S>(B, u, named(Function::inv), opt);
    CHECK(out.status == Status::converged);
    CHECK(std::abs(out.iterations - plain.iterations) <= 1);
    const double truth = form_of_diagonal(B, u, named(Function::inv).named);
    CHECK(std::real(out.lower) <= truth);
    CHECK(truth <= std::real(out.upper));
    auto v = u;
    for (T& x : v) x = static_cast<T>(static_cast<WideOf<T>>(x) * factor);
    const auto longer = form<S>(D, v, named(Function::inv), with_bounds(1.0 / 31.0, 1.01, rtol));
    CHECK(longer.iterations == plain.iterations);
    CHECK(std::abs(longer.value / factor / factor - plain.value) <= 1e-5 * std::abs(plain.value));
  }
}
TEST_CASE_TEMPLATE_APPLY(quadratic_scale, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("bilinear_form: two vectors, and their dot product for power 0", S,
                          bilinear) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const auto D = diagonal_matrix<T>(geometric(90, 40.0));
  const auto u = gaussian<T>(90, 8), v = gaussian<T>(90, 9);
  const double rtol = kEps<T> < 1e-10 ? 1e-9 : 1e-2;
  for (const Integrand& f : {named(Function::inv), named(Function::log), named(Function::exp)}) {
    Long<T> sum{};
    for (std::size_t i = 0; i < u.size(); ++i) {
      const long double d = std::real(lengthen(D.d[i]));
      sum += conj_long(lengthen(u[i])) * exact_value(f.named, d) * lengthen(v[i]);
    }
    const W truth = static_cast<W>(sum);
    S space;
    QuadratureWorkspace<S> ws;
    for (const Index depth : {Index{4}, Index{12}, Index{0}}) {
      auto opt = with_bounds(1.0 / 40.1, 1.001, rtol);
      opt.max_steps = depth;
      const auto out = bilinear_form(space, D, view(u), view(v), f, ws, opt);
      CHECK(std::real(out.lower) <= std::real(truth));
      CHECK(std::real(truth) <= std::real(out.upper));
      CHECK(std::imag(W(out.lower)) <= std::imag(truth));
      CHECK(std::imag(truth) <= std::imag(W(out.upper)));
      CHECK(out.rigorous);
      if (depth == 0) {
        CHECK(out.status == Status::converged);
        CHECK(std::abs(out.value - truth) <= 2.0 * rtol * std::abs(truth));
      }
      CHECK(out.products.total() <= out.iterations * QuadratureWorkspace<S>::kBilinear);
    }
    auto opt = with_bounds(1.0 / 40.1, 1.001, rtol);
    const auto same = bilinear_form(space, D, view(u), view(u), f, ws, opt);
    const auto once = quadratic_form(space, D, view(u), f, ws, opt);
    CHECK(std::abs(same.value - once.value) <= 3.0 * rtol * std::abs(once.value));
  }
}
TEST_CASE_TEMPLATE_APPLY(bilinear, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("quadratic_form: endings", S, quadratic_endings) {
  using T = typename S::Value;
  const auto D = diagonal_matrix<T>(geometric(50, 1e4));
  const auto u = gaussian<T>(50, 3);
  auto opt = with_bounds(1e-4 * (1.0 - 1e-6), 1.0, 0.0);
  SUBCASE("NaN at any product") {
    for (Index k = 1; k <= 6; ++k) {
      const auto out = form<S>(faulty<T>(D, k), u, named(Function::inv), opt);
      CHECK(out.status == Status::nonfinite);
      CHECK(out.iterations == k);
      CHECK_THROWS_AS(form<S>(faulty<T>(D, 0, k), u, named(Function::inv), opt), int);
    }
  }
  SUBCASE("stopped") {
    const auto observer = [](const Iteration& now) { return now.iteration == 3; };
    Monitor monitor;
    monitor.observer = observer;
    const auto out = form<S>(D, u, named(Function::inv), opt, monitor);
    CHECK(out.status == Status::stopped);
    CHECK(out.iterations == 3);
    CHECK(std::real(out.lower) < std::real(out.upper));
  }
  SUBCASE("not definite") {
    auto B = D;
    B.d[7] = static_cast<T>(-0.5f);
    CHECK(form<S>(B, u, named(Function::log)).status == Status::negative_curvature);
    CHECK(form<S>(B, u, named(Function::sqrt)).status == Status::negative_curvature);
    const auto out = form<S>(B, u, named(Function::exp), with_bounds(-1.0, 1.1, 1e-3));
    CHECK(out.status == Status::converged);
  }
  SUBCASE("trivial") {
    const std::vector<T> zero(50);
    const auto none = form<S>(D, zero, named(Function::inv), opt);
    CHECK(none.status == Status::converged);
    CHECK(none.value == WideOf<T>{});
    CHECK(none.products.total() == 0);
    auto Z = D;
    for (T& x : Z.d) x = T{};
    const auto zeroth = form<S>(Z, u, named(Function::sqrt));
    CHECK(zeroth.status == Status::converged);
    CHECK(zeroth.value == WideOf<T>{});
    CHECK(zeroth.iterations == 1);
    const DiagonalMatrix<T> one{{static_cast<T>(4.0f)}};
    const auto single = form<S>(one, {static_cast<T>(3.0f)}, named(Function::sqrt));
    CHECK(std::abs(single.value - 18.0) <= 100.0 * kEps<T>);
    CHECK(single.iterations == 1);
  }
  SUBCASE("bounds that do not hold are found out") {
    CHECK_THROWS_AS(form<S>(D, u, named(Function::inv), with_bounds(0.5, 1.0, 0.0)),
                    InvalidArgument);
    CHECK_THROWS_AS(form<S>(D, u, named(Function::inv), with_bounds(1e-5, 0.5, 0.0)),
                    InvalidArgument);
    CHECK_THROWS_AS(form<S>(D, u, named(Function::inv), with_bounds(1.0, 0.5, 0.0)),
                    InvalidArgument);
  }
  CHECK_THROWS_AS(form<S>(random_dense<T>(4, 5, 1), gaussian<T>(5, 1), named(Function::inv)),
                  InvalidArgument);
  CHECK_THROWS_AS(form<S>(D, gaussian<T>(49, 1), named(Function::inv)), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(quadratic_endings, SomeSpaces);

// ------------------------------------------------------------------------------- spectral sums

namespace {

template <class S, class A>
SpectralSumOutcome sum_of(const A& op, const SpectralSumOptions& opt, const Monitor& monitor = {},
                          const Integrand& f = named(Function::log), Checkpoint checkpoint = {}) {
  S space;
  SpectralSumWorkspace<S> ws;
  return spectral_sum(space, op, f, ws, opt, monitor, std::move(checkpoint));
}

double log_sum(const std::vector<double>& spectrum) {
  double sum = 0.0;
  for (const double x : spectrum) sum += std::log(x);
  return sum;
}

double power_sum(const std::vector<double>& spectrum, double p) {
  double sum = 0.0;
  for (const double x : spectrum) sum += std::pow(x, p);
  return sum;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("spectral_sum: the identity, a multiple, and the zero operator", S,
                          sum_identity) {
  using T = typename S::Value;
  for (const bool signs : {false, true}) {
    SpectralSumOptions opt;
    opt.signs = signs;
    const auto out = sum_of<S>(diagonal_matrix<T>(std::vector<double>(500, 1.0)), opt);
    CHECK(out.status == Status::converged);
    CHECK(out.value == 0.0);
    CHECK(out.stderr_ == 0.0);
    CHECK(out.steps == 1);
    CHECK(out.products.total() == 16);
    const auto quarter = sum_of<S>(diagonal_matrix<T>(std::vector<double>(500, 0.25)), opt);
    CHECK(quarter.value == doctest::Approx(500.0 * std::log(0.25)).epsilon(1e-14));
    const auto zero = sum_of<S>(diagonal_matrix<T>(std::vector<double>(500, 0.0)), opt);
    CHECK(zero.value == -INFINITY);
    opt.power = 1.0;
    const auto nuclear = sum_of<S>(diagonal_matrix<T>(std::vector<double>(500, 0.0)), opt);
    CHECK(nuclear.status == Status::converged);
    CHECK(nuclear.value == 0.0);
  }
}
TEST_CASE_TEMPLATE_APPLY(sum_identity, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("spectral_sum: exactly, by a dense decomposition", S, sum_exact) {
  using T = typename S::Value;
  const auto spectrum = geometric(40, 100.0);
  SpectralSumOptions opt;
  opt.exact = true;
  const auto out = sum_of<S>(hermitian<T>(spectrum, 3), opt);
  CHECK(out.status == Status::converged);
  CHECK(out.value == doctest::Approx(log_sum(spectrum)).epsilon(1e4 * kEps<T>));
  CHECK(out.stderr_ == 0.0);
  CHECK(out.products.total() == 40);
  for (const double p : {1.0, 2.0, 3.5}) {
    opt.power = p;
    for (const auto& [m, n] : {std::pair{40, 40}, {70, 40}}) {
      const auto A = with_values<T>(m, spectrum, false, 4);
      CHECK(sum_of<S>(A, opt).value ==
            doctest::Approx(power_sum(spectrum, p)).epsilon(200.0 * kEps<T>));
      Dense<T> B(n, m);  // and its transpose
      for (Index i = 0; i < m; ++i) {
        for (Index j = 0; j < n; ++j) B(j, i) = A(i, j);
      }
      const auto wide = sum_of<S>(B, opt);
      CHECK(wide.value == doctest::Approx(power_sum(spectrum, p)).epsilon(200.0 * kEps<T>));
      CHECK(wide.products.total() == 40);
    }
    Dense<T> rank_one(9, 6);
    for (T& x : rank_one.a) x = T{1};
    CHECK(sum_of<S>(rank_one, opt).value ==
          doctest::Approx(std::pow(54.0, p / 2.0)).epsilon(100.0 * kEps<T>));
  }
}
TEST_CASE_TEMPLATE_APPLY(sum_exact, SomeSpaces);

TEST_CASE("spectral_sum: three standard errors hold the truth in 95 of 100 seeds") {
  using S = HostSpace<double>;
  std::vector<double> flat(50), slow(50);
  for (std::size_t i = 0; i < 50; ++i) {
    flat[i] = 1.0 + 2.0 * static_cast<double>(i) / 49.0;
    slow[i] = 1.0 / static_cast<double>(i + 1);
  }
  for (const auto& spectrum : {geometric(50, 1e4), slow, flat}) {
    const auto D = diagonal_matrix<double>(spectrum);
    for (const double p : {0.0, 1.0}) {
      const double truth = p > 0.0 ? power_sum(spectrum, p) : log_sum(spectrum);
      int held = 0;
      for (std::uint64_t seed = 0; seed < 200; ++seed) {
        SpectralSumOptions opt;
        opt.seed.seed = seed;
        opt.power = p;
        const auto out = sum_of<S>(D, opt);
        CHECK(out.status == Status::converged);
        held += std::abs(out.value - truth) <= 3.0 * out.stderr_;
        CHECK(out.quadrature_error <= 0.25 * out.stderr_);
      }
      CAPTURE(p);
      CHECK(held >= 190);
    }
  }
}

TEST_CASE("spectral_sum: the standard error is that of the variance formula") {
  using S = HostSpace<double>;
  const auto spectrum = geometric(100, 50.0);
  double squares = 0.0;
  for (const double x : spectrum) squares += std::log(x) * std::log(x);
  const double trace = log_sum(spectrum);
  // Uniform on the sphere: 2n/(n + 2) (‖f‖²_F − tr²/n) a sample.
  const double variance = 200.0 / 102.0 * (squares - trace * trace / 100.0);
  double mean = 0.0, bias = 0.0;
  SpectralSumOptions opt;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    opt.seed.seed = seed;
    const auto out = sum_of<S>(diagonal_matrix<double>(spectrum), opt);
    mean += out.stderr_ * out.stderr_ / 200.0;
    bias += (out.value - trace) / 200.0;
  }
  CHECK(mean == doctest::Approx(variance / 16.0).epsilon(0.1));
  CHECK(std::abs(bias) <= 4.0 * std::sqrt(variance / 16.0 / 200.0));
}

TEST_CASE_TEMPLATE_DEFINE("spectral_sum: scaled operators", S, sum_scale) {
  using T = typename S::Value;
  const double s = kEps<T> < 1e-10 ? 1e25 : 1e8;
  const auto A = hermitian<T>(geometric(64, 50.0), 7);
  SpectralSumOptions opt;
  const auto plain = sum_of<S>(A, opt);
  for (const double factor : {s, 1.0 / s}) {
    const auto out = sum_of<S>(A.scaled(factor), opt);
    CHECK(out.status == plain.status);
    CHECK(std::abs(out.products.total() - plain.products.total()) <= 2);
    CHECK(out.value - 64.0 * std::log(factor) == doctest::Approx(plain.value).epsilon(1e-5));
    auto nuclear = opt;
    nuclear.power = 1.0;
    CHECK(sum_of<S>(A.scaled(factor), nuclear).value / factor ==
          doctest::Approx(sum_of<S>(A, nuclear).value).epsilon(1e-5));
  }
}
TEST_CASE_TEMPLATE_APPLY(sum_scale, SomeSpaces);

TEST_CASE("spectral_sum: any block width, without a basis, tolerances") {
  using S = HostSpace<double>;
  const auto A = hermitian<double>(geometric(150, 20.0), 3);
  SpectralSumOptions opt;
  opt.max_steps = 30;
  const auto eight = sum_of<S>(A, opt);
  for (const Index block : {1, 3, 16}) {
    opt.block = block;
    const auto out = sum_of<S>(A, opt);
    CHECK(std::abs(out.value - eight.value) <=
          2.0 * (out.quadrature_error + eight.quadrature_error));
    CHECK(out.samples == 16);
  }
  opt.keep_basis = false;
  CHECK(std::abs(sum_of<S>(A, opt).value - eight.value) <= 0.5 * eight.stderr_);
  SpectralSumOptions met;
  met.probes = 400;
  met.rtol = 0.02;
  const auto out = sum_of<S>(A, met);
  CHECK(out.status == Status::converged);
  CHECK(out.samples < 400);
  CHECK(out.stderr_ + out.quadrature_error <= 0.02 * std::abs(out.value));
  met.probes = 8;
  met.rtol = 1e-5;
  CHECK(sum_of<S>(A, met).status == Status::max_iterations);
}

TEST_CASE_TEMPLATE_DEFINE("spectral_sum: endings", S, sum_endings) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(50, 20.0), 3);
  SpectralSumOptions opt;
  for (const double p : {0.0, 1.0}) {
    opt.power = p;
    for (const Index k : {1, 5, 9, 30}) {
      opt.block = 1;
      const auto poisoned = faulty<T>(A, k);
      const auto out = sum_of<S>(poisoned, opt);
      CHECK(out.status == Status::nonfinite);
      CHECK(out.products.total() == poisoned.applied + poisoned.adjoint);
      CHECK_THROWS_AS(sum_of<S>(faulty<T>(A, 0, k), opt), int);
    }
    Monitor monitor;
    monitor.max_products = 40;
    const auto out = sum_of<S>(A, opt, monitor);
    CHECK(out.status == Status::max_products);
    CHECK(out.products.total() == 40);
    CHECK(std::isfinite(out.value));
  }
  opt = {};
  auto indefinite = geometric(50, 20.0);
  indefinite[3] = -0.3;
  CHECK(sum_of<S>(hermitian<T>(indefinite, 3), opt).status == Status::negative_curvature);
  opt.exact = true;
  CHECK(sum_of<S>(hermitian<T>(indefinite, 3), opt).status == Status::negative_curvature);
  opt = {};
  opt.probes = 1;
  CHECK_THROWS_AS(sum_of<S>(A, opt), InvalidArgument);
  opt = {};
  CHECK_THROWS_AS(sum_of<S>(random_dense<T>(4, 5, 1), opt), InvalidArgument);
  opt.rtol = -1.0;
  CHECK_THROWS_AS(sum_of<S>(A, opt), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(sum_endings, SomeSpaces);

TEST_CASE("spectral_sum and densities: a run goes on from its checkpoint to the same bits") {
  using S = HostSpace<double>;
  const auto path = (std::filesystem::temp_directory_path() / "ritz_quadrature_test").string();
  const auto A = hermitian<double>(geometric(70, 30.0), 3);
  SpectralSumOptions opt;
  opt.block = 2;
  const auto whole = sum_of<S>(A, opt);
  std::filesystem::remove(path);
  CHECK_THROWS_AS(
      sum_of<S>(faulty<double>(A, 0, 50), opt, {}, named(Function::log), Checkpoint(path, 0.0)),
      int);
  REQUIRE(std::filesystem::exists(path));
  auto other = opt;
  other.seed.seed = 1;
  CHECK_THROWS_AS(sum_of<S>(A, other, {}, named(Function::log), Checkpoint(path, 0.0)),
                  InvalidArgument);
  const auto resumed = sum_of<S>(A, opt, {}, named(Function::log), Checkpoint(path, 0.0));
  CHECK(resumed.value == whole.value);
  CHECK(resumed.stderr_ == whole.stderr_);
  CHECK(resumed.products.total() == whole.products.total());
  CHECK_FALSE(std::filesystem::exists(path));

  S space;
  DensityOptions dense;
  dense.block = 2;
  dense.steps = 10;
  MeasuresWorkspace<S> ws;
  MomentsWorkspace<S> moments_ws;
  std::vector<Jacobi> measures, again;
  std::vector<double> moments, more;
  spectral_measures(space, A, measures, ws, dense);
  chebyshev_moments(space, A, 0.0, 1.1, moments, moments_ws, dense);
  CHECK_THROWS_AS(spectral_measures(space, faulty<double>(A, 0, 50), again, ws, dense, {},
                                    Checkpoint(path, 0.0)),
                  int);
  spectral_measures(space, A, again, ws, dense, {}, Checkpoint(path, 0.0));
  REQUIRE(again.size() == measures.size());
  for (std::size_t i = 0; i < again.size(); ++i) {
    CHECK(again[i].diagonal == measures[i].diagonal);
    CHECK(again[i].off == measures[i].off);
  }
  CHECK_THROWS_AS(chebyshev_moments(space, faulty<double>(A, 0, 50), 0.0, 1.1, more, moments_ws,
                                    dense, {}, Checkpoint(path, 0.0)),
                  int);
  chebyshev_moments(space, A, 0.0, 1.1, more, moments_ws, dense, {}, Checkpoint(path, 0.0));
  CHECK(more == moments);
}

// --------------------------------------------------------------------------- spectral densities

TEST_CASE_TEMPLATE_DEFINE("spectral_measures: multiplicities, and the step at which they end", S,
                          measures_multiplicities) {
  using T = typename S::Value;
  std::vector<double> spectrum;
  const std::vector<std::pair<double, int>> known = {{1.0, 700}, {2.0, 200}, {5.0, 80}, {10.0, 20}};
  for (const auto& [value, m] : known) spectrum.insert(spectrum.end(), at(m), value);
  S space;
  MeasuresWorkspace<S> ws;
  std::vector<Jacobi> measures;
  DensityOptions opt;
  const auto out = spectral_measures(space, diagonal_matrix<T>(spectrum), measures, ws, opt);
  CHECK(out.status == Status::converged);
  CHECK(out.iterations == 8);  // two blocks of eight
  REQUIRE(measures.size() == 16);
  std::vector<double> mean(4), squares(4);
  for (const Jacobi& J : measures) {
    CHECK(J.exact);
    CHECK(J.size() == 4);
    QuadratureRule rule;
    REQUIRE(rule.set(J.diagonal, J.off));
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(rule.nodes[i] == doctest::Approx(known[i].first).epsilon(1e3 * kEps<T>));
      mean[i] += 1000.0 * rule.weights[i] / 16.0;
      squares[i] += 1e6 * rule.weights[i] * rule.weights[i] / 16.0;
    }
  }
  for (std::size_t i = 0; i < 4; ++i) {
    const double m = known[i].second;
    const double variance = (ComplexField<T> ? 1.0 : 2.0) * m * (1000.0 - m) / 1002.0;
    CHECK(std::abs(mean[i] - m) <= 4.0 * std::sqrt(variance / 16.0));
    CHECK(squares[i] - mean[i] * mean[i] <= 3.0 * variance);
    CHECK(squares[i] - mean[i] * mean[i] >= variance / 3.0);
  }
}
TEST_CASE_TEMPLATE_APPLY(measures_multiplicities, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("chebyshev_moments: against the sum over the spectrum", S, moments) {
  using T = typename S::Value;
  const auto spectrum = geometric(60, 10.0);
  S space;
  MomentsWorkspace<S> ws;
  std::vector<double> mu;
  DensityOptions opt;
  opt.signs = true;  // of a diagonal operator: no sampling error
  opt.probes = 3;
  opt.steps = 12;
  const auto D = diagonal_matrix<T>(spectrum);
  auto out = chebyshev_moments(space, D, 0.0, 1.25, mu, ws, opt);
  CHECK(out.status == Status::converged);
  CHECK(out.products.total() == 36);
  REQUIRE(mu.size() == 75);
  for (std::size_t m = 0; m < 75; ++m) {
    double exact = 0.0;
    for (const double x : spectrum) {
      exact += std::cos(static_cast<double>(m % 25) * std::acos((2.0 * x - 1.25) / 1.25)) / 60.0;
    }
    CHECK(mu[m] == doctest::Approx(exact).epsilon(1e3 * kEps<T>));
  }
  out = chebyshev_moments(space, D, 0.0, 0.6, mu, ws, opt);
  CHECK(out.status == Status::breakdown);
  CHECK(mu.empty());
  CHECK_THROWS_AS(chebyshev_moments(space, D, 1.0, 1.0, mu, ws, opt), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(moments, SomeSpaces);
