// sGMRES beside GMRES, and the sketches that it minimises over.
#include <doctest/doctest.h>

#include <array>
#include <barrier>
#include <thread>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/dense/svd.hpp"
#include "ritz/krylov/gmres.hpp"
#include "ritz/krylov/sgmres.hpp"
#include "ritz/op/operator_ref.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <Field T>
using Erased = OperatorRef<T>;

template <class T, class Out>
struct Solved {
  std::vector<T> x;
  Out out;
};

template <class Method, class S>
Solved<typename S::Value, Outcome> solve(const Erased<typename S::Value>& A,
                                         const std::vector<typename S::Value>& b,
                                         const typename Method::Options& opt,
                                         const Monitor& monitor = {},
                                         const Erased<typename S::Value>* M = nullptr) {
  using T = typename S::Value;
  S space;
  typename Method::template Workspace<S> ws;
  Solved<T, Outcome> result{std::vector<T>(b.size()), {}};
  const OptionalOperator<T> m(M);
  result.out = Stepper<Method, S, Erased<T>, OptionalOperator<T>>(space, A, view(b), view(result.x),
                                                                  ws, opt, monitor, m)
                   .finish();
  return result;
}

/// ‖b − A x‖
template <class Op, class T>
double remaining(const Op& A, const std::vector<T>& x, const std::vector<T>& b) {
  std::vector<T> y(b.size());
  A.apply(view(x), view(y));
  return distance(b, y);
}

/// x ↦ −Δx + c · ∇x on p × p points.
template <Field T>
struct Transport {
  Index p;
  double wind;

  Index rows() const { return p * p; }
  Index cols() const { return p * p; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    using W = WideOf<T>;
    const auto value = [&](Index i, Index j) {
      return i < 0 || j < 0 || i >= p || j >= p ? W{} : static_cast<W>(x[i + j * p]);
    };
    for (Index j = 0; j < p; ++j) {
      for (Index i = 0; i < p; ++i) {
        y[i + j * p] = static_cast<T>(
            4.0 * value(i, j) - (1.0 + wind) * value(i - 1, j) - (1.0 - wind) * value(i + 1, j) -
            (1.0 + 0.5 * wind) * value(i, j - 1) - (1.0 - 0.5 * wind) * value(i, j + 1));
      }
    }
  }
};

/// Eigenvalues from 1 to `condition` in equal ratios on the diagonal of a triangle.
template <Field T>
Dense<T> graded(Index n, double condition, double above) {
  Dense<T> A = random_dense<T>(n, n, 7).scaled(above);
  const auto values = geometric(n, condition);
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) A(i, j) = T{};
    A(j, j) = static_cast<T>(values[at(j)] * condition);
  }
  return A;
}

/// Least and greatest singular value of S U for the columns of U.
template <class T>
std::pair<double, double> distortion(const VectorSketch<T>& sketch, Index d,
                                     const std::vector<std::vector<T>>& U) {
  using W = WideOf<T>;
  const auto k = static_cast<Index>(U.size());
  std::vector<W> SU(at(d * k)), left(at(d * k)), right(at(k * k));
  std::vector<T> y(at(d));
  for (Index j = 0; j < k; ++j) {
    sketch.apply(view(U[at(j)]), view(y));
    std::copy(y.begin(), y.end(), SU.begin() + j * d);
  }
  std::vector<double> s(at(k));
  dense::svd<W>({SU.data(), d, k, d}, {left.data(), d, k, d}, s, {right.data(), k, k, k});
  return {s.back(), s.front()};
}

}  // namespace

