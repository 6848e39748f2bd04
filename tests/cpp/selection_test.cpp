// Row and column selection: against definitions, by enumeration, and at any scale.
#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/selection/column_subset.hpp"
#include "ritz/selection/maxvol.hpp"
#include "ritz/selection/sensitivities.hpp"
#include "ritz/selection/volume.hpp"
#include "ritz/selection/weighted_lstsq.hpp"

namespace ritz::testing {
namespace {

namespace sel = selection;

template <class T>
MatrixView<const T> matrix(const Dense<T>& A) {
  return {A.a.data(), A.m, A.n, 1, A.m};
}

/// The rows of A at `rows`.
template <class T>
Dense<T> taken(const Dense<T>& A, const std::vector<Index>& rows) {
  Dense<T> B(static_cast<Index>(rows.size()), A.n);
  for (Index i = 0; i < B.m; ++i) {
    for (Index j = 0; j < B.n; ++j) B(i, j) = A(rows[at(i)], j);
  }
  return B;
}

/// |det A|² by elimination with complete pivoting in long double.
template <class T>
double det2(const Dense<T>& A) {
  const Index n = A.n;
  std::vector<Long<T>> a(at(n * n));
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = lengthen(A.a[i]);
  long double product = 1;
  for (Index k = 0; k < n; ++k) {
    Index p = k, q = k;
    for (Index j = k; j < n; ++j) {
      for (Index i = k; i < n; ++i) {
        if (std::norm(a[at(i + j * n)]) > std::norm(a[at(p + q * n)])) {
          p = i;
          q = j;
        }
      }
    }
    for (Index j = 0; j < n; ++j) std::swap(a[at(k + j * n)], a[at(p + j * n)]);
    for (Index i = 0; i < n; ++i) std::swap(a[at(i + k * n)], a[at(i + q * n)]);
    const Long<T> pivot = a[at(k + k * n)];
    product *= std::norm(pivot);
    if (product == 0) return 0.0;
    for (Index i = k + 1; i < n; ++i) {
      const Long<T> f = a[at(i + k * n)] / pivot;
      for (Index j = k; j < n; ++j) a[at(i + j * n)] -= f * a[at(k + j * n)];
    }
  }
  return static_cast<double>(product);
}

/// use(S) for all subsets of k of m.
template <class Use>
void each_subset(Index m, Index k, const Use& use) {
  std::vector<Index> S(at(k));
  std::iota(S.begin(), S.end(), Index{0});
  while (true) {
    use(S);
    Index t = k - 1;
    while (t >= 0 && S[at(t)] == m - k + t) --t;
    if (t < 0) return;
    ++S[at(t)];
    for (Index l = t + 1; l < k; ++l) S[at(l)] = S[at(l - 1)] + 1;
  }
}

template <class T>
std::vector<double> scores_of(const Dense<T>& A, const sel::LeverageOptions& opt = {}) {
  std::vector<double> scores(at(A.m));
  sel::leverage_scores(matrix(A), scores.data(), opt);
  return scores;
}

TEST_CASE_TEMPLATE("leverage scores are the diagonal of the projector onto the range", T, float,
                   double, std::complex<float>, std::complex<double>) {
  // The unnormalised Fourier or trigonometric basis has the same score everywhere; one row that is
  // orthogonal to all others has score one.
  const Index m = 64, n = 7;
  Dense<T> A(m + 1, n + 1);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      const double angle = 2.0 * std::numbers::pi * static_cast<double>(i * ((j + 1) / 2)) / m;
      A(i, j) = static_cast<RealOf<T>>(j % 2 == 0 ? std::cos(angle) : std::sin(angle));
    }
  }
  A(m, n) = static_cast<T>(3);
  for (const double scale : {1.0, 1e-25, 1e25}) {
    const auto scores = scores_of(A.scaled(scale));
    for (Index i = 0; i < m; ++i) CHECK(scores[at(i)] == doctest::Approx(7.0 / 64).epsilon(1e-5));
    CHECK(scores[at(m)] == doctest::Approx(1.0));
  }
}

