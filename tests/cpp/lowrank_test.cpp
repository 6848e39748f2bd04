// Blocks made orthonormal, ranges, and singular triplets from random vectors.
#include <doctest/doctest.h>

#include <tuple>
#include <vector>

#include "problems.hpp"
#include "ritz/lowrank/rangefinder.hpp"
#include "ritz/lowrank/svd_lowrank.hpp"
#include "slot_space.hpp"

namespace ritz::testing {
namespace {

/// A block of columns of its own.
template <Field T>
struct Columns {
  std::vector<T> data;
  Index rows = 0, cols = 0;

  Columns(Index m, Index n, std::vector<T> values = {})
      : data(std::move(values)), rows(m), cols(n) {
    data.resize(at(m * n));
  }
  BlockView<T> view() { return {data.data(), rows, cols, std::max<Index>(rows, 1)}; }
  T& operator()(Index i, Index j) { return data[at(i + j * rows)]; }
};

/// max |XᴴY − I·same|
template <Field T>
double product_error(BlockView<T> X, BlockView<T> Y, bool same) {
  double worst = 0.0;
  for (Index i = 0; i < X.cols; ++i) {
    for (Index j = 0; j < Y.cols; ++j) {
      Long<T> sum{};
      for (Index r = 0; r < X.rows; ++r) sum += conj_long(lengthen(X(r, i))) * lengthen(Y(r, j));
      if (same && i == j) sum -= Long<T>(1.0L);
      worst = std::max(worst, static_cast<double>(std::abs(sum)));
    }
  }
  return worst;
}

template <Field T>
struct Triplets {
  std::vector<double> s, residuals;
  Columns<T> U{0, 0}, V{0, 0};
};

template <class S, class Op>
SvdLowrankOutcome svd(S& space, const Op& A, Triplets<typename S::Value>& out,
                      const SvdLowrankOptions& opt, const Monitor& monitor = {}) {
  using T = typename S::Value;
  return svd_lowrank(
      space, A, opt,
      [&](Index rank) {
        out.s.assign(at(rank), 0.0);
        out.residuals.assign(at(rank), 0.0);
        out.U = Columns<T>(A.rows(), rank);
        out.V = Columns<T>(A.cols(), rank);
        return TripletsView<T>{out.s, out.residuals, out.U.view(), out.V.view()};
      },
      monitor);
}

TEST_CASE_TEMPLATE_DEFINE("a block becomes orthonormal and reproduces itself", S, block_qr) {
  using T = typename S::Value;
  using W = WideOf<T>;
  S space;
  BlockOrthogonalizer<S> orthogonalize(space);
  const Index n = 120, k = 9, b = 7;
  Columns<T> V(n, k, gaussian<T>(n * k, 1));
  const auto basis = orthogonalize({}, V.view());
  REQUIRE(basis.rank == k);
  CHECK(product_error(V.view(), V.view(), true) <= 20 * kEps<T>);
  const double big = sizeof(RealOf<T>) == 4 ? 1e8 : 1e25;
  for (const double scale : {1.0, big, 1.0 / big}) {
    // Columns: general; nearly in span(V); nearly the same as another; one that repeats; zero.
    for (const int kind : {0, 1, 2, 3, 4, 5}) {
      CAPTURE(scale);
      CAPTURE(kind);
      Columns<T> X(n, b, gaussian<T>(n * b, 2));
      for (Index i = 0; i < n; ++i) {
        const double small = kEps<T> * 1e3;
        if (kind == 1) X(i, 2) = static_cast<T>(small * W(X(i, 2)) + W(V(i, 3)));
        if (kind == 2) X(i, 2) = static_cast<T>(small * W(X(i, 2)) + W(X(i, 1)));
        if (kind == 3) X(i, 2) = X(i, 1);
        if (kind == 4) X(i, 2) = T{};
        if (kind == 5) {
          for (Index j = 1; j < b; ++j) X(i, j) = X(i, 0);
        }
      }
      for (T& x : X.data) x = static_cast<T>(scale * W(x));
      Columns<T> Q = X;
      auto made = orthogonalize(BlockView<const T>(V.view()), Q.view());
      const Index rank = kind < 3 ? b : kind == 5 ? 1 : b - 1;
      CHECK(made.rank == rank);
      const auto found = Q.view().columns(0, made.rank);
      CHECK(product_error(found, found, true) <= 30 * kEps<T>);
      CHECK(product_error(V.view(), found, false) <= 30 * kEps<T>);
      double worst = 0.0;
      for (Index j = 0; j < b; ++j) {
        for (Index i = 0; i < n; ++i) {
          W sum{};
          for (Index l = 0; l < k; ++l) sum += W(V(i, l)) * made.H(l, j);
          for (Index l = 0; l < made.rank; ++l) sum += W(Q(i, l)) * made.R(l, j);
          worst = std::max(worst, std::abs(sum - W(X(i, j))) / scale);
        }
      }
      CHECK(worst <= 200 * kEps<T>);
    }
  }
  Columns<T> zero(n, 3), none(n, 0);
  CHECK(orthogonalize(BlockView<const T>(V.view()), zero.view()).rank == 0);
  CHECK(orthogonalize(BlockView<const T>(V.view()), none.view()).rank == 0);
  Columns<T> bad(n, 3, gaussian<T>(n * 3, 4));
  bad(5, 1) = std::numeric_limits<RealOf<T>>::quiet_NaN();
  CHECK_FALSE(orthogonalize({}, bad.view()).finite);
}
TEST_CASE_TEMPLATE_APPLY(block_qr, AllSpaces);

TEST_CASE("a graded block keeps directions of all sizes") {
  HostSpace<double> space;
  BlockOrthogonalizer<HostSpace<double>> orthogonalize(space);
  const Index n = 200, b = 12;
  // Condition 1e11 in one product, 1e13 in another: a Gram matrix has no digit of its ends.
  for (const double ratio : {1e-1, 5e-2}) {
    const auto A = with_values<double>(n, geometric(b, std::pow(ratio, -11.0)), false, 3);
    Columns<double> Q(n, b, A.a);
    auto made = orthogonalize({}, Q.view());
    REQUIRE(made.rank == b);
    CHECK(product_error(Q.view(), Q.view(), true) <= 1e-14);
    double worst = 0.0;
    for (Index j = 0; j < b; ++j) {
      for (Index i = 0; i < n; ++i) {
        double sum = 0.0;
        for (Index l = 0; l < b; ++l) sum += Q(i, l) * made.R(l, j);
        worst = std::max(worst, std::abs(sum - A(i, j)));
      }
    }
    CHECK(worst <= 1e-14);
  }
}

TEST_CASE_TEMPLATE_DEFINE("triplets of wide and tall matrices", S, triplets) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const double big = sizeof(RealOf<T>) == 4 ? 1e8 : 1e25;
  const auto values = geometric(40, 1e4);
  Counts first;
  for (const double scale : {1.0, big, 1.0 / big}) {
    const auto A = with_values<T>(70, values, false, 5).scaled(scale);
    for (const bool wide : {false, true}) {
      struct Adjoint {
        const Dense<T>& A;
        bool on;
        Index rows() const { return on ? A.n : A.m; }
        Index cols() const { return on ? A.m : A.n; }
        void apply(VectorView<const T> x, VectorView<T> y) const {
          on ? A.apply_adjoint(x, y) : A.apply(x, y);
        }
        void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
          on ? A.apply(x, y) : A.apply_adjoint(x, y);
        }
      };
      const Adjoint op{A, wide};
      for (const int method : {0, 1}) {
        CAPTURE(scale);
        CAPTURE(wide);
        CAPTURE(method);
        S space;
        SvdLowrankOptions opt;
        opt.k = 6;
        opt.method = method;
        opt.block = method == 0 ? 5 : 16;
        opt.n_iter = 4;
        Triplets<T> out;
        const auto account = svd(space, op, out, opt);
        CHECK(account.status == Status::converged);
        CHECK(account.products.total() == opt.block * (2 * opt.n_iter + 3));
        CHECK(product_error(out.U.view(), out.U.view(), true) <= 40 * kEps<T>);
        CHECK(product_error(out.V.view(), out.V.view(), true) <= 40 * kEps<T>);
        double rest = 0.0;
        for (std::size_t i = 0; i < values.size(); ++i) {
          if (i < 6) {
            CHECK(out.s[i] == doctest::Approx(values[i] * scale).epsilon(2e-4));
          } else {
            rest += values[i] * values[i];
          }
        }
        // Samples of 5 or 16 columns.
        const double truth = std::sqrt(rest) * scale;
        CHECK(std::abs(account.error - truth) <= 5.0 * account.stderr_ + 0.01 * truth);
        // Both sides: A v = σ u to the residual told, Aᴴ u = σ v to rounding.
        for (Index i = 0; i < 6; ++i) {
          std::vector<T> x(at(op.rows())), y(at(op.cols()));
          op.apply(VectorView<const T>(out.V.view().column(i)), view(x));
          op.apply_adjoint(VectorView<const T>(out.U.view().column(i)), view(y));
          for (Index r = 0; r < op.rows(); ++r) {
            x[at(r)] = static_cast<T>(W(x[at(r)]) - out.s[at(i)] * W(out.U(r, i)));
          }
          for (Index r = 0; r < op.cols(); ++r) {
            y[at(r)] = static_cast<T>(W(y[at(r)]) - out.s[at(i)] * W(out.V(r, i)));
          }
          CHECK(std::abs(norm(x) - out.residuals[at(i)]) <= 60 * kEps<T> * scale);
          CHECK(norm(y) <= 60 * kEps<T> * scale);
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(triplets, SomeSpaces);

TEST_CASE("ranks that end early: zero, one, and multiple values") {
  using T = double;
  HostSpace<T> space;
  for (const int kind : {0, 1, 2}) {
    CAPTURE(kind);
    std::vector<double> values(30, 0.0);
    if (kind == 1) values[0] = 3.0;
    if (kind == 2) values.assign(30, 2.0);  // a block sees as many copies as it has columns
    const auto A = with_values<T>(45, values, false, 8);
    for (const double tol : {0.0, 1e-10}) {
      SvdLowrankOptions opt;
      opt.k = 12;
      opt.block = 5;
      opt.tol = tol;
      opt.n_iter = 20;
      Triplets<T> out;
      const auto account = svd(space, A, out, opt);
      CHECK(account.status == Status::converged);
      CHECK(account.rank == 12);
      for (std::size_t i = 0; i < 12; ++i) CHECK(std::abs(out.s[i] - values[i]) <= 1e-14);
      CHECK(product_error(out.U.view(), out.U.view(), true) <= 1e-14);
      CHECK(product_error(out.V.view(), out.V.view(), true) <= 1e-14);
      if (kind < 2) CHECK(account.error <= 1e-14);
    }
    SvdLowrankOptions opt;
    opt.tol = 1e-6;
    opt.block = 4;
    opt.n_iter = opt.max_rank = 30;
    Triplets<T> out;
    const auto account = svd(space, A, out, opt);
    CHECK(account.status == Status::converged);
    CHECK(account.rank == (kind == 0 ? 0 : kind == 1 ? 1 : 30));
  }
}

TEST_CASE("a tolerance is met with the fewest triplets") {
  using T = double;
  HostSpace<T> space;
  const auto values = geometric(60, 1e6);
  const auto A = with_values<T>(90, values, false, 9);
  const double norm = A.frobenius();
  for (const double tol : {1e-1, 1e-2, 1e-4}) {
    for (const bool known : {false, true}) {
      CAPTURE(tol);
      CAPTURE(known);
      SvdLowrankOptions opt;
      opt.tol = tol;
      opt.block = 6;
      opt.n_iter = opt.max_rank = 60;
      if (known) opt.norm = norm;
      Triplets<T> out;
      const auto account = svd(space, A, out, opt);
      CHECK(account.status == Status::converged);
      double rest = 0.0;
      for (std::size_t i = at(account.rank); i < values.size(); ++i) rest += values[i] * values[i];
      CHECK(std::sqrt(rest) <= tol * norm);
      CHECK(account.error <= tol * norm);
      // The optimal rank, and a few at most.
      Index best = 60;
      double sum = 0.0;
      while (best > 0 && std::sqrt(sum + std::pow(values[at(best - 1)], 2)) <= tol * norm) {
        sum += std::pow(values[at(--best)], 2);
      }
      CHECK(account.rank >= best);
      CHECK(account.rank <= best + 3);
      CHECK(account.products.total() <= 4 * account.rank + 40);
    }
  }
}

TEST_CASE("the range of a rank that is covered, on a device too") {
  using T = double;
  const auto check = [](auto space) {
    std::vector<double> values(30, 0.0);
    std::fill_n(values.begin(), 8, 1.0);
    const auto A = with_values<T>(50, values, false, 4);
    for (const Index power : {0, 2}) {
      RangefinderOptions opt;
      opt.columns = 12;
      opt.power = power;
      Columns<T> Q(0, 0);
      const auto account = rangefinder(space, A, opt, [&](Index rank) {
        Q = Columns<T>(50, rank);
        return Q.view();
      });
      CHECK(account.status == Status::converged);
      CHECK(account.rank == 8);
      CHECK(account.error == 0.0);
      CHECK(product_error(Q.view(), Q.view(), true) <= 1e-14);
      for (Index j = 0; j < 30; ++j) {
        double left = 0.0;
        for (Index i = 0; i < 50; ++i) left += A(i, j) * A(i, j);
        for (Index l = 0; l < account.rank; ++l) {
          double c = 0.0;
          for (Index i = 0; i < 50; ++i) c += Q(i, l) * A(i, j);
          left -= c * c;
        }
        CHECK(std::abs(left) <= 1e-14);
      }
    }
  };
  check(HostSpace<T>());
  check(SlotSpace<T>());
}

TEST_CASE("a NaN ends the run, an exception passes") {
  using T = double;
  HostSpace<T> space;
  const auto A = with_values<T>(40, geometric(30, 1e3), false, 4);
  SvdLowrankOptions opt;
  opt.k = 5;
  opt.block = 4;
  opt.n_iter = 3;
  for (const Index when : {1, 6, 13, 30}) {
    Triplets<T> out;
    CHECK(svd(space, faulty<T>(A, when), out, opt).status == Status::nonfinite);
    CHECK_THROWS_AS(svd(space, faulty<T>(A, 0, when), out, opt), int);
  }
}

}  // namespace
}  // namespace ritz::testing
