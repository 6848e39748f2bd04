#include "ritz/function/trace.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/function/diagonal.hpp"
#include "ritz/function/row_norms.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class S, class A>
TraceOutcome<typename S::Value> estimate(const A& op, const TraceOptions& opt,
                                         const Monitor& monitor = {}) {
  S space;
  TraceWorkspace<S> ws;
  return trace(space, op, ws, opt, monitor);
}

template <class T>
WideOf<T> exact_trace(const Dense<T>& A) {
  WideOf<T> sum{};
  for (Index i = 0; i < A.n; ++i) sum += static_cast<WideOf<T>>(A(i, i));
  return sum;
}

/// 2 ‖A − diag(A)‖²_F for real symmetric A.
template <class T>
double sample_variance(const Dense<T>& A) {
  double sum = 0.0;
  for (Index j = 0; j < A.n; ++j) {
    for (Index i = 0; i < A.m; ++i) {
      if (i != j) sum += std::norm(static_cast<WideOf<T>>(A(i, j)));
    }
  }
  return 2.0 * sum;
}

TraceOptions options(Index samples, std::uint64_t seed = 0, double rtol = 0.0) {
  TraceOptions opt;
  opt.samples = samples;
  opt.seed.seed = seed;
  opt.rtol = rtol;
  return opt;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("trace: exact with as many samples as rows", S, trace_exact) {
  using T = typename S::Value;
  for (const Index n : {Index{1}, Index{2}, Index{37}}) {
    const auto A = random_dense<T>(n, n, 3);  // not symmetric
    const auto counted = faulty<T>(A);
    const auto out = estimate<S>(counted, options(std::max<Index>(n, 2)));
    CHECK(out.status == Status::converged);
    CHECK(out.verified);
    CHECK(out.stderr_ == 0.0);
    CHECK(std::abs(out.value - exact_trace(A)) <= 1e-12);
    CHECK(out.products.apply == counted.applied);
    CHECK(out.products.apply == n);
  }
  const auto empty = estimate<S>(Dense<T>(0, 0), options(10));
  CHECK(empty.status == Status::converged);
  CHECK(empty.value == WideOf<T>{});
}
TEST_CASE_TEMPLATE_APPLY(trace_exact, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("trace: three standard errors hold the truth", S, trace_coverage) {
  using T = typename S::Value;
  auto mixed = geometric(100, 10.0);
  for (std::size_t i = 0; i < 50; ++i) mixed[i] = -mixed[i];
  auto spiked = std::vector<double>(100, 0.01);
  spiked[7] = 5.0;
  for (const auto& spectrum : {geometric(100, 1e3), mixed, spiked}) {
    const auto A = hermitian<T>(spectrum, 5);
    int held = 0;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      const auto out = estimate<S>(A, options(30, seed));
      held += std::abs(out.value - exact_trace(A)) <= 3.0 * out.stderr_;
      CHECK(out.status == Status::converged);
      CHECK(out.products.apply == 30);
    }
    CHECK(held >= 190);
  }
}
TEST_CASE_TEMPLATE_APPLY(
    trace_coverage,
    std::tuple<HostSpace<float>, HostSpace<double>, HostSpace<std::complex<double>>>);

TEST_CASE("trace: the standard error follows the variance formula, and the mean is unbiased") {
  using S = HostSpace<double>;
  const auto A = hermitian<double>(geometric(60, 100.0), 6);
  const double variance = sample_variance(A);
  double mean_square_error = 0.0, mean_stderr2 = 0.0, bias = 0.0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto out = estimate<S>(A, options(20, seed));
    const double error = out.value - exact_trace(A);
    bias += error / 400.0;
    mean_square_error += error * error / 400.0;
    mean_stderr2 += out.stderr_ * out.stderr_ / 400.0;
  }
  CHECK(mean_square_error == doctest::Approx(variance / 20.0).epsilon(0.2));
  CHECK(mean_stderr2 == doctest::Approx(variance / 20.0).epsilon(0.1));
  CHECK(std::abs(bias) <= 3.0 * std::sqrt(variance / 20.0 / 400.0));
}

TEST_CASE_TEMPLATE_DEFINE("trace: of a diagonal operator without any error", S, trace_diagonal) {
  using T = typename S::Value;
  const auto D = diagonal_matrix<T>(geometric(500, 10.0));
  double sum = 0.0;
  for (const T d : D.d) sum += std::real(static_cast<WideOf<T>>(d));
  const auto out = estimate<S>(D, options(5));
  CHECK(std::abs(out.value - sum) <= 1e-9 * sum);
  CHECK(out.stderr_ <= 1e-9 * sum);
}
TEST_CASE_TEMPLATE_APPLY(trace_diagonal, AllSpaces);

TEST_CASE("trace: a relative tolerance stops the sampling, or is honestly missed") {
  using S = HostSpace<double>;
  const auto A = hermitian<double>(geometric(200, 50.0), 7);
  const auto met = estimate<S>(A, options(199, 0, 0.02));
  CHECK(met.status == Status::converged);
  CHECK(met.iterations < 199);
  CHECK(met.iterations >= 10);
  CHECK(met.stderr_ <= 0.02 * std::abs(met.value));
  CHECK(met.residual == met.stderr_);
  CHECK(met.target == 0.02 * std::abs(met.value));
  const auto missed = estimate<S>(A, options(50, 0, 1e-6));
  CHECK(missed.status == Status::max_iterations);
  CHECK_FALSE(missed.verified);
  CHECK(missed.stderr_ > missed.target);
  CHECK(missed.iterations == 50);
}

