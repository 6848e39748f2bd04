#include "ritz/eigen/eigs.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "problems.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

using Complex = std::complex<double>;

/// Upper Hessenberg: −1 below the diagonal, 1 on it and on three diagonals above. Its eigenvalues
/// are so sensitive that rounding moves them visibly.
template <Field T>
Dense<T> grcar(Index n) {
  Dense<T> A(n, n);
  for (Index i = 0; i < n; ++i) {
    if (i > 0) A(i, i - 1) = T(-1);
    for (Index j = i; j < std::min(n, i + 4); ++j) A(i, j) = T(1);
  }
  return A;
}

/// Zero diagonal, 1 … n − 1 above it and n − 1 … 1 below: eigenvalues n − 1, n − 3, …, 1 − n.
template <Field T>
Dense<T> clement(Index n) {
  Dense<T> A(n, n);
  for (Index i = 0; i + 1 < n; ++i) {
    A(i, i + 1) = static_cast<T>(static_cast<RealOf<T>>(i + 1));
    A(i + 1, i) = static_cast<T>(static_cast<RealOf<T>>(n - 1 - i));
  }
  return A;
}

/// Ones above a constant diagonal.
template <Field T>
Dense<T> jordan(Index n, double value) {
  Dense<T> A(n, n);
  for (Index i = 0; i < n; ++i) {
    A(i, i) = static_cast<T>(static_cast<RealOf<T>>(value));
    if (i + 1 < n) A(i, i + 1) = T(1);
  }
  return A;
}

template <class W>
BlockView<W> block(std::vector<W>& a, Index n) {
  return {a.data(), n, n, n};
}

template <class W>
double frobenius(const std::vector<W>& a) {
  double sum = 0.0;
  for (const W& x : a) sum += std::norm(x);
  return std::sqrt(sum);
}

/// ‖QᴴQ − I‖ and ‖A Q − Q T‖.
template <class W>
std::pair<double, double> schur_errors(const Dense<W>& A, const std::vector<W>& T,
                                       const std::vector<W>& Q) {
  const Index n = A.n;
  long double orthogonality = 0, backward = 0;
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) {
      Long<W> dot{}, error{};
      for (Index l = 0; l < n; ++l) {
        dot += conj_long(lengthen(Q[at(l + i * n)])) * lengthen(Q[at(l + j * n)]);
        error += lengthen(A(i, l)) * lengthen(Q[at(l + j * n)]) -
                 lengthen(Q[at(i + l * n)]) * lengthen(T[at(l + j * n)]);
      }
      if (i == j) dot -= 1.0L;
      orthogonality += std::norm(dot);
      backward += std::norm(error);
    }
  }
  return {static_cast<double>(std::sqrt(orthogonality)), static_cast<double>(std::sqrt(backward))};
}

/// Everything below the diagonal blocks is zero, and every 2 × 2 block has a conjugate pair.
template <class W>
void check_triangular(const std::vector<W>& T, Index n) {
  for (Index j = 0; j < n; ++j) {
    for (Index i = j + 1; i < n; ++i) {
      const W x = T[at(i + j * n)];
      if constexpr (std::is_same_v<W, double>) {
        if (i == j + 1 && x != 0.0) {
          const double a = T[at(j + j * n)], d = T[at(i + i * n)], b = T[at(j + i * n)];
          CHECK(0.25 * (a - d) * (a - d) + b * x < 0.0);
          if (j + 2 < n) CHECK(T[at(j + 2 + (j + 1) * n)] == 0.0);
          continue;
        }
      }
      CHECK(x == W{});
    }
  }
}

constexpr auto any_order = [](Complex) { return 0.0; };

/// Distance of the set of values from another, by greedy matching.
double set_distance(std::vector<Complex> a, std::vector<Complex> b) {
  double worst = 0.0;
  for (const Complex x : a) {
    auto nearest = std::min_element(b.begin(), b.end(), [x](Complex y, Complex z) {
      return std::abs(x - y) < std::abs(x - z);
    });
    worst = std::max(worst, std::abs(x - *nearest));
    b.erase(nearest);
  }
  return worst;
}

