// Randomized least squares: its triangle, its products and the solver, against oracles in long
// double.
#include <doctest/doctest.h>

#include "problems.hpp"
#include "ritz/lstsq/lstsq.hpp"
#include "ritz/sketch/sparse_stack.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class T>
BlockView<const T> block(const std::vector<T>& x, Index rows) {
  return {x.data(), rows, static_cast<Index>(x.size()) / rows, rows};
}
template <class T>
BlockView<T> block(std::vector<T>& x, Index rows) {
  return {x.data(), rows, static_cast<Index>(x.size()) / rows, rows};
}

/// The elements of A by rows or by columns.
template <class T>
struct Stored {
  Stored(const Dense<T>& A, bool by_rows) : memory(A.a) {
    view = {memory.data(), A.m, A.n, 1, A.m};
    if (!by_rows) return;
    view = {memory.data(), A.m, A.n, A.n, 1};
    for (Index i = 0; i < A.m; ++i) {
      for (Index j = 0; j < A.n; ++j) memory[at(i * A.n + j)] = A(i, j);
    }
  }
  std::vector<T> memory;
  MatrixView<const T> view;
};

/// G diag(geometric) Vᴴ with a Gaussian G and V a product of 40 reflections: no row and no column
/// of it is special.
template <Field T>
Dense<T> graded(const Dense<T>& G, double condition) {
  const Index m = G.m, n = G.n;
  Dense<T> A = G;
  const auto values = geometric(n, condition);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < m; ++i) A(i, j) = static_cast<T>(values[at(j)] * A(i, j));
  }
  for (std::uint64_t round = 0; round < 40; ++round) {
    auto w = gaussian<T>(n, 900 + round);
    const double length = norm(w);
    for (Index i = 0; i < m; ++i) {
      Long<T> sum{};
      for (Index j = 0; j < n; ++j) sum += lengthen(A(i, j)) * lengthen(w[at(j)]);
      sum *= static_cast<long double>(2.0 / (length * length));
      for (Index j = 0; j < n; ++j) {
        A(i, j) = static_cast<T>(lengthen(A(i, j)) - sum * conj_long(lengthen(w[at(j)])));
      }
    }
  }
  return A;
}

/// b = A x + r with random unit x and random r of the given norm, orthogonal to the range of G.
template <Field T>
std::vector<T> right_hand_side(const Dense<T>& A, double residual, const Dense<T>& G) {
  auto x = gaussian<T>(A.n, 11);
  const double size = norm(x);
  for (T& a : x) a = static_cast<T>(static_cast<WideOf<T>>(a) / size);
  std::vector<T> b(at(A.m));
  A.apply(view(std::as_const(x)), view(b));
  auto r = gaussian<T>(A.m, 12);
  const auto y = least_squares_solution(G, r);
  std::vector<T> Gy(b.size());
  G.apply(view(y), view(Gy));
  for (std::size_t i = 0; i < b.size(); ++i) r[i] -= Gy[i];
  const double factor = residual / norm(r);
  for (std::size_t i = 0; i < b.size(); ++i) {
    b[i] = static_cast<T>(static_cast<WideOf<T>>(b[i]) + factor * static_cast<WideOf<T>>(r[i]));
  }
  return b;
}

template <Field T>
std::vector<T> right_hand_side(const Dense<T>& A, double residual) {
  return right_hand_side(A, residual, A);
}

template <Field T>
struct Solved {
  std::vector<T> x;
  LstsqOutcome outcome;
  LstsqAccount account;
};

template <Field T, class Rows>
Solved<T> solve(Rows rows, const std::vector<T>& b, const LstsqOptions& opt = {},
                const Monitor& monitor = {}) {
  Solved<T> found;
  found.x.resize(at(rows.cols()));
  const Index m = rows.rows();
  found.account = lstsq<T>(
      rows, block(b, m), block(found.x, rows.cols()),
      [&](Index d) { return SparseStack<T>(d, m, 3); }, {&found.outcome, 1}, opt, monitor);
  return found;
}

template <Field T>
Solved<T> solve_dense(const Dense<T>& A, const std::vector<T>& b, const LstsqOptions& opt = {},
                      bool by_rows = false) {
  const Stored<T> stored(A, by_rows);
  return solve<T>(DenseRows<T>(stored.view), b, opt);
}

LstsqOptions options(LstsqMethod method, Index d = 0) {
  LstsqOptions opt;
  opt.method = method;
  opt.d = d;
  return opt;
}

}  // namespace

