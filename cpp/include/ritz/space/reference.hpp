// The oracle: every operation as a naive loop, sums in long double. Never fast, never clever.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include "ritz/core/comm.hpp"
#include "ritz/sketch/philox.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

template <Field T>
class ReferenceSpace : public HostRecurrences<WideOf<T>> {
 public:
  using Value = T;
  using Scalar = WideOf<T>;
  using Real = double;
  using Coefficient = WideOf<T>;
  using Slots = std::span<Scalar>;
  using Buffer = std::shared_ptr<void>;
  static constexpr bool kReadsAreFree = true;

  ReferenceSpace() = default;
  explicit ReferenceSpace(Comm comm) : comm_(comm) {}

  Buffer allocate(std::size_t bytes) {
    return {::operator new(bytes, std::align_val_t{64}),
            [](void* p) { ::operator delete(p, std::align_val_t{64}); }};
  }

  using HostRecurrences<WideOf<T>>::read;
  static double read(double x) { return x; }
  static std::complex<double> read(std::complex<double> x) { return x; }
  static void read(Slots h, std::span<Scalar> values) {
    std::copy(h.begin(), h.end(), values.begin());
  }
  static bool freeze_below(Real x, double bound) { return x <= bound; }
  void thaw() {}

  void copy(VectorView<const T> x, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) y[i] = x[i];
  }
  void fill(Coefficient a, VectorView<T> x) {
    for (Index i = 0; i < x.size; ++i) x[i] = narrow(a);
  }
  void scale(Coefficient a, VectorView<T> x) {
    for (Index i = 0; i < x.size; ++i) x[i] = narrow(a * wide(x[i]));
  }
  void axpby(Coefficient a, VectorView<const T> x, Coefficient b, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) {
      y[i] = narrow(b == Coefficient{} ? a * wide(x[i]) : a * wide(x[i]) + b * wide(y[i]));
    }
  }

  Scalar dot(VectorView<const T> x, VectorView<const T> y) { return reduced(local_dot(x, y)); }
  Real real_dot(VectorView<const T> x, VectorView<const T> y) { return std::real(dot(x, y)); }
  Real norm2(VectorView<const T> x) { return std::real(dot(x, x)); }
  static Real norm2_slots(Slots h) {
    Real sum = 0.0;
    for (const Scalar& x : h) sum += std::norm(x);
    return sum;
  }

  struct Pair {
    VectorView<const T> x, y;
  };
  template <std::size_t K>
  std::array<Scalar, K> dots(const Pair (&pairs)[K]) {
    std::array<Scalar, K> sums;
    for (std::size_t k = 0; k < K; ++k) sums[k] = local_dot(pairs[k].x, pairs[k].y);
    reduce(sums);
    return sums;
  }

  Real axpby_norm2(Coefficient a, VectorView<const T> x, Coefficient b, VectorView<T> y) {
    axpby(a, x, b, y);
    return norm2(y);
  }
  Real axpy_norm2(Coefficient a, VectorView<const T> x, VectorView<T> y) {
    return axpby_norm2(a, x, 1.0, y);
  }
  Real add3_norm2(Coefficient a, VectorView<const T> x, Coefficient b, VectorView<const T> y,
                  Coefficient c, VectorView<T> z) {
    for (Index i = 0; i < z.size; ++i) {
      const Scalar second = b == Coefficient{} ? Scalar{} : b * wide(y[i]);
      const Scalar last = c == Coefficient{} ? Scalar{} : c * wide(z[i]);
      z[i] = narrow(a * wide(x[i]) + second + last);
    }
    return norm2(z);
  }
  void axpy_xpby(Coefficient a, VectorView<T> p, VectorView<T> x, Coefficient b,
                 VectorView<const T> r) {
    for (Index i = 0; i < p.size; ++i) {
      x[i] = narrow(wide(x[i]) + a * wide(p[i]));
      p[i] = narrow(wide(r[i]) + b * wide(p[i]));
    }
  }
  void step3(Coefficient a, VectorView<const T> v, Coefficient b, VectorView<T> w, Coefficient c,
             VectorView<const T> u, Coefficient d, VectorView<T> x) {
    for (Index i = 0; i < x.size; ++i) {
      Scalar sum = a * wide(v[i]);
      if (b != Coefficient{}) sum += b * wide(w[i]);
      if (c != Coefficient{}) sum += c * wide(u[i]);
      w[i] = narrow(sum);
      x[i] = narrow(wide(x[i]) + d * wide(w[i]));
    }
  }
  Real update3(Coefficient a, VectorView<T> g, Coefficient b, VectorView<T> x, Coefficient c,
               VectorView<const T> v, Coefficient d, VectorView<T> h) {
    for (Index i = 0; i < x.size; ++i) {
      g[i] = narrow(wide(h[i]) + a * wide(g[i]));
      x[i] = narrow(wide(x[i]) + b * wide(g[i]));
      h[i] = narrow(c * wide(v[i]) + d * wide(h[i]));
    }
    return norm2(x);
  }
  void rotate2(Coefficient c, Coefficient s, VectorView<T> x, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) {
      const Scalar xi = wide(x[i]), yi = wide(y[i]);
      x[i] = narrow(c * xi + s * yi);
      y[i] = narrow(-conjugate(s) * xi + c * yi);
    }
  }
  void multi_shift(std::span<const Scalar> a, std::span<const Scalar> b, std::span<const Scalar> z,
                   VectorView<const T> r, BlockView<T> X, BlockView<T> P) {
    for (Index j = 0; j < X.cols; ++j) {
      const auto k = static_cast<std::size_t>(j);
      for (Index i = 0; i < r.size; ++i) {
        X(i, j) = narrow(wide(X(i, j)) + a[k] * wide(P(i, j)));
        P(i, j) = narrow(z[k] * wide(r[i]) + b[k] * wide(P(i, j)));
      }
    }
  }

  void project(BlockView<const T> V, VectorView<const T> w, Slots h) {
    for (Index j = 0; j < V.cols; ++j) {
      h[static_cast<std::size_t>(j)] = local_dot(V.column(j), w);
    }
    reduce(h.first(static_cast<std::size_t>(V.cols)));
  }
  void axpy_columns(BlockView<const T> V, std::span<const Scalar> h, VectorView<T> y) {
    add_columns(V, h, 1.0, y);
  }
  void subtract_project(BlockView<const T> V, std::span<const Scalar> h, VectorView<T> w, Slots g) {
    add_columns(V, h, -1.0, w);
    project(V, w, g);
  }
  Real subtract_norm2(BlockView<const T> V, std::span<const Scalar> h, VectorView<T> w) {
    add_columns(V, h, -1.0, w);
    return norm2(w);
  }
  void project_block(BlockView<const T> V, BlockView<const T> W, Slots h) {
    for (Index c = 0; c < W.cols; ++c) {
      for (Index j = 0; j < V.cols; ++j) {
        h[static_cast<std::size_t>(j + c * V.cols)] = local_dot(V.column(j), W.column(c));
      }
    }
    reduce(h.first(static_cast<std::size_t>(V.cols * W.cols)));
  }
  void subtract_block(BlockView<const T> V, std::span<const Scalar> h, BlockView<T> W) {
    const auto k = static_cast<std::size_t>(V.cols);
    for (Index c = 0; c < W.cols; ++c) {
      add_columns(V, h.subspan(static_cast<std::size_t>(c) * k, k), -1.0, W.column(c));
    }
  }
  void combine(BlockView<T> V, BlockView<const WideOf<T>> S) {
    std::vector<Scalar> row(static_cast<std::size_t>(S.cols));
    for (Index i = 0; i < V.rows; ++i) {
      for (Index j = 0; j < S.cols; ++j) {
        Scalar sum{};
        for (Index k = 0; k < S.rows; ++k) sum += wide(V(i, k)) * S(k, j);
        row[static_cast<std::size_t>(j)] = sum;
      }
      for (Index j = 0; j < S.cols; ++j) V(i, j) = narrow(row[static_cast<std::size_t>(j)]);
    }
  }

  void multiply(VectorView<const T> d, VectorView<const T> x, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) y[i] = narrow(wide(d[i]) * wide(x[i]));
  }
  void multiply_add(Coefficient a, VectorView<const T> d, VectorView<const T> x, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) y[i] = narrow(wide(y[i]) + a * wide(d[i]) * wide(x[i]));
  }
  void multiply_add_conjugate(Coefficient a, VectorView<const T> d, VectorView<const T> x,
                              VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) {
      y[i] = narrow(wide(y[i]) + a * wide(d[i]) * conjugate(wide(x[i])));
    }
  }
  void add_squares(Coefficient a, VectorView<const T> x, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) {
      y[i] = narrow(wide(y[i]) + a * wide(x[i]) * conjugate(wide(x[i])));
    }
  }
  void reciprocal(VectorView<const T> x, VectorView<T> y) {
    for (Index i = 0; i < x.size; ++i) {
      y[i] = x[i] == T{} ? narrow(Scalar{1.0}) : narrow(1.0 / wide(x[i]));
    }
  }
  template <Field U>
    requires(ComplexField<U> == ComplexField<T>)
  void cast(VectorView<const T> x, VectorView<U> y) {
    for (Index i = 0; i < x.size; ++i) y[i] = static_cast<U>(x[i]);
  }

  void random_signs(RandomKey key, VectorView<T> x) {
    for (Index i = 0; i < x.size; ++i) x[i] = narrow(philox::sign(key.seed, key.stream, i));
  }
  void random_uniform(RandomKey key, VectorView<T> x) {
    for (Index i = 0; i < x.size; ++i) {
      const auto [u, v] = philox::uniform2(key.seed, key.stream, i);
      if constexpr (ComplexField<T>) {
        x[i] = narrow({u, v});
      } else {
        x[i] = narrow(u);
      }
    }
  }
  void random_normal(RandomKey key, VectorView<T> x) {
    for (Index i = 0; i < x.size; ++i) philox::normals(key.seed, key.stream, i, 1, &x[i]);
  }

 private:
  static Scalar wide(T x) { return static_cast<Scalar>(x); }
  static T narrow(Scalar x) { return static_cast<T>(x); }

  static Scalar local_dot(VectorView<const T> x, VectorView<const T> y) {
    using Long = std::conditional_t<ComplexField<T>, std::complex<long double>, long double>;
    Long sum{};
    for (Index i = 0; i < x.size; ++i) {
      sum += static_cast<Long>(conjugate(wide(x[i]))) * static_cast<Long>(wide(y[i]));
    }
    return static_cast<Scalar>(sum);
  }
  static void add_columns(BlockView<const T> V, std::span<const Scalar> h, double sign,
                          VectorView<T> y) {
    for (Index i = 0; i < y.size; ++i) {
      Scalar sum = wide(y[i]);
      for (Index j = 0; j < V.cols; ++j) {
        sum += sign * h[static_cast<std::size_t>(j)] * wide(V(i, j));
      }
      y[i] = narrow(sum);
    }
  }

  void reduce(std::span<Scalar> sums) {
    if (!comm_.allreduce_sum) return;
    constexpr Index kDoubles = sizeof(Scalar) / sizeof(double);
    comm_.allreduce_sum(reinterpret_cast<double*>(sums.data()),
                        kDoubles * static_cast<Index>(sums.size()));
  }
  Scalar reduced(Scalar sum) {
    reduce({&sum, 1});
    return sum;
  }

  Comm comm_;
};

}  // namespace ritz
