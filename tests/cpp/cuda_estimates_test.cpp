// Estimates, functions of operators and nonlinear least squares over CudaSpace: against dense
// algebra and closed forms, and against the same method on the host. On the backend that
// RITZ_CUDA_LIBRARY names.
#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "places.hpp"
#include "ritz/dense/functions.hpp"
#include "ritz/eigen/frobenius.hpp"
#include "ritz/eigen/norm2.hpp"
#include "ritz/function/diagonal.hpp"
#include "ritz/function/funm.hpp"
#include "ritz/function/funm_arnoldi.hpp"
#include "ritz/function/funm_chebyshev.hpp"
#include "ritz/function/funm_rational.hpp"
#include "ritz/function/quadrature.hpp"
#include "ritz/function/row_norms.hpp"
#include "ritz/function/spectral_density.hpp"
#include "ritz/function/spectral_sum.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/newton/levenberg_marquardt.hpp"

namespace ritz::testing {
namespace {

using Complex = std::complex<double>;

NamedFunction function(Function kind, double t = 1.0) {
  NamedFunction f;
  f.kind = kind;
  f.t = t;
  return f;
}

Integrand integrand(Function kind) {
  Integrand f;
  f.named.kind = kind;
  return f;
}

template <Field T>
Dense<T> transposed(const Dense<T>& A) {
  Dense<T> B(A.n, A.m);
  for (Index i = 0; i < A.m; ++i) {
    for (Index j = 0; j < A.n; ++j) B(j, i) = A(i, j);
  }
  return B;
}

// ---- norms ----

TEST_CASE("norm2: the bracket holds the norm") {
  using T = double;
  const auto tall = with_values<T>(60, geometric(40, 10.0), false, 3);
  for (const auto& A : {tall, transposed(tall)}) {
    for (const Index steps : {Index{3}, Index{200}}) {
      CAPTURE(steps);
      Norm2Options opt;
      opt.max_basis = steps;
      opt.rtol = steps == 200 ? 0.01 : 0.0;
      const auto [came, host] = on_both<T>([&](auto& place) {
        SvdsWorkspace<SpaceOf<decltype(place)>> ws;
        const auto counted = faulty<T>(A), poisoned = faulty<T>(A, 4);
        const auto &op = place.on(counted), &bad = place.on(poisoned);
        const auto out = again([&] {
          counted.applied = counted.adjoint = 0;
          return norm2(place.space, OperatorRef<T>(op), ws, opt);
        });
        CHECK(out.products.apply == counted.applied);
        CHECK(out.products.adjoint == counted.adjoint);
        CHECK(norm2(place.space, OperatorRef<T>(bad), ws, opt).status == Status::nonfinite);
        return out;
      });
      CHECK(came.status == (steps == 200 ? Status::converged : Status::max_iterations));
      CHECK(came.lower <= 1.0);
      CHECK(came.upper >= 1.0);
      CHECK(came.iterations == host.iterations);
      CHECK(came.value == doctest::Approx(host.value).epsilon(1e-12));
      CHECK(came.upper == doctest::Approx(host.upper).epsilon(1e-10));
    }
  }
}

TEST_CASE("frobenius_norm") {
  using T = double;
  const auto A = random_dense<T>(30, 60, 3);
  for (const Index samples : {Index{20}, Index{60}}) {
    FrobeniusOptions opt;
    opt.samples = samples;
    const auto [came, host] = on_both<T>([&](auto& place) {
      const auto poisoned = faulty<T>(A, 4);
      const auto &op = place.on(A), &bad = place.on(poisoned);
      CHECK(frobenius_norm(place.space, OperatorRef<T>(bad), opt).status == Status::nonfinite);
      return frobenius_norm(place.space, OperatorRef<T>(op), opt);
    });
    CHECK(came.status == Status::converged);
    CHECK(came.products.total() == samples);
    CHECK(came.value == doctest::Approx(host.value).epsilon(1e-12));
    CHECK(came.stderr_ == doctest::Approx(host.stderr_).epsilon(1e-10));
    CHECK(std::abs(came.value - A.frobenius()) <= 4.0 * came.stderr_ + 1e-12 * A.frobenius());
  }
}

// ---- quadratic forms, densities, sums over the spectrum ----

TEST_CASE_TEMPLATE("quadratic and bilinear forms", T, double, Complex) {
  using W = WideOf<T>;
  const Index n = 90;
  const auto spectrum = geometric(n, 40.0);
  const auto D = diagonal_matrix<T>(spectrum);
  const auto u = gaussian<T>(n, 8), v = gaussian<T>(n, 9);
  auto negative = spectrum;
  negative[3] = -1.0;
  const auto indefinite = diagonal_matrix<T>(negative);
  const Integrand f = integrand(Function::log);
  W exact{}, exact_form{};
  for (std::size_t i = 0; i < u.size(); ++i) {
    exact += conjugate(u[i]) * std::log(spectrum[i]) * v[i];
    exact_form += conjugate(u[i]) * std::log(spectrum[i]) * u[i];
  }
  QuadratureOptions opt;
  opt.low = 1.0 / 40.1;
  opt.high = 1.001;
  opt.rtol = 1e-9;
  for (const bool keep_basis : {true, false}) {
    CAPTURE(keep_basis);
    opt.keep_basis = keep_basis;
    const auto [came, host] = on_both<T>([&](auto& place) {
      QuadratureWorkspace<SpaceOf<decltype(place)>> ws;
      const auto U = place.vector(u), V = place.vector(v);
      const VectorView<const T> left = U.view(), right = V.view();
      const auto counted = faulty<T>(D), poisoned = faulty<T>(D, 4);
      const auto &op = place.on(counted), &bad = place.on(poisoned), &broken = place.on(indefinite);
      const auto both = again([&] {
        counted.applied = 0;
        return bilinear_form(place.space, OperatorRef<T>(op), left, right, f, ws, opt);
      });
      CHECK(both.products.total() == counted.applied);
      const auto one =
          again([&] { return quadratic_form(place.space, OperatorRef<T>(op), left, f, ws, opt); });
      CHECK(quadratic_form(place.space, OperatorRef<T>(bad), left, f, ws, opt).status ==
            Status::nonfinite);
      auto open = opt;
      open.low = -INFINITY;
      CHECK(quadratic_form(place.space, OperatorRef<T>(broken), left, f, ws, open).status ==
            Status::negative_curvature);
      return std::pair{both, one};
    });
    const auto check = [](const auto& out, const auto& other, W truth) {
      CHECK(out.status == Status::converged);
      CHECK(out.rigorous);
      CHECK(std::real(out.lower) <= std::real(truth));
      CHECK(std::real(truth) <= std::real(out.upper));
      CHECK(std::abs(out.value - truth) <= 2e-9 * std::abs(truth));
      CHECK(out.iterations == other.iterations);
      CHECK(out.products.total() == other.products.total());
    };
    check(came.first, host.first, exact);
    check(came.second, host.second, exact_form);
  }
}

TEST_CASE("spectral_measures and chebyshev_moments") {
  using T = double;
  const std::vector<std::pair<double, int>> known = {{1.0, 140}, {2.0, 40}, {5.0, 16}, {10.0, 4}};
  std::vector<double> spectrum;
  for (const auto& [value, m] : known) spectrum.insert(spectrum.end(), at(m), value);
  const auto D = diagonal_matrix<T>(spectrum);
  struct Came {
    DensityOutcome out, moments_out;
    std::vector<Jacobi> measures;
    std::vector<double> moments;
  };
  for (const bool keep_basis : {true, false}) {
    CAPTURE(keep_basis);
    const auto [came, host] = on_both<T>([&](auto& place) {
      using S = SpaceOf<decltype(place)>;
      MeasuresWorkspace<S> ws;
      MomentsWorkspace<S> moments_ws;
      const auto poisoned = faulty<T>(D, 4);
      const auto &op = place.on(D), &bad = place.on(poisoned);
      DensityOptions opt;
      opt.steps = 12;
      opt.signs = true;  // of a diagonal operator: no sampling error
      opt.keep_basis = keep_basis;
      Came result;
      result.out = again([&] {
        return spectral_measures(place.space, OperatorRef<T>(op), result.measures, ws, opt);
      });
      result.moments_out = again([&] {
        return chebyshev_moments(place.space, OperatorRef<T>(op), 0.0, 11.0, result.moments,
                                 moments_ws, opt);
      });
      std::vector<Jacobi> none;
      std::vector<double> nothing;
      CHECK(spectral_measures(place.space, OperatorRef<T>(bad), none, ws, opt).status ==
            Status::nonfinite);
      CHECK(chebyshev_moments(place.space, OperatorRef<T>(op), 0.0, 6.0, nothing, moments_ws, opt)
                .status == Status::breakdown);
      return result;
    });
    CHECK(came.out.status == Status::converged);
    CHECK(came.moments_out.status == Status::converged);
    CHECK(came.out.products.total() == host.out.products.total());
    CHECK(came.moments_out.products.total() == 16 * 12);
    REQUIRE(came.measures.size() == 16);
    for (const Jacobi& J : came.measures) {
      CHECK(J.exact);
      REQUIRE(J.size() == 4);
      QuadratureRule rule;
      REQUIRE(rule.set(J.diagonal, J.off));
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(rule.nodes[i] == doctest::Approx(known[i].first).epsilon(1e-12));
        CHECK(200.0 * rule.weights[i] == doctest::Approx(known[i].second).epsilon(1e-11));
      }
    }
    REQUIRE(came.moments.size() == 16 * 25);
    for (std::size_t m = 0; m < came.moments.size(); ++m) {
      double exact = 0.0;
      for (const double x : spectrum) {
        exact += std::cos(static_cast<double>(m % 25) * std::acos((2.0 * x - 11.0) / 11.0)) / 200.0;
      }
      CHECK(came.moments[m] == doctest::Approx(exact).epsilon(1e-11));
    }
  }
}

TEST_CASE("spectral_sum") {
  using T = double;
  const Index n = 60;
  const auto spectrum = geometric(n, 20.0);
  const auto H = hermitian<T>(spectrum, 3);
  const auto A = with_values<T>(80, spectrum, false, 4);
  auto negative = spectrum;
  negative[3] = -1.0;
  const auto indefinite = hermitian<T>(negative, 3);
  double logdet = 0.0, nuclear = 0.0;
  for (const double x : spectrum) {
    logdet += std::log(x);
    nuclear += x;
  }
  const Integrand f = integrand(Function::log);
  for (const bool singular : {false, true}) {
    for (const bool keep_basis : {true, false}) {
      for (const bool exact : {false, true}) {
        if (exact && !keep_basis) continue;
        CAPTURE(singular);
        CAPTURE(keep_basis);
        CAPTURE(exact);
        SpectralSumOptions opt;
        opt.power = singular ? 1.0 : 0.0;
        opt.keep_basis = keep_basis;
        opt.exact = exact;
        opt.probes = 12;
        opt.block = 5;
        const auto [came, host] = on_both<T>([&](auto& place) {
          SpectralSumWorkspace<SpaceOf<decltype(place)>> ws;
          const auto counted = faulty<T>(singular ? A : H), poisoned = faulty<T>(H, 8);
          const auto &op = place.on(counted), &bad = place.on(poisoned),
                     &broken = place.on(indefinite);
          const auto run = [&] {
            counted.applied = counted.adjoint = 0;
            return spectral_sum(place.space, OperatorRef<T>(op), f, ws, opt);
          };
          const auto out = exact ? run() : again(run);  // without a workspace
          CHECK(out.products.total() == counted.applied + counted.adjoint);
          CHECK(spectral_sum(place.space, OperatorRef<T>(bad), f, ws, opt).status ==
                Status::nonfinite);
          if (!singular) {
            CHECK(spectral_sum(place.space, OperatorRef<T>(broken), f, ws, opt).status ==
                  Status::negative_curvature);
          }
          return out;
        });
        CHECK(came.status == Status::converged);
        CHECK(came.value == doctest::Approx(host.value).epsilon(1e-9));
        CHECK(came.stderr_ == doctest::Approx(host.stderr_).epsilon(1e-6));
        CHECK(came.samples == host.samples);
        CHECK(came.products.total() == host.products.total());
        const double truth = singular ? nuclear : logdet;
        CHECK(std::abs(came.value - truth) <=
              5.0 * came.stderr_ + came.quadrature_error + 1e-11 * std::abs(truth));
      }
    }
  }
}

TEST_CASE("trace and its workspace") {
  using T = double;
  const auto H = hermitian<T>(geometric(60, 1e4), 22);
  double exact = 0.0;
  for (Index i = 0; i < 60; ++i) exact += H(i, i);
  for (const TraceMethod method : {TraceMethod::hutchinson, TraceMethod::hutchpp,
                                   TraceMethod::xtrace, TraceMethod::xnystrace}) {
    CAPTURE(static_cast<int>(method));
    TraceOptions opt;
    opt.method = method;
    opt.rtol = 1e-2;
    opt.samples = 48;
    opt.block = 8;
    const auto [came, host] = on_both<T>([&](auto& place) {
      TraceWorkspace<SpaceOf<decltype(place)>> ws;
      const auto counted = faulty<T>(H), poisoned = faulty<T>(H, 5);
      const auto &op = place.on(counted), &bad = place.on(poisoned);
      const auto out = again([&] {
        counted.applied = counted.adjoint = 0;
        return trace(place.space, OperatorRef<T>(op), ws, opt);
      });
      CHECK(out.products.total() == counted.applied + counted.adjoint);
      CHECK(trace(place.space, OperatorRef<T>(bad), ws, opt).status == Status::nonfinite);
      return out;
    });
    CHECK(came.status == host.status);
    CHECK(came.products.total() == host.products.total());
    CHECK(came.value == doctest::Approx(host.value).epsilon(1e-9));
    CHECK(std::abs(came.value - exact) <= 6.0 * came.stderr_ + 1e-10);
  }
}

// ---- diagonals and norms of rows ----

template <Field T>
struct Elements {
  ElementwiseOutcome out;
  std::vector<T> value, variance;
};

TEST_CASE("diagonal: every method") {
  using T = double;
  const Index n = 60;
  const auto H = hermitian<T>(geometric(n, 1e4), 5), low = hermitian<T>({3.0, 2.0, 1.0}, 5);
  Dense<T> low_rank(n, n);  // of rank three
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) low_rank(i, j) = low(i % 3, j % 3);
  }
  for (const ElementwiseMethod method :
       {ElementwiseMethod::hutchinson, ElementwiseMethod::leave_one_out, ElementwiseMethod::nystrom,
        ElementwiseMethod::exact}) {
    for (const Dense<T>* A : {&H, &std::as_const(low_rank)}) {
      CAPTURE(static_cast<int>(method));
      CAPTURE((A == &low_rank));
      ElementwiseOptions opt;
      opt.method = method;
      opt.samples = 30;
      opt.block = 7;
      const auto [came, host] = on_both<T>([&](auto& place) {
        DiagonalWorkspace<SpaceOf<decltype(place)>> ws;
        const auto value = place.vector(std::vector<T>(at(n))),
                   variance = place.vector(std::vector<T>(at(n)));
        const auto run = [&](const auto& matrix) {
          const auto& op = place.on(matrix);
          Elements<T> result;
          result.out =
              diagonal(place.space, OperatorRef<T>(op), value.view(), variance.view(), ws, opt);
          result.value = value.host();
          result.variance = variance.host();
          return result;
        };
        const auto result = counted<T>(run, *A);
        if (method != ElementwiseMethod::exact) {  // whose fifth product is asked for one element
          CHECK(run(faulty<T>(H, 5)).out.status == Status::nonfinite);
        }
        CHECK_THROWS_AS(run(faulty<T>(H, 0, 5)), int);
        if (method == ElementwiseMethod::nystrom) {
          CHECK(run(random_dense<T>(n, n, 2)).out.status == Status::negative_curvature);
        }
        return result;
      });
      CHECK(came.out.status == Status::converged);
      CHECK(came.out.method == method);
      CHECK(came.out.products.total() == host.out.products.total());
      CHECK(distance(came.value, host.value) <= 1e-9 * norm(host.value));
      double error2 = 0.0;
      for (Index i = 0; i < n; ++i) {
        const double error = came.value[at(i)] - (*A)(i, i);
        error2 += error * error;
        CHECK(came.variance[at(i)] >= 0.0);
      }
      CHECK(std::sqrt(error2) <= 10.0 * came.out.residual + 1e-10);
      if (method == ElementwiseMethod::hutchinson) continue;
      if (method == ElementwiseMethod::exact || A == &low_rank) CHECK(std::sqrt(error2) <= 1e-9);
    }
  }
}

