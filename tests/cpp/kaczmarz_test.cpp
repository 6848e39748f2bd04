// Kaczmarz and sketch-and-project: laws by enumeration, solutions against oracles in long double.
#include <doctest/doctest.h>

#include <set>

#include "problems.hpp"
#include "ritz/lstsq/kaczmarz.hpp"
#include "ritz/lstsq/sketch_and_project.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/sketch/gaussian.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class T>
MatrixView<const T> by_columns(const Dense<T>& A) {
  return {A.a.data(), A.m, A.n, 1, A.m};
}

template <Field T>
std::vector<T> product(const Dense<T>& A, const std::vector<T>& x) {
  std::vector<T> y(at(A.m));
  A.apply(view(x), view(y));
  return y;
}

/// Rows of the identity times 1000, and below them many small ones along the first coordinate.
Dense<double> uneven(Index m, Index n) {
  Dense<double> A(m, n);
  for (Index i = 0; i < m; ++i) {
    A(i, i < n ? i : 0) = i < n ? 1000.0 : 1e-3;
    A(i, (i + 1) % n) += i < n ? 300.0 : 1e-4;
  }
  return A;
}

template <Field T>
struct Solved {
  std::vector<T> x;
  KaczmarzOutcome outcome;
};

template <Field T>
Solved<T> solve(const Dense<T>& A, const std::vector<T>& b, const KaczmarzOptions& opt = {},
                std::vector<T> x = {}) {
  DenseKaczmarz<T> solver(by_columns(A), opt);
  x.resize(at(A.n));
  Solved<T> found{x, {}};
  found.outcome = solver.solve(view(b), view(found.x));
  return found;
}

KaczmarzOptions options(KaczmarzMethod method, Index block = 1, double rtol = 1e-6) {
  KaczmarzOptions opt;
  opt.method = method;
  opt.block = block;
  opt.rtol = rtol;
  return opt;
}

/// The same matrix compressed by rows, every entry in two halves and in the order of its columns
/// from the last to the first.
template <Field T>
struct Halves {
  explicit Halves(const Dense<T>& A) {
    indptr.push_back(0);
    for (Index i = 0; i < A.m; ++i) {
      for (int half = 0; half < 2; ++half) {
        for (Index j = A.n - 1; j >= 0; --j) {
          if (A(i, j) == T{}) continue;
          indices.push_back(static_cast<std::int32_t>(j));
          values.push_back(A(i, j) * T(0.5));
        }
      }
      indptr.push_back(static_cast<std::int32_t>(indices.size()));
    }
    view = {A.m, A.n, indptr.data(), indices.data(), values.data()};
  }
  std::vector<std::int32_t> indptr, indices;
  std::vector<T> values;
  CompressedRows<T, std::int32_t> view;
};

template <Field T>
struct Projected {
  std::vector<T> x;
  SketchAndProjectOutcome outcome;
};

/// Sketch-and-project with Gaussian sketches, or with rows.
template <Field T, class Op = Dense<T>>
Projected<T> project(const Op& A, const std::vector<T>& b, const SketchAndProjectOptions& opt,
                     bool rows = false) {
  using Make = function_ref<AnySketch<T>(Index)>;
  Projected<T> found{std::vector<T>(at(A.cols())), {}};
  OperatorSketcher<T, Op> source(A, opt.spd);
  const CoordinateSketches<T> picks(source.weights(false), opt.d, opt.seed);
  const auto gauss = [&](Index step) {
    return AnySketch<T>(Gaussian<T>(opt.d, A.rows(), sketch_seed(opt.seed, step)));
  };
  const auto pick = [&](Index step) { return AnySketch<T>(picks(step)); };
  const Make make = rows ? Make(pick) : Make(gauss);
  const OptionalOperator<T> none;
  found.outcome = SketchAndProject<T, Op, OperatorSketcher<T, Op>, OptionalOperator<T>, Make>(
                      A, source, none, make, view(b), view(found.x), opt, {})
                      .run();
  return found;
}

}  // namespace

// ------------------------------------------------------------------------------------ the draws

