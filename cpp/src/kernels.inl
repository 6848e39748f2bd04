// The text of every kernel, included once for each instruction set level inside its namespace,
// after `constexpr int kVectorBytes`. All here has internal linkage: were a function shared between
// levels, the linker might keep the copy that the running processor cannot execute.
//
// The loops are plain; what makes compilers turn them into vector code is said where it is done.
// Complex numbers are pairs of reals, because a product of std::complex calls a function that looks
// for infinities.

namespace {

// ---- elements -----------------------------------------------------------------------------------

template <class R>
struct Pair {
  R re, im;
};

inline float load(const float* x, Index i) { return x[i]; }
inline double load(const double* x, Index i) { return x[i]; }
template <class R>
inline Pair<R> load(const std::complex<R>* x, Index i) {
  const R* parts = reinterpret_cast<const R*>(x);
  return {parts[2 * i], parts[2 * i + 1]};
}

inline void store(float* x, Index i, float v) { x[i] = v; }
inline void store(double* x, Index i, double v) { x[i] = v; }
template <class R>
inline void store(std::complex<R>* x, Index i, Pair<R> v) {
  R* parts = reinterpret_cast<R*>(x);
  parts[2 * i] = v.re;
  parts[2 * i + 1] = v.im;
}

/// A coefficient in the precision of the vectors.
template <Field T>
inline auto coefficient(const WideOf<T>& a) {
  using R = RealOf<T>;
  if constexpr (ComplexField<T>) {
    const Pair<double> v = load(&a, 0);
    return Pair<R>{static_cast<R>(v.re), static_cast<R>(v.im)};
  } else {
    return static_cast<R>(a);
  }
}
template <Field T>
using ElementOf = decltype(coefficient<T>(WideOf<T>{}));

inline double wide(double x) { return x; }
inline double wide(float x) { return static_cast<double>(x); }
template <class R>
inline Pair<double> wide(Pair<R> x) {
  return {wide(x.re), wide(x.im)};
}

inline void narrow(double from, float& to) { to = static_cast<float>(from); }
inline void narrow(double from, double& to) { to = from; }
template <class R>
inline void narrow(Pair<double> from, Pair<R>& to) {
  narrow(from.re, to.re);
  narrow(from.im, to.im);
}

inline double result(double x) { return x; }
inline std::complex<double> result(Pair<double> x) { return {x.re, x.im}; }

template <class R>
inline Pair<R> operator+(Pair<R> a, Pair<R> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class R>
inline Pair<R> operator-(Pair<R> a) {
  return {-a.re, -a.im};
}
template <class R>
inline Pair<R> operator*(Pair<R> a, Pair<R> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class R>
inline Pair<R> operator*(R a, Pair<R> b) {
  return {a * b.re, a * b.im};
}

inline float conjugate(float x) { return x; }
inline double conjugate(double x) { return x; }
template <class R>
inline Pair<R> conjugate(Pair<R> x) {
  return {x.re, -x.im};
}

inline double real_product(double x, double y) { return x * y; }
inline double real_product(Pair<double> x, Pair<double> y) { return x.re * y.re + x.im * y.im; }

/// |x|², in double precision.
template <class E>
inline double square(E x) {
  return real_product(wide(x), wide(x));
}

// ---- loops --------------------------------------------------------------------------------------

/// Runs body(i) for i in [0, n). ivdep: vectors that share memory are the same vector, so iteration
/// i touches only elements i.
template <class Body>
inline void each(Index n, Body body) {
#pragma GCC ivdep
  for (Index i = 0; i < n; ++i) body(i);
}

/// L running sums, which stay in registers because every index is known at compile time.
template <class E, int L>
struct Sums {
  E lane[L] = {};

  void add(int l, E x) { lane[l] += x; }
  E total() const {
    E t[L];
    for (int l = 0; l < L; ++l) t[l] = lane[l];
    for (int half = L / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) t[l] += t[l + half];
    }
    return t[0];
  }
};
template <class R, int L>
struct Sums<Pair<R>, L> {
  Sums<R, L> re, im;

  void add(int l, Pair<R> x) {
    re.add(l, x.re);
    im.add(l, x.im);
  }
  Pair<R> total() const { return {re.total(), im.total()}; }
};

/// Lanes of a sum: four vectors of doubles, so that four additions are under way at once and the
/// sum is limited by loads rather than by the latency of an addition.
constexpr int kLanes = 4 * kVectorBytes / 8;

/// Σ term(i) for i in [0, n).
template <class E, class Term>
inline E sum(Index n, Term term) {
  Sums<E, kLanes> sums;
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma GCC ivdep
    for (int l = 0; l < kLanes; ++l) sums.add(l, term(i + l));
  }
  Sums<E, 1> rest;
  for (; i < n; ++i) rest.add(0, term(i));
  return sums.total() + rest.total();
}

// ---- updates ------------------------------------------------------------------------------------

template <Field T>
void scaled_copy(Index n, WideOf<T> a, const T* x, T* y) {
  const auto ca = coefficient<T>(a);
  each(n, [=](Index i) { store(y, i, ca * load(x, i)); });
}

template <Field T>
double scaled_copy_norm2(Index n, WideOf<T> a, const T* x, T* y) {
  const auto ca = coefficient<T>(a);
  return sum<double>(n, [=](Index i) {
    const auto v = ca * load(x, i);
    store(y, i, v);
    return square(v);
  });
}

template <Field T>
void axpby(Index n, WideOf<T> a, const T* x, WideOf<T> b, T* y) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  each(n, [=](Index i) { store(y, i, ca * load(x, i) + cb * load(y, i)); });
}