template <class W>
std::vector<std::pair<const char*, Dense<W>>> schur_problems() {
  std::vector<std::pair<const char*, Dense<W>>> all;
  all.emplace_back("one", random_dense<W>(1, 1, 2));
  all.emplace_back("two", random_dense<W>(2, 2, 2));
  all.emplace_back("random", random_dense<W>(30, 30, 5));
  all.emplace_back("grcar", grcar<W>(40));
  all.emplace_back("clement", clement<W>(25));
  all.emplace_back("jordan", jordan<W>(12, 0.5));
  all.emplace_back("nilpotent", jordan<W>(12, 0.0));
  all.emplace_back("zero", Dense<W>(6, 6));
  auto rotations = Dense<W>(10, 10);
  for (Index i = 0; i < 10; i += 2) {
    rotations(i, i + 1) = static_cast<W>(static_cast<double>(i + 1));
    rotations(i + 1, i) = -rotations(i, i + 1);
  }
  const auto Q = random_dense<W>(10, 10, 9);
  auto mixed = Q;  // Q rotations: general, with pairs
  for (Index j = 0; j < 10; ++j)
    rotations.apply({&Q.a[at(10 * j)], 10}, {&mixed.a[at(10 * j)], 10});
  all.emplace_back("rotations", rotations);
  all.emplace_back("mixed", mixed);
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("schur: orthogonal, backward stable, in any order", W, double, Complex) {
  for (const auto& [name, A] : schur_problems<W>()) {
    for (const double scale : {1.0, 1e-25, 1e25, 1e-150, 1e150}) {
      CAPTURE(name);
      CAPTURE(scale);
      const Index n = A.n;
      const auto B = A.scaled(scale);
      const double size = static_cast<double>(n) * 0x1p-52, norm_a = A.frobenius();
      std::vector<Complex> before;
      for (const bool extended : {false, true}) {
        for (const bool sorted : {false, true}) {
          const auto key = [sorted](Complex value) { return sorted ? -value.real() : 0.0; };
          std::vector<W> T = B.a, Q(B.a.size());
          REQUIRE(dense::schur(block(T, n), block(Q, n), key, extended));
          for (W& x : T) x /= scale;  // norms in units of the scale: their squares are in range
          check_triangular(T, n);
          const auto [orthogonality, backward] = schur_errors(A, T, Q);
          CHECK(orthogonality <= (extended ? 1.0 : 10.0) * size);
          CHECK(backward <= (extended ? 1.0 : 10.0) * size * norm_a);
          std::vector<Complex> values(at(n));
          dense::schur_values(BlockView<const W>(block(T, n)), std::span(values));
          const std::string which = name;
          if (which == "grcar" || which == "jordan") continue;  // too sensitive
          if (!sorted) {
            before = values;
          } else {
            CHECK(set_distance(before, values) <= 1e-12 * norm_a);
            for (std::size_t i = 1; i < values.size(); ++i) {
              CHECK(values[i].real() <= values[i - 1].real() + 1e-12 * norm_a);
            }
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("schur: eigenvectors have small residuals, conditions are those of the matrix",
                   W, double, Complex) {
  for (const auto& [name, A] : schur_problems<W>()) {
    CAPTURE(name);
    const Index n = A.n;
    std::vector<W> T = A.a, Q(A.a.size());
    REQUIRE(dense::schur(block(T, n), block(Q, n), any_order, true));
    std::vector<Complex> values(at(n)), X(at(n * n));
    std::vector<double> conditions(at(n));
    const BlockView<const W> form = block(T, n);
    dense::schur_values(form, std::span(values));
    dense::schur_vectors(form, block(X, n));
    dense::schur_conditions(form, std::span(conditions));
    const double norm_a = frobenius(A.a);
    for (Index j = 0; j < n; ++j) {
      double residual = 0.0, length = 0.0;
      for (Index i = 0; i < n; ++i) {
        Complex sum = -values[at(j)] * X[at(i + j * n)];
        for (Index l = 0; l < n; ++l) sum += Complex(T[at(i + l * n)]) * X[at(l + j * n)];
        residual += std::norm(sum);
        length += std::norm(X[at(i + j * n)]);
      }
      CHECK(std::sqrt(length) == doctest::Approx(1.0));
      CHECK(std::sqrt(residual) <= 20.0 * static_cast<double>(n) * 0x1p-52 * norm_a);
      CHECK(conditions[at(j)] >= 1.0);
      if (std::is_same_v<W, double> && values[at(j)].imag() == 0.0) {
        for (Index i = 0; i < n; ++i) CHECK(X[at(i + j * n)].imag() == 0.0);
      }
    }
    if (std::string(name) == "nilpotent") CHECK(conditions[0] > 1e10);
    if (std::string(name) == "rotations") CHECK(conditions[0] == doctest::Approx(1.0));
  }
  // (1 s; 0 2): the eigenvectors meet at an angle with sine 1/√(1 + s²).
  Dense<W> A(2, 2);
  A(0, 0) = W(1);
  A(0, 1) = W(1000);
  A(1, 1) = W(2);
  std::vector<double> conditions(2);
  dense::schur_conditions(BlockView<const W>(block(A.a, 2)), std::span(conditions));
  CHECK(conditions[0] == doctest::Approx(std::sqrt(1.0 + 1e6)));
  CHECK(conditions[1] == doctest::Approx(std::sqrt(1.0 + 1e6)));
}

namespace {

template <class S>
struct Solved {
  using T = typename S::Value;
  std::vector<Complex> values;
  std::vector<double> residuals, conditions;
  std::vector<T> storage;
  Index n = 0;
  EigsOutcome out;

  BlockView<T> columns() { return {storage.data(), n, static_cast<Index>(values.size()) + 1, n}; }
  /// The eigenvector of values[i].
  std::vector<Complex> vector(Index i) const {
    std::vector<Complex> x(at(n));
    const T* column = &storage[at(i * n)];
    const double sign = values[at(i)].imag() < 0.0 ? -1.0 : 1.0;
    for (Index l = 0; l < n; ++l) {
      if constexpr (RealField<T>) {
        if (values[at(i)].imag() == 0.0) {
          x[at(l)] = static_cast<double>(column[l]);
        } else {
          const T* real = sign > 0.0 ? column : column - n;
          x[at(l)] = {static_cast<double>(real[l]), sign * static_cast<double>(real[l + n])};
        }
      } else {
        x[at(l)] = static_cast<Complex>(column[l]);
      }
    }
    return x;
  }
};

template <class S, class A, class M = NoOperator, class F = NoOperator>
Solved<S> solve(const A& op, const EigsOptions& opt, const Monitor& monitor = {},
                const M& mass = {}, const F& inverse = {}, Checkpoint* checkpoint = nullptr,
                const std::vector<typename S::Value>& start = {}) {
  S space;
  EigsWorkspace<S> ws;
  Solved<S> result;
  result.n = op.rows();
  result.values.assign(at(opt.k), Complex(-7.0));
  result.residuals.assign(at(opt.k), -7.0);
  result.conditions.assign(at(opt.k), -7.0);
  result.storage.resize(at(result.n * (opt.k + 1)));
  std::copy(start.begin(), start.end(), result.storage.begin());
  result.out = eigs(space, op,
                    EigsPairs<typename S::Value>{result.values, result.residuals, result.conditions,
                                                 result.columns()},
                    ws, opt, monitor, mass, inverse, checkpoint);
  return result;
}

EigsOptions options(Index k, EigsWhich which = EigsWhich::magnitude, Index ncv = 0) {
  EigsOptions opt;
  opt.k = k;
  opt.which = which;
  opt.ncv = ncv;
  return opt;
}

constexpr EigsWhich kAll[] = {EigsWhich::magnitude, EigsWhich::real_largest,
                              EigsWhich::real_smallest, EigsWhich::imaginary_largest,
                              EigsWhich::imaginary_smallest};

double key(Complex value, EigsWhich which, bool real) {
  switch (which) {
    case EigsWhich::real_largest:
      return -value.real();
    case EigsWhich::real_smallest:
      return value.real();
    case EigsWhich::imaginary_largest:
      return real ? -std::abs(value.imag()) : -value.imag();
    case EigsWhich::imaginary_smallest:
      return real ? std::abs(value.imag()) : value.imag();
    default:
      return -std::abs(value);
  }
}

/// All eigenvalues, in double precision.
template <Field T>
std::vector<Complex> spectrum(const Dense<T>& A) {
  using W = WideOf<T>;
  std::vector<W> form(A.a.begin(), A.a.end()), Q(A.a.size());
  REQUIRE(dense::schur(block(form, A.n), block(Q, A.n), any_order, true));
  std::vector<Complex> values(at(A.n));
  dense::schur_values(BlockView<const W>(block(form, A.n)), std::span(values));
  return values;
}

/// Everything that a converged run promises: residuals that are true and within the target, unit
/// vectors, conjugate pairs, and truthful counters.
template <class S, Field T>
void check_pairs(const Dense<T>& A, const Solved<S>& run, const EigsOptions& opt) {
  CHECK(run.out.status == Status::converged);
  CHECK(run.out.found == opt.k);
  CHECK(run.out.converged == opt.k);
  CHECK(run.out.verified);
  CHECK(run.out.norm_a <= A.frobenius() * (1.0 + 64.0 * kEps<T>));
  for (Index i = 0; i < opt.k; ++i) {
    CAPTURE(i);
    const auto x = run.vector(i);
    const Complex lambda = run.values[at(i)];
    long double residual = 0, length = 0;
    for (Index row = 0; row < A.n; ++row) {
      std::complex<long double> sum =
          -std::complex<long double>(lambda * 1.0) * std::complex<long double>(x[at(row)]);
      for (Index l = 0; l < A.n; ++l) {
        sum += std::complex<long double>(static_cast<Complex>(static_cast<WideOf<T>>(A(row, l)))) *
               std::complex<long double>(x[at(l)]);
      }
      residual += std::norm(sum);
      length += std::norm(x[at(row)]);
    }
    CHECK(static_cast<double>(length) == doctest::Approx(1.0).epsilon(1e-4));
    const double bound = run.residuals[at(i)];
    CHECK(bound <= run.out.target * (1.0 + 1e-12));
    CHECK(std::abs(static_cast<double>(std::sqrt(residual)) - bound) <=
          4.0 * kEps<T> * A.frobenius());
    CHECK(run.conditions[at(i)] >= 1.0);
    if (RealField<T> && lambda.imag() < 0.0) {
      REQUIRE(i > 0);
      CHECK(run.values[at(i - 1)] == std::conj(lambda));
      CHECK(run.residuals[at(i - 1)] == bound);
    }
  }
}

/// And the values are the wanted ones of the truth, as far as their conditions let them.
template <class S, Field T>
void check_values(const Dense<T>& A, const Solved<S>& run, const EigsOptions& opt,
                  double condition = 1e3) {
  const double slack = 64.0 * kEps<T> * A.frobenius() * condition;
  auto truth = spectrum(A);
  CHECK(set_distance(run.values, truth) <= slack);
  std::vector<double> wanted, got;
  for (const Complex x : truth) wanted.push_back(key(x, opt.which, RealField<T>));
  for (const Complex x : run.values) got.push_back(key(x, opt.which, RealField<T>));
  std::sort(wanted.begin(), wanted.end());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) <= slack);
}

/// Solves with A + shift I by elimination.
template <Field T>
struct Inverse {
  const Dense<T>& A;
  Long<T> shift;

  Index rows() const { return A.n; }
  Index cols() const { return A.n; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    std::vector<Long<T>> K(A.a.begin(), A.a.end()), b(x.begin(), x.end());
    for (Index i = 0; i < A.n; ++i) K[at(i + i * A.n)] += shift;
    const auto solution = eliminate(K, b);
    for (Index i = 0; i < A.n; ++i) y[i] = static_cast<T>(solution[at(i)]);
  }
};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("eigs: a random matrix, every end of its spectrum", S, eigs_random) {
  using T = typename S::Value;
  const auto A = random_dense<T>(60, 60, 7);
  for (const EigsWhich which : kAll) {
    for (const Index k : {Index{1}, Index{2}, Index{5}, Index{6}}) {
      CAPTURE(k);
      CAPTURE(static_cast<int>(which));
      auto opt = options(k, which, 30);
      opt.seed.seed = 5;
      opt.max_restarts = 300;
      const auto counted = faulty<T>(A);
      const auto run = solve<S>(counted, opt);
      CHECK(run.out.products.total() == counted.applied);
      CHECK(run.out.products.total() >= run.out.iterations + k);
      CHECK(run.out.products.total() <= run.out.iterations + k + 1);
      // An interior end has no other guarantee than honesty.
      if (RealField<T> && which == EigsWhich::imaginary_smallest) {
        CHECK(run.out.status != Status::nonfinite);
        continue;
      }
      check_pairs(A, run, opt);
      check_values(A, run, opt);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(eigs_random, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("eigs: all eigenvalues, tiny operators, and one of each kind", S,
                          eigs_whole) {
  using T = typename S::Value;
  for (const Index n : {Index{1}, Index{2}, Index{3}, Index{8}}) {
    const auto A = random_dense<T>(n, n, 40 + static_cast<std::uint64_t>(n));
    for (Index k = 1; k <= n; ++k) {
      CAPTURE(n);
      CAPTURE(k);
      const auto run = solve<S>(A, options(k));
      check_pairs(A, run, options(k));
      check_values(A, run, options(k));
    }
  }
  SUBCASE("zero") {
    const Dense<T> A(30, 30);
    const auto run = solve<S>(A, options(4));
    check_pairs(A, run, options(4));
    for (const Complex x : run.values) CHECK(x == Complex{});
  }
  SUBCASE("identity") {
    const auto A = with_values<T>(30, std::vector<double>(30, 1.0), true, 1);
    const auto run = solve<S>(A, options(4));
    check_pairs(A, run, options(4));
    CHECK(run.out.restarts == 0);
    for (const Complex x : run.values) CHECK(std::abs(x - 1.0) <= 20.0 * kEps<T>);
  }
  SUBCASE("rank one") {
    Dense<T> A(40, 40);
    const auto u = gaussian<T>(40, 1), v = gaussian<T>(40, 2);
    for (Index j = 0; j < 40; ++j) {
      for (Index i = 0; i < 40; ++i) A(i, j) = u[at(i)] * v[at(j)];
    }
    const auto run = solve<S>(A, options(3));
    check_pairs(A, run, options(3));
    CHECK(std::abs(run.values[1]) <= 64.0 * kEps<T> * A.frobenius());
  }
  SUBCASE("a multiple eigenvalue that one Krylov space sees once") {
    std::vector<double> values(40, 1.0);
    std::fill_n(values.begin(), 4, 5.0);
    const auto A = hermitian<T>(values, 6);
    const auto run = solve<S>(A, options(5));
    check_pairs(A, run, options(5));
    for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(run.values[i] - 5.0) <= 1e3 * kEps<T>);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigs_whole, AllSpaces);

TEST_CASE_TEMPLATE("eigs: rotations, Clement, companion; defective and far from normal", T, double,
                   Complex) {
  using S = HostSpace<T>;
  SUBCASE("rotations have imaginary pairs, which stay together") {
    Dense<T> A(40, 40);
    for (Index i = 0; i < 40; i += 2) {
      A(i, i + 1) = static_cast<T>(static_cast<double>(i + 1));
      A(i + 1, i) = -A(i, i + 1);
    }
    for (const Index k : {Index{4}, Index{5}}) {
      const auto run = solve<S>(A, options(k));
      check_pairs(A, run, options(k));
      for (Index i = 0; i < k; ++i) {
        CHECK(std::abs(run.values[at(i)]) ==
              doctest::Approx(39.0 - 2.0 * static_cast<double>(i / 2)));
        CHECK(std::abs(run.values[at(i)].real()) < 1e-11);
        CHECK(run.conditions[at(i)] == doctest::Approx(1.0));
      }
    }
  }
  SUBCASE("Clement") {
    const auto A = clement<T>(60);
    const auto run = solve<S>(A, options(5, EigsWhich::real_largest));
    check_pairs(A, run, options(5, EigsWhich::real_largest));
    for (Index i = 0; i < 5; ++i) {
      CHECK(std::abs(run.values[at(i)] - (59.0 - 2.0 * static_cast<double>(i))) < 1e-9);
    }
  }
  SUBCASE("the companion matrix of xⁿ − 1: the roots of unity") {
    Dense<T> A(24, 24);
    for (Index i = 0; i < 24; ++i) A((i + 1) % 24, i) = T(1);
    const auto run = solve<S>(A, options(3, EigsWhich::real_largest));
    check_pairs(A, run, options(3, EigsWhich::real_largest));
    CHECK(std::abs(run.values[0] - 1.0) < 1e-12);
    CHECK(run.values[1].real() == doctest::Approx(std::cos(std::numbers::pi / 12)));
  }
  SUBCASE("Grcar: hundreds of restarts, small residuals all the same") {
    const auto A = grcar<T>(60);
    const auto opt = options(6, EigsWhich::real_largest, 24);
    const auto run = solve<S>(A, opt);
    CHECK(run.out.restarts > 50);
    check_pairs(A, run, opt);
  }
  SUBCASE("Jordan blocks: the residual is small, the condition says what the value is worth") {
    for (const double value : {0.0, 2.0}) {
      const auto A = jordan<T>(20, value);
      const auto run = solve<S>(A, options(3));
      check_pairs(A, run, options(3));
      CHECK(run.conditions[0] > 1e8);
    }
  }
}

TEST_CASE_TEMPLATE_DEFINE("eigs: scale changes nothing", S, eigs_scale) {
  using T = typename S::Value;
  const auto A = random_dense<T>(50, 50, 8);
  const auto opt = options(4, EigsWhich::real_largest);
  const auto base = solve<S>(A, opt);
  // Powers of two: the same bits; and the ends of the range.
  const bool single = sizeof(RealOf<T>) == 4;
  for (const double s : {0x1p-20, 0x1p20, single ? 0x1p-26 : 0x1p-83, single ? 0x1p26 : 0x1p83}) {
    const auto run = solve<S>(A.scaled(s), opt);
    CHECK(run.out.status == base.out.status);
    CHECK(run.out.iterations == base.out.iterations);
    CHECK(run.out.products.total() == base.out.products.total());
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(std::abs(run.values[i] / s - base.values[i]) <= 1e-12);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigs_scale, AllSpaces);

TEST_CASE_TEMPLATE("eigs: nearest a target, by the solves of the caller", T, double, Complex) {
  using S = HostSpace<T>;
  const auto A = random_dense<T>(40, 40, 12);
  auto opt = options(5);
  opt.invert = true;
  opt.sigma = RealField<T> ? Complex(0.7) : Complex(0.7, -0.4);
  Long<T> shift;
  if constexpr (RealField<T>) {
    shift = -0.7L;
  } else {
    shift = Long<T>(-0.7L, 0.4L);
  }
  const Inverse<T> inverse{A, shift};
  const auto run = solve<S>(A, opt, {}, NoOperator{}, inverse);
  check_pairs(A, run, opt);
  auto truth = spectrum(A);
  std::sort(truth.begin(), truth.end(), [&](Complex a, Complex b) {
    return std::abs(a - opt.sigma) < std::abs(b - opt.sigma);
  });
  truth.resize(RealField<T> ? 6 : 5);  // a pair may be cut
  CHECK(set_distance(run.values, truth) <= 1e-9);
  CHECK(run.out.preconditioner == run.out.iterations);
  CHECK(run.out.products.total() <= 4 + 6);

  SUBCASE("a target between two matrices: A x = λ M x") {
    std::vector<double> masses;
    for (Index i = 0; i < 40; ++i) masses.push_back(1.0 + 0.1 * static_cast<double>(i));
    const auto M = diagonal_matrix<T>(masses);
    Dense<T> shifted = A, B = A;  // A − σM, and M⁻¹A as the oracle
    for (Index i = 0; i < 40; ++i) {
      shifted(i, i) += static_cast<T>(shift * lengthen(M.d[at(i)]));
      for (Index j = 0; j < 40; ++j) B(i, j) /= M.d[at(i)];
    }
    const Inverse<T> solves{shifted, Long<T>{}};
    const auto pencil = solve<S>(A, opt, {}, M, solves);
    CHECK(pencil.out.status == Status::converged);
    auto all = spectrum(B);
    std::sort(all.begin(), all.end(), [&](Complex a, Complex b) {
      return std::abs(a - opt.sigma) < std::abs(b - opt.sigma);
    });
    all.resize(6);
    CHECK(set_distance(pencil.values, all) <= 1e-9);
    CHECK(pencil.out.mass >= pencil.out.iterations);

    std::vector<double> reciprocals;
    for (const double x : masses) reciprocals.push_back(1.0 / x);
    const auto inverse_mass = diagonal_matrix<T>(reciprocals);
    const auto plain = solve<S>(A, options(4), {}, M, inverse_mass);
    CHECK(plain.out.status == Status::converged);
    const auto standard = solve<S>(B, options(4));
    CHECK(set_distance(plain.values, standard.values) <= 1e-10);
  }
}

TEST_CASE_TEMPLATE("eigs: a loose tolerance finds the copies of a multiple eigenvalue", T, float,
                   double, Complex) {
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(0.01 * i);
  for (const double x : {5.0, 5.0, 4.0, 3.0, 3.0}) values.push_back(x);
  const auto A = hermitian<T>(values, 11);
  auto opt = options(4, EigsWhich::real_largest);
  opt.tol = 1e-3;
  const auto run = solve<HostSpace<T>>(A, opt);
  check_pairs(A, run, opt);
  const double truth[] = {5.0, 5.0, 4.0, 3.0};
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(run.values[i] - truth[i]) <= 1e-2);
}

TEST_CASE("eigs: a killed run goes on to the same bits") {
  using S = HostSpace<double>;
  const auto A = clement<double>(80);
  const auto opt = options(4);
  const auto whole = solve<S>(A, opt);
  REQUIRE(whole.out.restarts > 4);
  const auto path = (std::filesystem::temp_directory_path() / "ritz_eigs_test.checkpoint").string();
  std::filesystem::remove(path);
  Checkpoint first(path, 0.0);
  const auto failing = faulty<double>(A, 0, whole.out.products.apply / 2);
  CHECK_THROWS_AS(solve<S>(failing, opt, {}, NoOperator{}, NoOperator{}, &first), int);
  REQUIRE(std::filesystem::exists(path));
  Checkpoint other(path, 0.0);
  CHECK_THROWS_AS(solve<S>(A, options(5), {}, NoOperator{}, NoOperator{}, &other), InvalidArgument);
  Checkpoint second(path, 0.0);
  const auto counted = faulty<double>(A);
  const auto resumed = solve<S>(counted, opt, {}, NoOperator{}, NoOperator{}, &second);
  CHECK(counted.applied < whole.out.products.total());
  CHECK(resumed.out.products.total() == whole.out.products.total());
  CHECK(resumed.out.iterations == whole.out.iterations);
  CHECK(resumed.values == whole.values);
  CHECK(resumed.storage == whole.storage);
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE_TEMPLATE_DEFINE("eigs: other endings", S, eigs_endings) {
  using T = typename S::Value;
  const auto A = random_dense<T>(60, 60, 3);
  SUBCASE("a NaN, and an exception") {
    const auto poisoned = faulty<T>(A, 25);
    CHECK(solve<S>(poisoned, options(3)).out.status == Status::nonfinite);
    const auto throwing = faulty<T>(A, 0, 25);
    CHECK_THROWS_AS(solve<S>(throwing, options(3)), int);
  }
  SUBCASE("limits") {
    auto opt = options(4, EigsWhich::real_largest, 12);
    opt.max_restarts = 1;
    const auto run = solve<S>(A, opt);
    CHECK(run.out.status == Status::max_iterations);
    CHECK(run.out.found == 4);
    CHECK(run.out.residual > run.out.target);
    Monitor monitor;
    monitor.max_products = 9;
    opt.verify = false;
    const auto cut = solve<S>(A, opt, monitor);
    CHECK(cut.out.status == Status::max_products);
    CHECK(cut.out.products.total() == 9);
    CHECK_FALSE(cut.out.verified);
    monitor.max_products = 2;
    CHECK(solve<S>(A, opt, monitor).out.found == 2);
  }
  SUBCASE("a loose tolerance costs less, the same seed gives the same bits, a start is used") {
    auto loose = options(4, EigsWhich::real_largest);
    loose.tol = 1e-3;
    const auto run = solve<S>(A, loose), again = solve<S>(A, loose);
    const auto tight = solve<S>(A, options(4, EigsWhich::real_largest));
    CHECK(run.out.status == Status::converged);
    CHECK(run.out.iterations < tight.out.iterations);
    CHECK(run.storage == again.storage);
    loose.seed.seed = 1;
    CHECK(solve<S>(A, loose).storage != run.storage);
    auto warm = options(1, EigsWhich::real_largest);
    warm.tol = 1e-3;
    const auto cold = solve<S>(A, warm);
    warm.warm_start = true;
    auto start = cold.storage;
    CHECK(solve<S>(A, warm, {}, NoOperator{}, NoOperator{}, nullptr, start).out.iterations <=
          cold.out.iterations);
  }
  SUBCASE("misuse") {
    CHECK_THROWS_AS(solve<S>(A, options(61)), InvalidArgument);
    CHECK_THROWS_AS(solve<S>(A, options(4, EigsWhich::magnitude, 5)), InvalidArgument);
    CHECK_THROWS_AS(solve<S>(random_dense<T>(4, 3, 1), options(1)), InvalidArgument);
    CHECK_THROWS_AS(solve<S>(A, options(2), {}, A), InvalidArgument);
    auto opt = options(2);
    opt.invert = true;
    CHECK_THROWS_AS(solve<S>(A, opt), InvalidArgument);
  }
}
TEST_CASE_TEMPLATE_APPLY(eigs_endings, SomeSpaces);