TEST_CASE("row_norms2: every method") {
  using T = double;
  const auto tall = with_values<T>(70, geometric(40, 1e4), false, 5);
  for (const auto& A : {tall, transposed(tall)}) {
    for (const ElementwiseMethod method :
         {ElementwiseMethod::hutchinson, ElementwiseMethod::leave_one_out,
          ElementwiseMethod::exact}) {
      CAPTURE(A.m);
      CAPTURE(static_cast<int>(method));
      ElementwiseOptions opt;
      opt.method = method;
      opt.samples = 30;
      opt.block = 7;
      const auto [came, host] = on_both<T>([&](auto& place) {
        RowNormsWorkspace<SpaceOf<decltype(place)>> ws;
        const auto value = place.vector(std::vector<T>(at(A.m))),
                   variance = place.vector(std::vector<T>(at(A.m)));
        const auto run = [&](const auto& matrix) {
          const auto& op = place.on(matrix);
          Elements<T> result;
          result.out =
              row_norms2(place.space, OperatorRef<T>(op), value.view(), variance.view(), ws, opt);
          result.value = value.host();
          result.variance = variance.host();
          return result;
        };
        const auto result = counted<T>(run, A);
        CHECK(run(faulty<T>(A, 5)).out.status == Status::nonfinite);
        return result;
      });
      CHECK(came.out.status == Status::converged);
      CHECK(came.out.method == method);
      CHECK(came.out.products.total() == host.out.products.total());
      CHECK(distance(came.value, host.value) <= 1e-9 * norm(host.value));
      double error2 = 0.0;
      for (Index i = 0; i < A.m; ++i) {
        double exact = 0.0;
        for (Index j = 0; j < A.n; ++j) exact += A(i, j) * A(i, j);
        error2 += std::pow(came.value[at(i)] - exact, 2);
        CHECK(came.variance[at(i)] >= 0.0);
      }
      CHECK(std::sqrt(error2) <= 10.0 * came.out.residual + 1e-12);
    }
  }
}

