// Block methods: many right-hand sides from one Krylov space.
#include <doctest/doctest.h>

#include "problems.hpp"
#include "ritz/krylov/block_cg.hpp"
#include "ritz/krylov/block_gmres.hpp"
#include "ritz/krylov/block_minres.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/op/algebra.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

template <class T>
BlockView<T> block(std::vector<T>& x, Index rows, Index cols) {
  return {x.data(), rows, cols, rows};
}
template <class T>
BlockView<const T> const_block(const std::vector<T>& x, Index rows, Index cols) {
  return {x.data(), rows, cols, rows};
}

/// The largest ‖b_j − A x_j‖ / ‖b_j‖, in long double.
template <class T>
double worst_residual(const Dense<T>& A, const std::vector<T>& b, const std::vector<T>& x,
                      Index k) {
  const Index n = A.rows();
  double worst = 0.0;
  for (Index j = 0; j < k; ++j) {
    long double rr = 0, bb = 0;
    for (Index i = 0; i < n; ++i) {
      Long<T> sum = lengthen(b[at(i + j * n)]);
      for (Index l = 0; l < n; ++l) sum -= lengthen(A(i, l)) * lengthen(x[at(l + j * n)]);
      rr += std::norm(sum);
      bb += std::norm(lengthen(b[at(i + j * n)]));
    }
    worst = std::max(worst, static_cast<double>(std::sqrt(rr / bb)));
  }
  return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("block_cg: every column to its target, in fewer iterations than alone", S,
                   ReferenceSpace<double>, HostSpace<float>, HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  const Index n = 60, k = 5;
  const Dense<T> A = hermitian<T>(geometric(n, 1e3), 1);
  const auto b = gaussian<T>(n * k, 5);
  std::vector<T> x(at(n * k));
  S space;
  BlockCgWorkspace<S> ws;
  BlockCgOptions opt;
  opt.rtol = 1e3 * kEps<T>;
  std::vector<Outcome> out(at(k));
  block_cg(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  std::vector<T> alone(at(n));
  CgWorkspace<S> single;
  CgOptions plain;
  plain.rtol = opt.rtol;
  const Outcome one = cg(space, A, const_block(b, n, 1).column(0), view(alone), single, plain);
  for (const Outcome& o : out) {
    CHECK(o.status == Status::converged);
    CHECK(o.verified);
    CHECK(3 * o.iterations <= one.iterations);
    CHECK(o.products.columns <= (o.iterations + 1) * k);
  }
  CHECK(worst_residual(A, b, x, k) <= 1.1 * opt.rtol + 4 * kEps<T>);
}

TEST_CASE_TEMPLATE("block_cg: dependent right-hand sides shrink the block", S,
                   ReferenceSpace<double>, HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  const Index n = 40, k = 4;
  const Dense<T> A = hermitian<T>(geometric(n, 100.0), 2);
  auto b = gaussian<T>(n * k, 6);
  for (Index i = 0; i < n; ++i) {
    b[at(i + 2 * n)] = b[at(i)] + b[at(i + n)] * T(2.0);  // dependent
    b[at(i + 3 * n)] = T{};                               // zero
  }
  std::vector<T> x(at(n * k), T(7.0));
  S space;
  BlockCgWorkspace<S> ws;
  BlockCgOptions opt;
  opt.rtol = 1e-10;
  std::vector<Outcome> out(at(k));
  block_cg(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  for (const Outcome& o : out) CHECK(o.status == Status::converged);
  CHECK(out[0].products.columns <= (out[0].iterations) * 2 + k);
  CHECK(worst_residual(A, b, x, 3) <= 1.1e-10);
  for (Index i = 0; i < n; ++i) CHECK(x[at(i + 3 * n)] == T{});
}

TEST_CASE("block_cg: preconditioned, scaled, indefinite") {
  using S = HostSpace<double>;
  const Index n = 80, k = 3;
  const auto d = geometric(n, 1e6);
  S space;
  BlockCgWorkspace<S> ws;
  std::vector<Outcome> out(at(k));
  std::vector<double> x(at(n * k)), inverse(at(n));
  for (Index i = 0; i < n; ++i)
    inverse[at(i)] = 1.0 / (d[at(i)] * (1.0 + 0.1 * static_cast<double>(i % 3)));
  const Diagonal<S> A(space, view(d)), M(space, view(inverse));
  const auto b = gaussian<double>(n * k, 7);
  BlockCgOptions opt;
  opt.rtol = 1e-10;
  Index iterations = 0;
  for (const double scale : {1.0, 1e-20, 1e20}) {
    auto scaled = b;
    for (double& v : scaled) v *= scale;
    block_cg(space, A, const_block(scaled, n, k), block(x, n, k), ws, opt, {}, std::span(out), M);
    for (const Outcome& o : out) CHECK(o.status == Status::converged);
    CHECK(out[0].iterations <= 6);  // three distinct eigenvalues of M A
    if (iterations > 0) CHECK(std::abs(out[0].iterations - iterations) <= 1);
    iterations = out[0].iterations;
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < n; ++i) {
        const double exact = scaled[at(i + j * n)] / d[at(i)];
        CHECK(x[at(i + j * n)] == doctest::Approx(exact).epsilon(1e-4));
      }
    }
  }
  auto indefinite = d;
  indefinite[3] = -1.0;
  const Diagonal<S> C(space, view(indefinite));
  block_cg(space, C, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  for (const Outcome& o : out) CHECK(o.status == Status::negative_curvature);
  auto negative = inverse;
  negative[5] = -1.0;
  const Diagonal<S> N(space, view(negative));
  block_cg(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out), N);
  for (const Outcome& o : out) CHECK(o.status != Status::converged);
}

TEST_CASE_TEMPLATE("block_gmres: every column of a nonsymmetric system", S, ReferenceSpace<double>,
                   HostSpace<float>, HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  const Index n = 60, k = 4;
  Dense<T> A = random_dense<T>(n, n, 3);
  for (Index i = 0; i < n; ++i) A(i, i) += T(12.0);
  auto b = gaussian<T>(n * k, 8);
  for (Index i = 0; i < n; ++i) b[at(i + 3 * n)] = b[at(i)];  // one column twice
  std::vector<T> x(at(n * k));
  S space;
  BlockGmresWorkspace<S> ws;
  BlockGmresOptions opt;
  opt.rtol = 1e3 * kEps<T>;
  std::vector<Outcome> out(at(k));
  for (const Index restart : {Index{30}, Index{4}}) {
    opt.restart = restart;
    block_gmres(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
    for (const Outcome& o : out) CHECK(o.status == Status::converged);
    CHECK(worst_residual(A, b, x, k) <= 1.1 * opt.rtol + 4 * kEps<T>);
  }
  opt.restart = 30;
  block_gmres(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  CHECK(out[0].iterations <= n / 3 + 1);  // rank three: the space is exhausted then
  CHECK(out[0].products.columns <= 3 * out[0].iterations + k);
}

TEST_CASE("block_gmres: exact endings, preconditioner, singular systems") {
  using S = HostSpace<double>;
  const Index n = 30, k = 2;
  S space;
  BlockGmresWorkspace<S> ws;
  std::vector<Outcome> out(at(k));
  std::vector<double> d = geometric(n, 1e4), inverse(at(n)), x(at(n * k));
  for (Index i = 0; i < n; ++i) inverse[at(i)] = 1.0 / d[at(i)];
  const Diagonal<S> A(space, view(d)), M(space, view(inverse));
  const auto b = gaussian<double>(n * k, 9);
  BlockGmresOptions opt;
  opt.rtol = 1e-12;
  block_gmres(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out), M);
  CHECK(out[1].status == Status::converged);
  CHECK(out[1].iterations == 1);
  // Warm start at the solution.
  opt.warm_start = true;
  opt.rtol = 1e-10;
  block_gmres(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  CHECK(out[0].iterations == 0);
  CHECK(out[0].status == Status::converged);
  // A b outside the range of a singular A is never claimed.
  opt.warm_start = false;
  d[4] = 0.0;
  const Diagonal<S> singular(space, view(d));
  block_gmres(space, singular, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  for (const Outcome& o : out) CHECK(o.status != Status::converged);
  CHECK(all_finite(x));
}

TEST_CASE_TEMPLATE("block_minres: every column of an indefinite system", S, ReferenceSpace<double>,
                   HostSpace<float>, HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  const Index n = 60, k = 4;
  auto values = geometric(n, 30.0);
  for (std::size_t i = 0; i < values.size(); i += 3) values[i] = -values[i];
  const Dense<T> A = hermitian<T>(values, 4);
  auto b = gaussian<T>(n * k, 8);
  for (Index i = 0; i < n; ++i) b[at(i + n)] = b[at(i)];  // one column twice
  std::vector<T> x(at(n * k)), alone(at(n));
  S space;
  BlockMinresWorkspace<S> ws;
  BlockMinresOptions opt;
  opt.rtol = 1e4 * kEps<T>;
  std::vector<Outcome> out(at(k));
  for (const double scale : {1.0, 1e-8, 1e8}) {
    auto scaled = b;
    for (T& v : scaled) v *= static_cast<RealOf<T>>(scale);
    block_minres(space, A, const_block(scaled, n, k), block(x, n, k), ws, opt, {}, std::span(out));
    for (const Outcome& o : out) {
      CHECK(o.status == Status::converged);
      CHECK(o.iterations <= n / 2);
      CHECK(o.products.columns <= 3 * o.iterations + 3 * k);
    }
    CHECK(worst_residual(A, scaled, x, k) <= 1.1 * opt.rtol + 4 * kEps<T>);
  }
}

TEST_CASE("block_minres: singular systems") {
  using S = HostSpace<double>;
  const Index n = 50, k = 3;
  S space;
  BlockMinresWorkspace<S> ws;
  std::vector<Outcome> out(at(k));
  auto d = geometric(n, 100.0);
  d[7] = d[20] = 0.0;
  for (std::size_t i = 0; i < d.size(); i += 2) d[i] = -d[i];
  const Diagonal<S> A(space, view(d));
  auto b = gaussian<double>(n * k, 10);
  std::vector<double> x(at(n * k));
  BlockMinresOptions opt;
  opt.rtol = 1e-9;
  block_minres(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  for (const Outcome& o : out) CHECK(o.status != Status::converged);
  for (Index j = 0; j < k; ++j) b[at(7 + j * n)] = b[at(20 + j * n)] = 0.0;
  block_minres(space, A, const_block(b, n, k), block(x, n, k), ws, opt, {}, std::span(out));
  for (const Outcome& o : out) CHECK(o.status == Status::converged);
  for (Index j = 0; j < k; ++j) {
    for (Index i = 0; i < n; ++i) {
      const double exact = d[at(i)] == 0.0 ? 0.0 : b[at(i + j * n)] / d[at(i)];
      CHECK(std::abs(x[at(i + j * n)] - exact) <= 1e-6);
    }
  }
}