TEST_CASE("rows are drawn with the probabilities of their weights") {
  const std::vector<double> weights{3.0, 0.0, 1e-6, 7.0, 0.5, 1e6, 2.0, 0.0};
  const RowDraws draws(weights, 5, RowStream::rows);
  CHECK(draws.size() == 6);
  double total = 0.0;
  for (const double w : weights) total += w;
  const auto p = draws.probabilities(8);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(p[i] == doctest::Approx(weights[i] / total).epsilon(1e-9));
  }
  CHECK(p[1] == 0.0);

  // And so they come.
  const std::vector<double> even{1.0, 2.0, 0.0, 4.0, 1.0};
  const RowDraws fair(even, 1, RowStream::rows);
  std::array<double, 5> seen{};
  constexpr Index kDraws = 40000;
  for (Index k = 0; k < kDraws; ++k) seen[at(fair.draw(k))] += 1.0;
  for (std::size_t i = 0; i < 5; ++i) {
    const double q = even[i] / 8.0, sigma = std::sqrt(q * (1.0 - q) * kDraws);
    CHECK(std::abs(seen[i] - q * kDraws) <= 5.0 * sigma);
  }
  CHECK(RowDraws(std::vector<double>{0.0, 2.0}, 1, RowStream::rows).draw(7) == 1);
}

TEST_CASE("the rows of a block differ, and heavy ones do not keep it from ending") {
  const RowDraws draws(std::vector<double>(20, 1.0), 3, RowStream::rows);
  std::vector<Index> first, second;
  draws.draw(0, 8, first);
  CHECK(first.size() == 8);
  CHECK(std::set<Index>(first.begin(), first.end()).size() == 8);
  draws.draw(1, 8, second);
  CHECK(first != second);
  draws.draw(0, 30, second);
  CHECK(second.size() == 20);
  const RowDraws heavy(std::vector<double>{1.0, 1e-300, 1e-300}, 3, RowStream::rows);
  heavy.draw(0, 3, second);
  CHECK(second == std::vector<Index>{0});
}

TEST_CASE_TEMPLATE("the mean of the projectors is I − AᴴA/‖A‖_F²", T, double,
                   std::complex<double>) {
  using W = WideOf<T>;
  const Index m = 7, n = 4;
  auto A = random_dense<T>(m, n, 1);
  for (Index j = 0; j < n; ++j) {
    A(2, j) *= T(30.0);
    A(5, j) *= T(0.1);
    A(6, j) = T{};
  }
  RowProjector<T, DenseRowAccess<T>, false> projector(DenseRowAccess<T>(by_columns(A)), 1, 9);
  const auto p = projector.draws().probabilities(m);
  CHECK(p[6] == 0.0);
  Dense<W> mean(n, n);
  for (Index i = 0; i < m - 1; ++i) {
    Index step = 0;
    while (projector.draws().draw(step) != i) ++step;
    for (Index j = 0; j < n; ++j) {
      std::vector<T> v(at(n));
      v[at(j)] = T(1.0);
      projector.step(step, 1.0, [](Index) { return W{}; }, v.data());
      for (Index l = 0; l < n; ++l) mean(l, j) += p[at(i)] * W(v[at(l)]);
    }
  }
  double worst = 0.0;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) {
      W gram{};
      for (Index l = 0; l < m; ++l) gram += conjugate(W(A(l, i))) * W(A(l, j));
      const W expected = (i == j ? 1.0 : 0.0) - gram / projector.norm2();
      worst = std::max(worst, std::abs(mean(i, j) - expected));
    }
  }
  CHECK(worst <= 2e-15);
}

TEST_CASE_TEMPLATE("a step on a block solves its equations", T, float, std::complex<double>) {
  using W = WideOf<T>;
  const Index m = 9, n = 6;
  auto A = random_dense<T>(m, n, 2);
  for (Index j = 0; j < n; ++j) {
    A(3, j) = A(1, j) * T(2.0);  // one equation three times
    A(4, j) = A(1, j);
  }
  const auto b = product(A, gaussian<T>(n, 3));
  RowProjector<T, DenseRowAccess<T>, false> projector(DenseRowAccess<T>(by_columns(A)), 5, 4);
  std::vector<Index> rows;
  for (Index step = 0; step < 20; ++step) {
    projector.draws().draw(step, 5, rows);
    std::vector<T> x(at(n));
    projector.step(step, 1.0, [&](Index i) { return W(b[at(i)]); }, x.data());
    const auto y = product(A, x);
    for (const Index i : rows) CHECK(std::abs(W(y[at(i)]) - W(b[at(i)])) <= 200 * kEps<T>);
  }
}

