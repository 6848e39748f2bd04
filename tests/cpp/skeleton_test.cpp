#include <doctest/doctest.h>

#include <memory>

#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/lowrank/cqrrpt.hpp"
#include "ritz/lowrank/cur.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <Field T>
MatrixView<const T> whole(const Dense<T>& A) {
  return {A.a.data(), A.m, A.n, 1, A.m};
}

/// An operator by its products, or an array.
template <Field T>
std::unique_ptr<SkeletonSource<T>> source_of(HostSpace<T>& space, const OperatorRef<T>& op,
                                             const Dense<T>& A, bool array, RandomKey seed = {}) {
  if (array) return std::make_unique<ArraySource<T>>(space, op, seed, whole(A));
  return std::make_unique<SkeletonSource<T>>(space, op, seed);
}

template <Field T>
struct Skeleton {
  Interpolative<T> factors;
  InterpolativeOutcome out;
};
template <Field T>
Skeleton<T> interpolate(const Dense<T>& A, bool array, InterpolativeOptions opt,
                        bool with_columns = false, RandomKey seed = {}) {
  HostSpace<T> space;
  const OperatorRef<T> op(A);
  const auto source = source_of(space, op, A, array, seed);
  Skeleton<T> result;
  result.out = interpolative(space, *source, result.factors, opt, {}, with_columns);
  return result;
}
InterpolativeOptions fixed(Index rank, Index oversampling = 10) {
  InterpolativeOptions opt;
  opt.rank = rank;
  opt.oversampling = oversampling;
  return opt;
}

/// ‖A − A_J X‖_F
template <Field T>
double error(const Dense<T>& A, const Interpolative<T>& f) {
  long double sum = 0;
  for (Index j = 0; j < A.n; ++j) {
    for (Index i = 0; i < A.m; ++i) {
      Long<T> r = lengthen(A(i, j));
      for (Index l = 0; l < f.X.rows; ++l) {
        r -= lengthen(A(i, f.columns[at(l)])) * lengthen(f.X.data[at(l + j * f.X.rows)]);
      }
      sum += std::norm(r);
    }
  }
  return static_cast<double>(std::sqrt(sum));
}

/// A of m × n with the singular values of `values`, zero beyond.
template <Field T>
Dense<T> of_rank(Index m, Index n, Index rank, std::uint64_t seed) {
  std::vector<double> values(at(n), 0.0);
  for (Index i = 0; i < rank; ++i) values[at(i)] = 1.0 / static_cast<double>(1 + i);
  return with_values<T>(m, values, false, seed);
}

template <Field T>
struct Factored {
  std::vector<T> q, r;
  std::vector<Index> order;
  CqrrptOutcome out;
  double residual = 0.0, deviation = 0.0;  // ‖A P − Q R‖_F, ‖QᴴQ − I‖_F
};
template <Field T>
Factored<T> factor(MatrixView<const T> A, const CqrrptOptions& opt = {}) {
  const Index m = A.rows, n = A.cols, p = std::min(m, n);
  Factored<T> f;
  f.q.assign(at(m * p), T{});
  f.r.assign(at(p * n), T{});
  f.order.assign(at(n), -1);
  f.out = cqrrpt<T>(A, {f.q.data(), m, p, m}, {f.r.data(), p, n, 1, p}, f.order, opt);
  const Index k = f.out.rank;
  long double sum = 0;
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < m; ++i) {
      Long<T> e = lengthen(A(i, f.order[at(j)]));
      for (Index l = 0; l < k; ++l)
        e -= lengthen(f.q[at(i + l * m)]) * lengthen(f.r[at(l + j * p)]);
      sum += std::norm(e);
    }
  }
  f.residual = static_cast<double>(std::sqrt(sum));
  sum = 0;
  for (Index j = 0; j < k; ++j) {
    for (Index l = 0; l < k; ++l) {
      Long<T> e = j == l ? -1.0L : 0.0L;
      for (Index i = 0; i < m; ++i) {
        e += conj_long(lengthen(f.q[at(i + l * m)])) * lengthen(f.q[at(i + j * m)]);
      }
      sum += std::norm(e);
    }
  }
  f.deviation = static_cast<double>(std::sqrt(sum));
  return f;
}
bool permutation(std::vector<Index> order) {
  std::sort(order.begin(), order.end());
  for (Index j = 0; j < static_cast<Index>(order.size()); ++j) {
    if (order[at(j)] != j) return false;
  }
  return true;
}

}  // namespace

