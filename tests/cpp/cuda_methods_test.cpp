// Every method over CudaSpace, against dense solves and against the same method on the host. On the
// backend that RITZ_CUDA_LIBRARY names.
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <tuple>
#include <vector>

#include "device_memory.hpp"
#include "ritz/eigen/eigsh.hpp"
#include "ritz/eigen/svds.hpp"
#include "ritz/function/funm.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/krylov/accumulate.hpp"
#include "ritz/krylov/columns.hpp"
#include "ritz/krylov/methods.hpp"
#include "ritz/lowrank/nystrom.hpp"
#include "ritz/lowrank/svd_lowrank.hpp"
#include "ritz/op/device_csr.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/op/recorded.hpp"

namespace ritz::testing {
namespace {

using C16 = std::complex<double>;

template <class M, Field T>
struct Case {
  using Method = M;
  using Value = T;
};
template <class Tuple, Field T>
struct AllOf;
template <class... M, Field T>
struct AllOf<std::tuple<M...>, T> {
  using Cases = std::tuple<Case<M, T>...>;
};
using SomeMethods = std::tuple<Cg, Minres, Lsmr, Gmres, Bicgstab>;
using Cases =
    decltype(std::tuple_cat(AllOf<KrylovMethods, double>::Cases{},
                            AllOf<SomeMethods, float>::Cases{}, AllOf<SomeMethods, C16>::Cases{}));

template <class M, class... Others>
constexpr bool kOneOf = (std::same_as<M, Others> || ...);
template <class M>
constexpr bool kDefinite = kOneOf<M, Cg, Cr, Fcg>;
template <class M>
constexpr bool kSymmetric = kOneOf<M, Minres, MinresQlp, Symmlq>;
template <class M>
constexpr bool kTall = kOneOf<M, Lsmr, Lsqr, Cgls>;
template <class M>
constexpr bool kWide = kOneOf<M, Craig>;
template <class M>
constexpr bool kTakesM = !kOneOf<M, Lsmr, Lsqr, Craig>;

template <class M, Field T>
typename M::Options options(bool tight = true) {
  typename M::Options opt;
  const double tolerance = (tight ? 1.0 : 100.0) * (std::same_as<RealOf<T>, float> ? 1e-4 : 1e-10);
  if constexpr (requires { opt.rtol; }) opt.rtol = tolerance;
  if constexpr (requires { opt.btol; }) opt.atol = opt.btol = tolerance;
  if constexpr (requires { opt.restart; }) opt.restart = 20;
  if constexpr (requires { opt.k; }) opt.k = 5;
  return opt;
}

/// A matrix of the kind that the method takes, so well conditioned that rounding changes no count;
/// `hostile`: one that it should not solve.
template <class M, Field T>
Dense<T> matrix(bool hostile = false) {
  const Index n = 100;
  if (kTall<M> || kWide<M>) {
    auto values = geometric(n, 3.0);
    if (hostile) values.back() = 0.0;
    auto A = with_values<T>(n + 30, values, false, 3);
    if (kTall<M>) return A;
    Dense<T> B(n, n + 30);
    for (Index i = 0; i < B.m; ++i) {
      for (Index j = 0; j < B.n; ++j) B(i, j) = A(j, i);
    }
    return B;
  }
  if (kDefinite<M> || kSymmetric<M>) {
    auto values = geometric(n, kDefinite<M> ? 10.0 : 3.0);
    if (kDefinite<M> == hostile) {
      for (std::size_t i = 1; i < values.size(); i += 3) values[i] = -values[i];
    }
    if (hostile) values.back() = values[7] = 0.0;
    return hermitian<T>(values, 1);
  }
  auto A = random_dense<T>(n, n, 2).scaled(0.4 / std::sqrt(static_cast<double>(n)));
  for (Index i = 0; i < n; ++i) A(i, i) += T{1};
  for (Index j = 0; hostile && j < n; ++j) A(7, j) = A(3, j);
  return A;
}

template <Field T>
std::vector<T> narrowed(const std::vector<Long<T>>& x) {
  std::vector<T> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [](Long<T> a) { return static_cast<T>(a); });
  return y;
}

/// The solution, the minimiser of the residual, or the solution of least norm.
template <Field T>
std::vector<T> dense_solution(const Dense<T>& A, const std::vector<T>& b) {
  if (A.m > A.n) return least_squares_solution(A, b);
  if (A.m == A.n) {
    std::vector<Long<T>> a(A.a.begin(), A.a.end()), c(b.begin(), b.end());
    return narrowed<T>(eliminate(a, c));
  }
  std::vector<Long<T>> G(at(A.m * A.m)), c(b.begin(), b.end()), x(at(A.n));
  for (Index i = 0; i < A.m; ++i) {
    for (Index k = 0; k < A.m; ++k) {
      for (Index j = 0; j < A.n; ++j) {
        G[at(i + k * A.m)] += lengthen(A(i, j)) * conj_long(lengthen(A(k, j)));
      }
    }
  }
  const auto y = eliminate(G, c);
  for (Index j = 0; j < A.n; ++j) {
    for (Index i = 0; i < A.m; ++i) x[at(j)] += conj_long(lengthen(A(i, j))) * y[at(i)];
  }
  return narrowed<T>(x);
}

template <class M, Field T>
struct Answer {
  std::vector<T> x;
  typename M::Outcome out;
};

/// A method on the device, whose workspace is used again.
template <class M, Field T>
class OnDevice {
 public:
  using S = CudaSpace<T>;
  using Options = typename M::Options;

  template <class A>
  Answer<M, T> solve(const A& a, const std::vector<T>& b, const Options& opt,
                     Index check_every = 10, const OperatorRef<T>* preconditioner = nullptr) {
    if (b_.size() != b.size()) {
      b_there_.emplace(space, b);
      x_there_.emplace(space, std::vector<T>(at(a.cols())));
      b_ = b;
    } else if (b_ != b) {
      b_there_->set(b);
      b_ = b;
    }
    Monitor monitor;
    monitor.check_every = check_every;
    const OperatorRef<T> op(a);
    const OptionalOperator<T> optional(preconditioner);
    const auto out =
        Stepper<M, S, OperatorRef<T>, OptionalOperator<T>>(
            space, op, b_there_->view(), x_there_->view(), workspace, opt, monitor, optional)
            .finish();
    return {x_there_->host(), out};
  }

  S space{0};
  typename M::template Workspace<S> workspace;