TEST_CASE("a pseudo-inverse of a singular matrix leaves out what it cannot tell") {
  SmallMatrix<double> G(3, 3), t(3, 1);
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 3; ++j) G(i, j) = 2.0;
    t(i, 0) = static_cast<double>(i);
  }
  GramSolver<double> solver;
  using Found = GramSolver<double>::Found;
  CHECK(solver.solve(G, t) == Found::semidefinite);
  for (Index i = 0; i < 3; ++i) CHECK(t(i, 0) == doctest::Approx(1.0 / 6.0));
  G(2, 2) = -5.0;
  CHECK(solver.solve(G, t) == Found::indefinite);
  G(2, 2) = std::nan("");
  CHECK(solver.solve(G, t) == Found::nonfinite);
}

// ------------------------------------------------------------------------------------- Kaczmarz

TEST_CASE_TEMPLATE("a consistent system is solved by rows alone", T, float, double,
                   std::complex<float>, std::complex<double>) {
  const Index m = 300, n = 12;
  const auto A = random_dense<T>(m, n, 1);
  const auto x = gaussian<T>(n, 2);
  const auto b = product(A, x);
  const double rtol = std::max(1e-10, 10.0 * kEps<T>);
  for (const Index block : {1, 4, 30}) {
    CAPTURE(block);
    const auto [found, out] = solve(A, b, options(KaczmarzMethod::automatic, block, rtol));
    CHECK(out.status == Status::converged);
    CHECK(out.method == KaczmarzMethod::plain);
    CHECK(out.verified);
    CHECK(out.residual <= out.target);
    CHECK(distance(found, x) <= 10 * rtol * norm(x));
    CHECK(out.column_uses == 0);
    CHECK(out.row_uses == out.iterations * std::min(block, out.row_uses));
    CHECK(out.row_uses < 6 * m);
    const auto whole =
        static_cast<Index>(std::ceil(static_cast<double>(out.row_uses) / static_cast<double>(m)));
    CHECK(out.products.apply == whole + out.checks);
    CHECK(out.products.adjoint == whole + out.checks);
  }
}

TEST_CASE_TEMPLATE("the extended method minimises the residual", T, float, std::complex<double>) {
  const Index m = 120, n = 8;
  const auto A = random_dense<T>(m, n, 1);
  const auto b = gaussian<T>(m, 2);
  const auto x = least_squares_solution(A, b);
  const double rtol = std::max(1e-10, 10.0 * kEps<T>);
  for (const auto method : {KaczmarzMethod::automatic, KaczmarzMethod::extended}) {
    for (const Index block : {1, 3}) {
      const auto [found, out] = solve(A, b, options(method, block, rtol));
      CHECK(out.status == Status::converged);
      CHECK(out.method == KaczmarzMethod::extended);
      CHECK(out.normal_residual <= rtol * out.norm_a * out.residual);
      CHECK(distance(found, x) <= 40 * rtol * norm(x));
      CHECK(out.column_uses > 0);
    }
  }
  const auto plain = solve(A, b, options(KaczmarzMethod::plain, 1, rtol));
  CHECK(plain.outcome.status == Status::stagnation);
  CHECK(plain.outcome.column_uses == 0);
}

