// The text of every kernel, included once for each instruction set level inside its namespace,
// after `constexpr int kVectorBytes`. All here has internal linkage: were a function shared between
// levels, the linker might keep the copy that the running processor cannot execute.
//
// A kernel is a formula for one place of its vectors, written once. `Strip` evaluates it for as
// many neighbouring places as a vector register holds, `Single` for one place at the end. Registers
// are the vector types that GCC and Clang share: a compiler left to itself keeps the running sums
// of such loops in memory. Complex numbers are pairs, of numbers or of registers, because a product
// of std::complex calls a function that looks for infinities.

namespace {

// ---- registers ----------------------------------------------------------------------------------

/// L numbers in a vector register.
template <class R, int L>
struct Lanes {
  typedef R Vector __attribute__((vector_size(sizeof(R) * L)));
  Vector v;

  friend Lanes operator+(Lanes a, Lanes b) { return {a.v + b.v}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {a.v - b.v}; }
  friend Lanes operator-(Lanes a) { return {-a.v}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {a.v * b.v}; }
  friend Lanes operator*(R a, Lanes b) { return {a * b.v}; }
};

/// A complex number, or L of them.
template <class E>
struct Pair {
  E re, im;
};
template <class E>
inline Pair<E> operator+(Pair<E> a, Pair<E> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class E>
inline Pair<E> operator-(Pair<E> a) {
  return {-a.re, -a.im};
}
template <class A, class E>
inline Pair<E> operator*(Pair<A> a, Pair<E> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class R, class E>
  requires(RealField<R>)
inline Pair<E> operator*(R a, Pair<E> b) {
  return {a * b.re, a * b.im};
}

template <class E>
inline E conjugate(E x) {
  return x;
}
template <class E>
inline Pair<E> conjugate(Pair<E> x) {
  return {x.re, -x.im};
}

/// Re x̄ y
template <class E>
inline E real_product(E x, E y) {
  return x * y;
}
template <class E>
inline E real_product(Pair<E> x, Pair<E> y) {
  return x.re * y.re + x.im * y.im;
}

/// The same numbers in precision R.
template <class R>
inline R convert(float x) {
  return static_cast<R>(x);
}
template <class R>
inline R convert(double x) {
  return static_cast<R>(x);
}
template <class R, class From, int L>
inline Lanes<R, L> convert(Lanes<From, L> x) {
#if defined(__AVX2__) && !defined(__clang__)
  // GCC 12 would widen the halves one after the other and join them: five instructions for one.
  if constexpr (sizeof(From) == 4 && sizeof(R) == 8 && kVectorBytes > 16 && L * 8 == kVectorBytes) {
    Lanes<R, L> wider;
    asm("vcvtps2pd %1, %0" : "=v"(wider.v) : "vm"(x.v));
    return wider;
  }
#endif
  return {__builtin_convertvector(x.v, typename Lanes<R, L>::Vector)};
}
template <class R, class E>
inline auto convert(Pair<E> x) {
  return Pair<decltype(convert<R>(x.re))>{convert<R>(x.re), convert<R>(x.im)};
}

template <class E>
inline auto wide(E x) {
  return convert<double>(x);
}

/// |x|², in double precision.
template <class E>
inline auto square(E x) {
  return real_product(wide(x), wide(x));
}

inline double total(double x) { return x; }
template <int L>
inline double total(Lanes<double, L> x) {
  // By halves, as a tree.
  double t[L];
  for (int l = 0; l < L; ++l) t[l] = x.v[l];
  for (int half = L / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) t[l] += t[l + half];
  }
  return t[0];
}
template <class E>
inline Pair<double> total(Pair<E> x) {
  return {total(x.re), total(x.im)};
}

// ---- places -------------------------------------------------------------------------------------

/// Place i.
struct Single {
  Index i;

  template <class R>
  R load(const R* x) const {
    return x[i];
  }
  template <class R>
  Pair<R> load(const std::complex<R>* x) const {
    const R* parts = reinterpret_cast<const R*>(x);
    return {parts[2 * i], parts[2 * i + 1]};
  }
  template <class R>
  void store(R* x, R v) const {
    x[i] = v;
  }
  template <class R>
  void store(std::complex<R>* x, Pair<R> v) const {
    R* parts = reinterpret_cast<R*>(x);
    parts[2 * i] = v.re;
    parts[2 * i + 1] = v.im;
  }
};

/// Places [i, i + L).
template <int L>
struct Strip {
  Index i;

  template <class R>
  Lanes<R, L> load(const R* x) const {
    Lanes<R, L> v;
    __builtin_memcpy(&v, x + i, sizeof v);
    return v;
  }
  template <class R>
  Pair<Lanes<R, L>> load(const std::complex<R>* x) const {
    const R* parts = reinterpret_cast<const R*>(x);
    return split(Strip{2 * i}.load(parts), Strip{2 * i + L}.load(parts),
                 std::make_integer_sequence<int, L>{});
  }
  template <class R>
  void store(R* x, Lanes<R, L> v) const {
    __builtin_memcpy(x + i, &v, sizeof v);
  }
  template <class R>
  void store(std::complex<R>* x, Pair<Lanes<R, L>> v) const {
    R* parts = reinterpret_cast<R*>(x);
    const auto sequence = std::make_integer_sequence<int, L>{};
    Strip{2 * i}.store(parts, join<0>(v, sequence));
    Strip{2 * i + L}.store(parts, join<1>(v, sequence));
  }

  /// The place that lane l holds of complex numbers of precision R.
  template <class R>
  static constexpr int place(int l) {
    return source<R>(l, 0) / 2;
  }

 private:
  // Real and imaginary parts are told apart within groups of 16 bytes, which every level shuffles
  // in one instruction. So lanes hold the places of a strip in another order, the same for all
  // vectors of one precision.
  template <class R>
  static constexpr int kGroup = L < 16 / static_cast<int>(sizeof(R)) ? L : 16 / sizeof(R);

  /// Where lane l of the parts comes from in the numbers one after the other, a before b.
  template <class R>
  static constexpr int source(int l, int part) {
    const int group = l / kGroup<R> * kGroup<R>, k = l % kGroup<R>;
    constexpr int kHalf = kGroup<R> / 2;
    return (k < kHalf ? group + 2 * k : L + group + 2 * (k - kHalf)) + part;
  }
  template <class R, int... l>
  static Pair<Lanes<R, L>> split(Lanes<R, L> a, Lanes<R, L> b, std::integer_sequence<int, l...>) {
    return {{__builtin_shufflevector(a.v, b.v, source<R>(l, 0)...)},
            {__builtin_shufflevector(a.v, b.v, source<R>(l, 1)...)}};
  }
  /// The first or the second half of the numbers: the inverse of `split`.
  template <int kHalf, class R, int... l>
  static Lanes<R, L> join(Pair<Lanes<R, L>> v, std::integer_sequence<int, l...>) {
    constexpr int kStep = kGroup<R> / 2;
    return {__builtin_shufflevector(
        v.re.v, v.im.v,
        (l / kGroup<R> * kGroup<R> + kHalf * kStep + l % kGroup<R> / 2 + l % 2 * L)...)};
  }
};

/// Lanes of sums, which are in double precision, and of results in the precision of T.
constexpr int kSumLanes = kVectorBytes / 8;
template <Field T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(RealOf<T>));

/// A coefficient in the precision of the vectors.
template <Field T>
inline auto coefficient(const WideOf<T>& a) {
  return convert<RealOf<T>>(Single{0}.load(&a));
}

inline bool is_zero(double x) { return x == 0; }
inline bool is_zero(Pair<double> x) { return x.re == 0 && x.im == 0; }
/// Whether a term with this coefficient is left out, its vector unread.
template <Field T>
inline bool absent(const WideOf<T>& a) {
  return is_zero(Single{0}.load(&a));
}

inline double result(double x) { return x; }
inline std::complex<double> result(Pair<double> x) { return {x.re, x.im}; }

// ---- loops --------------------------------------------------------------------------------------

/// body(place) for all of [0, n), L places at a time. Vectors that share memory are the same
/// vector, so no place depends on another.
template <int L, class Body>
inline void each(Index n, Body body) {
  Index i = 0;
  for (; i + L <= n; i += L) body(Strip<L>{i});
  for (; i < n; ++i) body(Single{i});
}

/// Σ term(place) for all of [0, n). Four sums are under way at once, so that loads are waited for
/// and not the latency of an addition.
template <class Term>
inline auto sum(Index n, Term term) {
  constexpr int L = kSumLanes;
  decltype(term(Strip<L>{0})) a{}, b{}, c{}, d{};
  decltype(term(Single{0})) rest{};
  Index i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    a = a + term(Strip<L>{i});
    b = b + term(Strip<L>{i + L});
    c = c + term(Strip<L>{i + 2 * L});
    d = d + term(Strip<L>{i + 3 * L});
  }
  for (; i + L <= n; i += L) a = a + term(Strip<L>{i});
  for (; i < n; ++i) rest = rest + term(Single{i});
  return total((a + b) + (c + d)) + rest;
}