TEST_CASE("panels of rows, threads, strides and units do not change the scores") {
  const Index m = 9000, n = 5;
  Dense<double> A = random_dense<double>(m, n, 3);
  for (Index i = 0; i < m; ++i) A(i, 4) = A(i, 0) - 2.0 * A(i, 1);  // rank 4
  const auto scores = scores_of(A);
  CHECK(std::accumulate(scores.begin(), scores.end(), 0.0) == doctest::Approx(4.0).epsilon(1e-12));
  const Index threads = threads::num_threads();
  threads::set_num_threads(threads == 1 ? 3 : 1);
  CHECK(scores_of(A) == scores);
  threads::set_num_threads(threads);

  std::vector<double> by_rows(at(m * n)), same(at(m));
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) by_rows[at(i * n + j)] = A(i, j);
  }
  sel::leverage_scores(MatrixView<const double>(by_rows.data(), m, n, n, 1), same.data());
  CHECK(same == scores);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) A(i, j) *= std::ldexp(1.0, static_cast<int>(200 * j - 400));
  }
  CHECK(distance(scores_of(A), scores) < 1e-12);
}

TEST_CASE("matrices without elements to speak of") {
  CHECK(scores_of(Dense<double>(5, 2)) == std::vector<double>(5, 0.0));
  CHECK(scores_of(Dense<double>(5, 2), {.sketch = 3}) == std::vector<double>(5, 0.0));
  CHECK(scores_of(Dense<double>(5, 2), {.sketch = 3, .probes = 2}) == std::vector<double>(5, 0.0));
  Dense<double> one(1, 1);
  one(0, 0) = -3.0;
  CHECK(scores_of(one)[0] == doctest::Approx(1.0));
  Dense<double> wide = random_dense<double>(2, 5, 1);
  for (const double s : scores_of(wide)) CHECK(s == doctest::Approx(1.0));
  wide(1, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(scores_of(wide), InvalidArgument);
  CHECK_THROWS_AS(scores_of(wide, {.sketch = 2}), InvalidArgument);
}

TEST_CASE_TEMPLATE("sketched scores are within the bounds of the embedding", T, double,
                   std::complex<double>) {
  const Index m = 3000, n = 8, d = 8 * n;
  Dense<T> A = random_dense<T>(m, n, 5);
  for (Index i = 0; i < m; ++i) A(i, 0) *= i < 3 ? 300.0 : 1.0;  // some rows matter more
  const auto exact = scores_of(A);
  const double eps = std::sqrt(static_cast<double>(n) / static_cast<double>(d));
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const auto scores = scores_of(A, {.sketch = d, .seed = seed});
    for (std::size_t i = 0; i < exact.size(); ++i) {
      CHECK(scores[i] / exact[i] > 1.0 / ((1 + eps) * (1 + eps)) / 1.1);
      CHECK(scores[i] / exact[i] < 1.0 / ((1 - eps) * (1 - eps)) * 1.1);
    }
  }
  // The mean of ‖a R⁻¹G‖² over G is ‖a R⁻¹‖².
  const auto whole = scores_of(A, {.sketch = d}),
             probed = scores_of(A, {.sketch = d, .probes = 16});
  double mean = 0.0;
  for (std::size_t i = 0; i < exact.size(); ++i) mean += probed[i] / whole[i] / 3000.0;
  CHECK(std::abs(mean - 1.0) < 0.3);
  // A dependent column changes the sketched range as little as the exact one.
  Dense<T> twice(m, n + 1);
  std::copy(A.a.begin(), A.a.end(), twice.a.begin());
  std::copy_n(A.a.begin(), m, twice.a.begin() + m * n);
  const auto scores = scores_of(twice, {.sketch = d, .seed = 1});
  for (std::size_t i = 0; i < exact.size(); ++i) {
    CHECK(scores[i] / exact[i] > 0.4);
    CHECK(scores[i] / exact[i] < 3.0);
  }
}