// ---- functions of operators ----

template <Field T>
struct Functions {
  FunmOutcome out;
  std::vector<FunmAccount> accounts;
  std::vector<T> y;
};

/// Errors within the claims, and the norms that go with them.
template <Field T>
void check_claims(const Functions<T>& came, const std::vector<T>& exact) {
  const std::size_t n = exact.size() / came.accounts.size();
  for (std::size_t k = 0; k < came.accounts.size(); ++k) {
    CAPTURE(k);
    const auto part = [&](const std::vector<T>& all) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(k * n);
      return std::vector<T>(first, first + static_cast<std::ptrdiff_t>(n));
    };
    const double error = distance(part(came.y), part(exact));
    CHECK(error <= (came.out.bound ? 2.0 : 10.0) * came.accounts[k].error);
    CHECK(came.accounts[k].error <= 1e-6 * norm(part(exact)));
    CHECK(came.accounts[k].norm == doctest::Approx(norm(part(exact))).epsilon(1e-5));
  }
}

TEST_CASE("funm, funm_chebyshev and funm_rational: the same values by three ways") {
  using T = double;
  const Index n = 100;
  const auto spectrum = geometric(n, 20.0);
  const auto D = diagonal_matrix<T>(spectrum);
  const auto b = gaussian<T>(n, 21);
  auto power = function(Function::power);
  power.p = -0.7;
  auto resolvent = function(Function::resolvent);
  resolvent.z = -0.5;
  const std::vector<NamedFunction> all{function(Function::sqrt), function(Function::exp, -3.0),
                                       function(Function::log),  power,
                                       function(Function::inv),  resolvent};
  std::vector<T> exact;
  for (const NamedFunction& f : all) {
    for (std::size_t i = 0; i < b.size(); ++i)
      exact.push_back(evaluate_real(f, spectrum[i]) * b[i]);
  }
  FunmOptions opt;
  opt.rtol = 1e-7;
  opt.low = 0.05 * (1.0 - 1e-6);
  opt.high = 1.0 + 1e-6;
  enum class Way { lanczos, two_passes, chebyshev, without_interval };
  for (const Way way : {Way::lanczos, Way::two_passes, Way::chebyshev, Way::without_interval}) {
    CAPTURE(static_cast<int>(way));
    // Those without a singularity need no interval.
    const std::size_t count = way == Way::without_interval ? 2 : all.size();
    const std::span<const NamedFunction> f = std::span(all).first(count);
    const auto [came, host] = on_both<T>([&](auto& place) {
      using S = SpaceOf<decltype(place)>;
      FunmWorkspace<S> lanczos;
      FunmChebyshevWorkspace<S> chebyshev;
      const auto rhs = place.vector(b), Y = place.vector(std::vector<T>(b.size() * count));
      const VectorView<const T> x = rhs.view();
      const auto run = [&](const auto& matrix) {
        const auto& op = place.on(matrix);
        const OperatorRef<T> A(op);
        Functions<T> result;
        result.accounts.resize(count);
        FunmOptions here = opt;
        if (way == Way::two_passes) here.max_basis = 5;
        if (way == Way::without_interval) here.low = -(here.high = INFINITY);
        const auto to = columns_of(Y, n);
        if (way == Way::lanczos || way == Way::two_passes) {
          result.out = funm(place.space, A, x, to, f, lanczos, here, Monitor{}, result.accounts);
        } else {
          result.out = funm_chebyshev(place.space, A, x, to, f, chebyshev, here, RandomKey{},
                                      Monitor{}, result.accounts);
        }
        result.y = Y.host();
        return result;
      };
      const auto result = counted<T>(run, D);
      const auto poisoned = run(faulty<T>(D, 3));
      CHECK(poisoned.out.status == Status::nonfinite);
      CHECK_FALSE(all_finite(poisoned.y));
      return result;
    });
    CHECK(came.out.status == Status::converged);
    CHECK(came.out.iterations == host.out.iterations);
    CHECK(came.out.products.total() == host.out.products.total());
    check_claims(came,
                 {exact.begin(), exact.begin() + static_cast<std::ptrdiff_t>(count * b.size())});
  }

  for (std::size_t k = 0; k < all.size(); ++k) {
    if (all[k].kind == Function::exp) continue;
    CAPTURE(k);
    const auto r = partial_fractions(all[k], opt.low, opt.high, 0.1 * opt.rtol);
    const auto [came, host] = on_both<T>([&](auto& place) {
      FunmRationalWorkspace<SpaceOf<decltype(place)>> ws;
      const auto rhs = place.vector(b), y = place.vector(std::vector<T>(b.size()));
      const auto run = [&](const auto& matrix) {
        const auto& op = place.on(matrix);
        Functions<T> result;
        result.accounts.resize(1);
        result.out = funm_rational(place.space, OperatorRef<T>(op), VectorView<const T>(rhs.view()),
                                   y.view(), r, ws, opt, Monitor{}, result.accounts[0]);
        result.y = y.host();
        return result;
      };
      const auto result = counted<T>(run, D);
      CHECK(run(faulty<T>(D, 3)).out.status == Status::nonfinite);
      return result;
    });
    CHECK(came.out.status == Status::converged);
    CHECK(came.out.iterations == host.out.iterations);
    CHECK(came.out.products.total() == host.out.products.total());
    const auto first = exact.begin() + static_cast<std::ptrdiff_t>(k * b.size());
    check_claims(came, {first, first + static_cast<std::ptrdiff_t>(b.size())});
  }
}

