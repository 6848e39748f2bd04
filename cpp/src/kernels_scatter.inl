// Sums of signed rows: what sparse sketches are made of.
//
// An entry is row * 2 + sign. Sums are in double precision, each taken in the order of the entries,
// and a product with a sign is exact: all levels give the same bits.

// ---- random rows --------------------------------------------------------------------------------

/// The rows that 31 bits of each word choose of `height` ≤ 2¹⁶.
inline Words narrow_rows(Words word, Words height) {
  return low_product((word & kLow) >> 1, height) >> 31;
}
/// The high halves of height times 64 bits, of which the last is 0.
inline Words wide_rows(Words low, Words high, Words height) {
  const Words even = low & (kLow - 1), upper = height >> 32;
  const Words middle = low_product(high, height) + (low_product(even, height) >> 32);
  return low_product(high, upper) + (middle >> 32) +
         (((middle & kLow) + low_product(even, upper)) >> 32);
}

/// random_rows of sketch/random_rows.hpp for whole groups of counters.
void random_row_groups(RandomKey key, Index first, Index groups, Index height, Index start,
                       Index* out) {
  static_assert(kRowCounters % kCounters == 0);
  const Words h = broadcast(static_cast<std::uint64_t>(height));
  const Words s = broadcast(static_cast<std::uint64_t>(start));
  const auto store = [&](Words row, Words sign, Index k) {
    const Words entry = (s + row) << 1 | (sign & 1);
    __builtin_memcpy(out + k, &entry, sizeof entry);
  };
  for (Index group = first; group < first + groups; ++group) {
    Words index;
    for (int l = 0; l < kCounters; ++l) {
      index[l] = static_cast<std::uint64_t>(group * kRowCounters + l);
    }
    for (Index k = 0; k < kRowCounters; k += kCounters, index += kCounters) {
      const Bits b = philox_bits(key, index);
      if (height <= kNarrowHeight) {
        unrolled<4>([&](auto w) { store(narrow_rows(b.w[w], h), b.w[w], k + w * kRowCounters); });
      } else {
        unrolled<2>([&](auto w) {
          const Words low = b.w[2 * w], high = b.w[2 * w + 1];
          store(wide_rows(low, high, h), low, k + w * kRowCounters);
        });
      }
    }
    out += kRowCounters * (height <= kNarrowHeight ? 4 : 2);
  }
}

// ---- sums of rows -------------------------------------------------------------------------------

inline double sign_of(Index entry) {
  constexpr double kSigns[] = {1.0, -1.0};
  return kSigns[entry & 1];
}

/// What takes L neighbouring numbers at once; 1: a single one.
template <int L>
using Places = std::conditional_t<L == 1, Single, Strip<L>>;

/// pass<W, L>(c) for W registers of L numbers from column c on, first as wide as they come.
template <int W, int L, class Pass>
inline void over_columns(Index width, Index c, Pass pass) {
  for (; c + W * L <= width; c += W * L) {
    pass.template operator()<W, L>(c);
  }
  if constexpr (W > 1) {
    over_columns<W / 2, L>(width, c, pass);
  } else if constexpr (L > 1) {
    over_columns<1, L / 2>(width, c, pass);
  }
}

/// sums[row of e] += sign of e · a[k] for the entries e = entries[t · ld + k], k < count, t <
/// heads.
template <class R>
void scatter_rows(Index count, Index heads, const Index* entries, Index ld, Index width, const R* a,
                  Index lda, double* sums) {
  // Rows ahead: these reads are too far apart for the processor to foresee.
  constexpr Index kAhead = 16;
  over_columns<8, kSumLanes>(width, 0, [=]<int W, int L>(Index c) {
    const R* row = a + c;
    for (Index k = 0; k < count; ++k, row += lda) {
      for (std::size_t b = 0; b < W * L * sizeof(R); b += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(row + kAhead * lda) + b);
      }
      decltype(wide(Places<L>{0}.load(row))) x[W];
      unrolled<W>([&](auto w) { x[w] = wide(Places<L>{w * L}.load(row)); });
      for (Index t = 0; t < heads; ++t) {
        const Index entry = entries[t * ld + k];
        const double sign = sign_of(entry);
        double* const y = sums + (entry >> 1) * width + c;
        unrolled<W>([&](auto w) {
          const Places<L> at{w * L};
          at.store(y, at.load(y) + sign * x[w]);
        });
      }
    }
  });
}

/// sums[k] += Σ sign of e · a[row of e] over e = entries[t · ld + k], t < heads.
template <class R>
void gather_rows(Index count, Index heads, const Index* entries, Index ld, Index width, const R* a,
                 Index lda, double* sums) {
  over_columns<8, kSumLanes>(width, 0, [=]<int W, int L>(Index c) {
    for (Index k = 0; k < count; ++k) {
      double* const y = sums + k * width + c;
      decltype(Places<L>{0}.load(y)) sum[W];
      unrolled<W>([&](auto w) { sum[w] = Places<L>{w * L}.load(y); });
      for (Index t = 0; t < heads; ++t) {
        const Index entry = entries[t * ld + k];
        const double sign = sign_of(entry);
        const R* const x = a + (entry >> 1) * lda + c;
        unrolled<W>([&](auto w) { sum[w] = sum[w] + sign * wide(Places<L>{w * L}.load(x)); });
      }
      unrolled<W>([&](auto w) { Places<L>{w * L}.store(y, sum[w]); });
    }
  });
}
