#include "ritz/function/funm.hpp"

#include <doctest/doctest.h>

#include "problems.hpp"
#include "ritz/function/funm_arnoldi.hpp"
#include "ritz/function/funm_chebyshev.hpp"
#include "ritz/function/funm_rational.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

NamedFunction function(Function kind, double t = 1.0) {
  NamedFunction f;
  f.kind = kind;
  f.t = t;
  return f;
}
NamedFunction power(double p) {
  NamedFunction f = function(Function::power);
  f.p = p;
  return f;
}
NamedFunction phi_function(int k, double t) {
  NamedFunction f = function(Function::phi, t);
  f.k = k;
  return f;
}
NamedFunction resolvent(std::complex<double> z) {
  NamedFunction f = function(Function::resolvent);
  f.z = z;
  return f;
}

template <class S>
struct Computed {
  using T = typename S::Value;
  std::vector<T> y;
  std::vector<FunmAccount> accounts;
  FunmOutcome out;

  std::vector<T> column(std::size_t k) const {
    const std::size_t n = y.size() / accounts.size();
    return {y.begin() + static_cast<std::ptrdiff_t>(k * n),
            y.begin() + static_cast<std::ptrdiff_t>((k + 1) * n)};
  }
};

template <class S>
struct Room {
  using T = typename S::Value;
  Room(Index n, std::size_t functions) {
    result.y.assign(at(n) * functions, T{});
    result.accounts.resize(functions);
  }
  BlockView<T> block(Index n) {
    return {result.y.data(), n, static_cast<Index>(result.accounts.size()), n};
  }
  S space;
  Computed<S> result;
};

template <class S, class A>
Computed<S> lanczos(const A& op, const std::vector<typename S::Value>& b,
                    const std::vector<NamedFunction>& f, const FunmOptions& opt = {},
                    const Monitor& monitor = {}) {
  Room<S> room(op.rows(), f.size());
  FunmWorkspace<S> ws;
  room.result.out = funm(room.space, op, view(b), room.block(op.rows()), f, ws, opt, monitor,
                         room.result.accounts);
  return room.result;
}
template <class S, class A>
Computed<S> arnoldi(const A& op, const std::vector<typename S::Value>& b,
                    const std::vector<NamedFunction>& f, const FunmOptions& opt = {},
                    const Monitor& monitor = {}) {
  Room<S> room(op.rows(), f.size());
  FunmArnoldiWorkspace<S> ws;
  room.result.out = funm_arnoldi(room.space, op, view(b), room.block(op.rows()), f, ws, opt,
                                 monitor, room.result.accounts);
  return room.result;
}
template <class S, class A>
Computed<S> chebyshev(const A& op, const std::vector<typename S::Value>& b,
                      const std::vector<NamedFunction>& f, const FunmOptions& opt = {},
                      const Monitor& monitor = {}) {
  Room<S> room(op.rows(), f.size());
  FunmChebyshevWorkspace<S> ws;
  room.result.out = funm_chebyshev(room.space, op, view(b), room.block(op.rows()), f, ws, opt,
                                   RandomKey{}, monitor, room.result.accounts);
  return room.result;
}
template <class S, class A>
Computed<S> rational(const A& op, const std::vector<typename S::Value>& b, const NamedFunction& f,
                     const FunmOptions& opt, const Monitor& monitor = {}) {
  Room<S> room(op.rows(), 1);
  FunmRationalWorkspace<S> ws;
  const auto r = partial_fractions(f, opt.t * opt.low, opt.t * opt.high, 0.1 * opt.rtol);
  room.result.out = funm_rational(room.space, op, view(b), room.block(op.rows()).column(0), r, ws,
                                  opt, monitor, room.result.accounts[0]);
  return room.result;
}

/// f(D) b, evaluated in double precision for every element.
template <Field T>
std::vector<T> on_diagonal(const NamedFunction& f, const std::vector<T>& d, const std::vector<T>& b,
                           double t = 1.0) {
  std::vector<T> y(b.size());
  for (std::size_t i = 0; i < b.size(); ++i) {
    const WideOf<T> bi = static_cast<WideOf<T>>(b[i]);
    const double x = t * static_cast<double>(std::real(d[i]));
    if constexpr (ComplexField<T>) {
      y[i] = static_cast<T>(bi * evaluate(f, std::complex<double>(x)));
    } else {
      y[i] = static_cast<T>(bi * evaluate_real(f, x));
    }
  }
  return y;
}

