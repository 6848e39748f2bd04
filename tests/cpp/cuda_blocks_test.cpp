// Methods of several vectors at once over CudaSpace: blocks and families of systems, eigenpairs,
// ranges, and operators made of operators. Against dense algebra and against the same on the host.
// On the backend that RITZ_CUDA_LIBRARY names.
#include <doctest/doctest.h>

#include <vector>

#include "places.hpp"
#include "ritz/eigen/eigs.hpp"
#include "ritz/eigen/eigsh.hpp"
#include "ritz/eigen/lobpcg.hpp"
#include "ritz/eigen/svds.hpp"
#include "ritz/krylov/block_cg.hpp"
#include "ritz/krylov/block_gmres.hpp"
#include "ritz/krylov/block_minres.hpp"
#include "ritz/krylov/cg_shifts.hpp"
#include "ritz/krylov/lsqr_damps.hpp"
#include "ritz/lowrank/nystrom.hpp"
#include "ritz/lowrank/nystrom_generalized.hpp"
#include "ritz/lowrank/rangefinder.hpp"
#include "ritz/op/algebra.hpp"
#include "ritz/op/chebyshev.hpp"
#include "ritz/op/gauss_newton.hpp"
#include "ritz/op/nystrom_preconditioner.hpp"
#include "ritz/op/symmetric_polynomial.hpp"

