#include <doctest/doctest.h>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/any_operator.hpp"
#include "ritz/op/block_diagonal.hpp"
#include "ritz/op/chebyshev.hpp"
#include "slot_space.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

/// T_k(x) for any real x.
long double chebyshev_value(Index k, long double x) {
  long double before = 1.0L, now = x;
  if (k == 0) return before;
  for (Index i = 1; i < k; ++i) before = std::exchange(now, 2.0L * x * now - before);
  return now;
}

/// (1 − T_{d+1}((θ − λ)/δ) / T_{d+1}(θ/δ)) / λ
double chebyshev_inverse(Index degree, double low, double high, double lambda) {
  const long double theta = (static_cast<long double>(low) + high) / 2;
  const long double delta = (static_cast<long double>(high) - low) / 2;
  const long double ratio = chebyshev_value(degree + 1, (theta - lambda) / delta) /
                            chebyshev_value(degree + 1, theta / delta);
  return static_cast<double>((1.0L - ratio) / lambda);
}

template <class T>
T nan() {
  return static_cast<T>(std::numeric_limits<RealOf<T>>::quiet_NaN());
}

/// Random blocks of the given sizes, one after the other.
template <class T>
std::vector<T> random_blocks(const std::vector<Index>& sizes) {
  Index count = 0;
  for (const Index k : sizes) count += k * k;
  return gaussian<T>(count, 7);
}

/// The same as one dense matrix.
template <class T>
Dense<T> assembled(const std::vector<Index>& sizes, const std::vector<T>& elements) {
  Index n = 0;
  for (const Index k : sizes) n += k;
  Dense<T> A(n, n);
  Index row = 0, element = 0;
  for (const Index k : sizes) {
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) A(row + i, row + j) = elements[at(element++)];
    }
    row += k;
  }
  return A;
}

}  // namespace

TEST_CASE_TEMPLATE("block diagonal: products against the assembled matrix", T, float, double,
                   std::complex<float>, std::complex<double>) {
  const std::vector<Index> sizes{3, 1, 0, 17, 2, 8, 5, 12};
  const auto elements = random_blocks<T>(sizes);
  const BlockDiagonal<T> B(sizes, elements.data());
  const Dense<T> A = assembled(sizes, elements);
  const Index n = A.n, columns = 3, ldx = n + 2, ldy = n + 5;
  REQUIRE(B.rows() == n);
  REQUIRE(B.count() == static_cast<Index>(elements.size()));
  const auto storage = gaussian<T>(ldx * columns, 8);
  const BlockView<const T> X{storage.data(), n, columns, ldx};
  for (const bool adjoint : {false, true}) {
    std::vector<T> out(at(ldy * columns), nan<T>()), single(at(n), nan<T>()), truth(at(n));
    const BlockView<T> Y{out.data(), n, columns, ldy};
    adjoint ? B.apply_adjoint_block(X, Y) : B.apply_block(X, Y);
    for (Index j = 0; j < columns; ++j) {
      adjoint ? A.apply_adjoint(X.column(j), view(truth)) : A.apply(X.column(j), view(truth));
      adjoint ? B.apply_adjoint(X.column(j), view(single)) : B.apply(X.column(j), view(single));
      const std::vector<T> of_block(Y.column(j).begin(), Y.column(j).end());
      CHECK(distance(single, truth) <= 4.0 * kEps<T> * norm(truth));
      CHECK(distance(of_block, single) == 0.0);
    }
  }
  CHECK_THROWS_WITH_AS(BlockDiagonal<T>({2, -1}, elements.data()),
                       "sizes holds -1 at 1; sizes are at least 0", InvalidArgument);
}

