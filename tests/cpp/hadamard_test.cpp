// The Walsh–Hadamard transform and the sketches that stand on it.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <complex>
#include <cstring>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/sketch/fastfood.hpp"
#include "ritz/sketch/hadamard.hpp"
#include "ritz/sketch/khatri_rao.hpp"
#include "ritz/sketch/srht.hpp"

using namespace ritz;

namespace {

using Complex = std::complex<double>;

template <class T>
std::vector<T> random(Index n, std::uint64_t seed = 7) {
  std::vector<T> x(static_cast<std::size_t>(n));
  philox::normals(seed, 3, 0, n, x.data());
  return x;
}

/// One bit after the other, from the lowest: the order that all blockings keep.
template <class T>
void plain(Index rows, Index width, T* x) {
  for (Index h = width; h < rows * width; h *= 2) {
    for (Index i = 0; i < rows * width; i += 2 * h) {
      for (Index j = i; j < i + h; ++j) {
        const T a = x[j], b = x[j + h];
        x[j] = a + b;
        x[j + h] = a - b;
      }
    }
  }
}

template <class T>
void same_bits(Index rows, Index width) {
  CAPTURE(rows);
  CAPTURE(width);
  auto x = random<T>(rows * width);
  auto y = x;
  plain(rows, width, x.data());
  const auto start = y;
  fwht(MatrixView<T>(y.data(), rows, width, width, 1));
  CHECK(std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0);
  for (const Isa isa : kernels::supported_isas()) {
    y = start;
    kernels::tables(isa).of<T>().hadamard(rows, width, y.data());
    CHECK(std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0);
  }
}

template <class S, class T>
std::vector<T> dense(const S& s) {
  std::vector<T> D(static_cast<std::size_t>(s.rows() * s.cols()));
  s.submatrix(0, 0, BlockView<T>{D.data(), s.rows(), s.cols(), s.rows()});
  return D;
}

/// S A and Sᴴ B against the dense S, at the strides of rows and of columns.
template <class T, class S>
void check_products(const S& s, double tol) {
  const Index d = s.rows(), m = s.cols(), n = 19;
  const auto D = dense<S, T>(s);
  for (const bool adjoint : {false, true}) {
    const Index in = adjoint ? d : m, out = adjoint ? m : d;
    const auto A = random<T>(in * n);
    std::vector<T> expected(static_cast<std::size_t>(out * n));
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < out; ++i) {
        Complex sum = 0.0;
        for (Index k = 0; k < in; ++k) {
          const auto e = static_cast<std::size_t>(adjoint ? k + i * d : i + k * d);
          const Complex sk = adjoint ? std::conj(Complex(D[e])) : Complex(D[e]);
          sum += sk * Complex(A[static_cast<std::size_t>(k * n + j)]);
        }
        if constexpr (ComplexField<T>) {
          expected[static_cast<std::size_t>(i * n + j)] = static_cast<T>(sum);
        } else {
          expected[static_cast<std::size_t>(i * n + j)] = static_cast<T>(sum.real());
        }
      }
    }
    std::vector<T> Y(static_cast<std::size_t>(out * n)), by_columns(A.size()), Z(Y.size());
    for (Index i = 0; i < in; ++i) {
      for (Index j = 0; j < n; ++j) {
        by_columns[static_cast<std::size_t>(i + j * in)] = A[static_cast<std::size_t>(i * n + j)];
      }
    }
    const MatrixView<const T> rows(A.data(), in, n, n, 1), cols(by_columns.data(), in, n, 1, in);
    const MatrixView<T> Y_rows(Y.data(), out, n, n, 1), Z_cols(Z.data(), out, n, 1, out);
    if (adjoint) {
      s.apply_adjoint_matrix(rows, Y_rows);
      s.apply_adjoint_matrix(cols, Z_cols);
    } else {
      s.apply_matrix(rows, Y_rows);
      s.apply_matrix(cols, Z_cols);
    }
    double error = 0.0;
    bool equal = true;
    for (Index i = 0; i < out; ++i) {
      for (Index j = 0; j < n; ++j) {
        const auto e = static_cast<std::size_t>(i * n + j);
        error = std::max(error, static_cast<double>(std::abs(Y[e] - expected[e])));
        equal = equal && Y[e] == Z_cols(i, j);
      }
    }
    CHECK(error < tol);
    CHECK(equal);
  }
}