namespace ritz::testing {
namespace {

using Complex = std::complex<double>;

template <Field T>
std::vector<T> column(const std::vector<T>& X, Index n, Index j) {
  return {X.begin() + j * n, X.begin() + (j + 1) * n};
}

/// A⁻¹ b
template <Field T>
std::vector<T> dense_solution(const Dense<T>& A, const std::vector<T>& b) {
  std::vector<Long<T>> a(A.a.begin(), A.a.end()), c(b.begin(), b.end());
  const auto x = eliminate(a, c);
  std::vector<T> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [](Long<T> e) { return static_cast<T>(e); });
  return y;
}

template <Field T>
Dense<T> plus_shift(Dense<T> A, double sigma) {
  for (Index i = 0; i < A.n; ++i) A(i, i) += static_cast<T>(static_cast<RealOf<T>>(sigma));
  return A;
}

/// max |XᴴX − I| of the first columns of X.
template <Field T>
double orthogonality(const std::vector<T>& X, Index n, Index columns) {
  double worst = 0.0;
  for (Index i = 0; i < columns; ++i) {
    for (Index j = 0; j <= i; ++j) {
      Long<T> dot{};
      for (Index l = 0; l < n; ++l) {
        dot += conj_long(lengthen(X[at(l + i * n)])) * lengthen(X[at(l + j * n)]);
      }
      if (i == j) dot -= 1.0L;
      worst = std::max(worst, static_cast<double>(std::abs(dot)));
    }
  }
  return worst;
}

// ---- many right-hand sides ----

struct BlockCg {
  template <class S>
  using Workspace = BlockCgWorkspace<S>;
  static constexpr bool kTakesM = true;
  template <class S, class Op, class... Rest>
  static void run(S& space, const Op& A, Rest&&... rest) {
    block_cg(space, A, std::forward<Rest>(rest)...);
  }
};
struct BlockMinres {
  template <class S>
  using Workspace = BlockMinresWorkspace<S>;
  static constexpr bool kTakesM = false;
  template <class S, class Op, class B, class X, class W, class P>
  static void run(S& space, const Op& A, B b, X x, W& ws, const LinearOptions& opt,
                  const Monitor& monitor, std::span<Outcome> outcomes, const P&) {
    block_minres(space, A, b, x, ws, opt, monitor, outcomes);
  }
};
struct BlockGmres {
  template <class S>
  using Workspace = BlockGmresWorkspace<S>;
  static constexpr bool kTakesM = true;
  template <class S, class Op, class B, class X, class W, class P>
  static void run(S& space, const Op& A, B b, X x, W& ws, const LinearOptions& opt,
                  const Monitor& monitor, std::span<Outcome> outcomes, const P& M) {
    BlockGmresOptions all;
    static_cast<LinearOptions&>(all) = opt;
    all.restart = 12;
    block_gmres(space, A, b, x, ws, all, monitor, outcomes, M);
  }
};

/// A matrix of the kind that the method takes, so well conditioned that rounding changes no count;
/// `hostile`: one whose systems it does not solve.
template <class M, Field T>
Dense<T> block_matrix(Index n, bool hostile) {
  if (!std::same_as<M, BlockGmres>) {
    const bool definite = std::same_as<M, BlockCg>;
    auto values = geometric(n, definite ? 5.0 : 2.0);
    for (std::size_t i = 0; i < values.size(); i += 3) {
      if (definite == hostile) values[i] = -values[i];
    }
    if (hostile) values.back() = values[7] = 0.0;
    return hermitian<T>(values, 1);
  }
  auto A =
      plus_shift(random_dense<T>(n, n, 2).scaled(0.2 / std::sqrt(static_cast<double>(n))), 1.0);
  for (Index j = 0; hostile && j < n; ++j) A(7, j) = A(3, j);
  return A;
}

template <Field T>
struct Columns {
  std::vector<T> x;
  std::vector<Outcome> out;
};

template <class M, Field T>
struct Case {
  using Method = M;
  using Value = T;
};

TEST_CASE_TEMPLATE_DEFINE("block solvers: every column, as on the host", C, cuda_block_solvers) {
  using M = typename C::Method;
  using T = typename C::Value;
  const Index n = 100, k = 4;
  const auto A = block_matrix<M, T>(n, false), hostile = block_matrix<M, T>(n, true);
  const auto D = diagonal_matrix<T>(geometric(n, 1.2));
  auto b = gaussian<T>(n * k, 5);
  for (Index i = 0; i < n; ++i) b[at(i + 3 * n)] = b[at(i)] - b[at(i + n)];  // a dependent one
  LinearOptions opt;
  opt.rtol = 1e-8;  // long before rounding ends the block Krylov space
  opt.max_iterations = 40;
  for (const bool preconditioned : {false, true}) {
    if (preconditioned && !M::kTakesM) continue;
    CAPTURE(preconditioned);
    const auto [came, host] = on_both<T>([&](auto& place) {
      using S = SpaceOf<decltype(place)>;
      typename M::template Workspace<S> ws;
      const auto B = place.vector(b), X = place.vector(std::vector<T>(b.size(), T(7.0)));
      const auto& precond = place.on(D);
      const OperatorRef<T> precond_ref(precond);
      const OptionalOperator<T> optional(preconditioned ? &precond_ref : nullptr);
      std::vector<Outcome> out(at(k));
      const auto solve = [&](const auto& matrix) {
        const auto& op = place.on(matrix);
        const OperatorRef<T> op_ref(op);
        M::run(place.space, op_ref, BlockView<const T>(columns_of(B, n)), columns_of(X, n), ws, opt,
               Monitor{}, std::span<Outcome>(out), optional);
        return Columns<T>{X.host(), out};
      };
      const auto counted = faulty<T>(A);
      const auto result = again([&] {
        counted.applied = 0;
        return solve(counted);
      });
      CHECK(out[0].products.columns == counted.applied);

      const auto failed = solve(hostile);
      bool all = true;
      for (Index j = 0; j < k; ++j) {
        if (failed.out[at(j)].status != Status::converged) all = false;
        if (failed.out[at(j)].status != Status::converged) continue;
        CHECK(residual_norm(hostile, column(failed.x, n, j), column(b, n, j)) <=
              1.01 * failed.out[at(j)].target);
      }
      CHECK_FALSE(all);
      for (const Outcome& o : solve(faulty<T>(A, 6)).out) CHECK(o.status == Status::nonfinite);
      const auto throwing = faulty<T>(A, 0, 6);
      CHECK_THROWS_AS(solve(throwing), int);
      CHECK(solve(A).x == result.x);
      return result;
    });
    for (Index j = 0; j < k; ++j) {
      const Outcome& o = came.out[at(j)];
      const Outcome& there = host.out[at(j)];
      CHECK(o.status == Status::converged);
      CHECK(o.verified);
      CHECK(o.iterations == there.iterations);
      CHECK(o.products.columns == there.products.columns);
      CHECK(o.preconditioner == there.preconditioner);
      const auto exact = dense_solution(A, column(b, n, j));
      CHECK(distance(column(came.x, n, j), exact) <= 1e-6 * norm(exact));
      CHECK(residual_norm(A, column(came.x, n, j), column(b, n, j)) <= 1.01 * o.target);
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(cuda_block_solvers, Case<BlockCg, double>, Case<BlockMinres, double>,
                          Case<BlockGmres, double>, Case<BlockGmres, Complex>);

TEST_CASE("a workspace serves on after a problem that it found no room for") {
  using T = double;
  using S = CudaSpace<T>;
  struct Huge {
    Index rows() const { return Index{1} << 50; }
    Index cols() const { return rows(); }
    void apply(VectorView<const T>, VectorView<T>) const { FAIL("was called"); }
  } huge;
  Place<S> place;
  BlockCgWorkspace<S> ws;
  std::vector<Outcome> out(2);
  const auto solve = [&](const OperatorRef<T>& A, BlockView<const T> B, BlockView<T> X) {
    block_cg(place.space, A, B, X, ws, BlockCgOptions{}, Monitor{}, std::span<Outcome>(out));
  };
  CoefficientRoom<S> room;
  room.take(place.space, 100);
  for (const Index n : {60, 30}) {
    const auto D = diagonal_matrix<T>(geometric(n, 5.0));
    const auto op = place.on(D);
    const auto B = place.vector(gaussian<T>(2 * n, 5)), X = place.vector(std::vector<T>(at(2 * n)));
    solve(OperatorRef<T>(op), columns_of(B, n), columns_of(X, n));
    CHECK(out[0].status == Status::converged);
    const Index rows = huge.rows();
    const BlockView<T> far{X.data(), rows, 2, rows};
    CHECK_THROWS_AS(solve(OperatorRef<T>(huge), far, far), DeviceOutOfMemory);
    CHECK_THROWS_AS(room.take(place.space, std::size_t{1} << 50), DeviceOutOfMemory);
    // What is taken afterwards is memory again.
    const auto h = room.take(place.space, 4);
    place.space.project(columns_of(B, n), X.view().first(n), h.first(2));
    CHECK(std::isfinite(place.space.read(place.space.norm2_slots(h.first(2)))));
  }
}

// ---- families ----

template <Field T>
struct Family {
  std::vector<T> x;
  std::vector<Outcome> each;
  Outcome all;
};

TEST_CASE("cg_shifts: every shift as if alone") {
  using T = double;
  const Index n = 100;
  const auto A = hermitian<T>(geometric(n, 8.0), 3);
  const auto b = gaussian<T>(n, 4);
  const std::vector<double> shifts{0.0, 1e-2, 1.0, 10.0, -5e-3, 1e6, 0.1}, too_far{0.5, -0.3, 0.0};
  CgShiftsOptions opt;
  opt.rtol = 1e-10;
  const auto [came, host] = on_both<T>([&](auto& place) {
    CgShiftsWorkspace<SpaceOf<decltype(place)>> ws;
    const auto rhs = place.vector(b), X = place.vector(std::vector<T>(at(n) * shifts.size()));
    const auto solve = [&](const auto& matrix, const std::vector<double>& sigma) {
      const auto& op = place.on(matrix);
      Family<T> family;
      family.each.resize(sigma.size());
      const auto columns = columns_of(X, n).columns(0, static_cast<Index>(sigma.size()));
      family.all = cg_shifts(place.space, op, VectorView<const T>(rhs.view()), columns, sigma, ws,
                             opt, Monitor{}, std::span<Outcome>(family.each));
      family.x = X.host();
      return family;
    };
    const auto counted = faulty<T>(A);
    const auto result = again([&] {
      counted.applied = 0;
      return solve(counted, shifts);
    });
    CHECK(result.all.products.total() == counted.applied);

    const auto indefinite = solve(A, too_far);
    CHECK(indefinite.each[1].status == Status::negative_curvature);
    for (const std::size_t j : {std::size_t{0}, std::size_t{2}}) {
      CHECK(indefinite.each[j].status == Status::converged);
      CHECK(residual_norm(plus_shift(A, too_far[j]), column(indefinite.x, n, static_cast<Index>(j)),
                          b) <= 1.01e-10 * norm(b));
    }
    CHECK(solve(faulty<T>(A, 4), shifts).all.status == Status::nonfinite);
    return result;
  });
  CHECK(came.all.status == Status::converged);
  CHECK(came.all.verified);
  CHECK(came.all.iterations == host.all.iterations);
  CHECK(came.all.products.total() == host.all.products.total());
  for (std::size_t j = 0; j < shifts.size(); ++j) {
    CAPTURE(shifts[j]);
    const auto x = column(came.x, n, static_cast<Index>(j));
    const auto shifted = plus_shift(A, shifts[j]);
    CHECK(came.each[j].status == Status::converged);
    CHECK(came.each[j].iterations == host.each[j].iterations);
    CHECK(residual_norm(shifted, x, b) <= 1.01e-10 * norm(b));
    const auto exact = dense_solution(shifted, b);
    CHECK(distance(x, exact) <= 1e-7 * norm(exact));
  }
}

TEST_CASE("cg_shifts: drift is repaired, or told") {
  using T = float;
  const Index n = 40;
  const auto A = hermitian<T>(geometric(n, 1e3), 3);
  const auto b = gaussian<T>(n, 4);
  const std::vector<double> shifts{0.0, 1e-3, 1.0};
  CgShiftsOptions opt;
  opt.rtol = 2e-5;  // the recurrence gets there, the truth does not
  Place<CudaSpace<T>> place;
  CgShiftsWorkspace<CudaSpace<T>> ws;
  const auto rhs = place.vector(b), X = place.vector(std::vector<T>(at(n) * shifts.size()));
  const auto counted = faulty<T>(A);
  const auto op = place.on(counted);
  std::vector<Outcome> each(shifts.size());
  const auto all = again([&] {
    counted.applied = 0;
    return cg_shifts(place.space, op, VectorView<const T>(rhs.view()), columns_of(X, n), shifts, ws,
                     opt, Monitor{}, std::span<Outcome>(each));
  });
  CHECK(all.products.total() == counted.applied);
  CHECK(ws.cg.bytes() > 0);  // there was something to repair
  for (std::size_t j = 0; j < shifts.size(); ++j) {
    const double truth =
        residual_norm(plus_shift(A, shifts[j]), column(X.host(), n, static_cast<Index>(j)), b);
    CHECK(each[j].residual == doctest::Approx(truth).epsilon(0.1));
    CHECK((each[j].status == Status::converged) == (truth <= opt.rtol * norm(b)));
  }
}

TEST_CASE("lsqr_damps: every damping as if alone") {
  using T = double;
  const Index n = 50;
  const std::vector<double> damps{0.3, 0.0, 0.05, 1e5, 1.0};
  for (const Index m : {Index{80}, Index{50}}) {
    CAPTURE(m);
    const auto A = with_values<T>(m, geometric(n, 3.0), false, 5);
    const auto b = gaussian<T>(m, 6);
    LsqrDampsOptions opt;
    opt.atol = opt.btol = 1e-11;
    opt.conlim = 0.0;
    struct Came {
      std::vector<T> x;
      std::vector<LeastSquaresOutcome> each;
      Outcome all;
    };
    const auto [came, host] = on_both<T>([&](auto& place) {
      LsqrDampsWorkspace<SpaceOf<decltype(place)>> ws;
      const auto rhs = place.vector(b), X = place.vector(std::vector<T>(at(n) * damps.size()));
      const auto solve = [&](const auto& matrix) {
        const auto& op = place.on(matrix);
        Came result;
        result.each.resize(damps.size());
        result.all = lsqr_damps(place.space, op, VectorView<const T>(rhs.view()), columns_of(X, n),
                                damps, ws, opt, Monitor{}, std::span(result.each));
        result.x = X.host();
        return result;
      };
      const auto counted = faulty<T>(A);
      const auto result = again([&] {
        counted.applied = counted.adjoint = 0;
        return solve(counted);
      });
      CHECK(result.all.products.apply == counted.applied);
      CHECK(result.all.products.adjoint == counted.adjoint);
      CHECK(solve(faulty<T>(A, 5)).all.status == Status::nonfinite);
      auto singular = A;
      for (Index i = 0; i < m; ++i) singular(i, 3) = singular(i, 4);
      for (const LeastSquaresOutcome& out : solve(singular).each) {
        CHECK((out.status != Status::converged || out.verified));
      }
      return result;
    });
    CHECK(came.all.status == Status::converged);
    CHECK(came.all.verified);
    CHECK(came.all.iterations == host.all.iterations);
    CHECK(came.all.products.total() == host.all.products.total());
    for (std::size_t j = 0; j < damps.size(); ++j) {
      CAPTURE(damps[j]);
      const auto x = column(came.x, n, static_cast<Index>(j));
      const auto exact = least_squares_solution(A, b, damps[j]);
      CHECK(distance(x, exact) <= 1e-9 * (norm(exact) + norm(b)));
      CHECK(came.each[j].norm_x == doctest::Approx(norm(x)).epsilon(1e-6));
      CHECK(came.each[j].iterations == host.each[j].iterations);
    }
  }
}

// ---- eigenpairs ----

/// Upper triangular, or with conjugate pairs in 2 × 2 blocks on the diagonal, far from normal; its
/// eigenvalues, largest first, in `values`.
template <Field T>
Dense<T> nonnormal(Index n, std::vector<Complex>& values) {
  auto A = random_dense<T>(n, n, 7).scaled(0.1);
  values.clear();
  const Index width = ComplexField<T> ? 1 : 2;
  for (Index j = 0; j < n; ++j) {
    for (Index i = j / width * width; i < n; ++i) A(i, j) = T{};
  }
  for (Index j = 0; j < n; j += width) {
    const double place = static_cast<double>(j) / static_cast<double>(width);
    const Complex value = std::polar(2.0 * std::pow(0.8, place), 0.4 + 0.13 * place);
    values.push_back(value);
    if constexpr (ComplexField<T>) {
      A(j, j) = value;
    } else {
      values.push_back(std::conj(value));
      A(j, j) = A(j + 1, j + 1) = value.real();
      A(j, j + 1) = value.imag();
      A(j + 1, j) = -value.imag();
    }
  }
  return A;
}

template <Field T>
struct Eigenpairs {
  EigsOutcome out;
  std::vector<Complex> values;
  std::vector<double> residuals, conditions;
  std::vector<T> vectors;

  /// The eigenvector of values[i].
  std::vector<Complex> vector(Index n, Index i) const {
    std::vector<Complex> x(at(n));
    const double imaginary = values[at(i)].imag();
    const Index first = RealField<T> && imaginary < 0.0 ? i - 1 : i;
    for (Index l = 0; l < n; ++l) {
      x[at(l)] = vectors[at(l + first * n)];
      if (RealField<T> && imaginary != 0.0) {
        const double y = std::real(vectors[at(l + (first + 1) * n)]);
        x[at(l)] = {x[at(l)].real(), imaginary > 0.0 ? y : -y};
      }
    }
    return x;
  }
};

/// ‖A x − λ M x‖ for every pair is what was told, and x a unit vector.
template <Field T>
void check_eigenpairs(const Eigenpairs<T>& came, const Dense<T>& A,
                      const std::vector<double>& mass) {
  for (std::size_t i = 0; i < came.values.size(); ++i) {
    CAPTURE(i);
    const auto x = came.vector(A.n, static_cast<Index>(i));
    double residual = 0.0;
    for (Index row = 0; row < A.n; ++row) {
      Complex sum = -came.values[i] * mass[at(row)] * x[at(row)];
      for (Index l = 0; l < A.n; ++l) sum += A(row, l) * x[at(l)];
      residual += std::norm(sum);
    }
    CHECK(norm(x) == doctest::Approx(1.0).epsilon(1e-12));
    CHECK(came.residuals[i] <= came.out.target * (1.0 + 1e-12));
    CHECK(std::abs(std::sqrt(residual) - came.residuals[i]) <= 1e-13 * A.frobenius());
  }
}

template <Field T, class P, class A, class M = NoOperator, class F = NoOperator>
Eigenpairs<T> eigenpairs(P& place, const A& op, EigsWorkspace<SpaceOf<P>>& ws,
                         const EigsOptions& opt, const M& mass = {}, const F& solve = {}) {
  const Index n = op.rows();
  Eigenpairs<T> came;
  came.values.resize(at(opt.k));
  came.residuals.resize(at(opt.k));
  came.conditions.resize(at(opt.k));
  const auto vectors = place.vector(std::vector<T>(at(n * (opt.k + 1))));
  came.out = again([&] {
    return eigs(place.space, op,
                EigsPairs<T>{came.values, came.residuals, came.conditions, columns_of(vectors, n)},
                ws, opt, Monitor{}, mass, solve);
  });
  came.vectors = vectors.host();
  return came;
}

TEST_CASE_TEMPLATE("eigs", T, double, Complex) {
  const Index n = 40;
  std::vector<Complex> exact;
  const auto A = nonnormal<T>(n, exact);
  EigsOptions opt;
  opt.k = 4;
  opt.ncv = 12;
  opt.tol = 1e-10;
  const auto [came, host] = on_both<T>([&](auto& place) {
    EigsWorkspace<SpaceOf<decltype(place)>> ws;
    const auto counted = faulty<T>(A);
    const auto& op = place.on(counted);
    const auto pairs = eigenpairs<T>(place, OperatorRef<T>(op), ws, opt);
    CHECK(2 * pairs.out.products.total() == counted.applied);  // there were two runs

    auto few = opt;
    few.max_restarts = 1;
    CHECK(eigenpairs<T>(place, OperatorRef<T>(op), ws, few).out.status == Status::max_iterations);
    const auto poisoned = faulty<T>(A, 17);
    const auto& bad = place.on(poisoned);
    auto room = pairs;
    const auto vectors = place.vector(pairs.vectors);
    const EigsPairs<T> to{room.values, room.residuals, room.conditions, columns_of(vectors, n)};
    CHECK(eigs(place.space, OperatorRef<T>(bad), to, ws, opt).status == Status::nonfinite);
    return pairs;
  });
  CHECK(came.out.status == Status::converged);
  CHECK(came.out.verified);
  CHECK(came.out.restarts == host.out.restarts);
  CHECK(came.out.restarts > 0);
  CHECK(came.out.products.total() == host.out.products.total());
  check_eigenpairs(came, A, std::vector<double>(at(n), 1.0));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::abs(came.values[i] - exact[i]) <= 1e-8);
    CHECK(came.conditions[i] == doctest::Approx(host.conditions[i]).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE("eigs: A x = λ M x near a point", T, double, Complex) {
  const Index n = 30;
  std::vector<Complex> exact;
  const auto B = nonnormal<T>(n, exact);
  const auto mass = geometric(n, 3.0);
  const auto M = diagonal_matrix<T>(mass);
  auto A = B;  // M B
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) A(i, j) *= mass[at(i)];
  }
  EigsOptions opt;
  opt.k = 2;
  opt.ncv = 10;
  opt.tol = 1e-10;
  opt.invert = true;
  opt.sigma = std::real(exact[4]);
  if (ComplexField<T>) opt.sigma = exact[4] + Complex(0.02, 0.01);
  auto inverse = A;  // (A − σM)⁻¹
  auto shifted = A;
  for (Index i = 0; i < n; ++i) {
    if constexpr (ComplexField<T>) {
      shifted(i, i) -= opt.sigma * mass[at(i)];
    } else {
      shifted(i, i) -= opt.sigma.real() * mass[at(i)];
    }
  }
  for (Index j = 0; j < n; ++j) {
    std::vector<T> e(at(n));
    e[at(j)] = 1.0;
    const auto x = dense_solution(shifted, e);
    std::copy(x.begin(), x.end(), &inverse(0, j));
  }
  const auto [came, host] = on_both<T>([&](auto& place) {
    EigsWorkspace<SpaceOf<decltype(place)>> ws;
    const auto counted = faulty<T>(inverse);
    const auto& op = place.on(A);
    const auto& mass_op = place.on(M);
    const auto& solve = place.on(counted);
    const auto pairs = eigenpairs<T>(place, OperatorRef<T>(op), ws, opt, OperatorRef<T>(mass_op),
                                     OperatorRef<T>(solve));
    CHECK(2 * pairs.out.preconditioner == counted.applied);
    return pairs;
  });
  CHECK(came.out.status == Status::converged);
  CHECK(came.out.preconditioner == host.out.preconditioner);
  CHECK(came.out.mass == host.out.mass);
  check_eigenpairs(came, A, mass);
  std::sort(exact.begin(), exact.end(), [&](Complex x, Complex y) {
    return std::abs(x - opt.sigma) < std::abs(y - opt.sigma) - 1e-12;
  });
  for (std::size_t i = 0; i < 2; ++i) {
    const double apart =
        std::min(std::abs(came.values[i] - exact[0]), std::abs(came.values[i] - exact[1]));
    CHECK(apart <= 1e-8);
  }
  CHECK(std::abs(came.values[0] - came.values[1]) > 1e-3);
}

struct Extreme {
  LobpcgOutcome out;
  std::vector<double> values, residuals;
  std::vector<double> vectors;
};

TEST_CASE("lobpcg") {
  using T = double;
  const Index n = 60, k = 4;
  auto spectrum = geometric(n, 50.0);
  for (std::size_t i = 1; i < spectrum.size(); i += 2) spectrum[i] = -spectrum[i];
  const auto H = hermitian<T>(spectrum, 3);
  std::sort(spectrum.begin(), spectrum.end());
  // B = D², A = D H D: the eigenvalues of H, in a basis that is far from orthonormal.
  std::vector<double> roots, squares;
  for (Index i = 0; i < n; ++i) {
    roots.push_back(1.0 + 0.02 * static_cast<double>(i));
    squares.push_back(roots.back() * roots.back());
  }
  Dense<T> A = H;
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) A(i, j) *= roots[at(i)] * roots[at(j)];
  }
  const auto B = diagonal_matrix<T>(squares);
  const auto M = diagonal_matrix<T>(geometric(n, 2.0));
  const auto start = gaussian<T>(n * k, 1);
  LobpcgOptions opt;
  opt.tol = 1e-9;
  opt.max_iterations = 1000;
  for (const bool largest : {true, false}) {
    for (const bool pencil : {false, true}) {
      CAPTURE(largest);
      CAPTURE(pencil);
      opt.largest = largest;
      const auto [came, host] = on_both<T>([&](auto& place) {
        LobpcgWorkspace<SpaceOf<decltype(place)>> ws;
        const auto X = place.vector(start);
        const auto solve = [&](const auto& matrix, const auto& mass, const auto& precond) {
          const auto& op = place.on(matrix);
          const auto& mass_op = place.on(mass);
          const auto& precond_op = place.on(precond);
          const OperatorRef<T> mass_ref(mass_op), precond_ref(precond_op);
          Extreme result;
          result.values.resize(at(k));
          result.residuals.resize(at(k));
          place.put(start, X.view());
          result.out = lobpcg(place.space, OperatorRef<T>(op), columns_of(X, n), result.values,
                              result.residuals, ws, opt, Monitor{},
                              OptionalOperator<T>(pencil ? &mass_ref : nullptr),
                              OptionalOperator<T>(pencil ? &precond_ref : nullptr));
          result.vectors = X.host();
          return result;
        };
        const auto counted = faulty<T>(pencil ? A : H);
        const auto result = again([&] {
          counted.applied = 0;
          return solve(counted, B, M);
        });
        CHECK(result.out.products.total() == counted.applied);
        CHECK(solve(faulty<T>(H, 12), B, M).out.status == Status::nonfinite);
        CHECK_THROWS_AS(solve(faulty<T>(H, 0, 12), B, M), int);
        if (pencil) {
          CHECK(solve(A, B, Dense<T>(n, n)).out.status == Status::stagnation);
          auto indefinite = squares;
          indefinite[7] = -1.0;
          CHECK(solve(A, diagonal_matrix<T>(indefinite), M).out.status == Status::breakdown);
        }
        return result;
      });
      CHECK(came.out.status == Status::converged);
      CHECK(came.out.verified);
      CHECK(came.out.iterations == host.out.iterations);
      CHECK(came.out.products.total() == host.out.products.total());
      CHECK(came.out.mass == host.out.mass);
      CHECK(came.out.preconditioner == host.out.preconditioner);
      auto unit = came.vectors;  // D X, orthonormal
      for (Index j = 0; pencil && j < k; ++j) {
        for (Index i = 0; i < n; ++i) unit[at(i + j * n)] *= roots[at(i)];
      }
      CHECK(orthogonality(unit, n, k) <= 1e-12);
      for (Index j = 0; j < k; ++j) {
        const double exact = largest ? spectrum[at(n - 1 - j)] : spectrum[at(j)];
        CHECK(std::abs(came.values[at(j)] - exact) <= 1e-8);
        std::vector<T> Hu(at(n)), u = column(unit, n, j);
        H.apply(view(std::as_const(u)), view(Hu));
        for (T& e : u) e *= came.values[at(j)];
        CHECK(distance(Hu, u) <= 1e-7);
      }
    }
  }
}

TEST_CASE("lobpcg: constraints give the next ones") {
  using T = double;
  const Index n = 40;
  const Laplacian<T> A{n, 1};
  const auto truth = A.eigenvalues();
  LobpcgOptions opt;
  opt.largest = false;
  opt.tol = 1e-10;
  opt.max_iterations = 1000;
  on_both<T>([&](auto& place) {
    LobpcgWorkspace<SpaceOf<decltype(place)>> ws;
    const auto& op = place.on(A);
    const auto first = place.vector(gaussian<T>(3 * n, 1)), next = place.vector(gaussian<T>(n, 2));
    const NoOperator none;
    std::vector<double> values(3), residuals(3);
    lobpcg(place.space, op, columns_of(first, n), values, residuals, ws, opt);
    const BlockView<const T> Y = columns_of(first, n);
    const auto out = lobpcg(place.space, op, columns_of(next, n), values, residuals, ws, opt,
                            Monitor{}, none, none, Y);
    CHECK(out.status == Status::converged);
    CHECK(std::abs(values[0] - truth[3]) <= 1e-9);
    return 0;
  });
}

TEST_CASE("eigsh and svds: a second run allocates nothing on the device") {
  using T = double;
  using S = CudaSpace<T>;
  const Index m = 60, n = 50, k = 4;
  const auto H = hermitian<T>(geometric(n, 1e3), 11);
  const auto A = with_values<T>(m, geometric(n, 50.0), false, 13);
  Place<S> place;
  const auto square = place.on(H);
  const auto tall = place.on(A);
  const auto U = place.vector(std::vector<T>(at(m * k))),
             V = place.vector(std::vector<T>(at(n * k)));
  std::vector<double> values(at(k)), residuals(at(k));
  EigshWorkspace<S> eigsh_ws;
  for (const Index width : {1, 2}) {
    EigshOptions opt;
    opt.k = k;
    opt.ncv = 12;
    opt.block_size = width;
    const auto out = again([&] {
      return eigsh(place.space, OperatorRef<T>(square), values, residuals, columns_of(V, n),
                   eigsh_ws, opt);
    });
    CHECK(out.status == Status::converged);
    CHECK(values.back() == doctest::Approx(1.0).epsilon(1e-9));
  }
  SvdsWorkspace<S> svds_ws;
  for (const bool smallest : {false, true}) {
    SvdsOptions opt;
    opt.k = k;
    opt.smallest = smallest;
    const auto out = again([&] {
      return svds(place.space, OperatorRef<T>(tall), values, residuals, columns_of(U, m),
                  columns_of(V, n), svds_ws, opt);
    });
    CHECK(out.status == Status::converged);
    CHECK((smallest ? values.back() : values.front()) ==
          doctest::Approx(smallest ? 0.02 : 1.0).epsilon(1e-8));
  }
}

// ---- ranges ----

TEST_CASE("rangefinder") {
  using T = double;
  const Index m = 50, n = 30;
  const auto values = geometric(n, 1e8);
  const auto A = with_values<T>(m, values, false, 31);
  struct Range {
    RangefinderOutcome out;
    std::vector<T> Q;
  };
  for (const double tol : {0.0, 1e-3, 1e-30}) {
    for (const Index power : {Index{0}, Index{1}}) {
      CAPTURE(tol);
      CAPTURE(power);
      RangefinderOptions opt;
      opt.columns = tol > 0.0 ? 20 : 10;
      opt.block = 5;
      opt.tol = tol;
      opt.power = power;
      const auto [came, host] = on_both<T>([&](auto& place) {
        const auto run = [&](const auto& matrix) {
          Range range;
          const auto& op = place.on(matrix);
          std::optional<decltype(place.vector({}))> Q;
          range.out = rangefinder(place.space, OperatorRef<T>(op), opt, [&](Index rank) {
            Q.emplace(place.vector(std::vector<T>(at(m * rank))));
            return columns_of(*Q, m);
          });
          range.Q = Q->host();
          return range;
        };
        const auto counted = faulty<T>(A);
        const auto range = run(counted);
        CHECK(range.out.products.total() == counted.applied + counted.adjoint);
        CHECK(run(faulty<T>(A, 7)).out.status == Status::nonfinite);
        return range;
      });
      CHECK(came.out.status == (tol == 1e-30 ? Status::max_iterations : Status::converged));
      CHECK(came.out.rank == host.out.rank);
      CHECK(came.out.products.total() == host.out.products.total());
      CHECK(came.out.error == doctest::Approx(host.out.error).epsilon(1e-6));
      CHECK(orthogonality(came.Q, m, came.out.rank) <= 1e-13);
      double left = 0.0, least = 0.0;  // of A − QQᴴA; by the best Q
      for (Index j = 0; j < n; ++j) {
        if (j >= came.out.rank) least += values[at(j)] * values[at(j)];
        for (Index i = 0; i < m; ++i) left += A(i, j) * A(i, j);
        for (Index l = 0; l < came.out.rank; ++l) {
          double c = 0.0;
          for (Index i = 0; i < m; ++i) c += came.Q[at(i + l * m)] * A(i, j);
          left -= c * c;
        }
      }
      left = std::sqrt(std::max(left, 0.0));
      CHECK(left <= 10.0 * std::sqrt(least) + 1e-7);  // squares that cancel
      CHECK(left <= 5.0 * came.out.error + 1e-7);
    }
  }
}

TEST_CASE("nystrom_generalized") {
  using T = double;
  const Index m = 40, n = 30, rank = 6;
  auto values = geometric(n, 1e14);
  const auto A = with_values<T>(m, values, false, 32);
  GeneralizedNystromOptions opt;
  opt.rank = rank;
  struct Factors {
    GeneralizedNystromOutcome out;
    std::vector<T> U, V;
  };
  const auto [came, host] = on_both<T>([&](auto& place) {
    GeneralizedNystromWorkspace<SpaceOf<decltype(place)>> ws;
    const auto run = [&](const auto& matrix) {
      const auto& op = place.on(matrix);
      Factors result;
      result.out = nystrom_generalized(place.space, OperatorRef<T>(op), ws, opt);
      for (Index j = 0; j < result.out.rank; ++j) {
        const auto u = place.get(ws.U.column(j)), v = place.get(ws.Z.column(j));
        result.U.insert(result.U.end(), u.begin(), u.end());
        result.V.insert(result.V.end(), v.begin(), v.end());
      }
      return result;
    };
    const auto result = counted<T>(run, A);
    CHECK(run(faulty<T>(A, 5)).out.status == Status::nonfinite);
    return result;
  });
  CHECK(came.out.status == Status::converged);
  REQUIRE(came.out.rank == rank);
  CHECK(came.out.products.total() == host.out.products.total());
  CHECK(distance(came.out.s, host.out.s) <= 1e-10 * norm(host.out.s));
  CHECK(orthogonality(came.U, m, rank) <= 1e-13);
  CHECK(orthogonality(came.V, n, rank) <= 1e-13);
  double error = 0.0;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double e = A(i, j);
      for (Index l = 0; l < rank; ++l) {
        e -= came.U[at(i + l * m)] * came.out.s[at(l)] * came.V[at(j + l * n)];
      }
      error += e * e;
    }
  }
  CHECK(std::sqrt(error) <= 10.0 * values[at(rank - 1)]);
  CHECK(std::sqrt(error) <= 5.0 * came.out.error);
}

