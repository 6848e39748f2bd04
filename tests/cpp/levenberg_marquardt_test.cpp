#include "ritz/newton/levenberg_marquardt.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

using Vec = std::vector<double>;

/// A model in double precision with its dense Jacobian (row-major), whose parameters may be scaled
/// and whose derivatives may be spoiled. It counts everything.
struct Definition {
  Index m = 0, n = 0;
  std::function<bool(const Vec& x, Vec& z)> f;
  std::function<void(const Vec& x, Vec& J)> jacobian;
};

template <class T>
struct TestModel {
  explicit TestModel(Definition d) : def(std::move(d)), scale(at(def.n), 1.0) {}

  Definition def;
  Vec scale;                                  // x = scale ∘ y for the solver's y
  double jvp_factor = 1.0, vjp_factor = 1.0;  // 1 for true derivatives
  std::function<void(Vec& J)> spoil_vjp;
  Index throw_at = 0, nan_jvp_at = 0;
  Index evaluations = 0, linearizations = 0, jvps = 0, vjps = 0;

  Index parameters() const { return def.n; }
  Index outputs() const { return def.m; }
  bool evaluate(VectorView<const T> y, VectorView<T> z) {
    if (++evaluations == throw_at) throw 42;
    Vec out(at(def.m));
    if (!def.f(unscaled(y), out)) return false;
    for (Index i = 0; i < def.m; ++i) z[i] = static_cast<T>(out[at(i)]);
    return true;
  }
  void linearize(VectorView<const T> y) {
    ++linearizations;
    J.assign(at(def.m * def.n), 0.0);
    def.jacobian(unscaled(y), J);
    for (Index i = 0; i < def.m; ++i) {
      for (Index j = 0; j < def.n; ++j) J[at(i * def.n + j)] *= scale[at(j)];
    }
    J_adjoint = J;
    if (spoil_vjp) spoil_vjp(J_adjoint);
  }
  void jvp(VectorView<const T> v, VectorView<T> out) {
    ++jvps;
    for (Index i = 0; i < def.m; ++i) {
      double sum = 0.0;
      for (Index j = 0; j < def.n; ++j) sum += J[at(i * def.n + j)] * static_cast<double>(v[j]);
      out[i] = static_cast<T>(jvp_factor * sum);
    }
    if (jvps == nan_jvp_at) out[0] = std::numeric_limits<T>::quiet_NaN();
  }
  void vjp(VectorView<const T> u, VectorView<T> out) {
    ++vjps;
    for (Index j = 0; j < def.n; ++j) {
      double sum = 0.0;
      for (Index i = 0; i < def.m; ++i) {
        sum += J_adjoint[at(i * def.n + j)] * static_cast<double>(u[i]);
      }
      out[j] = static_cast<T>(vjp_factor * sum);
    }
  }

  Vec unscaled(VectorView<const T> y) const {
    Vec x(at(def.n));
    for (Index j = 0; j < def.n; ++j) x[at(j)] = static_cast<double>(y[j]) * scale[at(j)];
    return x;
  }

 private:
  Vec J, J_adjoint;
};

template <class S>
struct Solved {
  std::vector<typename S::Value> x;
  LevenbergMarquardtOutcome out;
};

template <class S, class F, class L = HalfSquaredLoss>
Solved<S> solve(F& model, const Vec& start, const LevenbergMarquardtOptions& opt = {},
                const Monitor& monitor = {}, L loss = {}) {
  S space;
  LevenbergMarquardtWorkspace<S> ws;
  Solved<S> result;
  for (const double x : start) result.x.push_back(static_cast<typename S::Value>(x));
  result.out = levenberg_marquardt(space, model, view(result.x), ws, opt, monitor, loss);
  return result;
}

Definition rosenbrock() {
  return {2, 2,
          [](const Vec& x, Vec& z) {
            z = {10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]};
            return true;
          },
          [](const Vec& x, Vec& J) { J = {-20.0 * x[0], 10.0, -1.0, 0.0}; }};
}