TEST_CASE("Lewis weights are the leverage scores of the weighted rows") {
  const Index m = 200, n = 4;
  const Dense<double> A = random_dense<double>(m, n, 8);
  const auto basis = sel::orthonormal_basis(matrix(A));
  for (const double p : {0.5, 1.0, 2.0, 3.0, 3.9, 6.0}) {
    std::vector<double> w(at(m));
    const auto out = sel::lewis_weights(basis, p, w.data());
    CHECK(out.status == Status::converged);
    Dense<double> scaled = A;
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) scaled(i, j) *= std::pow(w[at(i)], 0.5 - 1.0 / p);
    }
    const auto tau = scores_of(scaled);
    for (Index i = 0; i < m; ++i) CHECK(tau[at(i)] == doctest::Approx(w[at(i)]).epsilon(2e-8));
  }
  std::vector<double> w(at(m));
  CHECK(sel::lewis_weights(basis, 1.0, w.data(), {.max_iterations = 2}).status ==
        Status::max_iterations);
}

TEST_CASE_TEMPLATE("maxvol leaves no coefficient above the tolerance", T, float, double,
                   std::complex<float>, std::complex<double>) {
  const Index m = 700, n = 9;
  const Dense<T> A = random_dense<T>(m, n, 2);
  std::vector<Index> first;
  for (const double scale : {1.0, 1e-25, 1e25}) {
    const auto out = sel::maxvol(matrix(A.scaled(scale)), {.tol = 1.02});
    CHECK(out.status == Status::converged);
    CHECK(out.largest <= 1.02);
    if (first.empty()) first = out.rows;
    CHECK(out.rows == first);
    // A = B A_I, and B is the identity in the rows I.
    for (Index i = 0; i < m; i += 7) {
      for (Index j = 0; j < n; ++j) {
        WideOf<T> sum{};
        for (Index k = 0; k < n; ++k) {
          CHECK(std::abs(out.coefficients[at(i + k * m)]) <= 1.02);
          sum += out.coefficients[at(i + k * m)] * static_cast<WideOf<T>>(A(out.rows[at(k)], j));
        }
        CHECK(std::abs(sum - static_cast<WideOf<T>>(A(i, j))) < 1e-4);
      }
    }
  }
}

TEST_CASE_TEMPLATE("maxvol is dominant among all choices of rows", T, double,
                   std::complex<double>) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const Dense<T> A = random_dense<T>(9, 3, seed);
    double best = 0.0;
    each_subset(9, 3, [&](const auto& S) { best = std::max(best, det2(taken(A, S))); });
    const auto out = sel::maxvol(matrix(A), {.tol = 1.0});
    CHECK(out.status == Status::converged);
    CHECK(std::sqrt(det2(taken(A, out.rows)) / best) >= std::pow(3.0, -1.5));
    for (Index i = 0; i < 9; ++i) {  // no exchange of one row gains
      for (Index j = 0; j < 3; ++j) {
        auto other = out.rows;
        other[at(j)] = i;
        CHECK(det2(taken(A, other)) <= det2(taken(A, out.rows)) * (1 + 1e-12));
      }
    }
  }
}