TEST_CASE("of many solutions the one nearest the start") {
  const Index m = 10, n = 40;
  const auto A = random_dense<double>(m, n, 1);
  const auto b = gaussian<double>(m, 2), start = gaussian<double>(n, 3);
  // x = Aᴴ y + start with A x = b
  Dense<double> At(n, m);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) At(j, i) = A(i, j);
  }
  for (const bool warm : {false, true}) {
    auto opt = options(KaczmarzMethod::automatic, 1, 1e-12);
    opt.warm_start = warm;
    const auto [x, out] = solve(A, b, opt, start);
    CHECK(out.status == Status::converged);
    auto moved = x;
    if (warm) {
      for (std::size_t i = 0; i < moved.size(); ++i) moved[i] -= start[i];
    }
    const auto y = least_squares_solution(At, moved);
    CHECK(distance(product(At, y), moved) <= 1e-12 * norm(moved));
    CHECK(distance(product(A, x), b) <= 1e-11 * norm(b));
  }
}

TEST_CASE("rows count by their norms") {
  // Drawn uniformly, 490 of 500 would be small and do nothing.
  const auto A = uneven(500, 10);
  const auto x = gaussian<double>(10, 1);
  const auto [found, out] = solve(A, product(A, x), options(KaczmarzMethod::plain));
  CHECK(out.status == Status::converged);
  CHECK(out.row_uses <= 1200);
  CHECK(distance(found, x) <= 1e-5 * norm(x));
}

TEST_CASE_TEMPLATE("sparse rows are the same rows", T, double, std::complex<double>) {
  auto A = random_dense<T>(60, 9, 1);
  for (Index i = 0; i < 60; ++i) A(i, i % 9) = T{};
  Dense<T> At(9, 60);
  for (Index i = 0; i < 60; ++i) {
    for (Index j = 0; j < 9; ++j) At(j, i) = A(i, j);
  }
  const Halves<T> rows(A), columns(At);
  const CsrMatrix<T> op(60, 9, rows.indptr.data(), rows.indices.data(), rows.values.data());
  const auto b = gaussian<T>(60, 2);
  for (const Index block : {1, 4}) {
    const auto opt = options(KaczmarzMethod::automatic, block, 1e-9);
    const auto dense = solve(A, b, opt);
    for (const bool transposed : {false, true}) {
      SparseKaczmarz<T, CsrMatrix<T>, std::int32_t> solver(op, (transposed ? columns : rows).view,
                                                           transposed, opt);
      std::vector<T> x(9);
      const auto out = solver.solve(view(b), view(x));
      CHECK(out.status == Status::converged);
      CHECK(out.iterations == dense.outcome.iterations);
      CHECK(distance(x, dense.x) <= 1e-12 * norm(x));
    }
  }
}

TEST_CASE("the units of A and b change nothing") {
  const auto A = random_dense<double>(80, 7, 1);
  const auto b = gaussian<double>(80, 2);
  for (const auto method : {KaczmarzMethod::plain, KaczmarzMethod::automatic}) {
    const auto one = solve(A, b, options(method));
    for (const double scale : {0x1p-83, 0x1p83}) {
      auto scaled = A;
      auto right = b;
      for (double& a : scaled.a) a *= scale;
      for (double& a : right) a *= 1.0 / scale;
      const auto other = solve(scaled, right, options(method));
      CHECK(other.outcome.status == one.outcome.status);
      CHECK(other.outcome.iterations == one.outcome.iterations);
      for (std::size_t i = 0; i < one.x.size(); ++i) {
        CHECK(other.x[i] == one.x[i] / scale / scale);
      }
    }
  }
}