/// NIST StRD, Misra1a: y = b1 (1 − exp(−b2 x)).
Definition misra1a() {
  static const Vec xs{77.6,  114.9, 141.1, 190.8, 239.9, 289.0, 332.8,
                      378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0};
  static const Vec ys{10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02,
                      44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78};
  return {14, 2,
          [](const Vec& b, Vec& z) {
            for (std::size_t i = 0; i < 14; ++i)
              z[i] = b[0] * (1 - std::exp(-b[1] * xs[i])) - ys[i];
            return true;
          },
          [](const Vec& b, Vec& J) {
            for (std::size_t i = 0; i < 14; ++i) {
              const double e = std::exp(-b[1] * xs[i]);
              J[2 * i] = 1 - e;
              J[2 * i + 1] = b[0] * xs[i] * e;
            }
          }};
}

/// Moré, Garbow, Hillstrom 8: Bard.
Definition bard() {
  static const Vec y{0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39,
                     0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39};
  return {15, 3,
          [](const Vec& x, Vec& z) {
            for (std::size_t i = 0; i < 15; ++i) {
              const double u = static_cast<double>(i + 1), v = 16.0 - u, w = std::min(u, v);
              z[i] = y[i] - (x[0] + u / (v * x[1] + w * x[2]));
            }
            return true;
          },
          [](const Vec& x, Vec& J) {
            for (std::size_t i = 0; i < 15; ++i) {
              const double u = static_cast<double>(i + 1), v = 16.0 - u, w = std::min(u, v);
              const double below = v * x[1] + w * x[2];
              J[3 * i] = -1.0;
              J[3 * i + 1] = u * v / (below * below);
              J[3 * i + 2] = u * w / (below * below);
            }
          }};
}

/// Moré, Garbow, Hillstrom 15: Kowalik and Osborne.
Definition kowalik_osborne() {
  static const Vec y{0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627,
                     0.0456, 0.0342, 0.0323, 0.0235, 0.0246};
  static const Vec u{4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625};
  return {11, 4,
          [](const Vec& x, Vec& z) {
            for (std::size_t i = 0; i < 11; ++i) {
              z[i] = y[i] - x[0] * (u[i] * u[i] + u[i] * x[1]) / (u[i] * u[i] + u[i] * x[2] + x[3]);
            }
            return true;
          },
          [](const Vec& x, Vec& J) {
            for (std::size_t i = 0; i < 11; ++i) {
              const double above = u[i] * u[i] + u[i] * x[1];
              const double below = u[i] * u[i] + u[i] * x[2] + x[3];
              J[4 * i] = -above / below;
              J[4 * i + 1] = -x[0] * u[i] / below;
              J[4 * i + 2] = x[0] * above * u[i] / (below * below);
              J[4 * i + 3] = x[0] * above / (below * below);
            }
          }};
}

/// Moré, Garbow, Hillstrom 16: Brown and Dennis; a large residual at the solution.
Definition brown_dennis() {
  return {20, 4,
          [](const Vec& x, Vec& z) {
            for (std::size_t i = 0; i < 20; ++i) {
              const double t = static_cast<double>(i + 1) / 5.0;
              const double a = x[0] + t * x[1] - std::exp(t);
              const double b = x[2] + x[3] * std::sin(t) - std::cos(t);
              z[i] = a * a + b * b;
            }
            return true;
          },
          [](const Vec& x, Vec& J) {
            for (std::size_t i = 0; i < 20; ++i) {
              const double t = static_cast<double>(i + 1) / 5.0;
              const double a = x[0] + t * x[1] - std::exp(t);
              const double b = x[2] + x[3] * std::sin(t) - std::cos(t);
              J[4 * i] = 2.0 * a;
              J[4 * i + 1] = 2.0 * a * t;
              J[4 * i + 2] = 2.0 * b;
              J[4 * i + 3] = 2.0 * b * std::sin(t);
            }
          }};
}

/// Moré, Garbow, Hillstrom 13: Powell's singular function; J loses rank at the solution 0.
Definition powell_singular() {
  const double a = std::sqrt(5.0), b = std::sqrt(10.0);
  return {4, 4,
          [=](const Vec& x, Vec& z) {
            z = {x[0] + 10.0 * x[1], a * (x[2] - x[3]), (x[1] - 2.0 * x[2]) * (x[1] - 2.0 * x[2]),
                 b * (x[0] - x[3]) * (x[0] - x[3])};
            return true;
          },
          [=](const Vec& x, Vec& J) {
            const double c = 2.0 * (x[1] - 2.0 * x[2]), d = 2.0 * b * (x[0] - x[3]);
            J = {1, 10, 0, 0, 0, 0, a, -a, 0, c, -2.0 * c, 0, d, 0, 0, -d};
          }};
}