/// f(integral_constant<int, k>) for k = 0 … C − 1: a loop whose arrays stay in registers.
template <int C, class F>
inline void unrolled(F f) {
  [&]<int... k>(std::integer_sequence<int, k...>) {
    (f(std::integral_constant<int, k>{}), ...);
  }(std::make_integer_sequence<int, C>{});
}

// ---- updates ------------------------------------------------------------------------------------

template <Field T>
void scaled_copy(Index n, WideOf<T> a, const T* x, T* y) {
  const auto ca = coefficient<T>(a);
  each<kLanes<T>>(n, [=](auto at) { at.store(y, ca * at.load(x)); });
}

template <Field T>
double scaled_copy_norm2(Index n, WideOf<T> a, const T* x, T* y) {
  const auto ca = coefficient<T>(a);
  return sum(n, [=](auto at) {
    const auto v = ca * at.load(x);
    at.store(y, v);
    return square(v);
  });
}

template <Field T>
void axpby(Index n, WideOf<T> a, const T* x, WideOf<T> b, T* y) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  each<kLanes<T>>(n, [=](auto at) { at.store(y, ca * at.load(x) + cb * at.load(y)); });
}

template <Field T>
double axpby_norm2(Index n, WideOf<T> a, const T* x, WideOf<T> b, T* y) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  return sum(n, [=](auto at) {
    const auto v = ca * at.load(x) + cb * at.load(y);
    at.store(y, v);
    return square(v);
  });
}