TEST_CASE_TEMPLATE("interpolative: exact for a rank that the columns exhaust", S, HostSpace<float>,
                   HostSpace<double>, HostSpace<std::complex<float>>,
                   HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  const auto A = of_rank<T>(60, 40, 7, 3);
  for (const bool array : {false, true}) {
    for (const Index k : {Index{7}, Index{12}}) {
      const auto s = interpolate(A, array, fixed(k), true);
      CHECK(s.out.status == Status::converged);
      CHECK(s.out.rank == 7);  // no more columns than are independent
      CHECK(error(A, s.factors) <= 200.0 * kEps<T> * A.frobenius());
      CHECK(s.out.residual <= 200.0 * kEps<T> * A.frobenius());
      for (Index l = 0; l < 7; ++l) {
        const Index j = s.factors.columns[at(l)];
        for (Index i = 0; i < 7; ++i) {  // X_J = I to the last bit, and C = A_J
          CHECK(s.factors.X.data[at(i + j * 7)] == static_cast<T>(i == l ? 1.0 : 0.0));
        }
        for (Index i = 0; i < 60; ++i) CHECK(s.factors.C.data[at(i + l * 60)] == A(i, j));
      }
    }
  }
}

TEST_CASE("interpolative: products are counted, those of the columns too") {
  const auto A = with_values<double>(90, geometric(50, 1e6), false, 1);
  const auto s = interpolate(A, false, fixed(20), true);
  CHECK(s.out.products.adjoint + s.out.products.columns == 30 + 20);
  CHECK(s.out.products.columns == 50);
  CHECK(s.out.sketch == 30);
  InterpolativeOptions taller = fixed(20);
  taller.share = 1.0;
  CHECK(interpolate(A, true, taller).out.sketch == 40);
  taller.rank = 5;
  CHECK(interpolate(A, true, taller).out.sketch == 15);
  taller.rank = 0;
  taller.tol = 0.3;
  const auto found = interpolate(A, true, taller);
  CHECK(found.out.status == Status::converged);
  CHECK(2 * found.out.rank <= found.out.sketch);
  CHECK(interpolate(A, false, fixed(20)).out.products.total() == 30);
  CHECK(interpolate(A, true, fixed(20), true).out.products.total() == 0);
  // An A of no more rows than the sketch would have is its own: then the estimate is the error.
  const auto B = with_values<double>(50, geometric(50, 1e6), false, 1);
  const auto own = interpolate(B, false, fixed(45));
  CHECK(own.out.products.total() == 50);
  CHECK(own.out.residual == doctest::Approx(error(B, own.factors)).epsilon(1e-6));
  CHECK(own.out.norm == doctest::Approx(B.frobenius()).epsilon(1e-12));
  for (const bool array : {false, true}) {
    const double norm = interpolate(A, array, fixed(30)).out.norm;
    CHECK(std::abs(norm - A.frobenius()) <= 0.3 * A.frobenius());
  }
}

TEST_CASE_TEMPLATE("interpolative: the estimate leaves one row out", T, double,
                   std::complex<double>) {
  const Index d = 9, n = 14, k = 4;
  const auto Y = random_dense<T>(d, n, 5);
  SmallMatrix<T> y;
  y.resize(d, n);
  y.data = Y.a;
  SketchSkeleton<T> skeleton(y, false, 100);
  const auto J = skeleton.order().first(at(k));
  long double sum = 0;
  for (Index out = 0; out < d; ++out) {
    Dense<T> YJ(d - 1, k);
    std::vector<T> b(at(d - 1));
    for (Index i = 0, to = 0; i < d; ++i) {
      if (i == out) continue;
      for (Index l = 0; l < k; ++l) YJ(to, l) = Y(i, J[at(l)]);
      ++to;
    }
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0, to = 0; i < d; ++i) {
        if (i != out) b[at(to++)] = Y(i, j);
      }
      const auto x = least_squares_solution(YJ, b);
      Long<T> r = lengthen(Y(out, j));
      for (Index l = 0; l < k; ++l) r -= lengthen(Y(out, J[at(l)])) * lengthen(x[at(l)]);
      sum += std::norm(r);
    }
  }
  const double brute = std::sqrt(static_cast<double>(sum) / static_cast<double>(d));
  CHECK(skeleton.error(k) == doctest::Approx(brute).epsilon(1e-10));
  CHECK(std::isinf(skeleton.expected_error(d - 1)) == !ComplexField<T>);
}