TEST_CASE("nystrom: a preconditioner from its factors") {
  using T = double;
  const Index n = 40, rank = 8, count = 3;
  const double mu = 1e-3;
  const auto A = hermitian<T>(geometric(n, 1e6), 33);
  NystromOptions opt;
  opt.rank = rank;
  const auto x = gaussian<T>(n * count, 4);
  on_both<T>([&](auto& place) {
    using S = SpaceOf<decltype(place)>;
    NystromSketchWorkspace<S> ws;
    const auto& op = place.on(A);
    const auto out = again([&] { return nystrom(place.space, OperatorRef<T>(op), ws, opt); });
    REQUIRE(out.rank == rank);
    const auto P = nystrom_preconditioner(place.space, BlockView<const T>(ws.U.columns(0, rank)),
                                          out.lambda, mu);
    const auto X = place.vector(x), Y = place.vector(std::vector<T>(x.size()));
    again([&] {
      P.apply_block(BlockView<const T>(columns_of(X, n)), columns_of(Y, n));
      return 0;
    });
    const auto came = Y.host();
    std::vector<T> expected = x;  // x + U D Uᴴ x
    for (Index l = 0; l < rank; ++l) {
      const auto u = place.get(ws.U.column(l));
      const double d = (out.lambda.back() + mu) / (out.lambda[at(l)] + mu) - 1.0;
      for (Index j = 0; j < count; ++j) {
        double dot = 0.0;
        for (Index i = 0; i < n; ++i) dot += u[at(i)] * x[at(i + j * n)];
        for (Index i = 0; i < n; ++i) expected[at(i + j * n)] += d * dot * u[at(i)];
      }
    }
    CHECK(distance(came, expected) <= 1e-12 * norm(expected));
    return 0;
  });
}

