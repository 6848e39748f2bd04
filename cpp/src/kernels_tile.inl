// The product of two tiles in a second-level cache, S times a packed A.

/// A row of a strip of packed columns, the real parts first.
template <class R>
constexpr int kStripOf = static_cast<int>(kStrip<R>);

template <Field T>
using TileElement = std::conditional_t<ComplexField<T>, Pair<Lanes<RealOf<T>, kLanes<T>>>,
                                       Lanes<RealOf<T>, kLanes<T>>>;

template <class R, int L>
inline void add_product(R s, Lanes<R, L> a, Lanes<R, L>& sum) {
  sum = sum + s * a;
}
template <class R, int L>
inline void add_product(Pair<R> s, Pair<Lanes<R, L>> a, Pair<Lanes<R, L>>& sum) {
  sum.re = sum.re + s.re * a.re;
  sum.re = sum.re - s.im * a.im;
  sum.im = sum.im + s.re * a.im;
  sum.im = sum.im + s.im * a.re;
}

template <class R>
inline Lanes<R, kLanes<R>> load_packed(const R* a, R) {
  return Strip<kLanes<R>>{0}.load(a);
}
template <class R>
inline Pair<Lanes<R, kLanes<R>>> load_packed(const R* a, std::complex<R>) {
  return {Strip<kLanes<R>>{0}.load(a), Strip<kLanes<R>>{0}.load(a + kStripOf<R>)};
}

template <class R, int L>
inline void add_to(double* sums, Lanes<R, L> x) {
  for (int l = 0; l < L; ++l) sums[l] += static_cast<double>(x.v[l]);
}
template <class R, int L>
inline void add_to(double* sums, Pair<Lanes<R, L>> x) {
  add_to(sums, x.re);
  add_to(sums + kStripOf<R>, x.im);
}

/// C rows of S times U registers of columns: an element of S serves U registers, a register of A
/// serves C rows.
template <int C, int U, bool kConjugate, Field T>
inline void tile_panel(Index inner, const T* S, Index row_stride, Index inner_stride,
                       const RealOf<T>* A, Index width, double* sums) {
  using R = RealOf<T>;
  TileElement<T> sum[C * U] = {};
  for (Index k = 0; k < inner; ++k) {
    TileElement<T> a[U];
    unrolled<U>(
        [&](auto u) { a[u] = load_packed(A + k * kStripOf<R> * kParts<T> + u * kLanes<T>, T{}); });
    unrolled<C>([&](auto c) {
      auto s = Single{c * row_stride + k * inner_stride}.load(S);
      if constexpr (kConjugate) s = conjugate(s);
      unrolled<U>([&](auto u) { add_product(s, a[u], sum[c * U + u]); });
    });
  }
  unrolled<C>([&](auto c) {
    unrolled<U>([&](auto u) { add_to(sums + c * width + u * kLanes<T>, sum[c * U + u]); });
  });
}

template <bool kConjugate, Field T>
void tile_product(Index rows, Index inner, const T* S, Index row_stride, Index inner_stride,
                  Index cols, const RealOf<T>* A, Index width, double* sums) {
  using R = RealOf<T>;
  constexpr int L = kLanes<T>;
  constexpr int kMax = (kVectorBytes == 64 ? 8 : 4) / kParts<T>;  // half the registers, or less
  for (Index c = 0; c < cols; c += L) {
    const bool two = c + L < cols && c % kStripOf<R> + L < kStripOf<R>;
    const Index strip = c / kStripOf<R> * kStripOf<R> * kParts<T>;
    const R* a = A + strip * inner + c % kStripOf<R>;
    double* to = sums + strip + c % kStripOf<R>;
    split_columns<kMax>(rows, [=]<int C>(std::integral_constant<int, C>, Index r) {
      const T* s = S + r * row_stride;
      if (two) {
        tile_panel<C, 2, kConjugate>(inner, s, row_stride, inner_stride, a, width, to + r * width);
      } else {
        tile_panel<C, 1, kConjugate>(inner, s, row_stride, inner_stride, a, width, to + r * width);
      }
    });
    if (two) c += L;
  }
}