TEST_CASE_TEMPLATE("interpolative: bound of the error, and decisions that no scale changes", T,
                   float, double) {
  const double condition = std::is_same_v<T, float> ? 1e3 : 1e7;
  const auto values = geometric(60, condition);
  const auto A = with_values<T>(80, values, false, 9);
  const Index k = 15;
  double tail = 0.0;
  for (Index i = k; i < 60; ++i) tail += values[at(i)] * values[at(i)];
  for (const bool array : {false, true}) {
    const auto s = interpolate(A, array, fixed(k));
    // √(1 + k (n − k)) σ_{k+1} holds for the best columns; those of pivoted QR come to far less.
    CHECK(error(A, s.factors) <= 10.0 * std::sqrt(tail));
    CHECK(error(A, s.factors) >= std::sqrt(tail) * (1.0 - 1e-6));
    InterpolativeOptions opt;
    opt.tol = 0.02;
    const auto t = interpolate(A, array, opt);
    CHECK(t.out.status == Status::converged);
    CHECK(t.out.residual <= t.out.target);
    CHECK(error(A, t.factors) <= 2.0 * opt.tol * A.frobenius());
    for (const double scale :
         {std::is_same_v<T, float> ? 1e8 : 1e25, std::is_same_v<T, float> ? 1e-8 : 1e-25}) {
      const auto scaled = interpolate(A.scaled(scale), array, opt);
      CHECK(scaled.out.status == t.out.status);
      CHECK(scaled.factors.columns == t.factors.columns);
      CHECK(scaled.out.sketch == t.out.sketch);
      CHECK(scaled.out.residual == doctest::Approx(scale * t.out.residual).epsilon(1e-3));
    }
  }
}

TEST_CASE("interpolative: endings") {
  using T = double;
  for (const bool array : {false, true}) {
    CAPTURE(array);
    const auto zero = interpolate(Dense<T>(30, 20), array, fixed(3), true);
    CHECK(zero.out.status == Status::converged);
    CHECK(zero.out.rank == 0);
    CHECK(zero.out.residual == 0.0);
    CHECK(zero.factors.X.cols == 20);
    for (const auto& [m, n] : {std::pair<Index, Index>{30, 1}, {1, 30}, {1, 1}}) {
      const auto A = random_dense<T>(m, n, 1);
      const auto s = interpolate(A, array, fixed(3));
      CHECK(s.out.rank == 1);
      CHECK(s.out.residual <= 1e-15);
      CHECK(error(A, s.factors) <= 1e-14);
    }
    for (const auto& [m, n] : {std::pair<Index, Index>{0, 4}, {4, 0}, {0, 0}}) {
      const auto empty = interpolate(Dense<T>(m, n), array, fixed(3));
      CHECK(empty.out.status == Status::converged);
      CHECK(empty.factors.X.cols == n);
    }
    const auto square = random_dense<T>(40, 12, 2);
    const auto all = interpolate(square, array, fixed(12));
    CHECK(all.out.rank == 12);
    CHECK(all.out.residual == 0.0);
    CHECK(error(square, all.factors) == 0.0);

    InterpolativeOptions opt;
    opt.tol = 1e-8;
    const auto flat = with_values<T>(70, std::vector<double>(50, 1.0), false, 4);
    CHECK(interpolate(flat, array, opt).out.status == Status::converged);
    CHECK(interpolate(flat, array, opt).out.rank == 50);
    opt.rank = 20;
    const auto few = interpolate(flat, array, opt);
    CHECK(few.out.status == Status::max_iterations);
    CHECK(few.out.rank == 20);
    CHECK(few.out.residual > few.out.target);
    opt.rank = 0;
    opt.tol = 1e-30;
    const auto s = interpolate(of_rank<T>(70, 50, 10, 4), array, opt);
    CHECK(s.out.status == Status::precision_limit);
    CHECK(s.out.rank == 10);

    auto bad = random_dense<T>(40, 30, 2);
    bad(17, 3) = std::nan("");
    const auto n = interpolate(bad, array, fixed(3));
    CHECK(n.out.status == Status::nonfinite);
    CHECK(n.out.rank == 0);
    CHECK(n.factors.columns.empty());
  }
  const auto A = random_dense<double>(100, 80, 2);
  CHECK_THROWS_AS(interpolate(A, false, InterpolativeOptions{}), InvalidArgument);
  CHECK_THROWS_AS(interpolate(A, false, fixed(3, 1)), InvalidArgument);
}