TEST_CASE_TEMPLATE("the triangle of rows that come in blocks has AᴴA = RᴴR", T, float, double,
                   std::complex<double>) {
  using W = WideOf<T>;
  for (const auto& [m, n, k] : {std::array<Index, 3>{1000, 19, 2}, {17, 17, 1}, {5000, 3, 0}}) {
    const auto A = random_dense<T>(m, n, 1);
    const auto B = random_dense<T>(m, std::max<Index>(k, 1), 2);
    const std::vector<double> scale(at(n), 0.5), shift(at(n), 3.0);
    const MatrixView<const T> rest(B.a.data(), m, k, 1, m);
    auto triangle = triangle_of<T>({A.a.data(), m, n, 1, m}, rest, scale, shift);
    const auto R = triangle.R();
    double worst = 0.0;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        if (i > j) CHECK(R(i, j) == W{});
        Long<W> gram = i == j ? Long<W>(9.0L) : Long<W>{};
        for (Index l = 0; l < m; ++l) {
          gram += 0.25L * conj_long(lengthen(A(l, i))) * lengthen(A(l, j));
        }
        for (Index l = 0; l < n; ++l) gram -= conj_long(lengthen(R(l, i))) * lengthen(R(l, j));
        worst = std::max(worst, static_cast<double>(std::abs(gram)));
      }
      for (Index j = 0; j < k; ++j) {  // Rᴴ QᴴB = AᴴB
        Long<W> product{};
        for (Index l = 0; l < m; ++l) {
          product += 0.5L * conj_long(lengthen(A(l, i))) * lengthen(B(l, j));
        }
        for (Index l = 0; l < n; ++l) {
          product -= conj_long(lengthen(R(l, i))) * lengthen(triangle.top()(l, j));
        }
        worst = std::max(worst, static_cast<double>(std::abs(product)));
      }
    }
    CHECK(worst <= 1e-14 * static_cast<double>(m));
  }
}

TEST_CASE_TEMPLATE("products with AᴴA and residuals from one reading", T, float, double,
                   std::complex<float>, std::complex<double>) {
  using W = WideOf<T>;
  for (const auto& [m, n, k] : {std::array<Index, 3>{1500, 13, 1}, {700, 100, 11}, {3, 2, 2}}) {
    const auto A = random_dense<T>(m, n, 1);
    const auto P = gaussian<T>(n * k, 2), B = gaussian<T>(m * k, 3);
    for (const bool by_rows : {false, true}) {
      CAPTURE(by_rows);
      const Stored<T> stored(A, by_rows);
      NormalProduct<T> product(stored.view);
      std::vector<W> Y(at(n * k), W{7.0}), G(at(n * k), W{7.0});
      std::vector<double> norms(at(k), -1.0);
      product.normal(block(P, n), block(Y, n));
      product.residual(block(B, m), block(P, n), block(G, n), norms);
      for (Index j = 0; j < k; ++j) {
        const std::vector<T> p(&P[at(j * n)], &P[at(j * n)] + n);
        std::vector<Long<T>> Ap(at(m)), r(at(m));
        long double r2 = 0, size = 0, size_r = 0;
        for (Index i = 0; i < m; ++i) {
          for (Index l = 0; l < n; ++l) Ap[at(i)] += lengthen(A(i, l)) * lengthen(p[at(l)]);
          r[at(i)] = lengthen(B[at(i + j * m)]) - Ap[at(i)];
          r2 += std::norm(r[at(i)]);
        }
        double worst = 0.0;
        for (Index l = 0; l < n; ++l) {
          Long<T> y{}, g{};
          for (Index i = 0; i < m; ++i) {
            y += conj_long(lengthen(A(i, l))) * Ap[at(i)];
            g += conj_long(lengthen(A(i, l))) * r[at(i)];
          }
          size = std::max(size, std::abs(y));
          size_r = std::max(size_r, std::abs(g));
          worst = std::max(worst, static_cast<double>(std::abs(lengthen(Y[at(l + j * n)]) - y)));
          worst = std::max(worst, static_cast<double>(std::abs(lengthen(G[at(l + j * n)]) - g)));
        }
        CHECK(worst <= 20 * kEps<T> * static_cast<double>(size + size_r));
        CHECK(norms[at(j)] == doctest::Approx(static_cast<double>(r2)).epsilon(50 * kEps<T>));
      }
      const auto before = Y;
      threads::set_num_threads(3);
      product.normal(block(P, n), block(Y, n));
      threads::set_num_threads(1);
      CHECK(Y == before);
    }
  }
}