TEST_CASE_TEMPLATE("vector sketch: subspaces keep their shape, those of few coordinates as well", T,
                   double, std::complex<float>) {
  const Index d = 164, k = 41;
  for (const Index n : {Index{500}, Index{5000}, Index{20000}}) {
    VectorSketch<T> sketch;
    sketch.prepare(d, n);
    const auto unit = [&](Index i) {
      std::vector<T> e(at(n));
      e[at(i)] = T{1};
      return e;
    };
    std::vector<std::vector<T>> leading, far, smooth, apart;
    for (Index j = 0; j < k; ++j) {
      leading.push_back(unit(j));
      far.push_back(unit(j * (n / k)));
      smooth.emplace_back(at(n));
      for (Index i = 0; i < n; ++i) {
        const double angle = std::numbers::pi * static_cast<double>(j) *
                             (static_cast<double>(i) + 0.5) / static_cast<double>(n);
        const double size = std::sqrt((j == 0 ? 1.0 : 2.0) / static_cast<double>(n));
        smooth.back()[at(i)] = static_cast<T>(static_cast<WideOf<T>>(size * std::cos(angle)));
      }
    }
    for (Index i = 7; i < n; i += 4096) apart.push_back(unit(i));  // one in each block
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      sketch.draw(seed);
      for (const auto& U : {leading, far, smooth, apart}) {
        const auto [least, most] = distortion(sketch, d, U);
        CHECK(least > 0.35);  // 1 ∓ √(k/d) = 0.5, 1.5
        CHECK(most < 1.65);
      }
    }
  }
}

TEST_CASE("vector sketch: E ‖S x‖² = ‖x‖², and the bits do not depend on the threads") {
  const Index n = 9000, d = 70;
  const auto x = gaussian<double>(n, 1);
  std::vector<double> y(at(d)), again(at(d));
  VectorSketch<double> sketch;
  sketch.prepare(d, n);
  double mean = 0.0;
  constexpr int kDraws = 400;
  for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
    sketch.draw(seed);
    sketch.apply(view(x), view(y));
    mean += std::pow(norm(y) / norm(x), 2) / kDraws;
  }
  // The variance of a draw is about 2/d.
  CHECK(std::abs(mean - 1.0) < 5.0 * std::sqrt(2.0 / (d * kDraws)));

  const Index before = threads::num_threads();
  sketch.apply(view(x), view(y));
  for (const Index count : {1, 3}) {
    threads::set_num_threads(count);
    sketch.apply(view(x), view(again));  // starts the threads
    CHECK(allocations_in([&] { sketch.apply(view(x), view(again)); }) == 0);
    CHECK(y == again);
  }
  threads::set_num_threads(before);
}

TEST_CASE("sketched basis: S V = Q R, R H̄, what it leaves and its condition") {
  using S = HostSpace<double>;
  const Index n = 300, m = 12;
  S space;
  SketchedBasis<S> basis;
  basis.prepare(space, n, m);
  const auto first = gaussian<double>(n, 1);
  // Vectors ever nearer to the first: cond(V) of about 10⁶.
  std::vector<std::vector<double>> V;
  for (Index j = 0; j <= m; ++j) {
    auto v = gaussian<double>(n, static_cast<std::uint64_t>(j) + 2);
    const double closeness = std::pow(10.0, -0.5 * static_cast<double>(j));
    for (Index i = 0; i < n; ++i) v[at(i)] = first[at(i)] + closeness * v[at(i)];
    const double length = norm(v);
    for (double& a : v) a /= length;
    V.push_back(v);
  }
  std::vector<double> slots(at(2 * (m + 1))), h(at(2 * (m + 1)));
  std::vector<std::vector<double>> G(at(m));
  const double rho = basis.begin(space, 5, view(std::as_const(V[0])));
  for (Index j = 0; j < m; ++j) {
    h[0] = 2.0;  // A v_j = 2 v_j + 3 v_{j+1}
    const auto step = basis.extend(space, view(std::as_const(V[at(j + 1)])), j, {4.0, 3.0},
                                   std::span(slots), std::span(h));
    G[at(j)].assign(h.begin(), h.begin() + j + 1);
    G[at(j)].push_back(step.beta);
    CHECK(step.length == doctest::Approx(norm(G[at(j)])));
  }

  VectorSketch<double> sketch;
  const Index d = 64;
  sketch.prepare(d, n);
  sketch.draw(5);
  const auto sketched = [&](const std::vector<double>& v) {
    std::vector<double> y(at(d));
    sketch.apply(view(v), view(y));
    return y;
  };
  CHECK(rho == doctest::Approx(norm(sketched(V[0]))));
  // The columns of S A V = Q G have the inner products of those of G.
  std::vector<std::vector<double>> images;
  for (Index j = 0; j < m; ++j) {
    std::vector<double> v(at(n));
    for (Index i = 0; i < n; ++i) v[at(i)] = 2.0 * V[at(j)][at(i)] + 3.0 * V[at(j + 1)][at(i)];
    images.push_back(sketched(v));
  }
  for (Index i = 0; i < m; ++i) {
    for (Index j = i; j < m; ++j) {
      double mine = 0.0, exact = 0.0;
      for (Index l = 0; l <= i + 1; ++l) mine += G[at(i)][at(l)] * G[at(j)][at(l)];
      for (Index l = 0; l < d; ++l) exact += images[at(i)][at(l)] * images[at(j)][at(l)];
      CHECK(mine == doctest::Approx(exact).epsilon(1e-12));
    }
  }
  std::vector<double> t(at(m + 1)), y(at(m), 1.0);
  basis.remainder(10.0, y, t);
  CHECK(t[0] == doctest::Approx(8.0));
  CHECK(t[1] == doctest::Approx(-5.0));
  CHECK(t[at(m)] == doctest::Approx(-3.0));

  std::vector<double> SV(at(d * (m + 1))), left(SV.size()), right(at((m + 1) * (m + 1)));
  for (Index j = 0; j <= m; ++j) {
    const auto s = sketched(V[at(j)]);
    std::copy(s.begin(), s.end(), SV.begin() + j * d);
  }
  std::vector<double> values(at(m + 1));
  dense::svd<double>({SV.data(), d, m + 1, d}, {left.data(), d, m + 1, d}, values,
                     {right.data(), m + 1, m + 1, m + 1});
  const double condition = values.front() / values.back();
  CHECK(condition > 1e5);
  CHECK(basis.condition() > 0.5 * condition);
  CHECK(basis.condition() < 2.0 * condition);  // ‖R‖ is that of Frobenius
}