TEST_CASE("block diagonal: the same bits for any number of threads, and no allocation") {
  std::vector<Index> sizes;  // enough work for many parts, of sizes that cut unevenly
  for (Index b = 0; b < 4000; ++b) sizes.push_back(1 + b * b % 11);
  const auto elements = random_blocks<double>(sizes);
  const BlockDiagonal<double> B(sizes, elements.data());
  const auto x = gaussian<double>(B.rows(), 9);
  std::vector<double> one(x.size()), many(x.size(), nan<double>());
  const Index before = threads::num_threads();
  threads::set_num_threads(1);
  B.apply(view(x), view(one));
  threads::set_num_threads(4);
  B.apply(view(x), view(many));
  CHECK(allocations_in([&] { B.apply(view(x), view(many)); }) == 0);
  threads::set_num_threads(before);
  CHECK(distance(one, many) == 0.0);
  // The last block is there: against its own product.
  const Index k = sizes.back(), row = B.rows() - k;
  for (Index i = 0; i < k; ++i) {
    double sum = 0.0;
    for (Index j = 0; j < k; ++j)
      sum += elements[at(B.count() - k * k + i + j * k)] * x[at(row + j)];
    CHECK(many[at(row + i)] == doctest::Approx(sum));
  }
}

TEST_CASE_TEMPLATE("chebyshev: the polynomial of the closed form, positive where it is said to be",
                   S, ReferenceSpace<double>, HostSpace<float>, HostSpace<std::complex<double>>,
                   SlotSpace<double>) {
  using T = typename S::Value;
  const double low = 0.1, high = 3.0;
  for (const Index degree : {0, 1, 2, 7, 8}) {
    // From far below the interval to beyond it: for an odd degree to its zero, a + b.
    std::vector<double> lambda = geometric(60, 1e4);
    const double top = degree % 2 == 0 ? 3.0 * high : 0.999 * (low + high);
    for (double& value : lambda) value *= top;
    const auto A = diagonal_matrix<T>(lambda);
    const Chebyshev p(S{}, A, degree, low, high);
    const auto x = gaussian<T>(A.rows(), 3);
    std::vector<T> y(x.size(), nan<T>());
    p.apply(view(x), view(y));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = chebyshev_inverse(degree, low, high, lambda[i]);
      CHECK(expected > 0.0);
      // A rounding is passed on as U_d is: (d + 1)² at the ends of the interval, summed over the
      // steps, and beyond b times the growth of T_{d+1}.
      const double growth = std::abs(static_cast<double>(
          chebyshev_value(degree + 1, (1.55L - std::max(lambda[i], high)) / 1.45L)));
      const double roundings = 4.0 * static_cast<double>((degree + 1) * (degree + 1));
      CHECK(std::abs(y[i] / x[i] - static_cast<T>(static_cast<RealOf<T>>(expected))) <=
            roundings * kEps<T> * growth * std::max(expected, 1.0 / high));
    }
  }
}

TEST_CASE("chebyshev: blocks, counts and memory") {
  const HostSpace<double> space;
  const Laplacian<double> L{9, 7};
  const AnyOperator<double> A(L);
  const Chebyshev p(space, A, 5, 0.3, 8.0);
  const Index n = L.rows();
  const auto x = gaussian<double>(3 * n, 4);
  std::vector<double> block(x.size(), nan<double>()), single(at(n));
  p.apply_block({x.data(), n, 3, n}, {block.data(), n, 3, n});
  CHECK(A.counts().columns == 15);
  CHECK(A.counts().apply == 0);
  for (Index j = 0; j < 3; ++j) {
    p.apply_adjoint(VectorView<const double>(x.data() + j * n, n), view(single));
    const std::vector<double> of_block(block.begin() + j * n, block.begin() + (j + 1) * n);
    CHECK(distance(of_block, single) == 0.0);
  }
  CHECK(A.counts().apply == 15);
  const VectorView<const double> first(x.data(), n);
  CHECK(allocations_in([&] { p.apply(first, view(single)); }) == 0);
  CHECK_THROWS_AS(Chebyshev(space, A, 5, 0.0, 1.0), InvalidArgument);
  CHECK_THROWS_AS(Chebyshev(space, A, 5, 2.0, 2.0), InvalidArgument);
  CHECK_THROWS_AS(Chebyshev(space, A, -1, 1.0, 2.0), InvalidArgument);
  CHECK_THROWS_AS(Chebyshev(space, random_dense<double>(3, 2, 1), 5, 1.0, 2.0), InvalidArgument);
}
