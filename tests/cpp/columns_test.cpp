// Runs that pause: stepping from outside, and many right-hand sides that share block products.
#include "ritz/krylov/columns.hpp"

#include <doctest/doctest.h>

#include <memory>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/krylov/accumulate.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/lsmr.hpp"
#include "ritz/op/algebra.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

/// A matrix that remembers how wide its block products were.
template <class T>
struct Widths {
  const Dense<T>& A;
  mutable std::vector<Index> forward, adjoint;

  Index rows() const { return A.rows(); }
  Index cols() const { return A.cols(); }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    forward.push_back(1);
    A.apply(x, y);
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    adjoint.push_back(1);
    A.apply_adjoint(x, y);
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    forward.push_back(X.cols);
    for (Index j = 0; j < X.cols; ++j) A.apply(X.column(j), Y.column(j));
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    adjoint.push_back(X.cols);
    for (Index j = 0; j < X.cols; ++j) A.apply_adjoint(X.column(j), Y.column(j));
  }
};

/// Columns by `Method` together, and each alone: the same bits.
template <class Method, class S, class Op, class Options>
void check_columns(const Dense<typename S::Value>& A, const Op& counted, Index k,
                   const Options& opt) {
  using T = typename S::Value;
  using Solve = Stepper<Method, S, Op>;
  const Index m = A.rows(), n = A.cols();
  S space;
  std::vector<std::vector<T>> b, x(at(k), std::vector<T>(at(n)));
  std::vector<typename Method::template Workspace<S>> ws(at(k));
  std::vector<std::unique_ptr<Solve>> solves;
  std::vector<AbstractStepper<T>*> runs;
  for (Index j = 0; j < k; ++j) {
    b.push_back(gaussian<T>(m, static_cast<std::uint64_t>(20 + j)));
    if (j == 1) std::fill(b[1].begin(), b[1].end(), T{});
  }
  for (std::size_t j = 0; j < b.size(); ++j) {
    solves.push_back(
        std::make_unique<Solve>(space, counted, view(std::as_const(b[j])), view(x[j]), ws[j], opt));
    runs.push_back(solves.back().get());
  }
  run_columns(space, std::span<AbstractStepper<T>* const>(runs), counted, NoPreconditioner{},
              false);
  for (std::size_t j = 0; j < b.size(); ++j) {
    std::vector<T> alone(at(n));
    typename Method::template Workspace<S> own;
    const auto out =
        Stepper<Method, S, Dense<T>>(space, A, view(std::as_const(b[j])), view(alone), own, opt)
            .finish();
    CHECK(runs[j]->outcome().status == Status::converged);
    CHECK(runs[j]->outcome().iterations == out.iterations);
    CHECK(runs[j]->outcome().products.total() == out.products.total());
    CHECK(x[j] == alone);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("columns: the same bits as alone, by block products", S, ReferenceSpace<double>,
                   HostSpace<std::complex<float>>) {
  using T = typename S::Value;
  const Index n = 30, k = 4;
  const Dense<T> H = hermitian<T>(geometric(n, 50.0), 1);
  const Widths<T> counted{H, {}, {}};
  CgOptions opt;
  opt.rtol = 100 * kEps<T>;
  check_columns<Cg, S>(H, counted, k, opt);
  CHECK(*std::max_element(counted.forward.begin(), counted.forward.end()) == k - 1);

  const Dense<T> A = random_dense<T>(40, 20, 2);
  const Widths<T> tall{A, {}, {}};
  LsmrOptions least;
  least.atol = least.btol = 1e-5;
  check_columns<Lsmr, S>(A, tall, k, least);
  CHECK(*std::max_element(tall.adjoint.begin(), tall.adjoint.end()) == k - 1);
}

TEST_CASE("stepping pauses after each iteration, stops, and may be abandoned") {
  using S = HostSpace<double>;
  const Index n = 50;
  const Dense<double> A = hermitian<double>(geometric(n, 100.0), 3);
  const auto b = gaussian<double>(n, 4);
  std::vector<double> x(at(n)), whole(at(n));
  S space;
  CgWorkspace<S> ws;
  CgOptions opt;
  opt.rtol = 1e-10;
  const CgOutcome out = cg(space, A, view(b), view(whole), ws, opt);
  {
    Stepper<Cg, S, Dense<double>> run(space, A, view(b), view(x), ws, opt);
    run.pause().at_iterations = true;
    Index count = 0;
    while (run.next()) CHECK(run.outcome().iterations == ++count);
    CHECK(count == out.iterations);
    CHECK(run.outcome().status == Status::converged);
    CHECK_FALSE(run.next());
    CHECK(x == whole);
  }
  {
    Stepper<Cg, S, Dense<double>> run(space, A, view(b), view(x), ws, opt);
    run.pause().at_iterations = true;
    for (int i = 0; i < 3; ++i) CHECK(run.next());
    run.pause().stop = true;
    CHECK_FALSE(run.next());
    CHECK(run.outcome().status == Status::stopped);
    CHECK(run.outcome().iterations == 3);
  }
  {
    Stepper<Cg, S, Dense<double>> abandoned(space, A, view(b), view(x), ws, opt);
    abandoned.pause().at_iterations = true;
    CHECK(abandoned.next());
  }
  // The workspace serves on, without another allocation.
  const std::int64_t before = allocation_count();
  cg(space, A, view(b), view(x), ws, opt);
  CHECK(allocation_count() == before);
  CHECK(x == whole);
}

TEST_CASE("an exception inside a block product leaves through run_columns") {
  using S = HostSpace<double>;
  const Index n = 20;
  const Dense<double> A = hermitian<double>(geometric(n, 100.0), 5);
  const auto failing = faulty<double>(A, 0, 5);
  const auto b = gaussian<double>(n, 6);
  std::vector<double> x(at(n)), y(at(n));
  S space;
  std::array<CgWorkspace<S>, 2> ws;
  using Solve = Stepper<Cg, S, std::remove_const_t<decltype(failing)>>;
  Solve first(space, failing, view(b), view(x), ws[0]),
      second(space, failing, view(b), view(y), ws[1]);
  const std::array<AbstractStepper<double>*, 2> runs{&first, &second};
  CHECK_THROWS(run_columns(space, std::span<AbstractStepper<double>* const>(runs), failing,
                           NoPreconditioner{}, false));
}

TEST_CASE("a solution kept in double precision meets what single precision cannot") {
  using S = HostSpace<float>;
  using W = HostSpace<double>;
  const Index n = 200;
  std::vector<double> d(at(n)), b(at(n), 1.0), X(at(n));
  std::vector<float> d32(at(n)), b32(at(n), 1.0F), x(at(n));
  for (Index i = 0; i < n; ++i) {
    d32[at(i)] = static_cast<float>(std::pow(1e4, static_cast<double>(i) / n));
    d[at(i)] = static_cast<double>(d32[at(i)]);
  }
  const Diagonal<S> A(S{}, view(std::as_const(d32)));
  const Diagonal<W> A64(W{}, view(std::as_const(d)));
  S space;
  CgWorkspace<S> ws;
  CgOptions opt;
  opt.rtol = 1e-9;
  const CgOutcome alone = cg(space, A, view(std::as_const(b32)), view(x), ws, opt);
  CHECK(alone.status != Status::converged);

  Accumulator accumulator(S{}, W{}, A64, view(std::as_const(b)), view(X));
  Stepper<Cg, S, Diagonal<S>> run(space, A, view(std::as_const(b32)), view(x), ws, opt);
  run.accumulate_with(accumulator);
  const CgOutcome out = run.finish();
  CHECK(out.status == Status::converged);
  double residual2 = 0.0;
  for (Index i = 0; i < n; ++i) {
    const double r = b[at(i)] - d[at(i)] * X[at(i)];
    residual2 += r * r;
  }
  CHECK(std::sqrt(residual2) <= 1e-9 * std::sqrt(static_cast<double>(n)));
  CHECK(out.iterations < 3000);

  LsmrWorkspace<S> lsmr_ws;
  Stepper<Lsmr, S, Diagonal<S>> other(space, A, view(std::as_const(b32)), view(x), lsmr_ws);
  CHECK_THROWS_AS(other.accumulate_with(accumulator), InvalidArgument);
}