TEST_CASE_TEMPLATE_DEFINE("sgmres: what it tells bounds the residual, which is near GMRES's", S,
                          sgmres_near) {
  using T = typename S::Value;
  const Transport<T> wind{20, 0.3};
  const auto dense = graded<T>(200, 30.0, 0.05);
  const auto near = [](const Erased<T>& A, const auto& matrix, Index n) {
    const auto b = gaussian<T>(n, 1);
    std::vector<double> told;
    SgmresOptions opt;
    opt.rtol = 0.0;
    opt.max_iterations = 80;
    const auto observe = [&](const Iteration& now) {
      told.push_back(now.residual);
      return false;
    };
    Monitor monitor;
    monitor.observer = observe;
    (void)solve<Sgmres, S>(A, b, opt, monitor);
    for (Index j = 10; j <= 80; j += 10) {
      CAPTURE(j);
      opt.max_iterations = j;
      const auto [x, out] = solve<Sgmres, S>(A, b, opt);
      GmresOptions full;
      full.rtol = 0.0;
      full.restart = 100;
      full.max_iterations = j;
      const double least = solve<Gmres, S>(A, b, full).out.residual;
      const double residual = remaining(matrix, x, b);
      if (least < 1e5 * kEps<T> * norm(b)) break;  // rounding has a part then
      CHECK(residual <= 1.4 * least);              // the bound of the theory is 5.8
      CHECK(told[at(j - 1)] >= residual);
      CHECK(told[at(j - 1)] <= 2.0 * residual);
      CHECK(out.residual == doctest::Approx(residual).epsilon(1e-3));
      CHECK_FALSE(out.verified);
    }
  };
  near(Erased<T>(wind), wind, 400);
  near(Erased<T>(dense), dense, 200);
}
TEST_CASE_TEMPLATE_APPLY(sgmres_near,
                         std::tuple<HostSpace<double>, HostSpace<std::complex<double>>>);

