#include "ritz/function/trace.hpp"

#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"

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
    std::tuple<HostSpace<float>, HostSpace<double>, ReferenceSpace<std::complex<double>>>);

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
