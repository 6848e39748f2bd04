#include <doctest/doctest.h>

#include <thread>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/op/algebra.hpp"
#include "ritz/op/any_operator.hpp"
#include "ritz/op/gauss_newton.hpp"
#include "ritz/op/jacobian.hpp"
#include "ritz/op/operator_ref.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

/// The operator's elements, one product with a unit vector a column.
template <class T, class A>
Dense<T> to_dense(const A& op) {
  Dense<T> D(op.rows(), op.cols());
  std::vector<T> e(at(op.cols()));
  for (Index j = 0; j < op.cols(); ++j) {
    e[at(j)] = T{1};
    op.apply(view(std::as_const(e)), VectorView<T>(D.a.data() + j * D.m, D.m));
    e[at(j)] = T{};
  }
  return D;
}

template <class T>
double difference(const Dense<T>& A, const Dense<T>& B) {
  REQUIRE(A.m == B.m);
  REQUIRE(A.n == B.n);
  return distance(A.a, B.a) / std::max(1.0, norm(A.a));
}

template <class T>
T conj(T x) {
  if constexpr (ComplexField<T>) {
    return std::conj(x);
  } else {
    return x;
  }
}

/// The elements of op against `expected(i, j)`, the adjoint identity (u, A v) = (Aᴴ u, v) on random
/// vectors, and block products against single ones, with leading dimensions of their own.
template <class T, class A, class F>
void check_operator(const A& op, Index rows, Index cols, F expected) {
  REQUIRE(op.rows() == rows);
  REQUIRE(op.cols() == cols);
  Dense<T> truth(rows, cols);
  for (Index j = 0; j < cols; ++j) {
    for (Index i = 0; i < rows; ++i) truth(i, j) = static_cast<T>(expected(i, j));
  }
  const double tolerance = 20.0 * kEps<T>;
  CHECK(difference(to_dense<T>(op), truth) <= tolerance);

  const auto v = gaussian<T>(cols, 71);
  const auto u = gaussian<T>(rows, 72);
  // Outputs start as NaN: a product must overwrite, never read.
  const T nan = static_cast<T>(std::numeric_limits<RealOf<T>>::quiet_NaN());
  std::vector<T> Av(at(rows), nan), Au(at(cols), nan);
  op.apply(view(v), view(Av));
  op.apply_adjoint(view(u), view(Au));
  Long<T> left{}, right{};
  for (Index i = 0; i < rows; ++i) left += conj_long(lengthen(u[at(i)])) * lengthen(Av[at(i)]);
  for (Index j = 0; j < cols; ++j) right += conj_long(lengthen(Au[at(j)])) * lengthen(v[at(j)]);
  CHECK(static_cast<double>(std::abs(left - right)) <=
        tolerance * (norm(u) * norm(Av) + norm(v) * norm(Au)));

  const Index columns = 3, ldx = std::max(rows, cols) + 2, ldy = std::max(rows, cols) + 5;
  const auto storage = gaussian<T>(ldx * columns, 73);
  std::vector<T> out(at(ldy * columns), nan), single(at(std::max(rows, cols)));
  for (const bool adjoint : {false, true}) {
    const Index in_rows = adjoint ? rows : cols, out_rows = adjoint ? cols : rows;
    const BlockView<const T> X{storage.data(), in_rows, columns, ldx};
    const BlockView<T> Y{out.data(), out_rows, columns, ldy};
    const VectorView<T> y{single.data(), out_rows};
    if (adjoint) {
      apply_adjoint_columns(op, X, Y);
    } else {
      apply_columns(op, X, Y);
    }
    double worst = 0.0, size = 1e-300;
    for (Index j = 0; j < columns; ++j) {
      if (adjoint) {
        op.apply_adjoint(X.column(j), y);
      } else {
        op.apply(X.column(j), y);
      }
      for (Index i = 0; i < out_rows; ++i) {
        worst = std::max(worst, static_cast<double>(std::abs(Y(i, j) - y[i])));
        size = std::max(size, static_cast<double>(std::abs(y[i])));
      }
    }
    CHECK(worst <= tolerance * size);
  }
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("operators: every node of the algebra", S, op_algebra) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const S space;
  const auto A = random_dense<T>(7, 5, 1), B = random_dense<T>(7, 5, 2);
  const auto C = random_dense<T>(5, 6, 3), Q = random_dense<T>(5, 5, 4);
  W c = 0.75;
  if constexpr (ComplexField<T>) c = {0.75, -1.25};
  const auto w = [](T x) { return static_cast<W>(x); };

  SUBCASE("identity") {
    check_operator<T>(Identity(space, 6), 6, 6,
                      [](Index i, Index j) { return i == j ? W{1.0} : W{}; });
  }
  SUBCASE("diagonal, which copies what it is given") {
    auto d = gaussian<T>(6, 5);
    const auto kept = d;
    const Diagonal D(space, view(std::as_const(d)));
    std::fill(d.begin(), d.end(), T{});
    check_operator<T>(D, 6, 6, [&](Index i, Index j) { return i == j ? w(kept[at(i)]) : W{}; });
  }
  SUBCASE("scaled") {
    check_operator<T>(Scaled(space, c, A), 7, 5, [&](Index i, Index j) { return c * w(A(i, j)); });
  }
  SUBCASE("sum and difference") {
    check_operator<T>(Sum(space, A, c, B), 7, 5,
                      [&](Index i, Index j) { return w(A(i, j)) + c * w(B(i, j)); });
    check_operator<T>(Sum(space, A, W{-1.0}, B), 7, 5,
                      [&](Index i, Index j) { return w(A(i, j)) - w(B(i, j)); });
  }
  SUBCASE("shifted") {
    check_operator<T>(Shifted(space, Q, c), 5, 5,
                      [&](Index i, Index j) { return w(Q(i, j)) + (i == j ? c : W{}); });
  }
  SUBCASE("product, adjoint, conjugate") {
    const auto product = [&](Index i, Index j) {
      W sum{};
      for (Index k = 0; k < 5; ++k) sum += w(A(i, k)) * w(C(k, j));
      return sum;
    };
    check_operator<T>(Product(space, A, C), 7, 6, product);
    check_operator<T>(Adjoint<T, Dense<T>>(A), 5, 7,
                      [&](Index i, Index j) { return w(conj(A(j, i))); });
    check_operator<T>(Conjugate(space, A), 7, 5,
                      [&](Index i, Index j) { return w(conj(A(i, j))); });
    // (A C)ᴴ = Cᴴ Aᴴ, (Aᴴ)ᴴ = A, Aᵀ = conj(Aᴴ)
    const Adjoint<T, Product<S, Dense<T>, Dense<T>>> reversed(Product(space, A, C));
    check_operator<T>(reversed, 6, 7, [&](Index i, Index j) { return conjugate(product(j, i)); });
    const Adjoint<T, Dense<T>> once(A);
    check_operator<T>(Adjoint<T, Adjoint<T, Dense<T>>>(once), 7, 5,
                      [&](Index i, Index j) { return w(A(i, j)); });
    check_operator<T>(Conjugate(space, once), 5, 7, [&](Index i, Index j) { return w(A(j, i)); });
  }
  SUBCASE("blocks, with holes") {
    const AnyOperator<T> a(A), cc(C), q(Q);
    using Blocks = Block<S, AnyOperator<T>>;
    // [A 0 ; 0 C ; Q 0] of heights 7, 5, 5 and widths 5, 6
    const Blocks blocks(space, {7, 5, 5}, {5, 6}, {{0, 0, a}, {1, 1, cc}, {2, 0, q}});
    check_operator<T>(blocks, 17, 11, [&](Index i, Index j) -> W {
      if (i < 7) return j < 5 ? w(A(i, j)) : W{};
      if (i < 12) return j < 5 ? W{} : w(C(i - 7, j - 5));
      return j < 5 ? w(Q(i - 12, j)) : W{};
    });
    const Blocks empty(space, {2, 3}, {4}, {});
    check_operator<T>(empty, 5, 4, [](Index, Index) { return W{}; });
    // Two entries in one place add up.
    const Blocks twice(space, {5}, {5}, {{0, 0, q}, {0, 0, q}});
    check_operator<T>(twice, 5, 5, [&](Index i, Index j) { return 2.0 * w(Q(i, j)); });
  }
  SUBCASE("composed at run time, several floors deep") {
    const AnyOperator<T> a(A), b(B), cc(C);
    const AnyOperator<T> sum(Sum(space, a, c, b));
    const AnyOperator<T> product(Product(space, sum, cc));
    const AnyOperator<T> adjoint{Adjoint<T, AnyOperator<T>>(product)};
    const AnyOperator<T> gram(Product(space, adjoint, product));
    const AnyOperator<T> shifted(Shifted(space, gram, W{2.0}));
    Dense<T> P(7, 6);
    for (Index i = 0; i < 7; ++i) {
      for (Index j = 0; j < 6; ++j) {
        W total{};
        for (Index k = 0; k < 5; ++k) total += (w(A(i, k)) + c * w(B(i, k))) * w(C(k, j));
        P(i, j) = static_cast<T>(total);
      }
    }
    const auto loose = [&](Index i, Index j) {
      W total = i == j ? 2.0 : 0.0;
      for (Index k = 0; k < 7; ++k) total += conjugate(w(P(k, i))) * w(P(k, j));
      return total;
    };
    check_operator<T>(shifted, 6, 6, loose);
    CHECK(product.counts().apply > 0);
    CHECK(a.counts().total() == b.counts().total());
  }
}
TEST_CASE_TEMPLATE_APPLY(op_algebra, AllSpaces);