TEST_CASE_TEMPLATE_DEFINE("sgmres: as many iterations as GMRES", S, sgmres_count) {
  using T = typename S::Value;
  const Transport<T> wind{24, 0.2};
  const Index n = wind.rows();
  const auto b = gaussian<T>(n, 3);
  GmresOptions full;
  full.rtol = 1e3 * kEps<T>;
  full.restart = n;
  const auto best = solve<Gmres, S>(Erased<T>(wind), b, full).out;
  REQUIRE(best.status == Status::converged);
  for (const Index k : {2, 4, 8}) {
    CAPTURE(k);
    SgmresOptions opt;
    opt.rtol = full.rtol;
    opt.restart = 300;
    opt.truncation = k;
    const auto [x, out] = solve<Sgmres, S>(Erased<T>(wind), b, opt);
    CHECK(out.status == Status::converged);
    CHECK(out.verified);
    CHECK(remaining(wind, x, b) <= out.target * (1.0 + 1e-3) + 10.0 * kEps<T> * norm(b));
    CHECK(out.iterations <= (k == 2 ? 1.6 : 1.1) * static_cast<double>(best.iterations));
  }
}
TEST_CASE_TEMPLATE_APPLY(sgmres_count, SomeSpaces);

TEST_CASE("sgmres: the true residual never grows from cycle to cycle") {
  using S = HostSpace<double>;
  const Transport<double> wind{30, 0.02};  // slow after a restart
  const auto b = gaussian<double>(wind.rows(), 4);
  for (const Index m : {6, 12}) {
    double before = norm(b);
    for (Index cycles = 1; cycles <= 12; ++cycles) {
      CAPTURE(cycles);
      SgmresOptions opt;
      opt.rtol = 1e-12;
      opt.restart = m;
      opt.truncation = 2;
      opt.max_iterations = cycles * m + 1;  // one more, so that the next cycle has begun
      const auto [x, out] = solve<Sgmres, S>(Erased<double>(wind), b, opt);
      const double residual = remaining(wind, x, b);
      CHECK(residual <= before * (1.0 + 1e-12));
      before = std::min(before, residual);
    }
    SgmresOptions opt;
    opt.restart = m;
    CHECK(solve<Sgmres, S>(Erased<double>(wind), b, opt).out.status == Status::converged);
  }
}

TEST_CASE("sgmres: a basis that degenerates is cut short, and the truncation widened") {
  using S = HostSpace<double>;
  const auto A = graded<double>(200, 1e4, 1e-3);
  const auto b = gaussian<double>(200, 5);
  SgmresOptions opt;
  opt.rtol = 1e-10;
  opt.restart = 200;
  opt.max_iterations = 4000;
  const auto [x, out] = solve<Sgmres, S>(A, b, opt);
  CHECK(out.status == Status::converged);
  CHECK(remaining(A, x, b) <= out.target * (1.0 + 1e-3));
  CHECK(out.products.apply > out.iterations + 2);  // more than one cycle
  CHECK(out.iterations < 700);

  // Cycles that went on to their ends would take half as many iterations again.
  const auto worse = graded<double>(200, 1e5, 0.1);
  const auto cut = solve<Sgmres, S>(worse, b, opt).out;
  CHECK(cut.status == Status::converged);
  CHECK(cut.iterations < 750);
}

TEST_CASE("sgmres: the truncation does not matter where it is the whole basis") {
  using S = HostSpace<double>;
  const Transport<double> wind{12, 0.3};
  const auto b = gaussian<double>(wind.rows(), 6);
  SgmresOptions opt;
  opt.rtol = 1e-10;
  opt.restart = 60;
  opt.truncation = 60;
  GmresOptions full;
  full.rtol = opt.rtol;
  full.restart = 60;
  const auto mine = solve<Sgmres, S>(Erased<double>(wind), b, opt);
  const auto best = solve<Gmres, S>(Erased<double>(wind), b, full);
  CHECK(mine.out.status == Status::converged);
  CHECK(std::abs(mine.out.iterations - best.out.iterations) <= 2);
  CHECK(distance(mine.x, best.x) <= 1e-8 * norm(best.x));

  using Device = SlotSpace<double>;  // has no sketch: GMRES
  const auto there = solve<Sgmres, Device>(Erased<double>(wind), b, opt);
  opt.truncation = 4;
  CHECK(solve<Sgmres, Device>(Erased<double>(wind), b, opt).x == there.x);
}