TEST_CASE_TEMPLATE("funm_arnoldi", T, double, Complex) {
  const Index n = 40;
  auto A = random_dense<T>(n, n, 5).scaled(0.1);
  for (Index i = 0; i < n; ++i) A(i, i) += 2.0;
  const auto b = gaussian<T>(n, 11);
  struct Task {
    std::vector<NamedFunction> f;
    Index basis;
  };
  for (const Task& task : {Task{{function(Function::log), function(Function::sqrt)}, 0},
                           Task{{function(Function::exp, -1.0)}, 0},
                           Task{{function(Function::exp, -9.0)}, 12}}) {  // in several steps
    const std::size_t count = task.f.size();
    CAPTURE(task.basis);
    std::vector<T> exact;
    for (const NamedFunction& f : task.f) {
      std::vector<Complex> a(A.a.begin(), A.a.end()), F(a.size());
      REQUIRE(dense::function(f, {a.data(), n, n, n}, {F.data(), n, n, n}));
      for (Index i = 0; i < n; ++i) {
        Complex sum = 0.0;
        for (Index j = 0; j < n; ++j) sum += F[at(i + j * n)] * b[at(j)];
        if constexpr (ComplexField<T>) {
          exact.push_back(sum);
        } else {
          exact.push_back(sum.real());
        }
      }
    }
    FunmOptions opt;
    opt.rtol = 1e-8;
    opt.max_basis = task.basis;
    const auto [came, host] = on_both<T>([&](auto& place) {
      FunmArnoldiWorkspace<SpaceOf<decltype(place)>> ws;
      const auto rhs = place.vector(b), Y = place.vector(std::vector<T>(exact.size()));
      const auto run = [&](const auto& matrix) {
        const auto& op = place.on(matrix);
        Functions<T> result;
        result.accounts.resize(count);
        result.out =
            funm_arnoldi(place.space, OperatorRef<T>(op), VectorView<const T>(rhs.view()),
                         columns_of(Y, n), std::span(task.f), ws, opt, Monitor{}, result.accounts);
        result.y = Y.host();
        return result;
      };
      const auto result = counted<T>(run, A);
      const auto poisoned = run(faulty<T>(A, 3));
      CHECK(poisoned.out.status == Status::nonfinite);
      CHECK_FALSE(all_finite(poisoned.y));
      return result;
    });
    CHECK(came.out.status == Status::converged);
    CHECK(came.out.iterations == host.out.iterations);
    CHECK(came.out.iterations > task.basis);
    check_claims(came, exact);
  }
}

