// SparseStack and SparseSign: where their elements are, at any size, and that all products are
// those with these elements, to the same bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "problems.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/sketch/sparse_sign.hpp"
#include "ritz/sketch/sparse_stack.hpp"

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

/// Entries of element t of `count` columns, row · 2 + sign.
template <class S>
std::vector<Index> entries(const S& s, Index j, Index count, Index t) {
  std::vector<Index> out(at(count));
  s.entries(j, count, t, 1, out.data(), count);
  return out;
}

/// By rows, `gap` elements longer than they need be.
template <class T>
struct Rows {
  Rows(Index m, Index n, Index gap = 0)
      : rows(m), cols(n), ld(n + gap), data(at(m * (n + gap)), T{}) {}
  MatrixView<T> view() { return {data.data(), rows, cols, ld, 1}; }
  MatrixView<const T> view() const { return {data.data(), rows, cols, ld, 1}; }
  Index rows, cols, ld;
  std::vector<T> data;
};

template <class T>
Rows<T> random_rows_of(Index m, Index n) {
  Rows<T> a(m, n);
  a.data = gaussian<T>(m * n, 5);
  return a;
}
template <class T>
std::vector<T> by_columns(const Rows<T>& a) {
  std::vector<T> out(at(a.rows * a.cols));
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) out[at(i + j * a.rows)] = a.view()(i, j);
  }
  return out;
}

/// How far a product is from its definition, as a part of what one rounding to T and the sums in
/// double precision allow.
template <class T>
double worst_error(MatrixView<const T> S, bool adjoint, MatrixView<const T> A,
                   MatrixView<const T> Y) {
  const double u = std::numeric_limits<RealOf<T>>::epsilon();
  double worst = 0.0;
  for (Index i = 0; i < Y.rows; ++i) {
    for (Index j = 0; j < Y.cols; ++j) {
      WideOf<T> sum{};
      double terms = 0.0;
      for (Index k = 0; k < A.rows; ++k) {
        const auto s = static_cast<WideOf<T>>(adjoint ? S(k, i) : S(i, k));
        sum += s * static_cast<WideOf<T>>(A(k, j));
        terms += std::abs(s) * std::abs(static_cast<WideOf<T>>(A(k, j)));
      }
      const double bound = 2.0 * u * std::abs(sum) + 0x1p-48 * terms + 1e-300;
      worst = std::max(worst, std::abs(sum - static_cast<WideOf<T>>(Y(i, j))) / bound);
    }
  }
  return worst;
}

template <class T, class S>
Rows<T> dense(const S& s) {
  Rows<T> out(s.rows(), s.cols());
  s.submatrix(0, 0, out.view());
  return out;
}

/// A with some entries left out, compressed by rows.
template <class T>
struct Compressed {
  explicit Compressed(const Rows<T>& a) : rows(a.rows), cols(a.cols), starts{0} {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        if (a.view()(i, j) == T{}) continue;
        indices.push_back(static_cast<std::int32_t>(j));
        values.push_back(a.view()(i, j));
      }
      starts.push_back(static_cast<std::int32_t>(indices.size()));
    }
  }
  CompressedRows<T, std::int32_t> view() const {
    return {rows, cols, starts.data(), indices.data(), values.data()};
  }
  Index rows, cols;
  std::vector<std::int32_t> starts, indices;
  std::vector<T> values;
};

template <class S>
void check_columns(const S& s, Index j, Index count, bool stacked) {
  const Index d = s.rows(), nnz = s.nnz();
  std::vector<std::vector<Index>> all;
  std::vector<Index> out(at(count * nnz));
  s.entries(j, count, 0, nnz, out.data(), count);
  bool fits = true, distinct = true;
  for (Index k = 0; k < count; ++k) {
    std::vector<Index> rows;
    for (Index t = 0; t < nnz; ++t) {
      const Index row = out[at(t * count + k)] >> 1;
      const Index height = d / nnz + (t < d % nnz ? 1 : 0);
      const Index start = t * (d / nnz) + std::min(t, d % nnz);
      fits = fits && row >= (stacked ? start : 0) && row < (stacked ? start + height : d);
      rows.push_back(row);
    }
    std::sort(rows.begin(), rows.end());
    distinct = distinct && std::adjacent_find(rows.begin(), rows.end()) == rows.end();
  }
  CHECK(fits);
  CHECK(distinct);
}

}  // namespace