TEST_CASE("maxvol: ties, zero rows, limits, dependent columns") {
  Dense<double> signs(16, 4);
  for (Index i = 0; i < 16; ++i) {
    for (Index j = 0; j < 4; ++j) signs(i, j) = (i >> j) & 1 ? 1.0 : -1.0;
  }
  CHECK(sel::maxvol(matrix(signs), {.tol = 1.0}).status == Status::converged);
  Dense<double> A = random_dense<double>(300, 12, 4);
  for (Index i = 0; i < 280; ++i) {
    for (Index j = 0; j < 12; ++j) A(i, j) = 0.0;
  }
  const auto out = sel::maxvol(matrix(A), {.tol = 1.0});
  CHECK(out.status == Status::converged);
  for (const Index i : out.rows) CHECK(i >= 280);
  const Dense<double> B = random_dense<double>(3000, 20, 4);
  const auto limited = sel::maxvol(matrix(B), {.tol = 1.0, .max_swaps = 1});
  CHECK(limited.status == Status::max_iterations);
  CHECK(limited.swaps == 1);
  CHECK(limited.largest > 1.0);
  for (Index i = 0; i < 300; ++i) A(i, 3) = A(i, 5) + A(i, 7);
  CHECK_THROWS_AS(sel::maxvol(matrix(A)), InvalidArgument);
  CHECK_THROWS_AS(sel::maxvol(matrix(random_dense<double>(3, 4, 0))), InvalidArgument);
}

TEST_CASE_TEMPLATE("updates of coefficients agree with their definitions", T, double,
                   std::complex<double>) {
  const Index m = 1300, n = 4;
  const auto basis = sel::orthonormal_basis(matrix(random_dense<T>(m, n, 3)));
  std::vector<Index> rows{5, 900, 17, 1299};
  std::vector<T> updated(at(m * n)), fresh(at(m * n));
  const BlockView<T> B{updated.data(), m, n, m}, C{fresh.data(), m, n, m};
  sel::detail::coefficients(basis.Q(), rows, B);
  rows[2] = 640;
  const auto found = sel::detail::exchange(B, 640, 2);
  const auto expected = sel::detail::coefficients(basis.Q(), rows, C);
  CHECK(distance(updated, fresh) < 1e-11 * norm(fresh));
  CHECK(found.row == expected.row);
  CHECK(found.square == doctest::Approx(expected.square));

  SmallMatrix<T> M, M_fresh;
  std::vector<double> F(at(m)), F_fresh(at(m));
  sel::detail::coefficient_norms(basis.Q(), rows, M, F);
  for (const Index i : {Index{3}, Index{700}}) {
    rows.push_back(i);
    sel::detail::add_row(basis.Q(), i, M, F);
  }
  sel::detail::coefficient_norms(basis.Q(), rows, M_fresh, F_fresh);
  CHECK(distance(F, F_fresh) < 1e-11 * norm(F_fresh));
  CHECK(distance(M.data, M_fresh.data) < 1e-11 * norm(M_fresh.data));
}

TEST_CASE_TEMPLATE("rectangular maxvol adds the row of the longest coefficients", T, double,
                   std::complex<double>) {
  const Index m = 400, n = 6;
  const Dense<T> A = random_dense<T>(m, n, 6);
  const auto out = sel::maxvol_rectangular(matrix(A));
  CHECK(out.status == Status::converged);
  CHECK(out.largest <= 1.1);
  CHECK(std::ssize(out.rows) < 4 * n);
  const Index k = std::ssize(out.rows);
  double longest = 0.0;
  for (Index i = 0; i < m; ++i) {
    double sum = 0.0;
    for (Index j = 0; j < k; ++j) sum += std::norm(out.coefficients[at(i + j * m)]);
    longest = std::max(longest, sum);
  }
  CHECK(std::sqrt(longest) == doctest::Approx(out.largest));
  const auto fewer = sel::maxvol_rectangular(matrix(A), {.size = k - 1});
  CHECK(std::equal(fewer.rows.begin(), fewer.rows.end(), out.rows.begin()));
  CHECK(fewer.status == Status::max_iterations);
  CHECK(sel::maxvol_rectangular(matrix(A), {.size = m}).rows.size() == at(m));
}