template <Field T>
double add3_norm2(Index n, WideOf<T> a, const T* x, WideOf<T> b, const T* y, WideOf<T> c, T* z) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b), cc = coefficient<T>(c);
  const auto loop = [=]<bool kZ>(std::bool_constant<kZ>) {
    return sum(n, [=](auto at) {
      auto v = ca * at.load(x) + cb * at.load(y);
      if constexpr (kZ) v = v + cc * at.load(z);
      at.store(z, v);
      return square(v);
    });
  };
  return absent<T>(c) ? loop(std::false_type{}) : loop(std::true_type{});
}

template <Field T>
void axpy_xpby(Index n, WideOf<T> a, T* p, T* x, WideOf<T> b, const T* r) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  each<kLanes<T>>(n, [=](auto at) {
    const auto pi = at.load(p);
    at.store(x, at.load(x) + ca * pi);
    at.store(p, at.load(r) + cb * pi);
  });
}

template <Field T>
void step3(Index n, WideOf<T> a, const T* v, WideOf<T> b, T* w, WideOf<T> c, const T* u,
           WideOf<T> d, T* x) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  const auto cc = coefficient<T>(c), cd = coefficient<T>(d);
  const auto loop = [=]<bool kW, bool kU>(std::bool_constant<kW>, std::bool_constant<kU>) {
    each<kLanes<T>>(n, [=](auto at) {
      auto wi = ca * at.load(v);
      if constexpr (kW) wi = wi + cb * at.load(w);
      if constexpr (kU) wi = wi + cc * at.load(u);
      at.store(w, wi);
      at.store(x, at.load(x) + cd * wi);
    });
  };
  const auto with_w = [=](auto w_too) {
    absent<T>(c) ? loop(w_too, std::false_type{}) : loop(w_too, std::true_type{});
  };
  absent<T>(b) ? with_w(std::false_type{}) : with_w(std::true_type{});
}