// ---- operators made of operators ----

/// A X and then Aᴴ X for square A, by columns or as blocks.
template <class P, class A, Field T>
std::vector<T> both_products(P& place, const A& a, const std::vector<T>& x) {
  const auto X = place.vector(x), Y = place.vector(std::vector<T>(x.size()));
  const BlockView<T> from = columns_of(X, a.cols()), to = columns_of(Y, a.rows());
  return again([&] {
    apply_columns(a, BlockView<const T>(from), to);
    std::vector<T> all = Y.host();
    if constexpr (AdjointOperator<A, T>) {
      apply_adjoint_columns(a, BlockView<const T>(from), to);
      const auto more = Y.host();
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  });
}

TEST_CASE_TEMPLATE("operators made of operators: the products of the host", T, double, Complex) {
  const Index n = 30, count = 3;
  const auto A = random_dense<T>(n, n, 1), B = random_dense<T>(n, n, 2);
  const auto H = hermitian<T>(geometric(n, 10.0), 3);
  const auto d = gaussian<T>(n, 4);
  for (const Index columns : {Index{1}, count}) {
    CAPTURE(columns);
    const auto x = gaussian<T>(n * columns, 5);
    const auto [came, host] = on_both<T>([&](auto& place) {
      using S = SpaceOf<decltype(place)>;
      const auto &a_there = place.on(A), &b_there = place.on(B), &h_there = place.on(H);
      const OperatorRef<T> a(a_there), b(b_there), h(h_there);
      using Ref = OperatorRef<T>;
      WideOf<T> c = 0.7;
      if constexpr (ComplexField<T>) c = {0.7, -0.2};
      const auto diagonal = place.vector(d);
      S& space = place.space;
      std::vector<std::vector<T>> all;
      const auto add = [&](const auto& op) { all.push_back(both_products(place, op, x)); };
      add(Identity<S>(space, n));
      add(Diagonal<S>(space, VectorView<const T>(diagonal.view())));
      add(ritz::Sum<S, Scaled<S, Ref>, Ref>(space, Scaled<S, Ref>(space, c, a), c, b));
      add(Shifted<S, Ref>(space, a, c));
      add(Product<S, Adjoint<T, Ref>, Ref>(space, Adjoint<T, Ref>(a), b));
      add(Conjugate<S, Ref>(space, a));
      add(Chebyshev<S, Ref>(space, h, 7, 0.05, 1.1));
      add(symmetric_polynomial(space, h, {3.0, 2.0}));
      add(GaussNewton<S, Ref>(space, a, {}, 0.3));
      Block<S, Ref> grid(space, {n, n}, {n}, {{0, 0, a}, {1, 0, b}});
      add(Product<S, Adjoint<T, Block<S, Ref>>, Block<S, Ref>>(
          space, Adjoint<T, Block<S, Ref>>(grid), grid));
      return all;
    });
    REQUIRE(came.size() == host.size());
    for (std::size_t k = 0; k < came.size(); ++k) {
      CAPTURE(k);
      CHECK(norm(host[k]) > 0.0);
      CHECK(distance(came[k], host[k]) <= 1e-13 * norm(host[k]));
    }
  }
}

}  // namespace
}  // namespace ritz::testing
