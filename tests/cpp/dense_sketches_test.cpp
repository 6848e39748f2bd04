// Sketches whose elements are all nonzero: what they are made of, and their products.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "problems.hpp"
#include "ritz/sketch/gaussian.hpp"
#include "ritz/sketch/orthogonal.hpp"

namespace ritz::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__)
using Fields = std::tuple<double, std::complex<float>>;
#else
using Fields = std::tuple<float, double, std::complex<float>, std::complex<double>>;
#endif

struct Threads {
  explicit Threads(Index count) : before(threads::num_threads()) {
    threads::set_num_threads(count);
  }
  ~Threads() { threads::set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  Index before;
};

/// A matrix at strides of its own, NaN between its elements.
template <class T>
struct Strided {
  std::vector<T> memory;
  MatrixView<T> view;

  enum Order { by_columns, by_rows, every_other };
  static constexpr Order kOrders[] = {by_columns, by_rows, every_other};

  Strided(Index m, Index n, Order order)
      : memory(at(6 * m * n + 1), static_cast<T>(std::numeric_limits<double>::quiet_NaN())) {
    T* start = memory.data();
    if (order == by_columns) view = {start, m, n, 1, m};
    if (order == by_rows) view = {start, m, n, n, 1};
    if (order == every_other) view = {start, m, n, 2, 3 * m};
  }
  Strided(Index m, Index n, Order order, std::uint64_t seed) : Strided(m, n, order) {
    const std::vector<T> x = gaussian<T>(m * n, seed);
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) view(i, j) = x[at(i * n + j)];
    }
  }
  MatrixView<const T> constant() const { return view; }
};

template <class T, class S>
std::vector<T> by_rows(const S& s, Index i, Index j, Index rows, Index cols) {
  std::vector<T> y(at(rows * cols));
  s.submatrix(i, j, {y.data(), rows, cols, cols, 1});
  return y;
}

/// max |Y − op(S) A| over the size of the terms of an element.
template <class T, class S>
double product_error(const S& s, bool adjoint, MatrixView<const T> A, MatrixView<const T> Y) {
  const std::vector<T> dense = by_rows<T>(s, 0, 0, s.rows(), s.cols());
  double worst = 0.0;
  for (Index i = 0; i < Y.rows; ++i) {
    for (Index j = 0; j < Y.cols; ++j) {
      Long<T> sum{};
      long double terms = 0.0;
      for (Index k = 0; k < A.rows; ++k) {
        const Long<T> e = lengthen(dense[at(adjoint ? k * s.cols() + i : i * s.cols() + k)]);
        const Long<T> term = (adjoint ? conj_long(e) : e) * lengthen(A(k, j));
        sum += term;
        terms += std::norm(term);
      }
      const auto error = static_cast<double>(std::abs(lengthen(Y(i, j)) - sum) / std::sqrt(terms));
      worst = error <= worst ? worst : error;  // NaN stays
    }
  }
  return worst;
}

template <class T, class S>
void check_products(const S& s, Index columns) {
  for (const auto order : Strided<T>::kOrders) {
    for (const bool adjoint : {false, true}) {
      const Index in = adjoint ? s.rows() : s.cols(), out = adjoint ? s.cols() : s.rows();
      const Strided<T> A(in, columns, order, 3);
      Strided<T> Y(out, columns, order);
      if (adjoint) {
        s.apply_adjoint_matrix(A.constant(), Y.view);
      } else {
        s.apply_matrix(A.constant(), Y.view);
      }
      CHECK(product_error<T>(s, adjoint, A.constant(), Y.constant()) < 20 * kEps<T>);
    }
  }
}

TEST_CASE_TEMPLATE_DEFINE("products with S and its adjoint are those of its elements", T,
                          dense_products) {
  for (const auto& [d, m] : {std::pair<Index, Index>{1, 1}, {3, 5}, {37, 261}, {131, 140}}) {
    for (const Index columns : {1, 2, 9, 33}) {
      CAPTURE(d);
      CAPTURE(columns);
      check_products<T>(Gaussian<T>(d, m, 7), columns);
      check_products<T>(Rademacher<T>(d, m, 7), columns);
    }
  }
  check_products<T>(Orthogonal<T>(20, 150, 7), 5);
  check_products<T>(Gaussian<T>(3, 5, 7), 520);   // two blocks of columns
  check_products<T>(Gaussian<T>(5, 4000, 7), 3);  // sums in chunks
  check_products<T>(Gaussian<T>(2100, 6, 7), 3);  // and for the adjoint
}
TEST_CASE_TEMPLATE_APPLY(dense_products, Fields);