template <Field T>
double update3(Index n, WideOf<T> a, T* g, WideOf<T> b, T* x, WideOf<T> c, const T* v, WideOf<T> d,
               T* h) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b);
  const auto cc = coefficient<T>(c), cd = coefficient<T>(d);
  return sum(n, [=](auto at) {
    const auto hi = at.load(h);
    const auto gi = hi + ca * at.load(g);
    const auto xi = at.load(x) + cb * gi;
    at.store(g, gi);
    at.store(x, xi);
    at.store(h, cc * at.load(v) + cd * hi);
    return square(xi);
  });
}

template <Field T>
void rotate2(Index n, double c, WideOf<T> s, T* x, T* y) {
  const auto cc = static_cast<RealOf<T>>(c);
  const auto cs = coefficient<T>(s);
  each<kLanes<T>>(n, [=](auto at) {
    const auto xi = at.load(x), yi = at.load(y);
    at.store(x, cc * xi + cs * yi);
    at.store(y, -conjugate(cs) * xi + cc * yi);
  });
}

template <Field T>
void shift_step(Index n, WideOf<T> a, WideOf<T> b, WideOf<T> z, const T* r, T* x, T* p) {
  const auto ca = coefficient<T>(a), cb = coefficient<T>(b), cz = coefficient<T>(z);
  each<kLanes<T>>(n, [=](auto at) {
    const auto pi = at.load(p);
    at.store(x, at.load(x) + ca * pi);
    at.store(p, cz * at.load(r) + cb * pi);
  });
}

// ---- reductions ---------------------------------------------------------------------------------

template <Field T>
WideOf<T> dot(Index n, const T* x, const T* y) {
  return result(sum(n, [=](auto at) { return conjugate(wide(at.load(x))) * wide(at.load(y)); }));
}

template <Field T>
double real_dot(Index n, const T* x, const T* y) {
  return sum(n, [=](auto at) { return real_product(wide(at.load(x)), wide(at.load(y))); });
}

template <Field T>
double norm2(Index n, const T* x) {
  return sum(n, [=](auto at) { return square(at.load(x)); });
}

// ---- panels of columns --------------------------------------------------------------------------

/// panel(integral_constant<int, C>, first column) with C = 8, 4, 2 or 1, none above kMax, until
/// `cols` columns are done.
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

/// Registers of an element.
template <Field T>
constexpr int kParts = ComplexField<T> ? 2 : 1;

template <int C, bool kConjugate, Field T>
void project_panel(Index n, const T* V, Index ld, const T* w, WideOf<T>* sums) {
  constexpr int L = kSumLanes;
  constexpr int U = 8 / (C * kParts<T>) > 4 ? 4 : 8 / (C * kParts<T>);  // eight registers of sums
  const auto term = [=](Index c, auto at, auto wi) {
    const auto v = wide(at.load(V + c * ld));
    return (kConjugate ? conjugate(v) : v) * wi;
  };
  decltype(wide(Strip<L>{0}.load(w))) s[C * U] = {};
  decltype(wide(Single{0}.load(w))) rest[C] = {};
  Index i = 0;
  for (; i + U * L <= n; i += U * L) {
    unrolled<U>([&](auto u) {
      const Strip<L> at{i + u * L};
      const auto wi = wide(at.load(w));
      unrolled<C>([&](auto c) { s[c * U + u] = s[c * U + u] + term(c, at, wi); });
    });
  }
  for (; i < n; ++i) {
    const Single at{i};
    const auto wi = wide(at.load(w));
    unrolled<C>([&](auto c) { rest[c] = rest[c] + term(c, at, wi); });
  }
  unrolled<C>([&](auto c) {
    unrolled<U>([&](auto u) { rest[c] = rest[c] + total(s[c * U + u]); });
    Single{c}.store(sums, Single{c}.load(sums) + rest[c]);
  });
}