template <Field T>
double axpby_norm2(Index n, WideOf<T> a, const T* x, WideOf<T> b, T* y) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  return sum<double>(n, [=](Index i) {
    const auto v = ca * load(x, i) + cb * load(y, i);
    store(y, i, v);
    return square(v);
  });
}

template <Field T>
void axpy_xpby(Index n, WideOf<T> a, T* p, T* x, WideOf<T> b, const T* r) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  each(n, [=](Index i) {
    const auto pi = load(p, i);
    store(x, i, load(x, i) + ca * pi);
    store(p, i, load(r, i) + cb * pi);
  });
}

template <Field T>
double update3(Index n, WideOf<T> a, T* g, WideOf<T> b, T* x, WideOf<T> c, const T* v, WideOf<T> d,
               T* h) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  const auto cc = coefficient<T>(c), cd = coefficient<T>(d);
  return sum<double>(n, [=](Index i) {
    const auto hi = load(h, i);
    const auto gi = hi + ca * load(g, i);
    store(g, i, gi);
    const auto xi = load(x, i) + cb * gi;
    store(x, i, xi);
    store(h, i, cc * load(v, i) + cd * hi);
    return square(xi);
  });
}

template <Field T>
void rotate2(Index n, double c, WideOf<T> s, T* x, T* y) {
  const auto cc = static_cast<RealOf<T>>(c);
  const auto cs = coefficient<T>(s);
  each(n, [=](Index i) {
    const auto xi = load(x, i), yi = load(y, i);
    store(x, i, cc * xi + cs * yi);
    store(y, i, -conjugate(cs) * xi + cc * yi);
  });
}

template <Field T>
void shift_step(Index n, WideOf<T> a, WideOf<T> b, WideOf<T> z, const T* r, T* x, T* p) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b), cz = coefficient<T>(z);
  each(n, [=](Index i) {
    const auto pi = load(p, i);
    store(x, i, load(x, i) + ca * pi);
    store(p, i, cz * load(r, i) + cb * pi);
  });
}

// ---- reductions ---------------------------------------------------------------------------------

template <Field T>
WideOf<T> dot(Index n, const T* x, const T* y) {
  using Wide = decltype(wide(ElementOf<T>{}));
  return result(
      sum<Wide>(n, [=](Index i) { return conjugate(wide(load(x, i))) * wide(load(y, i)); }));
}

template <Field T>
double real_dot(Index n, const T* x, const T* y) {
  return sum<double>(n, [=](Index i) { return real_product(wide(load(x, i)), wide(load(y, i))); });
}

template <Field T>
double norm2(Index n, const T* x) {
  return sum<double>(n, [=](Index i) { return square(load(x, i)); });
}

// ---- panels of columns --------------------------------------------------------------------------

/// Lanes of each of C sums, so that all sums together take eight vector registers.
template <int C>
constexpr int kPanelLanes = (C > 4   ? 1
                             : C > 2 ? 2
                                     : 4) *
                            kVectorBytes / 8;