TEST_CASE_TEMPLATE_DEFINE("sgmres: singular, stagnating and inconsistent systems", S,
                          sgmres_singular) {
  using T = typename S::Value;
  const Index n = 40;
  SgmresOptions opt;
  opt.rtol = 1e3 * kEps<T>;
  SUBCASE("a cyclic shift gains nothing until the space is whole") {
    Dense<T> A(n, n);
    for (Index i = 0; i < n; ++i) A((i + 1) % n, i) = T{1};
    std::vector<T> b(at(n));
    b[0] = T{1};
    opt.restart = n / 2;
    const auto half = solve<Sgmres, S>(A, b, opt);
    CHECK(half.out.status == Status::stagnation);
    CHECK(remaining(A, half.x, b) <= 1.0 + 10.0 * kEps<T>);
    opt.restart = n;
    CHECK(solve<Sgmres, S>(A, b, opt).out.status == Status::converged);
  }
  SUBCASE("consistent and singular") {
    auto values = geometric(n, 10.0);
    values[3] = values[20] = 0.0;
    const auto A = hermitian<T>(values, 1);
    const auto y = gaussian<T>(n, 2);
    std::vector<T> b(at(n));
    A.apply(view(y), view(b));
    opt.rtol = 1e4 * kEps<T>;
    const auto solved = solve<Sgmres, S>(A, b, opt);
    CHECK(solved.out.status == Status::converged);
    CHECK(remaining(A, solved.x, b) <= 2.0 * solved.out.target);
  }
  SUBCASE("inconsistent: the least residual") {
    auto values = geometric(n, 10.0);
    values[3] = 0.0;
    const auto A = diagonal_matrix<T>(values);
    const auto b = gaussian<T>(n, 2);
    const auto solved = solve<Sgmres, S>(Erased<T>(A), b, opt);
    CHECK(solved.out.status == Status::stagnation);
    CHECK(solved.out.verified);
    CHECK(solved.out.products.apply <= 5 * n);
    CHECK(remaining(A, solved.x, b) <= 1.01 * std::abs(b[3]));
  }
  SUBCASE("A = 0") {
    const auto A = diagonal_matrix<T>(std::vector<double>(at(n), 0.0));
    const auto b = gaussian<T>(n, 2);
    const auto solved = solve<Sgmres, S>(Erased<T>(A), b, opt);
    CHECK(solved.out.status == Status::stagnation);
    CHECK(norm(solved.x) == 0.0);
  }
  SUBCASE("few eigenvalues end the space early") {
    std::vector<double> values(at(n));
    for (Index i = 0; i < n; ++i) values[at(i)] = static_cast<double>(1 + i % 6);
    const auto A = diagonal_matrix<T>(values);
    const auto b = gaussian<T>(n, 3);
    const auto solved = solve<Sgmres, S>(Erased<T>(A), b, opt);
    CHECK(solved.out.status == Status::converged);
    CHECK(solved.out.iterations <= 14);
  }
}
TEST_CASE_TEMPLATE_APPLY(sgmres_singular, SomeSpaces);

TEST_CASE("sgmres: at any condition the attainable accuracy, and no false success") {
  using S = HostSpace<double>;
  const Index n = 60;
  for (const double condition : {1e4, 1e8, 1e12}) {
    CAPTURE(condition);
    const auto A = with_values<double>(n, geometric(n, condition), false, 3);
    const auto b = gaussian<double>(n, 4);
    SgmresOptions opt;
    opt.rtol = 0.0;
    const auto [x, out] = solve<Sgmres, S>(A, b, opt);
    CHECK(out.status == Status::precision_limit);
    CHECK(remaining(A, x, b) <= 20.0 * kEps<double> * (norm(b) + norm(x)));
  }
}

TEST_CASE("sgmres: a residual that has stopped falling ends the run") {
  using S = HostSpace<double>;
  const Index n = 100;
  const auto A = with_values<double>(n, geometric(n, 4.0), true, 3);
  const auto b = gaussian<double>(n, 4);
  SgmresOptions opt;
  opt.rtol = 1e-60;  // no cycle claims it
  opt.restart = 20;
  for (const Index k : {4, 20}) {
    opt.truncation = k;
    const auto [x, out] = solve<Sgmres, S>(A, b, opt);
    CHECK(out.status == Status::precision_limit);
    CHECK(out.verified);
    CHECK(out.iterations <= 200);
    CHECK(remaining(A, x, b) <= 20.0 * kEps<double> * norm(b));
  }
}

