// Standard normals by Box and Muller, √(−2 log u) (cos 2πv, sin 2πv), for as many counters of
// Philox at once as a vector register has lanes of 64 bits. All numbers come from whole registers,
// so that an element has the same bits wherever a fill begins or ends.
//
// Box, Muller: A note on the generation of random normal deviates. Ann. Math. Stat. 29, 1958.

// ---- Philox -------------------------------------------------------------------------------------

constexpr int kCounters = kVectorBytes / 8;
using Words = Lanes<std::uint64_t, kCounters>::Vector;
constexpr std::uint64_t kLow = 0xffffffffu;

inline Words broadcast(std::uint64_t x) { return Words{} + x; }

/// The products of the low halves of the lanes.
inline Words low_product(Words a, Words b) {
#if defined(__x86_64__) && !defined(__clang__)
  // GCC 12 multiplies whole lanes: two more products, two shifts and two sums.
  Words c;
  if constexpr (kVectorBytes == 16) {
    c = a;
    asm("pmuludq %1, %0" : "+x"(c) : "x"(b));
  } else {
    asm("vpmuludq %2, %1, %0" : "=v"(c) : "v"(a), "v"(b));
  }
  return c;
#else
  return (a & kLow) * (b & kLow);
#endif
}

/// The four words of kCounters blocks, each in the low half of a lane; the upper halves are noise.
struct Bits {
  Words w[4];
};

