// Two threads as two ranks: every reduction meets the other rank's in a barrier.
#include <doctest/doctest.h>

#include <array>
#include <barrier>
#include <functional>
#include <thread>

#include "problems.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/lsmr.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

/// Sums over two ranks; every rank adds in the same order, and so gets the same bits.
class Pair {
 public:
  struct Rank {
    Pair* pair;
    std::size_t number;
    void operator()(double* values, Index count) const { pair->sum(number, values, count); }
  };
  Index reductions() const { return reductions_; }

 private:
  void sum(std::size_t rank, double* values, Index count) {
    REQUIRE(count <= 64);
    std::copy_n(values, count, parts_[rank].begin());
    barrier_.arrive_and_wait();
    for (Index i = 0; i < count; ++i) values[i] = parts_[0][at(i)] + parts_[1][at(i)];
    if (rank == 0) ++reductions_;
    barrier_.arrive_and_wait();
  }

  std::barrier<> barrier_{2};
  std::array<std::array<double, 64>, 2> parts_{};
  Index reductions_ = 0;
};

/// Runs f(rank, comm) on both ranks at once.
template <class F>
Index on_two_ranks(F f) {
  Pair pair;
  const auto run = [&](std::size_t number) {
    const Pair::Rank rank{&pair, number};
    Comm comm;
    comm.allreduce_sum = rank;
    f(number, comm);
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  return pair.reductions();
}

template <class T>
std::vector<T> slice(const std::vector<T>& x, Index split, std::size_t rank) {
  return rank == 0 ? std::vector<T>(x.begin(), x.begin() + split)
                   : std::vector<T>(x.begin() + split, x.end());
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("comm: cg on two ranks is cg on one", S, comm_cg) {
  using T = typename S::Value;
  const Index n = 400;
  const auto D = diagonal_matrix<T>(geometric(n, 4.0));
  const auto b = gaussian<T>(n, 2);
  S space;
  CgWorkspace<S> ws;
  std::vector<T> x(at(n));
  CgOptions opt;
  opt.rtol = 1e-9;
  const auto one = cg(space, D, view(b), view(x), ws, opt);
  REQUIRE(one.status == Status::converged);

  for (const Index split : {Index{200}, Index{37}, Index{0}}) {
    CAPTURE(split);
    std::array<CgOutcome, 2> out;
    std::array<std::vector<T>, 2> parts;
    auto distributed = opt;
    distributed.max_iterations = 10 * n;  // the default counts local rows
    const Index reductions = on_two_ranks([&](std::size_t rank, const Comm& comm) {
      S local(comm);
      CgWorkspace<S> local_ws;
      const DiagonalMatrix<T> part{slice(D.d, split, rank)};
      const auto rhs = slice(b, split, rank);
      parts[rank].resize(rhs.size());
      out[rank] = cg(local, part, view(rhs), view(parts[rank]), local_ws, distributed);
    });
    auto joined = parts[0];
    joined.insert(joined.end(), parts[1].begin(), parts[1].end());
    for (const CgOutcome& o : out) {
      CHECK(o.status == Status::converged);
      CHECK(o.iterations == one.iterations);
      CHECK(o.target == doctest::Approx(one.target).epsilon(1e-13));
    }
    CHECK(out[0].residual == out[1].residual);
    CHECK(out[0].model_decrease == out[1].model_decrease);
    CHECK(distance(joined, x) <= 1e-12 * norm(x));
    CHECK(reductions <= 2 * one.iterations + 3);  // one pᴴAp, one rᴴr
  }
}
TEST_CASE_TEMPLATE_APPLY(
    comm_cg, std::tuple<ReferenceSpace<double>, HostSpace<double>,
                        ReferenceSpace<std::complex<double>>, HostSpace<std::complex<double>>>);

TEST_CASE_TEMPLATE_DEFINE("comm: lsmr on two ranks is lsmr on one", S, comm_lsmr) {
  using T = typename S::Value;
  const Index n = 300;
  const auto D = diagonal_matrix<T>(geometric(n, 3.0));
  const auto b = gaussian<T>(n, 2);
  S space;
  LsmrWorkspace<S> ws;
  std::vector<T> x(at(n));
  LsmrOptions opt;
  opt.damp = 0.05;
  opt.max_iterations = 2000;
  const auto one = lsmr(space, D, view(b), view(x), ws, opt);
  REQUIRE(one.status == Status::converged);
  std::array<LsmrOutcome, 2> out;
  std::array<std::vector<T>, 2> parts;
  on_two_ranks([&](std::size_t rank, const Comm& comm) {
    S local(comm);
    LsmrWorkspace<S> local_ws;
    const DiagonalMatrix<T> part{slice(D.d, 111, rank)};
    const auto rhs = slice(b, 111, rank);
    parts[rank].resize(rhs.size());
    out[rank] = lsmr(local, part, view(rhs), view(parts[rank]), local_ws, opt);
  });
  auto joined = parts[0];
  joined.insert(joined.end(), parts[1].begin(), parts[1].end());
  for (const LsmrOutcome& o : out) {
    CHECK(o.status == Status::converged);
    CHECK(o.iterations == one.iterations);
    CHECK(o.cond_a == doctest::Approx(one.cond_a).epsilon(1e-9));
  }
  CHECK(distance(joined, x) <= 1e-12 * norm(x));
}
TEST_CASE_TEMPLATE_APPLY(comm_lsmr, DoubleSpaces);