TEST_CASE("sgmres: the seed decides the bits, and a preconditioner the space") {
  using S = HostSpace<double>;
  const auto A = graded<double>(150, 1e3, 0.01);
  const auto b = gaussian<double>(150, 5);
  std::vector<double> inverse(150);
  for (Index i = 0; i < 150; ++i) inverse[at(i)] = 1.0 / A(i, i);
  const auto D = diagonal_matrix<double>(inverse);
  const Erased<double> M(D);
  SgmresOptions opt;
  opt.rtol = 1e-10;
  opt.restart = 60;
  const auto one = solve<Sgmres, S>(A, b, opt, {}, &M);
  CHECK(one.out.status == Status::converged);
  CHECK(one.out.iterations <= 20);
  CHECK(one.out.preconditioner == one.out.iterations + 1);
  CHECK(one.out.products.apply == one.out.iterations + 1);
  CHECK(one.x == solve<Sgmres, S>(A, b, opt, {}, &M).x);
  opt.seed = 1;
  CHECK(one.x != solve<Sgmres, S>(A, b, opt, {}, &M).x);
}

TEST_CASE("sgmres: two ranks, each with a sketch of its part") {
  struct Pair {
    std::barrier<> barrier{2};
    std::array<std::vector<double>, 2> parts{};
  };
  struct Rank {
    Pair* pair;
    std::size_t number;
    void operator()(double* values, Index count) const {
      pair->parts[number].assign(values, values + count);
      pair->barrier.arrive_and_wait();
      for (Index i = 0; i < count; ++i) values[i] = pair->parts[0][at(i)] + pair->parts[1][at(i)];
      pair->barrier.arrive_and_wait();
    }
  };
  const Index n = 600, split = 170;
  const auto d = geometric(n, 100.0);
  const auto b = gaussian<double>(n, 1);
  Pair pair;
  std::array<Outcome, 2> out;
  std::vector<double> x(at(n));
  const auto run = [&](std::size_t number) {
    const Rank rank{&pair, number};
    Comm comm;
    comm.allreduce_sum = rank;
    HostSpace<double> space(comm);
    SgmresWorkspace<HostSpace<double>> ws;
    SgmresOptions opt;
    opt.rtol = 1e-8;
    opt.restart = 80;
    opt.max_iterations = 400;
    const Index first = number == 0 ? 0 : split, count = number == 0 ? split : n - split;
    const auto A = diagonal_matrix<double>({d.begin() + first, d.begin() + first + count});
    out[number] = sgmres(space, A, VectorView<const double>{&b[at(first)], count},
                         VectorView<double>{&x[at(first)], count}, ws, opt);
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  CHECK(out[0].status == Status::converged);
  CHECK(out[1].status == Status::converged);
  CHECK(out[0].iterations == out[1].iterations);
  CHECK(remaining(diagonal_matrix<double>(d), x, b) <= out[0].target * (1.0 + 1e-6));
  SgmresOptions alone;
  alone.rtol = 1e-8;
  alone.restart = 80;
  const auto one =
      solve<Sgmres, HostSpace<double>>(Erased<double>(diagonal_matrix<double>(d)), b, alone);
  CHECK(std::abs(one.out.iterations - out[0].iterations) <= 10);
}

TEST_CASE("sgmres: bad options") {
  const auto A = graded<double>(4, 10.0, 0.1);
  const auto b = gaussian<double>(4, 5);
  SgmresOptions opt;
  opt.restart = 0;
  CHECK_THROWS_AS((solve<Sgmres, HostSpace<double>>(A, b, opt)), InvalidArgument);
  opt.restart = 3;
  opt.truncation = 0;
  CHECK_THROWS_AS((solve<Sgmres, HostSpace<double>>(A, b, opt)), InvalidArgument);
}
