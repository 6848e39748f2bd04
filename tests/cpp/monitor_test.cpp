#include "ritz/core/monitor.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <thread>

#include "problems.hpp"
#include "ritz/eigen/eigsh.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/lsmr.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

using S = ReferenceSpace<double>;

/// Every linear method on one operator that none of them finishes soon.
template <class A, class F>
void for_every_method(const A& op, const Monitor& monitor, F check) {
  const Index n = op.rows();
  S space;
  const auto b = gaussian<double>(n, 1);
  std::vector<double> x(at(n)), values(2), residuals(2), vectors(at(2 * n));
  {
    CgWorkspace<S> ws;
    CgOptions opt;
    opt.rtol = 1e-14;
    const Outcome out = cg(space, op, view(b), view(x), ws, opt, monitor);
    check("cg", out, 1);
  }
  {
    LsmrWorkspace<S> ws;
    LsmrOptions opt;
    opt.atol = opt.btol = 1e-14;
    opt.conlim = 0.0;
    opt.max_iterations = 10000;
    const Outcome out = lsmr(space, op, view(b), view(x), ws, opt, monitor);
    check("lsmr", out, 2);
  }
  {
    EigshWorkspace<S> ws;
    EigshOptions opt;
    opt.k = 2;
    opt.which = Which::smallest;
    opt.ncv = 5;
    const Outcome out = eigsh(space, op, std::span(values), std::span(residuals),
                              {vectors.data(), n, 2, n}, ws, opt, monitor);
    check("eigsh", out, 2);  // two products verify what there is
  }
  {
    TraceWorkspace<S> ws;
    TraceOptions opt;
    opt.samples = n - 1;
    const Outcome out = trace(space, op, ws, opt, monitor);
    check("trace", out, 1);
  }
}

}  // namespace

TEST_CASE("monitor: a budget of products") {
  const auto A = hermitian<double>(geometric(120, 1e7), 2);
  for (const Index budget : {1, 2, 7, 40}) {
    Monitor monitor;
    monitor.max_products = budget;
    for_every_method(A, monitor, [&](const char* method, const Outcome& out, Index overdraft) {
      CAPTURE(std::string(method));
      CAPTURE(budget);
      CHECK(out.status == Status::max_products);
      CHECK(out.products.total() >= budget);
      CHECK(out.products.total() <= budget + overdraft);
    });
  }
}

TEST_CASE("monitor: a time limit") {
  struct Slow {
    Laplacian<double> inner{200, 1};
    Index rows() const { return 200; }
    Index cols() const { return 200; }
    void apply(VectorView<const double> x, VectorView<double> y) const {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      inner.apply(x, y);
    }
    void apply_adjoint(VectorView<const double> x, VectorView<double> y) const { apply(x, y); }
  };
  Monitor monitor;
  monitor.timeout = 0.03;
  for_every_method(Slow{}, monitor, [](const char* method, const Outcome& out, Index) {
    CAPTURE(std::string(method));
    CHECK(out.status == Status::timeout);
    CHECK(out.seconds >= 0.03);
    CHECK(out.seconds < 0.5);
  });
}

TEST_CASE("monitor: what an observer sees is the run's own account") {
  const auto A = hermitian<double>(geometric(60, 1e4), 2);
  const auto counted = faulty<double>(A);
  Index calls = 0, before = 0;
  double seconds = 0.0;
  const auto observer = [&](const Iteration& now) {
    if (now.iteration == 1) {
      calls = 0;
      seconds = 0.0;
      before = counted.applied + counted.adjoint - now.products.total();
    }
    CHECK(now.iteration == ++calls);
    CHECK(now.products.total() == counted.applied + counted.adjoint - before);
    CHECK(now.seconds() >= seconds);
    seconds = now.seconds();
    return false;
  };
  Monitor monitor;
  monitor.observer = observer;
  for_every_method(counted, monitor, [&](const char* method, const Outcome& out, Index) {
    CAPTURE(std::string(method));
    CHECK(calls == out.iterations);
    CHECK(out.seconds >= seconds);
  });
}

TEST_CASE("monitor: the iterate that cg and lsmr show is the iterate") {
  const auto A = hermitian<double>(geometric(30, 30.0), 2);
  const auto b = gaussian<double>(30, 1);
  std::vector<double> x(30);
  S space;
  Index seen = 0;
  const auto observer = [&](const Iteration& now) {
    REQUIRE(now.size == 30);
    const double* it = static_cast<const double*>(now.x);
    const std::vector<double> copy(it, it + 30);
    CHECK(now.residual == doctest::Approx(residual_norm(A, copy, b)).epsilon(1e-6).scale(1e-12));
    ++seen;
    return false;
  };
  Monitor monitor;
  monitor.observer = observer;
  CgWorkspace<S> ws;
  cg(space, A, view(b), view(x), ws, {}, monitor);
  LsmrWorkspace<S> lsmr_ws;
  LsmrOptions opt;
  opt.max_iterations = 15;
  lsmr(space, A, view(b), view(x), lsmr_ws, opt, monitor);
  CHECK(seen > 20);
}

TEST_CASE("status: every one has a name and advice, and messages carry the numbers") {
  std::set<std::string> names, words;
  for (int i = 0; i <= 12; ++i) {
    names.insert(name(static_cast<Status>(i)));
    words.insert(advice(static_cast<Status>(i)));
  }
  CHECK(names.size() == 13);
  CHECK(words.size() == 13);
  CHECK(words.count("") == 0);
  Outcome out;
  out.status = Status::precision_limit;
  out.iterations = 123;
  out.residual = 4.5e-7;
  out.target = 1e-9;
  const std::string text = message(out);
  for (const char* part : {"precision_limit", "123", "4.500e-07", "1.000e-09", "float64"}) {
    CAPTURE(std::string(part));
    CHECK(text.find(part) != std::string::npos);
  }
}