// ---- nonlinear least squares ----

/// f(x) with a dense Jacobian, on the host, for vectors of the place.
template <class P>
struct PlacedModel {
  using T = double;
  P& place;
  Index m, n;
  std::function<std::vector<T>(const std::vector<T>& x)> f;
  std::function<Dense<T>(const std::vector<T>& x)> jacobian;
  Index jvps = 0, vjps = 0, poison_at = 0;
  Dense<T> J{0, 0};

  Index parameters() const { return n; }
  Index outputs() const { return m; }
  bool evaluate(VectorView<const T> x, VectorView<T> z) {
    const auto value = f(place.get(x));
    place.put(value, z);
    return all_finite(value);
  }
  void linearize(VectorView<const T> x) { J = jacobian(place.get(x)); }
  void jvp(VectorView<const T> v, VectorView<T> to) {
    const auto from = place.get(v);
    std::vector<T> y(at(m));
    J.apply(view(from), view(y));
    if (++jvps == poison_at) y[0] = NAN;
    place.put(y, to);
  }
  void vjp(VectorView<const T> u, VectorView<T> to) {
    const auto from = place.get(u);
    std::vector<T> y(at(n));
    ++vjps;
    J.apply_adjoint(view(from), view(y));
    place.put(y, to);
  }
};