/// χ² of the frequencies of `draws` samples against probabilities, and its degrees of freedom; what
/// is expected less than five times is put together.
std::pair<double, double> chi2(const std::map<std::vector<Index>, double>& probability,
                               const std::map<std::vector<Index>, double>& count, double draws) {
  double sum = 0.0, degrees = -1.0, rare = 0.0, rare_seen = 0.0, seen = 0.0;
  const auto add = [&](double expected, double got) {
    sum += (got - expected) * (got - expected) / expected;
    degrees += 1.0;
  };
  for (const auto& [S, p] : probability) {
    const auto found = count.find(S);
    const double got = found == count.end() ? 0.0 : found->second;
    seen += got;
    if (p * draws < 5.0) {
      rare += p * draws;
      rare_seen += got;
    } else {
      add(p * draws, got);
    }
  }
  if (rare > 1.0) add(rare, rare_seen);
  CHECK(seen == draws);
  return {sum, degrees};
}

/// The bound that a χ² variable exceeds with probability about 1e-6 (Wilson, Hilferty).
double chi2_bound(double degrees) {
  const double a = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1.0 - a + 4.75 * std::sqrt(a), 3.0);
}

TEST_CASE_TEMPLATE("samples of a projection DPP have probability |det V_S|²", T, double,
                   std::complex<double>) {
  const Index m = 7, n = 3, draws = 4000;
  Dense<T> A = random_dense<T>(m, n, 12);
  const auto out = sel::projection_dpp(matrix(A), {.repeats = draws, .seed = 1});
  std::map<std::vector<Index>, double> probability, count;
  double total = 0.0;
  each_subset(m, n, [&](const auto& S) { total += probability[S] = det2(taken(A, S)); });
  for (auto& [S, p] : probability) p /= total;
  for (Index k = 0; k < draws; ++k) {
    std::vector<Index> S(out.rows.begin() + k * n, out.rows.begin() + (k + 1) * n);
    std::sort(S.begin(), S.end());
    ++count[S];
    CHECK(std::exp(out.log_probability[at(k)]) == doctest::Approx(probability[S]).epsilon(1e-9));
  }
  const auto [sum, degrees] = chi2(probability, count, draws);
  CHECK(sum < chi2_bound(degrees));
}

TEST_CASE("volume samples of more rows have probability det(A_SᵀA_S)") {
  struct Case {
    Index m, n, size;
  };
  // Rejections first and then shares; shares alone, with and without an update.
  for (const auto& [m, n, size] : {Case{9, 2, 3}, Case{6, 3, 4}, Case{6, 3, 5}}) {
    const Index draws = 15000;
    const Dense<double> A = random_dense<double>(m, n, 21);
    std::map<std::vector<Index>, double> probability, count;
    double total = 0.0;
    each_subset(m, size, [&](const auto& S) {
      const Dense<double> B = taken(A, S);
      Dense<double> G(n, n);
      for (Index i = 0; i < n; ++i) {
        for (Index j = 0; j < n; ++j) {
          for (Index k = 0; k < size; ++k) G(i, j) += B(k, i) * B(k, j);
        }
      }
      total += probability[S] = std::sqrt(det2(G));
    });
    for (auto& [S, p] : probability) p /= total;
    const auto basis = sel::orthonormal_basis(matrix(A));
    for (Index k = 0; k < draws; ++k) ++count[sel::sample_volume<double>(basis.Q(), size, 7, k)];
    const auto [sum, degrees] = chi2(probability, count, static_cast<double>(draws));
    CHECK(sum < chi2_bound(degrees));
  }
}

TEST_CASE("volume sampling can ask for a well-conditioned sample") {
  const Dense<double> A = random_dense<double>(400, 5, 2);
  const auto out = sel::volume_sampling(
      matrix(A),
      {.size = 40, .method = sel::VolumeMethod::leverage, .least_eigenvalue = 0.5, .seed = 3});
  CHECK(out.status == Status::converged);
  CHECK(out.least_eigenvalue >= 0.5);
  CHECK(out.rows.size() == 40);
  const auto never = sel::volume_sampling(
      matrix(A), {.size = 6, .least_eigenvalue = 0.999, .max_draws = 4, .seed = 3});
  CHECK(never.status == Status::max_iterations);
  CHECK(never.draws == 4);
  CHECK(never.rows.size() == 6);
  CHECK_THROWS_AS(sel::volume_sampling(matrix(A), {.size = 4}), InvalidArgument);
  CHECK_THROWS_AS(sel::volume_sampling(matrix(A), {.size = 401}), InvalidArgument);
  const auto all = sel::volume_sampling(matrix(A), {.size = 400});
  CHECK(all.rows.front() == 0);
  CHECK(all.rows.back() == 399);
  CHECK(all.least_eigenvalue == doctest::Approx(1.0));
}

