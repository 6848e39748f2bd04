#include "ritz/eigen/eigsh.hpp"

#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class S>
struct Solved {
  using T = typename S::Value;
  std::vector<double> values, residuals;
  std::vector<T> storage;
  Index n = 0;
  EigshOutcome out;

  BlockView<T> vectors() { return {storage.data(), n, static_cast<Index>(values.size()), n}; }
};

template <class S, class A>
Solved<S> solve(const A& op, const EigshOptions& opt, const Monitor& monitor = {}) {
  S space;
  EigshWorkspace<S> ws;
  Solved<S> result;
  result.n = op.rows();
  result.values.assign(at(opt.k), -7.0);
  result.residuals.assign(at(opt.k), -7.0);
  result.storage.resize(at(result.n * opt.k));
  result.out = eigsh(space, op, std::span(result.values), std::span(result.residuals),
                     result.vectors(), ws, opt, monitor);
  return result;
}

/// The k wanted ones of all eigenvalues, ascending.
std::vector<double> wanted(std::vector<double> all, const EigshOptions& opt) {
  std::stable_sort(all.begin(), all.end(), [&](double a, double b) {
    if (opt.which == Which::largest) return a > b;
    if (opt.which == Which::smallest) return a < b;
    return std::abs(a) > std::abs(b);
  });
  all.resize(at(opt.k));
  std::sort(all.begin(), all.end());
  return all;
}

/// Everything that a converged run promises: values within their bounds of the truth, residuals
/// that are true, orthonormal vectors, and truthful counters.
template <class S, class A>
void check_pairs(const A& op, Solved<S>& run, const EigshOptions& opt,
                 const std::vector<double>& spectrum, double slack = 0.0) {
  using T = typename S::Value;
  const double norm_a =
      std::abs(*std::max_element(spectrum.begin(), spectrum.end(),
                                 [](double a, double b) { return std::abs(a) < std::abs(b); }));
  const auto truth = wanted(spectrum, opt);
  CHECK(run.out.status == Status::converged);
  CHECK(run.out.found == opt.k);
  CHECK(run.out.converged == opt.k);
  CHECK(run.out.verified);
  CHECK(run.out.norm_a <= norm_a * (1.0 + 64.0 * kEps<T>)+slack);
  CHECK(std::is_sorted(run.values.begin(), run.values.end()));
  const auto V = run.vectors();
  std::vector<T> w(at(run.n));
  for (Index i = 0; i < opt.k; ++i) {
    CAPTURE(i);
    const double bound = run.residuals[at(i)];
    CHECK(bound <= run.out.target);
    CHECK(std::abs(run.values[at(i)] - truth[at(i)]) <= bound + 4.0 * kEps<T> * norm_a + slack);
    op.apply(V.column(i), {w.data(), run.n});
    long double sum = 0;
    for (Index j = 0; j < run.n; ++j) {
      sum += std::norm(lengthen(w[at(j)]) -
                       static_cast<long double>(run.values[at(i)]) * lengthen(V(j, i)));
    }
    CHECK(std::abs(static_cast<double>(std::sqrt(sum)) - bound) <= 2.0 * kEps<T> * norm_a);
  }
  double worst = 0.0;
  for (Index i = 0; i < opt.k; ++i) {
    for (Index j = 0; j <= i; ++j) {
      Long<T> dot{};
      for (Index l = 0; l < run.n; ++l) dot += conj_long(lengthen(V(l, i))) * lengthen(V(l, j));
      if (i == j) dot -= 1.0L;
      worst = std::max(worst, static_cast<double>(std::abs(dot)));
    }
  }
  // Each restart combines the basis anew, and adds its rounding.
  const double combinations = 1.0 + static_cast<double>(run.out.restarts) / 40.0;
  CHECK(worst <= 10.0 * kEps<T> * std::sqrt(static_cast<double>(opt.k)) * combinations);
}

EigshOptions options(Index k, Which which, Index ncv = 0) {
  EigshOptions opt;
  opt.k = k;
  opt.which = which;
  opt.ncv = ncv;
  return opt;
}