/// Σ √(1 + zᵢ²) − 1
template <class P>
struct PlacedLoss {
  using T = double;
  P& place;

  double value(VectorView<const T> z) const {
    double sum = 0.0;
    for (const T x : place.get(z)) sum += std::sqrt(1.0 + x * x) - 1.0;
    return sum;
  }
  void gradient(VectorView<const T> z, VectorView<T> to) const {
    auto x = place.get(z);
    for (T& e : x) e /= std::sqrt(1.0 + e * e);
    place.put(x, to);
  }
  void hessian_product(VectorView<const T> z, VectorView<const T> u, VectorView<T> to) const {
    const auto x = place.get(z);
    auto y = place.get(u);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] *= std::pow(1.0 + x[i] * x[i], -1.5);
    place.put(y, to);
  }
};

struct Minimum {
  LevenbergMarquardtOutcome out;
  std::vector<double> x;
};

/// The model made by `make(place)`, minimised from `start`. A device is looked at after every inner
/// iteration, so that it takes the host's steps.
template <class P, class Make, class Loss>
Minimum minimize(P& place, const Make& make, const std::vector<double>& start,
                 const LevenbergMarquardtOptions& opt, const Loss& loss, Index poison_at = 0,
                 Index check_every = 1) {
  LevenbergMarquardtWorkspace<SpaceOf<P>> ws;
  const auto x = place.vector(start);
  Monitor monitor;
  monitor.check_every = check_every;
  return again([&] {
    auto model = make(place);
    model.poison_at = poison_at;
    place.put(start, x.view());
    const auto out =
        levenberg_marquardt(place.space, model, x.view(), ws, opt, monitor, Loss(loss));
    CHECK(out.products.apply == model.jvps);
    CHECK(out.products.adjoint == model.vjps);
    return Minimum{out, x.host()};
  });
}