template <class T, class S>
void check_parts(const S& s) {
  const auto D = dense<S, T>(s);
  const Index d = s.rows(), m = s.cols();
  const Index rows = (d + 1) / 2, cols = (m + 2) / 3, i = d - rows, j = m - cols;
  std::vector<T> part(static_cast<std::size_t>(rows * cols));
  s.submatrix(i, j, MatrixView<T>(part.data(), rows, cols, cols, 1));
  bool equal = true;
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < cols; ++c) {
      equal = equal && part[static_cast<std::size_t>(r * cols + c)] ==
                           D[static_cast<std::size_t>(i + r + (j + c) * d)];
    }
  }
  CHECK(equal);
}

}  // namespace

TEST_CASE("the transform has the bits of plain butterflies at every length and width") {
  for (Index p = 0; p <= 13; ++p) {
    for (const Index width : {1, 2, 3, 4, 7, 8, 16, 33}) {
      if (p > 9 && width > 8) continue;
      same_bits<double>(Index{1} << p, width);
      same_bits<float>(Index{1} << p, width);
    }
    same_bits<Complex>(Index{1} << p, 1);
    same_bits<std::complex<float>>(Index{1} << p, 3);
  }
  same_bits<double>(Index{1} << 18, 1);
  same_bits<float>(Index{1} << 17, 4);
}

TEST_CASE("element (i, j) is (-1)^popcount(i & j)") {
  constexpr Index N = 64;
  for (Index j = 0; j < N; ++j) {
    std::vector<double> e(N, 0.0);
    e[static_cast<std::size_t>(j)] = 1.0;
    fwht(VectorView<double>(e.data(), N));
    for (Index i = 0; i < N; ++i) {
      const bool odd = std::popcount(static_cast<std::uint64_t>(i & j)) % 2 != 0;
      REQUIRE(e[static_cast<std::size_t>(i)] == (odd ? -1.0 : 1.0));
    }
  }
}

TEST_CASE("columns and rows at any strides") {
  constexpr Index N = 32, k = 5;
  const auto start = random<double>(N * k * 2);
  for (const bool by_rows : {false, true}) {
    auto x = start;
    const MatrixView<double> X = by_rows ? MatrixView<double>(x.data(), N, k, 2 * k, 2)
                                         : MatrixView<double>(x.data(), N, k, 1, N);
    std::vector<double> expected;
    for (Index j = 0; j < k; ++j) {
      std::vector<double> column;
      for (Index i = 0; i < N; ++i) column.push_back(X(i, j));
      plain(N, Index{1}, column.data());
      expected.insert(expected.end(), column.begin(), column.end());
    }
    fwht(X);
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < N; ++i) {
        REQUIRE(X(i, j) == expected[static_cast<std::size_t>(j * N + i)]);
      }
    }
    if (by_rows) CHECK(x[1] == start[1]);  // what lies between is left alone
  }
  CHECK_THROWS_AS(fwht(VectorView<double>(nullptr, 3)), InvalidArgument);
}

TEST_CASE("the bits do not depend on the number of threads") {
  const auto start = random<double>(Index{1} << 18);
  const Srht<double> s(100, 5000, 1, 2);
  std::vector<double> reference, sketched;
  for (const Index count : {1, 3}) {
    threads::set_num_threads(count);
    auto x = start;
    fwht(VectorView<double>(x.data(), Index{1} << 18));
    std::vector<double> y(100 * 40);
    s.apply_matrix({start.data(), 5000, 40, 40, 1}, {y.data(), 100, 40, 40, 1});
    if (count == 1) {
      reference = x;
      sketched = y;
    }
    CHECK(x == reference);
    CHECK(y == sketched);
  }
  threads::set_num_threads(1);
}

