#include "ritz/eigen/eigsh.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>

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
  CHECK(run.out.norm_a <= norm_a * (1.0 + 64.0 * kEps<T> + opt.tol) + slack);
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
        CHECK(run.out.products.total() == counted.applied);
        CHECK(run.out.products.total() == run.out.iterations + k);
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
    auto run = solve<S>(faulty<T>(B, clean.out.products.total() - 1), opt3);
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
  const auto opt = options(3, Which::largest);
  for (const std::size_t hot : {0u, 20u, 39u}) {
    S space;
    EigshWorkspace<S> ws;
    Solved<S> run;
    run.n = 40;
    run.values.resize(3);
    run.residuals.resize(3);
    run.storage.resize(120);
    std::vector<T> start(40);
    start[hot] = T{5};
    using Problem = HermitianProblem<T, std::remove_cvref_t<decltype(A)>>;
    Problem problem{A};
    problem.start = {start.data(), 40, 1, 40};
    run.out = eigsh(space, problem, EigshResults<T>{run.values, run.residuals, {}, run.vectors()},
                    ws, opt);
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
    CHECK(allocations_in([&] { run.out = with(A); }) == 0);
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

namespace {

/// A problem given by operators, solved on S.
template <class S, class Problem>
Solved<S> solve_problem(const Problem& problem, const EigshOptions& opt,
                        std::vector<double>* bounds = nullptr, Checkpoint checkpoint = {},
                        const Monitor& monitor = {}) {
  using T = typename S::Value;
  S space;
  EigshWorkspace<S> ws;
  Solved<S> run;
  run.n = problem.size();
  run.values.assign(at(opt.k), -7.0);
  run.residuals.assign(at(opt.k), -7.0);
  run.storage.resize(at(run.n * opt.k));
  std::vector<double> kept(at(opt.k));
  run.out = eigsh(space, problem, EigshResults<T>{run.values, run.residuals, kept, run.vectors()},
                  ws, opt, monitor, checkpoint);
  if (bounds) *bounds = kept;
  return run;
}

/// x = (D − σ E)⁻¹ b for diagonal D and E.
template <Field T>
DiagonalMatrix<T> inverse_of(const std::vector<double>& d, const std::vector<double>& e,
                             double sigma) {
  std::vector<double> inverse(d.size());
  for (std::size_t i = 0; i < d.size(); ++i) inverse[i] = 1.0 / (d[i] - sigma * e[i]);
  return diagonal_matrix<T>(inverse);
}

}  // namespace

TEST_CASE("which: the orders, and what beats the worst wanted value") {
  const std::vector<double> values{3.0, -5.0, 1.0, 4.0, -2.0};
  std::vector<Index> order(5);
  const auto ranked = [&](Which which) {
    order_wanted(values, order, which);
    return order;
  };
  CHECK(ranked(Which::largest) == std::vector<Index>{3, 0, 2, 4, 1});
  CHECK(ranked(Which::smallest) == std::vector<Index>{1, 4, 2, 0, 3});
  CHECK(ranked(Which::magnitude) == std::vector<Index>{1, 3, 0, 4, 2});
  CHECK(ranked(Which::both_ends) == std::vector<Index>{3, 1, 0, 4, 2});
  const std::vector<double> three{9.0, -4.0, 7.0}, two{9.0, -4.0};
  CHECK(improvement(8.0, three, Which::both_ends) == 1.0);
  CHECK(improvement(-4.5, three, Which::both_ends) == 0.5);
  CHECK(improvement(8.0, two, Which::both_ends) == -1.0);
  CHECK(improvement(-5.0, two, Which::both_ends) == 1.0);
  CHECK(improvement(-8.0, std::vector<double>{-9.0, 7.0}, Which::magnitude) == 1.0);
  std::vector<Index> counts(5);
  multiplicities(std::vector<double>{1.0, 1.1, 2.0, 3.0, 3.05},
                 std::vector<double>{0.06, 0.06, 0.1, 0.03, 0.03}, counts);
  CHECK(counts == std::vector<Index>{2, 2, 1, 2, 2});
}

TEST_CASE_TEMPLATE_DEFINE("eigsh: both ends", S, eigsh_both_ends) {
  using T = typename S::Value;
  const Laplacian<T> A{120, 1};
  const auto all = A.eigenvalues();
  for (const Index k : {1, 2, 5, 8}) {
    auto run = solve<S>(A, options(k, Which::both_ends));
    CHECK(run.out.status == Status::converged);
    for (Index i = 0; i < k; ++i) {
      const double truth = i < k / 2 ? all[at(i)] : all[at(120 - k + i)];
      CHECK(std::abs(run.values[at(i)] - truth) <= run.residuals[at(i)] + 40.0 * kEps<T>);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_both_ends, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: blocks find clusters whole", S, eigsh_blocks) {
  using T = typename S::Value;
  SUBCASE("any block size") {
    const Laplacian<T> A{13, 12};
    for (const Index b : {2, 3, 5}) {
      for (const Which which : kAll) {
        CAPTURE(b);
        auto opt = options(6, which);
        opt.block_size = b;
        auto run = solve<S>(A, opt);
        check_pairs(A, run, opt, A.eigenvalues());
        CHECK(run.out.products.total() > run.out.iterations);
      }
    }
  }
  SUBCASE("twenty equal values") {
    auto spectrum = geometric(180, 20.0);
    for (double& x : spectrum) x = static_cast<float>(0.9 * x);
    for (std::size_t i = 0; i < 20; ++i) spectrum[5 * i] = 1.0;
    const auto A = diagonal_matrix<T>(spectrum);
    auto opt = options(22, Which::largest);
    opt.block_size = 20;
    auto run = solve<S>(A, opt);
    check_pairs(A, run, opt, spectrum);
  }
  SUBCASE("a start that spans less than the block, and a space that is soon exhausted") {
    for (const Index n : {Index{1}, Index{2}, Index{7}, Index{12}}) {
      const auto spectrum = geometric(n, 3.0);
      const auto A = hermitian<T>(spectrum, 5);
      auto opt = options(std::min<Index>(n, 3), Which::smallest);
      opt.block_size = 5;
      std::vector<T> start(at(4 * n), T{1});
      HermitianProblem<T, Dense<T>> problem{A};
      problem.start = {start.data(), n, 4, n};
      auto run = solve_problem<S>(problem, opt);
      check_pairs(A, run, opt, spectrum, kEps<T> * A.frobenius());
    }
  }
  SUBCASE("identity and zero") {
    for (const double value : {2.0, 0.0}) {
      const std::vector<double> spectrum(40, value);
      const auto A = diagonal_matrix<T>(spectrum);
      auto opt = options(7, Which::magnitude);
      opt.block_size = 3;
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, spectrum);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_blocks, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: copies are found under loose tolerances", S, eigsh_copies) {
  using T = typename S::Value;
  const auto check = [](const auto& A, const std::vector<double>& spectrum, auto opt) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      CAPTURE(opt.tol);
      CAPTURE(seed);
      opt.seed.seed = seed;
      auto run = solve<S>(A, opt);
      check_pairs(A, run, opt, spectrum);
    }
  };
  SUBCASE("five pairs of outliers") {
    std::vector<double> spectrum(500);
    for (std::size_t i = 0; i < 490; ++i) {
      spectrum[i] = static_cast<float>(static_cast<double>(i) / 489.0);
    }
    for (std::size_t i = 0; i < 10; ++i)
      spectrum[490 + i] = 50.0 + 10.0 * static_cast<double>(i / 2);
    for (const double tol : {0.0, 1e-4}) {
      auto opt = options(8, Which::largest);
      opt.tol = tol;
      check(diagonal_matrix<T>(spectrum), spectrum, opt);
    }
  }
  if constexpr (kEps<T> < 1e-10) {  // sixteen digits: those that rounding needs to grow
    SUBCASE("a square") {
      const Laplacian<T> A{30, 30};
      auto opt = options(6, Which::largest);
      opt.tol = 1e-6;
      check(A, A.eigenvalues(), opt);
    }
  }
  SUBCASE("triples that decay") {
    std::vector<double> spectrum(500);
    for (std::size_t i = 0; i < 500; ++i) {
      spectrum[i] = static_cast<float>(1.0 / static_cast<double>(1 + i / 3));
    }
    auto opt = options(10, Which::largest);
    opt.tol = 1e-7;
    check(diagonal_matrix<T>(spectrum), spectrum, opt);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_copies, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: warm starts from several vectors", S, eigsh_several) {
  using T = typename S::Value;
  const Laplacian<T> A{90, 1};
  auto opt = options(4, Which::smallest);
  auto cold = solve<S>(A, opt);
  HermitianProblem<T, Laplacian<T>> problem{A};
  problem.start = cold.vectors();
  auto warm = solve_problem<S>(problem, opt);
  check_pairs(A, warm, opt, A.eigenvalues());
  CHECK(warm.out.iterations <= 3);  // they are the answer
}
TEST_CASE_TEMPLATE_APPLY(eigsh_several, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: known vectors are not found again", S, eigsh_deflate) {
  using T = typename S::Value;
  const Laplacian<T> A{70, 1};
  const auto all = A.eigenvalues();
  auto opt = options(3, Which::largest);
  auto first = solve<S>(A, opt);
  // The known block also holds a combination of the others: it adds nothing.
  std::vector<T> known(at(4 * 70));
  std::copy(first.storage.begin(), first.storage.end(), known.begin());
  for (std::size_t i = 0; i < 70; ++i) known[210 + i] = known[i] + T{3} * known[70 + i];
  HermitianProblem<T, Laplacian<T>> problem{A};
  problem.deflate = {known.data(), 70, 4, 70};
  auto second = solve_problem<S>(problem, opt);
  CHECK(second.out.status == Status::converged);
  for (Index i = 0; i < 3; ++i) {
    CHECK(std::abs(second.values[at(i)] - all[at(64 + i)]) <= 100.0 * kEps<T>);
    for (Index j = 0; j < 3; ++j) {
      Long<T> dot{};
      for (Index l = 0; l < 70; ++l) {
        dot += conj_long(lengthen(first.vectors()(l, j))) * lengthen(second.vectors()(l, i));
      }
      CHECK(std::abs(dot) <= 10.0L * static_cast<long double>(kEps<T>));
    }
  }
  opt.k = 68;
  CHECK_THROWS_AS(solve_problem<S>(problem, opt), InvalidArgument);
  opt.k = 66;
  auto rest = solve_problem<S>(problem, opt);
  CHECK(rest.out.status == Status::converged);
  CHECK(std::abs(rest.values[65] - all[66]) <= 100.0 * kEps<T>);
}
TEST_CASE_TEMPLATE_APPLY(eigsh_deflate, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: generalised problems in the inner product of M", S,
                          eigsh_generalised) {
  using T = typename S::Value;
  const Index n = 100;
  std::vector<double> d(at(n)), e(at(n)), truth(at(n));
  for (Index i = 0; i < n; ++i) {
    d[at(i)] = static_cast<float>(1.0 + static_cast<double>((i * 37) % n));
    e[at(i)] = static_cast<float>(1.0 + static_cast<double>((i * 11) % 7));
    truth[at(i)] = d[at(i)] / e[at(i)];
  }
  const auto A = diagonal_matrix<T>(d), M = diagonal_matrix<T>(e);
  const std::vector<double> none(at(n), 0.0);
  const auto Minv = inverse_of<T>(e, none, 0.0);
  using D = DiagonalMatrix<T>;
  const auto check = [&](Solved<S>& run, const std::vector<double>& bounds,
                         std::vector<double> wanted_values, double norm) {
    std::sort(wanted_values.begin(), wanted_values.end());
    CHECK(run.out.status == Status::converged);
    const auto V = run.vectors();
    for (std::size_t i = 0; i < wanted_values.size(); ++i) {
      const double error = std::abs(run.values[i] - wanted_values[i]);
      CHECK(error <= bounds[i] + 20.0 * kEps<T> * norm);
      long double residual2 = 0;
      for (Index l = 0; l < n; ++l) {
        residual2 += std::norm((static_cast<long double>(d[at(l)]) -
                                static_cast<long double>(run.values[i]) * e[at(l)]) *
                               lengthen(V(l, static_cast<Index>(i))));
      }
      CHECK(std::abs(static_cast<double>(std::sqrt(residual2)) - run.residuals[i]) <=
            20.0 * kEps<T> * 100.0);
      for (std::size_t j = 0; j <= i; ++j) {
        Long<T> dot{};
        for (Index l = 0; l < n; ++l) {
          dot += conj_long(lengthen(V(l, static_cast<Index>(i)))) *
                 static_cast<long double>(e[at(l)]) * lengthen(V(l, static_cast<Index>(j)));
        }
        if (i == j) dot -= 1.0L;
        CHECK(std::abs(dot) <= 40.0L * static_cast<long double>(kEps<T>));
      }
    }
  };
  std::vector<double> bounds;
  for (const Index b : {1, 3}) {
    SUBCASE("the largest, with solves with M") {
      HermitianProblem<T, D, D, D> problem{A, M, Minv};
      auto opt = options(5, Which::largest);
      opt.block_size = b;
      auto run = solve_problem<S>(problem, opt, &bounds);
      check(run, bounds, wanted(truth, opt), 100.0);
      CHECK(run.out.preconditioner > 2 * run.out.iterations);
    }
    SUBCASE("nearest 10.1, with solves with A − σ M") {
      const double sigma = 10.1;
      const auto OPinv = inverse_of<T>(d, e, sigma);
      HermitianProblem<T, D, D, NoOperator, D> problem{A, M, {}, OPinv, sigma};
      auto opt = options(4, Which::magnitude);
      opt.block_size = b;
      auto run = solve_problem<S>(problem, opt, &bounds);
      auto nearest = truth;
      std::sort(nearest.begin(), nearest.end(),
                [&](double x, double y) { return std::abs(x - sigma) < std::abs(y - sigma); });
      nearest.resize(4);
      check(run, bounds, nearest, 10.0);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_generalised, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: nearest a target, with and without solves", S, eigsh_target) {
  using T = typename S::Value;
  std::vector<double> spectrum(80);
  for (std::size_t i = 0; i < 80; ++i) spectrum[i] = static_cast<double>(i) - 40.25;
  const std::vector<double> ones(80, 1.0);
  const auto A = diagonal_matrix<T>(spectrum);
  using D = DiagonalMatrix<T>;
  auto opt = options(4, Which::magnitude);
  const std::vector<double> nearest{9.75, 10.75, 11.75, 12.75};
  SUBCASE("through solves") {
    const auto solve_shifted = inverse_of<T>(spectrum, ones, 11.0);
    HermitianProblem<T, D, NoOperator, NoOperator, D> problem{A, {}, {}, solve_shifted, 11.0};
    auto run = solve_problem<S>(problem, opt);
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.products.total() == 5);  // those that verify
    CHECK(run.out.preconditioner == run.out.iterations);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(std::abs(run.values[i] - nearest[i]) <= run.residuals[i] + 100.0 * kEps<T>);
    }
  }
  SUBCASE("a solve that is wrong is found out") {
    const auto wrong = inverse_of<T>(spectrum, ones, 11.3);
    HermitianProblem<T, D, NoOperator, NoOperator, D> problem{A, {}, {}, wrong, 11.0};
    CHECK(solve_problem<S>(problem, opt).out.status == Status::precision_limit);
  }
  for (const Index b : {1, 2}) {
    SUBCASE("by harmonic Ritz values") {
      HermitianProblem<T, D> problem{A};
      problem.sigma = 11.0;
      opt.interior = true;
      opt.ncv = 24;
      opt.block_size = b;
      auto run = solve_problem<S>(problem, opt);
      CHECK(run.out.status == Status::converged);
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(std::abs(run.values[i] - nearest[i]) <= run.residuals[i] + 400.0 * kEps<T>);
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_target, SomeSpaces);

TEST_CASE("eigsh: a resumed run has the same bits") {
  using S = HostSpace<double>;
  const auto path = (std::filesystem::temp_directory_path() / "ritz_eigsh_checkpoint").string();
  std::remove(path.c_str());
  const Laplacian<double> A{500, 1};
  const HermitianProblem<double, Laplacian<double>> problem{A};
  const auto opt = options(4, Which::smallest, 14);
  const auto whole = solve_problem<S>(problem, opt);
  for (const Index last : {3, 40, 100, 333}) {
    CAPTURE(last);
    const auto observer = [&](const Iteration& now) { return now.iteration == last; };
    Monitor monitor;
    monitor.observer = observer;
    const auto part = solve_problem<S>(problem, opt, nullptr, Checkpoint(path, 0.0), monitor);
    CHECK(part.out.status == Status::stopped);
    const auto rest = solve_problem<S>(problem, opt, nullptr, Checkpoint(path, 0.0));
    CHECK(rest.values == whole.values);
    CHECK(rest.storage == whole.storage);
    CHECK(rest.residuals == whole.residuals);
    CHECK(rest.out.iterations == whole.out.iterations);
    CHECK(rest.out.products.total() == whole.out.products.total());
    CHECK(!std::filesystem::exists(path));
  }
  SUBCASE("another run does not take it") {
    const auto observer = [&](const Iteration& now) { return now.iteration == 40; };
    Monitor monitor;
    monitor.observer = observer;
    solve_problem<S>(problem, opt, nullptr, Checkpoint(path, 0.0), monitor);
    auto other = opt;
    other.tol = 1e-3;
    CHECK_THROWS_AS(solve_problem<S>(problem, other, nullptr, Checkpoint(path, 0.0)),
                    InvalidArgument);
    std::remove(path.c_str());
  }
}

TEST_CASE_TEMPLATE_DEFINE("eigsh: closed forms of mechanics", S, eigsh_mechanics) {
  using T = typename S::Value;
  SUBCASE("Wilkinson's W21+: pairs that agree to many digits") {
    Dense<T> W(21, 21);
    for (Index i = 0; i < 21; ++i) {
      W(i, i) = static_cast<T>(static_cast<float>(std::abs(i - 10)));
      if (i > 0) W(i, i - 1) = W(i - 1, i) = T{1};
    }
    auto opt = options(2, Which::largest);
    auto run = solve<S>(W, opt);
    CHECK(run.out.status == Status::converged);
    for (const double w : run.values) {
      CHECK(std::abs(w - 10.746194182903393) <= 100.0 * kEps<T> * 10.0);
    }
  }
  SUBCASE("the Mikota pair: A x = λ M x with λ = 1, 4, 9, …") {
    const Index n = 12;
    Dense<T> K(n, n);
    std::vector<double> m(at(n));
    for (Index i = 0; i < n; ++i) {
      m[at(i)] = 1.0 / static_cast<double>(i + 1);
      K(i, i) = static_cast<T>(static_cast<float>(2 * (n - i) - 1));
      if (i > 0) K(i, i - 1) = K(i - 1, i) = static_cast<T>(static_cast<float>(i - n));
    }
    const auto M = diagonal_matrix<T>(m);
    const auto Minv = inverse_of<T>(m, std::vector<double>(at(n), 0.0), 0.0);
    using D = DiagonalMatrix<T>;
    const HermitianProblem<T, Dense<T>, D, D> problem{K, M, Minv};
    auto run = solve_problem<S>(problem, options(n, Which::smallest));
    CHECK(run.out.status == Status::converged);
    for (Index i = 0; i < n; ++i) {
      const double truth = static_cast<double>((i + 1) * (i + 1));
      CHECK(std::abs(run.values[at(i)] - truth) <= 60.0 * kEps<T> * static_cast<double>(n * n));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_mechanics, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigsh: g distinct eigenvalues end a run at step g", S, eigsh_distinct) {
  using T = typename S::Value;
  for (const Index g : {1, 2, 5, 9}) {
    CAPTURE(g);
    std::vector<double> spectrum(120);
    for (Index i = 0; i < 120; ++i) spectrum[at(i)] = static_cast<double>(1 + i % g);
    const auto A = diagonal_matrix<T>(spectrum);
    auto opt = options(1, Which::largest);
    opt.tol = kEps<T>;
    auto run = solve<S>(A, opt);
    check_pairs(A, run, opt, spectrum);
    CHECK(run.out.iterations == g);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigsh_distinct, SomeSpaces);