TEST_CASE("interpolative: stopped, and an exception of the operator") {
  const auto A = random_dense<double>(200, 150, 2);
  HostSpace<double> space;
  Interpolative<double> f;
  const OperatorRef<double> op(A);
  SkeletonSource<double> source(space, op, {});
  Monitor monitor;
  monitor.max_products = 40;
  const auto out = interpolative(space, source, f, fixed(80), monitor);
  CHECK(out.status == Status::max_products);
  CHECK(out.products.total() == 64);
  CHECK(out.rank == 0);
  const auto bad = faulty<double>(A, 0, 5);
  const OperatorRef<double> bad_op(bad);
  SkeletonSource<double> failing(space, bad_op, {});
  CHECK_THROWS_AS(interpolative(space, failing, f, fixed(20)), int);
}

TEST_CASE("interpolative: a function of the seed") {
  const auto A = with_values<double>(90, geometric(50, 1e2), false, 1);
  for (const bool array : {false, true}) {
    const auto a = interpolate(A, array, fixed(10)), b = interpolate(A, array, fixed(10));
    CHECK(a.factors.columns == b.factors.columns);
    CHECK(a.factors.X.data == b.factors.X.data);
    const auto c = interpolate(A, array, fixed(10), false, {1, 0});
    CHECK(a.factors.X.data != c.factors.X.data);
  }
}

TEST_CASE_TEMPLATE("cur: exact for a rank that it exhausts, rows and columns of A", T, float,
                   double, std::complex<float>, std::complex<double>) {
  const auto A = of_rank<T>(50, 40, 6, 8);
  HostSpace<T> space;
  const OperatorRef<T> op(A);
  for (const bool array : {false, true}) {
    for (const CurCore core : {CurCore::projection, CurCore::cross}) {
      const auto source = source_of(space, op, A, array);
      CurOptions opt;
      opt.rank = 9;
      opt.core = core;
      Cur<T> f;
      const auto out = cur(space, *source, f, opt);
      CHECK(out.status == Status::converged);
      CHECK(out.rank == 6);
      long double sum = 0;
      for (Index j = 0; j < 40; ++j) {
        for (Index i = 0; i < 50; ++i) {
          Long<T> e = lengthen(A(i, j));
          for (Index p = 0; p < 6; ++p) {
            for (Index q = 0; q < 6; ++q) {
              e -= lengthen(f.C(i, p)) * lengthen(f.U(p, q)) * lengthen(f.Rt(j, q));
            }
          }
          sum += std::norm(e);
        }
      }
      CHECK(static_cast<double>(std::sqrt(sum)) <= 3e3 * kEps<T> * A.frobenius());
      CHECK(out.residual <= 3e3 * kEps<T> * A.frobenius());
      for (Index l = 0; l < 6; ++l) {
        for (Index i = 0; i < 50; ++i) CHECK(f.C(i, l) == A(i, f.columns[at(l)]));
        for (Index j = 0; j < 40; ++j) CHECK(f.Rt(j, l) == A(f.rows[at(l)], j));
      }
      const Index spent = core == CurCore::cross ? 19 + 12 : 19 + 18;
      CHECK(out.products.total() == (array ? (core == CurCore::cross ? 0 : 6) : spent));
    }
  }
}