/// The claim of a run: a finite error that covers the true one (ten times is the licence of an
/// estimate), and a target met where it says so.
template <class S>
void check_claim(const Computed<S>& run, std::size_t k,
                 const std::vector<typename S::Value>& exact) {
  const double truth = distance(run.column(k), exact);
  const FunmAccount& account = run.accounts[k];
  CHECK(std::isfinite(account.error));
  CHECK(truth <= (run.out.bound ? 2.0 : 10.0) * account.error);
  CHECK(account.norm == doctest::Approx(norm(exact)).epsilon(0.01));
  if (run.out.status == Status::converged) CHECK(account.error <= 1.0001 * run.out.target);
}

std::vector<double> laplacian_spectrum(Index n) { return Laplacian<double>{n, 1}.eigenvalues(); }

const std::vector<NamedFunction> kPositive = {function(Function::exp, -1.0),
                                              function(Function::exp, -100.0),
                                              function(Function::exp, 3.0),
                                              phi_function(1, -100.0),
                                              phi_function(3, -10.0),
                                              function(Function::log),
                                              function(Function::sqrt),
                                              function(Function::invsqrt),
                                              function(Function::inv),
                                              power(0.3),
                                              power(-0.7),
                                              power(2.0),
                                              function(Function::sign),
                                              resolvent(-0.5)};

}  // namespace

TEST_CASE("named functions: values") {
  CHECK(phi(1, 1e-9) == doctest::Approx(1.0 + 0.5e-9).epsilon(1e-15));
  for (const double x : {-30.0, -3.0, -2.0, -1.4, -1e-3, 0.0, 0.7, 1.6, 5.0}) {
    for (int k = 1; k <= 6; ++k) {
      CAPTURE(x);
      CAPTURE(k);
      long double sum = 0, term = 1;  // the series in extended precision
      for (int i = 1; i <= k; ++i) term /= i;
      for (int i = 1; i < 200; ++i) {
        sum += term;
        term *= static_cast<long double>(x) / (i + k);
      }
      const double tolerance = x < -20.0 ? 1e-5 : 1e-13;
      CHECK(phi(k, x) == doctest::Approx(static_cast<double>(sum)).epsilon(tolerance));
      CHECK(std::abs(phi(k, std::complex<double>(x)) - phi(k, x)) <= 1e-12 * phi(k, x));
    }
  }
}

TEST_CASE("tridiagonal: eigenvalues, rows and products with S") {
  const Index n = 40;
  for (const double scale : {1.0, 1e-150, 1e150}) {
    CAPTURE(scale);
    std::vector<double> diagonal(at(n), 2.0 * scale), off(at(n - 1), -scale);
    TridiagonalEigen T;
    CHECK(T.compute(diagonal, off, 1.0, true));
    std::vector<double> values(T.values().begin(), T.values().end());
    const auto exact = laplacian_spectrum(n);
    for (std::size_t i = 0; i < values.size(); ++i) {
      // Column i of S by S eᵢ: an eigenvector, with the rows' elements at its ends.
      std::vector<double> v(at(n), 0.0);
      v[i] = 1.0;
      T.multiply(std::span<double>(v));
      CHECK(norm(v) == doctest::Approx(1.0).epsilon(1e-13));
      CHECK(std::abs(v.front() - T.first_row()[i]) <= 1e-14);
      CHECK(std::abs(v.back() - T.last_row()[i]) <= 1e-14);
      double residual = 0.0;
      for (Index j = 0; j < n; ++j) {
        double Tv = 2.0 * v[at(j)];
        if (j > 0) Tv -= v[at(j - 1)];
        if (j + 1 < n) Tv -= v[at(j + 1)];
        residual = std::max(residual, std::abs(Tv - values[i] / scale * v[at(j)]));
      }
      CHECK(residual <= 1e-13);
    }
    std::sort(values.begin(), values.end());
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(values[i] / scale == doctest::Approx(exact[i]).epsilon(1e-13));
    }
  }
  TridiagonalEigen T;
  CHECK(T.compute(std::vector<double>(5, 0.0), std::vector<double>(4, 0.0), 1.0, true));
  CHECK(T.values()[3] == 0.0);
  CHECK_FALSE(T.compute(std::vector<double>(2, NAN), std::vector<double>(1, 1.0), 1.0, false));
}