TEST_CASE("trace: seeds choose the samples, streams continue them") {
  using S = HostSpace<double>;
  const auto A = hermitian<double>(geometric(100, 50.0), 7);
  const auto first = estimate<S>(A, options(10, 1));
  CHECK(first.value == estimate<S>(A, options(10, 1)).value);
  CHECK(first.value != estimate<S>(A, options(10, 2)).value);
  auto next = options(10, 1);
  next.seed.stream = 10;
  const auto second = estimate<S>(A, next);
  CHECK((first.value + second.value) / 2.0 ==
        doctest::Approx(estimate<S>(A, options(20, 1)).value).epsilon(1e-12));
}

TEST_CASE_TEMPLATE_DEFINE("trace: scaled operators", S, trace_scale) {
  using T = typename S::Value;
  const double s = kEps<T> < 1e-10 ? 0x1p66 : 0x1p27;
  const auto A = hermitian<T>(geometric(64, 50.0), 7);
  const auto plain = estimate<S>(A, options(40, 0, 0.05));
  for (const double factor : {s, 1.0 / s}) {
    const auto out = estimate<S>(A.scaled(factor), options(40, 0, 0.05));
    CHECK(out.status == plain.status);
    CHECK(out.iterations == plain.iterations);
    CHECK(std::abs(out.value / factor - plain.value) <= 1e-12 * std::abs(plain.value));
    CHECK(out.stderr_ / factor == doctest::Approx(plain.stderr_).epsilon(1e-12));
  }
}
TEST_CASE_TEMPLATE_APPLY(trace_scale, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("trace: endings", S, trace_endings) {
  using T = typename S::Value;
  const auto A = random_dense<T>(50, 50, 1);
  S space;
  TraceWorkspace<S> ws;
  for (const Index samples : {20, 50}) {
    for (Index k = 1; k <= 5; ++k) {
      const auto out = trace(space, faulty<T>(A, k), ws, options(samples));
      CHECK(out.status == Status::nonfinite);
      CHECK(out.iterations == k);
      CHECK_FALSE(out.verified);
      CHECK_THROWS_AS(trace(space, faulty<T>(A, 0, k), ws, options(samples)), int);
    }
    const auto observer = [](const Iteration& now) { return now.iteration == 7; };
    Monitor monitor;
    monitor.observer = observer;
    const auto out = trace(space, A, ws, options(samples), monitor);
    CHECK(out.status == Status::stopped);
    CHECK(out.iterations == 7);
    CHECK(out.products.apply == 7);
    if (samples == 50) CHECK(out.stderr_ == INFINITY);  // a part of the diagonal says nothing
    // The workspace is as good as new.
    CHECK(trace(space, A, ws, options(samples)).value == estimate<S>(A, options(samples)).value);
    CHECK(allocations_in([&] { trace(space, A, ws, options(samples)); }) == 0);
  }
  CHECK_THROWS_AS(estimate<S>(random_dense<T>(4, 5, 1), options(10)), InvalidArgument);
  CHECK_THROWS_AS(estimate<S>(A, options(1)), InvalidArgument);
  CHECK_THROWS_AS(estimate<S>(A, options(10, 0, -1.0)), InvalidArgument);
  CHECK_THROWS_AS(estimate<S>(A, options(10, 0, std::nan(""))), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(trace_endings, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("trace: the same bits for any number of threads", S, trace_threads) {
  using T = typename S::Value;
  const Laplacian<T> A{200'003, 1};
  const Index before = threads::num_threads();
  threads::set_num_threads(1);
  const auto one = estimate<S>(A, options(4));
  for (const Index count : {Index{2}, Index{7}}) {
    threads::set_num_threads(count);
    CHECK(estimate<S>(A, options(4)).value == one.value);
  }
  threads::set_num_threads(before);
}
TEST_CASE_TEMPLATE_APPLY(trace_threads, HostSpaces);

// ---- methods that take a low-rank part out of the variance ----

namespace {

template <class W>
using Columns = std::vector<std::vector<W>>;

/// A dense matrix in double, as naive as can be.
template <class T>
struct Naive {
  using W = WideOf<T>;

  explicit Naive(const Dense<T>& A) : m(A.m), n(A.n) {
    for (const T& x : A.a) a.push_back(static_cast<W>(x));
  }
  std::vector<W> times(const std::vector<W>& x) const {
    std::vector<W> y(at(m));
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) y[at(i)] += a[at(i + j * m)] * x[at(j)];
    }
    return y;
  }
  std::vector<W> adjoint_times(const std::vector<W>& x) const {
    std::vector<W> y(at(n));
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < m; ++i) y[at(j)] += conjugate(a[at(i + j * m)]) * x[at(i)];
    }
    return y;
  }
  Index m, n;
  std::vector<W> a;
};

template <class W>
W dot(const std::vector<W>& x, const std::vector<W>& y) {
  return inner<W>(x, y);
}
template <class W>
std::vector<W> combined(std::vector<W> x, W c, const std::vector<W>& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += c * y[i];
  return x;
}
template <class W>
Columns<W> without(const Columns<W>& X, std::size_t i) {
  Columns<W> rest = X;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
  return rest;
}
/// x without its part in the span of orthonormal columns, twice.
template <class W>
std::vector<W> off(const Columns<W>& Q, std::vector<W> x) {
  for (int pass = 0; pass < 2; ++pass) {
    for (const auto& q : Q) x = combined<W>(x, -dot(q, x), q);
  }
  return x;
}
template <class W>
Columns<W> basis(const Columns<W>& Y) {
  Columns<W> Q;
  for (const auto& y : Y) {
    auto q = off(Q, y);
    const double length = std::sqrt(std::real(dot(q, q)));
    for (W& x : q) x /= length;
    Q.push_back(q);
  }
  return Q;
}
template <class S>
auto probes(S& space, Probe kind, RandomKey seed, Index n, Index k) {
  using T = typename S::Value;
  Columns<WideOf<T>> Omega;
  for (Index i = 0; i < k; ++i) {
    std::vector<T> x(at(n));
    fill_probe(space, kind, seed, ProbeStream::range, i, view(x));
    Omega.emplace_back(x.begin(), x.end());
  }
  return Omega;
}
template <class T>
Columns<WideOf<T>> products(const Naive<T>& A, const Columns<WideOf<T>>& X) {
  Columns<WideOf<T>> Y;
  for (const auto& x : X) Y.push_back(A.times(x));
  return Y;
}
/// (Ωᴴ A Ω)⁻¹ Ωᴴ A x, so that A Ω times it is the Nyström approximation of A times x.
template <class T>
std::vector<WideOf<T>> nystrom_times(const Naive<T>& A, const Columns<WideOf<T>>& Omega,
                                     const std::vector<WideOf<T>>& x) {
  using W = WideOf<T>;
  using L = Long<W>;
  const auto Y = products(A, Omega);
  const std::size_t k = Omega.size();
  std::vector<L> M(k * k), b(k);
  const auto Ax = A.times(x);
  for (std::size_t j = 0; j < k; ++j) {
    for (std::size_t i = 0; i < k; ++i) M[i + j * k] = lengthen(dot(Omega[i], Y[j]));
    b[j] = lengthen(dot(Omega[j], Ax));
  }
  const auto c = eliminate(M, b);
  std::vector<W> y(x.size());
  for (std::size_t j = 0; j < k; ++j) y = combined<W>(y, static_cast<W>(c[j]), Y[j]);
  return y;
}
template <class W>
std::vector<W> unit(Index n, Index i) {
  std::vector<W> e(at(n));
  e[at(i)] = 1.0;
  return e;
}

template <class T>
auto times_of(const Dense<T>& A) {
  return [&A](BlockView<T> X, BlockView<T> Y) { apply_columns(A, BlockView<const T>(X), Y); };
}
/// What a growing estimator of vectors asks its products of.
template <class T>
struct Products {
  const Dense<T>& A;
  void apply(BlockView<T> X, BlockView<T> Y) { apply_columns(A, BlockView<const T>(X), Y); }
  void apply_adjoint(BlockView<T> X, BlockView<T> Y) {
    apply_adjoint_columns(A, BlockView<const T>(X), Y);
  }
};

constexpr Index kProbes = 7;
constexpr RandomKey kKey{3, 5};

template <class W>
void check_mean(const std::vector<W>& t, const Estimation<W>& e) {
  const Estimation<W> expected = mean_of<W>(t);
  CHECK(std::abs(e.value - expected.value) <= 1e-12 * std::abs(expected.value));
  CHECK(e.sem >= expected.sem);
}
/// Means and variances by element of vectors, one for each left-out probe.
template <class W, class T>
void check_means(const Columns<W>& each, const std::vector<T>& value,
                 const std::vector<T>& variance, double factor) {
  double largest = 0.0;
  for (const T& x : value) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < value.size(); ++i) {
    std::vector<W> t;
    for (const auto& e : each) t.push_back(e[i]);
    const Estimation<W> expected = mean_of<W>(t);
    CHECK(std::abs(value[i] - expected.value) <= 1e-11 * largest);
    CHECK(std::abs(variance[i] - std::pow(factor * expected.sem, 2)) <= 1e-11 * largest * largest);
  }
}
/// Runs a growing estimator of vectors to kProbes in two stages, and checks its means.
template <class S, class Method>
void check_growing(S&, Method& method, const Dense<typename S::Value>& A,
                   const Columns<WideOf<typename S::Value>>& each, double understated) {
  Products<typename S::Value> run{A};
  method.prepare(4);
  method.extend(4, run);
  std::vector<typename S::Value> value(at(A.m)), variance(at(A.m));
  method.estimate(view(value), view(variance));  // that changes nothing of what comes
  method.extend(kProbes, run);
  method.estimate(view(value), view(variance));
  check_means(each, value, variance, understated * small_sample_factor(kProbes));
}

TraceOptions by(TraceMethod method, Index samples, std::uint64_t seed = 0, double rtol = 0.0) {
  TraceOptions opt = options(samples, seed, rtol);
  opt.method = method;
  opt.positive = method == TraceMethod::xnystrace;
  opt.block = 8;
  return opt;
}
const TraceMethod kGrowing[] = {TraceMethod::hutchpp, TraceMethod::xtrace, TraceMethod::xnystrace};

std::vector<double> spectrum(Index n, double (*f)(double)) {
  std::vector<double> values;
  for (Index j = 1; j <= n; ++j) values.push_back(f(static_cast<double>(j)));
  return values;
}
double fast(double j) { return std::pow(0.7, j); }
double slow(double j) { return std::pow(0.9, j); }
double power(double j) { return 1.0 / (j * j); }
double mild(double j) { return std::pow(j, -1.5); }
double flat(double j) { return 1.0 + j / 200.0; }
double total(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double x : values) sum += x;
  return sum;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("xtrace: is its definition, probe by probe", S, xtrace_definition) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const Index n = 23, k = kProbes;
  const auto A = random_dense<T>(n, n, 8);  // not symmetric
  const Naive<T> naive(A);
  S space;
  const auto Omega = probes(space, Probe::normals, kKey, n, k);
  const auto Y = products(naive, Omega);
  std::vector<W> t;
  for (std::size_t i = 0; i < Omega.size(); ++i) {
    const auto Q = basis(without(Y, i));
    const auto rest = off(Q, Omega[i]);
    W value =
        static_cast<double>(n - k + 1) / std::real(dot(rest, rest)) * dot(rest, naive.times(rest));
    for (const auto& q : Q) value += dot(q, naive.times(q));
    t.push_back(value);
  }
  XTraceWorkspace<S> ws;
  ws.prepare(space, n, 2);
  XTrace<S> method(space, n, kKey, ws);
  method.extend(4, times_of(A));
  method.estimate();
  method.extend(k, times_of(A));
  const auto e = method.estimate();
  check_mean(t, e);
  CHECK(e.sem == doctest::Approx(1.3 * 1.5 * mean_of<W>(t).sem).epsilon(1e-9));
}
TEST_CASE_TEMPLATE_INVOKE(xtrace_definition, ReferenceSpace<double>, HostSpace<double>,
                          HostSpace<std::complex<double>>);

