#include "ritz/lowrank/nystrom.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "problems.hpp"
#include "ritz/lowrank/nystrom_generalized.hpp"
#include "ritz/op/nystrom_preconditioner.hpp"
#include "ritz/op/symmetric_polynomial.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class T>
struct Approximation {
  NystromOutcome out;
  std::vector<T> U;  // column-major
  Index n = 0;

  /// A − Â, dense.
  Dense<T> rest(const Dense<T>& A) const {
    Dense<T> E = A;
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < n; ++i) {
        Long<T> sum = lengthen(A(i, j));
        for (Index k = 0; k < out.rank; ++k) {
          sum -= lengthen(U[at(i + k * n)]) * static_cast<long double>(out.lambda[at(k)]) *
                 conj_long(lengthen(U[at(j + k * n)]));
        }
        E(i, j) = static_cast<T>(sum);
      }
    }
    return E;
  }
  /// ‖UᴴU − I‖_F
  double orthogonality() const {
    long double sum = 0;
    for (Index j = 0; j < out.rank; ++j) {
      for (Index k = 0; k < out.rank; ++k) {
        Long<T> dot = j == k ? Long<T>(-1) : Long<T>(0);
        for (Index i = 0; i < n; ++i) {
          dot += conj_long(lengthen(U[at(i + j * n)])) * lengthen(U[at(i + k * n)]);
        }
        sum += std::norm(dot);
      }
    }
    return static_cast<double>(std::sqrt(sum));
  }
};

template <class S, class A>
Approximation<typename S::Value> approximate(const A& op, const NystromOptions& opt,
                                             const Monitor& monitor = {}) {
  using T = typename S::Value;
  S space;
  NystromSketchWorkspace<S> ws;
  Approximation<T> a;
  a.out = nystrom(space, op, ws, opt, monitor);
  a.n = op.rows();
  for (Index j = 0; j < a.out.rank; ++j) {
    const auto u = ws.U.column(j);
    a.U.insert(a.U.end(), u.begin(), u.end());
  }
  return a;
}

NystromOptions fixed(Index rank, std::uint64_t seed = 0) {
  NystromOptions opt;
  opt.rank = rank;
  opt.seed.seed = seed;
  return opt;
}
NystromOptions to_tolerance(double tol, Index first = 4) {
  NystromOptions opt;
  opt.rank = first;
  opt.tol = tol;
  return opt;
}