TEST_CASE_TEMPLATE("column subsets and their error", T, double, std::complex<double>) {
  for (const auto& [m, n] : {std::pair<Index, Index>{30, 12}, {8, 12}}) {
    const Dense<T> A = random_dense<T>(m, n, 9);
    for (const auto method :
         {sel::SubsetMethod::volume, sel::SubsetMethod::leverage, sel::SubsetMethod::pivoted_qr}) {
      for (const double scale : {1.0, 1e-25, 1e25}) {
        const auto out = sel::column_subset(matrix(A.scaled(scale)), 4, {method, 5});
        CHECK(out.norm == doctest::Approx(scale * A.frobenius()));
        CHECK(out.error >= out.best);
        CHECK(out.error <= 3.0 * out.best);
        CHECK(std::set<Index>(out.columns.begin(), out.columns.end()).size() == 4);
      }
      CHECK(sel::column_subset(matrix(A), std::min(m, n), {method, 5}).error <
            1e-12 * A.frobenius());
    }
    CHECK_THROWS_AS(sel::column_subset(matrix(A), std::min(m, n) + 1), InvalidArgument);
  }
}

TEST_CASE_TEMPLATE("weighted least squares solve the weighted normal equations", T, float, double,
                   std::complex<float>, std::complex<double>) {
  const Index s = 20, n = 5;
  for (const double scale : {1.0, 1e-20, 1e15}) {
    const Dense<T> A = random_dense<T>(s, n, 1).scaled(scale), B = random_dense<T>(s, 2, 2);
    std::vector<double> w(at(s));
    for (Index i = 0; i < s; ++i) w[at(i)] = scale * static_cast<double>(i % 4);
    Dense<T> X(n, 2);
    const auto out =
        sel::weighted_lstsq(matrix(A), matrix(B), w.data(), MatrixView<T>(X.a.data(), n, 2, 1, n));
    CHECK(out.rank == n);
    CHECK(out.condition < 100.0);
    for (Index k = 0; k < 2; ++k) {
      for (Index j = 0; j < n; ++j) {
        WideOf<T> gradient{};
        for (Index i = 0; i < s; ++i) {
          WideOf<T> r = B(i, k);
          for (Index l = 0; l < n; ++l) r -= static_cast<WideOf<T>>(A(i, l)) * WideOf<T>(X(l, k));
          gradient += conjugate(WideOf<T>(A(i, j))) * r * w[at(i)];
        }
        CHECK(std::abs(gradient) < 2e3 * kEps<T> * scale * scale);
      }
    }
  }
}

// ---- watching ----

struct Interrupted {};