TEST_CASE_TEMPLATE_DEFINE("xnystrace: is its definition, probe by probe", S, xnys_definition) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const Index n = 23, k = kProbes;
  const auto A = hermitian<T>(geometric(n, 20.0), 8);
  const Naive<T> naive(A);
  S space;
  const auto Omega = probes(space, Probe::normals, kKey, n, k);
  std::vector<W> t;
  for (std::size_t i = 0; i < Omega.size(); ++i) {
    const auto others = without(Omega, i);
    const auto rest = off(basis(others), Omega[i]);
    const double alpha = static_cast<double>(n - k + 1) / std::real(dot(rest, rest));
    W value = alpha * (dot(Omega[i], naive.times(Omega[i])) -
                       dot(Omega[i], nystrom_times(naive, others, Omega[i])));
    for (Index j = 0; j < n; ++j) value += nystrom_times(naive, others, unit<W>(n, j))[at(j)];
    t.push_back(value);
  }
  NystromWorkspace<S> ws;
  ws.prepare(space, n, 2);
  XNysTrace<S> method(space, n, kKey, ws);
  method.extend(4, times_of(A));
  method.estimate();
  method.extend(k, times_of(A));
  check_mean(t, method.estimate());
}
TEST_CASE_TEMPLATE_INVOKE(xnys_definition, ReferenceSpace<double>, HostSpace<double>,
                          HostSpace<std::complex<double>>);