 private:
  std::vector<T> b_;
  std::optional<DeviceVector<T>> b_there_, x_there_;
};

template <class M, Field T>
Answer<M, T> on_host(const Dense<T>& A, const std::vector<T>& b, const typename M::Options& opt,
                     const OperatorRef<T>* preconditioner = nullptr) {
  using S = ReferenceSpace<T>;
  S space;
  typename M::template Workspace<S> ws;
  std::vector<T> x(at(A.n));
  const OperatorRef<T> op(A);
  const OptionalOperator<T> optional(preconditioner);
  const auto out = Stepper<M, S, OperatorRef<T>, OptionalOperator<T>>(space, op, view(b), view(x),
                                                                      ws, opt, Monitor{}, optional)
                       .finish();
  return {x, out};
}

/// ‖Aᴴ(b − A x)‖
template <Field T>
double normal_residual(const Dense<T>& A, const std::vector<T>& x, const std::vector<T>& b) {
  std::vector<T> r(b.size()), g(x.size());
  A.apply(view(x), view(r));
  for (std::size_t i = 0; i < r.size(); ++i) r[i] = b[i] - r[i];
  A.apply_adjoint(view(r), view(g));
  return norm(g);
}

/// A claim of convergence that the true residuals bear out, or none.
template <class M, Field T>
void check_honest(const Dense<T>& A, const Answer<M, T>& answer, const std::vector<T>& b,
                  const typename M::Options& opt) {
  if (answer.out.status != Status::converged) return;
  CHECK(all_finite(answer.x));
  CHECK(answer.out.verified);
  const double r = residual_norm(A, answer.x, b);
  const double rounding = 100 * kEps<T> * (norm(b) + A.frobenius() * norm(answer.x));
  if constexpr (requires { opt.btol; }) {
    const bool small = r <= opt.btol * norm(b) + opt.atol * A.frobenius() * norm(answer.x);
    const bool optimal =
        normal_residual(A, answer.x, b) <= A.frobenius() * (opt.atol * r + rounding);
    CHECK((small || optimal));
  } else {
    CHECK(r <= 1.01 * answer.out.target + rounding);
  }
}

TEST_CASE_TEMPLATE_DEFINE("the answer of the dense solve and of the host", C, cuda_methods) {
  using M = typename C::Method;
  using T = typename C::Value;
  const auto A = matrix<M, T>();
  const auto b = gaussian<T>(A.m, 5);
  const auto exact = dense_solution(A, b);
  const auto opt = options<M, T>();
  const double tolerance = std::same_as<RealOf<T>, float> ? 1e-4 : 1e-10;
  OnDevice<M, T> device;
  const auto D = diagonal_matrix<T>(geometric(A.n, 1.5));
  const auto there = staged(device.space, D);
  const OperatorRef<T> here_ref(D), there_ref(there);
  for (const bool preconditioned : {false, true}) {
    if (preconditioned && !kTakesM<M>) continue;
    CAPTURE(preconditioned);
    const auto host = on_host<M>(A, b, opt, preconditioned ? &here_ref : nullptr);
    CHECK(host.out.status == Status::converged);
    std::optional<std::vector<T>> first;
    for (const Index every : {1, 3, 10, 1000}) {
      CAPTURE(every);
      const auto counted = faulty<T>(A);
      const auto op = staged(device.space, counted);
      const auto came = device.solve(op, b, opt, every, preconditioned ? &there_ref : nullptr);
      CHECK(came.out.status == host.out.status);
      CHECK(came.out.verified);
      const Index late = std::max<Index>(1, came.out.iterations - host.out.iterations);
      CHECK(late <= (every > 2 ? every + 2 : every));  // two of them behind the host's back
      CHECK(came.out.iterations >= host.out.iterations - 1);
      CHECK(came.out.products.apply == counted.applied);
      CHECK(came.out.products.adjoint == counted.adjoint);
      CHECK(distance(came.x, exact) <= 200.0 * tolerance * norm(exact));
      check_honest<M, T>(A, came, b, opt);
      CHECK(came.out.residual == doctest::Approx(host.out.residual).epsilon(0.9));
      // However late the host looks, it finds the answer of the iteration that converged.
      if (!first) first = came.x;
      CHECK(same_bits(came.x, *first));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(cuda_methods, Cases);

TEST_CASE_TEMPLATE_DEFINE("no false success, and exceptions arrive", C, cuda_failures) {
  using M = typename C::Method;
  using T = typename C::Value;
  const auto opt = options<M, T>();
  const auto hostile = matrix<M, T>(true), friendly = matrix<M, T>();
  const auto b = gaussian<T>(hostile.m, 6);
  OnDevice<M, T> device;
  for (const Index every : {1, 10}) {
    CAPTURE(every);
    const auto came = device.solve(staged(device.space, hostile), b, opt, every);
    CHECK((kTall<M> || came.out.status != Status::converged));
    check_honest<M, T>(hostile, came, b, opt);

    for (const Index when : {1, 4, 7}) {
      CAPTURE(when);
      const auto poisoned = faulty<T>(friendly, when);
      const auto nan = device.solve(staged(device.space, poisoned), b, opt, every);
      CHECK(nan.out.status == Status::nonfinite);

      const auto throwing = faulty<T>(friendly, 0, when);
      CHECK_THROWS_AS(device.solve(staged(device.space, throwing), b, opt, every), int);
    }
    const auto after = device.solve(staged(device.space, friendly), b, opt, every);
    CHECK(after.out.status == Status::converged);
    check_honest<M, T>(friendly, after, b, opt);
  }
  // Not a number in b; nothing to do for zero.
  auto bad = b;
  bad[3] = static_cast<T>(std::numeric_limits<double>::quiet_NaN());
  CHECK(device.solve(staged(device.space, friendly), bad, opt).out.status == Status::nonfinite);
  const auto zero = device.solve(staged(device.space, friendly), std::vector<T>(b.size()), opt);
  CHECK(zero.out.status == Status::converged);
  CHECK(zero.x == std::vector<T>(at(friendly.n)));
}
TEST_CASE_TEMPLATE_APPLY(cuda_failures, Cases);

TEST_CASE_TEMPLATE_DEFINE("scales of the matrix and of b change nothing", C, cuda_scales) {
  using M = typename C::Method;
  using T = typename C::Value;
  const auto A = matrix<M, T>();
  const auto b = gaussian<T>(A.m, 8);
  const auto opt = options<M, T>(false);
  OnDevice<M, T> device;
  const auto plain = device.solve(staged(device.space, A), b, opt);
  for (const double power : {-40.0, 40.0}) {
    const double scale = std::exp2(std::same_as<RealOf<T>, float> ? power / 2.0 : power);
    const auto B = A.scaled(scale);
    const auto came = device.solve(staged(device.space, B), b, opt);
    CHECK(came.out.status == plain.out.status);
    CHECK(came.out.iterations == plain.out.iterations);
    std::vector<T> c = b;
    for (T& e : c) e = static_cast<T>(static_cast<WideOf<T>>(e) * scale);
    const auto moved = device.solve(staged(device.space, A), c, opt);
    CHECK(moved.out.status == plain.out.status);
    CHECK(moved.out.iterations == plain.out.iterations);
  }
}
TEST_CASE_TEMPLATE_APPLY(cuda_scales, Cases);

TEST_CASE_TEMPLATE_DEFINE("a second solve allocates nothing on the device, and has the same bits",
                          C, cuda_second) {
  using M = typename C::Method;
  using T = typename C::Value;
  const auto A = matrix<M, T>();
  const auto b = gaussian<T>(A.m, 7);
  auto opt = options<M, T>();
  OnDevice<M, T> device;
  const auto op = staged(device.space, A);
  const auto first = device.solve(op, b, opt);
  const auto before = device_allocations();
  const std::size_t held = device.space.queue().bytes_in_use();
  const auto second = device.solve(op, b, opt);
  CHECK(device.space.queue().bytes_in_use() == held);
  if (before) CHECK(*device_allocations() - *before == 0);
  CHECK(same_bits(first.x, second.x));
  CHECK(first.out.iterations == second.out.iterations);
}
TEST_CASE_TEMPLATE_APPLY(cuda_second, Cases);

// ---- without the host ----

using Ahead =
    std::tuple<Case<Cg, double>, Case<Minres, float>, Case<Minres, C16>, Case<MinresQlp, double>,
               Case<Symmlq, double>, Case<Lsmr, float>, Case<Lsmr, C16>, Case<Lsqr, double>,
               Case<Cr, double>, Case<Craig, double>, Case<Cgls, float>, Case<Fcg, double>,
               Case<Fcg, C16>, Case<Bicgstab, float>, Case<Bicgstab, C16>, Case<Gmres, float>,
               Case<Fgmres, double>>;
/// A diagonal matrix that stays on the device.
template <Field T>
struct DeviceDiagonal {
  mutable CudaSpace<T> space;
  DeviceVector<T> d;

  DeviceDiagonal(const CudaSpace<T>& s, const std::vector<double>& values)
      : space(s), d(s, std::vector<T>(values.begin(), values.end())) {}
  Index rows() const { return d.view().size; }
  Index cols() const { return rows(); }
  void apply(VectorView<const T> x, VectorView<T> y) const { space.multiply(d.view(), x, y); }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const { apply(x, y); }
};
TEST_CASE_TEMPLATE_DEFINE("iterations between two looks wait for nothing", C, cuda_ahead) {
  using M = typename C::Method;
  using T = typename C::Value;
  const Index n = 200;
  const auto b = gaussian<T>(n, 9);
  OnDevice<M, T> device;
  auto values = geometric(n, 50.0);
  for (std::size_t i = 0; i < values.size() && kSymmetric<M>; i += 3) values[i] = -values[i];
  const DeviceDiagonal<T> op(device.space, values), D(device.space, geometric(n, 1.5));
  const OperatorRef<T> ref(D);
  auto opt = options<M, T>();
  if constexpr (requires { opt.rtol; }) opt.rtol = 0.0;
  if constexpr (requires { opt.btol; }) opt.atol = opt.btol = 0.0;
  for (const bool preconditioned : {false, true}) {
    if (preconditioned && !kTakesM<M>) continue;
    CAPTURE(preconditioned);
    const auto waits = [&](Index iterations, Index every) {
      opt.max_iterations = iterations;
      const Index before = device.space.queue().waits();
      const auto came = device.solve(op, b, opt, every, preconditioned ? &ref : nullptr);
      CHECK(came.out.status == Status::max_iterations);
      CHECK(came.out.iterations == iterations);
      return device.space.queue().waits() - before;
    };
    if constexpr (kOneOf<M, Gmres, Fgmres>) {
      // An answer for each iteration, and no other wait.
      CHECK(waits(11, 10) == waits(4, 10) + 7);
      continue;
    }
    const Index start = waits(4, 1000);
    CHECK(waits(11, 1000) == start);
    CHECK(waits(11, 4) == start + 2);
  }
}
TEST_CASE_TEMPLATE_APPLY(cuda_ahead, Ahead);

TEST_CASE_TEMPLATE("bicgstab goes on from a breakdown that the host learns late", T, float, double,
                   C16) {
  OnDevice<Bicgstab, T> device;
  const auto check = [&](const Dense<T>& A, const std::vector<T>& b, Index most = 0) {
    BicgstabOptions opt;
    opt.rtol = std::same_as<RealOf<T>, float> ? 1e-4 : 1e-9;
    opt.max_iterations = most;
    const auto host = on_host<Bicgstab>(A, b, opt);
    for (const Index every : {1, 3, 10, 1000}) {
      CAPTURE(every);
      const auto came = device.solve(staged(device.space, A), b, opt, every);
      CHECK(came.out.status == host.out.status);
      CHECK(all_finite(came.x));
      const double gap = residual_norm(A, came.x, b) - came.out.residual;
      CHECK(std::abs(gap) <= 100.0 * kEps<T> * (norm(b) + norm(came.x)));
      check_honest<Bicgstab, T>(A, came, b, opt);
      if (host.out.status == Status::breakdown) {
        CHECK(came.out.iterations == host.out.iterations);
        CHECK(distance(came.x, host.x) <= 100.0 * kEps<T> * norm(host.x));
      }
    }
    return host.out;
  };
  {  // bᴴ A b = 0: at once
    Dense<T> A(4, 4);
    for (Index i = 0; i < 4; ++i) A(i, i) = static_cast<T>(i < 2 ? 1.0F : 2.0F);
    A(1, 1) = -A(1, 1);
    A(3, 3) = -A(3, 3);
    CHECK(check(A, std::vector<T>(4, T{1})).status == Status::converged);
  }
  {  // after a step, with ω = 0
    Dense<T> A(2, 2);
    A(0, 0) = A(0, 1) = T{2};
    A(1, 0) = T{1};
    CHECK(check(A, {T{1}, T{}}).status == Status::converged);
  }
  {  // after a step, with r̂ᴴ r = 0
    Dense<T> A(3, 3);
    A(0, 0) = A(2, 2) = T{1};
    A(1, 0) = A(1, 1) = T{-1};
    A(0, 2) = A(1, 2) = A(2, 1) = T{2};
    CHECK(check(A, {T{1}, T{}, T{}}).status == Status::converged);
  }
  {  // skew: no polynomial of degree 1 reduces s, and ω = 0
    Dense<T> A(2, 2);
    A(0, 1) = T{1};
    A(1, 0) = T{-1};
    check(A, {T{1}, T{}});
  }
  CHECK(check(Dense<T>(4, 4), gaussian<T>(4, 1)).status == Status::breakdown);
}

TEST_CASE_TEMPLATE("bicgstab that is done with half an iteration", T, float, C16) {
  const Index n = 30;
  OnDevice<Bicgstab, T> device;
  std::vector<T> b(at(n));
  b[4] = T{1};
  // Of s = 0 it makes what is not a number.
  struct Unit {
    Index n;
    Index rows() const { return n; }
    Index cols() const { return n; }
    void apply(VectorView<const T> x, VectorView<T> y) const {
      const RealOf<T> size = static_cast<RealOf<T>>(norm(std::vector<T>(x.begin(), x.end())));
      for (Index i = 0; i < n; ++i) y[i] = x[i] / size;
    }
  };
  const Unit M{n};
  const auto there = staged(device.space, M);
  const OperatorRef<T> ref(there);
  Dense<T> A(n, n);
  for (Index i = 0; i < n; ++i) A(i, i) = T{2};
  const auto op = staged(device.space, A);
  BicgstabOptions opt;
  opt.rtol = 100.0 * kEps<T>;
  for (const bool preconditioned : {false, true}) {
    for (const Index every : {1, 10}) {
      const auto came = device.solve(op, b, opt, every, preconditioned ? &ref : nullptr);
      CHECK(came.out.status == Status::converged);
      check_honest<Bicgstab, T>(A, came, b, opt);
    }
  }
}

TEST_CASE_TEMPLATE("fcg with several directions", T, float, double, C16) {
  OnDevice<Fcg, T> device;
  const auto A = matrix<Fcg, T>();
  const auto b = gaussian<T>(A.m, 5);
  auto opt = options<Fcg, T>();
  for (const Index memory : {2, 5}) {
    opt.memory = memory;
    const auto host = on_host<Fcg>(A, b, opt);
    CHECK(host.out.status == Status::converged);
    for (const Index every : {1, 10}) {
      const auto came = device.solve(staged(device.space, A), b, opt, every);
      CHECK(came.out.status == Status::converged);
      check_honest<Fcg, T>(A, came, b, opt);
      if (every == 1) CHECK(came.out.iterations == host.out.iterations);
      CHECK(distance(came.x, host.x) <= 10.0 * opt.rtol * norm(host.x));
    }
  }
}

TEST_CASE("fcg: the direction of negative curvature is the device's") {
  using T = double;
  using S = CudaSpace<T>;
  const Index n = 40;
  auto values = geometric(n, 10.0);
  values[n / 2] = -values[n / 2] / 50.0;
  const auto A = hermitian<T>(values, 5);
  const auto b = gaussian<T>(n, 6);
  S space(0);
  const DeviceVector<T> b_there(space, b), x(space, std::vector<T>(at(n)));
  const auto op = staged(space, A);
  for (const Index memory : {1, 3}) {
    std::vector<T> first;
    for (const Index every : {1, 10, 1000}) {
      CAPTURE(every);
      FcgOptions opt;
      opt.memory = memory;
      opt.rtol = 1e-12;
      Monitor monitor;
      monitor.check_every = every;
      FcgWorkspace<S> ws;
      Stepper<Fcg, S, Staged<Dense<T>, T>> run(space, op, b_there.view(), x.view(), ws, opt,
                                               monitor);
      const auto out = run.finish();
      CHECK(out.status == Status::negative_curvature);
      CHECK(out.iterations > memory);
      const auto view_there = run.direction();
      const auto d = download(space.queue(), view_there.data, view_there.size);
      std::vector<T> product(d.size());
      A.apply(view(d), view(product));
      double dd = 0.0, dAd = 0.0;
      for (std::size_t i = 0; i < d.size(); ++i) {
        dd += d[i] * d[i];
        dAd += d[i] * product[i];
      }
      CHECK(dAd <= 0.0);
      CHECK(out.curvature == doctest::Approx(dAd / dd).epsilon(1e-8));
      CHECK(residual_norm(A, x.host(), b) == doctest::Approx(out.residual).epsilon(1e-8));
      if (first.empty()) first = x.host();
      CHECK(same_bits(x.host(), first));
    }
  }
}

/// The second difference on p × p points.
template <Field T>
DeviceCsr<T> laplacian(const CudaSpace<T>& space, Index p, double shift = 0.0) {
  std::vector<Index> starts{0}, indices;
  std::vector<T> values;
  for (Index k = 0; k < p * p; ++k) {
    const auto add = [&](bool inside, Index column, double value) {
      if (!inside) return;
      indices.push_back(column);
      values.push_back(static_cast<T>(static_cast<RealOf<T>>(value)));
    };
    add(k >= p, k - p, -1.0);
    add(k % p > 0, k - 1, -1.0);
    add(true, k, 4.0 + shift);
    add(k % p + 1 < p, k + 1, -1.0);
    add(k + p < p * p, k + p, -1.0);
    starts.push_back(static_cast<Index>(indices.size()));
  }
  return {space,
          CompressedRows<T, Index>{p * p, p * p, starts.data(), indices.data(), values.data()}};
}

TEST_CASE_TEMPLATE("cg waits for nothing but its checks", T, float, double, C16) {
  CudaSpace<T> space(0);
  const Index p = 30, n = p * p;
  const auto A = laplacian(space, p);
  const auto b = gaussian<T>(n, 71);
  const DeviceVector<T> b_there(space, b), x(space, std::vector<T>(at(n)));
  CgWorkspace<CudaSpace<T>> ws;
  CgOptions opt;
  opt.rtol = 1e-4;
  std::optional<std::vector<T>> answer;
  Index converged_at = 0;
  for (const Index every : {1, 3, 10, 100, 100000}) {
    CAPTURE(every);
    Monitor monitor;
    monitor.check_every = every;
    const Index waits = space.queue().waits();
    const auto out = cg(space, A, b_there.view(), x.view(), ws, opt, monitor);
    const Index waited = space.queue().waits() - waits;
    CHECK(out.status == Status::converged);
    CHECK(out.verified);
    if (every == 1) converged_at = out.iterations;
    const Index lag = every > 2 ? 2 : 0;
    const Index checks = std::min((converged_at + every - 1) / every * every + lag, 10 * n);
    CHECK(out.iterations == checks);
    // ‖b‖, the checks, and the verification.
    CHECK(waited == 1 + (out.iterations - lag + every - 1) / every + 1);
    // Thousands of iterations after convergence change no bit of x.
    const auto came = x.host();
    if (!answer) answer = came;
    CHECK(same_bits(came, *answer));
    std::vector<T> product(at(n)), r = b;
    Laplacian<T>{p, p}.apply(view(came), view(product));
    for (std::size_t i = 0; i < r.size(); ++i) r[i] -= product[i];
    CHECK(norm(r) <= 1.01e-4 * norm(b));
    CHECK(out.residual == doctest::Approx(norm(r)).epsilon(1e-2));
  }
}

TEST_CASE("cg goes on from where it was, and to less than it can reach") {
  using T = float;
  CudaSpace<T> space(0);
  const Index p = 30, n = p * p;
  const auto A = laplacian(space, p);
  const auto b = gaussian<T>(n, 72);
  const DeviceVector<T> b_there(space, b), x(space, std::vector<T>(at(n)));
  CgWorkspace<CudaSpace<T>> ws;
  CgOptions opt;
  opt.rtol = 1e-2;
  CHECK(cg(space, A, b_there.view(), x.view(), ws, opt).status == Status::converged);
  opt.warm_start = true;
  CHECK(cg(space, A, b_there.view(), x.view(), ws, opt).iterations == 0);
  opt.rtol = 1e-4;
  CHECK(cg(space, A, b_there.view(), x.view(), ws, opt).status == Status::converged);
  // The recurrence says so, the truth does not: an honest ending, and a space that is not frozen.
  opt.warm_start = false;
  opt.rtol = 1e-9;
  const auto out = cg(space, A, b_there.view(), x.view(), ws, opt);
  CHECK(out.status == Status::precision_limit);
  space.fill(1.0, x.view());
  CHECK(space.read(space.norm2(x.view())) == static_cast<double>(n));
}

TEST_CASE("cg meets negative curvature, late but with a direction that has it") {
  using T = double;
  CudaSpace<T> space(0);
  const Index p = 20, n = p * p;
  const auto A = laplacian(space, p, -1.0);
  const DeviceVector<T> b(space, gaussian<T>(n, 74)), x(space, std::vector<T>(at(n)));
  CgWorkspace<CudaSpace<T>> ws;
  for (const Index every : {1, 5, 10}) {
    CAPTURE(every);
    Monitor monitor;
    monitor.check_every = every;
    Stepper<Cg, CudaSpace<T>, DeviceCsr<T>> run(space, A, b.view(), x.view(), ws, {}, monitor);
    const auto out = run.finish();
    CHECK(out.status == Status::negative_curvature);
    REQUIRE(run.direction().size == n);
    const DeviceVector<T> product(space, std::vector<T>(at(n)));
    A.apply(run.direction(), product.view());
    const double curvature = space.read(space.real_dot(run.direction(), product.view()));
    CHECK(curvature < 0.0);
    CHECK(out.curvature ==
          doctest::Approx(curvature / space.read(space.norm2(run.direction()))).epsilon(1e-10));
  }
}

TEST_CASE("cg stopped by an observer, a budget, or the limit of iterations") {
  using T = double;
  CudaSpace<T> space(0);
  const Index p = 20, n = p * p;
  const auto A = laplacian(space, p);
  const DeviceVector<T> b(space, gaussian<T>(n, 73)), x(space, std::vector<T>(at(n)));
  CgWorkspace<CudaSpace<T>> ws;
  CgOptions opt;
  Monitor monitor;
  Index seen = 0;
  const auto stop = [&](const Iteration& now) {
    CHECK(now.iteration == 10 * ++seen);
    CHECK(now.residual > 0.0);
    return seen == 2;
  };
  monitor.observer = stop;
  auto out = cg(space, A, b.view(), x.view(), ws, opt, monitor);
  CHECK(out.status == Status::stopped);
  CHECK(out.iterations == 20);
  monitor = {};
  monitor.max_products = 15;
  out = cg(space, A, b.view(), x.view(), ws, opt, monitor);
  CHECK(out.status == Status::max_products);
  CHECK(out.products.apply == 15);
  // While a look is still to come.
  monitor.max_products = 11;
  out = cg(space, A, b.view(), x.view(), ws, opt, monitor);
  CHECK(out.status == Status::max_products);
  CHECK(out.products.apply == 11);
  opt.max_iterations = 13;
  out = cg(space, A, b.view(), x.view(), ws, opt);
  CHECK(out.status == Status::max_iterations);
  CHECK(out.iterations == 13);
}

// ---- recorded products ----

/// A² by a vector in between that it takes anew every time, and what else a product may do.
template <Field T>
struct Squared {
  const DeviceCsr<T>* A;
  CudaSpace<T>* space;
  Index* calls;
  std::function<void()> aside;

  Index rows() const { return A->rows(); }
  Index cols() const { return A->cols(); }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    ++*calls;
    const auto memory = space->allocate(static_cast<std::size_t>(cols()) * sizeof(T));
    const VectorView<T> between{static_cast<T*>(memory.get()), cols()};
    A->apply(x, between);
    if (aside) aside();
    A->apply(between, y);
  }
};

TEST_CASE_TEMPLATE("a recorded product is the product", T, float, double, C16) {
  CudaSpace<T> space(0);
  const Index p = 20, n = p * p;
  const auto A = laplacian(space, p, 0.5);
  const DeviceVector<T> b(space, gaussian<T>(n, 75)), x(space, std::vector<T>(at(n)));
  const DeviceVector<T> recorded_x(space, std::vector<T>(at(n)));
  CgWorkspace<CudaSpace<T>> ws, recorded_ws;
  Index calls = 0, recorded_calls = 0;
  const Squared<T> op{&A, &space, &calls, {}};
  const std::size_t held = space.queue().bytes_in_use();
  {
    const Recorded<T, Squared<T>> recorded(space, {&A, &space, &recorded_calls, {}});
    for (const Index round : {0, 1, 2}) {
      const auto out = cg(space, op, b.view(), x.view(), ws);
      const auto same = cg(space, recorded, b.view(), recorded_x.view(), recorded_ws);
      CHECK(out.status == Status::converged);
      CHECK(same.status == Status::converged);
      CHECK(same.iterations == out.iterations);
      CHECK(same.residual == out.residual);
      CHECK(same.products.apply == out.products.apply);
      CHECK(same_bits(recorded_x.host(), x.host()));
      if (round == 0) CHECK(calls == out.products.apply);
      // Once run and once recorded, for A p and for the b − A x of each solve.
      CHECK(recorded_calls == (round == 0 ? 3 : 4));
      // Whatever takes memory in between does not take that of the recordings.
      const DeviceVector<T> other(space, std::vector<T>(at(n)));
    }
    CHECK(space.queue().bytes_in_use() > held);
  }
  ws = {};
  recorded_ws = {};
  CHECK(space.queue().bytes_in_use() == held);
}

TEST_CASE("what cannot be recorded says so, and nothing is left of it") {
  using T = double;
  CudaSpace<T> space(0);
  const Index p = 6, n = p * p;
  const auto A = laplacian(space, p, 0.5);
  const DeviceVector<T> x(space, gaussian<T>(n, 76)), y(space, std::vector<T>(at(n)));
  const DeviceVector<T> expected(space, std::vector<T>(at(n)));
  Index calls = 0;
  std::function<void()> aside;
  const Recorded<T, Squared<T>> recorded(space, {&A, &space, &calls, [&] {
                                                   if (calls > 1 && aside) aside();
                                                 }});
  recorded.apply(x.view(), expected.view());
  recorded.apply(x.view(), y.view());
  CHECK(calls == 2);
  const std::vector<T> numbers(3, 1.0);
  const std::function<void()> wrong[] = {
      [&] { space.read(space.norm2(x.view())); },
      [&] { space.axpy_columns({x.data(), 12, 3, 12}, numbers, {y.data(), 12}); },
      [&] { space.queue().wait(); }};
  for (const auto& what : wrong) {
    aside = what;
    CHECK_THROWS_AS(recorded.apply(x.view(), y.view()), DeviceError);
    CHECK_FALSE(space.queue().recording());
  }
  struct Own {};
  aside = [] { throw Own{}; };
  CHECK_THROWS_AS(recorded.apply(x.view(), y.view()), Own);
  // A recording in a recording is part of it.
  aside = {};
  const Recorded<T, Recorded<T, Squared<T>>> twice(space, {space, {&A, &space, &calls, {}}});
  for (Index k = 0; k < 5; ++k) {
    space.fill(0.0, y.view());
    (k % 2 == 0 ? recorded.apply(x.view(), y.view()) : twice.apply(x.view(), y.view()));
    CHECK(same_bits(y.host(), expected.host()));
  }
}

TEST_CASE("more pairs of vectors than are kept") {
  using T = double;
  CudaSpace<T> space(0);
  const Index p = 3, n = p * p, pairs = 100;
  const auto A = laplacian(space, p);
  const DeviceVector<T> X(space, gaussian<T>(n * pairs, 77));
  const DeviceVector<T> Y(space, std::vector<T>(at(n * pairs)));
  const DeviceVector<T> expected(space, std::vector<T>(at(n * pairs)));
  Index calls = 0;
  const Squared<T> op{&A, &space, &calls, {}};
  const Recorded<T, Squared<T>> recorded(space, op);
  for (Index round = 0; round < 3; ++round) {
    for (Index k = 0; k < pairs; ++k) {
      op.apply({X.data() + k * n, n}, {expected.data() + k * n, n});
      recorded.apply({X.data() + k * n, n}, {Y.data() + k * n, n});
      recorded.apply({X.data() + k % 5 * n, n}, {Y.data() + k % 5 * n, n});
    }
  }
  CHECK(same_bits(Y.host(), expected.host()));
}

TEST_CASE("many right-hand sides, each at its own pace") {
  using T = double;
  using S = CudaSpace<T>;
  using Solve = Stepper<Cg, S, DeviceCsr<T>>;
  S space(0);
  const Index p = 15, n = p * p, count = 4;
  const auto A = laplacian(space, p);
  std::vector<S> spaces(at(count), space);  // they freeze apart
  std::vector<CgWorkspace<S>> ws(at(count));
  std::vector<DeviceVector<T>> b, x;
  std::vector<std::vector<T>> hosts;
  std::vector<std::unique_ptr<Solve>> solves;
  std::vector<AbstractStepper<T>*> runs;
  CgOptions opt;
  opt.rtol = 1e-8;
  for (Index j = 0; j < count; ++j) {
    // One is an eigenvector, done at once; sizes differ by powers of ten.
    std::vector<T> host = gaussian<T>(n, 80 + static_cast<std::uint64_t>(j));
    for (Index k = 0; k < n; ++k) {
      const auto sine = [&](Index i) {
        return std::sin(std::numbers::pi * static_cast<double>(i + 1) / static_cast<double>(p + 1));
      };
      if (j == 1) host[at(k)] = sine(k % p) * sine(k / p);
      host[at(k)] *= std::pow(1e5, static_cast<double>(j - 1));
    }
    hosts.push_back(host);
    b.emplace_back(space, host);
    x.emplace_back(space, std::vector<T>(at(n)));
  }
  for (std::size_t j = 0; j < at(count); ++j) {
    solves.push_back(std::make_unique<Solve>(spaces[j], A, b[j].view(), x[j].view(), ws[j], opt));
    runs.push_back(solves.back().get());
  }
  run_columns(space, std::span<AbstractStepper<T>* const>(runs), A, NoPreconditioner{}, false);
  for (std::size_t j = 0; j < at(count); ++j) {
    CAPTURE(j);
    CHECK(runs[j]->outcome().status == Status::converged);
    const auto came = x[j].host();
    std::vector<T> product(at(n));
    Laplacian<T>{p, p}.apply(view(came), view(product));
    CHECK(distance(product, hosts[j]) <= 1.01e-8 * norm(hosts[j]));
    S alone(0);
    const DeviceVector<T> y(alone, std::vector<T>(at(n)));
    CgWorkspace<S> own;
    const auto out = cg(alone, A, b[j].view(), y.view(), own, opt);
    CHECK(out.iterations == runs[j]->outcome().iterations);
    CHECK(distance(y.host(), came) <= 1e-12 * norm(came));
  }
}

TEST_CASE("a solution kept in double precision") {
  using S = CudaSpace<float>;
  using W = CudaSpace<double>;
  const auto d = geometric(60, 100.0);
  const auto A = diagonal_matrix<float>(d);
  DiagonalMatrix<double> A64;
  for (const float a : A.d) A64.d.push_back(static_cast<double>(a));
  S space(0);
  W wide(0);
  const DeviceVector<float> b32(space, std::vector<float>(60, 1.0F)),
      x(space, std::vector<float>(60));
  const DeviceVector<double> b(wide, std::vector<double>(60, 1.0)),
      X(wide, std::vector<double>(60));
  CgWorkspace<S> ws;
  CgOptions opt;
  opt.rtol = 1e-10;
  const auto op = staged(space, A);
  const auto op64 = staged(wide, A64);
  Accumulator accumulator(S{space}, W{wide}, op64, VectorView<const double>(b.view()), X.view());
  Stepper<Cg, S, Staged<DiagonalMatrix<float>, float>> run(space, op, b32.view(), x.view(), ws,
                                                           opt);
  run.accumulate_with(accumulator);
  CHECK(run.finish().status == Status::converged);
  const auto came = X.host();
  for (std::size_t i = 0; i < 60; ++i) CHECK(std::abs(1.0 - A64.d[i] * came[i]) <= 1e-8);
}

// ---- spectra, functions, low rank: once each ----

template <Field T>
BlockView<T> block(const DeviceVector<T>& x, Index rows) {
  return {x.data(), rows, x.size() / rows, rows};
}

TEST_CASE("eigsh") {
  using T = double;
  using S = CudaSpace<T>;
  const Index n = 60, k = 4;
  const auto spectrum = geometric(n, 1e3);
  const auto A = hermitian<T>(spectrum, 11);
  S space(0);
  const auto there = staged(space, A);
  const OperatorRef<T> op(there);
  EigshWorkspace<S> ws;
  EigshOptions opt;
  opt.k = k;
  opt.ncv = 12;
  opt.tol = 1e-10;
  for (const Index width : {1, 2}) {
    CAPTURE(width);
    opt.block_size = width;
    std::vector<double> values(at(k)), residuals(at(k));
    const DeviceVector<T> vectors(space, std::vector<T>(at(n * k)));
    const auto out = eigsh(space, op, values, residuals, block(vectors, n), ws, opt);
    CHECK(out.status == Status::converged);
    const auto V = vectors.host();
    for (Index j = 0; j < k; ++j) {
      CHECK(values[at(j)] == doctest::Approx(spectrum[at(k - 1 - j)]).epsilon(1e-9));
      const std::vector<T> v(V.begin() + j * n, V.begin() + (j + 1) * n);
      std::vector<T> Av(at(n)), scaled = v;
      A.apply(view(v), view(Av));
      for (T& e : scaled) e *= values[at(j)];
      CHECK(distance(Av, scaled) <= 1e-9);
      CHECK(norm(v) == doctest::Approx(1.0).epsilon(1e-12));
    }
  }
}

/// Notes how often the host had waited when a product was asked for.
template <Field T>
struct WatchedDiagonal : DeviceDiagonal<T> {
  using DeviceDiagonal<T>::DeviceDiagonal;
  mutable std::vector<Index> waits;

  void apply(VectorView<const T> x, VectorView<T> y) const {
    waits.push_back(this->space.queue().waits());
    DeviceDiagonal<T>::apply(x, y);
  }
};

TEST_CASE_TEMPLATE("eigsh begins steps before it has seen the last", T, float, double, C16) {
  using S = CudaSpace<T>;
  const Index n = 90, k = 3;
  S space(0);
  const bool invariant[] = {false, true};  // a Krylov space that ends, and goes on at random
  for (const bool ends : invariant) {
    CAPTURE(ends);
    auto spectrum = geometric(n, 1e3);
    if (ends) {
      for (std::size_t i = 0; i < spectrum.size(); ++i) spectrum[i] = static_cast<double>(i % 5);
    }
    struct Came {
      EigshOutcome out;
      std::vector<double> values;
      std::vector<T> vectors;
      std::vector<Index> waits;
    };
    const auto solve = [&](Index every, Index most) {
      const WatchedDiagonal<T> A(space, spectrum);
      EigshWorkspace<S> ws;
      EigshOptions opt;
      opt.k = k;
      opt.ncv = 14;
      Monitor monitor;
      monitor.check_every = every;
      monitor.max_products = most;
      Came came;
      came.values.resize(at(k));
      std::vector<double> residuals(at(k));
      const DeviceVector<T> vectors(space, std::vector<T>(at(n * k)));
      came.out = eigsh(space, A, came.values, residuals, block(vectors, n), ws, opt, monitor);
      came.vectors = vectors.host();
      came.waits = A.waits;
      CHECK(came.out.products.total() == static_cast<Index>(A.waits.size()));
      return came;
    };
    constexpr Index kAll = std::numeric_limits<Index>::max();
    const Came step = solve(1, kAll), ahead = solve(10, kAll);
    CHECK(step.out.status == Status::converged);
    CHECK(ahead.out.status == Status::converged);
    CHECK(ahead.values == step.values);
    CHECK(same_bits(ahead.vectors, step.vectors));
    CHECK(ahead.out.iterations == step.out.iterations);
    CHECK(step.waits[1] > step.waits[0]);
    CHECK(ahead.waits[2] == ahead.waits[0]);
    CHECK(ahead.waits[3] == ahead.waits[0] + 1);
    CHECK(ahead.out.products.total() >= step.out.products.total());
    if (ends) continue;  // with two more for each of its Krylov spaces
    CHECK(ahead.out.products.total() <= step.out.products.total() + 2);
    const Came stopped = solve(10, 8);
    CHECK(stopped.out.status == Status::max_products);
    CHECK(stopped.out.products.total() <= 8 + k);  // and the verification
  }
}

TEST_CASE("svds") {
  using T = double;
  using S = CudaSpace<T>;
  const Index m = 50, n = 30, k = 4;
  const auto s = geometric(n, 50.0);
  const auto A = with_values<T>(m, s, false, 13);
  S space(0);
  const auto there = staged(space, A);
  const OperatorRef<T> op(there);
  SvdsWorkspace<S> ws;
  for (const bool smallest : {false, true}) {
    CAPTURE(smallest);
    SvdsOptions opt;
    opt.k = k;
    opt.smallest = smallest;
    opt.tol = 1e-10;
    std::vector<double> values(at(k)), residuals(at(k));
    const DeviceVector<T> U(space, std::vector<T>(at(m * k))), V(space, std::vector<T>(at(n * k)));
    CHECK(svds(space, op, values, residuals, block(U, m), block(V, n), ws, opt).status ==
          Status::converged);
    const auto u = U.host(), v = V.host();
    for (Index j = 0; j < k; ++j) {
      const double exact = smallest ? s[at(n - k + j)] : s[at(j)];
      CHECK(values[at(j)] == doctest::Approx(exact).epsilon(1e-8));
      const std::vector<T> vj(v.begin() + j * n, v.begin() + (j + 1) * n);
      std::vector<T> Av(at(m)), scaled(u.begin() + j * m, u.begin() + (j + 1) * m);
      A.apply(view(vj), view(Av));
      for (T& e : scaled) e *= values[at(j)];
      CHECK(distance(Av, scaled) <= 1e-8);
    }
  }
}

TEST_CASE("trace") {
  using T = double;
  using S = CudaSpace<T>;
  const auto spectrum = geometric(60, 1e4);
  double exact = 0.0;
  for (const double value : spectrum) exact += value;
  const auto A = hermitian<T>(spectrum, 22);
  S space(0);
  const auto there = staged(space, A);
  const OperatorRef<T> op(there), here(A);
  for (const TraceMethod method : {TraceMethod::hutchinson, TraceMethod::hutchpp,
                                   TraceMethod::xtrace, TraceMethod::xnystrace}) {
    CAPTURE(static_cast<int>(method));
    TraceOptions opt;
    opt.method = method;
    opt.samples = 48;
    opt.block = 8;
    opt.positive = method == TraceMethod::xnystrace;
    TraceWorkspace<S> ws;
    const auto out = trace(space, op, ws, opt);
    CHECK(out.status == Status::converged);
    CHECK(std::abs(out.value - exact) <= 6.0 * out.stderr_ + 1e-12);
    ReferenceSpace<T> reference;
    TraceWorkspace<ReferenceSpace<T>> host_ws;
    const auto host = trace(reference, here, host_ws, opt);
    CHECK(out.value == doctest::Approx(host.value).epsilon(1e-10));
    CHECK(out.products.total() == host.products.total());
  }
}

TEST_CASE("funm by Lanczos") {
  using T = double;
  using S = CudaSpace<T>;
  const Index n = 50;
  const auto spectrum = geometric(n, 20.0);
  const auto D = diagonal_matrix<T>(spectrum);
  S space(0);
  const auto there = staged(space, D);
  const OperatorRef<T> op(there);
  const auto b = gaussian<T>(n, 21);
  NamedFunction f;
  f.kind = Function::sqrt;
  std::vector<T> exact(at(n));
  for (std::size_t i = 0; i < exact.size(); ++i) exact[i] = std::sqrt(spectrum[i]) * b[i];
  FunmOptions opt;
  opt.rtol = 1e-8;
  opt.low = 0.05 * (1.0 - 1e-6);
  opt.high = 1.0 + 1e-6;
  std::vector<FunmAccount> accounts(1);
  FunmWorkspace<S> ws;
  const DeviceVector<T> b_there(space, b);
  for (const Index most : {Index{0}, Index{5}}) {  // all vectors kept, or made a second time
    opt.max_basis = most > 0 ? most : FunmOptions{}.max_basis;
    const DeviceVector<T> y(space, std::vector<T>(at(n)));
    const std::vector<NamedFunction> functions{f};
    const auto out = funm(space, op, VectorView<const T>(b_there.view()), block(y, n), functions,
                          ws, opt, {}, accounts);
    CHECK(out.status == Status::converged);
    CHECK(distance(y.host(), exact) <= 1e-7 * norm(exact));
  }
}

TEST_CASE("svd_lowrank and nystrom") {
  using T = double;
  using S = CudaSpace<T>;
  const Index m = 50, n = 40, rank = 6;
  const auto values = geometric(n, 1e12);
  const auto A = with_values<T>(m, values, false, 31);
  const auto H = hermitian<T>(values, 32);
  S space(0);
  const auto there = staged(space, A);
  const auto hermitian_there = staged(space, H);
  const OperatorRef<T> op(there), hermitian_op(hermitian_there);
  for (const int method : {0, 1}) {
    CAPTURE(method);
    SvdLowrankOptions opt;
    opt.k = rank;
    opt.block = 8;
    opt.n_iter = 3;
    opt.method = method;
    std::vector<double> s, residuals;
    std::optional<DeviceVector<T>> U, V;
    svd_lowrank(space, op, opt, [&](Index columns) {
      s.resize(at(columns));
      residuals.resize(at(columns));
      U.emplace(space, std::vector<T>(at(m * columns)));
      V.emplace(space, std::vector<T>(at(n * columns)));
      return TripletsView<T>{s, residuals, block(*U, m), block(*V, n)};
    });
    REQUIRE(s.size() == at(rank));
    const auto u = U->host(), v = V->host();
    double error = 0.0;  // of A − U S Vᴴ
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        double e = A(i, j);
        for (Index k = 0; k < rank; ++k) e -= u[at(i + k * m)] * s[at(k)] * v[at(j + k * n)];
        error += e * e;
      }
    }
    CHECK(std::sqrt(error) <= 2.0 * values[at(rank)]);
    for (std::size_t k = 0; k < 4; ++k) CHECK(s[k] == doctest::Approx(values[k]).epsilon(1e-6));
  }
  NystromSketchWorkspace<S> ws;
  NystromOptions opt;
  opt.rank = rank;
  const auto out = nystrom(space, hermitian_op, ws, opt);
  CHECK(out.status == Status::converged);
  CHECK(std::abs(out.lambda[0] - 1.0) <= 2.0 * values[at(rank)]);
  NystromSketchWorkspace<ReferenceSpace<T>> host_ws;
  ReferenceSpace<T> reference;
  const OperatorRef<T> here(H);
  const auto host = nystrom(reference, here, host_ws, opt);
  CHECK(distance(out.lambda, host.lambda) <= 1e-10 * norm(host.lambda));
}

}  // namespace
}  // namespace ritz::testing