TEST_CASE_TEMPLATE_DEFINE("a part of S has the bits of the whole", T, dense_parts) {
  const auto check = [](const auto& s) {
    const std::vector<T> whole = by_rows<T>(s, 0, 0, s.rows(), s.cols());
    for (const auto& [i, j, rows, cols] :
         {std::array<Index, 4>{0, 0, 3, 1}, {2, 5, 4, 300}, {1, 131, 9, 7}, {7, 129, 1, 257}}) {
      for (const auto order : Strided<T>::kOrders) {
        Strided<T> part(rows, cols, order);
        s.submatrix(i, j, part.view);
        bool same = true;
        for (Index r = 0; r < rows; ++r) {
          for (Index c = 0; c < cols; ++c) {
            same = same && part.view(r, c) == whole[at((i + r) * s.cols() + j + c)];
          }
        }
        CHECK(same);
      }
    }
    const Strided<T> empty(3, 0, Strided<T>::by_rows);
    s.submatrix(0, 0, empty.view);
  };
  check(Gaussian<T>(11, 400, 5));
  check(Rademacher<T>(11, 400, 5));
  check(Orthogonal<T>(11, 400, 5));
  // Rows longer than one thread fills, more of them than are transposed at once.
  const Gaussian<T> large(40, 70000, 5);
  const std::vector<T> row = by_rows<T>(large, 39, 0, 1, 70000);
  CHECK(by_rows<T>(large, 39, 40000, 1, 30000) == std::vector<T>(row.begin() + 40000, row.end()));
  Strided<T> columns(40, 300, Strided<T>::by_columns);
  large.submatrix(0, 69700, columns.view);
  for (Index c = 0; c < 300; ++c) CHECK_UNARY(columns.view(39, c) == row[at(69700 + c)]);
}
TEST_CASE_TEMPLATE_APPLY(dense_parts, Fields);

TEST_CASE_TEMPLATE_DEFINE("more rows follow those of a smaller sketch, more columns lengthen them",
                          T, dense_concatenation) {
  // Unscaled: by powers of two, which round nothing.
  const auto check = [](const auto& s, const auto& taller, const auto& wider) {
    const Index d = s.rows(), m = s.cols();
    std::vector<T> above = by_rows<T>(taller, 0, 0, d, m);
    for (T& a : above) a *= RealOf<T>(2);  // 1/√d against 1/√(4 d)
    CHECK(above == by_rows<T>(s, 0, 0, d, m));
    CHECK(by_rows<T>(wider, 0, 0, d, m) == by_rows<T>(s, 0, 0, d, m));
    CHECK(by_rows<T>(taller, d, 0, d, m) != by_rows<T>(taller, 0, 0, d, m));
  };
  check(Gaussian<T>(4, 101, 5), Gaussian<T>(16, 101, 5), Gaussian<T>(4, 333, 5));
  check(Rademacher<T>(4, 101, 5), Rademacher<T>(16, 101, 5), Rademacher<T>(4, 333, 5));
}
TEST_CASE_TEMPLATE_APPLY(dense_concatenation, Fields);

