// Operators with known answers, and oracles in long double, shared by the tests of the methods.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/status.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/space/host.hpp"
#include "ritz/space/reference.hpp"

namespace ritz::testing {

#if defined(__SANITIZE_ADDRESS__)
// Errors of memory do not depend on precision, and sanitized tests take long to compile.
using AllSpaces =
    std::tuple<ReferenceSpace<double>, HostSpace<float>, HostSpace<std::complex<double>>>;
#else
using AllSpaces =
    std::tuple<ReferenceSpace<float>, ReferenceSpace<double>, ReferenceSpace<std::complex<float>>,
               ReferenceSpace<std::complex<double>>, HostSpace<float>, HostSpace<double>,
               HostSpace<std::complex<float>>, HostSpace<std::complex<double>>>;
#endif
/// One of everything: for properties that depend on field and precision little, to save
/// compilation.
using SomeSpaces =
    std::tuple<ReferenceSpace<double>, HostSpace<float>, HostSpace<std::complex<double>>>;
using RealSpaces =
    std::tuple<ReferenceSpace<float>, ReferenceSpace<double>, HostSpace<float>, HostSpace<double>>;
using DoubleSpaces = std::tuple<ReferenceSpace<double>, HostSpace<double>>;
using HostSpaces = std::tuple<HostSpace<float>, HostSpace<double>, HostSpace<std::complex<float>>,
                              HostSpace<std::complex<double>>>;

template <class T>
inline constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

/// The widest field of the same kind: oracles are computed in it.
template <class T>
using Long = std::conditional_t<ComplexField<T>, std::complex<long double>, long double>;

template <class T>
Long<T> lengthen(T a) {
  return static_cast<Long<T>>(a);
}
inline long double conj_long(long double a) { return a; }
inline std::complex<long double> conj_long(std::complex<long double> a) { return std::conj(a); }

template <class T>
std::size_t at(T i) {
  return static_cast<std::size_t>(i);
}

template <class T>
VectorView<T> view(std::vector<T>& x) {
  return {x.data(), static_cast<Index>(x.size())};
}
template <class T>
VectorView<const T> view(const std::vector<T>& x) {
  return {x.data(), static_cast<Index>(x.size())};
}

template <class T>
double norm(const std::vector<T>& x) {
  long double sum = 0;
  for (const T& a : x) sum += std::norm(lengthen(a));
  return static_cast<double>(std::sqrt(sum));
}

template <class T>
double distance(const std::vector<T>& x, const std::vector<T>& y) {
  long double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::norm(lengthen(x[i]) - lengthen(y[i]));
  return static_cast<double>(std::sqrt(sum));
}

template <class T>
bool all_finite(const std::vector<T>& x) {
  return std::all_of(x.begin(), x.end(), [](T a) { return std::isfinite(std::abs(a)); });
}

/// Independent standard normals; both parts when complex.
template <Field T>
std::vector<T> gaussian(Index n, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  const auto uniform = [&] { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; };
  std::vector<T> x(at(n));
  for (T& a : x) {
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    const double angle = 2.0 * std::numbers::pi * uniform();
    if constexpr (ComplexField<T>) {
      a = static_cast<T>(std::complex<double>{radius * std::cos(angle), radius * std::sin(angle)});
    } else {
      a = static_cast<T>(radius * std::cos(angle));
    }
  }
  return x;
}

/// A dense matrix whose products are rounded once an element, from sums in long double.
template <Field T>
struct Dense {
  Index m = 0, n = 0;
  std::vector<T> a;  // column-major

  Dense(Index rows_, Index cols_) : m(rows_), n(cols_), a(at(rows_ * cols_)) {}
  Index rows() const { return m; }
  Index cols() const { return n; }
  T& operator()(Index i, Index j) { return a[at(i + j * m)]; }
  const T& operator()(Index i, Index j) const { return a[at(i + j * m)]; }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    for (Index i = 0; i < m; ++i) {
      Long<T> sum{};
      for (Index j = 0; j < n; ++j) sum += lengthen((*this)(i, j)) * lengthen(x[j]);
      y[i] = static_cast<T>(sum);
    }
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    for (Index j = 0; j < n; ++j) {
      Long<T> sum{};
      for (Index i = 0; i < m; ++i) sum += conj_long(lengthen((*this)(i, j))) * lengthen(x[i]);
      y[j] = static_cast<T>(sum);
    }
  }

  double frobenius() const { return norm(a); }
  Dense scaled(double s) const {
    Dense b = *this;
    for (T& x : b.a) x = static_cast<T>(static_cast<WideOf<T>>(x) * s);
    return b;
  }
};

template <Field T>
Dense<T> random_dense(Index m, Index n, std::uint64_t seed) {
  Dense<T> A(m, n);
  A.a = gaussian<T>(m * n, seed);
  return A;
}

