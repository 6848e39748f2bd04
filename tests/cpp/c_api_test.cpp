#include <doctest/doctest.h>

#include <complex>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "problems.hpp"
#include "ritz/ritz.h"

using namespace ritz::testing;

extern "C" int c_program(void);

namespace {

/// A dense matrix behind C callbacks that can be made to fail.
template <class T>
struct Behind {
  Dense<T> A;
  int calls = 0, fail_at = 0;

  static int apply(void* ctx, const void* x, std::int64_t, void* y, std::int64_t, std::int64_t,
                   void*) {
    auto& self = *static_cast<Behind*>(ctx);
    if (++self.calls == self.fail_at) return 7;
    self.A.apply({static_cast<const T*>(x), self.A.n}, {static_cast<T*>(y), self.A.m});
    return 0;
  }
  static int adjoint(void* ctx, const void* x, std::int64_t, void* y, std::int64_t, std::int64_t,
                     void*) {
    auto& self = *static_cast<Behind*>(ctx);
    if (++self.calls == self.fail_at) return 7;
    self.A.apply_adjoint({static_cast<const T*>(x), self.A.m}, {static_cast<T*>(y), self.A.n});
    return 0;
  }

  ritz_operator describe() {
    ritz_operator op;
    ritz_operator_init(&op);
    op.dtype = std::same_as<T, float>                 ? RITZ_FLOAT32
               : std::same_as<T, double>              ? RITZ_FLOAT64
               : std::same_as<T, std::complex<float>> ? RITZ_COMPLEX64
                                                      : RITZ_COMPLEX128;
    op.rows = A.m;
    op.cols = A.n;
    op.ctx = this;
    op.apply = apply;
    op.apply_adjoint = adjoint;
    return op;
  }
};

std::string last_error() { return ritz_last_error(); }

/// z = x − 1 with failures on demand.
struct Shift {
  int fail_in = 0;  // 1 evaluate, 2 linearize, 3 jvp, 4 vjp; 5: evaluate has no value at the start
  static int evaluate(void* ctx, const void* x, void* z) {
    const int fail = static_cast<Shift*>(ctx)->fail_in;
    *static_cast<double*>(z) = *static_cast<const double*>(x) - 1.0;
    return fail == 1 ? -3 : fail == 5 ? 2 : 0;
  }
  static int linearize(void* ctx, const void*) {
    return static_cast<Shift*>(ctx)->fail_in == 2 ? 1 : 0;
  }
  static int jvp(void* ctx, const void* v, void* out) {
    *static_cast<double*>(out) = *static_cast<const double*>(v);
    return static_cast<Shift*>(ctx)->fail_in == 3 ? 1 : 0;
  }
  static int vjp(void* ctx, const void* u, void* out) {
    *static_cast<double*>(out) = *static_cast<const double*>(u);
    return static_cast<Shift*>(ctx)->fail_in == 4 ? -1 : 0;
  }
  ritz_model describe() {
    ritz_model f;
    ritz_model_init(&f);
    f.outputs = f.parameters = 1;
    f.ctx = this;
    f.evaluate = evaluate;
    f.linearize = linearize;
    f.jvp = jvp;
    f.vjp = vjp;
    return f;
  }
};

}  // namespace

TEST_CASE("C interface: a C99 program") { CHECK(c_program() == 0); }

TEST_CASE_TEMPLATE("C interface: every element type", T, float, double, std::complex<float>,
                   std::complex<double>) {
  Behind<T> square{hermitian<T>(geometric(20, 10.0), 1)};
  const ritz_operator A = square.describe();
  const auto b = gaussian<T>(20, 2);
  std::vector<T> x(20);
  ritz_report report;
  ritz_report_init(&report);
  CHECK(ritz_cg(&A, nullptr, b.data(), x.data(), nullptr, &report) == RITZ_CONVERGED);
  CHECK(residual_norm(square.A, x, b) <= 1.01e-5 * norm(b));
  CHECK(report.products == square.calls);

  Behind<T> tall{with_values<T>(30, geometric(20, 10.0), false, 3)};
  const ritz_operator B = tall.describe();
  const auto rhs = gaussian<T>(30, 4);
  ritz_lsmr_options options;
  ritz_lsmr_options_init(&options);
  options.atol = options.btol = 1e-5;
  CHECK(ritz_lsmr(&B, rhs.data(), x.data(), &options, &report) == RITZ_CONVERGED);
  CHECK(report.products + report.adjoint_products == tall.calls);
  const auto exact = least_squares_solution(tall.A, rhs);
  CHECK(distance(x, exact) <= 1e-3 * norm(exact));
}