TEST_CASE_TEMPLATE_DEFINE("hutchpp: is its definition", S, hutchpp_definition) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const Index n = 23, k = kProbes;
  const auto A = random_dense<T>(n, n, 8);
  const Naive<T> naive(A);
  S space;
  const auto Q = basis(products(naive, probes(space, Probe::normals, kKey, n, k)));
  W trace_Q{};
  for (const auto& q : Q) trace_Q += dot(q, naive.times(q));
  std::vector<W> t;
  for (Index i = 0; i < k; ++i) {
    std::vector<T> g(at(n));
    fill_probe(space, Probe::normals, kKey, ProbeStream::residual, i, view(g));
    const auto rest = off(Q, std::vector<W>(g.begin(), g.end()));
    t.push_back(trace_Q + static_cast<double>(n - k) / std::real(dot(rest, rest)) *
                              dot(rest, naive.times(rest)));
  }
  HutchPPWorkspace<S> ws;
  ws.prepare(space, n, 2);
  HutchPP<S> method(space, n, kKey, ws);
  method.extend(4, times_of(A));
  method.extend(k, times_of(A));
  check_mean(t, method.estimate());
}
TEST_CASE_TEMPLATE_INVOKE(hutchpp_definition, HostSpace<double>, HostSpace<std::complex<double>>);