TEST_CASE("sparse sketches: rows are in their blocks, and distinct, at every size") {
  const Index two31 = Index{1} << 31, two40 = Index{1} << 40, two62 = Index{1} << 62;
  for (const Index d : {Index{1}, Index{2}, Index{3}, Index{7}, Index{21}, Index{8 * 65536},
                        Index{8 * 65536 + 1}, two31 - 1, two31 + 11, two40 + 3, two62}) {
    for (const Index nnz : {Index{1}, Index{2}, Index{8}}) {
      CAPTURE(d);
      CAPTURE(nnz);
      check_columns(SparseStack<double>(d, 1000, 1, nnz), 3, 700, true);
      check_columns(SparseSign<double>(d, 1000, 1, nnz), 3, 700, false);
    }
  }
  check_columns(SparseStack<double>(40, 5, 1, 40), 0, 5, true);
  check_columns(SparseSign<double>(40, 5, 1, 40), 0, 5, false);
  CHECK_THROWS_AS(SparseStack<double>(two62 + 1, 5, 1), InvalidArgument);
  CHECK_THROWS_AS(SparseStack<double>(8, 5, 1, 0), InvalidArgument);
  CHECK_THROWS_AS(SparseStack<double>(0, 5, 1), InvalidArgument);
  CHECK_THROWS_AS(SparseStack<double>(5, 0, 1), InvalidArgument);
  CHECK_THROWS_AS(SparseSign<double>(1000, 5, 1, 513), InvalidArgument);
}

TEST_CASE("sparse sketches: of very many rows all can be drawn, with equal chances") {
  constexpr Index kColumns = 4096;
  const Index d = Index{3} << 60;  // words taken modulo this would favour the lower rows by 1/8
  const auto drawn = entries(SparseStack<double>(d, kColumns, 7, 1), 0, kColumns, 0);
  Index odd = 0, lower = 0, negative = 0, low_bits = 0;
  for (const Index e : drawn) {
    odd += e >> 1 & 1;
    lower += (e >> 1) < (Index{2} << 60) ? 1 : 0;
    negative += e & 1;
    low_bits += (e >> 1 & 0xFFFFFF) != 0 ? 1 : 0;
  }
  const double n = static_cast<double>(kColumns);
  const auto z = [&](Index count, double p) {
    return std::abs(static_cast<double>(count) - n * p) / std::sqrt(n * p * (1.0 - p));
  };
  CHECK(z(odd, 0.5) < 5.0);
  CHECK(z(lower, 2.0 / 3.0) < 5.0);
  CHECK(z(negative, 0.5) < 5.0);
  CHECK(low_bits > kColumns - 10);
}

TEST_CASE("sparse sketches: the compiled draws of all levels are those of the definition") {
  constexpr Index kMax = 700;
  for (const Isa isa : kernels::supported_isas()) {
    const auto& table = kernels::tables(isa).of<double>();
    for (const Index height : {Index{1}, Index{32}, Index{65536}, Index{65537}, Index{3} << 60}) {
      const RandomKey key{0x123456789ABCDEFu, 0x1200000000000003u};
      bool same = true;
      for (const Index first : {Index{0}, Index{1}, Index{127}, Index{128}, Index{1} << 33}) {
        for (const Index n : {Index{0}, Index{1}, Index{63}, Index{128}, Index{129}, kMax}) {
          std::vector<Index> out(at(kMax + 1), -1);
          random_rows(table, key, first, n, height, 17, out.data());
          for (Index k = 0; k < n; ++k) {
            same = same && out[at(k)] == random_row(key, first + k, height, 17);
          }
          same = same && out[at(n)] == -1;
        }
      }
      CHECK(same);
    }
  }
}