TEST_CASE("products and parts of all kinds are those of their dense matrices") {
  for (const Index m : {1, 2, 5, 24, 64}) {
    CAPTURE(m);
    for (const Index rounds : {1, 2}) {
      const Srht<double> s((m + 1) / 2, m, 5, rounds);
      check_products<double>(s, 1e-12);
      check_parts<double>(s);
      check_products<Complex>(Srht<Complex>((m + 1) / 2, m, 5, rounds), 1e-12);
    }
    for (const Index d : {1, 7, 150}) {
      const Fastfood<double> s(d, m, 5);
      check_products<double>(s, 1e-11);
      check_parts<double>(s);
    }
  }
  check_products<float>(Srht<float>(30, 40, 2), 1e-4);
  check_products<float>(Fastfood<float>(30, 40, 2), 1e-4);
  for (const FactorKind kind : {FactorKind::signs, FactorKind::normal}) {
    for (const auto& sizes :
         std::vector<std::vector<Index>>{{1}, {11}, {3, 5}, {4, 1, 9}, {2, 3, 2, 5}}) {
      const KhatriRao<double> s(21, sizes, 4, kind);
      check_products<double>(s, 1e-11);
      check_parts<double>(s);
      check_products<Complex>(KhatriRao<Complex>(21, sizes, 4, kind), 1e-11);
    }
  }
}

TEST_CASE("an SRHT of all rows is orthogonal, and its rows differ") {
  for (const Index rounds : {1, 2}) {
    const Srht<double> s(64, 64, 11, rounds);
    const auto D = dense<Srht<double>, double>(s);
    for (Index i = 0; i < 64; ++i) {
      for (Index j = 0; j <= i; ++j) {
        double sum = 0.0;
        for (Index k = 0; k < 64; ++k) {
          sum += D[static_cast<std::size_t>(i + 64 * k)] * D[static_cast<std::size_t>(j + 64 * k)];
        }
        REQUIRE(sum == doctest::Approx(i == j ? 1.0 : 0.0).epsilon(1e-14));
      }
    }
  }
}

TEST_CASE("a product of factors needs no vector of its length") {
  const KhatriRao<double> s(13, {6, 7, 5}, 3, FactorKind::normal);
  const auto x = random<double>(6, 1), y = random<double>(7, 2), z = random<double>(5, 3);
  std::vector<double> full;
  for (const double a : x) {
    for (const double b : y) {
      for (const double c : z) full.push_back(a * b * c);
    }
  }
  std::vector<double> expected(13), got(13);
  s.apply(VectorView<const double>(full.data(), 210), VectorView<double>(expected.data(), 13));
  const VectorView<const double> parts[] = {{x.data(), 6}, {y.data(), 7}, {z.data(), 5}};
  s.apply_factors(parts, VectorView<double>(got.data(), 13));
  for (std::size_t i = 0; i < 13; ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("random places are a set, and uniform") {
  std::vector<int> hits(10, 0);
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const auto places = random_places(3, 10, {seed, 1});
    REQUIRE(places.size() == 3);
    REQUIRE((places[0] < places[1] && places[1] < places[2] && places[2] < 10));
    for (const Index i : places) ++hits[static_cast<std::size_t>(i)];
  }
  // 600 each, of variance 2000 · 0.3 · 0.7: five deviations are 103.
  for (const int count : hits) CHECK(std::abs(count - 600) < 103);
  CHECK(detail::below(std::uint64_t{1} << 32, ~std::uint64_t{0}) == 0xFFFFFFFFu);
  CHECK(detail::below(7, ~std::uint64_t{0}) == 6);
}

TEST_CASE("shapes that no sketch has") {
  CHECK_THROWS_AS(Srht<double>(9, 8, 0), InvalidArgument);
  CHECK_THROWS_AS(Srht<double>(1, 0, 0), InvalidArgument);
  CHECK_THROWS_AS(Srht<double>(1, 8, 0, 0), InvalidArgument);
  CHECK_THROWS_AS(Srht<double>(1, Index{1} << 40, 0), InvalidArgument);
  CHECK_THROWS_AS(Fastfood<double>(0, 8, 0), InvalidArgument);
  CHECK_THROWS_AS(KhatriRao<double>(4, {}, 0), InvalidArgument);
  CHECK_THROWS_AS(KhatriRao<double>(4, {Index{1} << 40, Index{1} << 40}, 0), InvalidArgument);
}
