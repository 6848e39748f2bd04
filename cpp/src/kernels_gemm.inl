// ---- products of blocks -------------------------------------------------------------------------
//
// Both kernels keep a tile of the result in registers, in double precision for floats too. What
// they read again and again is cut so that it stays in the first-level cache.

/// Sums of a tile of C columns of V with D columns of W.
template <int C, int D, bool kConjugate, Field T>
inline void project_tile(Index n, const T* V, Index ldv, const T* W, Index ldw, WideOf<T>* sums,
                         Index lds) {
  constexpr int L = kSumLanes;
  const auto v_at = [=](auto c, auto at) {
    const auto v = wide(at.load(V + c * ldv));
    return kConjugate ? conjugate(v) : v;
  };
  decltype(wide(Strip<L>{0}.load(W))) s[C * D] = {};
  decltype(wide(Single{0}.load(W))) rest[C * D] = {};
  const auto add = [=](auto at, auto* to) {
    decltype(v_at(0, at)) v[C];
    unrolled<C>([&](auto c) { v[c] = v_at(c, at); });
    unrolled<D>([&](auto d) {
      const auto w = wide(at.load(W + d * ldw));
      unrolled<C>([&](auto c) { to[d * C + c] = to[d * C + c] + v[c] * w; });
    });
  };
  Index i = 0;
  for (; i + L <= n; i += L) add(Strip<L>{i}, s);
  for (; i < n; ++i) add(Single{i}, rest);
  unrolled<D>([&](auto d) {
    unrolled<C>([&](auto c) {
      const Single at{c + d * lds};
      at.store(sums, at.load(sums) + (rest[d * C + c] + total(s[d * C + c])));
    });
  });
}

// Columns of W that are projected on while V passes by, and rows of a strip of both.
constexpr Index kProjectedColumns = 8;
template <Field T>
constexpr Index kProjectedRows = 4096 / static_cast<Index>(sizeof(T));

template <bool kConjugate, Field T>
void project_block(Index n, Index k, const T* V, Index ldv, Index cols, const T* W, Index ldw,
                   WideOf<T>* sums, Index lds) {
  constexpr int kTile = 4 / kParts<T>;
  constexpr int kWide = kVectorBytes < 64 ? 2 : 4;  // as many as there are registers for
  for (Index i = 0; i < n; i += kProjectedRows<T>) {
    const Index rows = n - i < kProjectedRows<T> ? n - i : kProjectedRows<T>;
    for (Index j = 0; j < cols; j += kProjectedColumns) {
      const Index width = cols - j < kProjectedColumns ? cols - j : kProjectedColumns;
      split_columns<kTile>(k, [=]<int C>(std::integral_constant<int, C>, Index c) {
        split_columns<kWide>(width, [=]<int D>(std::integral_constant<int, D>, Index d) {
          project_tile<C, D, kConjugate>(rows, V + i + c * ldv, ldv, W + i + (j + d) * ldw, ldw,
                                         sums + c + (j + d) * lds, lds);
        });
      });
    }
  }
}

/// Elements of V that are packed at once: the places of a tile, column by column.
constexpr Index kPackedBytes = 128 * 1024;
constexpr Index kPackedColumns = 128;

/// U registers of rows times C columns of Y += V H with V packed.
template <int U, int C, Field T, class E>
inline void add_tile(Index at, Index k, const E* V, const WideOf<T>* H, Index ldh, T* Y,
                     Index ldy) {
  constexpr int L = kSumLanes;
  E s[C * U];
  unrolled<C>([&](auto c) {
    unrolled<U>([&](auto u) { s[c * U + u] = wide(Strip<L>{at + u * L}.load(Y + c * ldy)); });
  });
  for (Index j = 0; j < k; ++j) {
    E v[U];
    unrolled<U>([&](auto u) { v[u] = V[j * U + u]; });
    unrolled<C>([&](auto c) {
      const auto h = Single{j + c * ldh}.load(H);
      unrolled<U>([&](auto u) { s[c * U + u] = s[c * U + u] + h * v[u]; });
    });
  }
  unrolled<C>([&](auto c) {
    unrolled<U>(
        [&](auto u) { Strip<L>{at + u * L}.store(Y + c * ldy, convert<RealOf<T>>(s[c * U + u])); });
  });
}

template <bool kConjugate, Field T>
void add_product(Index n, Index k, double a, const T* V, Index ldv, const WideOf<T>* H, Index ldh,
                 Index cols, T* Y, Index ldy) {
  constexpr int L = kSumLanes, U = 2;
  constexpr int kTile = (kVectorBytes < 64 ? 4 : 8) / kParts<T>;
  using E = decltype(wide(Strip<L>{0}.load(V)));
  constexpr Index kRows =
      kPackedBytes / kPackedColumns / static_cast<Index>(sizeof(WideOf<T>)) / (U * L) * (U * L);
  alignas(64) E packed[kPackedBytes / sizeof(E)];
  const auto v_at = [=](auto at, Index j) {
    const auto v = wide(at.load(V + j * ldv));
    return a * (kConjugate ? conjugate(v) : v);
  };
  for (Index first = 0; first < k; first += kPackedColumns) {
    const Index width = k - first < kPackedColumns ? k - first : kPackedColumns;
    Index i = 0;
    while (i + L <= n) {
      // As many tiles of U registers as there is room for; at the end one of a single register.
      const Index left = n - i < kRows ? n - i : kRows;
      const Index tiles = left / (U * L);
      if (tiles == 0) {
        for (Index j = 0; j < width; ++j) packed[j] = v_at(Strip<L>{i}, first + j);
        split_columns<kTile>(cols, [&]<int C>(std::integral_constant<int, C>, Index c) {
          add_tile<1, C>(i, width, packed, H + first + c * ldh, ldh, Y + c * ldy, ldy);
        });
        i += L;
        continue;
      }
      for (Index j = 0; j < width; ++j) {
        for (Index t = 0; t < tiles; ++t) {
          unrolled<U>([&](auto u) {
            packed[(t * width + j) * U + u] = v_at(Strip<L>{i + (t * U + u) * L}, first + j);
          });
        }
      }
      for (Index t = 0; t < tiles; ++t) {
        split_columns<kTile>(cols, [&]<int C>(std::integral_constant<int, C>, Index c) {
          add_tile<U, C>(i + t * U * L, width, packed + t * width * U, H + first + c * ldh, ldh,
                         Y + c * ldy, ldy);
        });
      }
      i += tiles * U * L;
    }
    for (; i < n; ++i) {
      const Single at{i};
      for (Index c = 0; c < cols; ++c) {
        auto s = wide(at.load(Y + c * ldy));
        for (Index j = 0; j < width; ++j) {
          s = s + Single{first + j + c * ldh}.load(H) * v_at(at, first + j);
        }
        at.store(Y + c * ldy, convert<RealOf<T>>(s));
      }
    }
  }
}
