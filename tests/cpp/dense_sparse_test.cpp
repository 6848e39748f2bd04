// Dense and compressed sparse matrices against sums in long double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "allocation_counter.hpp"
#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/any_operator.hpp"
#include "ritz/op/dense.hpp"
#include "ritz/op/sparse.hpp"

namespace ritz::testing {
namespace {

using Fields = std::tuple<float, double, std::complex<float>, std::complex<double>>;

struct Threads {
  explicit Threads(Index count) : before(threads::num_threads()) {
    threads::set_num_threads(count);
  }
  ~Threads() { threads::set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  Index before;
};

/// The four products of `A` with `columns` vectors, each output followed by a guard column that
/// must stay as it was.
template <Field T>
struct Products {
  template <class A>
  Products(const A& a, Index columns) {
    const std::vector<T> x = gaussian<T>((a.cols() + 1) * (columns + 1), 31);
    const std::vector<T> u = gaussian<T>((a.rows() + 1) * (columns + 1), 32);
    const T guard = static_cast<T>(RealOf<T>{123});
    for (auto* v : {&direct, &direct_block}) v->assign(at((a.rows() + 1) * (columns + 1)), guard);
    for (auto* v : {&adjoint, &adjoint_block}) v->assign(at((a.cols() + 1) * (columns + 1)), guard);
    const BlockView<const T> X{x.data(), a.cols(), columns, a.cols() + 1};
    const BlockView<const T> U{u.data(), a.rows(), columns, a.rows() + 1};
    const auto rows_of = [&](std::vector<T>& v) {
      return BlockView<T>{v.data(), a.rows(), columns, a.rows() + 1};
    };
    const auto cols_of = [&](std::vector<T>& v) {
      return BlockView<T>{v.data(), a.cols(), columns, a.cols() + 1};
    };
    for (Index j = 0; j < columns; ++j) {
      a.apply(X.column(j), rows_of(direct).column(j));
      a.apply_adjoint(U.column(j), cols_of(adjoint).column(j));
    }
    if constexpr (BlockOperator<A, T>) {
      a.apply_block(X, rows_of(direct_block));
      a.apply_adjoint_block(U, cols_of(adjoint_block));
    }
  }