TEST_CASE_TEMPLATE_DEFINE("xdiag, xnysdiag: are their definitions", S, xdiag_definition) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const Index n = 23;
  S space;
  const auto Omega = probes(space, Probe::signs, kKey, n, kProbes);
  const auto general = random_dense<T>(n, n, 8), positive = hermitian<T>(geometric(n, 20.0), 8);
  Columns<W> each, each_nystrom;
  for (std::size_t i = 0; i < Omega.size(); ++i) {
    const Naive<T> naive(general), semidefinite(positive);
    const auto Q = basis(without(products(naive, Omega), i));
    const auto others = without(Omega, i);
    auto e = off(Q, naive.times(Omega[i]));
    auto f = combined<W>(semidefinite.times(Omega[i]), -1.0,
                         nystrom_times(semidefinite, others, Omega[i]));
    for (Index j = 0; j < n; ++j) {
      const auto column = naive.times(unit<W>(n, j));
      e[at(j)] = Omega[i][at(j)] * e[at(j)] + column[at(j)] - off(Q, column)[at(j)];
      f[at(j)] =
          Omega[i][at(j)] * f[at(j)] + nystrom_times(semidefinite, others, unit<W>(n, j))[at(j)];
    }
    each.push_back(e);
    each_nystrom.push_back(f);
  }
  XDiagWorkspace<S> ws;
  XDiag<S> method(space, n, kKey, ws);
  check_growing(space, method, general, each, 1.25);
  XNysDiagWorkspace<S> nystrom_ws;
  XNysDiag<S> nystrom(space, n, kKey, nystrom_ws);
  check_growing(space, nystrom, positive, each_nystrom, 1.5);
}
TEST_CASE_TEMPLATE_INVOKE(xdiag_definition, ReferenceSpace<double>, HostSpace<double>,
                          HostSpace<std::complex<double>>);

TEST_CASE_TEMPLATE_DEFINE("xrownorm: is its definition, probe by probe", S, xrownorm_definition) {
  using T = typename S::Value;
  using W = WideOf<T>;
  for (const auto& [m, n] : {std::pair<Index, Index>{31, 23}, {17, 23}}) {
    const auto A = random_dense<T>(m, n, 8);
    const Naive<T> naive(A);
    S space;
    const auto Omega = probes(space, Probe::signs, kKey, n, kProbes);
    Columns<W> Y, each;
    for (const auto& y : products(naive, Omega)) Y.push_back(naive.adjoint_times(y));
    for (std::size_t i = 0; i < Omega.size(); ++i) {
      const auto V = basis(without(Y, i));
      auto e = naive.times(off(V, Omega[i]));
      for (W& x : e) x = std::norm(x);
      for (const auto& v : V) {
        const auto b = naive.times(v);
        for (std::size_t j = 0; j < e.size(); ++j) e[j] += std::norm(b[j]);
      }
      each.push_back(e);
    }
    XRowNormWorkspace<S> ws;
    XRowNorm<S> method(space, m, n, kKey, ws);
    check_growing(space, method, A, each, 1.25);
  }
}
TEST_CASE_TEMPLATE_INVOKE(xrownorm_definition, ReferenceSpace<double>, HostSpace<double>,
                          HostSpace<std::complex<double>>);

TEST_CASE("trace: the published accuracy at 60 products") {
  // The mean relative errors of 20 runs; normal probes do not see the basis, so A is diagonal here.
  using S = HostSpace<double>;
  const Index n = 400;
  const auto error = [&](TraceMethod method, double (*f)(double)) {
    const auto values = spectrum(n, f);
    const auto A = diagonal_matrix<double>(values);
    double sum = 0.0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto out = estimate<S>(A, by(method, 60, seed));
      CHECK(out.products.total() == 60);
      CHECK(out.method == method);
      sum += std::abs(out.value / total(values) - 1.0) / 20.0;
    }
    return sum;
  };
  CHECK(error(TraceMethod::hutchpp, fast) < 3e-4);
  CHECK(error(TraceMethod::xtrace, fast) < 1.2e-5);
  CHECK(error(TraceMethod::xnystrace, fast) < 1.2e-8);
  CHECK(error(TraceMethod::hutchpp, slow) < 2e-2);
  CHECK(error(TraceMethod::xtrace, slow) < 9e-3);
  CHECK(error(TraceMethod::xnystrace, slow) < 3e-3);
  CHECK(error(TraceMethod::hutchpp, power) < 3e-3);
  CHECK(error(TraceMethod::xtrace, power) < 1.5e-3);
  CHECK(error(TraceMethod::xnystrace, power) < 1.2e-3);
}