/// z = A x − b
Definition linear(const Dense<double>& A, const Vec& b) {
  return {A.m, A.n,
          [=](const Vec& x, Vec& z) {
            A.apply(view(x), view(z));
            for (std::size_t i = 0; i < z.size(); ++i) z[i] -= b[i];
            return true;
          },
          [=](const Vec&, Vec& J) {
            for (Index i = 0; i < A.m; ++i) {
              for (Index j = 0; j < A.n; ++j) J[at(i * A.n + j)] = A(i, j);
            }
          }};
}

/// log(x / target), defined for positive x only: a Gauss-Newton step from far right leaves the
/// domain. `signal` chooses how the model says so.
enum class Signal { returns_false, nan, infinity };
Definition logarithm(Signal signal, double target = 2.0) {
  return {1, 1,
          [=](const Vec& x, Vec& z) {
            z[0] = std::log(x[0] / target);
            if (x[0] > 0.0) return true;
            if (signal == Signal::nan) z[0] = std::nan("");
            if (signal == Signal::infinity) z[0] = INFINITY;
            return signal != Signal::returns_false;
          },
          [](const Vec& x, Vec& J) { J = {1.0 / x[0]}; }};
}

/// ‖Jᵀf‖ in the metric of the gradient test, over ‖f‖: what `converged` by gradient promises.
double cosine(const Definition& def, const Vec& x) {
  Vec z(at(def.m)), J(at(def.m * def.n));
  def.f(x, z);
  def.jacobian(x, J);
  double sum = 0.0;
  for (Index j = 0; j < def.n; ++j) {
    double g = 0.0, column = 0.0;
    for (Index i = 0; i < def.m; ++i) {
      g += J[at(i * def.n + j)] * z[at(i)];
      column += J[at(i * def.n + j)] * J[at(i * def.n + j)];
    }
    if (column > 0.0) sum += g * g / column;
  }
  return std::sqrt(sum) / std::max(norm(z), 1e-300);
}

template <class T>
void check_counters(const TestModel<T>& model, const LevenbergMarquardtOutcome& out) {
  CHECK(out.products.apply == model.jvps);
  CHECK(out.products.adjoint == model.vjps);
  CHECK(out.evaluations == model.evaluations);
  CHECK(out.linearizations == model.linearizations);
  CHECK(out.linearizations == out.accepted + 1);
}