/// So many threads, in a scope.
struct Threads {
  explicit Threads(Index count) : before(threads::num_threads()) {
    threads::set_num_threads(count);
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { threads::set_num_threads(before); }
  Index before;
};

/// Throws at the look number `last`, and counts them.
struct Interrupt {
  Index last = 0, looks = 0;
  void operator()() {
    if (++looks == last) throw Interrupted{};
  }
};

TEST_CASE("every method looks up from its passes, and a look can end it") {
  const Dense<double> A = random_dense<double>(20000, 8, 3),
                      wide = random_dense<double>(300, 200, 3);
  const auto basis = sel::orthonormal_basis(matrix(A));
  Dense<double> Q(A.m, A.n);
  std::copy(basis.q.begin(), basis.q.end(), Q.a.begin());
  std::vector<double> out(at(A.m)), ones(at(A.m), 1.0);
  Dense<double> X(A.n, A.n);
  using Run = std::function<void(sel::Look)>;
  const std::vector<Run> runs = {
      [&](sel::Look look) { sel::leverage_scores(matrix(A), out.data(), {}, look); },
      [&](sel::Look look) { sel::leverage_scores(matrix(A), out.data(), {.sketch = 64}, look); },
      [&](sel::Look look) { sel::lewis_weights(basis, 3.9, out.data(), {}, {.look = look}); },
      [&](sel::Look look) { sel::sensitivities(matrix(A), 3.0, out.data(), {}, look); },
      [&](sel::Look look) { sel::projection_dpp(matrix(Q), {.repeats = 3}, look); },
      [&](sel::Look look) { sel::projection_dpp(matrix(A), {}, look); },
      [&](sel::Look look) { sel::volume_sampling(matrix(A), {.size = 12}, look); },
      [&](sel::Look look) {
        sel::volume_sampling(matrix(A), {.size = 12, .method = sel::VolumeMethod::leverage}, look);
      },
      [&](sel::Look look) { sel::maxvol(matrix(A), {.tol = 1.0}, {.look = look}); },
      [&](sel::Look look) { sel::maxvol_rectangular(matrix(A), {.size = 20}, {.look = look}); },
      [&](sel::Look look) { sel::column_subset(matrix(wide), 20, {}, look); },
      [&](sel::Look look) {
        sel::weighted_lstsq<double>(matrix(A), matrix(A), ones.data(),
                                    {X.a.data(), A.n, A.n, 1, A.n}, 0.0, look);
      },
  };
  for (const Index threads : {Index{1}, Index{4}}) {
    const Threads use(threads);
    for (std::size_t i = 0; i < runs.size(); ++i) {
      CAPTURE(i);
      // How many parts of a pass fall to the thread that looks, is chance with several.
      Interrupt never;
      runs[i](never);
      CHECK(never.looks > (threads == 1 ? 3 : 0));
      const Index third = threads == 1 ? never.looks / 3 + 1 : 1;
      for (const Index last : {Index{1}, third}) {
        Interrupt interrupt{last};
        CHECK_THROWS_AS(runs[i](interrupt), Interrupted);
        CHECK(interrupt.looks == last);
      }
    }
  }
}

TEST_CASE("looks lie close in passes of any shape") {
  // No more than a few times `kWork` elements of a pass over A from one look to the next.
  const Threads one(1);
  for (const auto& [m, n] : {std::pair<Index, Index>{400000, 1}, {40000, 10}, {2000, 200}}) {
    CAPTURE(m);
    const Dense<double> A = random_dense<double>(m, n, 1);
    Interrupt never;
    sel::column_scales(matrix(A), never);
    CHECK(never.looks >= 2 * (m * n / sel::Pace::kWork / 2));
    CHECK(never.looks <= 2 * (m * n / sel::Pace::kWork + 1));
  }
  Interrupt never;
  sel::Pace pace(never);
  for (int i = 0; i < 1000; ++i) pace(sel::Pace::kWork / 10);
  CHECK(never.looks > 80);
  CHECK(never.looks <= 100);
}

TEST_CASE_TEMPLATE("a product by blocks has the bits of one product", T, double,
                   std::complex<double>) {
  Interrupt look;
  for (const Index m : {Index{1}, Index{7}, Index{64}, Index{131}}) {
    for (const Index n : {Index{16}, Index{17}, Index{49}, Index{131}}) {
      for (const bool adjoint : {false, true}) {
        const Index k = 700;
        const Dense<T> A = adjoint ? random_dense<T>(k, m, 1) : random_dense<T>(m, k, 1);
        const Dense<T> B = random_dense<T>(k, n, 2);
        std::vector<T> whole(at(m * n)), parts(at(m * n));
        const BlockView<const T> a{A.a.data(), A.m, A.n, A.m}, b{B.a.data(), k, n, k};
        dense::multiply<T>(a, b, BlockView<T>{whole.data(), m, n, m}, adjoint);
        const Index before = look.looks;
        sel::multiply<T>(a, b, BlockView<T>{parts.data(), m, n, m}, adjoint, look, 1);
        CHECK(whole == parts);
        CHECK(look.looks - before == std::max<Index>(n / 16, 1));
      }
    }
  }
}

TEST_CASE("observers see the iterations, and what they stop is evaluated") {
  const Dense<double> A = random_dense<double>(3000, 20, 4);
  const auto basis = sel::orthonormal_basis(matrix(A));
  std::vector<double> w(at(A.m)), limited(at(A.m)), seen;
  auto stop_at_3 = [&](const Iteration& now) {
    CHECK(now.iteration == static_cast<Index>(seen.size()) + 1);
    CHECK(now.seconds() >= 0.0);
    seen.push_back(now.residual);
    return now.iteration == 3;
  };
  sel::Watch watch;
  watch.monitor.observer = stop_at_3;
  const auto lewis = sel::lewis_weights(basis, 3.0, w.data(), {}, watch);
  CHECK(lewis.status == Status::stopped);
  CHECK(lewis.iterations == 3);
  CHECK(lewis.residual == seen.back());
  sel::lewis_weights(basis, 3.0, limited.data(), {.max_iterations = 3});
  CHECK(w == limited);

  seen.clear();
  const auto square = sel::maxvol(matrix(A), {.tol = 1.0}, watch);
  CHECK(square.status == Status::stopped);
  CHECK(square.swaps == 3);
  const auto three = sel::maxvol(matrix(A), {.tol = 1.0, .max_swaps = 3});
  CHECK(square.rows == three.rows);
  CHECK(square.coefficients == three.coefficients);
  CHECK(square.largest == three.largest);

  // The limit of exchanges says more than a stop at the same one.
  seen.clear();
  CHECK(sel::maxvol(matrix(A), {.tol = 1.0, .max_swaps = 3}, watch).status ==
        Status::max_iterations);

  // In the second phase, and in the first.
  const auto whole = sel::maxvol_rectangular(matrix(A), {.size = 40});
  for (const Index more : {Index{2}, Index{0}}) {
    seen.clear();
    const Index last = more > 0 ? whole.swaps + more : 1;
    auto stop = [&](const Iteration& now) {
      CHECK(now.iteration == static_cast<Index>(seen.size()) + 1);
      seen.push_back(now.residual);
      return now.iteration == last;
    };
    watch.monitor.observer = stop;
    const auto out = sel::maxvol_rectangular(matrix(A), {.tol = 100.0, .size = 40}, watch);
    CHECK(out.status == Status::stopped);  // the tolerance is met, the size is not
    CHECK(std::ssize(out.rows) == 20 + more);
    double longest = 0.0;
    for (Index i = 0; i < A.m; ++i) {
      double norm2 = 0.0;
      for (Index j = 0; j < 20 + more; ++j) {
        norm2 += std::norm(out.coefficients[at(i + j * A.m)]);
      }
      longest = std::max(longest, std::sqrt(norm2));
    }
    CHECK(out.largest == doctest::Approx(longest).epsilon(1e-12));
  }

  watch.monitor = {};
  watch.monitor.timeout = 0.0;
  CHECK(sel::lewis_weights(basis, 3.0, w.data(), {}, watch).status == Status::timeout);
  const auto late = sel::maxvol(matrix(A), {.tol = 1.0}, watch);
  CHECK(late.status == Status::timeout);
  CHECK(late.swaps == 1);
  CHECK(sel::maxvol_rectangular(matrix(A), {.size = 40}, watch).status == Status::timeout);
}

}  // namespace
}  // namespace ritz::testing
