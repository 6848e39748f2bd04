#include "ritz/eigen/svds.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "problems.hpp"
#include "ritz/eigen/frobenius.hpp"
#include "ritz/eigen/norm2.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class S>
struct Solved {
  using T = typename S::Value;
  std::vector<double> s, residuals;
  std::vector<T> u, v;
  Index m = 0, n = 0, k = 0;
  SvdsOutcome out;

  BlockView<T> U() { return {u.data(), m, k, m}; }
  BlockView<T> V() { return {v.data(), n, k, n}; }
};

template <class S, class A>
Solved<S> solve(const A& op, const SvdsOptions& opt, const Monitor& monitor = {},
                Checkpoint* checkpoint = nullptr, BlockView<const typename S::Value> deflate = {}) {
  S space;
  SvdsWorkspace<S> ws;
  Solved<S> result;
  result.m = op.rows();
  result.n = op.cols();
  result.k = opt.k;
  result.s.assign(at(opt.k), -7.0);
  result.residuals.assign(at(opt.k), -7.0);
  result.u.resize(at(result.m * opt.k));
  result.v.resize(at(result.n * opt.k));
  result.out = svds(space, op, std::span(result.s), std::span(result.residuals), result.U(),
                    result.V(), ws, opt, monitor, checkpoint, deflate);
  return result;
}

SvdsOptions options(Index k, bool smallest, Index ncv = 0) {
  SvdsOptions opt;
  opt.k = k;
  opt.smallest = smallest;
  opt.ncv = ncv;
  return opt;
}

/// ‖VᴴV − I‖, the largest element.
template <class T>
double deviation(BlockView<T> V) {
  double worst = 0.0;
  for (Index i = 0; i < V.cols; ++i) {
    for (Index j = 0; j <= i; ++j) {
      Long<T> dot{};
      for (Index l = 0; l < V.rows; ++l) dot += conj_long(lengthen(V(l, i))) * lengthen(V(l, j));
      if (i == j) dot -= 1.0L;
      worst = std::max(worst, static_cast<double>(std::abs(dot)));
    }
  }
  return worst;
}

/// Everything that a converged run promises: values within their bounds of the truth, residuals
/// that are true, orthonormal vectors. `values` are all singular values, in any order.
template <class S, class A>
void check_triplets(const A& op, Solved<S>& run, const SvdsOptions& opt, std::vector<double> values,
                    double slack = 0.0) {
  using T = typename S::Value;
  std::sort(values.begin(), values.end(), std::greater<>());
  const double norm_a = values.front();
  const Index skip = opt.smallest ? static_cast<Index>(values.size()) - opt.k : 0;
  CHECK(run.out.status == Status::converged);
  CHECK(run.out.found == opt.k);
  CHECK(run.out.converged == opt.k);
  CHECK(run.out.verified);
  CHECK(run.out.norm_a <= norm_a * (1.0 + 256.0 * kEps<T>)+slack);
  CHECK(std::is_sorted(run.s.rbegin(), run.s.rend()));
  const auto U = run.U(), V = run.V();
  std::vector<T> av(at(run.m)), au(at(run.n));
  for (Index i = 0; i < opt.k; ++i) {
    CAPTURE(i);
    const double bound = run.residuals[at(i)], s = run.s[at(i)];
    CHECK(bound <= run.out.target);
    CHECK(std::abs(s - values[at(i + skip)]) <= bound + 8.0 * kEps<T> * norm_a + slack);
    op.apply(VectorView<const T>(V.column(i)), view(av));
    op.apply_adjoint(VectorView<const T>(U.column(i)), view(au));
    long double left = 0, right = 0;
    for (Index j = 0; j < run.m; ++j) {
      left += std::norm(lengthen(av[at(j)]) - static_cast<long double>(s) * lengthen(U(j, i)));
    }
    for (Index j = 0; j < run.n; ++j) {
      right += std::norm(lengthen(au[at(j)]) - static_cast<long double>(s) * lengthen(V(j, i)));
    }
    const double measured = static_cast<double>(std::sqrt(std::max(left, right)));
    CHECK(std::abs(measured - bound) <= 2.0 * kEps<T> * norm_a);
  }
  const double limit = 10.0 * kEps<T> * std::sqrt(static_cast<double>(opt.k));
  CHECK(deviation(U) <= limit);
  CHECK(deviation(V) <= limit);
}

