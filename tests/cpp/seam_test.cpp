// Every method over a space whose reduced scalars no host code can look into: that it compiles is
// the proof, that it gives what the oracle gives is the test.
#include <doctest/doctest.h>

#include <memory>

#include "problems.hpp"
#include "ritz/eigen/eigs.hpp"
#include "ritz/eigen/eigsh.hpp"
#include "ritz/eigen/frobenius.hpp"
#include "ritz/eigen/lobpcg.hpp"
#include "ritz/eigen/norm2.hpp"
#include "ritz/eigen/svds.hpp"
#include "ritz/function/diagonal.hpp"
#include "ritz/function/funm.hpp"
#include "ritz/function/funm_arnoldi.hpp"
#include "ritz/function/funm_chebyshev.hpp"
#include "ritz/function/funm_rational.hpp"
#include "ritz/function/quadrature.hpp"
#include "ritz/function/row_norms.hpp"
#include "ritz/function/spectral_density.hpp"
#include "ritz/function/spectral_sum.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/krylov/accumulate.hpp"
#include "ritz/krylov/block_cg.hpp"
#include "ritz/krylov/block_gmres.hpp"
#include "ritz/krylov/block_minres.hpp"
#include "ritz/krylov/cg_shifts.hpp"
#include "ritz/krylov/columns.hpp"
#include "ritz/krylov/lsqr_damps.hpp"
#include "ritz/krylov/methods.hpp"
#include "ritz/lowrank/nystrom.hpp"
#include "ritz/lowrank/nystrom_generalized.hpp"
#include "ritz/lowrank/rangefinder.hpp"
#include "ritz/lowrank/svd_lowrank.hpp"
#include "ritz/newton/levenberg_marquardt.hpp"
#include "ritz/op/algebra.hpp"
#include "ritz/op/chebyshev.hpp"
#include "ritz/op/gauss_newton.hpp"
#include "ritz/op/nystrom_preconditioner.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/op/symmetric_polynomial.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

using C16 = std::complex<double>;

template <class T>
BlockView<T> block(std::vector<T>& x, Index rows) {
  return {x.data(), rows, static_cast<Index>(x.size()) / rows, rows};
}
template <class T>
BlockView<const T> block(const std::vector<T>& x, Index rows) {
  return {x.data(), rows, static_cast<Index>(x.size()) / rows, rows};
}
template <class T>
void append(std::vector<T>& to, BlockView<T> X) {
  for (Index j = 0; j < X.cols; ++j) to.insert(to.end(), X.column(j).begin(), X.column(j).end());
}

/// What `run` returns on the device is what it returns on the host, to rounding.
template <Field T, class F>
void same(const F& run, double tolerance = 1e-11) {
  SlotSpace<T> device;
  ReferenceSpace<T> host;
  const auto found = run(device), expected = run(host);
  REQUIRE(found.size() == expected.size());
  CHECK(all_finite(found));
  CHECK(distance(found, expected) <= tolerance * norm(expected));
  CHECK(norm(expected) > 0.0);
}

/// I + a random matrix of spectral radius about 1/2.
template <Field T>
Dense<T> near_identity(Index n, std::uint64_t seed) {
  auto A = random_dense<T>(n, n, seed).scaled(0.5 / std::sqrt(static_cast<double>(n)));
  for (Index i = 0; i < n; ++i) A(i, i) += T{1};
  return A;
}

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
/// Whether a method takes a preconditioner beside A.
template <class M>
constexpr bool kTakesM =
    !std::same_as<M, Lsmr> && !std::same_as<M, Lsqr> && !std::same_as<M, Craig>;
using ComplexMethods = std::tuple<Gmres, Bicgstab, Bicgstabl, Idrs, Gcrodr, Lsmr, Minres>;
using KrylovCases = decltype(std::tuple_cat(AllOf<KrylovMethods, double>::Cases{},
                                            AllOf<ComplexMethods, C16>::Cases{}));