TEST_CASE_TEMPLATE_DEFINE("the elements are those of the random streams", T, dense_streams) {
  const std::uint64_t seed = 0x123456789abcdefu;
  const Gaussian<T> g(4, 50, seed);
  const Rademacher<T> r(4, 50, seed);
  for (Index i = 0; i < 4; ++i) {
    const auto row = static_cast<std::uint64_t>(i);
    if constexpr (sizeof(RealOf<T>) == 8) {
      std::vector<T> z(50);
      philox::normals(seed, std::uint64_t{0x10} << 56 | row, 0, 50, z.data());
      for (T& x : z) x *= RealOf<T>{0.5};
      CHECK(distance(z, by_rows<T>(g, i, 0, 1, 50)) < 20 * kEps<T>);
    }
    const std::vector<T> signs = by_rows<T>(r, i, 0, 1, 50);
    for (Index j = 0; j < 50; ++j) {
      const double sign = philox::sign(seed, std::uint64_t{0x11} << 56 | row, j);
      CHECK(signs[at(j)] == T{static_cast<RealOf<T>>(0.5 * sign)});
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(dense_streams, Fields);

TEST_CASE_TEMPLATE_DEFINE("products have the same bits for any number of threads", T,
                          dense_threads) {
  const auto check = [](const auto& s, Index columns) {
    for (const bool adjoint : {false, true}) {
      const Index in = adjoint ? s.rows() : s.cols(), out = adjoint ? s.cols() : s.rows();
      const Strided<T> A(in, columns, Strided<T>::by_rows, 4);
      std::vector<T> results[3];
      for (const Index count : {1, 2, 3}) {
        const Threads several(count);
        std::vector<T>& y = results[count - 1];
        y.resize(at(out * columns));
        const MatrixView<T> Y{y.data(), out, columns, 1, out};
        if (adjoint) {
          s.apply_adjoint_matrix(A.constant(), Y);
        } else {
          s.apply_matrix(A.constant(), Y);
        }
      }
      CHECK(results[1] == results[0]);
      CHECK(results[2] == results[0]);
    }
  };
  check(Gaussian<T>(300, 700, 5), 5);
  check(Gaussian<T>(10, 9000, 5), 2);
  check(Rademacher<T>(300, 700, 5), 5);
  check(Orthogonal<T>(30, 1100, 5), 5);
}
TEST_CASE_TEMPLATE_APPLY(dense_threads, Fields);

TEST_CASE_TEMPLATE_DEFINE("the rows of an orthogonal sketch are orthogonal", T, orthogonal_rows) {
  for (const auto& [d, m] : {std::pair<Index, Index>{1, 1}, {1, 9}, {8, 20}, {15, 15}}) {
    const std::vector<T> s = by_rows<T>(Orthogonal<T>(d, m, 3), 0, 0, d, m);
    for (Index i = 0; i < d; ++i) {
      for (Index j = 0; j < d; ++j) {
        WideOf<T> sum{};
        for (Index k = 0; k < m; ++k) {
          sum += static_cast<WideOf<T>>(s[at(i * m + k)]) *
                 conjugate(static_cast<WideOf<T>>(s[at(j * m + k)]));
        }
        const double expected = i == j ? static_cast<double>(m) / static_cast<double>(d) : 0.0;
        CHECK(std::abs(sum - expected) < 30 * kEps<T> * static_cast<double>(m));
      }
    }
  }
  CHECK_THROWS_WITH_AS(Orthogonal<T>(5, 4, 0),
                       "d is 5 and m is 4; orthogonal rows need d ≤ m: pass fewer rows, or use "
                       "Gaussian",
                       InvalidArgument);
}
TEST_CASE_TEMPLATE_APPLY(orthogonal_rows, Fields);

TEST_CASE("a shape without rows or columns is refused") {
  CHECK_THROWS_AS(Gaussian<double>(0, 3, 0), InvalidArgument);
  CHECK_THROWS_AS(Rademacher<double>(3, 0, 0), InvalidArgument);
  CHECK_THROWS_AS(Orthogonal<double>(-1, 3, 0), InvalidArgument);
}

TEST_CASE("no columns, and rows that are NaN") {
  const Gaussian<double> s(3, 200, 0);
  std::vector<double> a(200, 1.0), y(3, 5.0);
  s.apply_matrix({a.data(), 200, 0, 1, 200}, {y.data(), 3, 0, 1, 3});
  CHECK(y[0] == 5.0);
  a[170] = std::numeric_limits<double>::quiet_NaN();
  s.apply_matrix({a.data(), 200, 1, 1, 200}, {y.data(), 3, 1, 1, 3});
  CHECK(std::isnan(y[0]));
  // Numbers near the ends of the range.
  for (const double scale : {1e-300, 1e300}) {
    std::fill(a.begin(), a.end(), scale);
    s.apply_matrix({a.data(), 200, 1, 1, 200}, {y.data(), 3, 1, 1, 3});
    CHECK(std::isfinite(y[0]));
    CHECK(y[0] != 0.0);
  }
}

}  // namespace
}  // namespace ritz::testing