template <bool kConjugate, Field T>
void project(Index n, Index cols, const T* V, Index ld, const T* w, WideOf<T>* sums) {
  split_columns<8 / kParts<T>>(cols, [=]<int C>(std::integral_constant<int, C>, Index c) {
    project_panel<C, kConjugate>(n, V + c * ld, ld, w, sums + c);
  });
}

template <int C, bool kConjugate, Field T>
void add_panel(Index n, const T* V, Index ld, const WideOf<T>* h, T* y) {
  decltype(coefficient<T>(h[0])) ch[C];
  unrolled<C>([&](auto c) { ch[c] = coefficient<T>(h[c]); });
  each<kLanes<T>>(n, [=](auto at) {
    auto v = at.load(y);
    unrolled<C>([&](auto c) {
      const auto x = at.load(V + c * ld);
      v = v + ch[c] * (kConjugate ? conjugate(x) : x);
    });
    at.store(y, v);
  });
}

template <bool kConjugate, Field T>
void add_columns(Index n, Index cols, const T* V, Index ld, const WideOf<T>* h, T* y) {
  split_columns<8>(cols, [=]<int C>(std::integral_constant<int, C>, Index c) {
    add_panel<C, kConjugate>(n, V + c * ld, ld, h + c, y);
  });
}

template <int C, Field T>
void combine_panel(Index n, Index k, const T* A, Index lda, const WideOf<T>* S, Index lds, T* V,
                   Index ld) {
  // U places of C columns: a coefficient serves U registers, an element of A serves C.
  const auto rows = [=]<class At, int U>(At at, Index step, std::integral_constant<int, U>) {
    decltype(at.load(A)) s[C * U] = {};
    for (Index j = 0; j < k; ++j) {
      decltype(at.load(A)) a[U];
      unrolled<U>([&](auto u) { a[u] = At{at.i + u * step}.load(A + j * lda); });
      unrolled<C>([&](auto c) {
        const auto sj = coefficient<T>(S[j + c * lds]);
        unrolled<U>([&](auto u) { s[c * U + u] = s[c * U + u] + sj * a[u]; });
      });
    }
    unrolled<C>([&](auto c) {
      unrolled<U>([&](auto u) { At{at.i + u * step}.store(V + c * ld, s[c * U + u]); });
    });
  };
  constexpr int L = kLanes<T>;
  Index i = 0;
  for (; i + 2 * L <= n; i += 2 * L) rows(Strip<L>{i}, L, std::integral_constant<int, 2>{});
  for (; i + L <= n; i += L) rows(Strip<L>{i}, L, std::integral_constant<int, 1>{});
  for (; i < n; ++i) rows(Single{i}, 1, std::integral_constant<int, 1>{});
}

template <Field T>
void combine(Index n, Index k, const T* A, Index lda, const WideOf<T>* S, Index lds, Index cols,
             T* V, Index ld) {
  split_columns<4 / kParts<T>>(cols, [=]<int C>(std::integral_constant<int, C>, Index c) {
    combine_panel<C>(n, k, A, lda, S + c * lds, lds, V + c * ld, ld);
  });
}

// ---- elementwise --------------------------------------------------------------------------------

template <Field T>
void multiply(Index n, const T* d, const T* x, T* y) {
  each<kLanes<T>>(n, [=](auto at) { at.store(y, at.load(d) * at.load(x)); });
}

template <Field T>
void multiply_add(Index n, WideOf<T> a, const T* d, const T* x, T* y) {
  const auto ca = coefficient<T>(a);
  each<kLanes<T>>(n, [=](auto at) { at.store(y, at.load(y) + ca * at.load(d) * at.load(x)); });
}

/// x times a coefficient which may be complex.
template <class E>
inline E times(double a, E x) {
  return a * x;
}
template <class E>
inline Pair<E> times(Pair<double> a, E x) {
  return {a.re * x, a.im * x};
}

