#include "ritz/eigen/lobpcg.hpp"

#include <doctest/doctest.h>

#include "problems.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class S>
struct Solved {
  using T = typename S::Value;
  std::vector<double> values, residuals;
  std::vector<T> storage;
  Index n = 0;
  LobpcgOutcome out;

  BlockView<T> vectors() { return {storage.data(), n, static_cast<Index>(values.size()), n}; }
};

template <class S, class A, class B = NoOperator, class M = NoOperator>
Solved<S> solve(const A& op, std::vector<typename S::Value> start, const LobpcgOptions& opt,
                const B& b = {}, const M& m = {}, const std::vector<typename S::Value>& Y = {},
                const Monitor& monitor = {}) {
  using T = typename S::Value;
  S space;
  LobpcgWorkspace<S> ws;
  Solved<S> result;
  result.n = op.rows();
  result.storage = std::move(start);
  const std::size_t k = result.storage.size() / at(result.n);
  result.values.assign(k, -7.0);
  result.residuals.assign(k, -7.0);
  const Index p = static_cast<Index>(Y.size()) / result.n;
  result.out =
      lobpcg(space, op, result.vectors(), std::span(result.values), std::span(result.residuals), ws,
             opt, monitor, b, m, BlockView<const T>{Y.data(), result.n, p, result.n});
  return result;
}

template <class T>
std::vector<T> start(Index n, Index k, std::uint64_t seed = 1) {
  return gaussian<T>(n * k, seed);
}

LobpcgOptions options(bool largest, double tol = 0.0) {
  LobpcgOptions opt;
  opt.largest = largest;
  opt.tol = tol;
  return opt;
}

/// Values are within the residuals of the truth, residuals are true, vectors are orthonormal.
template <class S, class A>
void check_pairs(const A& op, Solved<S>& run, bool largest, std::vector<double> spectrum,
                 double slack = 0.0) {
  using T = typename S::Value;
  const std::size_t k = run.values.size();
  CHECK(run.out.status == Status::converged);
  CHECK(run.out.verified);
  CHECK(run.out.converged == static_cast<Index>(k));
  std::sort(spectrum.begin(), spectrum.end());
  const double norm_a = std::max(std::abs(spectrum.front()), std::abs(spectrum.back()));
  if (largest) std::reverse(spectrum.begin(), spectrum.end());
  CHECK(run.out.norm_a <= norm_a * (1.0 + 1e3 * kEps<T>)+slack);
  CHECK(run.out.norm_a >= 0.2 * norm_a);
  const auto V = run.vectors();
  std::vector<T> w(at(run.n));
  const double rounding = 64.0 * kEps<T> * norm_a + slack;
  for (std::size_t i = 0; i < k; ++i) {
    CAPTURE(i);
    CHECK(run.residuals[i] <= run.out.target * (1.0 + 1e-12));
    CHECK(std::abs(run.values[i] - spectrum[i]) <= run.residuals[i] + rounding);
    if (i > 0) CHECK((largest ? -1.0 : 1.0) * (run.values[i] - run.values[i - 1]) >= 0.0);
    const auto x = V.column(static_cast<Index>(i));
    op.apply(x, {w.data(), run.n});
    long double sum = 0;
    for (Index j = 0; j < run.n; ++j) {
      sum +=
          std::norm(lengthen(w[at(j)]) - static_cast<long double>(run.values[i]) * lengthen(x[j]));
    }
    CHECK(std::abs(static_cast<double>(std::sqrt(sum)) - run.residuals[i]) <= rounding);
    for (std::size_t j = 0; j <= i; ++j) {
      Long<T> dot{};
      const auto y = V.column(static_cast<Index>(j));
      for (Index l = 0; l < run.n; ++l) dot += conj_long(lengthen(x[l])) * lengthen(y[l]);
      if (i == j) dot -= 1.0L;
      CHECK(static_cast<double>(std::abs(dot)) <= 20.0 * kEps<T>);
    }
  }
}