  std::vector<T> direct, adjoint, direct_block, adjoint_block;
};

template <Field T>
void compare(const Products<T>& came, const Products<T>& expected, double scale) {
  // Single-precision sums along the other direction are added up in the vectors' own precision.
  const double tolerance = 8 * kEps<T> * scale;
  CHECK(distance(came.direct, expected.direct) <= tolerance);
  CHECK(distance(came.adjoint, expected.adjoint) <= tolerance);
  CHECK(distance(came.direct_block, expected.direct) <= tolerance);
  CHECK(distance(came.adjoint_block, expected.adjoint) <= tolerance);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}
template <Field T>
bool same_bits(const Products<T>& a, const Products<T>& b) {
  return same_bits(a.direct, b.direct) && same_bits(a.adjoint, b.adjoint) &&
         same_bits(a.direct_block, b.direct_block) && same_bits(a.adjoint_block, b.adjoint_block);
}

/// The same elements by columns or by rows, with `gap` unused elements between them.
template <Field T>
std::vector<T> laid_out(const Dense<T>& A, bool row_major, Index gap) {
  const Index ld = (row_major ? A.n : A.m) + gap;
  std::vector<T> data(at(std::max<Index>(ld * (row_major ? A.m : A.n), 1)),
                      static_cast<T>(std::numeric_limits<double>::quiet_NaN()));
  for (Index i = 0; i < A.m; ++i) {
    for (Index j = 0; j < A.n; ++j) data[at(row_major ? i * ld + j : i + j * ld)] = A(i, j);
  }
  return data;
}

TEST_CASE_TEMPLATE_DEFINE("dense products", T, dense_products) {
  static_assert(AdjointOperator<DenseMatrix<T>, T> && AdjointBlockOperator<DenseMatrix<T>, T>);
  for (const auto& [m, n] : {std::pair<Index, Index>{1, 1},
                             {7, 3},
                             {3, 7},
                             {20, 20},
                             {65, 130},
                             {300, 41},
                             {5, 1200},
                             {9000, 5},
                             {140, 600},
                             {0, 3},
                             {3, 0}}) {
    const Dense<T> A = random_dense<T>(m, n, 33);
    for (const Index columns : {1, 3, 11, 45}) {
      const Products<T> expected(A, columns);
      const double scale = std::sqrt(static_cast<double>(columns)) * (A.frobenius() + 1) *
                           std::sqrt(1.0 + static_cast<double>(m + n) / 64);
      for (const bool row_major : {false, true}) {
        for (const Index gap : {0, 3}) {
          const std::vector<T> data = laid_out(A, row_major, gap);
          for (const Isa isa : kernels::supported_isas()) {
            CAPTURE(m);
            CAPTURE(n);
            CAPTURE(columns);
            CAPTURE(row_major);
            const DenseMatrix<T> a(data.data(), m, n, (row_major ? n : m) + gap, row_major, isa);
            CHECK(a.rows() == m);
            CHECK(a.cols() == n);
            compare(Products<T>(a, columns), expected, scale);
          }
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(dense_products, Fields);

TEST_CASE_TEMPLATE_DEFINE("dense products have the same bits for any number of threads", T,
                          dense_threads) {
  for (const auto& [m, n] : {std::pair<Index, Index>{400, 300}, {20000, 6}, {6, 20000}}) {
    const std::vector<T> data = gaussian<T>(m * n, 34);
    for (const bool row_major : {false, true}) {
      const DenseMatrix<T> a(data.data(), m, n, row_major ? n : m, row_major);
      const auto run = [&](Index count) {
        const Threads several(count);
        return Products<T>(a, 9);
      };
      const Products<T> expected = run(1);
      CHECK(same_bits(run(2), expected));
      CHECK(same_bits(run(7), expected));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(dense_threads, Fields);

TEST_CASE("dense misuse is refused") {
  const double a[6] = {};
  CHECK_THROWS_WITH_AS(DenseMatrix<double>(a, 3, 2, 2, false),
                       "ld is 2; pass at least the length of a column, 3", InvalidArgument);
  CHECK_THROWS_WITH_AS(DenseMatrix<double>(a, 2, 3, 2, true),
                       "ld is 2; pass at least the length of a row, 3", InvalidArgument);
  CHECK_THROWS_AS(DenseMatrix<double>(a, -1, 2, 2, false), InvalidArgument);
}

/// About `fill` entries a row, in no order, some places twice, some rows empty; one row full.
template <Field T, class I>
struct Sparse {
  Sparse(Index rows, Index cols, Index fill, std::uint64_t seed) : A(rows, cols) {
    std::mt19937_64 bits(seed);
    indptr.push_back(0);
    for (Index i = 0; i < rows && cols > 0; ++i) {
      const Index count =
          i == rows / 2 ? cols : static_cast<Index>(bits() % static_cast<std::uint64_t>(2 * fill));
      for (Index k = 0; k < count; ++k) {
        indices.push_back(static_cast<I>(
            i == rows / 2 ? k : static_cast<Index>(bits() % static_cast<std::uint64_t>(cols))));
      }
      indptr.push_back(static_cast<I>(indices.size()));
    }
    indptr.resize(at(rows + 1), indptr.back());
    values = gaussian<T>(static_cast<Index>(indices.size()), seed + 1);
    for (Index i = 0; i < rows; ++i) {
      for (I k = indptr[at(i)]; k < indptr[at(i + 1)]; ++k) {
        A(i, static_cast<Index>(indices[at(k)])) += values[at(k)];
      }
    }
  }
  CsrMatrix<T, I> csr() const { return {A.m, A.n, indptr.data(), indices.data(), values.data()}; }
  /// The transpose, which has the same arrays by columns.
  CscMatrix<T, I> csc_of_transpose() const {
    return {A.n, A.m, indptr.data(), indices.data(), values.data()};
  }

  Dense<T> A;
  std::vector<I> indptr, indices;
  std::vector<T> values;
};

template <Field T>
Dense<T> transposed(const Dense<T>& A) {
  Dense<T> B(A.n, A.m);
  for (Index i = 0; i < A.m; ++i) {
    for (Index j = 0; j < A.n; ++j) B(j, i) = A(i, j);
  }
  return B;
}

template <Field T, class I>
void check_sparse() {
  using Csr = CsrMatrix<T, I>;
  static_assert(AdjointOperator<Csr, T> && BlockOperator<Csr, T>);
  static_assert(AdjointBlockOperator<CscMatrix<T, I>, T>);
  for (const auto& [m, n] :
       {std::pair<Index, Index>{1, 1}, {40, 30}, {30, 40}, {500, 17}, {17, 500}, {0, 4}, {4, 0}}) {
    const Sparse<T, I> sparse(m, n, 6, 35);
    for (const Index columns : {1, 2, 3, 8, 15}) {
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(columns);
      const double scale = std::sqrt(static_cast<double>(columns)) * (sparse.A.frobenius() + 1);
      compare(Products<T>(sparse.csr(), columns), Products<T>(sparse.A, columns), scale);
      compare(Products<T>(sparse.csc_of_transpose(), columns),
              Products<T>(transposed(sparse.A), columns), scale);
    }
  }
}
TEST_CASE_TEMPLATE_DEFINE("sparse products", T, sparse_products) {
  check_sparse<T, std::int32_t>();
  check_sparse<T, std::int64_t>();
}
TEST_CASE_TEMPLATE_APPLY(sparse_products, Fields);

TEST_CASE_TEMPLATE_DEFINE("sparse products have the same bits for any number of threads", T,
                          sparse_threads) {
  const Sparse<T, std::int32_t> sparse(3000, 800, 40, 36);
  const auto run = [&](Index count) {
    const Threads several(count);
    return Products<T>(sparse.csr(), 9);
  };
  const Products<T> expected = run(1);
  CHECK(same_bits(run(2), expected));
  CHECK(same_bits(run(7), expected));
}
TEST_CASE_TEMPLATE_APPLY(sparse_threads, Fields);

TEST_CASE("products do not allocate, but for the first with the transpose") {
  const Threads two(2);
  const Sparse<double, std::int32_t> sparse(3000, 800, 40, 37);
  const CsrMatrix<double> a = sparse.csr();
  const std::vector<double> data = gaussian<double>(400 * 300, 38);
  const DenseMatrix<double> d(data.data(), 400, 300, 400, false);
  std::vector<double> x(3000), y(3000);
  const auto all = [&](const auto& op) {
    op.apply({x.data(), op.cols()}, {y.data(), op.rows()});
    op.apply_adjoint({x.data(), op.rows()}, {y.data(), op.cols()});
  };
  CHECK(allocations_in([&] { all(a); }) > 0);
  CHECK(allocations_in([&] { all(a); }) == 0);
  const CsrMatrix<double> copy = a;
  CHECK(allocations_in([&] { all(copy); }) == 0);  // copies share the transpose
  CHECK(allocations_in([&] { all(d); }) == 0);
}

TEST_CASE("the transpose is made once by concurrent callers") {
  const Sparse<double, std::int32_t> sparse(300, 200, 6, 39);
  const CsrMatrix<double> a = sparse.csr();
  const std::vector<double> u = gaussian<double>(300, 40);
  std::vector<std::vector<double>> results(4, std::vector<double>(200));
  std::vector<std::thread> callers;
  for (std::vector<double>& result : results) {
    callers.emplace_back([&a, &u, &result] { a.apply_adjoint(view(u), view(result)); });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::vector<double>& result : results) CHECK(result == results[0]);
}

TEST_CASE("sparse misuse is refused") {
  const double v[2] = {1, 2};
  const auto make = [&](std::vector<std::int32_t> indptr, std::vector<std::int32_t> indices) {
    CsrMatrix<double>(2, 3, indptr.data(), indices.data(), v);
  };
  CHECK_NOTHROW(make({0, 1, 2}, {0, 2}));
  CHECK_THROWS_WITH_AS(make({0, 1, 2}, {0, 3}), "indices holds 3 at 1; the matrix has 3 columns",
                       InvalidArgument);
  CHECK_THROWS_AS(make({0, 1, 2}, {-1, 2}), InvalidArgument);
  CHECK_THROWS_AS(make({0, 2, 1}, {0, 2}), InvalidArgument);
  CHECK_THROWS_AS(make({1, 1, 2}, {0, 2}), InvalidArgument);
  const std::int32_t none[1] = {0};
  CHECK_THROWS_AS(CsrMatrix<double>(0, Index{1} << 40, none, none, v), InvalidArgument);
  CHECK_THROWS_AS(CsrMatrix<double>(-1, 2, none, none, v), InvalidArgument);
}

}  // namespace
}  // namespace ritz::testing