TEST_CASE("C interface: a failing callback") {
  using T = double;
  const auto b = gaussian<T>(20, 2);
  std::vector<T> x(20);
  for (const int at : {1, 3}) {
    Behind<T> op{hermitian<T>(geometric(20, 10.0), 1)};
    op.fail_at = at;
    const ritz_operator A = op.describe();
    CHECK(ritz_cg(&A, nullptr, b.data(), x.data(), nullptr, nullptr) == RITZ_CALLBACK_FAILED);
    CHECK(last_error().find("7") != std::string::npos);
    CHECK(op.calls == at);
    op.calls = 0;
    CHECK(ritz_lsmr(&A, b.data(), x.data(), nullptr, nullptr) == RITZ_CALLBACK_FAILED);
    op.fail_at = 0;
    CHECK(ritz_cg(&A, nullptr, b.data(), x.data(), nullptr, nullptr) == RITZ_CONVERGED);
    CHECK(last_error().empty());
  }
  for (int where = 1; where <= 4; ++where) {
    Shift shift{where};
    const ritz_model f = shift.describe();
    double p = 5.0;
    CHECK(ritz_least_squares(&f, &p, nullptr, nullptr) == RITZ_CALLBACK_FAILED);
    const char* names[] = {"evaluate", "linearize", "jvp", "vjp"};
    CHECK(last_error().find(names[where - 1]) != std::string::npos);
  }
  Shift undefined{5};
  const ritz_model f = undefined.describe();
  double p = 5.0;
  CHECK(ritz_least_squares(&f, &p, nullptr, nullptr) == RITZ_EVALUATION_FAILED);
  CHECK(p == 5.0);
}

TEST_CASE("C interface: bad arguments are named, and nothing is touched") {
  using T = double;
  Behind<T> op{hermitian<T>(geometric(20, 10.0), 1)};
  const ritz_operator good = op.describe();
  const auto b = gaussian<T>(20, 2);
  std::vector<T> x(20, 3.0);
  const auto refuse = [&](const ritz_operator& A, const ritz_operator* M = nullptr,
                          const ritz_cg_options* options = nullptr) {
    CHECK(ritz_cg(&A, M, b.data(), x.data(), options, nullptr) == RITZ_INVALID_ARGUMENT);
    CHECK_FALSE(last_error().empty());
    CHECK(x == std::vector<T>(20, 3.0));
    CHECK(op.calls == 0);
  };
  ritz_operator bad = good;
  bad.apply = nullptr;
  refuse(bad);
  bad = good;
  bad.dtype = 9;
  refuse(bad);
  bad = good;
  bad.cols = 19;
  refuse(bad);
  bad = good;
  bad.rows = bad.cols = -20;
  refuse(bad);
  bad = good;
  bad.size = 0;
  refuse(bad);
  bad = good;
  bad.rows = bad.cols = 19;
  refuse(good, &bad);  // a preconditioner of another shape
  bad = good;
  bad.dtype = RITZ_FLOAT32;
  refuse(good, &bad);  // and of another type
  ritz_cg_options options;
  ritz_cg_options_init(&options);
  options.rtol = -1.0;
  refuse(good, nullptr, &options);
  CHECK(last_error().find("rtol") != std::string::npos);
  CHECK(ritz_cg(nullptr, nullptr, b.data(), x.data(), nullptr, nullptr) == RITZ_INVALID_ARGUMENT);
  CHECK(ritz_cg(&good, nullptr, nullptr, x.data(), nullptr, nullptr) == RITZ_INVALID_ARGUMENT);
  CHECK(ritz_cg(&good, nullptr, b.data(), nullptr, nullptr, nullptr) == RITZ_INVALID_ARGUMENT);
  bad = good;
  bad.apply_adjoint = nullptr;
  CHECK(ritz_lsmr(&bad, b.data(), x.data(), nullptr, nullptr) == RITZ_INVALID_ARGUMENT);
  CHECK(last_error().find("adjoint") != std::string::npos);

  Shift shift;
  double p = 5.0;
  for (int wrong = 0; wrong < 8; ++wrong) {
    CAPTURE(wrong);
    ritz_model f = shift.describe();
    if (wrong == 0) f.evaluate = nullptr;
    if (wrong == 1) f.linearize = nullptr;
    if (wrong == 2) f.jvp = nullptr;
    if (wrong == 3) f.vjp = nullptr;
    if (wrong == 4) f.outputs = -1;
    if (wrong == 5) f.parameters = -1;
    if (wrong == 6) f.dtype = RITZ_COMPLEX128;
    if (wrong == 7) f.size = 0;
    CHECK(ritz_least_squares(&f, &p, nullptr, nullptr) == RITZ_INVALID_ARGUMENT);
    CHECK_FALSE(last_error().empty());
    CHECK(p == 5.0);
  }
}