/// Solves with the second difference on a line, by elimination.
template <Field T>
struct LineSolve {
  Index n;
  Index rows() const { return n; }
  Index cols() const { return n; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    using W = WideOf<T>;
    std::vector<W> d(at(n)), b(at(n));
    for (Index i = 0; i < n; ++i) {
      d[at(i)] = i == 0 ? W(2.0) : 2.0 - 1.0 / d[at(i - 1)];
      b[at(i)] = static_cast<W>(x[i]) + (i == 0 ? W{} : b[at(i - 1)] / d[at(i - 1)]);
    }
    for (Index i = n; i-- > 0;) {
      if (i + 1 < n) b[at(i)] += b[at(i + 1)];
      b[at(i)] /= d[at(i)];
      y[i] = static_cast<T>(b[at(i)]);
    }
  }
};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("lobpcg: known spectra, both ends", S, lobpcg_spectra) {
  using T = typename S::Value;
  auto spectrum = geometric(60, 50.0);
  for (std::size_t i = 1; i < spectrum.size(); i += 2) spectrum[i] = -spectrum[i];
  const auto A = hermitian<T>(spectrum, 3);
  const double slack = kEps<T> * A.frobenius();
  for (const bool largest : {true, false}) {
    for (const Index k : {Index{1}, Index{4}, Index{20}}) {
      CAPTURE(k);
      CAPTURE(largest);
      const auto counted = faulty<T>(A);
      auto run = solve<S>(counted, start<T>(60, k), options(largest));
      CHECK(run.out.products.total() == counted.applied);
      check_pairs(A, run, largest, spectrum, slack);
      auto tight = solve<S>(A, start<T>(60, k), options(largest, 64.0 * kEps<T>));
      check_pairs(A, tight, largest, spectrum, slack);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lobpcg_spectra, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("lobpcg: a preconditioner saves products", S, lobpcg_preconditioner) {
  using T = typename S::Value;
  const Index n = 200;
  const Laplacian<T> A{n, 1};
  auto opt = options(false, sizeof(RealOf<T>) == 4 ? 1e-5 : 1e-9);
  auto plain = solve<S>(A, start<T>(n, 4), opt);
  const LineSolve<T> inverse{n};
  const auto counted = faulty<T>(inverse);
  auto fast = solve<S>(A, start<T>(n, 4), opt, NoOperator{}, counted);
  check_pairs(A, plain, false, A.eigenvalues());
  check_pairs(A, fast, false, A.eigenvalues());
  CHECK(fast.out.preconditioner == counted.applied);
  CHECK(fast.out.iterations <= 12);
  CHECK(4 * fast.out.products.total() < plain.out.products.total());
}
TEST_CASE_TEMPLATE_APPLY(lobpcg_preconditioner, SomeSpaces);

TEST_CASE_TEMPLATE("lobpcg: A x = λ B x", T, float, double, std::complex<double>) {
  using S = HostSpace<T>;
  const Index n = 50;
  std::vector<double> spectrum = geometric(n, 100.0);
  const auto H = hermitian<T>(spectrum, 4);
  // B = D², A = D H D: the eigenvalues of H, in a basis that is far from orthonormal.
  std::vector<double> squares;
  Dense<T> A = H;
  for (Index i = 0; i < n; ++i) squares.push_back(std::pow(1.0 + 0.1 * static_cast<double>(i), 2));
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) {
      A(i, j) = static_cast<T>(static_cast<WideOf<T>>(H(i, j)) *
                               std::sqrt(squares[at(i)] * squares[at(j)]));
    }
  }
  const auto B = diagonal_matrix<T>(squares);
  const auto counted = faulty<T>(B);
  for (const bool largest : {true, false}) {
    auto run = solve<S>(A, start<T>(n, 3), options(largest, 128.0 * kEps<T>), counted);
    CHECK(run.out.status == Status::converged);
    std::sort(spectrum.begin(), spectrum.end());
    if (largest) std::reverse(spectrum.begin(), spectrum.end());
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(std::abs(run.values[i] - spectrum[i]) <= 1e3 * kEps<T>);
    }
    for (Index i = 0; i < 3; ++i) {
      for (Index j = 0; j <= i; ++j) {
        Long<T> dot{};
        for (Index l = 0; l < n; ++l) {
          dot += conj_long(lengthen(run.vectors()(l, i))) * lengthen(B.d[at(l)]) *
                 lengthen(run.vectors()(l, j));
        }
        CHECK(std::abs(static_cast<double>(std::abs(dot)) - (i == j ? 1.0 : 0.0)) <=
              100.0 * kEps<T>);
      }
    }
    CHECK(run.out.mass == counted.applied);
    counted.applied = 0;
  }
  squares[7] = -1.0;
  CHECK(solve<S>(A, start<T>(n, 3), options(true), diagonal_matrix<T>(squares)).out.status ==
        Status::breakdown);
}