/// `rank` eigenvalues from 1 down to 1/condition, zeros for the rest of n.
std::vector<double> low_rank(Index n, Index rank, double condition) {
  auto values = geometric(rank, condition);
  values.resize(at(n), 0.0);
  return values;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("nystrom: exact when the rank suffices", S, nystrom_exact) {
  using T = typename S::Value;
  for (const Index n : {Index{1}, Index{2}, Index{40}}) {
    for (const Index rank : {Index{1}, std::min<Index>(n, 10), n}) {
      const auto A = hermitian<T>(low_rank(n, rank, 10.0), 3);
      for (const Index k : {rank, std::min(rank + 3, n), n}) {
        const auto counted = faulty<T>(A);
        const auto a = approximate<S>(counted, fixed(k));
        CHECK(a.out.status == Status::converged);
        CHECK(a.out.products.total() == k);
        CHECK(counted.applied == k);
        CHECK(a.orthogonality() <= 200 * kEps<T>);
        // As many columns as the rank may be nearly dependent in the range of A.
        const double tol = (k == rank && k < n ? 1e6 : 500.0) * kEps<T> * A.frobenius();
        CHECK(norm(a.rest(A).a) <= tol);
        CHECK(a.out.lambda[0] == doctest::Approx(1.0).epsilon(tol));
        if (k > rank || k == n) {
          CHECK(a.out.error.frobenius <= 1e3 * kEps<T> * A.frobenius());
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(nystrom_exact, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("nystrom: from below, and equal on the sketch", S, nystrom_below) {
  using T = typename S::Value;
  const Index n = 50, k = 12;
  const auto A = hermitian<T>(geometric(n, 1e4), 5);
  S space;
  NystromSketchWorkspace<S> ws;
  const auto out = nystrom(space, A, ws, fixed(k, 7));
  Approximation<T> a{out, {}, n};
  for (Index j = 0; j < k; ++j) a.U.insert(a.U.end(), ws.U.column(j).begin(), ws.U.column(j).end());
  const auto E = a.rest(A);
  CHECK(out.shift > 0.0);
  // E Ω = 0 up to the shift that the factorisation was made with.
  std::vector<T> y(at(n));
  for (Index j = 0; j < k; ++j) {
    E.apply(ws.Omega.column(j), view(y));
    CHECK(norm(y) <= 20 * (out.shift + kEps<T>));
  }
  // E ⪰ 0: no xᴴEx is negative beyond the shift.
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto x = gaussian<T>(n, seed);
    E.apply(view(x), view(y));
    S s;
    CHECK(s.read(s.real_dot(view(x), view(y))) >= -2.0 * out.shift * norm(x) * norm(x));
  }
  for (Index j = 0; j < k; ++j) {
    CHECK(out.lambda[at(j)] >= 0.0);
    if (j > 0) CHECK(out.lambda[at(j)] <= out.lambda[at(j - 1)]);
  }
}
TEST_CASE_TEMPLATE_APPLY(nystrom_below, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("nystrom: a rank that grows keeps its columns", S, nystrom_grows) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(60, 1e6), 2);
  const auto counted = faulty<T>(A);
  const auto grown = approximate<S>(counted, to_tolerance(1e-2));
  CHECK(grown.out.status == Status::converged);
  CHECK(grown.out.verified);
  CHECK(grown.out.residual <= grown.out.target);
  CHECK(grown.out.products.total() == grown.out.rank);
  CHECK(counted.applied == grown.out.rank);
  const auto at_once = approximate<S>(A, fixed(grown.out.rank));
  CHECK(at_once.out.rank == grown.out.rank);
  CHECK(distance(at_once.rest(A).a, grown.rest(A).a) <= 1e3 * kEps<T>);
  CHECK(norm(grown.rest(A).a) <= 1e-2 * A.frobenius());

  auto bounded = to_tolerance(1e-12);
  bounded.max_rank = 11;
  const auto missed = approximate<S>(A, bounded);
  CHECK(missed.out.status == Status::max_iterations);
  CHECK(missed.out.rank == 11);
  CHECK_FALSE(missed.out.verified);
}
TEST_CASE_TEMPLATE_APPLY(nystrom_grows, SomeSpaces);

TEST_CASE_TEMPLATE_DEFINE("nystrom: any scale, to the same counts", S, nystrom_scale) {
  using T = typename S::Value;
  const auto A = hermitian<T>(geometric(40, 1e6), 4);
  const auto base = approximate<S>(A, to_tolerance(0.05));
  const int exponent = sizeof(RealOf<T>) == 4 ? 26 : 83;  // 1e8, 1e25
  for (const double s : {std::ldexp(1.0, exponent), std::ldexp(1.0, -exponent)}) {
    const auto scaled = approximate<S>(A.scaled(s), to_tolerance(0.05));
    CHECK(scaled.out.status == base.out.status);
    CHECK(scaled.out.rank == base.out.rank);
    CHECK(scaled.out.products.total() == base.out.products.total());
    CHECK(scaled.out.lambda[0] / s == doctest::Approx(base.out.lambda[0]).epsilon(1e-5));
    CHECK(scaled.out.error.frobenius / s ==
          doctest::Approx(base.out.error.frobenius).epsilon(1e-3));
  }
}
TEST_CASE_TEMPLATE_APPLY(nystrom_scale, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("nystrom: zero, rank one, exhausted", S, nystrom_degenerate) {
  using T = typename S::Value;
  const Dense<T> zero(20, 20);
  const auto nothing = approximate<S>(zero, fixed(5));
  CHECK(nothing.out.status == Status::converged);
  CHECK(nothing.out.rank == 5);
  CHECK(nothing.out.lambda == std::vector<double>(5, 0.0));
  CHECK(nothing.out.error.frobenius == 0.0);
  CHECK(nothing.orthogonality() <= 100 * kEps<T>);
  CHECK(approximate<S>(Dense<T>(0, 0), fixed(5)).out.status == Status::converged);

  const auto one = hermitian<T>(low_rank(30, 1, 1.0), 8);
  const auto found = approximate<S>(one, to_tolerance(1e-3));
  CHECK(found.out.status == Status::converged);
  CHECK(found.out.rank == 4);
  CHECK(norm(found.rest(one).a) <= 500 * kEps<T>);
  // Nothing below rounding can be promised, and no more columns would help.
  const auto beyond = approximate<S>(one, to_tolerance(1e-30));
  CHECK(beyond.out.status == Status::precision_limit);
  CHECK(beyond.out.rank <= 8);
}
TEST_CASE_TEMPLATE_APPLY(nystrom_degenerate, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("nystrom: honest about what is no positive semidefinite operator", S,
                          nystrom_indefinite) {
  using T = typename S::Value;
  auto values = geometric(30, 10.0);
  for (std::size_t i = 1; i < values.size(); i += 2) values[i] = -values[i];
  const auto indefinite = approximate<S>(hermitian<T>(values, 1), fixed(8));
  CHECK(indefinite.out.status == Status::negative_curvature);
  CHECK(indefinite.out.rank == 0);
  const auto negative = approximate<S>(hermitian<T>(std::vector<double>(10, -1.0), 1), fixed(3));
  CHECK(negative.out.status == Status::negative_curvature);
  const auto skew = approximate<S>(random_dense<T>(30, 30, 3), fixed(8));
  CHECK(skew.out.status == Status::negative_curvature);
  const auto A = hermitian<T>(geometric(30, 10.0), 1);
  const auto nan = approximate<S>(faulty<T>(A, 3), fixed(8));
  CHECK(nan.out.status == Status::nonfinite);
  CHECK(nan.out.rank == 0);
  CHECK_THROWS_AS(approximate<S>(faulty<T>(A, 0, 3), fixed(8)), int);
  CHECK_THROWS_AS(approximate<S>(random_dense<T>(4, 3, 1), fixed(2)), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(nystrom_indefinite, SomeSpaces);

TEST_CASE("nystrom: no noise of the products makes the factorisation fail") {
  using S = HostSpace<float>;
  const Index n = 200, k = 60;
  const auto A = hermitian<float>(low_rank(n, 20, 100.0), 6);
  struct Noisy {
    const Dense<float>& A;
    mutable std::uint64_t call = 0;
    Index rows() const { return A.n; }
    Index cols() const { return A.n; }
    void apply(VectorView<const float> x, VectorView<float> y) const {
      A.apply(x, y);
      const auto noise = gaussian<float>(y.size, ++call);
      S s;
      const auto size = static_cast<float>(3e-6 * std::sqrt(s.norm2(y) / double(y.size)));
      for (Index i = 0; i < y.size; ++i) y[i] += size * noise[at(i)];
    }
  };
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const Noisy noisy{A, seed * 1000};
    const auto a = approximate<S>(noisy, fixed(k, seed));
    CHECK(a.out.status == Status::converged);
    CHECK(a.out.products.total() == k);
    CHECK(a.out.rank >= 20);
    CHECK(norm(a.rest(A).a) <= 1e-4 * A.frobenius());
    CHECK(a.out.error.frobenius <= 1e-4 * A.frobenius());
    CHECK(a.out.error.frobenius >= 1e-7 * A.frobenius());
  }
}

TEST_CASE("nystrom: a run that is stopped keeps what it has") {
  using S = HostSpace<double>;
  const auto A = hermitian<double>(geometric(60, 1e3), 2);
  Monitor limited;
  limited.max_products = 7;
  auto opt = fixed(20);
  opt.block = 4;
  const auto cut = approximate<S>(A, opt, limited);
  CHECK(cut.out.status == Status::max_products);
  CHECK(cut.out.rank == 7);
  CHECK(cut.out.products.total() == 7);
  auto seven = opt;
  seven.rank = 7;
  CHECK(cut.out.lambda == approximate<S>(A, seven).out.lambda);
  Index seen = 0;
  const auto stop = [&](const Iteration& now) {
    ++seen;
    return now.iteration >= 8;
  };
  Monitor watched;
  watched.observer = stop;
  const auto stopped = approximate<S>(A, opt, watched);
  CHECK(stopped.out.status == Status::stopped);
  CHECK(stopped.out.rank == 8);
  CHECK(seen == 2);
}

TEST_CASE_TEMPLATE_DEFINE("nystrom preconditioner: the formula, by columns and by blocks", S,
                          nystrom_formula) {
  using T = typename S::Value;
  const Index n = 30, r = 6;
  const double mu = 0.01;
  S space;
  NystromSketchWorkspace<S> ws;
  const auto A = hermitian<T>(geometric(n, 1e3), 9);
  const auto out = nystrom(space, A, ws, fixed(r));
  const auto P =
      nystrom_preconditioner(space, BlockView<const T>(ws.U.columns(0, r)), out.lambda, mu);
  CHECK(P.rows() == n);
  Arena<S> arena;
  arena.begin(space, 5 * Arena<S>::padded(n));
  const auto X = arena.block(n, 2), Y = arena.block(n, 2);
  const auto y = arena.vector(n);
  for (Index i = 0; i < n; ++i) {  // an eigenvector of P, and one of no column
    X(i, 0) = ws.U.column(2)[i];
    X(i, 1) = gaussian<T>(n, 4)[at(i)];
  }
  P.apply_block(X, Y);
  const double expected = (out.lambda.back() + mu) / (out.lambda[2] + mu);
  for (Index i = 0; i < n; ++i) {
    CHECK(std::abs(Y(i, 0) - static_cast<T>(static_cast<RealOf<T>>(expected)) * X(i, 0)) <=
          100 * kEps<T>);
  }
  P.apply(X.column(1), y);
  CHECK(std::sqrt(space.read(space.axpy_norm2(-1.0, Y.column(1), y))) <= 100 * kEps<T>);
  P.apply_adjoint(X.column(1), y);
  CHECK(std::sqrt(space.read(space.axpy_norm2(-1.0, Y.column(1), y))) <= 100 * kEps<T>);
  const BlockView<const T> U = ws.U.columns(0, 1);
  CHECK_THROWS_AS(nystrom_preconditioner(space, U, {0.0}, 0.0), InvalidArgument);
  CHECK_THROWS_AS(nystrom_preconditioner(space, U, {1.0}, -1.0), InvalidArgument);
  CHECK_THROWS_AS(nystrom_preconditioner(space, U, {1.0, 1.0}, 1.0), InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(nystrom_formula, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("nystrom_generalized: exact for low rank, of any shape and scale", S,
                          generalized_exact) {
  using T = typename S::Value;
  S space;
  const int exponent = sizeof(RealOf<T>) == 4 ? 26 : 83;
  for (const auto& [m, n] : {std::pair<Index, Index>{30, 20}, {20, 30}, {1, 1}}) {
    const Index rank = std::min<Index>(4, n);
    auto values = low_rank(std::min(m, n), rank, 10.0);
    auto tall = with_values<T>(std::max(m, n), values, false, 3);
    for (const double s : {1.0, std::ldexp(1.0, exponent), std::ldexp(1.0, -exponent)}) {
      Dense<T> A(m, n);
      for (Index j = 0; j < n; ++j) {
        for (Index i = 0; i < m; ++i) A(i, j) = m >= n ? tall(i, j) : tall(j, i);
      }
      A = A.scaled(s);
      const auto counted = faulty<T>(A);
      GeneralizedNystromWorkspace<S> ws;
      GeneralizedNystromOptions opt;
      opt.rank = std::min<Index>(8, n);
      const auto out = nystrom_generalized(space, counted, ws, opt);
      CHECK(out.status == Status::converged);
      CHECK(out.products.total() == counted.applied + counted.adjoint);
      CHECK(counted.applied == std::min(opt.rank, m));
      CHECK(counted.adjoint == std::min(opt.rank + opt.rank / 2, m));
      double error = 0.0;
      for (Index j = 0; j < n; ++j) {
        for (Index i = 0; i < m; ++i) {
          Long<T> sum = lengthen(A(i, j));
          for (Index k = 0; k < out.rank; ++k) {
            sum -= lengthen(ws.U(i, k)) * static_cast<long double>(out.s[at(k)]) *
                   conj_long(lengthen(ws.Z(j, k)));
          }
          error += static_cast<double>(std::norm(sum));
        }
      }
      CHECK(std::sqrt(error) <= 1e3 * kEps<T> * A.frobenius());
      // The one column of a 1 x 1 matrix leaves all of it out when it is left out.
      if (n > 1) CHECK(out.error <= 1e3 * kEps<T> * A.frobenius());
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(generalized_exact, SomeSpaces);

TEST_CASE("symmetric polynomial: condition numbers of Doikov and Rodomanov's example") {
  const std::vector<double> spectrum = {100, 50, 10, 1, 0.9, 0.5, 0.3, 0.1};
  const double expected[] = {1000, 386, 96.7, 23.1, 9.85};
  std::vector<double> traces;
  for (std::size_t degree = 0; degree <= 4; ++degree) {
    if (degree > 0) {
      double sum = 0.0;
      for (const double x : spectrum) sum += std::pow(x, static_cast<double>(degree));
      traces.push_back(sum);
    }
    const HostSpace<double> space;
    const auto D = diagonal_matrix<double>(spectrum);
    const auto P = symmetric_polynomial(space, D, traces);
    std::vector<double> ones(8, 1.0), y(8);
    P.apply(view(ones), view(y));
    double low = INFINITY, high = 0.0;
    for (std::size_t i = 0; i < 8; ++i) {
      low = std::min(low, y[i] * spectrum[i]);
      high = std::max(high, y[i] * spectrum[i]);
    }
    CHECK(high / low == doctest::Approx(expected[degree]).epsilon(5e-3));
  }
  traces.push_back(1e10);
  CHECK_THROWS_AS(symmetric_coefficients(traces), InvalidArgument);
  CHECK_THROWS_AS(symmetric_coefficients({1.0, 2.0}), InvalidArgument);
  CHECK_THROWS_AS(symmetric_coefficients({-1.0}), InvalidArgument);
}