TEST_CASE("cur: endings") {
  HostSpace<double> space;
  Cur<double> f;
  CurOptions opt;
  opt.rank = 4;
  const auto run = [&](const Dense<double>& A, const Monitor& monitor = {}) {
    const OperatorRef<double> op(A);
    SkeletonSource<double> source(space, op, {});
    return cur(space, source, f, opt, monitor);
  };
  CHECK(run(Dense<double>(30, 20)).residual == 0.0);
  CHECK(f.C.rows == 30);
  CHECK(f.Rt.rows == 20);
  CHECK(run(Dense<double>(0, 5)).status == Status::converged);
  CHECK(run(random_dense<double>(1, 1, 3)).rank == 1);
  CHECK(run(random_dense<double>(1, 9, 3)).residual < 1e-14);
  CHECK(run(random_dense<double>(9, 1, 3)).residual < 1e-14);
  auto A = random_dense<double>(60, 40, 2);
  Monitor monitor;
  monitor.max_products = 15;
  CHECK(run(A, monitor).status == Status::max_products);
  CHECK(f.columns.empty());
  opt.rank = 0;
  opt.tol = 1e-3;
  const auto B = with_values<double>(90, geometric(60, 1e9), false, 5);
  for (const CurCore core : {CurCore::projection, CurCore::cross}) {
    opt.core = core;
    const auto out = run(B);
    CHECK(out.status == Status::converged);
    CHECK(out.residual <= out.target);
    CHECK(out.norm == doctest::Approx(B.frobenius()).epsilon(0.3));
    long double sum = 0;  // ‖B − C U R‖²
    for (Index j = 0; j < 60; ++j) {
      for (Index i = 0; i < 90; ++i) {
        double e = B(i, j);
        for (Index p = 0; p < out.rank; ++p) {
          for (Index q = 0; q < out.rank; ++q) e -= f.C(i, p) * f.U(p, q) * f.Rt(j, q);
        }
        sum += e * e;
      }
    }
    const double error = std::sqrt(static_cast<double>(sum));
    CHECK(out.residual == doctest::Approx(error).epsilon(0.5));
  }
  A(5, 5) = INFINITY;
  CHECK(run(A).status == Status::nonfinite);
}

TEST_CASE_TEMPLATE("cqrrpt: orthonormal and backward stable, whatever the condition", T, float,
                   double, std::complex<float>, std::complex<double>) {
  const Index m = 700, n = 40;
  const double u = kEps<T>;
  for (const double condition : {1.0, 1e3, 1e7, 1e12, 1e15}) {
    const auto A = with_values<T>(m, geometric(n, condition), false, 21);
    const auto f = factor<T>(whole(A));
    CAPTURE(condition);
    CHECK(f.out.status == Status::converged);
    CHECK(f.out.sketch == 2 * n);
    CHECK(f.deviation <= 10.0 * u * std::sqrt(static_cast<double>(n)));
    CHECK(f.residual <= 30.0 * u * A.frobenius() * std::sqrt(static_cast<double>(n)));
    CHECK(permutation(f.order));
    CHECK(f.out.condition <= 5.83 * 1.35);  // few columns: the extremes scatter
    CHECK(f.out.condition >= 1.0);
    if (condition * u < 0.01) CHECK(f.out.rank == n);
    for (Index j = 0; j < n; ++j) {
      for (Index i = j + 1; i < n; ++i) CHECK(f.r[at(i + j * n)] == T{});
    }
  }
}

TEST_CASE_TEMPLATE("cqrrpt: the numerical rank, at any scale", T, float, double) {
  const auto A = of_rank<T>(400, 30, 11, 2);
  const auto f = factor<T>(whole(A));
  CHECK(f.out.rank == 11);
  CHECK(f.out.status == Status::converged);
  CHECK(f.residual <= 100.0 * kEps<T> * A.frobenius());
  const double scale = std::is_same_v<T, float> ? 1e8 : 1e25;
  for (const double s : {scale, 1.0 / scale}) {
    const auto B = A.scaled(s);
    const auto g = factor<T>(whole(B));
    CHECK(g.out.rank == 11);
    CHECK(std::equal(g.order.begin(), g.order.begin() + 11, f.order.begin()));
    CHECK(g.out.status == f.out.status);
    CHECK(g.residual <= 100.0 * kEps<T> * B.frobenius());
  }
}