template <class Options>
Options tight() {
  Options opt;
  if constexpr (requires { opt.rtol; }) opt.rtol = 1e-10;
  if constexpr (requires { opt.btol; }) opt.atol = opt.btol = 1e-12;
  if constexpr (requires { opt.restart; }) opt.restart = 12;
  if constexpr (requires { opt.k; }) opt.k = 5;
  return opt;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("seam: one right-hand side", C, seam_krylov) {
  using Method = typename C::Method;
  using T = typename C::Value;
  using S = SlotSpace<T>;
  const auto A = hermitian<T>(geometric(40, 20.0), 1);
  const auto b = gaussian<T>(40, 2);
  const auto D = diagonal_matrix<T>(geometric(40, 3.0));
  const OperatorRef<T> op(A), ref(D);
  S space;
  for (const OperatorRef<T>* M : {static_cast<const OperatorRef<T>*>(nullptr), &ref}) {
    if (M && !kTakesM<Method>) continue;
    const OptionalOperator<T> optional(M);
    typename Method::template Workspace<S> ws;
    auto opt = tight<typename Method::Options>();
    if constexpr (requires { opt.recycle; }) opt.recycle = true;
    for (int system = 0; system < 2; ++system) {  // recycling has something to recycle
      std::vector<T> x(40);
      const auto out = Stepper<Method, S, OperatorRef<T>, OptionalOperator<T>>(
                           space, op, view(b), view(x), ws, opt, {}, optional)
                           .finish();
      CHECK(out.status == Status::converged);
      CHECK(residual_norm(A, x, b) <= 1e-9 * norm(b));
    }
  }
  CHECK(space.reads() > 0);
}
TEST_CASE_TEMPLATE_APPLY(seam_krylov, KrylovCases);

TEST_CASE("seam: gcrodr on an operator that has changed") {
  using S = SlotSpace<double>;
  const auto A = near_identity<double>(40, 1), B = near_identity<double>(40, 2);
  const auto b = gaussian<double>(40, 3);
  S space;
  GcrodrWorkspace<S> ws;
  auto opt = tight<GcrodrOptions>();
  opt.recycle = true;
  for (const auto* matrix : {&A, &B, &A}) {
    std::vector<double> x(40);
    const OperatorRef<double> op(*matrix);
    CHECK(gcrodr(space, op, view(b), view(x), ws, opt).status == Status::converged);
    CHECK(residual_norm(*matrix, x, b) <= 1e-9 * norm(b));
  }
}

TEST_CASE("seam: families of shifts and of dampings") {
  using T = double;
  const auto A = hermitian<T>(geometric(40, 50.0), 3);
  const auto b = gaussian<T>(40, 4);
  const std::vector<double> values{0.0, 0.1, 2.0};
  const auto run = [&](bool shifts) {
    same<T>([&](auto& space) {
      using S = std::remove_cvref_t<decltype(space)>;
      std::vector<T> x(40 * values.size());
      if (shifts) {
        CgShiftsWorkspace<S> ws;
        std::vector<Outcome> outs(values.size());
        CHECK(cg_shifts(space, OperatorRef<T>(A), view(b), block(x, 40), values, ws, {}, {}, outs)
                  .status == Status::converged);
      } else {
        LsqrDampsWorkspace<S> ws;
        std::vector<LeastSquaresOutcome> outs(values.size());
        CHECK(lsqr_damps(space, OperatorRef<T>(A), view(b), block(x, 40), values, ws, {}, {}, outs)
                  .status == Status::converged);
      }
      return x;
    });
  };
  run(true);
  run(false);
}

TEST_CASE_TEMPLATE("seam: block methods", T, double, C16) {
  using S = SlotSpace<T>;
  const Index n = 40, k = 3;
  const auto A = hermitian<T>(geometric(n, 50.0), 5);
  const auto D = diagonal_matrix<T>(geometric(n, 3.0));
  const OperatorRef<T> op(A), ref(D);
  const auto b = gaussian<T>(n * k, 6);
  S space;
  LinearOptions opt;
  opt.rtol = 1e-9;
  std::vector<Outcome> outs(at(k));
  std::vector<T> x;
  const auto check = [&] {
    for (const Outcome& out : outs) CHECK(out.status == Status::converged);
    for (Index j = 0; j < k; ++j) {
      const std::vector<T> xj(&x[at(j * n)], &x[at(j * n)] + n),
          bj(&b[at(j * n)], &b[at(j * n)] + n);
      CHECK(residual_norm(A, xj, bj) <= 1.001e-9 * norm(bj));
    }
  };
  for (const OperatorRef<T>* M : {static_cast<const OperatorRef<T>*>(nullptr), &ref}) {
    const OptionalOperator<T> optional(M);
    x.assign(at(n * k), T{});
    BlockCgWorkspace<S> cg_ws;
    block_cg(space, op, block(b, n), block(x, n), cg_ws, opt, {}, outs, optional);
    check();
    x.assign(at(n * k), T{});
    BlockGmresWorkspace<S> gmres_ws;
    BlockGmresOptions restarted;
    restarted.rtol = opt.rtol;
    restarted.restart = 8;
    block_gmres(space, op, block(b, n), block(x, n), gmres_ws, restarted, {}, outs, optional);
    check();
  }
  x.assign(at(n * k), T{});
  BlockMinresWorkspace<S> minres_ws;
  block_minres(space, op, block(b, n), block(x, n), minres_ws, opt, {}, outs);
  check();
}

TEST_CASE("seam: many runs that share products") {
  using S = SlotSpace<double>;
  using Solve = Stepper<Lsmr, S, OperatorRef<double>>;
  const auto A = random_dense<double>(30, 15, 7);
  const OperatorRef<double> op(A);
  S space;
  LsmrOptions opt = tight<LsmrOptions>();
  std::vector<std::vector<double>> b, x(3, std::vector<double>(15));
  std::vector<LsmrWorkspace<S>> ws(3);
  std::vector<std::unique_ptr<Solve>> solves;
  std::vector<AbstractStepper<double>*> runs;
  for (std::size_t j = 0; j < 3; ++j) b.push_back(gaussian<double>(30, 8 + j));
  for (std::size_t j = 0; j < 3; ++j) {
    solves.push_back(
        std::make_unique<Solve>(space, op, view(std::as_const(b[j])), view(x[j]), ws[j], opt));
    runs.push_back(solves.back().get());
  }
  run_columns(space, std::span<AbstractStepper<double>* const>(runs), op, NoPreconditioner{},
              false);
  for (std::size_t j = 0; j < 3; ++j) {
    const auto exact = least_squares_solution(A, b[j]);
    CHECK(distance(x[j], exact) <= 1e-8 * norm(exact));
  }
}

TEST_CASE("seam: a solution kept in double precision") {
  using S = SlotSpace<float>;
  using W = SlotSpace<double>;
  const auto d = geometric(60, 100.0);
  const auto A = diagonal_matrix<float>(d);
  DiagonalMatrix<double> A64;
  for (const float a : A.d) A64.d.push_back(static_cast<double>(a));
  const std::vector<float> b32(60, 1.0F);
  const std::vector<double> b(60, 1.0);
  std::vector<float> x(60);
  std::vector<double> X(60);
  S space;
  CgWorkspace<S> ws;
  CgOptions opt;
  opt.rtol = 1e-10;
  Accumulator accumulator(S{}, W{}, A64, view(b), view(X));
  Stepper<Cg, S, DiagonalMatrix<float>> run(space, A, view(b32), view(x), ws, opt);
  run.accumulate_with(accumulator);
  CHECK(run.finish().status == Status::converged);
  for (std::size_t i = 0; i < 60; ++i) CHECK(std::abs(1.0 - A64.d[i] * X[i]) <= 1e-8);
}

// ---- eigenvalues and singular values ----

namespace {

/// The spectrum's wanted end, ascending or descending as the method returns it.
void check_values(const std::vector<double>& found, std::vector<double> spectrum, bool ascending,
                  bool smallest) {
  std::sort(spectrum.begin(), spectrum.end());
  if (!smallest) std::reverse(spectrum.begin(), spectrum.end());
  spectrum.resize(found.size());
  if (ascending != smallest) std::reverse(spectrum.begin(), spectrum.end());
  CHECK(distance(found, spectrum) <= 1e-8 * norm(spectrum));
}

}  // namespace

TEST_CASE("seam: eigsh") {
  using T = double;
  using S = SlotSpace<T>;
  const Index n = 60;
  const auto spectrum = geometric(n, 1e3);
  const auto A = hermitian<T>(spectrum, 11);
  const auto D = diagonal_matrix<T>(std::vector<double>(at(n), 2.0)),
             Dinv = diagonal_matrix<T>(std::vector<double>(at(n), 0.5));
  using Op = OperatorRef<T>;
  const Op op(A), mass(D), inverse(Dinv);
  S space;
  EigshWorkspace<S> ws;
  EigshOptions opt;
  opt.k = 4;
  opt.ncv = 12;
  opt.tol = 1e-10;
  std::vector<double> values(4), residuals(4), estimates(4);
  std::vector<T> storage(at(4 * n));
  const EigshResults<T> results{values, residuals, estimates, block(storage, n)};
  for (const Index width : {1, 2}) {
    opt.block_size = width;
    const HermitianProblem<T, Op> plain{op};
    CHECK(eigsh(space, plain, results, ws, opt).status == Status::converged);
    check_values(values, spectrum, true, false);
    const std::vector<T> known(storage.begin() + 3 * n, storage.end());  // of the largest
    const HermitianProblem<T, Op> rest{op, {}, {}, {}, 0.0, {}, block(known, n)};
    CHECK(eigsh(space, rest, results, ws, opt).status == Status::converged);
    check_values(values, {spectrum.begin() + 1, spectrum.end()}, true, false);
  }
  const HermitianProblem<T, Op, Op, Op> weighted{op, mass, inverse};
  CHECK(eigsh(space, weighted, results, ws, opt).status == Status::converged);
  for (double& value : values) value *= 2.0;
  check_values(values, spectrum, true, false);
}

TEST_CASE_TEMPLATE("seam: eigs", T, double, C16) {
  const auto A = random_dense<T>(50, 50, 12);
  same<T>([&](auto& space) {
    EigsWorkspace<std::remove_cvref_t<decltype(space)>> ws;
    EigsOptions opt;
    opt.k = 5;
    opt.ncv = 15;
    std::vector<C16> values(5);
    std::vector<double> residuals(5), conditions(5), found;
    std::vector<T> storage(50 * 6);
    const EigsPairs<T> pairs{values, residuals, conditions, block(storage, 50)};
    CHECK(eigs(space, OperatorRef<T>(A), pairs, ws, opt).status == Status::converged);
    for (const C16 value : values) found.insert(found.end(), {value.real(), value.imag()});
    return found;
  });
}

TEST_CASE("seam: svds, norm2, frobenius_norm") {
  using T = double;
  using S = SlotSpace<T>;
  const auto s = geometric(30, 50.0);
  const auto A = with_values<T>(50, s, false, 13);
  const OperatorRef<T> op(A);
  S space;
  SvdsWorkspace<S> ws;
  for (const bool smallest : {false, true}) {
    SvdsOptions opt;
    opt.k = 4;
    opt.smallest = smallest;
    opt.tol = 1e-10;
    std::vector<double> values(4), residuals(4);
    std::vector<T> U(4 * 50), V(4 * 30);
    CHECK(svds(space, op, values, residuals, block(U, 50), block(V, 30), ws, opt).status ==
          Status::converged);
    check_values(values, s, false, smallest);
  }
  const auto bracket = norm2(space, op, ws);
  CHECK(bracket.lower <= 1.0 + 1e-12);
  CHECK(bracket.upper >= 1.0 - 1e-12);
  CHECK(frobenius_norm(space, op).value == doctest::Approx(A.frobenius()));
}

TEST_CASE("seam: lobpcg") {
  using T = double;
  using S = SlotSpace<T>;
  const Index n = 60;
  const auto spectrum = geometric(n, 50.0);
  const auto A = hermitian<T>(spectrum, 14);
  const auto D = diagonal_matrix<T>(std::vector<double>(at(n), 2.0));
  const OperatorRef<T> op(A), mass(D);
  S space;
  LobpcgWorkspace<S> ws;
  LobpcgOptions opt;
  opt.largest = true;
  opt.tol = 1e-9;
  std::vector<double> values(3), residuals(3);
  auto X = gaussian<T>(3 * n, 15);
  CHECK(lobpcg(space, op, block(X, n), values, residuals, ws, opt).status == Status::converged);
  check_values(values, spectrum, false, false);
  const std::vector<T> known(X.begin(), X.begin() + n);  // of the largest
  auto Y = gaussian<T>(3 * n, 16);
  CHECK(lobpcg(space, op, block(Y, n), values, residuals, ws, opt, {}, NoOperator{}, NoOperator{},
               block(known, n))
            .status == Status::converged);
  check_values(values, {spectrum.begin() + 1, spectrum.end()}, false, false);
  auto Z = gaussian<T>(3 * n, 17);
  CHECK(lobpcg(space, op, block(Z, n), values, residuals, ws, opt, {}, mass, mass).status ==
        Status::converged);
  for (double& value : values) value *= 2.0;
  check_values(values, spectrum, false, false);
}

// ---- functions ----

TEST_CASE_TEMPLATE("seam: functions of a matrix", T, double, C16) {
  using S = SlotSpace<T>;
  const Index n = 50;
  const auto spectrum = geometric(n, 20.0);
  const auto D = diagonal_matrix<T>(spectrum);
  const OperatorRef<T> op(D);
  const auto b = gaussian<T>(n, 21);
  NamedFunction f;
  f.kind = Function::sqrt;
  const std::vector<NamedFunction> functions{f};
  std::vector<T> exact(at(n)), y(at(n));
  for (std::size_t i = 0; i < exact.size(); ++i) exact[i] = std::sqrt(spectrum[i]) * b[i];
  FunmOptions opt;
  opt.rtol = 1e-8;
  opt.low = 0.05 * (1.0 - 1e-6);
  opt.high = 1.0 + 1e-6;
  std::vector<FunmAccount> accounts(1);
  S space;
  const auto check = [&](const FunmOutcome& out) {
    CHECK(out.status == Status::converged);
    CHECK(distance(y, exact) <= 1e-7 * norm(exact));
    std::fill(y.begin(), y.end(), T{});
  };
  FunmWorkspace<S> lanczos;
  check(funm(space, op, view(b), block(y, n), functions, lanczos, opt, {}, accounts));
  auto few = opt;
  few.max_basis = 5;  // the second pass
  check(funm(space, op, view(b), block(y, n), functions, lanczos, few, {}, accounts));
  FunmArnoldiWorkspace<S> arnoldi;
  check(funm_arnoldi(space, op, view(b), block(y, n), functions, arnoldi, opt, {}, accounts));
  FunmChebyshevWorkspace<S> chebyshev;
  check(funm_chebyshev(space, op, view(b), block(y, n), functions, chebyshev, opt, RandomKey{}, {},
                       accounts));
  FunmRationalWorkspace<S> rational;
  const auto fractions = partial_fractions(f, opt.low, opt.high, 0.1 * opt.rtol);
  check(funm_rational(space, op, view(b), view(y), fractions, rational, opt, {}, accounts[0]));
}

TEST_CASE_TEMPLATE("seam: traces, diagonals, row norms", T, double, C16) {
  const Index n = 60;
  const auto A = hermitian<T>(geometric(n, 1e4), 22);
  const OperatorRef<T> op(A);
  for (const TraceMethod method : {TraceMethod::hutchinson, TraceMethod::hutchpp,
                                   TraceMethod::xtrace, TraceMethod::xnystrace}) {
    CAPTURE(static_cast<int>(method));
    same<T>([&](auto& space) {
      TraceWorkspace<std::remove_cvref_t<decltype(space)>> ws;
      TraceOptions opt;
      opt.method = method;
      opt.samples = 48;
      opt.block = 8;
      opt.positive = method == TraceMethod::xnystrace;
      const auto out = trace(space, op, ws, opt);
      CHECK(out.status == Status::converged);
      return std::vector<T>{out.value, out.stderr_};
    });
  }
  for (const auto method : {ElementwiseMethod::hutchinson, ElementwiseMethod::leave_one_out,
                            ElementwiseMethod::nystrom}) {
    CAPTURE(static_cast<int>(method));
    ElementwiseOptions opt;
    opt.method = method;
    opt.samples = 40;
    same<T>([&](auto& space) {
      DiagonalWorkspace<std::remove_cvref_t<decltype(space)>> ws;
      std::vector<T> value(at(n)), variance(at(n));
      CHECK(diagonal(space, op, view(value), view(variance), ws, opt).status == Status::converged);
      value.insert(value.end(), variance.begin(), variance.end());
      return value;
    });
    if (method == ElementwiseMethod::nystrom) continue;
    same<T>([&](auto& space) {
      RowNormsWorkspace<std::remove_cvref_t<decltype(space)>> ws;
      std::vector<T> value(at(n)), variance(at(n));
      CHECK(row_norms2(space, op, view(value), view(variance), ws, opt).status ==
            Status::converged);
      value.insert(value.end(), variance.begin(), variance.end());
      return value;
    });
  }
}

TEST_CASE("seam: quadrature, spectral sums and densities") {
  using T = double;
  const Index n = 60;
  const auto spectrum = geometric(n, 40.0);
  const auto A = hermitian<T>(spectrum, 23);
  const OperatorRef<T> op(A);
  const auto u = gaussian<T>(n, 24), v = gaussian<T>(n, 25);
  Integrand f;
  f.named.kind = Function::log;
  same<T>([&](auto& space) {
    using S = std::remove_cvref_t<decltype(space)>;
    QuadratureWorkspace<S> ws;
    QuadratureOptions opt;
    opt.low = 0.999 / 40.0;
    opt.high = 1.001;
    opt.rtol = 1e-8;
    const auto form = quadratic_form(space, op, view(u), f, ws, opt);
    const auto two = bilinear_form(space, op, view(u), view(v), f, ws, opt);
    CHECK(form.status == Status::converged);
    CHECK(two.status == Status::converged);
    return std::vector<T>{form.value, two.value};
  });
  for (const bool exact : {false, true}) {
    for (const double power : {0.0, 1.0}) {
      CAPTURE(exact);
      CAPTURE(power);
      same<T>([&](auto& space) {
        SpectralSumWorkspace<std::remove_cvref_t<decltype(space)>> ws;
        SpectralSumOptions opt;
        opt.power = power;
        opt.exact = exact;
        const auto out = spectral_sum(space, op, f, ws, opt);
        CHECK(out.status == Status::converged);
        return std::vector<double>{out.value, out.stderr_};
      });
    }
  }
  for (const bool keep : {false, true}) {
    same<T>([&](auto& space) {
      using S = std::remove_cvref_t<decltype(space)>;
      DensityOptions opt;
      opt.probes = 4;
      opt.steps = 10;
      opt.keep_basis = keep;
      MeasuresWorkspace<S> measures_ws;
      std::vector<Jacobi> measures;
      CHECK(spectral_measures(space, op, measures, measures_ws, opt).status == Status::converged);
      MomentsWorkspace<S> moments_ws;
      std::vector<double> moments;
      CHECK(chebyshev_moments(space, op, 0.0, 1.1, moments, moments_ws, opt).status ==
            Status::converged);
      for (const Jacobi& J : measures) {
        moments.insert(moments.end(), J.diagonal.begin(), J.diagonal.end());
      }
      return moments;
    });
  }
}

// ---- low rank ----

TEST_CASE_TEMPLATE("seam: low rank", T, double, C16) {
  const Index m = 50, n = 40, rank = 6;
  auto values = geometric(n, 1e6);
  const auto A = with_values<T>(m, values, false, 31);
  const auto H = hermitian<T>(values, 32);
  const OperatorRef<T> op(A), hermitian_op(H);
  for (const Index power : {0, 1}) {
    same<T>([&](auto& space) {
      RangefinderOptions opt;
      opt.columns = rank;
      opt.power = power;
      std::vector<T> Q;
      CHECK(rangefinder(space, op, opt, [&](Index columns) {
              Q.resize(at(m * columns));
              return block(Q, m);
            }).status == Status::converged);
      return Q;
    });
  }
  for (const int method : {0, 1}) {
    same<T>([&](auto& space) {
      SvdLowrankOptions opt;
      opt.k = rank;
      opt.block = 8;
      opt.n_iter = 3;
      opt.method = method;
      std::vector<double> s, residuals;
      std::vector<T> U, V;
      svd_lowrank(space, op, opt, [&](Index columns) {
        s.resize(at(columns));
        residuals.resize(at(columns));
        U.resize(at(m * columns));
        V.resize(at(n * columns));
        return TripletsView<T>{s, residuals, block(U, m), block(V, n)};
      });
      CHECK(s.size() == at(rank));
      return s;
    });
  }
  same<T>([&](auto& space) {
    NystromSketchWorkspace<std::remove_cvref_t<decltype(space)>> ws;
    NystromOptions opt;
    opt.rank = rank;
    const auto out = nystrom(space, hermitian_op, ws, opt);
    CHECK(out.status == Status::converged);
    return out.lambda;
  });
  same<T>([&](auto& space) {
    GeneralizedNystromWorkspace<std::remove_cvref_t<decltype(space)>> ws;
    GeneralizedNystromOptions opt;
    opt.rank = rank;
    const auto out = nystrom_generalized(space, op, ws, opt);
    CHECK(out.status == Status::converged);
    return out.s;
  });
  same<T>(
      [&](auto& space) {
        BlockOrthogonalizer<std::remove_cvref_t<decltype(space)>> orthogonalize(space);
        auto V = gaussian<T>(m * 5, 33), X = gaussian<T>(m * 4, 34);
        for (Index i = 0; i < m; ++i) X[at(i + m)] = X[at(i)] + T(1e-6) * X[at(i + m)];
        CHECK(orthogonalize({}, block(V, m)).rank == 5);
        const auto factors = orthogonalize(block(std::as_const(V), m), block(X, m));
        CHECK(factors.rank == 4);
        append(V, block(X, m));
        return V;
      },
      1e-8);
}

// ---- least squares of models, and operators ----

namespace {

/// z_i = x_0 exp(−x_1 i/4) − y_i, i = 0 … 7, with y of x = (2, 1).
struct Decay {
  std::vector<double> at_point = std::vector<double>(2);

  static double time(Index i) { return static_cast<double>(i) / 4.0; }
  Index parameters() const { return 2; }
  Index outputs() const { return 8; }
  bool evaluate(VectorView<const double> x, VectorView<double> z) {
    for (Index i = 0; i < 8; ++i) {
      z[i] = x[0] * std::exp(-x[1] * time(i)) - 2.0 * std::exp(-time(i));
    }
    return true;
  }
  void linearize(VectorView<const double> x) { at_point = {x[0], x[1]}; }
  double slope(Index i, Index j) const {
    const double e = std::exp(-at_point[1] * time(i));
    return j == 0 ? e : -at_point[0] * time(i) * e;
  }
  void jvp(VectorView<const double> v, VectorView<double> out) {
    for (Index i = 0; i < 8; ++i) out[i] = slope(i, 0) * v[0] + slope(i, 1) * v[1];
  }
  void vjp(VectorView<const double> u, VectorView<double> out) {
    out[0] = out[1] = 0.0;
    for (Index i = 0; i < 8; ++i) {
      for (Index j = 0; j < 2; ++j) out[j] += slope(i, j) * u[i];
    }
  }
};

}  // namespace

TEST_CASE("seam: levenberg_marquardt") {
  using S = SlotSpace<double>;
  S space;
  LevenbergMarquardtWorkspace<S> ws;
  Decay model;
  std::vector<double> x{1.0, 0.3};
  LevenbergMarquardtOptions opt;
  for (const Index probes : {1, 16}) {
    opt.probes = probes;
    x = {1.0, 0.3};
    CHECK(levenberg_marquardt(space, model, view(x), ws, opt).status == Status::converged);
    CHECK(x[0] == doctest::Approx(2.0));
    CHECK(x[1] == doctest::Approx(1.0));
  }
}

TEST_CASE_TEMPLATE("seam: operators", T, double, C16) {
  const Index n = 20, k = 3;
  const auto A = random_dense<T>(n, n, 41), B = random_dense<T>(n, n, 42);
  const auto H = hermitian<T>(geometric(n, 10.0), 43);
  const auto d = gaussian<T>(n, 44);
  using Op = OperatorRef<T>;
  const Op a(A), b(B), h(H);
  const auto X = gaussian<T>(n * k, 45), grid = gaussian<T>(2 * n * k, 46);
  const auto of = [&](const auto& make) {
    same<T>([&](auto& space) {
      const auto op = make(space);
      const auto& x = op.cols() == n ? X : grid;
      std::vector<T> Y(at(op.rows() * k)), y(at(op.rows()));
      apply_columns(op, block(x, op.cols()), block(Y, op.rows()));
      op.apply(block(x, op.cols()).column(0), view(y));
      append(Y, block(y, op.rows()));
      std::vector<T> Z(at(op.cols() * k));
      apply_adjoint_columns(op, block(std::as_const(Y), op.rows()).columns(0, k),
                            block(Z, op.cols()));
      append(Y, block(Z, op.cols()));
      return Y;
    });
  };
  of([&](auto& s) { return Identity(s, n); });
  of([&](auto& s) { return Diagonal(s, view(d)); });
  of([&](auto& s) { return Scaled(s, 2.0, a); });
  of([&](auto& s) { return Sum(s, a, -3.0, b); });
  of([&](auto& s) { return Shifted(s, a, 0.5); });
  of([&](auto& s) { return Product(s, a, b); });
  of([&](auto& s) { return Conjugate(s, a); });
  of([&](auto& s) {
    using G = Block<std::remove_cvref_t<decltype(s)>, Op>;
    return G(s, {n, n}, {n, n}, {{0, 0, a}, {1, 0, b}, {1, 1, h}});
  });
  of([&](auto& s) { return Chebyshev(s, h, 5, 0.05, 1.2); });
  of([&](auto& s) { return PowerPolynomial(s, h, {1.0, -2.0, 0.5}); });
  of([&](auto& s) { return GaussNewton(s, a, HalfSquaredLoss{}, 0.1); });
  of([&](auto& s) { return GaussNewton(s, a, h, 0.1); });
  of([&](auto& s) {
    return nystrom_preconditioner(s, block(std::as_const(X), n), {3.0, 2.0, 1.0}, 0.1);
  });
}