/// The transpose: wide where `inner` is tall.
template <class A>
struct Turned {
  const A& inner;
  Index rows() const { return inner.cols(); }
  Index cols() const { return inner.rows(); }
  template <class T>
  void apply(VectorView<const T> x, VectorView<T> y) const {
    inner.apply_adjoint(x, y);
  }
  template <class T>
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    inner.apply(x, y);
  }
};

/// The edges of a path of n points with open ends: (n + 1) × n differences, with singular values
/// 2 sin(π j / (2n + 2)).
template <Field T>
struct Incidence {
  Index n = 1;
  Index rows() const { return n + 1; }
  Index cols() const { return n; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    y[0] = x[0];
    for (Index i = 1; i < n; ++i) y[i] = x[i] - x[i - 1];
    y[n] = -x[n - 1];
  }
  void apply_adjoint(VectorView<const T> y, VectorView<T> x) const {
    for (Index i = 0; i < n; ++i) x[i] = y[i] - y[i + 1];
  }
  std::vector<double> values() const {
    std::vector<double> s;
    for (Index j = 1; j <= n; ++j) {
      s.push_back(2.0 * std::sin(std::numbers::pi * static_cast<double>(j) /
                                 (2.0 * static_cast<double>(n + 1))));
    }
    return s;
  }
};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("svds: known values, both ends, tall, square and wide", S, svds_spectra) {
  using T = typename S::Value;
  const auto spectrum = geometric(40, 10.0);
  for (const Index m : {Index{40}, Index{70}}) {
    const auto A = with_values<T>(m, spectrum, false, 3);
    const double slack = kEps<T> * A.frobenius();  // A's own rounding moves its singular values
    const Turned<Dense<T>> wide{A};
    for (const bool smallest : {false, true}) {
      for (const Index k : {Index{1}, Index{5}, Index{40}}) {
        CAPTURE(m);
        CAPTURE(k);
        CAPTURE(smallest);
        const auto opt = options(k, smallest, std::min<Index>(k + 16, 40));
        const auto counted = faulty<T>(A);
        auto run = solve<S>(counted, opt);
        CHECK(run.out.products.total() == counted.applied + counted.adjoint);
        check_triplets(A, run, opt, spectrum, slack);
        auto turned = solve<S>(wide, opt);
        check_triplets(wide, turned, opt, spectrum, slack);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(svds_spectra, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("svds: differences on a path", S, svds_path) {
  using T = typename S::Value;
  const Incidence<T> A{200};
  for (const bool smallest : {false, true}) {
    for (const Index k : {Index{1}, Index{6}, Index{20}}) {
      CAPTURE(smallest);
      CAPTURE(k);
      const auto opt = options(k, smallest);
      auto run = solve<S>(A, opt);
      check_triplets(A, run, opt, A.values());
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(svds_path, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("svds: multiple values are found with their multiplicity", S,
                          svds_multiple) {
  using T = typename S::Value;
  std::vector<double> spectrum;
  for (int i = 0; i < 200; ++i) spectrum.push_back(i < 20 ? 2.0 : 0.5 + i / 512.0);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    CAPTURE(seed);
    auto opt = options(22, false);
    opt.seed.seed = seed;
    const auto A = diagonal_matrix<T>(spectrum);
    auto run = solve<S>(A, opt);
    check_triplets(A, run, opt, spectrum);
    // Exact copies that converge too fast for rounding to show them.
    const std::vector<double> few{9, 9, 9, 8, 7, 1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625};
    auto top = few;
    top.resize(150, 0.0);
    const auto C = diagonal_matrix<T>(top);
    opt.k = 4;
    auto fast = solve<S>(C, opt);
    check_triplets(C, fast, opt, top);
    opt.k = 22;
    auto low = spectrum;
    std::fill_n(low.begin(), 20, 0.125);
    const auto B = diagonal_matrix<T>(low);
    opt.smallest = true;
    auto other = solve<S>(B, opt);
    check_triplets(B, other, opt, low);
  }
}
TEST_CASE_TEMPLATE_APPLY(svds_multiple, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("svds: null vectors have orthonormal partners", S, svds_null) {
  using T = typename S::Value;
  SUBCASE("zero") {
    for (const bool smallest : {false, true}) {
      for (const Index k : {Index{1}, Index{3}, Index{12}}) {
        const Dense<T> A(20, 12);
        const auto opt = options(k, smallest);
        auto run = solve<S>(A, opt);
        check_triplets(A, run, opt, std::vector<double>(12, 0.0));
      }
    }
  }
  SUBCASE("rank one, and k beyond the rank") {
    std::vector<double> spectrum(30, 0.0);
    spectrum[4] = 3.0;
    for (const double second : {0.0, 2.0}) {
      spectrum[7] = second;
      const auto A = with_values<T>(45, spectrum, false, 5);
      const Turned<Dense<T>> wide{A};
      for (const bool smallest : {false, true}) {
        const auto opt = options(5, smallest);
        const double slack = kEps<T> * A.frobenius();
        auto run = solve<S>(A, opt);
        check_triplets(A, run, opt, spectrum, slack);
        auto turned = solve<S>(wide, opt);
        check_triplets(wide, turned, opt, spectrum, slack);
      }
    }
  }
  SUBCASE("a few zeros under a gap, with restarts") {
    for (const Index zeros : {Index{1}, Index{3}}) {
      std::vector<double> spectrum(300, 0.0);
      for (std::size_t i = at(zeros); i < 300; ++i)
        spectrum[i] = 1.0 + static_cast<double>(i) / 256;
      const auto A = diagonal_matrix<T>(spectrum);
      for (const Index k : {zeros, zeros + 2}) {
        CAPTURE(zeros);
        CAPTURE(k);
        const auto opt = options(k, true, 12);
        auto run = solve<S>(A, opt);
        CHECK(run.out.restarts > 0);
        check_triplets(A, run, opt, spectrum);
      }
    }
  }
  SUBCASE("one row, one column") {
    Dense<T> A(1, 20);
    A(0, 3) = T(3);
    A(0, 8) = T(4);
    for (const bool smallest : {false, true}) {
      const auto opt = options(1, smallest);
      auto row = solve<S>(A, opt);
      check_triplets(A, row, opt, {5.0});
      const Turned<Dense<T>> tall{A};
      auto column = solve<S>(tall, opt);
      check_triplets(tall, column, opt, {5.0});
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(svds_null, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("svds: graded over twelve orders", S, svds_graded) {
  using T = typename S::Value;
  const auto spectrum = geometric(100, 1e12);
  const auto A = diagonal_matrix<T>(spectrum);
  for (const bool smallest : {false, true}) {
    const auto opt = options(6, smallest, smallest ? 100 : 0);
    auto run = solve<S>(A, opt);
    // A hundred steps round a hundred times.
    check_triplets(A, run, opt, spectrum, 100.0 * kEps<T>);
  }
}
using HostDoubles = std::tuple<HostSpace<double>, HostSpace<std::complex<double>>>;
TEST_CASE_TEMPLATE_APPLY(svds_graded, HostDoubles);

TEST_CASE_TEMPLATE_DEFINE("svds: the scale of A changes nothing", S, svds_scale) {
  using T = typename S::Value;
  const auto A = random_dense<T>(120, 50, 1);
  const bool single = std::is_same_v<RealOf<T>, float>;
  for (const bool smallest : {false, true}) {
    const auto opt = options(4, smallest, 16);
    const auto base = solve<S>(A, opt);
    for (const double factor : {single ? 0x1p-27 : 0x1p-83, single ? 0x1p27 : 0x1p83}) {
      const auto run = solve<S>(A.scaled(factor), opt);
      CHECK(run.out.status == Status::converged);
      CHECK(run.out.iterations == base.out.iterations);
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(run.s[i] / factor == doctest::Approx(base.s[i]).epsilon(64.0 * kEps<T>));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(svds_scale, HostSpaces);

TEST_CASE_TEMPLATE_DEFINE("svds: bulk and outliers bring no ghosts", S, svds_ghosts) {
  using T = typename S::Value;
  std::vector<double> spectrum;
  for (int i = 0; i < 490; ++i) spectrum.push_back(i / 489.0);
  for (int i = 0; i < 10; ++i) spectrum.push_back(50.0 + 50.0 * i / 9.0);
  for (double& x : spectrum) x = static_cast<float>(x);
  const auto A = diagonal_matrix<T>(spectrum);
  const auto opt = options(12, false, 150);
  auto run = solve<S>(A, opt);
  check_triplets(A, run, opt, spectrum);
}
TEST_CASE_TEMPLATE_APPLY(svds_ghosts, SomeSpaces);

TEST_CASE("svds: known right vectors are deflated, null vectors alone are enough") {
  using S = HostSpace<double>;
  std::vector<double> spectrum(200);
  for (std::size_t i = 0; i < 200; ++i) spectrum[i] = i < 3 ? 0.0 : static_cast<double>(i);
  const auto A = diagonal_matrix<double>(spectrum);
  std::vector<double> z(400, 0.0);
  z[0] = z[201] = 1.0;  // e₀ and e₁
  auto opt = options(2, true);
  opt.right_only = true;
  const auto run = solve<S>(A, opt, {}, nullptr, {z.data(), 200, 2, 200});
  CHECK(run.out.status == Status::converged);
  CHECK(run.s[1] <= run.out.target);
  CHECK(run.s[0] == doctest::Approx(3.0));
  CHECK(std::abs(run.v[202]) == doctest::Approx(1.0));
  CHECK(std::abs(run.v[0]) + std::abs(run.v[1]) < 1e-14);
}

TEST_CASE("svds: a good start spares products") {
  using S = HostSpace<double>;
  const auto A = random_dense<double>(300, 100, 2);
  auto opt = options(1, false);
  opt.tol = 1e-8;
  S space;
  SvdsWorkspace<S> ws;
  std::vector<double> s(1), residuals(1), u(300), v(100);
  const auto go = [&] {
    return svds(space, A, s, residuals, BlockView<double>{u.data(), 300, 1, 300},
                BlockView<double>{v.data(), 100, 1, 100}, ws, opt);
  };
  const auto cold = go();
  const auto bytes = ws.bytes();
  opt.warm_start = true;
  const auto warm = go();
  CHECK(warm.status == Status::converged);
  CHECK(2 * warm.products.total() <= cold.products.total());
  CHECK(ws.bytes() == bytes);
}

TEST_CASE("svds: unhappy endings") {
  using S = HostSpace<double>;
  const auto A = random_dense<double>(80, 60, 4);
  const auto opt = options(3, false, 10);
  SUBCASE("NaN") {
    for (const Index when : {1, 2, 7, 30}) {
      const auto run = solve<S>(faulty<double>(A, when), opt);
      CHECK(run.out.status == Status::nonfinite);
      CHECK(run.out.found == 0);
    }
  }
  SUBCASE("an exception passes through") {
    CHECK_THROWS_AS(solve<S>(faulty<double>(A, 0, 5), opt), int);
  }
  SUBCASE("limits") {
    Monitor monitor;
    monitor.max_products = 9;
    auto quick = opt;
    quick.verify = false;
    const auto run = solve<S>(A, quick, monitor);
    CHECK(run.out.status == Status::max_products);
    CHECK(run.out.products.total() == 10);
    CHECK(run.out.found == 3);
    CHECK(!run.out.verified);
    quick.max_restarts = 1;
    quick.ncv = 4;
    CHECK(solve<S>(A, quick).out.status == Status::max_iterations);
  }
  SUBCASE("arguments") {
    CHECK_THROWS_AS(solve<S>(A, options(61, false)), InvalidArgument);
    CHECK_THROWS_AS(solve<S>(A, options(5, false, 5)), InvalidArgument);
    auto bad = opt;
    bad.tol = NAN;
    CHECK_THROWS_AS(solve<S>(A, bad), InvalidArgument);
    bad = opt;
    bad.right_only = true;
    CHECK_THROWS_AS(solve<S>(Turned<Dense<double>>{A}, bad), InvalidArgument);
  }
}

TEST_CASE_TEMPLATE_DEFINE("svds: a run cut off goes on to the same bits", S, svds_checkpoint) {
  using T = typename S::Value;
  const auto path = (std::filesystem::temp_directory_path() / "ritz_svds_checkpoint").string();
  std::filesystem::remove(path);
  const auto A = random_dense<T>(90, 60, 6);
  const auto opt = options(4, true, 9);
  const auto whole = solve<S>(A, opt);
  REQUIRE(whole.out.restarts > 2);
  for (const Index when : {40, 91}) {
    Checkpoint first(path, 0.0), second(path, 0.0);
    CHECK_THROWS_AS(solve<S>(faulty<T>(A, 0, when), opt, {}, &first), int);
    CHECK(std::filesystem::exists(path));
    const auto counted = faulty<T>(A);
    const auto run = solve<S>(counted, opt, {}, &second);
    CHECK(run.out.products.total() == whole.out.products.total());
    CHECK(counted.applied + counted.adjoint < whole.out.products.total());
    CHECK(run.s == whole.s);
    CHECK(run.u == whole.u);
    CHECK(run.v == whole.v);
    CHECK(!std::filesystem::exists(path));
  }
}
TEST_CASE_TEMPLATE_APPLY(svds_checkpoint, HostSpaces);

TEST_CASE_TEMPLATE_DEFINE("norm2: the bracket holds the norm", S, norm2_bracket) {
  using T = typename S::Value;
  const auto flat = [](Index n) {  // a dense edge: no gap helps
    std::vector<double> s(at(n));
    for (Index i = 0; i < n; ++i) s[at(i)] = 1.0 - static_cast<double>(i) / static_cast<double>(n);
    return s;
  };
  for (const auto& spectrum : {geometric(60, 100.0), flat(300), std::vector<double>(20, 3.0)}) {
    const auto A = diagonal_matrix<T>(spectrum);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      for (const Index steps : {Index{1}, Index{2}, Index{5}, Index{200}}) {
        CAPTURE(seed);
        CAPTURE(steps);
        S space;
        SvdsWorkspace<S> ws;
        Norm2Options opt;
        opt.max_basis = steps;
        opt.seed.seed = seed;
        opt.rtol = steps == 200 ? 0.01 : 0.0;
        const auto out = norm2(space, A, ws, opt);
        CHECK(out.lower <= spectrum[0]);
        CHECK(out.upper >= spectrum[0]);
        CHECK(out.products.total() <= 2 * steps);
        if (steps == 200) {
          CHECK(out.status == Status::converged);
          CHECK(out.upper - out.lower <= 0.01 * out.value);
          CHECK(out.value >= 0.99 * spectrum[0]);
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(norm2_bracket, SomeSpaces);

TEST_CASE("norm2: both bounds, by hand") {
  // One step: σ² − θ² = αβ/δ, and θ cosh(arcosh(1/δ)).
  const double theta = 2.0, delta = 0.1, product = 0.3;
  const double by_polynomial = std::sqrt(theta * theta + product / delta);
  const std::vector<double> values{theta};
  CHECK(theta * norm2_excess(values, std::log(product / (theta * theta)), delta) ==
        doctest::Approx(by_polynomial).epsilon(2e-3));
  CHECK(theta * norm2_excess(values, std::log(1e3), delta) ==
        doctest::Approx(theta / delta).epsilon(1e-12));
}

TEST_CASE_TEMPLATE_DEFINE("norm2: scale, zero, NaN, a failure as likely as told", S, norm2_rest) {
  using T = typename S::Value;
  S space;
  SvdsWorkspace<S> ws;
  const auto A = random_dense<T>(40, 70, 3);
  const auto base = norm2(space, A, ws);
  const auto small = norm2(space, A.scaled(0x1p-27), ws);
  CHECK(small.iterations == base.iterations);
  CHECK(small.upper == doctest::Approx(base.upper * 0x1p-27).epsilon(64.0 * kEps<T>));
  const auto zero = norm2(space, Dense<T>(5, 9), ws);
  CHECK(zero.status == Status::converged);
  CHECK(zero.upper == 0.0);
  CHECK(norm2(space, faulty<T>(A, 4), ws).status == Status::nonfinite);
  // With η = 1/2 and one step, on a spectrum made to fail: the bound is wrong in at most half.
  std::vector<double> spectrum(30, 0.0);
  spectrum[0] = 1.0;
  for (std::size_t i = 1; i < 30; ++i) spectrum[i] = 0.5;
  const auto D = diagonal_matrix<T>(spectrum);
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Norm2Options opt;
    opt.failure = 0.5;
    opt.max_basis = 1;
    opt.seed.seed = seed;
    wrong += norm2(space, D, ws, opt).upper < 1.0;
  }
  CHECK(wrong <= 115);
}
TEST_CASE_TEMPLATE_APPLY(norm2_rest, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("frobenius_norm: exact, and within its standard error", S, frobenius) {
  using T = typename S::Value;
  S space;
  const auto A = random_dense<T>(30, 60, 3);
  FrobeniusOptions opt;
  const auto exact = frobenius_norm(space, A, opt);
  CHECK(exact.stderr_ == 0.0);
  CHECK(exact.value == doctest::Approx(A.frobenius()).epsilon(32.0 * kEps<T>));
  CHECK(exact.products.total() == 60);
  opt.samples = 20;
  int covered = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    opt.seed.seed = 1000 * seed;
    const auto out = frobenius_norm(space, A, opt);
    CHECK(out.products.total() == 20);
    covered += std::abs(out.value - A.frobenius()) <= 3.0 * out.stderr_;
  }
  CHECK(covered >= 95);
  opt.rtol = 0.5;
  CHECK(frobenius_norm(space, A, opt).iterations < 20);
  CHECK(frobenius_norm(space, Dense<T>(3, 40), opt).value == 0.0);
  CHECK(frobenius_norm(space, faulty<T>(A, 4), opt).status == Status::nonfinite);
}
TEST_CASE_TEMPLATE_APPLY(frobenius, SomeSpaces);