TEST_CASE("a matrix whose rows and columns are strided is refused") {
  const std::vector<double> a(64);
  CHECK_THROWS_AS(NormalProduct<double>({a.data(), 4, 4, 16, 2}), InvalidArgument);
}

TEST_CASE("the second solve for the residual gives the backward error of QR, the first does not") {
  const Index m = 1500, n = 40;
  const auto G = random_dense<double>(m, n, 5);
  for (const double condition : {1e10, 1e12}) {
    const auto A = graded(G, condition);
    for (const auto& [method, d] : {std::pair{LstsqMethod::spir, 12 * n},
                                    {LstsqMethod::momentum, 12 * n},
                                    {LstsqMethod::qr, Index{0}}}) {
      const auto b = right_hand_side(A, 1e-3, G);
      CAPTURE(condition);
      const auto found = solve_dense(A, b, options(method, d));
      CHECK(found.outcome.status == Status::converged);
      CHECK(found.outcome.verified);
      CHECK(found.outcome.backward_error <= kEps<double>);
      CHECK(found.outcome.refinements <= 3);
      // Where rounding stalls the heavy ball, conjugate gradients go on: at 1e12 on some builds.
      const bool handed_over = condition > 1e10 && method == LstsqMethod::momentum &&
                               found.account.method == LstsqMethod::spir;
      CHECK((handed_over || found.account.method == method));
      CHECK(found.outcome.residual == doctest::Approx(residual_norm(A, found.x, b)).epsilon(1e-10));
      if (method == LstsqMethod::qr) continue;
      auto opt = options(method, d);
      opt.refinements = 1;
      const auto once = solve_dense(A, b, opt);
      CHECK(once.outcome.status == Status::precision_limit);
      CHECK(once.outcome.backward_error > 20 * kEps<double>);
    }
  }
}

TEST_CASE_TEMPLATE("every field, both layouts", T, float, double, std::complex<float>,
                   std::complex<double>) {
  const Index m = 900, n = 15;
  const auto A = with_values<T>(m, geometric(n, 100.0), false, 3);
  const auto b = right_hand_side(A, 0.1);
  const auto expected = least_squares_solution(A, b);
  for (const bool by_rows : {false, true}) {
    for (const auto method : {LstsqMethod::spir, LstsqMethod::momentum, LstsqMethod::qr}) {
      const auto found = solve_dense(A, b, options(method), by_rows);
      CHECK(found.outcome.status == Status::converged);
      CHECK(distance(found.x, expected) <= 2000 * kEps<T> * norm(expected));
    }
  }
}

TEST_CASE_TEMPLATE("units change neither endings nor counts", T, float, double) {
  const auto A = with_values<T>(800, geometric(12, 1e3), false, 3);
  const auto b = right_hand_side(A, 0.1);
  const double unit = std::is_same_v<T, float> ? 0x1p27 : 0x1p83;
  for (const auto method : {LstsqMethod::spir, LstsqMethod::qr}) {
    const auto plain = solve_dense(A, b, options(method));
    for (const double u : {unit, 1.0 / unit}) {
      const auto found = solve_dense(A.scaled(u), b, options(method));
      CHECK(found.outcome.status == plain.outcome.status);
      CHECK(found.outcome.iterations == plain.outcome.iterations);
      CHECK(static_cast<double>(found.x[0]) * u ==
            doctest::Approx(static_cast<double>(plain.x[0])).epsilon(100 * kEps<T>));
    }
  }
}

TEST_CASE("a deficient rank, columns of zeros, and damping") {
  const Index m = 600, n = 9;
  auto A = random_dense<double>(m, n, 1);
  for (Index i = 0; i < m; ++i) {
    A(i, 4) = 0.0;
    A(i, 7) = A(i, 1) + A(i, 2);
  }
  const auto b = gaussian<double>(m, 2);
  for (const auto method : {LstsqMethod::spir, LstsqMethod::qr}) {
    const auto found = solve_dense(A, b, options(method));
    CHECK(found.outcome.status == Status::converged);
    CHECK(found.account.rank == n - 2);
    CHECK(found.x[4] == 0.0);
    // The least norm: orthogonal to the null vector e₁ + e₂ − e₇.
    CHECK(std::abs(found.x[1] + found.x[2] - found.x[7]) <= 1e-14);
    auto opt = options(method);
    opt.damp = 2.0;
    const auto damped = solve_dense(A, b, opt);
    CHECK(damped.account.rank == n);
    CHECK(distance(damped.x, least_squares_solution(A, b, 2.0)) <= 1e-14);
  }
}