TEST_CASE_TEMPLATE("lobpcg: constraints give the next ones", T, float, double,
                   std::complex<double>) {
  using S = HostSpace<T>;
  const Laplacian<T> A{40, 1};
  auto first = solve<S>(A, start<T>(40, 3), options(false, 100.0 * kEps<T>));
  REQUIRE(first.out.status == Status::converged);
  auto Y = first.storage;  // and a column that depends on the others
  for (Index i = 0; i < 40; ++i) Y.push_back(Y[at(i)] + Y[at(i + 40)]);
  auto next = solve<S>(A, start<T>(40, 4, 2), options(false, 100.0 * kEps<T>), NoOperator{},
                       NoOperator{}, Y);
  CHECK(next.out.status == Status::converged);
  const auto truth = A.eigenvalues();
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::abs(next.values[i] - truth[i + 3]) <= 500.0 * kEps<T>);
  }
  SUBCASE("any constraint: the problem restricted to its complement") {
    std::vector<T> e(40, T{});
    e[17] = T(1);
    auto run = solve<S>(A, start<T>(40, 2), options(false), NoOperator{}, NoOperator{}, e);
    CHECK(run.out.status == Status::converged);
    // Two lines of 17 and of 22 points.
    CHECK(run.values[0] == doctest::Approx(Laplacian<T>{22, 1}.eigenvalues()[0]).epsilon(1e-4));
    CHECK(run.values[1] == doctest::Approx(Laplacian<T>{17, 1}.eigenvalues()[0]).epsilon(1e-4));
    CHECK(std::abs(run.storage[17]) <= 100.0 * kEps<T>);
  }
  SUBCASE("no room") {
    CHECK_THROWS_AS(solve<S>(A, start<T>(40, 38), options(false), NoOperator{}, NoOperator{}, Y),
                    InvalidArgument);
    CHECK(solve<S>(A, start<T>(40, 37), options(false), NoOperator{}, NoOperator{}, Y).out.status ==
          Status::converged);
  }
}