template <int C, bool kConjugate, Field T>
void project_panel(Index n, const T* V, Index ld, const T* w, WideOf<T>* sums) {
  using Wide = decltype(wide(ElementOf<T>{}));
  constexpr int kLanesEach = kPanelLanes < ComplexField<T> ? 2 * C : C > ;
  const auto term = [=](int c, Index i) {
    const Wide v = wide(load(V + c * ld, i));
    return (kConjugate ? conjugate(v) : v) * wide(load(w, i));
  };
  Sums<Wide, kLanesEach> s[C];
  Index i = 0;
  for (; i + kLanesEach <= n; i += kLanesEach) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
#pragma GCC ivdep
      for (int l = 0; l < kLanesEach; ++l) s[c].add(l, term(c, i + l));
    }
  }
  Sums<Wide, 1> rest[C];
  for (; i < n; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) rest[c].add(0, term(c, i));
  }
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c) {
    store(sums, c, load(sums, c) + (s[c].total() + rest[c].total()));
  }
}

template <int C, bool kConjugate, Field T>
void add_panel(Index n, const T* V, Index ld, const WideOf<T>* h, T* y) {
  ElementOf<T> ch[C];
  for (int c = 0; c < C; ++c) ch[c] = coefficient<T>(h[c]);
  each(n, [=](Index i) {
    ElementOf<T> v = load(y, i);
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      const auto x = load(V + c * ld, i);
      v = v + ch[c] * (kConjugate ? conjugate(x) : x);
    }
    store(y, i, v);
  });
}

template <int C, Field T>
void combine_panel(Index n, Index k, const T* A, Index lda, const WideOf<T>* S, Index lds, T* V,
                   Index ld) {
  using E = ElementOf<T>;
  const auto strip = [=]<int L>(Index i, std::integral_constant<int, L>) {
    Sums<E, L> s[C];
    for (Index j = 0; j < k; ++j) {
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const E sj = coefficient<T>(S[j + c * lds]);
#pragma GCC ivdep
        for (int l = 0; l < L; ++l) s[c].add(l, load(A + j * lda, i + l) * sj);
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
#pragma GCC ivdep
      for (int l = 0; l < L; ++l) {
        if constexpr (ComplexField<T>) {
          store(V + c * ld, i + l, {s[c].re.lane[l], s[c].im.lane[l]});
        } else {
          store(V + c * ld, i + l, s[c].lane[l]);
        }
      }
    }
  };
  constexpr int kStrip = kVectorBytes / static_cast<int>(sizeof(RealOf<T>));
  Index i = 0;
  for (; i + kStrip <= n; i += kStrip) strip(i, std::integral_constant<int, kStrip>{});
  for (; i < n; ++i) strip(i, std::integral_constant<int, 1>{});
}

/// Calls panel<C>(first column) with C = 8 or, where that is more than kMax or than what is left,
/// 4, 2 and 1 until `cols` columns are done.
template <int kMax, class Panel>
inline void split_columns(Index cols, Panel panel) {
  Index c = 0;
  const auto run = [&]<int C>(std::integral_constant<int, C> width) {
    if constexpr (C <= kMax) {
      for (; c + C <= cols; c += C) panel(width, c);
    }
  };
  run(std::integral_constant<int, 8>{});
  run(std::integral_constant<int, 4>{});
  run(std::integral_constant<int, 2>{});
  run(std::integral_constant<int, 1>{});
}

/// A complex sum takes two registers.
template <Field T>
constexpr int kMaxPanel = ComplexField<T> ? 4 : 8;

template <bool kConjugate, Field T>
void project(Index n, Index cols, const T* V, Index ld, const T* w, WideOf<T>* sums) {
  split_columns<kMaxPanel<T>>(cols, [=]<int C>(std::integral_constant<int, C>, Index c) {
    project_panel<C, kConjugate>(n, V + c * ld, ld, w, sums + c);
  });
}

template <bool kConjugate, Field T>
void add_columns(Index n, Index cols, const T* V, Index ld, const WideOf<T>* h, T* y) {
  split_columns<8>(cols, [=]<int C>(std::integral_constant<int, C>, Index c) {
    add_panel<C, kConjugate>(n, V + c * ld, ld, h + c, y);
  });
}

template <Field T>
void combine(Index n, Index k, const T* A, Index lda, const WideOf<T>* S, Index lds, Index cols,
             T* V, Index ld) {
  split_columns<kMaxPanel<T>>(cols, [=]<int C>(std::integral_constant<int, C>, Index c) {
    combine_panel<C>(n, k, A, lda, S + c * lds, lds, V + c * ld, ld);
  });
}

// ---- elementwise --------------------------------------------------------------------------------

template <Field T>
void multiply(Index n, const T* d, const T* x, T* y) {
  each(n, [=](Index i) { store(y, i, load(d, i) * load(x, i)); });
}