constexpr Which kAll[] = {Which::largest, Which::smallest, Which::magnitude};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("eigsh: known spectra, both ends and the largest magnitudes", S,
                          eigsh_spectra) {
  using T = typename S::Value;
  auto mixed = geometric(60, 100.0);
  for (std::size_t i = 1; i < mixed.size(); i += 2) mixed[i] = -mixed[i];
  for (const auto& spectrum : {mixed, geometric(60, 5.0)}) {
    const auto A = hermitian<T>(spectrum, 3);
    // A's own rounding moves its eigenvalues.
    const double slack = kEps<T> * A.frobenius();
    for (const Which which : kAll) {
      for (const Index k : {Index{1}, Index{4}}) {
        CAPTURE(k);
        CAPTURE(static_cast<int>(which));
        auto opt = options(k, which);
        const auto counted = faulty<T>(A);
        auto run = solve<S>(counted, opt);
        CHECK(run.out.products.apply == counted.applied);
        CHECK(run.out.products.apply == run.out.iterations + k);
        check_pairs(A, run, opt, spectrum, slack);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_spectra, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: the second difference on a line", S, eigsh_line) {
  using T = typename S::Value;
  const Laplacian<T> A{200, 1};
  for (const Which which : kAll) {
    for (const Index k : {Index{1}, Index{6}, Index{20}}) {
      const auto opt = options(k, which);
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, A.eigenvalues());
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_line, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: multiple eigenvalues are found with their multiplicity", S,
                          eigsh_multiple) {
  using T = typename S::Value;
  SUBCASE("the second difference on a square") {
    const Laplacian<T> A{15, 15};
    for (const Which which : kAll) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        CAPTURE(static_cast<int>(which));
        CAPTURE(seed);
        auto opt = options(8, which);
        opt.seed.seed = seed;
        auto run = solve<S>(A, opt);
        check_pairs(A, run, opt, A.eigenvalues());
      }
    }
  }
  SUBCASE("identity and zero") {
    for (const double value : {1.0, -3.0, 0.0}) {
      const std::vector<double> spectrum(50, value);
      const auto A = diagonal_matrix<T>(spectrum);
      for (const Index k : {Index{1}, Index{7}, Index{50}}) {
        const auto opt = options(k, Which::largest);
        auto run = solve<S>(A, opt);
        check_pairs(A, run, opt, spectrum);
      }
    }
  }
  SUBCASE("few distinct values") {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      std::vector<double> spectrum(100, 1.0);
      for (std::size_t i = 0; i < 5; ++i) spectrum[7 * i] = 4.0;
      spectrum[50] = 9.0;
      spectrum[60] = spectrum[61] = -2.0;
      const auto A = diagonal_matrix<T>(spectrum);
      auto opt = options(6, Which::largest);
      opt.seed.seed = seed;
      CAPTURE(seed);
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, spectrum);
    }
  }
  SUBCASE("low rank") {
    std::vector<double> spectrum(300, 0.0);
    spectrum[10] = 3.0;
    spectrum[20] = 2.0;
    spectrum[30] = -5.0;
    const auto A = hermitian<T>(spectrum, 9);
    for (const Which which : kAll) {
      CAPTURE(static_cast<int>(which));
      const auto opt = options(6, which);
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, spectrum, kEps<T> * A.frobenius());
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_multiple, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: clusters, outliers and grading bring no ghosts", S,
                          eigsh_ghosts) {
  using T = typename S::Value;
  SUBCASE("490 in [0, 1] and 10 in [50, 100]") {
    std::vector<double> spectrum;
    for (int i = 0; i < 490; ++i) spectrum.push_back(i / 489.0);
    for (int i = 0; i < 10; ++i) spectrum.push_back(50.0 + 50.0 * i / 9.0);
    for (double& x : spectrum) x = static_cast<float>(x);
    const auto A = diagonal_matrix<T>(spectrum);
    for (const Index k : {Index{5}, Index{10}, Index{15}}) {
      CAPTURE(k);
      const auto opt = options(k, Which::largest, k == 15 ? 60 : 0);
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, spectrum);
    }
  }
  SUBCASE("graded over twelve orders") {
    auto spectrum = geometric(120, 1e12);
    for (double& x : spectrum) x = static_cast<float>(x);
    const auto A = diagonal_matrix<T>(spectrum);
    for (const Which which : {Which::largest, Which::magnitude}) {
      const auto opt = options(6, which);
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, spectrum);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_ghosts, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: all eigenpairs, and the smallest problems", S, eigsh_small) {
  using T = typename S::Value;
  for (const Index n : {Index{1}, Index{2}, Index{3}, Index{19}, Index{40}}) {
    const auto spectrum = geometric(n, 30.0);
    const auto A = hermitian<T>(spectrum, 4);
    for (const Which which : kAll) {
      for (const Index k : {n, std::max<Index>(1, n - 1), Index{1}}) {
        CAPTURE(n);
        CAPTURE(k);
        const auto opt = options(k, which);
        auto run = solve<S>(A, opt);
        check_pairs(A, run, opt, spectrum, kEps<T> * A.frobenius());
        if (k == n) CHECK(run.out.iterations == n);
      }
    }
  }
  SUBCASE("with the smallest basis allowed") {
    const auto spectrum = geometric(30, 30.0);
    const auto A = hermitian<T>(spectrum, 4);
    const auto opt = options(4, Which::largest, 5);
    auto run = solve<S>(A, opt);
    check_pairs(A, run, opt, spectrum, kEps<T> * A.frobenius());
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_small, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: scaling A", S, eigsh_scale) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  for (const double s : {kDouble ? 0x1p83 : 0x1p27, kDouble ? 1e25 : 1e8}) {
    const auto opt = options(5, Which::largest);
    Laplacian<T> A{100, 1};
    auto plain = solve<S>(A, opt);
    for (const double factor : {s, 1.0 / s}) {
      A.factor = factor;
      auto run = solve<S>(A, opt);
      const auto unscaled = Laplacian<T>{100, 1}.eigenvalues();
      check_pairs(A, run, opt, A.eigenvalues());
      CHECK(std::abs(run.out.restarts - plain.out.restarts) <= 1);
      CHECK(run.values[4] / factor == doctest::Approx(plain.values[4]).epsilon(64.0 * kEps<T>));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_scale, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: stopped, limited and poisoned runs tell the truth", S,
                          eigsh_stopped) {
  using T = typename S::Value;
  const Laplacian<T> A{400, 1};
  const auto spectrum = A.eigenvalues();
  const auto opt = options(4, Which::smallest, 12);
  SUBCASE("stop after any number of steps") {
    for (const Index last : {1, 2, 3, 5, 11, 12, 13, 14, 19, 30}) {
      CAPTURE(last);
      const auto observer = [&](const Iteration& now) { return now.iteration == last; };
      Monitor monitor;
      monitor.observer = observer;
      auto run = solve<S>(A, opt, monitor);
      CHECK(run.out.status == Status::stopped);
      CHECK(run.out.iterations == last);
      CHECK(run.out.found == std::min<Index>(last, 4));
      for (Index i = 0; i < run.out.found; ++i) {
        double nearest = INFINITY;
        for (const double x : spectrum) {
          nearest = std::min(nearest, std::abs(x - run.values[at(i)]));
        }
        CHECK(nearest <= run.residuals[at(i)] + 10.0 * kEps<T>);
        CHECK(run.residuals[at(i)] >= 0.0);
      }
    }
  }
  SUBCASE("too few restarts") {
    auto limited = opt;
    limited.max_restarts = 3;
    auto run = solve<S>(A, limited);
    CHECK(run.out.status == Status::max_iterations);
    CHECK(run.out.restarts == 3);
    CHECK(run.out.converged < 4);
    CHECK(run.out.residual > run.out.target);
  }
  SUBCASE("NaN at any product") {
    for (Index k = 1; k <= 30; ++k) {
      CAPTURE(k);
      auto run = solve<S>(faulty<T>(A, k), opt);
      CHECK(run.out.status == Status::nonfinite);
      CHECK(run.out.iterations == k);
      CHECK(run.out.found == 0);
      CHECK(run.out.converged == 0);
    }
  }
  SUBCASE("NaN in the products that verify") {
    const auto B = hermitian<T>(geometric(20, 10.0), 1);
    const auto opt3 = options(3, Which::largest);
    const auto clean = solve<S>(B, opt3);
    auto run = solve<S>(faulty<T>(B, clean.out.products.apply - 1), opt3);
    CHECK(run.out.status == Status::nonfinite);
    CHECK(run.out.found == 0);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_stopped, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: a start that is an eigenvector, or spans few", S, eigsh_warm) {
  using T = typename S::Value;
  std::vector<double> spectrum(40);
  for (std::size_t i = 0; i < 40; ++i) spectrum[i] = static_cast<double>(i + 1);
  const auto A = diagonal_matrix<T>(spectrum);
  auto opt = options(3, Which::largest);
  opt.warm_start = true;
  for (const std::size_t hot : {0u, 20u, 39u}) {
    S space;
    EigshWorkspace<S> ws;
    Solved<S> run;
    run.n = 40;
    run.values.resize(3);
    run.residuals.resize(3);
    run.storage.resize(120);
    run.storage[hot] = T{5};
    run.out =
        eigsh(space, A, std::span(run.values), std::span(run.residuals), run.vectors(), ws, opt);
    check_pairs(A, run, opt, spectrum);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_warm, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: a workspace survives whatever ends a run", S, eigsh_reuse) {
  using T = typename S::Value;
  const Laplacian<T> A{80, 1};
  const auto opt = options(3, Which::largest);
  S space;
  EigshWorkspace<S> ws;
  Solved<S> run;
  run.n = 80;
  run.values.resize(3);
  run.residuals.resize(3);
  run.storage.resize(240);
  const auto with = [&](const auto& op, const Monitor& monitor = {}) {
    return eigsh(space, op, std::span(run.values), std::span(run.residuals), run.vectors(), ws, opt,
                 monitor);
  };
  CHECK_THROWS_AS(with(faulty<T>(A, 0, 25)), int);
  const auto thrower = [](const Iteration& now) -> bool {
    if (now.iteration == 22) throw std::domain_error("observer");
    return false;
  };
  Monitor monitor;
  monitor.observer = thrower;
  CHECK_THROWS_WITH_AS(with(A, monitor), "observer", std::domain_error);
  CHECK(with(faulty<T>(A, 30)).status == Status::nonfinite);
  run.out = with(A);
  const auto fresh = solve<S>(A, opt);
  CHECK(run.values == fresh.values);
  CHECK(run.storage == fresh.storage);
  if constexpr (!std::same_as<S, ReferenceSpace<T>>) {  // whose `combine` takes a temporary
    // The dense eigensolver of the projected problem may allocate; eigsh itself does not.
    std::vector<double> small(400), spectrum(20);
    for (std::size_t i = 0; i < 400; ++i) small[i] = i % 21 == 0 ? 1.0 : 0.0;
    const Index once = allocations_in([&] { dense::eigh({small.data(), 20, 20, 20}, spectrum); });
    const Index all = allocations_in([&] { run.out = with(A); });
    CHECK(all == once * (run.out.restarts + 1));
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_reuse, SomeSpaces);

TEST_CASE("eigsh: misuse names the argument") {
  using S = ReferenceSpace<double>;
  const Laplacian<double> A{10, 1};
  CHECK_THROWS_AS(solve<S>(A, options(0, Which::largest)), InvalidArgument);
  CHECK_THROWS_AS(solve<S>(A, options(11, Which::largest)), InvalidArgument);
  CHECK_THROWS_AS(solve<S>(Laplacian<double>{50, 1}, options(6, Which::largest, 6)),
                  InvalidArgument);
  CHECK_THROWS_AS(solve<S>(Dense<double>(10, 9), options(1, Which::largest)), InvalidArgument);
  auto opt = options(2, Which::largest);
  opt.tol = -1.0;
  CHECK_THROWS_AS(solve<S>(A, opt), InvalidArgument);
  opt = options(2, Which::largest);
  S space;
  EigshWorkspace<S> ws;
  std::vector<double> two(2), one(1), V(20);
  const auto with = [&](std::vector<double>& values, std::vector<double>& residuals, Index rows,
                        Index cols) {
    eigsh(space, A, std::span(values), std::span(residuals), {V.data(), rows, cols, rows}, ws, opt);
  };
  CHECK_THROWS_AS(with(one, two, 10, 2), InvalidArgument);
  CHECK_THROWS_AS(with(two, one, 10, 2), InvalidArgument);
  CHECK_THROWS_AS(with(two, two, 10, 1), InvalidArgument);
  CHECK_THROWS_AS(with(two, two, 9, 2), InvalidArgument);
  with(two, two, 10, 2);
}

TEST_CASE_TEMPLATE_DEFINE("eigsh: the same bits for any number of threads", S, eigsh_threads) {
  using T = typename S::Value;
  const Laplacian<T> A{150'001, 1};
  auto opt = options(2, Which::largest, 6);
  opt.max_restarts = 2;
  const Index before = threads::num_threads();
  threads::set_num_threads(1);
  const auto one = solve<S>(A, opt);
  for (const Index count : {Index{2}, Index{7}}) {
    threads::set_num_threads(count);
    const auto many = solve<S>(A, opt);
    CHECK(many.values == one.values);
    CHECK(many.residuals == one.residuals);
    CHECK(many.storage == one.storage);
  }
  threads::set_num_threads(before);
}
TEST_CASE_TEMPLATE_APPLY(eigsh_threads,
                         std::tuple<HostSpace<float>, HostSpace<std::complex<double>>>);