/// Q diag(values) Pᴴ for m >= n with Q and P products of three random reflections each; P = Q when
/// `hermitian`. Exactly Hermitian then, in the rounded elements too.
template <Field T>
Dense<T> with_values(Index m, const std::vector<double>& values, bool hermitian,
                     std::uint64_t seed) {
  using L = Long<T>;
  const Index n = static_cast<Index>(values.size());
  std::vector<L> B(at(m * n), L{});
  for (Index j = 0; j < n; ++j) B[at(j + j * m)] = static_cast<long double>(values[at(j)]);
  const auto reflector = [&](Index size, std::uint64_t s) {
    const auto g = gaussian<std::conditional_t<ComplexField<T>, std::complex<double>, double>>(
        size, seed * 101 + s);
    std::vector<L> v(g.size());
    const long double length = norm(g);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<L>(g[i]) / length;
    return v;
  };
  for (std::uint64_t round = 0; round < 3; ++round) {
    const auto v = reflector(m, 2 * round);
    for (Index j = 0; j < n; ++j) {  // B = (I − 2vvᴴ) B
      L sum{};
      for (Index i = 0; i < m; ++i) sum += conj_long(v[at(i)]) * B[at(i + j * m)];
      for (Index i = 0; i < m; ++i) B[at(i + j * m)] -= 2.0L * v[at(i)] * sum;
    }
    const auto w = hermitian ? v : reflector(n, 2 * round + 1);
    for (Index i = 0; i < m; ++i) {  // B = B (I − 2wwᴴ)
      L sum{};
      for (Index j = 0; j < n; ++j) sum += B[at(i + j * m)] * w[at(j)];
      for (Index j = 0; j < n; ++j) B[at(i + j * m)] -= 2.0L * sum * conj_long(w[at(j)]);
    }
  }
  Dense<T> A(m, n);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < m; ++i) {
      const L x =
          hermitian ? (B[at(i + j * m)] + conj_long(B[at(j + i * m)])) / 2.0L : B[at(i + j * m)];
      A(i, j) = static_cast<T>(x);
    }
  }
  return A;
}

template <Field T>
Dense<T> hermitian(const std::vector<double>& eigenvalues, std::uint64_t seed) {
  return with_values<T>(static_cast<Index>(eigenvalues.size()), eigenvalues, true, seed);
}

/// n values from 1 down to 1/condition, in equal ratios.
inline std::vector<double> geometric(Index n, double condition) {
  std::vector<double> values(at(n));
  for (Index i = 0; i < n; ++i) {
    const double share = n > 1 ? static_cast<double>(i) / static_cast<double>(n - 1) : 0.0;
    values[at(i)] = std::pow(condition, -share);
  }
  return values;
}

/// diag(d)
template <Field T>
struct DiagonalMatrix {
  std::vector<T> d;

  Index rows() const { return static_cast<Index>(d.size()); }
  Index cols() const { return rows(); }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    for (Index i = 0; i < x.size; ++i) y[i] = d[at(i)] * x[i];
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    for (Index i = 0; i < x.size; ++i) {
      if constexpr (ComplexField<T>) {
        y[i] = std::conj(d[at(i)]) * x[i];
      } else {
        y[i] = d[at(i)] * x[i];
      }
    }
  }
};

template <Field T>
DiagonalMatrix<T> diagonal_matrix(const std::vector<double>& d) {
  DiagonalMatrix<T> D;
  for (const double x : d) D.d.push_back(static_cast<T>(static_cast<RealOf<T>>(x)));
  return D;
}

/// The second difference on p × q points with zero boundary, times `factor`; q = 1 for a line.
template <Field T>
struct Laplacian {
  Index p = 1, q = 1;
  double factor = 1.0;

  Index rows() const { return p * q; }
  Index cols() const { return p * q; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    using W = WideOf<T>;
    const double centre = q == 1 ? 2.0 : 4.0;
    for (Index j = 0; j < q; ++j) {
      for (Index i = 0; i < p; ++i) {
        const Index k = i + j * p;
        W sum = centre * static_cast<W>(x[k]);
        if (i > 0) sum -= static_cast<W>(x[k - 1]);
        if (i + 1 < p) sum -= static_cast<W>(x[k + 1]);
        if (j > 0) sum -= static_cast<W>(x[k - p]);
        if (j + 1 < q) sum -= static_cast<W>(x[k + p]);
        y[k] = static_cast<T>(factor * sum);
      }
    }
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const { apply(x, y); }

  /// Ascending.
  std::vector<double> eigenvalues() const {
    const auto along = [](Index i, Index points) {
      const double s = std::sin(std::numbers::pi * static_cast<double>(i) /
                                (2.0 * static_cast<double>(points + 1)));
      return 4.0 * s * s;
    };
    std::vector<double> values;
    for (Index i = 1; i <= p; ++i) {
      if (q == 1) {
        values.push_back(factor * along(i, p));
        continue;
      }
      for (Index j = 1; j <= q; ++j) values.push_back(factor * (along(i, p) + along(j, q)));
    }
    std::sort(values.begin(), values.end());
    return values;
  }
};

/// Wraps an operator: counts its products, and at a chosen one returns NaN or throws.
template <class A, Field T>
struct Faulty {
  const A& inner;
  Index nan_at = 0;  // 1 is the first product; 0 never
  Index throw_at = 0;
  T poison = static_cast<T>(std::numeric_limits<RealOf<T>>::quiet_NaN());
  mutable Index applied = 0, adjoint = 0;