TEST_CASE("dense functions: definitions") {
  using C = std::complex<double>;
  const Index n = 12;
  auto R = random_dense<C>(n, n, 3);
  for (auto& x : R.a) x *= 0.2;
  for (Index i = 0; i < n; ++i) R(i, i) += 2.0;
  const BlockView<const C> A{R.a.data(), n, n, n};
  const auto apply = [&](const NamedFunction& f, const std::vector<C>& of) {
    std::vector<C> F(of.size());
    CHECK(dense::function(f, {of.data(), n, n, n}, {F.data(), n, n, n}));
    return F;
  };
  const auto times = [&](const std::vector<C>& X, const std::vector<C>& Y) {
    std::vector<C> Z(X.size());
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        for (Index k = 0; k < n; ++k) Z[at(i + j * n)] += X[at(i + k * n)] * Y[at(k + j * n)];
      }
    }
    return Z;
  };
  std::vector<C> I(at(n * n));
  for (Index i = 0; i < n; ++i) I[at(i + i * n)] = 1.0;
  const auto root = apply(function(Function::sqrt), R.a);
  CHECK(distance(times(root, root), R.a) <= 1e-13 * norm(R.a));
  CHECK(distance(apply(function(Function::exp), apply(function(Function::log), R.a)), R.a) <=
        1e-12 * norm(R.a));
  CHECK(distance(times(apply(function(Function::invsqrt), R.a), root), I) <= 1e-12);
  CHECK(distance(times(apply(function(Function::inv), R.a), R.a), I) <= 1e-12);
  CHECK(distance(times(apply(power(0.3), R.a), apply(power(0.7), R.a)), R.a) <= 1e-12 * norm(R.a));
  CHECK(distance(times(apply(power(-2.0), R.a), apply(power(2.0), R.a)), I) <= 1e-11);
  CHECK(distance(apply(function(Function::sign), R.a), I) <= 1e-12);
  // φ₂(A) A² = exp(A) − I − A, on e₁
  std::vector<C> y(at(n)), E = apply(function(Function::exp), R.a);
  CHECK(dense::function_column(phi_function(2, 1.0), A, y));
  std::vector<C> left(at(n)), right(at(n));
  const auto A2 = times(R.a, R.a);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) left[at(i)] += A2[at(i + j * n)] * y[at(j)];
    right[at(i)] = E[at(i)] - I[at(i)] - R.a[at(i)];
  }
  CHECK(distance(left, right) <= 1e-12 * norm(right));
  // Steps of exp: exp(40 A/40) by halvings of a large matrix, against a power.
  const auto large = apply(function(Function::exp, 8.0), R.a);
  auto product = E;
  for (int i = 0; i < 3; ++i) product = times(product, product);
  CHECK(distance(large, product) <= 1e-11 * norm(product));
  // Undefined: log and the inverse of a singular matrix, log of −1.
  std::vector<C> Z(at(n * n)), F(at(n * n));
  CHECK_FALSE(dense::function(function(Function::log), {Z.data(), n, n, n}, {F.data(), n, n, n}));
  CHECK_FALSE(dense::function(function(Function::inv), {Z.data(), n, n, n}, {F.data(), n, n, n}));
  CHECK(dense::function(function(Function::exp), {Z.data(), n, n, n}, {F.data(), n, n, n}));
  CHECK(distance(F, I) == 0.0);
  for (auto& x : Z) x = 0.0;
  for (Index i = 0; i < n; ++i) Z[at(i + i * n)] = -1.0;
  CHECK_FALSE(dense::function(function(Function::log), {Z.data(), n, n, n}, {F.data(), n, n, n}));
}