TEST_CASE("cqrrpt: shapes and endings") {
  using T = double;
  const Dense<T> nothing(100, 8);
  const auto zero = factor<T>(whole(nothing));
  CHECK(zero.out.rank == 0);
  CHECK(zero.out.status == Status::converged);
  for (const auto& [m, n] : {std::pair<Index, Index>{30, 30},
                             {20, 35},
                             {60, 35},
                             {1, 1},
                             {5, 1},
                             {1, 5},
                             {71, 35},
                             {4, 0},
                             {0, 4}}) {
    const auto A = random_dense<T>(m, n, 4);
    const auto f = factor<T>(whole(A));
    CAPTURE(m);
    CAPTURE(n);
    CHECK(f.out.rank == std::min(m, n));
    CHECK(f.deviation <= 1e-13);
    CHECK(f.residual <= 1e-13 * A.frobenius());
    CHECK((f.out.iterations == 0) == (m <= 2 * n || n == 0));
  }
  auto A = random_dense<T>(200, 10, 4);
  A(150, 7) = std::nan("");
  CHECK(factor<T>(whole(A)).out.status == Status::nonfinite);
  CqrrptOptions opt;
  opt.gamma = 0.5;
  CHECK_THROWS_AS(factor<T>(whole(A), opt), InvalidArgument);
}

TEST_CASE("cqrrpt: any strides give the same bits, and any number of threads") {
  using T = double;
  const Index m = 6000, n = 12;
  const auto A = with_values<T>(m, geometric(n, 1e9), false, 6);
  const auto f = factor<T>(whole(A));
  std::vector<T> rows(at(3 * m * n));
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) rows[at((i * n + j) * 3)] = A(i, j);
  }
  const auto g = factor<T>({rows.data(), m, n, 3 * n, 3});
  CHECK(f.order == g.order);
  CHECK(f.residual == doctest::Approx(g.residual).epsilon(1.0));
  CHECK(g.deviation <= 1e-14 * std::sqrt(12.0));
  const Index before = threads::num_threads();
  threads::set_num_threads(3);
  const auto h = factor<T>(whole(A));
  threads::set_num_threads(before);
  CHECK(h.q == f.q);
  CHECK(h.r == f.r);
}

TEST_CASE("cqrrpt: a sketch that misses directions of A is replaced") {
  // As few rows as columns, and few nonzeros: the leading rows collide, and the sketch has a lower
  // rank than A. With one nonzero they collide in taller sketches as well.
  const Index m = 600, n = 24;
  Dense<double> A(m, n);
  for (Index j = 0; j < n; ++j) A(j, j) = 1.0 + static_cast<double>(j);
  CqrrptOptions opt;
  opt.gamma = 1.0;
  Index taller = 0, none = 0;
  for (const Index nnz : {1, 2}) {
    opt.nnz = nnz;
    for (opt.seed = 0; opt.seed < 8; ++opt.seed) {
      const auto f = factor<double>(whole(A), opt);
      CHECK(f.out.rank == n);
      CHECK(f.out.status == Status::converged);
      CHECK(f.deviation <= 1e-14);
      CHECK(f.residual <= 1e-13 * A.frobenius());
      CHECK((f.out.sketch == 0) == (f.out.iterations == 0));
      taller += f.out.sketch > n ? 1 : 0;
      none += f.out.sketch == 0 ? 1 : 0;
    }
  }
  CHECK(taller > 0);
  CHECK(none > 0);
}

TEST_CASE("cqrrpt: a second pass where the preconditioned matrix is far from orthonormal") {
  const auto A = with_values<double>(900, geometric(30, 1e10), false, 6);
  CqrrptOptions opt;
  opt.gamma = 1.0;
  Index twice = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    opt.seed = seed;
    const auto f = factor<double>(whole(A), opt);
    CHECK(f.out.status == Status::converged);
    CHECK(f.deviation <= 10.0 * kEps<double> * std::sqrt(30.0));
    CHECK(f.residual <= 1e-12);
    twice += f.out.iterations == 2 ? 1 : 0;
  }
  CHECK(twice > 0);
}