/// philox::bits of the elements `index`.
inline Bits philox_bits(RandomKey key, Words index) {
  const Words first = broadcast(0xD2511F53u), second = broadcast(0xCD9E8D57u);
  auto k0 = static_cast<std::uint32_t>(key.seed), k1 = static_cast<std::uint32_t>(key.seed >> 32);
  Bits c{{index, index >> 32, broadcast(key.stream), broadcast(key.stream >> 32)}};
  for (int round = 0; round < 10; ++round) {
    const Words a = low_product(c.w[0], first), b = low_product(c.w[2], second);
    c = {{(b >> 32) ^ c.w[1] ^ broadcast(k0), b, (a >> 32) ^ c.w[3] ^ broadcast(k1), a}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// ---- elementary functions -----------------------------------------------------------------------

/// What of the format of R the functions use, and their polynomials, interpolated at the Chebyshev
/// points; each lies within half a unit of the last place of its function.
template <class R>
struct Elementary;
template <>
struct Elementary<double> {
  using Word = std::uint64_t;
  static constexpr int kDigits = 52;
  static constexpr Word kOne = 0x3ff0000000000000u;
  static constexpr Word kRootHalf = 0x3fe6a09e667f3bcdu;
  static constexpr double kLog2High = 0x1.62e42fefa0000p-1, kLog2Low = 0x1.cf79abc9e3b3ap-40;
  /// (log((1 + s) / (1 − s)) / s − 2) / s² in powers of s², |s| ≤ 3 − √8
  static constexpr double kLog[] = {0.666666666666667,   0.39999999999899444, 0.2857142862600327,
                                    0.22222211130259878, 0.18182889455674947, 0.15331710618210773,
                                    0.14616585424888623};
  /// sin(π r / 2) / r in powers of r², |r| ≤ 1/2
  static constexpr double kSin[] = {
      1.5707963267948966,    -0.6459640975062443,   0.07969262624604301,  -0.004681754132340976,
      0.0001604411507421909, -3.59864335298231e-06, 5.633933781537854e-08};
  /// (cos(π r / 2) − 1) / r² in powers of r², |r| ≤ 1/2
  static constexpr double kCos[] = {
      -1.2337005501361697,     0.2536695079010478,    -0.020863480763340773, 0.0009192602745468447,
      -2.5202039028029178e-05, 4.710678405505227e-07, -6.329396344967424e-09};
};
template <>
struct Elementary<float> {
  using Word = std::uint32_t;
  static constexpr int kDigits = 23;
  static constexpr Word kOne = 0x3f800000u;
  static constexpr Word kRootHalf = 0x3f3504f3u;
  static constexpr float kLog2High = 0x1.62e4p-1f, kLog2Low = 0x1.7f7d1cp-20f;
  static constexpr float kLog[] = {0.66666687f, 0.39988777f, 0.29580054f};
  static constexpr float kSin[] = {1.5707964f, -0.6459635f, 0.07968022f, -0.004602149f};
  static constexpr float kCos[] = {-1.2337005f, 0.2536694f, -0.020861529f, 0.0009067399f};
};

template <class R>
using Real = typename Lanes<R, kVectorBytes / static_cast<int>(sizeof(R))>::Vector;
template <class R>
using Word = typename Lanes<typename Elementary<R>::Word,
                            kVectorBytes / static_cast<int>(sizeof(R))>::Vector;

template <class V, class R, std::size_t n>
inline V polynomial(const R (&c)[n], V x) {
  V y = V{} + c[n - 1];
  unrolled<static_cast<int>(n) - 1>([&](auto k) { y = y * x + c[n - 2 - k]; });
  return y;
}

/// The whole numbers in the lanes, below 2^52 and below 2^31.
inline Real<double> whole(Word<double> x) {
  return (Real<double>)(x | 0x4330000000000000u) - 0x1p52;
}
inline Real<float> whole(Word<float> x) {
  return __builtin_convertvector((Lanes<std::int32_t, kVectorBytes / 4>::Vector) x, Real<float>);
}

/// −log u for 0 < u ≤ 1.
template <class R>
inline Real<R> minus_log(Real<R> u) {
  using E = Elementary<R>;
  // u = 2^−k m with √½ ≤ m < √2, log m = log((1 + s) / (1 − s)) = f − s (f − s² P(s²)).
  const Word<R> shifted = (Word<R>)u + (E::kOne - E::kRootHalf);
  const Real<R> k = R{E::kOne >> E::kDigits} - whole(shifted >> E::kDigits);
  const auto fraction = (shifted & ((typename E::Word{1} << E::kDigits) - 1)) + E::kRootHalf;
  const Real<R> f = (Real<R>)fraction - R{1};
  const Real<R> s = f / (f + R{2});
  const Real<R> z = s * s;
  const Real<R> correction = s * (f - z * polynomial(E::kLog, z));
  return k * E::kLog2High + ((k * E::kLog2Low + correction) - f);
}

template <class R>
inline Real<R> square_root(Real<R> x) {
  Real<R> y;
  for (int l = 0; l < kVectorBytes / static_cast<int>(sizeof(R)); ++l) {
    y[l] = sizeof(R) == 4 ? R(__builtin_sqrtf(float(x[l]))) : R(__builtin_sqrt(double(x[l])));
  }
  return y;
}

template <class R>
using Normals = Pair<Lanes<R, kVectorBytes / static_cast<int>(sizeof(R))>>;

/// scale √(2 e) (cos, sin)(π (q + r) / 2), for |r| ≤ 1/2 and the last two bits of q.
template <class R>
inline Normals<R> polar(Real<R> e, Word<R> q, Real<R> r, R scale) {
  using E = Elementary<R>;
  const Real<R> z = r * r;
  const auto c = (Word<R>)(z * polynomial(E::kCos, z) + R{1});
  const auto s = (Word<R>)(r * polynomial(E::kSin, z));
  const Word<R> swapped = (c ^ s) & -(q & 1);
  constexpr int kSign = 8 * sizeof(R) - 2;  // what moves bit 1 to the sign
  const Word<R> cosine = (c ^ swapped) ^ (((q + 1) & 2) << kSign);
  const Word<R> sine = (s ^ swapped) ^ ((q & 2) << kSign);
  const Real<R> radius = scale * square_root<R>(e + e);
  return {{radius * (Real<R>)cosine}, {radius * (Real<R>)sine}};
}

// ---- fills --------------------------------------------------------------------------------------

/// (w + ½) 2^−53 for the first 53 bits w of the words.
inline Real<double> uniform53(Words low, Words high) {
  constexpr std::uint64_t kExponent = 0x4330000000000000u;  // of 2^52
  const auto above = (Real<double>)((high & kLow) | kExponent) - 0x1p52;
  const auto below = (Real<double>)((low & kLow) >> 11 | kExponent) - (0x1p52 - 0.5);
  return above * 0x1p-32 + below * 0x1p-53;
}

/// philox::normal2 of the elements `index`, a pair in each lane.
inline Normals<double> normal_pairs(RandomKey key, Words index, double scale) {
  const Bits b = philox_bits(key, index);
  const Real<double> turn = 4.0 * uniform53(b.w[2], b.w[3]);
  const Real<double> rounded = turn + 0x1.8p52;  // its last bits are the nearest whole number's
  return polar<double>(minus_log<double>(uniform53(b.w[0], b.w[1])), (Words)rounded,
                       turn - (rounded - 0x1.8p52), scale);
}

/// The same from 31 and 32 bits: two pairs a counter, |z| ≤ 6.7.
inline Normals<float> short_normal_pairs(RandomKey key, Words index, float scale) {
  const Bits b = philox_bits(key, index);
  const auto u = (Word<float>)((b.w[0] & kLow) | b.w[2] << 32);
  const auto v = (Word<float>)((b.w[1] & kLow) | b.w[3] << 32);
  // The first two bits of v are the quarter of the turn, the rest a signed fraction of a quarter.
  const Real<float> r = whole(v << 2) * 0x1p-32f;
  return polar<float>(minus_log<float>((whole(u >> 1) + 0.5f) * 0x1p-31f), v >> 30, r, scale);
}

/// Numbers [first, last) of those that registers of counters make, kOfCounter each: `make(counters,
/// to)` writes all numbers of a register in order. The lanes hold the counters in `order`.
template <int kOfCounter, class R, class Make>
inline void fill(Index first, Index last, Words order, R* x, const Make& make) {
  constexpr Index kNumbers = kOfCounter * kCounters;
  const auto counters = [=](Index number) {
    return broadcast(static_cast<std::uint64_t>(number / kOfCounter)) + order;
  };
  R buffer[kNumbers];
  Index i = first / kOfCounter * kOfCounter;
  if (i < first) {
    make(counters(i), buffer);
    for (Index k = first - i; k < kNumbers && i + k < last; ++k) *x++ = buffer[k];
    i += kNumbers;
  }
  // Two registers at a time: one fills the waits of the other.
  for (; i + 2 * kNumbers <= last; i += 2 * kNumbers, x += 2 * kNumbers) {
    make(counters(i), x);
    make(counters(i + kNumbers), x + kNumbers);
  }
  for (; i < last; i += kNumbers) {
    make(counters(i), buffer);
    for (Index k = 0; k < kNumbers && i + k < last; ++k) *x++ = buffer[k];
  }
}

/// The counters of the lanes, where each makes kPairs complex numbers of precision R.
template <class R, int kPairs>
inline Words lane_order() {
  constexpr int L = kVectorBytes / static_cast<int>(sizeof(R));
  Words order;
  for (int l = 0; l < kCounters; ++l) {
    order[l] = static_cast<std::uint64_t>(Strip<L>::template place<R>(l * kPairs) / kPairs);
  }
  return order;
}

template <class R>
inline void store_pairs(Normals<R> z, R* to) {
  Strip<kVectorBytes / static_cast<int>(sizeof(R))>{0}.store(reinterpret_cast<std::complex<R>*>(to),
                                                             z);
}

/// E |x|² = scale².
template <Field T>
inline double part_scale(double scale) {
  return ComplexField<T> ? scale * 0.70710678118654752 : scale;
}

template <Field T>
void random_normal(RandomKey key, Index first, Index n, T* x) {
  using R = RealOf<T>;
  const double scale = part_scale<T>(1.0);
  fill<2>(kParts<T> * first, kParts<T> * (first + n), lane_order<double, 1>(),
          reinterpret_cast<R*>(x), [=](Words counters, R* to) {
            const Normals<double> z = normal_pairs(key, counters, scale);
            if constexpr (sizeof(R) == 8) {
              store_pairs(z, to);
            } else {
              double wide[2 * kCounters];
              store_pairs(z, wide);
              for (int k = 0; k < 2 * kCounters; ++k) to[k] = static_cast<float>(wide[k]);
            }
          });
}

template <Field T>
void sketch_normal(RandomKey key, Index first, Index n, double scale, T* x) {
  using R = RealOf<T>;
  const auto s = static_cast<R>(part_scale<T>(scale));
  R* parts = reinterpret_cast<R*>(x);
  const Index begin = kParts<T> * first, end = kParts<T> * (first + n);
  if constexpr (sizeof(R) == 8) {
    fill<2>(begin, end, lane_order<double, 1>(), parts,
            [=](Words counters, R* to) { store_pairs(normal_pairs(key, counters, s), to); });
  } else {
    fill<4>(begin, end, lane_order<float, 2>(), parts,
            [=](Words counters, R* to) { store_pairs(short_normal_pairs(key, counters, s), to); });
  }
}

// ---- signs --------------------------------------------------------------------------------------

/// ±scale for the 128 bits of a block.
template <class R>
inline void spread_signs(const philox::Block& bits, R scale, R* to) {
  using W = typename Elementary<R>::Word;
  const W one = __builtin_bit_cast(W, scale);
  for (std::size_t w = 0; w < 4; ++w) {
    const W word = bits[w];
    for (std::size_t k = 0; k < 32; ++k) {
      to[32 * w + k] = __builtin_bit_cast(R, one ^ (word >> k & 1) << (8 * sizeof(R) - 1));
    }
  }
}

template <Field T>
void sketch_signs(RandomKey key, Index first, Index n, double scale, T* x) {
  using R = RealOf<T>;
  R buffer[128];
  for (Index i = first; i < first + n;) {
    const Index from = i % 128, count = 128 - from < first + n - i ? 128 - from : first + n - i;
    const philox::Block bits = philox::bits(key.seed, key.stream, i / 128);
    if constexpr (!ComplexField<T>) {
      if (count == 128) {
        spread_signs(bits, static_cast<R>(scale), x + (i - first));
        i += count;
        continue;
      }
    }
    spread_signs(bits, static_cast<R>(scale), buffer);
    for (Index k = 0; k < count; ++k) x[i - first + k] = buffer[from + k];
    i += count;
  }
}

template <Field T>
void random_signs(RandomKey key, Index first, Index n, T* x) {
  sketch_signs(key, first, n, 1.0, x);
}
