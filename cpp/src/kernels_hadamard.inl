// ---- Walsh–Hadamard butterflies -----------------------------------------------------------------

// All go through the bits of the row number from the lowest to the highest, so that a number is the
// sum of the same terms in the same order however the passes are cut: results have the same bits at
// every level and width. A step takes three bits at once: eight rows fit into the registers of
// every level, and, a power of two apart, into the ways of every cache.
constexpr int kHadamardBits = 3;
/// Bytes that stay in the first cache while all steps inside them are made.
constexpr Index kHadamardLeaf = Index{1} << 14;

/// v = H v for 2^kBits numbers or registers of them.
template <int kBits, class E>
inline void butterflies(E* v) {
  unrolled<kBits>([&](auto bit) {
    unrolled<(1 << kBits) / 2>([&](auto pair) {
      constexpr int h = 1 << bit;
      constexpr int i = pair / h * 2 * h + pair % h;
      const E a = v[i], b = v[i + h];
      v[i] = a + b;
      v[i + h] = a - b;
    });
  });
}

/// Lanes kStep apart: their sum in the lower, their difference in the upper. The product with ±1 is
/// exact.
template <int kStep, class R, int L, int... l>
inline Lanes<R, L> lane_butterfly(Lanes<R, L> x, std::integer_sequence<int, l...>) {
  const typename Lanes<R, L>::Vector sign = {((l & kStep) == 0 ? R{1} : R{-1})...};
  return {__builtin_shufflevector(x.v, x.v, (l ^ kStep)...) + sign * x.v};
}
/// The same for lanes kStep, 2 kStep, … apart.
template <int kStep, class R, int L>
inline Lanes<R, L> lane_butterflies(Lanes<R, L> x) {
  if constexpr (kStep >= L) {
    return x;
  } else {
    const auto sequence = std::make_integer_sequence<int, L>{};
    return lane_butterflies<2 * kStep>(lane_butterfly<kStep>(x, sequence));
  }
}

/// x = H x for 2^kBits rows, `ld` apart, of `width` numbers. Left to itself, GCC makes the body of
/// the loop a function, at a quarter of the speed lost.
template <int kBits, class R>
inline void hadamard_run(Index width, Index ld, R* x) {
  each<kLanes<R>>(width, [=](auto at) __attribute__((always_inline)) {
    decltype(at.load(x)) v[1 << kBits];
    unrolled<(1 << kBits)>([&](auto k) { v[k] = at.load(x + k * ld); });
    butterflies<kBits>(v);
    unrolled<(1 << kBits)>([&](auto k) { at.store(x + k * ld, v[k]); });
  });
}
/// The same; in long rows registers begin where lines of memory do, of which each would else touch
/// two.
template <int kBits, class R>
inline void hadamard_rows(Index width, Index ld, R* x) {
  Index head = 0;
  if (width >= 32 * kLanes<R>) {
    const Index past = static_cast<Index>(reinterpret_cast<std::uintptr_t>(x) % 64);
    head = (64 - past) % 64 / static_cast<Index>(sizeof(R));
  }
  if (head > 0) hadamard_run<kBits>(head, ld, x);
  hadamard_run<kBits>(width - head, ld, x + head);
}
template <class R>
inline void hadamard_rows(int bits, Index width, Index ld, R* x) {
  if (bits == 1) hadamard_rows<1>(width, ld, x);
  if (bits == 2) hadamard_rows<2>(width, ld, x);
  if (bits == 3) hadamard_rows<3>(width, ld, x);
}

inline int log2_of(Index n) { return 63 - __builtin_clzll(static_cast<unsigned long long>(n)); }
/// How many of `bits` the next step takes, so that the steps are of about the same size.
inline int step_bits(int bits) {
  const int steps = (bits + kHadamardBits - 1) / kHadamardBits;
  return steps == 0 ? 0 : (bits + steps - 1) / steps;
}

/// All bits inside registers, from kStep on, and those that tell 2^kBits registers apart. n is a
/// multiple of what they hold. What the next leaf needs is asked for while this one is at work.
template <int kStep, int kBits, class R>
inline void hadamard_registers(Index n, R* x) {
  constexpr int L = kLanes<R>, kAll = L << kBits;
  constexpr int kLine = 64 / static_cast<int>(sizeof(R));
  constexpr Index kAhead = kHadamardLeaf / static_cast<Index>(sizeof(R));
  for (Index i = 0; i < n; i += kAll) {
    unrolled<(kAll + kLine - 1) / kLine>(
        [&](auto k) { __builtin_prefetch(x + i + kAhead + k * kLine, 1, 2); });
    Lanes<R, L> v[1 << kBits];
    unrolled<(1 << kBits)>(
        [&](auto k) { v[k] = lane_butterflies<kStep>(Strip<L>{i + k * L}.load(x)); });
    butterflies<kBits>(v);
    unrolled<(1 << kBits)>([&](auto k) { Strip<L>{i + k * L}.store(x, v[k]); });
  }
}
template <int kStep, class R>
inline void hadamard_registers(int bits, Index n, R* x) {
  if (bits == 0) hadamard_registers<kStep, 0>(n, x);
  if (bits == 1) hadamard_registers<kStep, 1>(n, x);
  if (bits == 2) hadamard_registers<kStep, 2>(n, x);
  if (bits == 3) hadamard_registers<kStep, 3>(n, x);
}

/// The lowest bits, where rows are narrower than a register; returns how far apart the rows of the
/// next are.
template <class R>
inline Index hadamard_lowest(Index n, Index width, R* x) {
  constexpr int L = kLanes<R>;
  if (width >= L || n < L || (width & (width - 1)) != 0) return width;
  const int bits = step_bits(log2_of(n / L));
  if (width == 1) hadamard_registers<1>(bits, n, x);
  if (width == 2) hadamard_registers<2>(bits, n, x);
  if (width == 4) hadamard_registers<4>(bits, n, x);
  if (width == 8) hadamard_registers<8>(bits, n, x);
  return static_cast<Index>(L) << bits;
}

template <class R>
inline void hadamard_leaf(Index n, Index width, R* x) {
  for (Index h = hadamard_lowest(n, width, x); h < n;) {
    const int bits = step_bits(log2_of(n / h));
    for (Index i = 0; i < n; i += h << bits) hadamard_rows(bits, h, h, x + i);
    h <<= bits;
  }
}

/// Down to leaves, and one step over all on the way back: each cache sees its own share of passes.
template <class R>
void hadamard_tree(Index rows, Index width, R* x) {
  const Index n = rows * width;
  if (n * static_cast<Index>(sizeof(R)) <= kHadamardLeaf || rows == 1) {
    return hadamard_leaf(n, width, x);
  }
  const int all = log2_of(rows), bits = all < kHadamardBits ? all : kHadamardBits;
  const Index part = n >> bits;
  for (Index i = 0; i < n; i += part) hadamard_tree(rows >> bits, width, x + i);
  hadamard_rows(bits, part, part, x);
}

template <Field T>
void hadamard(Index rows, Index width, T* x) {
  hadamard_tree(rows, width * kParts<T>, reinterpret_cast<RealOf<T>*>(x));
}

template <Field T>
void hadamard_step(int bits, Index width, Index ld, T* x) {
  hadamard_rows(bits, width * kParts<T>, ld * kParts<T>, reinterpret_cast<RealOf<T>*>(x));
}