Vec widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }
Vec widened(const Vec& x) { return x; }

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("levenberg_marquardt: classical problems to their known minima", S,
                          lm_classics) {
  using T = typename S::Value;
  constexpr bool kDouble = kEps<T> < 1e-10;
  struct Case {
    const char* name;
    Definition def;
    Vec start;
    double cost;  // half the sum of squares
    Vec solution;
    double digits;
  };
  const Case cases[] = {
      {"rosenbrock", rosenbrock(), {-1.2, 1.0}, 0.0, {1.0, 1.0}, 1e-6},
      {"misra1a, far",
       misra1a(),
       {500.0, 1e-4},
       1.2455138894e-1 / 2,
       {2.3894212918e2, 5.5015643181e-4},
       1e-6},
      {"misra1a, near",
       misra1a(),
       {250.0, 5e-4},
       1.2455138894e-1 / 2,
       {2.3894212918e2, 5.5015643181e-4},
       1e-6},
      {"bard", bard(), {1.0, 1.0, 1.0}, 8.21487e-3 / 2, {0.0824106, 1.13304, 2.34370}, 1e-4},
      {"kowalik and osborne",
       kowalik_osborne(),
       {0.25, 0.39, 0.415, 0.39},
       3.07505e-4 / 2,
       {0.192807, 0.191282, 0.123056, 0.136062},
       1e-3},
      {"powell singular", powell_singular(), {3.0, -1.0, 0.0, 1.0}, 0.0, {0, 0, 0, 0}, 3e-3},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    TestModel<T> model(c.def);
    LevenbergMarquardtOptions opt;
    if (!kDouble) opt.ftol = opt.xtol = opt.gtol = 1e-5;
    opt.max_iterations = 300;
    const auto [x, out] = solve<S>(model, c.start, opt);
    CAPTURE(std::string(name(out.status)));
    CAPTURE(out.iterations);
    CHECK(out.status == Status::converged);
    CHECK(out.reason != Reason::none);
    CHECK(out.verified);
    CHECK(out.iterations <= 200);
    check_counters(model, out);
    CHECK(out.cost == doctest::Approx(c.cost).epsilon(kDouble ? 1e-5 : 1e-3).scale(1e-6));
    const Vec found = widened(x);
    const double scale = std::max(norm(c.solution), 1e-1);
    if (kDouble) {
      for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(std::abs(found[i] - c.solution[i]) <=
              c.digits * std::max(std::abs(c.solution[i]), scale * 1e-3));
      }
      if (out.reason == Reason::gradient) CHECK(cosine(c.def, found) <= 2e-8);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lm_classics, RealSpaces);

TEST_CASE_TEMPLATE_DEFINE("levenberg_marquardt: linear problems, with and without l2", S,
                          lm_linear) {
  for (const Index n : {Index{6}, Index{40}}) {  // columns measured exactly; by probes
    const auto A = with_values<double>(60, geometric(n, 20.0), false, 3);
    const auto b = gaussian<double>(60, 4);
    for (const double l2 : {0.0, 0.3}) {
      CAPTURE(n);
      CAPTURE(l2);
      TestModel<double> model(linear(A, b));
      LevenbergMarquardtOptions opt;
      opt.l2 = l2;
      opt.gtol = 1e-10;
      opt.ftol = 1e-15;
      const auto [x, out] = solve<S>(model, Vec(at(n), 0.5), opt);
      CHECK(out.status == Status::converged);
      CHECK(out.accepted <= 12);
      check_counters(model, out);
      const auto exact = least_squares_solution(A, b, std::sqrt(l2));
      CHECK(distance(x, exact) <= 1e-6 * norm(exact));
      const double r = residual_norm(A, x, b), size = norm(x);
      CHECK(out.cost == doctest::Approx((r * r + l2 * size * size) / 2.0).epsilon(1e-12));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(lm_linear, DoubleSpaces);

TEST_CASE("levenberg_marquardt: a trial point outside the domain counts as infinite cost") {
  using S = HostSpace<double>;
  for (const Signal signal : {Signal::returns_false, Signal::nan, Signal::infinity}) {
    TestModel<double> model(logarithm(signal));
    Index rejected = 0;
    const auto observer = [&](const Iteration& now) {
      if (!now.accepted) {
        ++rejected;
        CHECK(now.change == -INFINITY);
      }
      return false;
    };
    Monitor monitor;
    monitor.observer = observer;
    const auto [x, out] = solve<S>(model, {60.0}, {}, monitor);
    CHECK(out.status == Status::converged);
    CHECK(x[0] == doctest::Approx(2.0).epsilon(1e-6));
    CHECK(rejected >= 1);
    CHECK(out.evaluations == out.iterations + 1);

    TestModel<double> again(logarithm(signal));
    const auto [y, failed] = solve<S>(again, {-1.0});
    CHECK(failed.status == Status::evaluation_failed);
    CHECK(failed.iterations == 0);
    CHECK(y[0] == -1.0);
  }
}

TEST_CASE("levenberg_marquardt: wrong derivatives never end in convergence") {
  using S = HostSpace<double>;
  struct Spoiled {
    const char* name;
    std::function<void(TestModel<double>&)> apply;
  };
  const Spoiled ways[] = {
      {"both of the wrong sign", [](auto& m) { m.jvp_factor = m.vjp_factor = -1.0; }},
      {"jvp of the wrong sign", [](auto& m) { m.jvp_factor = -1.0; }},
      {"vjp of the wrong sign", [](auto& m) { m.vjp_factor = -1.0; }},
      {"jvp zero", [](auto& m) { m.jvp_factor = 0.0; }},
      {"vjp of the first parameter of the wrong sign",
       [](auto& m) {
         m.spoil_vjp = [n = m.def.n](Vec& J) {
           for (std::size_t i = 0; i < J.size(); i += at(n)) J[i] = -J[i];
         };
       }},
      {"vjp with the last two parameters exchanged",
       [](auto& m) {
         m.spoil_vjp = [n = m.def.n](Vec& J) {
           for (std::size_t i = 0; i < J.size(); i += at(n)) {
             std::swap(J[i + at(n) - 1], J[i + at(n) - 2]);
           }
         };
       }},
  };
  struct Problem {
    Definition def;
    Vec start;
  };
  const Problem problems[] = {{rosenbrock(), {-1.2, 1.0}},
                              {misra1a(), {250.0, 5e-4}},
                              {bard(), {1.0, 1.0, 1.0}},
                              {brown_dennis(), {25.0, 5.0, -5.0, -1.0}}};
  for (const Problem& problem : problems) {
    for (const Spoiled& way : ways) {
      for (const double tol : {1e-8, 1e-4}) {
        CAPTURE(std::string(way.name));
        CAPTURE(problem.start[0]);
        CAPTURE(tol);
        TestModel<double> model(problem.def);
        way.apply(model);
        LevenbergMarquardtOptions opt;
        opt.ftol = opt.xtol = opt.gtol = tol;
        const auto [x, out] = solve<S>(model, problem.start, opt);
        CAPTURE(std::string(name(out.status)));
        CAPTURE(static_cast<int>(out.reason));
        CAPTURE(out.iterations);
        CHECK(all_finite(x));
        if (out.status == Status::converged)
          CHECK(cosine(problem.def, x) <= 100.0 * std::sqrt(tol));
      }
    }
  }
}

TEST_CASE("levenberg_marquardt: problems whose residual vanishes") {
  using S = HostSpace<double>;
  SUBCASE("at the start") {
    TestModel<double> model(rosenbrock());
    const auto [x, out] = solve<S>(model, {1.0, 1.0});
    CHECK(out.status == Status::converged);
    CHECK(out.iterations == 0);
    CHECK(out.cost == 0.0);
    CHECK(x == Vec{1.0, 1.0});
  }
  SUBCASE("linear and consistent, from many starts") {
    const auto A = with_values<double>(20, geometric(8, 100.0), false, 1);
    const auto solution = gaussian<double>(8, 2);
    Vec b(20);
    A.apply(view(solution), view(b));
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      TestModel<double> model(linear(A, b));
      const auto [x, out] = solve<S>(model, gaussian<double>(8, seed + 10));
      CAPTURE(std::string(name(out.status)));
      CHECK(out.status == Status::converged);
      CHECK(distance(x, solution) <= 1e-6 * norm(solution));
    }
  }
  SUBCASE("with tolerances of zero the run ends, in no false claim and no exception") {
    LevenbergMarquardtOptions opt;
    opt.ftol = opt.xtol = opt.gtol = 0.0;
    opt.max_iterations = 2000;
    for (const auto& [def, start] : {std::pair{rosenbrock(), Vec{-1.2, 1.0}},
                                     {powell_singular(), Vec{3.0, -1.0, 0.0, 1.0}},
                                     {misra1a(), Vec{250.0, 5e-4}}}) {
      TestModel<double> model(def);
      const auto [x, out] = solve<S>(model, start, opt);
      CAPTURE(std::string(name(out.status)));
      if (out.status == Status::converged) CHECK(out.residual == 0.0);
      CHECK(all_finite(x));
    }
  }
}

TEST_CASE("levenberg_marquardt: the scale of a parameter does not matter") {
  using S = HostSpace<double>;
  for (const auto& [def, start] : {std::pair{rosenbrock(), Vec{-1.2, 1.0}},
                                   {misra1a(), Vec{500.0, 1e-4}},
                                   {bard(), Vec{1.0, 1.0, 1.0}},
                                   {brown_dennis(), Vec{25.0, 5.0, -5.0, -1.0}}}) {
    TestModel<double> plain(def);
    const auto expected = solve<S>(plain, start);
    for (const double factor : {1e6, 1e-6}) {
      for (std::size_t j = 0; j < start.size(); ++j) {
        TestModel<double> model(def);
        model.scale[j] = factor;
        Vec scaled = start;
        scaled[j] /= factor;
        const auto [x, out] = solve<S>(model, scaled);
        CAPTURE(j);
        CHECK(out.status == expected.out.status);
        CHECK(std::abs(out.iterations - expected.out.iterations) <= 1);
        CHECK(out.cost == doctest::Approx(expected.out.cost).epsilon(1e-6).scale(1e-10));
      }
    }
    // Units of the output: the cost by 1e±20.
    for (const double factor : {1e10, 1e-10}) {
      Definition scaled = def;
      scaled.f = [&, factor, f = def.f](const Vec& x, Vec& z) {
        const bool good = f(x, z);
        for (double& v : z) v *= factor;
        return good;
      };
      scaled.jacobian = [&, factor, jac = def.jacobian](const Vec& x, Vec& J) {
        jac(x, J);
        for (double& v : J) v *= factor;
      };
      TestModel<double> model(scaled);
      const auto [x, out] = solve<S>(model, start);
      CHECK(out.status == expected.out.status);
      CHECK(std::abs(out.iterations - expected.out.iterations) <= 1);
    }
  }
}

namespace {

/// Softmax cross-entropy of `classes` scores a sample, averaged.
struct SoftmaxLoss {
  Index classes = 0;
  const std::vector<Index>* labels = nullptr;

  double value(VectorView<const double> z) const {
    double sum = 0.0;
    for_each(
        [&](Index first, const Vec& p, Index label) {
          (void)first;
          sum -= std::log(p[at(label)]);
        },
        z);
    return sum / static_cast<double>(labels->size());
  }
  void gradient(VectorView<const double> z, VectorView<double> out) const {
    for_each(
        [&](Index first, const Vec& p, Index label) {
          for (Index c = 0; c < classes; ++c) {
            out[first + c] =
                (p[at(c)] - (c == label ? 1.0 : 0.0)) / static_cast<double>(labels->size());
          }
        },
        z);
  }
  void hessian_product(VectorView<const double> z, VectorView<const double> u,
                       VectorView<double> out) const {
    for_each(
        [&](Index first, const Vec& p, Index) {
          double mean = 0.0;
          for (Index c = 0; c < classes; ++c) mean += p[at(c)] * u[first + c];
          for (Index c = 0; c < classes; ++c) {
            out[first + c] = p[at(c)] * (u[first + c] - mean) / static_cast<double>(labels->size());
          }
        },
        z);
  }

 private:
  template <class F>
  void for_each(F f, VectorView<const double> z) const {
    Vec p(at(classes));
    for (std::size_t s = 0; s < labels->size(); ++s) {
      const Index first = static_cast<Index>(s) * classes;
      double top = z[first], sum = 0.0;
      for (Index c = 0; c < classes; ++c) top = std::max(top, z[first + c]);
      for (Index c = 0; c < classes; ++c) sum += p[at(c)] = std::exp(z[first + c] - top);
      for (double& v : p) v /= sum;
      f(first, p, (*labels)[s]);
    }
  }
};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("levenberg_marquardt: a loss that is no sum of squares", S, lm_loss) {
  // Multinomial logistic regression: convex, so a vanishing gradient is the minimum.
  const Index samples = 120, features = 5, classes = 4;
  const auto X = gaussian<double>(samples * features, 1);
  const auto noise = gaussian<double>(samples * classes, 2);
  const auto truth = gaussian<double>(features * classes, 3);
  std::vector<Index> labels(at(samples));
  Dense<double> A(samples * classes, features * classes);
  for (Index s = 0; s < samples; ++s) {
    double best = -INFINITY;
    for (Index c = 0; c < classes; ++c) {
      double score = noise[at(s * classes + c)];
      for (Index f = 0; f < features; ++f) {
        A(s * classes + c, f * classes + c) = X[at(s * features + f)];
        score += X[at(s * features + f)] * truth[at(f * classes + c)];
      }
      if (score > best) {
        best = score;
        labels[at(s)] = c;
      }
    }
  }
  const SoftmaxLoss loss{classes, &labels};
  TestModel<double> model(linear(A, Vec(at(A.m))));
  LevenbergMarquardtOptions opt;
  opt.l2 = 1e-3;
  opt.ftol = 0.0;
  opt.xtol = 0.0;
  opt.gtol = 1e-8;
  const auto [x, out] = solve<S>(model, Vec(at(A.n)), opt, {}, loss);
  CHECK(out.status == Status::converged);
  CHECK(out.reason == Reason::gradient);
  CHECK(out.iterations <= 40);
  check_counters(model, out);

  Vec z(at(A.m)), u(at(A.m)), g(at(A.n)), start(at(A.n));
  A.apply(view(x), view(z));
  loss.gradient(view(std::as_const(z)), view(u));
  A.apply_adjoint(view(std::as_const(u)), view(g));
  for (std::size_t i = 0; i < g.size(); ++i) g[i] += opt.l2 * x[i];
  CHECK(norm(g) == doctest::Approx(out.gradient_norm).epsilon(1e-6));
  const Vec zero(at(A.m));
  loss.gradient(view(zero), view(u));
  A.apply_adjoint(view(std::as_const(u)), view(start));
  CHECK(norm(g) <= 1e-6 * norm(start));
  CHECK(out.cost ==
        doctest::Approx(loss.value(view(std::as_const(z))) + opt.l2 / 2.0 * norm(x) * norm(x)));
  CHECK(out.cost < std::log(4.0));
}
TEST_CASE_TEMPLATE_APPLY(lm_loss, DoubleSpaces);

TEST_CASE("levenberg_marquardt: what an observer sees is true") {
  using S = HostSpace<double>;
  TestModel<double> model(rosenbrock());
  double last = INFINITY, reported = 0.0;
  Index calls = 0, inner = 0;
  const auto observer = [&](const Iteration& now) {
    ++calls;
    CHECK(now.iteration == calls);
    CHECK(now.products.apply == model.jvps);
    CHECK(now.products.adjoint == model.vjps);
    inner += now.inner_iterations;
    if (now.accepted) {
      CHECK(now.objective < last);
      CHECK(now.change > 0.0);
      if (std::isfinite(last)) CHECK(last - now.objective == doctest::Approx(now.change));
    } else {
      CHECK(now.objective <= last);
    }
    last = now.objective;
    Vec z(2);
    const double* x = static_cast<const double*>(now.x);
    rosenbrock().f({x[0], x[1]}, z);
    CHECK(now.objective == doctest::Approx(norm(z) * norm(z) / 2.0));
    CHECK(now.size == 2);
    CHECK(now.seconds() >= reported);
    reported = now.seconds();
    return false;
  };
  Monitor monitor;
  monitor.observer = observer;
  const auto [x, out] = solve<S>(model, {-1.2, 1.0}, {}, monitor);
  CHECK(out.iterations == calls);
  CHECK(out.inner_iterations == inner);
  CHECK(out.cost == last);
}

TEST_CASE_TEMPLATE_DEFINE("levenberg_marquardt: endings leave the workspace usable", S, lm_reuse) {
  using T = typename S::Value;
  S space;
  LevenbergMarquardtWorkspace<S> ws;
  const auto run = [&](TestModel<T>& model, std::vector<T>& x, const Monitor& monitor = {},
                       const LevenbergMarquardtOptions& opt = {}) {
    return levenberg_marquardt(space, model, view(x), ws, opt, monitor);
  };
  const std::vector<T> start{static_cast<T>(1), static_cast<T>(1), static_cast<T>(1)};
  auto x = start;
  for (const Index k : {1, 2, 4}) {
    TestModel<T> model(bard());
    model.throw_at = k;
    x = start;
    CHECK_THROWS_AS(run(model, x), int);
    CHECK(all_finite(x));
  }
  {
    TestModel<T> model(bard());
    const auto observer = [](const Iteration&) -> bool { throw std::domain_error("observer"); };
    Monitor monitor;
    monitor.observer = observer;
    CHECK_THROWS_WITH_AS(run(model, x, monitor), "observer", std::domain_error);
  }
  for (Index k = 1; k <= 12; ++k) {
    TestModel<T> model(bard());
    model.nan_jvp_at = k;
    x = start;
    const auto out = run(model, x);
    CHECK(out.status == Status::nonfinite);
    CHECK(all_finite(x));
  }
  {
    TestModel<T> model(bard());
    const auto observer = [](const Iteration& now) { return now.iteration == 2; };
    Monitor monitor;
    monitor.observer = observer;
    x = start;
    const auto out = run(model, x, monitor);
    CHECK(out.status == Status::stopped);
    CHECK(out.iterations == 2);
    LevenbergMarquardtOptions two;
    two.max_iterations = 2;
    TestModel<T> fresh(bard());
    const auto limited = solve<S>(fresh, {1.0, 1.0, 1.0}, two);
    CHECK(limited.out.status == Status::max_iterations);
    CHECK(limited.x == x);
    CHECK(limited.out.cost == out.cost);
  }
  TestModel<T> model(bard()), fresh(bard());
  x = start;
  const auto out = run(model, x);
  const auto expected = solve<S>(fresh, {1.0, 1.0, 1.0});
  CHECK(x == expected.x);
  CHECK(out.iterations == expected.out.iterations);
}
TEST_CASE_TEMPLATE_APPLY(lm_reuse, RealSpaces);

TEST_CASE("levenberg_marquardt: limits of time and products hold inside a step too") {
  using S = HostSpace<double>;
  const auto A = with_values<double>(400, geometric(300, 1e6), false, 3);
  const auto b = gaussian<double>(400, 4);
  LevenbergMarquardtOptions opt;
  opt.forcing = 0.0;  // the inner iteration does not stop by itself
  opt.gtol = opt.ftol = opt.xtol = 0.0;
  TestModel<double> model(linear(A, b));
  Monitor monitor;
  monitor.max_products = 60;
  const auto limited = solve<S>(model, Vec(300), opt, monitor);
  CHECK(limited.out.status == Status::max_products);
  CHECK(limited.out.products.total() <= 60 + 6);
  CHECK(limited.out.products.total() == model.jvps + model.vjps);
}

TEST_CASE("levenberg_marquardt: a second run in a workspace allocates nothing") {
  using S = HostSpace<double>;
  const Index n = 200;
  const auto d = geometric(n, 10.0);
  auto model = make_model<double>(
      n, n,
      [&](VectorView<const double> x, VectorView<double> z) {
        for (Index i = 0; i < n; ++i) z[i] = std::exp(d[at(i)] * x[i]) - 2.0;
        return true;
      },
      [&](VectorView<const double> x, VectorView<const double> v, VectorView<double> out) {
        for (Index i = 0; i < n; ++i) out[i] = d[at(i)] * std::exp(d[at(i)] * x[i]) * v[i];
      },
      [&](VectorView<const double> x, VectorView<const double> u, VectorView<double> out) {
        for (Index i = 0; i < n; ++i) out[i] = d[at(i)] * std::exp(d[at(i)] * x[i]) * u[i];
      });
  S space;
  LevenbergMarquardtWorkspace<S> ws;
  Vec x(at(n));
  const auto first = levenberg_marquardt(space, model, view(x), ws);
  CHECK(first.status == Status::converged);
  for (Index i = 0; i < n; ++i) {
    CHECK(x[at(i)] == doctest::Approx(std::log(2.0) / d[at(i)]).epsilon(1e-5));
  }
  Vec y(at(n));
  CHECK(allocations_in([&] { levenberg_marquardt(space, model, view(y), ws); }) == 0);
  CHECK(x == y);
}

TEST_CASE("levenberg_marquardt: the smallest problems, and misuse") {
  using S = ReferenceSpace<double>;
  SUBCASE("no parameters, no outputs") {
    TestModel<double> none({3, 0,
                            [](const Vec&, Vec& z) {
                              z = {1, 2, 3};
                              return true;
                            },
                            [](const Vec&, Vec&) {}});
    auto out = solve<S>(none, {}).out;
    CHECK(out.status == Status::converged);
    CHECK(out.cost == 7.0);
    TestModel<double> empty({0, 2, [](const Vec&, Vec&) { return true; }, [](const Vec&, Vec&) {}});
    out = solve<S>(empty, {1.0, 2.0}).out;
    CHECK(out.status == Status::converged);
    CHECK(out.cost == 0.0);
  }
  SUBCASE("a parameter that nothing depends on stays where it is") {
    const Definition def{2, 3,
                         [](const Vec& x, Vec& z) {
                           z = {x[0] - 3.0, 10.0 * (x[2] + 1.0)};
                           return true;
                         },
                         [](const Vec&, Vec& J) { J = {1, 0, 0, 0, 0, 10}; }};
    TestModel<double> model(def);
    const auto [x, out] = solve<S>(model, {0.0, 7.0, 0.0});
    CHECK(out.status == Status::converged);
    CHECK(x[0] == doctest::Approx(3.0));
    CHECK(x[1] == 7.0);
    CHECK(x[2] == doctest::Approx(-1.0));
  }
  SUBCASE("tolerances and sizes") {
    LevenbergMarquardtOptions opt;
    TestModel<double> model(rosenbrock());
    CHECK_THROWS_AS(solve<S>(model, {1.0}), InvalidArgument);
    for (double LevenbergMarquardtOptions::* tol :
         {&LevenbergMarquardtOptions::ftol, &LevenbergMarquardtOptions::xtol,
          &LevenbergMarquardtOptions::gtol, &LevenbergMarquardtOptions::l2}) {
      for (const double bad : {-1.0, std::nan("")}) {
        LevenbergMarquardtOptions spoiled;
        spoiled.*tol = bad;
        CHECK_THROWS_AS(solve<S>(model, {1.0, 2.0}, spoiled), InvalidArgument);
      }
    }
  }
}