TEST_CASE("honest endings") {
  const auto A = random_dense<double>(50, 5, 1);
  const auto x = gaussian<double>(5, 2);
  const auto b = product(A, x);
  SUBCASE("an unattainable tolerance") {
    for (const auto method : {KaczmarzMethod::automatic, KaczmarzMethod::extended}) {
      const auto [found, out] = solve(A, b, options(method, 1, 0.0));
      CHECK(out.status == Status::precision_limit);
      CHECK(out.verified);
      CHECK(distance(found, x) <= 1e-14 * norm(x));
    }
  }
  SUBCASE("a limit") {
    auto opt = options(KaczmarzMethod::automatic);
    opt.max_iterations = 7;
    const auto out = solve(A, b, opt).outcome;
    CHECK(out.status == Status::max_iterations);
    CHECK(out.iterations == 7);
    CHECK(out.verified);
  }
  SUBCASE("products") {
    auto opt = options(KaczmarzMethod::automatic, 1, 1e-12);
    DenseKaczmarz<double> solver(by_columns(A), opt);
    std::vector<double> y(5);
    Monitor monitor;
    monitor.max_products = 2;
    CHECK(solver.solve(view(b), view(y), monitor).status == Status::max_products);
    // And again, as if nothing had been.
    const auto out = solver.solve(view(b), view(y));
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == solve(A, b, opt).outcome.iterations);
  }
  SUBCASE("a row of zeros with a right-hand side") {
    auto B = A;
    for (Index j = 0; j < 5; ++j) B(20, j) = 0.0;
    auto c = product(B, x);
    c[20] = 1.0;
    CHECK(solve(B, c, options(KaczmarzMethod::plain)).outcome.status == Status::stagnation);
    const auto [found, out] = solve(B, c);
    CHECK(out.status == Status::converged);
    CHECK(out.residual == doctest::Approx(1.0));
    CHECK(distance(found, x) <= 1e-4 * norm(x));
  }
  SUBCASE("nothing") {
    const Dense<double> zero(50, 5);
    CHECK(solve(zero, b).outcome.status == Status::converged);
    CHECK(solve(zero, b, options(KaczmarzMethod::plain)).outcome.status == Status::stagnation);
    const auto [found, out] = solve(A, std::vector<double>(50));
    CHECK(out.status == Status::converged);
    CHECK(norm(found) == 0.0);
  }
  SUBCASE("no numbers") {
    auto B = A;
    B(3, 3) = std::nan("");
    CHECK(solve(B, b).outcome.status == Status::nonfinite);
    auto c = b;
    c[7] = INFINITY;
    CHECK(solve(A, c).outcome.status == Status::nonfinite);
  }
  SUBCASE("sizes of one") {
    const auto row = random_dense<double>(1, 5, 1), column = random_dense<double>(50, 1, 2);
    CHECK(solve(row, {3.0}).outcome.residual <= 1e-15);
    const auto [found, out] = solve(column, b, options(KaczmarzMethod::automatic, 1, 1e-10));
    CHECK(out.status == Status::converged);
    CHECK(distance(found, least_squares_solution(column, b)) <= 1e-9 * norm(found));
  }
  SUBCASE("misuse") {
    auto opt = options(KaczmarzMethod::automatic);
    opt.relaxation = 2.0;
    CHECK_THROWS_AS(solve(A, b, opt), InvalidArgument);
    opt.relaxation = 1.0;
    opt.block = 0;
    CHECK_THROWS_AS(solve(A, b, opt), InvalidArgument);
    auto tiny = A;
    for (double& a : tiny.a) a *= 1e-200;
    CHECK_THROWS_AS(solve(tiny, b), InvalidArgument);
    for (const double factor : {1e200, 1e200}) {
      for (double& a : tiny.a) a *= factor;
    }
    CHECK_THROWS_AS(solve(tiny, b), InvalidArgument);
  }
}

TEST_CASE("the same bits for the same seed and any number of threads") {
  const auto A = random_dense<double>(400, 200, 1);
  const auto b = gaussian<double>(400, 2);
  auto opt = options(KaczmarzMethod::extended, 1, 1e-3);
  opt.max_iterations = 3000;
  const auto one = solve(A, b, opt);
  threads::set_num_threads(3);
  CHECK(solve(A, b, opt).x == one.x);
  threads::set_num_threads(1);
  opt.seed = 1;
  CHECK(solve(A, b, opt).x != one.x);
}

// --------------------------------------------------------------------------- sketch-and-project

TEST_CASE_TEMPLATE("projections solve a consistent system", T, float, std::complex<double>) {
  const auto A = random_dense<T>(60, 20, 1);
  const auto x = gaussian<T>(20, 2);
  const auto b = product(A, x);
  for (const Index d : {1, 5, 40}) {
    SketchAndProjectOptions opt;
    opt.d = d;
    opt.rtol = std::max(1e-8, 20.0 * kEps<T>);
    const auto [found, out] = project(A, b, opt);
    CHECK(out.status == Status::converged);
    CHECK(out.verified);
    CHECK(distance(found, x) <= 20 * opt.rtol * norm(x));
    CHECK(out.products.apply == out.checks);
    CHECK(out.products.columns + out.products.adjoint == d * out.iterations);
    CHECK(out.norm_a == doctest::Approx(norm(A.a)).epsilon(0.3));
    if (d == 40) CHECK(out.iterations <= 3);  // more equations than unknowns
  }
}