TEST_CASE_TEMPLATE_DEFINE("trace: three standard errors of every method hold the truth", S,
                          methods_coverage) {
  using T = typename S::Value;
  constexpr double kRounding = 4.0 * kEps<T>;
  for (const auto f : {fast, slow, power, flat}) {
    const auto values = spectrum(300, f);
    const auto A = diagonal_matrix<T>(values);
    for (const TraceMethod method : kGrowing) {
      for (const Index samples : {Index{30}, Index{60}}) {
        int held = 0;
        for (std::uint64_t seed = 0; seed < 200; ++seed) {
          const auto out = estimate<S>(A, by(method, samples, seed));
          held +=
              std::abs(out.value - total(values)) <= 3.0 * out.stderr_ + kRounding * total(values);
        }
        CAPTURE(static_cast<int>(method));
        CAPTURE(samples);
        CHECK(held >= 190);
      }
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(methods_coverage, HostSpace<float>, HostSpace<double>);

TEST_CASE("trace: the method follows what a low-rank part gains") {
  using S = HostSpace<double>;
  const Index n = 150;
  const auto estimated = [&](double (*f)(double), bool positive, double rtol) {
    TraceOptions opt = by(TraceMethod::automatic, rtol > 0.0 ? 3 * n : 60, 0, rtol);
    opt.positive = positive;
    return estimate<S>(hermitian<double>(spectrum(n, f), 4), opt);
  };
  for (const auto f : {fast, slow, power}) {
    for (const double rtol : {0.0, 0.01}) {
      CHECK(estimated(f, false, rtol).method == TraceMethod::xtrace);
      CHECK(estimated(f, true, rtol).method == TraceMethod::xnystrace);
    }
  }
  for (const bool positive : {false, true}) {
    const auto out = estimated(flat, positive, 0.0);
    CHECK(out.method == TraceMethod::hutchinson);
    CHECK(out.products.total() == 60);
  }
  // What no estimate will reach before all columns have been seen is summed.
  const auto exact = estimated(flat, false, 1e-9);
  CHECK(exact.method == TraceMethod::exact);
  CHECK(exact.status == Status::converged);
  CHECK(exact.stderr_ == 0.0);
  CHECK(exact.products.total() <= 3 * n / 2);
  // One per cent on power laws: at most half of Hutchinson's products.
  for (const auto f : {power, mild}) {
    const auto A = hermitian<double>(spectrum(n, f), 4);
    double sample = std::sqrt(sample_variance(A)) / std::real(exact_trace(A));
    const auto out = estimate<S>(A, by(TraceMethod::automatic, 3 * n, 0, 0.01));
    CHECK(out.status == Status::converged);
    CHECK(static_cast<double>(out.products.total()) <= 0.5 * std::pow(sample / 0.01, 2));
    CHECK(std::abs(out.value / exact_trace(A) - 1.0) <= 0.03);
  }
}

TEST_CASE_TEMPLATE_DEFINE("trace, diagonal: exact at low rank, and for zero", S, low_rank) {
  using T = typename S::Value;
  const Index n = 60;
  for (const Index rank : {Index{0}, Index{1}, Index{5}}) {
    std::vector<double> values(at(n), 0.0);
    for (Index i = 0; i < rank; ++i) values[at(i)] = 1.0 + static_cast<double>(i);
    const auto A = hermitian<T>(values, 9);
    const double size = std::max(total(values), 1e-30);
    for (const double scale : {1.0, kEps<T> < 1e-10 ? 1e25 : 1e8, kEps<T> < 1e-10 ? 1e-25 : 1e-8}) {
      const auto B = A.scaled(scale);
      for (const TraceMethod method : kGrowing) {
        const auto out = estimate<S>(B, by(method, 48));
        CAPTURE(static_cast<int>(method));
        CAPTURE(rank);
        CAPTURE(scale);
        CHECK(out.status == Status::converged);
        CHECK(std::abs(out.value / scale - total(values)) <= 300.0 * kEps<T> * size);
        CHECK(out.stderr_ / scale <= 300.0 * kEps<T> * size);
      }
      for (const auto method : {ElementwiseMethod::leave_one_out, ElementwiseMethod::nystrom}) {
        S space;
        DiagonalWorkspace<S> ws;
        ElementwiseOptions opt;
        opt.method = method;
        opt.samples = 40;
        std::vector<T> value(at(n)), variance(at(n));
        const auto out = diagonal(space, B, view(value), view(variance), ws, opt);
        CHECK(out.status == Status::converged);
        for (Index i = 0; i < n; ++i) {
          const auto apart = static_cast<WideOf<T>>(value[at(i)]) - static_cast<WideOf<T>>(B(i, i));
          CHECK(std::abs(apart) <= 300.0 * kEps<T> * size * scale);
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(low_rank, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("trace: scaled operators, every method", S, methods_scale) {
  using T = typename S::Value;
  const double s = kEps<T> < 1e-10 ? 0x1p83 : 0x1p27;
  const auto A = hermitian<T>(spectrum(80, slow), 7);
  for (const TraceMethod method : {TraceMethod::automatic, TraceMethod::hutchpp,
                                   TraceMethod::xtrace, TraceMethod::xnystrace}) {
    const auto plain = estimate<S>(A, by(method, 240, 0, 0.03));
    for (const double factor : {s, 1.0 / s}) {
      const auto out = estimate<S>(A.scaled(factor), by(method, 240, 0, 0.03));
      CHECK(out.status == plain.status);
      CHECK(out.products.total() == plain.products.total());
      CHECK(std::abs(out.value / factor - plain.value) <= 10 * kEps<T> * std::abs(plain.value));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(methods_scale, SomeSpaces);

TEST_CASE("trace: noise in single precision does not break the Nyström approximation") {
  using S = HostSpace<float>;
  const Index n = 100;
  std::vector<double> values(at(n), 0.0);
  for (Index i = 0; i < 20; ++i) values[at(i)] = 1.0 - 0.04 * static_cast<double>(i);
  auto A = hermitian<float>(values, 3);
  const auto noise = gaussian<float>(n * n, 4);
  for (std::size_t i = 0; i < A.a.size(); ++i) A.a[i] += 3e-6f / 10.0f * noise[i];
  const double expected = exact_trace(A);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto out = estimate<S>(A, by(TraceMethod::xnystrace, 45, seed));
    CHECK(out.status == Status::converged);
    CHECK(std::abs(out.value - expected) <= 1e-3 * expected);
  }
}

TEST_CASE_TEMPLATE_DEFINE("trace: endings of every method", S, methods_endings) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(70, 1e2), 1);
  S space;
  TraceWorkspace<S> ws;
  for (const TraceMethod method : kGrowing) {
    CAPTURE(static_cast<int>(method));
    const auto opt = by(method, 48);
    for (const Index k : {1, 3, 9, 17, 30, 40}) {
      const auto out = trace(space, faulty<T>(A, k), ws, opt);
      CHECK(out.status == Status::nonfinite);
      CHECK_FALSE(out.verified);
      CHECK_THROWS_AS(trace(space, faulty<T>(A, 0, k), ws, opt), int);
    }
    int stages = 0;
    const auto observer = [&](const Iteration& now) { return ++stages, now.iteration >= 8; };
    Monitor monitor;
    monitor.observer = observer;
    const auto out = trace(space, A, ws, opt, monitor);
    CHECK(out.status == Status::stopped);
    CHECK(out.iterations == 8);
    CHECK(stages == 1);
    CHECK(std::isfinite(out.stderr_));
    Monitor limited;
    limited.max_products = 31;
    const auto few = trace(space, A, ws, opt, limited);
    CHECK(few.status == Status::max_products);
    CHECK(few.products.total() <= 31);
    CHECK(few.products.total() >= 29);
    CHECK(trace(space, A, ws, opt).value == estimate<S>(A, opt).value);  // the workspace is as new
    TraceWorkspace<S> known;
    known.prepare(space, 70, opt);
    const std::size_t bytes = known.bytes();
    trace(space, A, known, opt);
    CHECK(known.bytes() == bytes);
    CHECK_THROWS_AS(trace(space, A, ws, by(method, 3)), InvalidArgument);
    const auto missed = trace(space, A, ws, by(method, 48, 0, 1e-9));
    CHECK(missed.status == Status::max_iterations);
    CHECK(missed.stderr_ > missed.target);
  }
  auto signs = geometric(60, 10.0);
  for (std::size_t i = 0; i < 30; ++i) signs[i] = -signs[i];
  CHECK(estimate<S>(hermitian<T>(signs, 2), by(TraceMethod::xnystrace, 48)).status ==
        Status::negative_curvature);
  CHECK(estimate<S>(random_dense<T>(60, 60, 2), by(TraceMethod::xnystrace, 48)).status ==
        Status::negative_curvature);
}
TEST_CASE_TEMPLATE_APPLY(methods_endings, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("trace: a run goes on from its checkpoint to the same bits", S,
                          trace_checkpoint) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(150, 1e3), 1);
  const std::string path = "trace_test.checkpoint";
  for (const TraceMethod method :
       {TraceMethod::automatic, TraceMethod::hutchinson, TraceMethod::hutchpp, TraceMethod::xtrace,
        TraceMethod::xnystrace, TraceMethod::exact}) {
    CAPTURE(static_cast<int>(method));
    S space;
    TraceWorkspace<S> ws;
    const auto opt = by(method, 100, 2);
    const auto whole = trace(space, A, ws, opt);
    Checkpoint(path).remove();
    Index first = 0;
    for (int kills = 0; kills < 2; ++kills) {
      const auto dying = [&](const Iteration& now) {
        first = now.products.total();
        if (first >= 40 * (kills + 1)) throw 42;
        return false;
      };
      Monitor monitor;
      monitor.observer = dying;
      TraceWorkspace<S> other;
      CHECK_THROWS_AS(trace(space, A, other, opt, monitor, Checkpoint(path, 0.0)), int);
    }
    const auto counted = faulty<T>(A);
    TraceWorkspace<S> other;
    const auto out = trace(space, counted, other, opt, {}, Checkpoint(path, 0.0));
    CHECK(out.value == whole.value);
    CHECK(out.stderr_ == whole.stderr_);
    CHECK(out.products.total() == whole.products.total());
    CHECK(counted.applied < whole.products.total());
    std::vector<Checkpoint::Part> none;
    CHECK_FALSE(Checkpoint(path).load("trace", none));  // convergence removed it
  }
  S space;
  TraceWorkspace<S> ws;
  Monitor monitor;
  const auto stop = [](const Iteration& now) { return now.products.total() >= 40; };
  monitor.observer = stop;
  trace(space, A, ws, by(TraceMethod::xtrace, 100), monitor, Checkpoint(path, 0.0));
  CHECK_THROWS_AS(trace(space, A, ws, by(TraceMethod::xtrace, 100, 1), {}, Checkpoint(path)),
                  InvalidArgument);
  Checkpoint(path).remove();
}
TEST_CASE_TEMPLATE_APPLY(trace_checkpoint, SomeSpaces);

// ---- diagonals and row norms ----

TEST_CASE_TEMPLATE_DEFINE("diagonal, row norms: exact with enough products", S, vectors_exact) {
  using T = typename S::Value;
  for (const auto& [m, n] : {std::pair<Index, Index>{1, 1}, {40, 40}, {12, 40}, {40, 12}}) {
    const auto A = random_dense<T>(m, n, 3);
    S space;
    std::vector<T> value(at(m)), variance(at(m));
    ElementwiseOptions opt;
    opt.samples = std::max<Index>(n, 2);
    opt.block = 8;
    RowNormsWorkspace<S> ws;
    const auto counted = faulty<T>(A);
    const auto out = row_norms2(space, counted, view(value), view(variance), ws, opt);
    CHECK(out.status == Status::converged);
    CHECK(out.method == ElementwiseMethod::exact);
    CHECK(out.products.total() == counted.applied + counted.adjoint);
    CHECK(out.products.total() == std::min(m, n));
    for (Index i = 0; i < m; ++i) {
      double sum = 0.0;
      for (Index j = 0; j < n; ++j) sum += std::norm(static_cast<WideOf<T>>(A(i, j)));
      CHECK(std::real(value[at(i)]) == doctest::Approx(sum).epsilon(20 * kEps<T>));
      CHECK(variance[at(i)] == T{});
    }
    if (m != n) continue;
    DiagonalWorkspace<S> diagonal_ws;
    CHECK(diagonal(space, A, view(value), view(variance), diagonal_ws, opt).products.total() == n);
    for (Index i = 0; i < m; ++i) CHECK(value[at(i)] == A(i, i));
  }
}
TEST_CASE_TEMPLATE_APPLY(vectors_exact, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("diagonal, row norms: unbiased, and sure of it", S, vectors_coverage) {
  using T = typename S::Value;
  const Index n = 80;
  for (const auto f : {fast, power, flat}) {
    const auto A = hermitian<T>(spectrum(n, f), 5);
    for (int which = 1; which <= 5; ++which) {
      int held = 0;
      double bias = 0.0, square = 0.0;
      for (std::uint64_t seed = 0; seed < 40; ++seed) {
        S space;
        std::vector<T> value(at(n)), variance(at(n));
        ElementwiseOptions opt;
        opt.samples = which == 5 ? 45 : 30;
        opt.seed.seed = seed;
        opt.method = static_cast<ElementwiseMethod>(which > 3 ? which - 3 : which);
        DiagonalWorkspace<S> ws;
        RowNormsWorkspace<S> row_ws;
        const auto out = which <= 3
                             ? diagonal(space, A, view(value), view(variance), ws, opt)
                             : row_norms2(space, A, view(value), view(variance), row_ws, opt);
        CHECK(out.products.total() == opt.samples);
        double error2 = 0.0;
        for (Index i = 0; i < n; ++i) {
          double exact = std::real(A(i, i));
          if (which > 3) {
            exact = 0.0;
            for (Index j = 0; j < n; ++j) exact += std::norm(static_cast<WideOf<T>>(A(i, j)));
          }
          const double error = std::real(value[at(i)]) - exact;
          const double variance_i = std::real(variance[at(i)]);
          error2 += error * error;
          bias += error;
          square += variance_i;
          held += std::abs(error) <= 3.0 * std::sqrt(variance_i) + 8.0 * kEps<T>;
        }
        CHECK(out.residual >= 0.1 * std::sqrt(error2) - 100.0 * kEps<T>);
      }
      CAPTURE(which);
      CHECK(held >= 0.95 * 40 * static_cast<double>(n));
      CHECK(std::abs(bias) <= 5.0 * std::sqrt(square * static_cast<double>(n)) + 1e-3);
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(vectors_coverage, HostSpace<float>, HostSpace<double>);

TEST_CASE("diagonal, row norms: methods by what they gain, tolerances, endings") {
  using S = HostSpace<double>;
  const Index n = 150;
  S space;
  DiagonalWorkspace<S> ws;
  RowNormsWorkspace<S> row_ws;
  std::vector<double> value(at(n)), variance(at(n));
  const auto decaying = hermitian<double>(spectrum(n, slow), 4);
  const auto even = hermitian<double>(spectrum(n, flat), 4);
  ElementwiseOptions opt;
  opt.samples = 3 * n;
  opt.rtol = 0.02;
  opt.block = 8;
  auto run = [&](const auto& A, bool rows) {
    return rows ? row_norms2(space, A, view(value), view(variance), row_ws, opt)
                : diagonal(space, A, view(value), view(variance), ws, opt);
  };
  for (const bool rows : {false, true}) {
    const auto out = run(decaying, rows);
    CHECK(out.status == Status::converged);
    CHECK(out.method == ElementwiseMethod::leave_one_out);
    CHECK(out.residual <= out.target);
    CHECK(out.products.total() < n);
  }
  opt.positive = true;
  CHECK(run(decaying, false).method == ElementwiseMethod::nystrom);
  opt.positive = false;
  opt.rtol = 0.0;
  opt.samples = 60;
  for (const bool rows : {false, true}) {
    CHECK(run(even, rows).method == ElementwiseMethod::hutchinson);
    CHECK(run(even, rows).products.total() == 60);
  }
  opt.symmetric = true;  // no product with the adjoint
  const auto counted = faulty<double>(decaying);
  run(counted, false);
  CHECK(counted.adjoint == 0);
  CHECK(counted.applied == 60);
  for (const auto method : {ElementwiseMethod::hutchinson, ElementwiseMethod::leave_one_out}) {
    opt.method = method;
    for (const bool rows : {false, true}) {
      for (const Index k : {1, 7, 20, 40}) {
        CHECK(run(faulty<double>(decaying, k), rows).status == Status::nonfinite);
        CHECK_THROWS_AS(run(faulty<double>(decaying, 0, k), rows), int);
      }
    }
  }
  opt.samples = 1;
  CHECK_THROWS_AS(run(even, false), InvalidArgument);
  opt.samples = 20;
  opt.method = ElementwiseMethod::nystrom;
  CHECK_THROWS_AS(run(even, true), InvalidArgument);
  CHECK(run(random_dense<double>(n, n, 2), false).status == Status::negative_curvature);
}