TEST_CASE_TEMPLATE_DEFINE("operators: Jacobians and Gauss-Newton", S, op_gauss_newton) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const S space;
  const auto J = random_dense<T>(8, 5, 1);
  const auto H = hermitian<T>(geometric(8, 10.0), 2);
  const auto jacobian = make_jacobian<T>(
      8, 5, [&](VectorView<const T> v, VectorView<T> out) { J.apply(v, out); },
      [&](VectorView<const T> u, VectorView<T> out) { J.apply_adjoint(u, out); });
  const auto w = [](T x) { return static_cast<W>(x); };
  check_operator<T>(jacobian, 8, 5, [&](Index i, Index j) { return w(J(i, j)); });
  for (const double damping : {0.0, 0.5}) {
    check_operator<T>(GaussNewton(space, jacobian, HalfSquaredLoss{}, damping), 5, 5,
                      [&](Index i, Index j) {
                        W sum = i == j ? damping : 0.0;
                        for (Index k = 0; k < 8; ++k) sum += conjugate(w(J(k, i))) * w(J(k, j));
                        return sum;
                      });
    check_operator<T>(GaussNewton(space, jacobian, H, damping), 5, 5, [&](Index i, Index j) {
      W sum = i == j ? damping : 0.0;
      for (Index k = 0; k < 8; ++k) {
        for (Index l = 0; l < 8; ++l) sum += conjugate(w(J(k, i))) * w(H(k, l)) * w(J(l, j));
      }
      return sum;
    });
  }
  // One JVP and one VJP a product.
  const AnyOperator<T> counted(jacobian);
  const GaussNewton G(space, counted);
  std::vector<T> x(5, T{1}), y(5);
  G.apply(view(std::as_const(x)), view(y));
  CHECK(counted.counts().apply == 1);
  CHECK(counted.counts().adjoint == 1);
}
TEST_CASE_TEMPLATE_APPLY(op_gauss_newton, SomeSpaces);