TEST_CASE("levenberg_marquardt: linear problems") {
  for (const Index n : {Index{6}, Index{40}}) {  // columns measured exactly; by probes
    const auto A = with_values<double>(60, geometric(n, 3.0), false, 3);
    const auto b = gaussian<double>(60, 4);
    const auto residual = [&](const std::vector<double>& x) {
      std::vector<double> z(at(A.m));
      A.apply(view(x), view(z));
      for (std::size_t i = 0; i < z.size(); ++i) z[i] -= b[i];
      return z;
    };
    const auto make = [&](auto& place) {
      return PlacedModel<std::remove_reference_t<decltype(place)>>{
          place, A.m, n, residual, [&](const std::vector<double>&) { return A; }};
    };
    const std::vector<double> start(at(n), 0.5);
    for (const double l2 : {0.0, 0.3}) {
      CAPTURE(n);
      CAPTURE(l2);
      LevenbergMarquardtOptions opt;
      opt.l2 = l2;
      opt.ftol = opt.xtol = 0.0;
      const auto [came, host] = on_both<double>([&](auto& place) {
        CHECK(minimize(place, make, start, opt, HalfSquaredLoss{}, 12).out.status ==
              Status::nonfinite);
        const auto late = minimize(place, make, start, opt, HalfSquaredLoss{}, 0, 10);
        const auto prompt = minimize(place, make, start, opt, HalfSquaredLoss{});
        CHECK(late.out.status == Status::converged);
        CHECK(late.out.inner_iterations >= prompt.out.inner_iterations - 1);
        CHECK(distance(late.x, prompt.x) <= 1e-6 * norm(prompt.x));
        return prompt;
      });
      CHECK(came.out.status == Status::converged);
      CHECK(came.out.accepted == host.out.accepted);
      CHECK(came.out.inner_iterations == host.out.inner_iterations);
      const auto exact = least_squares_solution(A, b, std::sqrt(l2));
      CHECK(distance(came.x, exact) <= 1e-6 * norm(exact));
      const double r = residual_norm(A, came.x, b), size = norm(came.x);
      CHECK(came.out.cost == doctest::Approx((r * r + l2 * size * size) / 2.0).epsilon(1e-12));
    }
    // And another loss: at the minimum Aᵀ ℓ′(Ax − b) vanishes.
    LevenbergMarquardtOptions opt;
    opt.ftol = opt.xtol = 0.0;
    const auto [came, host] = on_both<double>([&](auto& place) {
      using Loss = PlacedLoss<std::remove_reference_t<decltype(place)>>;
      return minimize(place, make, start, opt, Loss{place});
    });
    CHECK(came.out.status == Status::converged);
    CHECK(came.out.reason == Reason::gradient);
    CHECK(came.out.cost == doctest::Approx(host.out.cost).epsilon(1e-10));
    std::vector<double> z = residual(came.x), g(at(n)), g0(at(n)), z0 = residual(start);
    for (auto* v : {&z, &z0}) {
      for (double& e : *v) e /= std::sqrt(1.0 + e * e);
    }
    A.apply_adjoint(view(std::as_const(z)), view(g));
    A.apply_adjoint(view(std::as_const(z0)), view(g0));
    CHECK(norm(g) <= 1e-6 * norm(g0));
  }
}