  Index rows() const { return inner.rows(); }
  Index cols() const { return inner.cols(); }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    ++applied;
    inner.apply(x, y);
    fail(y);
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const
    requires AdjointOperator<A, T>
  {
    ++adjoint;
    inner.apply_adjoint(x, y);
    fail(y);
  }

 private:
  void fail(VectorView<T> y) const {
    if (applied + adjoint == nan_at && y.size > 0) y[y.size / 2] = poison;
    if (applied + adjoint == throw_at) throw 42;  // nothing that derives from std::exception
  }
};

template <Field T, class A>
Faulty<A, T> faulty(const A& inner, Index nan_at = 0, Index throw_at = 0) {
  return {inner, nan_at, throw_at};
}

/// ‖b − A x‖ with the products' elements as A rounds them not: A's own elements in long double.
template <Field T>
double residual_norm(const Dense<T>& A, const std::vector<T>& x, const std::vector<T>& b) {
  long double sum = 0;
  for (Index i = 0; i < A.m; ++i) {
    Long<T> r = lengthen(b[at(i)]);
    for (Index j = 0; j < A.n; ++j) r -= lengthen(A(i, j)) * lengthen(x[at(j)]);
    sum += std::norm(r);
  }
  return static_cast<double>(std::sqrt(sum));
}

/// Solves the square system by elimination with partial pivoting in long double.
template <class L>
std::vector<L> eliminate(std::vector<L> A, std::vector<L> b) {
  const Index n = static_cast<Index>(b.size());
  for (Index k = 0; k < n; ++k) {
    Index pivot = k;
    for (Index i = k + 1; i < n; ++i) {
      if (std::abs(A[at(i + k * n)]) > std::abs(A[at(pivot + k * n)])) pivot = i;
    }
    for (Index j = 0; j < n; ++j) std::swap(A[at(k + j * n)], A[at(pivot + j * n)]);
    std::swap(b[at(k)], b[at(pivot)]);
    for (Index i = k + 1; i < n; ++i) {
      const L f = A[at(i + k * n)] / A[at(k + k * n)];
      for (Index j = k; j < n; ++j) A[at(i + j * n)] -= f * A[at(k + j * n)];
      b[at(i)] -= f * b[at(k)];
    }
  }
  for (Index k = n - 1; k >= 0; --k) {
    for (Index j = k + 1; j < n; ++j) b[at(k)] -= A[at(k + j * n)] * b[at(j)];
    b[at(k)] /= A[at(k + k * n)];
  }
  return b;
}

/// The minimiser of ‖b − A x‖² + damp² ‖x − x0‖², by the normal equations in long double.
template <Field T>
std::vector<T> least_squares_solution(const Dense<T>& A, const std::vector<T>& b, double damp = 0.0,
                                      const std::vector<T>& x0 = {}) {
  using L = Long<T>;
  std::vector<L> N(at(A.n * A.n)), g(at(A.n));
  const long double damp2 = static_cast<long double>(damp) * damp;
  for (Index j = 0; j < A.n; ++j) {
    for (Index k = 0; k < A.n; ++k) {
      L sum{};
      for (Index i = 0; i < A.m; ++i) sum += conj_long(lengthen(A(i, j))) * lengthen(A(i, k));
      N[at(j + k * A.n)] = j == k ? sum + damp2 : sum;
    }
    for (Index i = 0; i < A.m; ++i) {
      g[at(j)] += conj_long(lengthen(A(i, j))) * lengthen(b[at(i)]);
    }
    if (!x0.empty()) g[at(j)] += damp2 * lengthen(x0[at(j)]);
  }
  const auto solution = eliminate(N, g);
  std::vector<T> x(solution.size());
  std::transform(solution.begin(), solution.end(), x.begin(),
                 [](L a) { return static_cast<T>(a); });
  return x;
}

}  // namespace ritz::testing