TEST_CASE("operators: AnyOperator counts what is asked of it") {
  using T = double;
  const auto A = random_dense<T>(4, 3, 1);
  const AnyOperator<T> any(A);
  const AnyOperator<T> copy = any;
  std::vector<T> x(12, 1.0), y(12);
  const BlockView<const T> U{x.data(), 4, 3, 4};
  any.apply({x.data(), 3}, {y.data(), 4});
  copy.apply({x.data(), 3}, {y.data(), 4});
  any.apply_adjoint({x.data(), 4}, {y.data(), 3});
  any.apply_block({x.data(), 3, 2, 3}, {y.data(), 4, 2, 4});
  copy.apply_adjoint_block(U, {y.data(), 3, 3, 3});
  any.apply_block({x.data(), 3, 1, 3}, {y.data(), 4, 1, 4});  // one column is a plain product
  for (const auto& counts : {any.counts(), copy.counts()}) {
    CHECK(counts.apply == 3);
    CHECK(counts.adjoint == 1);
    CHECK(counts.columns == 5);
    CHECK(counts.total() == 9);
  }
}

TEST_CASE("operators: without an adjoint") {
  using T = double;
  using S = HostSpace<T>;
  const S space;
  const auto A = random_dense<T>(4, 4, 1);
  const auto forward =
      make_operator<T>(4, 4, [&](VectorView<const T> x, VectorView<T> y) { A.apply(x, y); });
  std::vector<T> x(4, 1.0), y(4), expected(4);
  A.apply(view(std::as_const(x)), view(expected));
  CHECK_FALSE(has_adjoint(forward));
  CHECK(has_adjoint(A));
  const AnyOperator<T> any(forward);
  CHECK_FALSE(any.has_adjoint());
  CHECK_THROWS_WITH_AS(any.apply_adjoint({x.data(), 4}, {y.data(), 4}),
                       "the operator has no adjoint product: supply rmatvec (the VJP)",
                       InvalidArgument);
  CHECK(any.counts().total() == 0);
  CHECK_THROWS_AS((Adjoint<T, AnyOperator<T>>(any)), InvalidArgument);
  CHECK_THROWS_AS((GaussNewton<S, AnyOperator<T>>(space, any)), InvalidArgument);
  // Every node made of it, erased or not, can still be applied, and says what it lacks.
  const AnyOperator<T> nodes[] = {
      AnyOperator<T>(Scaled(space, 2.0, forward)),
      AnyOperator<T>(Sum(space, forward, 1.0, A)),
      AnyOperator<T>(Sum(space, A, 1.0, any)),
      AnyOperator<T>(Shifted(space, forward, 1.0)),
      AnyOperator<T>(Product(space, forward, A)),
      AnyOperator<T>(Product(space, A, any)),
      AnyOperator<T>(Conjugate(space, forward)),
      AnyOperator<T>(Block<S, AnyOperator<T>>(space, {4}, {4}, {{0, 0, any}})),
  };
  for (const auto& node : nodes) {
    CHECK_FALSE(node.has_adjoint());
    node.apply({x.data(), 4}, {y.data(), 4});
    CHECK(std::isfinite(y[0]));
    CHECK_THROWS_AS(node.apply_adjoint({x.data(), 4}, {y.data(), 4}), InvalidArgument);
  }
  const OperatorRef<T> ref(any);
  CHECK_FALSE(ref.has_adjoint());
  ref.apply({x.data(), 4}, {y.data(), 4});
  CHECK(y == expected);
}