TEST_CASE("levenberg_marquardt: a curve to its certified parameters") {
  // NIST StRD, Misra1a: y = b1 (1 − exp(−b2 x)).
  const std::vector<double> xs{77.6,  114.9, 141.1, 190.8, 239.9, 289.0, 332.8,
                               378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0};
  const std::vector<double> ys{10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02,
                               44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78};
  const auto make = [&](auto& place) {
    return PlacedModel<std::remove_reference_t<decltype(place)>>{
        place, 14, 2,
        [&](const std::vector<double>& b) {
          auto z = ys;
          for (std::size_t i = 0; i < z.size(); ++i) {
            z[i] = b[0] * (1.0 - std::exp(-b[1] * xs[i])) - z[i];
          }
          return z;
        },
        [&](const std::vector<double>& b) {
          Dense<double> J(14, 2);
          for (Index i = 0; i < 14; ++i) {
            const double e = std::exp(-b[1] * xs[at(i)]);
            J(i, 0) = 1.0 - e;
            J(i, 1) = b[0] * xs[at(i)] * e;
          }
          return J;
        }};
  };
  const auto [came, host] = on_both<double>(
      [&](auto& place) { return minimize(place, make, {500.0, 1e-4}, {}, HalfSquaredLoss{}); });
  CHECK(came.out.status == Status::converged);
  CHECK(came.out.iterations == host.out.iterations);
  CHECK(came.out.cost == doctest::Approx(1.2455138894e-1 / 2.0).epsilon(1e-8));
  CHECK(came.x[0] == doctest::Approx(2.3894212918e2).epsilon(1e-4));
  CHECK(came.x[1] == doctest::Approx(5.5015643181e-4).epsilon(1e-4));
}

}  // namespace
}  // namespace ritz::testing