TEST_CASE("zeros, one column, square, and NaN") {
  const auto A = random_dense<double>(200, 6, 1);
  const std::vector<double> zero(200), one(1, 2.0);
  CHECK(solve_dense(A, zero).outcome.status == Status::converged);
  CHECK(solve_dense(A, zero).account.products.total() == 0);
  for (const auto method : {LstsqMethod::spir, LstsqMethod::qr}) {
    const auto nothing =
        solve_dense(Dense<double>(200, 6), gaussian<double>(200, 1), options(method));
    CHECK(nothing.outcome.status == Status::converged);
    CHECK(norm(nothing.x) == 0.0);
  }
  const auto single = solve_dense(random_dense<double>(1, 1, 1), one);
  CHECK(single.outcome.status == Status::converged);
  auto bad = A;
  bad(77, 3) = NAN;
  for (const auto method : {LstsqMethod::spir, LstsqMethod::momentum, LstsqMethod::qr}) {
    CHECK(solve_dense(bad, gaussian<double>(200, 1), options(method)).outcome.status ==
          Status::nonfinite);
  }
  CHECK_THROWS_AS(solve_dense(Dense<double>(5, 6), std::vector<double>(5)), InvalidArgument);
  CHECK_THROWS_AS(solve_dense(A, gaussian<double>(200, 1), options(LstsqMethod::spir, 5)),
                  InvalidArgument);
}

TEST_CASE("operators: n products for the sketch, two an iteration, exceptions unchanged") {
  const auto A = with_values<double>(700, geometric(10, 1e4), false, 3);
  const auto b = right_hand_side(A, 0.1);
  const auto counted = faulty<double>(A);
  using Rows = OperatorRows<double, Faulty<Dense<double>, double>>;
  const auto found = solve<double>(Rows(counted), b, options(LstsqMethod::spir));
  CHECK(found.outcome.status == Status::converged);
  CHECK(counted.applied == 10 + counted.adjoint);
  CHECK(counted.applied + counted.adjoint == found.account.products.total());
  CHECK(distance(found.x, least_squares_solution(A, b)) <= 1e-9);
  for (const Index fails_at : {1, 11, 20}) {
    const auto nan = faulty<double>(A, fails_at);
    CHECK(solve<double>(Rows(nan), b, options(LstsqMethod::spir)).outcome.status !=
          Status::converged);
    const auto throws = faulty<double>(A, 0, fails_at);
    CHECK_THROWS_AS(solve<double>(Rows(throws), b, options(LstsqMethod::spir)), int);
  }
  Monitor monitor;
  monitor.max_products = 10;
  CHECK(solve<double>(Rows(counted), b, options(LstsqMethod::spir), monitor).outcome.status ==
        Status::max_products);
}

TEST_CASE("sparse matrices are sketched from their arrays") {
  const Index m = 400, n = 7;
  Dense<double> A(m, n);
  std::vector<int> indptr{0}, indices;
  std::vector<double> values;
  const auto g = gaussian<double>(2 * m, 4);
  for (Index i = 0; i < m; ++i) {
    for (const Index j : {i % n, (3 * i + 1) % n}) {
      const double a = g[values.size()];
      A(i, j) += a;
      indices.push_back(static_cast<int>(j));
      values.push_back(a);
    }
    indptr.push_back(static_cast<int>(values.size()));
  }
  const CsrMatrix<double, int> S(m, n, indptr.data(), indices.data(), values.data());
  const CompressedRows<double, int> arrays{m, n, indptr.data(), indices.data(), values.data()};
  const auto b = gaussian<double>(m, 5);
  const auto expected = least_squares_solution(A, b);
  using Rows = SparseRows<double, CsrMatrix<double, int>, int>;
  for (const auto method : {LstsqMethod::spir, LstsqMethod::qr}) {
    const auto found = solve<double>(Rows(S, arrays, false), b, options(method));
    CHECK(found.outcome.status == Status::converged);
    CHECK(distance(found.x, expected) <= 1e-13);
  }
}