TEST_CASE_TEMPLATE_DEFINE("sparse sketches: products", T, sparse_products) {
  const auto check = [](const auto& s) {
    for (const Index n : {Index{1}, Index{7}, Index{70}}) {
      CAPTURE(s.rows());
      CAPTURE(n);
      const Rows<T> S = dense<T>(s), A = random_rows_of<T>(s.cols(), n);
      const Rows<T> U = random_rows_of<T>(s.rows(), n);
      Rows<T> Y(s.rows(), n), Z(s.cols(), n);
      s.apply_matrix(A.view(), Y.view());
      s.apply_adjoint_matrix(U.view(), Z.view());
      CHECK(worst_error<T>(S.view(), false, A.view(), Y.view()) <= 1.0);
      CHECK(worst_error<T>(S.view(), true, U.view(), Z.view()) <= 1.0);
      // Of columns, and into columns.
      const auto columns = by_columns(A), short_columns = by_columns(U);
      std::vector<T> y(Y.data.size()), z(Z.data.size());
      s.apply_matrix(BlockView<const T>{columns.data(), s.cols(), n, s.cols()},
                     BlockView<T>{y.data(), s.rows(), n, s.rows()});
      s.apply_adjoint_matrix(BlockView<const T>{short_columns.data(), s.rows(), n, s.rows()},
                             BlockView<T>{z.data(), s.cols(), n, s.cols()});
      CHECK(y == by_columns(Y));
      CHECK(z == by_columns(Z));
      for (const Index count : {Index{2}, Index{3}}) {
        const Threads more(count);
        Rows<T> again(s.rows(), n, 3), adjoint(s.cols(), n, 3);
        s.apply_matrix(A.view(), again.view());
        s.apply_adjoint_matrix(U.view(), adjoint.view());
        CHECK(by_columns(again) == y);
        CHECK(by_columns(adjoint) == z);
      }
      // Sparse matrices by rows and by columns: the transpose of the transpose.
      Rows<T> holes = A, sparse(s.rows(), n);
      for (std::size_t i = 0; i < holes.data.size(); ++i) {
        if (i % 3 != 0) holes.data[i] = T{};
      }
      s.apply_matrix(holes.view(), Y.view());
      const Compressed<T> csr(holes);
      s.apply_csr(csr.view(), sparse.view());
      CHECK(sparse.data == Y.data);
      const TransposedCopy<T, std::int32_t> csc(csr.view());
      std::fill(sparse.data.begin(), sparse.data.end(), T{1});
      s.apply_csc(csc.view(), sparse.view());
      CHECK(sparse.data == Y.data);
    }
  };
  check(SparseStack<T>(21, 203, 2));
  check(SparseStack<T>(64, 300, 3, 40));
  check(SparseSign<T>(21, 203, 2));
  check(CountSketch<T>(5, 130, 2));
  check(AnySketch<T>(SparseStack<T>(3, 50, 2)));
}
TEST_CASE_TEMPLATE_APPLY(sparse_products, Fields);

TEST_CASE("sparse sketches: more nonzeros than are made at once") {
  const SparseStack<double> s(4500, 12, 9, 4400);
  const auto S = dense<double>(s), A = random_rows_of<double>(12, 3);
  const auto U = random_rows_of<double>(4500, 3);
  Rows<double> Y(4500, 3), Z(12, 3);
  s.apply_matrix(A.view(), Y.view());
  s.apply_adjoint_matrix(U.view(), Z.view());
  CHECK(worst_error<double>(S.view(), false, A.view(), Y.view()) <= 1.0);
  CHECK(worst_error<double>(S.view(), true, U.view(), Z.view()) <= 1.0);
}

TEST_CASE("sparse sketches: all levels give the same bits") {
  const auto A = random_rows_of<float>(500, 23);
  std::vector<float> first;
  for (const Isa isa : kernels::supported_isas()) {
    Rows<float> Y(40, 23);
    SparseStack<float>(40, 500, 1, 8, isa).apply_matrix(A.view(), Y.view());
    if (first.empty()) first = Y.data;
    CHECK(Y.data == first);
  }
}

TEST_CASE("sparse sketches: a part is a slice, and fewer columns are the first ones") {
  const auto check = [](const auto& s, const auto& fewer) {
    const auto S = dense<double>(s), F = dense<double>(fewer);
    Rows<double> part(5, 140);
    s.submatrix(3, 61, part.view());
    bool same = true;
    for (Index j = 0; j < 140; ++j) {
      for (Index i = 0; i < 5; ++i) same = same && part.view()(i, j) == S.view()(i + 3, j + 61);
    }
    for (Index j = 0; j < F.cols; ++j) {
      for (Index i = 0; i < F.rows; ++i) same = same && F.view()(i, j) == S.view()(i, j);
    }
    CHECK(same);
    Rows<double> nothing(0, 0);
    s.submatrix(3, 61, nothing.view());
  };
  check(SparseStack<double>(21, 1000, 5), SparseStack<double>(21, 131, 5));
  check(SparseSign<double>(21, 1000, 5), SparseSign<double>(21, 131, 5));
}

}  // namespace ritz::testing