template <Field T>
void multiply_add(Index n, WideOf<T> a, const T* d, const T* x, T* y) {
  const auto ca = coefficient<T>(a);
  each(n, [=](Index i) { store(y, i, load(y, i) + ca * load(d, i) * load(x, i)); });
}

/// In double precision throughout: the square of a float may overflow where a |x|² does not.
template <Field T>
void add_squares(Index n, WideOf<T> a, const T* x, T* y) {
  const auto ca = load(&a, 0);
  each(n, [=](Index i) {
    ElementOf<T> v;
    narrow(wide(load(y, i)) + square(load(x, i)) * ca, v);
    store(y, i, v);
  });
}

template <class R>
inline R inverse(R x) {
  return R{1} / x;
}
/// Smith's division, which neither overflows nor underflows where 1 / x does not.
template <class R>
inline Pair<R> inverse(Pair<R> x) {
  const bool wider = (x.re < 0 ? -x.re : x.re) >= (x.im < 0 ? -x.im : x.im);
  const R large = wider ? x.re : x.im;
  const R small = wider ? x.im : x.re;
  const R slope = small / large;
  const R scale = R{1} / (large + small * slope);
  return wider ? Pair<R>{scale, -slope * scale} : Pair<R>{slope * scale, -scale};
}

inline bool is_zero(float x) { return x == 0; }
inline bool is_zero(double x) { return x == 0; }
template <class R>
inline bool is_zero(Pair<R> x) {
  return x.re == 0 && x.im == 0;
}

template <Field T>
void reciprocal(Index n, const T* x, T* y) {
  const auto one = coefficient<T>(1.0);
  each(n, [=](Index i) {
    const auto xi = load(x, i);
    store(y, i, is_zero(xi) ? one : inverse(is_zero(xi) ? one : xi));
  });
}

template <Field T>
void cast(Index n, const T* x, typename KernelTable<T>::Other* y) {
  using Other = typename KernelTable<T>::Other;
  each(n, [=](Index i) {
    ElementOf<Other> v;
    narrow(wide(load(x, i)), v);
    store(y, i, v);
  });
}

// ---- random fills -------------------------------------------------------------------------------

template <Field T>
void random_signs(RandomKey key, Index first, Index n, T* x) {
  for (Index i = 0; i < n;) {
    const philox::Block bits = philox::bits(key.seed, key.stream, (first + i) / 128);
    for (Index k = (first + i) % 128; k < 128 && i < n; ++k, ++i) {
      const std::uint32_t bit = bits[static_cast<std::size_t>(k / 32)] >> (k % 32) & 1u;
      store(x, i, coefficient<T>(bit != 0 ? -1.0 : 1.0));
    }
  }
}

template <Field T>
void random_uniform(RandomKey key, Index first, Index n, T* x) {
  for (Index i = 0; i < n; ++i) {
    const auto u = philox::uniform2(key.seed, key.stream, first + i);
    if constexpr (ComplexField<T>) {
      store(x, i, coefficient<T>({u.first, u.second}));
    } else {
      store(x, i, coefficient<T>(u.first));
    }
  }
}

// ---- table --------------------------------------------------------------------------------------

template <Field T>
constexpr KernelTable<T> table_of() {
  return {.scaled_copy = scaled_copy<T>,
          .scaled_copy_norm2 = scaled_copy_norm2<T>,
          .axpby = axpby<T>,
          .axpby_norm2 = axpby_norm2<T>,
          .axpy_xpby = axpy_xpby<T>,
          .update3 = update3<T>,
          .rotate2 = rotate2<T>,
          .shift_step = shift_step<T>,
          .dot = dot<T>,
          .real_dot = real_dot<T>,
          .norm2 = norm2<T>,
          .project = project<true, T>,
          .project_transpose = project<false, T>,
          .add_columns = add_columns<false, T>,
          .add_conjugate_columns = add_columns<true, T>,
          .combine = combine<T>,
          .multiply = multiply<T>,
          .multiply_add = multiply_add<T>,
          .add_squares = add_squares<T>,
          .reciprocal = reciprocal<T>,
          .cast = cast<T>,
          .random_signs = random_signs<T>,
          .random_uniform = random_uniform<T>};
}

}  // namespace

constinit const Tables tables = {
    .f32 = table_of<float>(),
    .f64 = table_of<double>(),
    .c64 = table_of<std::complex<float>>(),
    .c128 = table_of<std::complex<double>>(),
};