TEST_CASE_TEMPLATE_DEFINE("funm: claims on hard spectra", S, funm_claims) {
  using T = typename S::Value;
  const Index n = 150;
  std::vector<std::vector<double>> spectra = {geometric(n, 1e2), geometric(n, 1e6),
                                              laplacian_spectrum(n)};
  spectra.push_back(geometric(n, 2.0));
  spectra.back()[70] = 1e-6;  // one eigenvalue far from the rest
  const double rtol = std::max(1e-6, 100.0 * kEps<T>);
  for (std::size_t s = 0; s < spectra.size(); ++s) {
    const auto A = diagonal_matrix<T>(spectra[s]);
    const auto b = gaussian<T>(n, 5 + s);
    for (std::size_t k = 0; k < kPositive.size(); ++k) {
      for (const bool known : {false, true}) {
        CAPTURE(s);
        CAPTURE(k);
        CAPTURE(known);
        FunmOptions opt;
        opt.rtol = rtol;
        if (known) {
          const auto [low, high] = std::minmax_element(spectra[s].begin(), spectra[s].end());
          opt.low = *low * (1.0 - 1e-6);
          opt.high = *high * (1.0 + 1e-6);
        }
        const auto run = lanczos<S>(A, b, {kPositive[k]}, opt);
        const bool ended =
            run.out.status == Status::converged || run.out.status == Status::precision_limit;
        CHECK(ended);
        CHECK(run.out.bound == known);
        CHECK(run.out.iterations <= n);
        check_claim(run, 0, on_diagonal(kPositive[k], A.d, b));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_claims, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: dense Hermitian matrices, several functions from one basis", S,
                          funm_dense) {
  using T = typename S::Value;
  const Index n = 60;
  const auto spectrum = geometric(n, 50.0);
  const auto A = hermitian<T>(spectrum, 7);
  const auto b = gaussian<T>(n, 8);
  FunmOptions opt;
  opt.rtol = std::max(1e-9, 300.0 * kEps<T>);
  const std::vector<NamedFunction> f = {function(Function::sqrt), function(Function::exp, -2.0),
                                        function(Function::inv)};
  const auto all = lanczos<S>(A, b, f, opt);
  CHECK(all.out.status == Status::converged);
  // sqrt(A) sqrt(A) b = A b and A (A⁻¹ b) = b, by other runs.
  const auto twice = lanczos<S>(A, all.column(0), {f[0]}, opt);
  std::vector<T> Ab(at(n)), AAinv(at(n));
  A.apply(view(b), view(Ab));
  const auto inverse = all.column(2);
  A.apply(view(inverse), view(AAinv));
  CHECK(distance(twice.column(0), Ab) <= 1e2 * opt.rtol * norm(b));
  CHECK(distance(AAinv, b) <= 60.0 * opt.rtol * norm(inverse));
  for (std::size_t k = 0; k < f.size(); ++k) {
    const auto one = lanczos<S>(A, b, {f[k]}, opt);
    CHECK(one.out.iterations <= all.out.iterations);
    CHECK(distance(one.column(0), all.column(k)) <= 2.0 * opt.rtol * all.accounts[k].norm);
  }
  CHECK(all.out.products.apply == all.out.iterations + 1);  // the inverse is verified
}
TEST_CASE_TEMPLATE_APPLY(funm_dense, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: an invariant Krylov space ends the run exactly", S, funm_happy) {
  using T = typename S::Value;
  for (const Index g : {Index{1}, Index{2}, Index{5}}) {
    CAPTURE(g);
    std::vector<double> spectrum(64);
    for (std::size_t i = 0; i < spectrum.size(); ++i) {
      spectrum[i] = 2.0 + static_cast<double>(static_cast<Index>(i) % g);
    }
    const auto A = diagonal_matrix<T>(spectrum);
    const auto b = gaussian<T>(64, 9);
    FunmOptions opt;
    opt.rtol = 50.0 * kEps<T>;
    const auto run = lanczos<S>(A, b, {function(Function::log)}, opt);
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.iterations == g);
    const auto exact = on_diagonal(function(Function::log), A.d, b);
    CHECK(distance(run.y, exact) <= 20.0 * kEps<T> * norm(b));
  }
  SUBCASE("log of the identity is 0, to rounding") {
    const auto I = diagonal_matrix<T>(std::vector<double>(30, 1.0));
    const auto run = lanczos<S>(I, gaussian<T>(30, 2), {function(Function::log)});
    CHECK(run.out.iterations == 1);
    CHECK(norm(run.y) <= 20.0 * kEps<T>);
    CHECK(run.accounts[0].error <= 100.0 * kEps<T>);
  }
  SUBCASE("the zero operator, one element, b = 0") {
    const auto Z = diagonal_matrix<T>(std::vector<double>(10, 0.0));
    const auto b = gaussian<T>(10, 1);
    auto run = lanczos<S>(Z, b, {function(Function::exp), function(Function::sqrt)});
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.iterations == 1);
    CHECK(distance(run.column(0), b) <= 4.0 * kEps<T> * norm(b));
    CHECK(norm(run.column(1)) == 0.0);
    run = lanczos<S>(Z, b, {function(Function::log)});
    CHECK(run.out.status == Status::breakdown);
    CHECK(run.out.offending == 0.0);
    CHECK_FALSE(all_finite(run.y));
    run = lanczos<S>(diagonal_matrix<T>({4.0}), {T{3}}, {function(Function::sqrt)});
    CHECK(run.out.status == Status::converged);
    CHECK(std::abs(run.y[0] - T{6}) <= 1e-5);
    run = lanczos<S>(Z, std::vector<T>(10), {function(Function::exp)});
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.products.total() == 0);
    CHECK(norm(run.y) == 0.0);
  }
  SUBCASE("a projection") {
    std::vector<double> spectrum(50, 0.0);
    for (std::size_t i = 0; i < 20; ++i) spectrum[2 * i] = 1.0;
    const auto P = hermitian<T>(spectrum, 4);
    const auto b = gaussian<T>(50, 2);
    const auto run = lanczos<S>(P, b, {function(Function::sqrt)});
    std::vector<T> Pb(50);
    P.apply(view(b), view(Pb));
    CHECK(run.out.iterations <= 4);
    CHECK(distance(run.y, Pb) <= 10.0 * std::sqrt(kEps<T>) * norm(b));  // √ of a rounding of 0
    CHECK(distance(run.y, Pb) <= 10.0 * run.accounts[0].error);
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_happy, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: the second pass gives the same result", S, funm_two_passes) {
  using T = typename S::Value;
  const Laplacian<T> A{20, 15};
  const auto b = gaussian<T>(300, 3);
  FunmOptions opt;
  opt.rtol = std::max(1e-8, 1000.0 * kEps<T>);  // ‖tA‖ = 160 roundings are lost
  const std::vector<NamedFunction> f = {function(Function::exp, -20.0), phi_function(1, -20.0)};
  const auto whole = lanczos<S>(A, b, f, opt);
  for (const Index basis : {2, 3, 7, 20, 40}) {
    CAPTURE(basis);
    opt.max_basis = basis;
    const auto run = lanczos<S>(A, b, f, opt);
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.basis == basis);
    const Index again = std::max<Index>(0, run.out.iterations - basis - 1);
    CHECK(run.out.repeated == again);
    CHECK(run.out.products.apply == run.out.iterations + again);
    for (std::size_t k = 0; k < f.size(); ++k) {
      CHECK(distance(run.column(k), whole.column(k)) <= 2.0 * opt.rtol * whole.accounts[k].norm);
    }
  }
  SUBCASE("limits count both passes") {
    opt.max_basis = 10;
    for (const Index most : {5, 10, 11, 20, 31, 40}) {
      CAPTURE(most);
      Monitor monitor;
      monitor.max_products = most;
      const auto run = lanczos<S>(A, b, f, opt, monitor);
      CHECK(run.out.status == Status::max_products);
      CHECK(run.out.products.total() <= most);
      CHECK(run.out.products.total() >= most - 2);
      CHECK(run.out.residual > run.out.target);
      CHECK(all_finite(run.y));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_two_passes, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: exp that underflows at the first Ritz values", S, funm_underflow) {
  using T = typename S::Value;
  const Laplacian<T> A{40, 1};
  const auto b = gaussian<T>(40, 3);
  FunmOptions opt;
  opt.rtol = 1e-2;
  opt.t = -3000.0;
  NamedFunction f = function(Function::exp);
  const auto run = lanczos<S>(A, b, {f}, opt);
  const auto general = arnoldi<S>(A, b, {f}, opt);
  // What is left: the lowest two modes or so.
  std::vector<T> exact(40);
  for (int k = 1; k <= 6; ++k) {
    std::vector<double> v(40);
    double value = 2.0 * std::sin(std::numbers::pi * k / 82.0);
    WideOf<T> product = 0.0;
    for (std::size_t i = 0; i < 40; ++i) {
      v[i] = std::sqrt(2.0 / 41.0) *
             std::sin(std::numbers::pi * k * static_cast<double>(i + 1) / 41.0);
      product += v[i] * static_cast<WideOf<T>>(b[i]);
    }
    for (std::size_t i = 0; i < 40; ++i) {
      exact[i] += static_cast<T>(std::exp(-3000.0 * value * value) * v[i] * product);
    }
  }
  CHECK(run.out.iterations > 5);
  CHECK(norm(run.y) > 0.0);
  check_claim(run, 0, exact);
  CHECK(norm(general.y) > 0.0);
  check_claim(general, 0, exact);
}
TEST_CASE_TEMPLATE_APPLY(funm_underflow, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: scaling A", S, funm_scale) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  const auto b = gaussian<T>(80, 3);
  FunmOptions opt;
  opt.rtol = std::max(1e-6, 100.0 * kEps<T>);
  for (const NamedFunction& f : {function(Function::sqrt), function(Function::inv), power(-0.7)}) {
    Laplacian<T> A{80, 1};
    const auto plain = lanczos<S>(A, b, {f}, opt);
    for (const double factor : {kDouble ? 1e25 : 1e8, kDouble ? 1e-25 : 1e-8}) {
      A.factor = factor;
      const auto run = lanczos<S>(A, b, {f}, opt);
      CHECK(run.out.status == plain.out.status);
      CHECK(std::abs(run.out.iterations - plain.out.iterations) <= 1);
      const double expected = plain.accounts[0].norm * evaluate_real(f, factor);
      CHECK(run.accounts[0].norm == doctest::Approx(expected).epsilon(1e-4));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_scale, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: domains, jumps and poles", S, funm_domain) {
  using T = typename S::Value;
  const Index n = 90;
  std::vector<double> spectrum(at(n));
  for (Index i = 0; i < n; ++i) {
    spectrum[at(i)] = (i % 2 == 0 ? 1.0 : -1.0) * (0.3 + static_cast<double>(i) / 90.0);
  }
  const auto A = diagonal_matrix<T>(spectrum);
  const auto b = gaussian<T>(n, 3);
  FunmOptions opt;
  opt.rtol = std::max(1e-6, 100.0 * kEps<T>);
  for (const auto kind : {Function::log, Function::sqrt, Function::invsqrt}) {
    const auto run = lanczos<S>(A, b, {function(kind)}, opt);
    CHECK(run.out.status == Status::breakdown);
    CHECK(run.out.offending < 0.0);
    CHECK(run.out.offending >= -1.31);
    CHECK_FALSE(all_finite(run.y));
  }
  for (const NamedFunction& f :
       {function(Function::sign), function(Function::inv), resolvent(0.1)}) {
    const auto run = lanczos<S>(A, b, {f}, opt);
    CHECK(run.out.status == Status::converged);
    check_claim(run, 0, on_diagonal(f, A.d, b));
    CHECK(run.out.verified == (f.kind != Function::sign));
  }
  SUBCASE("sign is not fooled by a start that sees one side") {
    auto tilted = b;
    for (std::size_t i = 1; i < tilted.size(); i += 2) tilted[i] *= static_cast<RealOf<T>>(1e-2);
    for (const Index steps : {1, 2, 3, 5, 8}) {
      FunmOptions few = opt;
      few.max_iterations = steps;
      const auto run = lanczos<S>(A, tilted, {function(Function::sign)}, few);
      CHECK(run.out.status == Status::max_iterations);
    }
    const auto run = lanczos<S>(A, tilted, {function(Function::sign)}, opt);
    CHECK(run.out.status == Status::converged);
    check_claim(run, 0, on_diagonal(function(Function::sign), A.d, tilted));
  }
  SUBCASE("negative t turns the domain") {
    std::vector<double> negative(at(n));
    for (Index i = 0; i < n; ++i) negative[at(i)] = -1.0 - static_cast<double>(i);
    const auto B = diagonal_matrix<T>(negative);
    FunmOptions turned = opt;
    turned.t = -1.0;
    const auto run = lanczos<S>(B, b, {function(Function::log)}, turned);
    CHECK(run.out.status == Status::converged);
    check_claim(run, 0, on_diagonal(function(Function::log), B.d, b, -1.0));
  }
  SUBCASE("a complex phase") {
    if constexpr (ComplexField<T>) {
      NamedFunction f = function(Function::exp);
      f.t = {0.0, -1.0};
      opt.t = 25.0;
      const auto run = lanczos<S>(A, b, {f}, opt);
      CHECK(run.out.status == Status::converged);
      CHECK(norm(run.y) == doctest::Approx(norm(b)).epsilon(1e-5));
      check_claim(run, 0, on_diagonal(f, A.d, b, 25.0));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_domain, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm: stopped, poisoned and impossible runs tell the truth", S,
                          funm_stopped) {
  using T = typename S::Value;
  const Laplacian<T> A{200, 1};
  const auto b = gaussian<T>(200, 3);
  const std::vector<NamedFunction> f = {function(Function::exp, -50.0)};
  SUBCASE("stop after any number of steps") {
    for (const Index last : {1, 2, 3, 7, 20}) {
      const auto observer = [&](const Iteration& now) { return now.iteration == last; };
      Monitor monitor;
      monitor.observer = observer;
      const auto run = lanczos<S>(A, b, f, {}, monitor);
      CHECK(run.out.status == Status::stopped);
      CHECK(run.out.products.apply == last);
      CHECK(all_finite(run.y));
      CHECK(run.out.residual > run.out.target);
    }
  }
  SUBCASE("NaN at any product") {
    for (Index k = 1; k <= 20; ++k) {
      const auto run = lanczos<S>(faulty<T>(A, k), b, f);
      CHECK(run.out.status == Status::nonfinite);
      CHECK(run.out.products.apply == k);
      const auto general = arnoldi<S>(faulty<T>(A, k), b, f);
      CHECK(general.out.status == Status::nonfinite);
    }
  }
  SUBCASE("exceptions pass") {
    CHECK_THROWS_AS(lanczos<S>(faulty<T>(A, 0, 3), b, f), int);
    CHECK_THROWS_AS(arnoldi<S>(faulty<T>(A, 0, 3), b, f), int);
  }
  SUBCASE("a tolerance below rounding") {
    FunmOptions opt;
    opt.rtol = 0.01 * kEps<T>;
    const auto run = lanczos<S>(A, b, f, opt);
    CHECK(run.out.status == Status::precision_limit);
    CHECK(run.out.residual <= 1e4 * kEps<T> * norm(b));
    CHECK(arnoldi<S>(A, b, f, opt).out.status == Status::precision_limit);
    CHECK(chebyshev<S>(A, b, f, opt).out.status == Status::precision_limit);
  }
  SUBCASE("bad arguments") {
    FunmOptions opt;
    opt.rtol = -1.0;
    CHECK_THROWS_AS(lanczos<S>(A, b, f, opt), InvalidArgument);
    opt = {};
    opt.low = 2.0;
    opt.high = 1.0;
    CHECK_THROWS_AS(lanczos<S>(A, b, f, opt), InvalidArgument);
    CHECK_THROWS_AS(lanczos<S>(A, gaussian<T>(3, 1), f), InvalidArgument);
    CHECK_THROWS_AS(chebyshev<S>(A, b, {function(Function::log)}), InvalidArgument);
    CHECK_THROWS_AS(partial_fractions(function(Function::log), 0.0, 1.0, 1e-6), InvalidArgument);
    CHECK_THROWS_AS(partial_fractions(function(Function::sign), 1.0, 2.0, 1e-6), InvalidArgument);
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_stopped, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm_arnoldi: general matrices against dense functions", S,
                          funm_general) {
  using T = typename S::Value;
  using C = std::complex<double>;
  const Index n = 60;
  Dense<T> grcar(n, n), jordan(n, n), shifted = random_dense<T>(n, n, 5), skew(n, n);
  for (T& x : shifted.a) x *= static_cast<RealOf<T>>(0.1);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) {
      grcar(i, j) = j == i - 1 ? T{-1} : (j >= i && j <= i + 3 ? T{1} : T{0});
      skew(i, j) = static_cast<T>(std::real(shifted(i, j)) - std::real(shifted(j, i)));
    }
    jordan(i, i) = T{2};
    if (i + 1 < n) jordan(i, i + 1) = T{1};
  }
  for (Index i = 0; i < n; ++i) shifted(i, i) += T{2};
  const auto check = [&](const Dense<T>& A, const NamedFunction& f, Index basis) {
    const auto b = gaussian<T>(n, 11);
    FunmOptions opt;
    opt.rtol = std::max(1e-8, 5000.0 * kEps<T>);
    opt.max_basis = basis;
    const auto run = arnoldi<S>(A, b, {f}, opt);
    const bool fine = run.out.status == Status::converged ||
                      (run.out.status == Status::precision_limit && kEps<T> > 1e-10);
    CHECK(fine);
    CHECK_FALSE(run.out.bound);
    std::vector<C> a(A.a.begin(), A.a.end()), F(a.size());
    CHECK(dense::function(f, {a.data(), n, n, n}, {F.data(), n, n, n}));
    std::vector<T> exact(at(n));
    for (Index i = 0; i < n; ++i) {
      C sum = 0.0;
      for (Index j = 0; j < n; ++j) sum += F[at(i + j * n)] * static_cast<C>(b[at(j)]);
      if constexpr (ComplexField<T>) {
        exact[at(i)] = static_cast<T>(sum);
      } else {
        exact[at(i)] = static_cast<T>(sum.real());
      }
    }
    check_claim(run, 0, exact);
    return run.out;
  };
  for (const double t : {1.0, -2.0, 6.0}) {
    CAPTURE(t);
    check(grcar, function(Function::exp, t), 0);
    check(jordan, function(Function::exp, t), 0);
    check(skew, function(Function::exp, t), 0);
  }
  for (const NamedFunction& f :
       {function(Function::log), function(Function::sqrt), power(0.3), function(Function::invsqrt),
        function(Function::inv), function(Function::sign), resolvent(-1.0)}) {
    CAPTURE(static_cast<int>(f.kind));
    check(shifted, f, 0);
    if (f.kind != Function::invsqrt) check(jordan, f, 0);
  }
  SUBCASE("long times in a short basis") {
    CHECK(check(grcar, function(Function::exp, 8.0), 20).iterations > 20);
    CHECK(check(skew, function(Function::exp, 40.0), 20).iterations > 20);
    CHECK(check(shifted, function(Function::exp, -9.0), 12).iterations > 12);
  }
  SUBCASE("another function has no way on") {
    FunmOptions opt;
    opt.max_basis = 3;
    const auto b = gaussian<T>(n, 11);
    const auto run = arnoldi<S>(shifted, b, {function(Function::log)}, opt);
    CHECK(run.out.status == Status::max_iterations);
    CHECK(run.out.residual > run.out.target);
    CHECK(all_finite(run.y));
  }
  SUBCASE("the eigenvectors of a nearly defective matrix are not trusted") {
    const auto pole = [](std::span<const C> x, BlockView<C> Y) {
      for (std::size_t i = 0; i < x.size(); ++i) Y(static_cast<Index>(i), 0) = 1.0 / (x[i] - 0.5);
    };
    std::vector<T> b(at(n));  // on which the Jordan block's H is one too
    b.back() = T{1};
    FunmOptions opt;
    opt.rtol = std::max(1e-8, 500.0 * kEps<T>);
    for (const Dense<T>* A : {&shifted, &jordan}) {
      Room<S> room(n, 1);
      FunmArnoldiWorkspace<S> ws;
      const auto out = funm_arnoldi(room.space, *A, view(b), room.block(n), ComplexFunctions(pole),
                                    ws, opt, Monitor{}, room.result.accounts);
      const auto named = arnoldi<S>(*A, b, {resolvent(0.5)}, opt);
      CHECK(named.out.status == Status::converged);
      if (A == &shifted) CHECK(out.status == Status::converged);
      if (A == &jordan) {
        const bool refused =
            out.status == Status::breakdown || out.status == Status::precision_limit;
        CHECK(refused);
        continue;
      }
      CHECK(distance(room.result.y, named.y) <= 10.0 * opt.rtol * norm(named.y));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_general, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("funm_chebyshev, funm_rational: the same values without a basis", S,
                          funm_variants) {
  using T = typename S::Value;
  const Index n = 150;
  const double rtol = std::max(1e-6, 2000.0 * kEps<T>);
  for (const auto& spectrum : {geometric(n, 30.0), laplacian_spectrum(n)}) {
    const auto A = diagonal_matrix<T>(spectrum);
    const auto b = gaussian<T>(n, 6);
    const auto [low, high] = std::minmax_element(spectrum.begin(), spectrum.end());
    FunmOptions known;
    known.rtol = rtol;
    known.low = *low * (1.0 - 1e-6);
    known.high = *high * (1.0 + 1e-6);
    for (const NamedFunction& f : kPositive) {
      CAPTURE(static_cast<int>(f.kind));
      CAPTURE(f.t.real());
      const auto exact = on_diagonal(f, A.d, b);
      FunmOptions longer = known;
      longer.max_iterations = 8000;
      const auto series = chebyshev<S>(A, b, {f}, longer);
      const bool fine = series.out.status == Status::converged ||
                        (series.out.status == Status::precision_limit && kEps<T> > 1e-10);
      CHECK(fine);
      CHECK(series.out.bound);
      check_claim(series, 0, exact);
      const bool fractions = f.kind != Function::exp && f.kind != Function::phi &&
                             f.kind != Function::sign && !(f.kind == Function::power && f.p > 1.0);
      if (fractions) {
        const auto poles = rational<S>(A, b, f, known);
        CHECK(poles.out.status == Status::converged);
        CHECK(poles.out.verified);
        check_claim(poles, 0, exact);
      }
      if (!f.singular()) {
        FunmOptions unknown;
        unknown.rtol = rtol;
        unknown.max_iterations = 8000;
        const auto found = chebyshev<S>(A, b, {f}, unknown);
        CHECK_FALSE(found.out.bound);
        check_claim(found, 0, exact);
        CHECK(found.out.products.apply == found.out.iterations + 20);
      }
    }
    SUBCASE("an interval too narrow is noticed") {
      FunmOptions wrong = known;
      wrong.high = 0.7 * *high;
      const auto run = chebyshev<S>(A, b, {function(Function::exp, -100.0)}, wrong);
      CHECK(run.out.status == Status::breakdown);
      CHECK_FALSE(all_finite(run.y));
    }
    SUBCASE("several functions") {
      const std::vector<NamedFunction> f = {function(Function::exp, -1.0),
                                            function(Function::exp, -5.0), phi_function(1, -5.0)};
      const auto run = chebyshev<S>(A, b, f, known);
      for (std::size_t k = 0; k < f.size(); ++k) check_claim(run, k, on_diagonal(f[k], A.d, b));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(funm_variants, SomeSpaces);

TEST_CASE("partial fractions: the error they state") {
  for (const double condition : {1.0, 10.0, 1e4, 1e10}) {
    for (const NamedFunction& f : {function(Function::invsqrt), function(Function::sqrt),
                                   function(Function::log), power(0.5), power(-0.2), power(0.9)}) {
      CAPTURE(condition);
      CAPTURE(static_cast<int>(f.kind));
      CAPTURE(f.p);
      const auto r = partial_fractions(f, 3.0 / condition, 3.0, 1e-8);
      double worst = 0.0;
      for (int i = 0; i <= 1000; ++i) {
        const double x = 3.0 * std::pow(condition, -i / 1000.0);
        const double value = evaluate_real(f, x);
        const double size = f.kind == Function::log ? std::max(std::abs(value), 1e-2) : value;
        worst = std::max(worst, std::abs(r(x) - value) / std::abs(size));
      }
      CHECK(worst <= 2e-8);
      for (const double sigma : r.shifts) CHECK(sigma > 0.0);
    }
  }
}