TEST_CASE_TEMPLATE_DEFINE("lobpcg: scale changes nothing", S, lobpcg_scale) {
  using T = typename S::Value;
  const Index n = 60;
  const bool single = sizeof(RealOf<T>) == 4;
  const auto base = solve<S>(Laplacian<T>{n, 1}, start<T>(n, 3), options(true));
  CHECK(base.out.status == Status::converged);
  for (const double s : {0x1p-40, 0x1p20, single ? 0x1p-26 : 0x1p-83, single ? 0x1p26 : 0x1p83}) {
    for (const double c : {1.0, 0x1p30}) {
      auto X = start<T>(n, 3);
      for (T& x : X) x = static_cast<T>(static_cast<WideOf<T>>(x) * c);
      const auto run = solve<S>(Laplacian<T>{n, 1, s}, X, options(true));
      CHECK(run.out.status == base.out.status);
      CHECK(run.out.iterations == base.out.iterations);
      for (std::size_t i = 0; i < 3; ++i)
        CHECK(run.values[i] / s == doctest::Approx(base.values[i]));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lobpcg_scale, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("lobpcg: small and singular operators, poor starts", S, lobpcg_small) {
  using T = typename S::Value;
  SUBCASE("as many columns as there is room") {
    for (const Index n : {Index{1}, Index{2}, Index{5}, Index{12}}) {
      const auto spectrum = geometric(n, 10.0);
      const auto A = hermitian<T>(spectrum, 5);
      for (Index k = 1; k <= n; ++k) {
        CAPTURE(n);
        CAPTURE(k);
        auto run = solve<S>(A, start<T>(n, k), options(false, 64.0 * kEps<T>));
        check_pairs(A, run, false, spectrum, kEps<T> * A.frobenius());
      }
    }
  }
  SUBCASE("zero and identity") {
    const Dense<T> zero(20, 20);
    auto run = solve<S>(zero, start<T>(20, 3), options(true));
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.iterations == 0);
    CHECK(run.values == std::vector<double>(3, 0.0));
    const auto one = diagonal_matrix<T>(std::vector<double>(20, 1.0));
    run = solve<S>(one, start<T>(20, 3), options(true));
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.iterations == 0);
  }
  SUBCASE("rank one") {
    std::vector<double> spectrum(30, 0.0);
    spectrum[3] = 2.0;
    const auto A = hermitian<T>(spectrum, 2);
    auto run = solve<S>(A, start<T>(30, 2), options(true));
    check_pairs(A, run, true, spectrum, 10.0 * kEps<T>);
  }
  SUBCASE("dependent columns and zero columns") {
    const auto spectrum = geometric(40, 10.0);
    const auto A = hermitian<T>(spectrum, 5);
    auto X = start<T>(40, 4);
    std::copy_n(X.begin(), 40, X.begin() + 40);
    std::fill_n(X.begin() + 80, 40, T{});
    auto run = solve<S>(A, X, options(true));
    check_pairs(A, run, true, spectrum, kEps<T> * A.frobenius());
  }
  SUBCASE("the exact vectors need no iteration") {
    std::vector<double> d(30);
    for (std::size_t i = 0; i < 30; ++i) d[i] = static_cast<double>(i);
    const auto A = diagonal_matrix<T>(d);
    std::vector<T> X(60, T{});
    X[29] = X[30 + 28] = T(1);
    auto run = solve<S>(A, X, options(true));
    CHECK(run.out.iterations == 0);
    check_pairs(A, run, true, d);
  }
}
TEST_CASE_TEMPLATE_APPLY(lobpcg_small, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("lobpcg: other endings", S, lobpcg_endings) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(60, 1e3), 3);
  SUBCASE("a NaN, and an exception, also of the preconditioner") {
    const auto poisoned = faulty<T>(A, 12);
    CHECK(solve<S>(poisoned, start<T>(60, 3), options(false)).out.status == Status::nonfinite);
    const auto throwing = faulty<T>(A, 0, 12);
    CHECK_THROWS_AS(solve<S>(throwing, start<T>(60, 3), options(false)), int);
    const auto one = diagonal_matrix<T>(std::vector<double>(60, 1.0));
    const auto bad = faulty<T>(one, 5);
    CHECK(solve<S>(A, start<T>(60, 3), options(false), NoOperator{}, bad).out.status ==
          Status::nonfinite);
  }
  SUBCASE("limits") {
    auto opt = options(false);
    opt.max_iterations = 3;
    const auto run = solve<S>(A, start<T>(60, 3), opt);
    CHECK(run.out.status == Status::max_iterations);
    CHECK(run.out.iterations == 3);
    CHECK(run.out.verified);
    CHECK(run.out.residual > run.out.target);
    opt.verify = false;
    Monitor monitor;
    monitor.max_products = 4 + 3;
    const auto cut = solve<S>(A, start<T>(60, 3), opt, NoOperator{}, NoOperator{}, {}, monitor);
    CHECK(cut.out.status == Status::max_products);
    CHECK(cut.out.products.total() == 7);
    CHECK_FALSE(cut.out.verified);
  }
  SUBCASE("a preconditioner that says nothing") {
    const Dense<T> zero(60, 60);
    const auto run = solve<S>(A, start<T>(60, 3), options(false), NoOperator{}, zero);
    CHECK(run.out.status == Status::stagnation);
  }
  SUBCASE("misuse") {
    CHECK_THROWS_AS(solve<S>(A, start<T>(60, 61), options(false)), InvalidArgument);
    CHECK_THROWS_AS(solve<S>(A, start<T>(60, 0), options(false)), InvalidArgument);
    CHECK_THROWS_AS(solve<S>(random_dense<T>(4, 3, 1), start<T>(4, 1), options(false)),
                    InvalidArgument);
    CHECK_THROWS_AS(solve<S>(A, start<T>(60, 2), options(false), hermitian<T>({1.0, 2.0}, 1)),
                    InvalidArgument);
    CHECK_THROWS_AS(solve<S>(A, start<T>(60, 2), options(false, -1.0)), InvalidArgument);
  }
}
TEST_CASE_TEMPLATE_APPLY(lobpcg_endings, SomeSpaces);