/// In double precision throughout: the square of a float may overflow where a |x|² does not.
template <Field T>
void add_squares(Index n, WideOf<T> a, const T* x, T* y) {
  const auto ca = Single{0}.load(&a);
  each<kSumLanes>(n, [=](auto at) {
    at.store(y, convert<RealOf<T>>(wide(at.load(y)) + times(ca, square(at.load(x)))));
  });
}

template <class R>
inline R reciprocal_of(R x) {
  return x == 0 ? R{1} : R{1} / x;
}
/// Smith's division, which neither overflows nor underflows where 1 / x does not.
template <class R>
inline Pair<R> reciprocal_of(Pair<R> x) {
  if (x.re == 0 && x.im == 0) return {R{1}, R{0}};
  const bool wider = (x.re < 0 ? -x.re : x.re) >= (x.im < 0 ? -x.im : x.im);
  const R large = wider ? x.re : x.im;
  const R small = wider ? x.im : x.re;
  const R slope = small / large;
  const R scale = R{1} / (large + small * slope);
  return wider ? Pair<R>{scale, -slope * scale} : Pair<R>{slope * scale, -scale};
}

template <Field T>
void reciprocal(Index n, const T* x, T* y) {
  for (Single at{0}; at.i < n; ++at.i) at.store(y, reciprocal_of(at.load(x)));
}

template <Field T>
void cast(Index n, const T* x, typename KernelTable<T>::Other* y) {
  using From = RealOf<T>;
  using To = RealOf<typename KernelTable<T>::Other>;
  // Part by part, since the two precisions split complex numbers into lanes differently.
  const From* from = reinterpret_cast<const From*>(x);
  To* to = reinterpret_cast<To*>(y);
  each<kSumLanes>(kParts<T> * n, [=](auto at) { at.store(to, convert<To>(at.load(from))); });
}

// ---- random fills -------------------------------------------------------------------------------

template <Field T>
void random_uniform(RandomKey key, Index first, Index n, T* x) {
  for (Index i = 0; i < n; ++i) {
    const auto u = philox::uniform2(key.seed, key.stream, first + i);
    if constexpr (ComplexField<T>) {
      Single{i}.store(x, coefficient<T>({u.first, u.second}));
    } else {
      Single{i}.store(x, coefficient<T>(u.first));
    }
  }
}

#include "kernels_gemm.inl"
#include "kernels_hadamard.inl"
#include "kernels_normal.inl"
#include "kernels_scatter.inl"
#include "kernels_tile.inl"

// ---- table --------------------------------------------------------------------------------------

template <Field T>
constexpr KernelTable<T> table_of() {
  return {.scaled_copy = scaled_copy<T>,
          .scaled_copy_norm2 = scaled_copy_norm2<T>,
          .axpby = axpby<T>,
          .axpby_norm2 = axpby_norm2<T>,
          .add3_norm2 = add3_norm2<T>,
          .axpy_xpby = axpy_xpby<T>,
          .step3 = step3<T>,
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
          .random_uniform = random_uniform<T>,
          .random_normal = random_normal<T>,
          .sketch_normal = sketch_normal<T>,
          .sketch_signs = sketch_signs<T>,
          .tile_product = tile_product<false, T>,
          .adjoint_tile_product = tile_product<true, T>,
          .project_block = project_block<true, T>,
          .project_block_transpose = project_block<false, T>,
          .add_product = add_product<false, T>,
          .add_conjugate_product = add_product<true, T>,
          .random_row_groups = random_row_groups,
          .scatter_rows = scatter_rows<RealOf<T>>,
          .gather_rows = gather_rows<RealOf<T>>,
          .hadamard = hadamard<T>,
          .hadamard_step = hadamard_step<T>};
}

}  // namespace

constinit const Tables tables = {
    .f32 = table_of<float>(),
    .f64 = table_of<double>(),
    .c64 = table_of<std::complex<float>>(),
    .c128 = table_of<std::complex<double>>(),
};