TEST_CASE("operators: shapes that do not fit are refused with both of them named") {
  using T = double;
  using S = ReferenceSpace<T>;
  using Any = AnyOperator<T>;
  const S space;
  const Any a(random_dense<T>(4, 3, 1)), b(random_dense<T>(3, 4, 2)), q(random_dense<T>(3, 3, 3));
  CHECK_THROWS_AS((Sum<S, Any, Any>(space, a, 1.0, b)), InvalidArgument);
  CHECK_THROWS_AS((Product<S, Any, Any>(space, a, a)), InvalidArgument);
  CHECK_THROWS_AS((Shifted<S, Any>(space, a, 1.0)), InvalidArgument);
  using Blocks = Block<S, Any>;
  CHECK_THROWS_AS(Blocks(space, {4}, {4}, {{0, 0, a}}), InvalidArgument);
  CHECK_THROWS_AS(Blocks(space, {3, 3}, {3}, {{2, 0, q}}), InvalidArgument);
  CHECK_THROWS_AS(Blocks(space, {3, 3}, {3}, {{0, 1, q}}), InvalidArgument);
  CHECK_THROWS_AS(Blocks(space, {3, 3}, {3}, {{-1, 0, q}}), InvalidArgument);
  CHECK_THROWS_AS(Blocks(space, {-3, 6}, {3}, {{1, 0, q}}), InvalidArgument);
}

TEST_CASE("operators: one composed operator in several threads at once") {
  using T = double;
  using S = HostSpace<T>;
  const S space;
  const AnyOperator<T> a(random_dense<T>(40, 30, 1)), b(random_dense<T>(30, 50, 2));
  const AnyOperator<T> product(Product(space, a, b));
  const auto expected = to_dense<T>(product);
  std::vector<int> wrong(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < 20; ++round) wrong[t] += to_dense<T>(product).a != expected.a;
      });
    }
  }
  CHECK(wrong == std::vector<int>(4));
  CHECK(product.counts().apply == 50 * 81);
}

TEST_CASE(
    "operators: an exception leaves a composed operator usable; repeated products allocate "
    "nothing") {
  using T = double;
  using S = HostSpace<T>;
  const S space;
  const auto A = random_dense<T>(20, 10, 1);
  const auto throwing = faulty<T>(A, 0, 2);
  const AnyOperator<T> op(Product(space, Adjoint<T, Dense<T>>(A), throwing));
  std::vector<T> x(10, 1.0), y(10), first(10);
  op.apply({x.data(), 10}, {first.data(), 10});
  CHECK_THROWS_AS(op.apply({x.data(), 10}, {y.data(), 10}), int);
  op.apply({x.data(), 10}, {y.data(), 10});
  CHECK(y == first);
  const AnyOperator<T> sum(Sum(space, op, 2.0, Identity(space, 10)));
  const AnyOperator<T> damped(
      Block<S, AnyOperator<T>>(space, {10, 10}, {10}, {{0, 0, sum}, {1, 0, op}}));
  std::vector<T> tall(20);
  damped.apply({x.data(), 10}, {tall.data(), 20});
  CHECK(allocations_in([&] { damped.apply({x.data(), 10}, {tall.data(), 20}); }) == 0);
}