TEST_CASE("C interface: structs of an older and of a newer version") {
  using T = double;
  Behind<T> op{hermitian<T>(geometric(20, 10.0), 1)};
  const ritz_operator A = op.describe();
  const auto b = gaussian<T>(20, 2);
  std::vector<T> x(20), y(20);
  // An older caller knows no timeout and no observer: their defaults hold.
  ritz_cg_options old;
  ritz_cg_options_init(&old);
  old.size = offsetof(ritz_cg_options, timeout);
  old.timeout = 0.0;
  old.observe = reinterpret_cast<ritz_observe_fn>(std::uintptr_t{1});
  CHECK(ritz_cg(&A, nullptr, b.data(), x.data(), &old, nullptr) == RITZ_CONVERGED);
  // A newer caller's struct is larger.
  struct {
    ritz_cg_options known;
    char unknown[64];
  } newer;
  std::memset(&newer, 0x7f, sizeof newer);
  ritz_cg_options_init(&newer.known);
  newer.known.size = sizeof newer;
  CHECK(ritz_cg(&A, nullptr, b.data(), y.data(), &newer.known, nullptr) == RITZ_CONVERGED);
  CHECK(x == y);
  // A shorter report is filled as far as it goes and no further.
  ritz_report report;
  std::memset(&report, 0x55, sizeof report);
  report.size = offsetof(ritz_report, residual);
  ritz_report untouched = report;
  CHECK(ritz_cg(&A, nullptr, b.data(), y.data(), nullptr, &report) == RITZ_CONVERGED);
  CHECK(report.size == offsetof(ritz_report, residual));
  CHECK(report.iterations > 0);
  CHECK(std::memcmp(&report.residual, &untouched.residual,
                    sizeof report - offsetof(ritz_report, residual)) == 0);
}

TEST_CASE("C interface: words for every status, errors for every thread") {
  for (ritz_status status = -4; status <= 12; ++status) {
    CHECK(std::strlen(ritz_status_advice(status)) > 0);
  }
  CHECK(ritz_status_advice(99) != nullptr);
  CHECK(ritz_cg(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) == RITZ_INVALID_ARGUMENT);
  std::string other = "unset";
  std::thread([&] { other = ritz_last_error(); }).join();
  CHECK(other.empty());
  CHECK(last_error() == "A is null");
}

TEST_CASE("C interface: limits") {
  using T = double;
  Behind<T> op{hermitian<T>(geometric(40, 1e6), 1)};
  const ritz_operator A = op.describe();
  const auto b = gaussian<T>(40, 2);
  std::vector<T> x(40);
  ritz_report report;
  ritz_report_init(&report);
  ritz_cg_options options;
  ritz_cg_options_init(&options);
  options.max_iterations = 5;
  CHECK(ritz_cg(&A, nullptr, b.data(), x.data(), &options, &report) == RITZ_MAX_ITERATIONS);
  CHECK(report.iterations == 5);
  CHECK(report.verified == 0);
  options.max_iterations = 0;
  options.timeout = 0.0;
  CHECK(ritz_cg(&A, nullptr, b.data(), x.data(), &options, &report) == RITZ_TIMEOUT);
  ritz_lsmr_options lsmr;
  ritz_lsmr_options_init(&lsmr);
  lsmr.conlim = 10.0;
  lsmr.atol = lsmr.btol = 1e-14;
  CHECK(ritz_lsmr(&A, b.data(), x.data(), &lsmr, &report) == RITZ_CONDITION_LIMIT);
}