TEST_CASE("a sketch of one row is Kaczmarz") {
  // Rows of one norm, so that both draw them alike.
  auto A = random_dense<double>(30, 6, 1);
  for (Index i = 0; i < 30; ++i) {
    double size = 0.0;
    for (Index j = 0; j < 6; ++j) size += A(i, j) * A(i, j);
    for (Index j = 0; j < 6; ++j) A(i, j) /= std::sqrt(size);
  }
  const auto b = product(A, gaussian<double>(6, 2));
  for (const Index d : {1, 3}) {
    SketchAndProjectOptions opt;
    opt.d = d;
    opt.seed = 5;
    opt.max_iterations = 25;
    opt.rtol = 0.0;
    auto other = options(KaczmarzMethod::plain, d, 0.0);
    other.seed = 5;
    other.max_iterations = 25;
    const auto x = solve(A, b, other).x;
    CHECK(distance(project(A, b, opt, true).x, x) <= 1e-13 * norm(x));
  }
}

TEST_CASE("a positive definite system by blocks of coordinates") {
  const auto A = hermitian<double>(geometric(24, 30.0), 1);
  const auto x = gaussian<double>(24, 2);
  const auto b = product(A, x);
  for (const bool rows : {false, true}) {
    SketchAndProjectOptions opt;
    opt.spd = true;
    opt.d = 6;
    const auto [found, out] = project(A, b, opt, rows);
    CHECK(out.status == Status::converged);
    CHECK(distance(found, x) <= 1e-3 * norm(x));
    CHECK(out.products.columns == 6 * out.iterations);
    CHECK(out.products.adjoint == 0);
  }
  auto indefinite = A;
  for (double& a : indefinite.a) a = -a;
  SketchAndProjectOptions opt;
  opt.spd = true;
  opt.d = 6;
  CHECK(project(indefinite, b, opt).outcome.status == Status::negative_curvature);
}

TEST_CASE_TEMPLATE("more columns than unknowns are no negative curvature", T, float, double) {
  // Sᴴ A S is singular, and known to the precision of T.
  const auto A = hermitian<T>(geometric(7, 20.0), 1);
  const auto b = product(A, gaussian<T>(7, 2));
  for (const Index d : {7, 8, 20}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      SketchAndProjectOptions opt;
      opt.spd = true;
      opt.d = d;
      opt.seed = seed;
      opt.rtol = 1e-4;
      CHECK(project(A, b, opt).outcome.status == Status::converged);
    }
  }
}

TEST_CASE("projections end honestly") {
  const auto A = random_dense<double>(40, 6, 1);
  const auto b = gaussian<double>(40, 2);
  SketchAndProjectOptions opt;
  opt.d = 3;
  CHECK(project(A, b, opt).outcome.status == Status::stagnation);
  opt.max_iterations = 4;
  CHECK(project(A, b, opt).outcome.status == Status::max_iterations);
  opt.max_iterations = 0;
  CHECK(project(Dense<double>(40, 6), b, opt).outcome.status == Status::stagnation);
  CHECK(project(Dense<double>(40, 6), b, opt, true).outcome.status == Status::stagnation);
  CHECK(project(A, std::vector<double>(40), opt).outcome.status == Status::converged);
  auto wrong = A;
  wrong(1, 1) = std::nan("");
  CHECK(project(wrong, b, opt).outcome.status == Status::nonfinite);
  opt.rtol = 0.0;
  const auto consistent = product(A, gaussian<double>(6, 3));
  CHECK(project(A, consistent, opt).outcome.status == Status::precision_limit);
  opt.relaxation = 0.0;
  CHECK_THROWS_AS(project(A, b, opt), InvalidArgument);
}
