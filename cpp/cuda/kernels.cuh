// The kernels of one element type. Each reads what it needs once, ends its own sums, and does
// nothing once its guard has frozen it.
//
// A sum is finished by the block that comes last: every block writes its part, and the last one
// adds the parts up in the order of the blocks, so that the bits are the same every time.
#pragma once

#include <cub/block/block_reduce.cuh>
#include <dynamic_shared.cuh>

#include "elementwise.hpp"
#include "launch.hpp"

namespace ritz::device {

/// Elements that one thread loads at once: 16 bytes.
template <class E>
inline constexpr int kPack = 16 / sizeof(E);

template <class E, int V>
struct alignas(V * sizeof(E)) Pack {
  E e[V];
};

template <class E, int V>
__device__ Pack<E, V> load(const void* vector, Index pack) {
  return static_cast<const Pack<E, V>*>(vector)[pack];
}

__device__ inline double fetch(const double* from, double) { return __ldcg(from); }
__device__ inline Complex<double> fetch(const double* from, Complex<double>) {
  return {__ldcg(from), __ldcg(from + 1)};
}

template <class W>
struct Plus {
  __device__ W operator()(W a, W b) const { return a + b; }
};

/// Sum over the block, valid in thread 0.
template <class W>
__device__ W block_sum(W sum) {
  using Reduce = cub::BlockReduce<W, kThreads>;
  __shared__ typename Reduce::TempStorage storage;
  __syncthreads();
  return Reduce(storage).Reduce(sum, Plus<W>());
}

/// Whether this is the last block to come here; what the others wrote before can be read then.
__device__ inline bool last_block(unsigned* ticket) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    if (last) *ticket = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

/// out[k] = Σ over all threads of sums[k].
template <int K, class W>
__device__ void finish(const Arguments& a, const W (&sums)[K], double* const* out) {
  constexpr int kDoubles = sizeof(W) / sizeof(double);
  for (int k = 0; k < K; ++k) {
    const W sum = block_sum(sums[k]);
    if (threadIdx.x != 0) continue;
    double* to = a.partials + kDoubles * (K * blockIdx.x + k);
    to[0] = reinterpret_cast<const double*>(&sum)[0];
    if constexpr (kDoubles == 2) to[1] = reinterpret_cast<const double*>(&sum)[1];
  }
  if (!last_block(a.ticket)) return;
  for (int k = 0; k < K; ++k) {
    W sum{};
    for (unsigned b = threadIdx.x; b < gridDim.x; b += kThreads) {
      sum += fetch(a.partials + kDoubles * (K * b + k), W{});
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) put(out[k], sum);
  }
}

/// Whether the call is frozen; if so, its `count` sums of each of `results` arrays are written.
template <class W>
__device__ bool stopped(const Arguments& a, int results = 0, Index count = 1, bool pairs = true) {
  const Guard& guard = a.call.guard;
  if (!frozen(guard)) return false;
  constexpr int kDoubles = sizeof(W) / sizeof(double);
  if (blockIdx.x == 0) {
    const double x = *guard.x;
    for (int k = 0; k < results; ++k) {
      for (Index j = threadIdx.x; j < count; j += kThreads) {
        double* to = a.call.out[k] + kDoubles * j;
        to[0] = x;
        if (kDoubles == 2 || pairs) to[1] = 0.0;
      }
    }
  }
  return true;
}

__device__ inline Index first_thread() { return Index{blockIdx.x} * kThreads + threadIdx.x; }
__device__ inline Index all_threads() { return Index{gridDim.x} * kThreads; }

template <class E>
__device__ E narrow(WideElement<E> x) {
  return E(x);
}

// ---- elementwise ----

template <class E, class Op, int V>
__device__ auto element_step(const Arguments& a, const E (&c)[4], const bool (&read)[4], Index i) {
  using Result = decltype(Op::apply(static_cast<E*>(nullptr), static_cast<const E*>(nullptr)));
  Pack<E, V> packs[4] = {};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if ((Op::kReads >> k & 1u) != 0u && read[k]) packs[k] = load<E, V>(a.call.v[k], i);
  }
  std::conditional_t<std::is_void_v<Result>, int, Result> sum{};
#pragma unroll
  for (int l = 0; l < V; ++l) {
    E e[4] = {packs[0].e[l], packs[1].e[l], packs[2].e[l], packs[3].e[l]};
    if constexpr (std::is_void_v<Result>) {
      Op::apply(e, c);
    } else {
      sum += Op::apply(e, c);
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) packs[k].e[l] = e[k];
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if ((Op::kWrites >> k & 1u) != 0u) static_cast<Pack<E, V>*>(a.call.v[k])[i] = packs[k];
  }
  return sum;
}

template <class E, class Op>
__global__ void __launch_bounds__(kThreads) elementwise(const __grid_constant__ Arguments a) {
  using Result = decltype(Op::apply(static_cast<E*>(nullptr), static_cast<const E*>(nullptr)));
  constexpr bool kSums = !std::is_void_v<Result>;
  constexpr int V = kPack<E>;
  if (stopped<double>(a, kSums ? 1 : 0)) return;
  E c[4];
  bool read[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) c[k] = narrow<E>(value_of<E>(a.call.c[k]));
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    read[k] = Op::unless(k) < 0 || !(c[Op::unless(k) < 0 ? 0 : Op::unless(k)] == E(0));
  }
  const Index packs = a.packed ? a.call.n / V : 0;
  std::conditional_t<kSums, Result, int> sum{};
  for (Index i = first_thread(); i < packs; i += all_threads()) {
    sum += element_step<E, Op, V>(a, c, read, i);
  }
  for (Index i = packs * V + first_thread(); i < a.call.n; i += all_threads()) {
    sum += element_step<E, Op, 1>(a, c, read, i);
  }
  if constexpr (kSums) {
    const Result sums[1] = {sum};
    finish(a, sums, a.call.out);
  }
}

template <class E, int K>
__global__ void __launch_bounds__(kThreads) dots(const __grid_constant__ Arguments a) {
  using W = WideElement<E>;
  constexpr int V = kPack<E>;
  if (stopped<W>(a, K)) return;
  const Index packs = a.packed ? a.call.n / V : 0;
  W sums[K] = {};
  for (Index i = first_thread(); i < packs; i += all_threads()) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const auto x = load<E, V>(a.call.v[2 * k], i), y = load<E, V>(a.call.v[2 * k + 1], i);
#pragma unroll
      for (int l = 0; l < V; ++l) sums[k] += product(x.e[l], y.e[l]);
    }
  }
  for (Index i = packs * V + first_thread(); i < a.call.n; i += all_threads()) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      sums[k] += product(static_cast<const E*>(a.call.v[2 * k])[i],
                         static_cast<const E*>(a.call.v[2 * k + 1])[i]);
    }
  }
  finish(a, sums, a.call.out);
}

template <class E, class U>
__global__ void __launch_bounds__(kThreads) cast(const __grid_constant__ Arguments a) {
  if (stopped<double>(a)) return;
  for (Index i = first_thread(); i < a.call.n; i += all_threads()) {
    static_cast<U*>(a.call.v[1])[i] = U(static_cast<const E*>(a.call.v[0])[i]);
  }
}

struct DeviceMath {
  static __device__ double sqrt(double x) { return ::sqrt(x); }
  static __device__ double hypot(double x, double y) { return ::hypot(x, y); }
  static __device__ double log(double x) { return ::log(x); }
  static __device__ void sincospi(double x, double* s, double* c) { ::sincospi(x, s, c); }
};

template <class E>
__global__ void __launch_bounds__(kThreads) random(const __grid_constant__ Arguments a) {
  if (stopped<double>(a)) return;
  for (Index i = first_thread(); i < a.call.n; i += all_threads()) {
    static_cast<E*>(a.call.v[0])[i] =
        random_element<E, DeviceMath>(a.call.kernel, a.call.seed, a.call.stream, i);
  }
}

// ---- columns ----

template <class E>
__device__ E coefficient(const double* h, Index j) {
  return narrow<E>(reinterpret_cast<const WideElement<E>*>(h)[j]);
}

template <class E>
__global__ void __launch_bounds__(kThreads) multi_shift(const __grid_constant__ Arguments a) {
  if (stopped<double>(a)) return;
  const Call& s = a.call;
  for (Index i = first_thread(); i < s.n; i += all_threads()) {
    const E r = static_cast<const E*>(s.v[0])[i];
    for (Index j = 0; j < s.cols; ++j) {
      E* X = static_cast<E*>(s.v[1]) + j * s.ld + i;
      E* P = static_cast<E*>(s.v[2]) + j * s.ld2 + i;
      const E p = *P;
      *X = *X + coefficient<E>(s.h[0], j) * p;
      *P = coefficient<E>(s.h[2], j) * r + coefficient<E>(s.h[1], j) * p;
    }
  }
}

/// Columns of w that one launch works on where there are several: they and their sums lie in
/// registers, with room for two blocks a processor.
template <class E>
inline constexpr int kSweepPanel = ElementTraits<E>::kComplex ? 2 : 4;
/// Likewise where there are no sums.
inline constexpr int kUpdatePanel = 4;

/// How many of the panel's columns there are.
template <int Panel>
__device__ int width(const Call& s) {
  return Panel == 1 ? 1 : static_cast<int>(s.cols2);
}

/// Where a panel is not full, its first column is worked on again and not written: nothing branches
/// between the reads.
template <int Panel>
__device__ Index present(const Call& s, int c) {
  return c < width<Panel>(s) ? c : 0;
}

/// One row, or V of them, of every column of a panel.
template <class E, int V, int Panel>
__device__ void load_panel(const Call& s, Index pack, Pack<E, V> (&w)[Panel]) {
#pragma unroll
  for (int c = 0; c < Panel; ++c) {
    w[c] = load<E, V>(static_cast<const E*>(s.v[1]) + present<Panel>(s, c) * s.ld2, pack);
  }
}
template <class E, int V, int Panel>
__device__ void store_panel(const Call& s, Index pack, const Pack<E, V> (&w)[Panel]) {
#pragma unroll
  for (int c = 0; c < Panel; ++c) {
    if (c >= width<Panel>(s)) continue;
    reinterpret_cast<Pack<E, V>*>(static_cast<E*>(s.v[1]) + c * s.ld2)[pack] = w[c];
  }
}

/// w −= sign V h for these rows and the columns [j, j + Count) of V, which are read together.
template <class E, int V, int Sign, int Count, int Panel>
__device__ void subtract(const Call& s, Index j, Index pack, Pack<E, V> (&w)[Panel]) {
  const E* const columns = static_cast<const E*>(s.v[0]) + j * s.ld;
  Pack<E, V> v[Count];
#pragma unroll
  for (int k = 0; k < Count; ++k) v[k] = load<E, V>(columns + k * s.ld, pack);
#pragma unroll
  for (int k = 0; k < Count; ++k) {
#pragma unroll
    for (int c = 0; c < Panel; ++c) {
      const E h = coefficient<E>(s.h[0], present<Panel>(s, c) * s.cols + j + k);
#pragma unroll
      for (int l = 0; l < V; ++l) {
        if constexpr (Sign > 0) {
          w[c].e[l] = w[c].e[l] - h * v[k].e[l];
        } else {
          w[c].e[l] = w[c].e[l] + h * v[k].e[l];
        }
      }
    }
  }
}

/// Likewise for all columns of V.
template <class E, int V, int Sign, int Panel>
__device__ void subtract(const Call& s, Index pack, Pack<E, V> (&w)[Panel]) {
  constexpr int kTogether = 4;
  Index j = 0;
#pragma unroll 1
  for (; j + kTogether <= s.cols; j += kTogether) subtract<E, V, Sign, kTogether>(s, j, pack, w);
#pragma unroll 1
  for (; j < s.cols; ++j) subtract<E, V, Sign, 1>(s, j, pack, w);
}

/// The same in memory; returns the sum of |w|² over the first column.
template <class E, int V, int Sign, int Panel>
__device__ double update(const Call& s, Index pack) {
  Pack<E, V> w[Panel];
  load_panel(s, pack, w);
  subtract<E, V, Sign>(s, pack, w);
  store_panel(s, pack, w);
  double sum = 0.0;
#pragma unroll
  for (int l = 0; l < V; ++l) sum += square(w[0].e[l]);
  return sum;
}

/// w −= V h, with ‖w‖² if w is one column, or w += V h.
template <class E, int V, bool Subtract, int Panel = 1>
__global__ void __launch_bounds__(kThreads) update_columns(const __grid_constant__ Arguments a) {
  constexpr bool kSums = Subtract && Panel == 1;
  constexpr int kSign = Subtract ? 1 : -1;
  if (stopped<double>(a, kSums ? 1 : 0)) return;
  double sum = 0.0;
  for (Index p = first_thread(); p < a.call.n / V; p += all_threads()) {
    sum += update<E, V, kSign, Panel>(a.call, p);
  }
  for (Index i = a.call.n / V * V + first_thread(); i < a.call.n; i += all_threads()) {
    sum += update<E, 1, kSign, Panel>(a.call, i);
  }
  if constexpr (kSums) {
    const double sums[1] = {sum};
    finish(a, sums, a.call.out);
  }
}

__device__ inline double exchanged(double x, int distance) {
  return __shfl_xor_sync(0xFFFFFFFFu, x, distance);
}
__device__ inline Complex<double> exchanged(Complex<double> x, int distance) {
  return {exchanged(x.re, distance), exchanged(x.im, distance)};
}

/// The sums over a warp of K numbers, a power of two. Lane l gets number K l / 32: every step
/// halves how many of them a lane has still to add up.
template <int K, class W>
__device__ W warp_sums(W (&x)[K]) {
#pragma unroll
  for (int d = 16, left = K; d > 0; d /= 2) {
    const bool upper = (threadIdx.x & d) != 0;
    if (left == 1) {
      x[0] += exchanged(x[0], d);
      continue;
    }
    left /= 2;
#pragma unroll
    for (int k = 0; k < K / 2; ++k) {
      if (k >= left) break;
      const W away = upper ? x[k] : x[k + left];
      x[k] = (upper ? x[k + left] : x[k]) + exchanged(away, d);
    }
  }
  return x[0];
}
template <class W>
__device__ W warp_sum(W x) {
  W one[] = {x};
  return warp_sums(one);
}

/// Packs of one thread in a tile of the sweep: each sum over a warp serves so many. A panel's,
/// which are widened once, take 16 doubles.
template <class E, int V, int Panel>
inline constexpr int kTile =
    Panel == 1 ? 4 : 16 * sizeof(double) / (V * Panel * sizeof(WideElement<E>));

/// Vᴴw for the columns [first, first + count) of V and a panel of w, after w −= V h if `Subtract`,
/// in one pass over the rows: a tile of w stays in registers, and the tile of V that it was changed
/// by is read again from the cache.
template <class E, int V, bool Subtract, int Panel = 1>
__global__ void __launch_bounds__(kThreads, Panel == 1 ? 0 : 2)
    sweep(const __grid_constant__ Arguments a) {
  using W = WideElement<E>;
  constexpr int kColumns = Panel == 1 ? 8 : 4;  // of V, whose sums are in registers together
  constexpr int kTile = device::kTile<E, V, Panel>;
  double* const shared = dynamic_shared();
  const Call& s = a.call;
  const int count = static_cast<int>(a.count), lane = threadIdx.x % 32;
  const int all = width<Panel>(s) * count;
  if (stopped<W>(a, a.first == 0 ? 1 : 0, width<Panel>(s) * s.cols, false)) return;
  W* const sums = reinterpret_cast<W*>(shared) + threadIdx.x / 32 * all;  // of this warp
  for (int j = lane; j < all; j += 32) sums[j] = W{};
  __syncwarp();

  const Index packs = s.n / V, rest = s.n - packs * V;
  const E* const columns = static_cast<const E*>(s.v[0]) + a.first * s.ld;
  const Index stride = all_threads() * kTile;
  for (Index base = Index{blockIdx.x} * kThreads * kTile; base < packs; base += stride) {
    Pack<E, V> w[kTile][Panel] = {};
#pragma unroll
    for (int t = 0; t < kTile; ++t) {
      const Index p = base + t * kThreads + threadIdx.x;
      if (p >= packs) continue;
      load_panel(s, p, w[t]);
      if constexpr (Subtract) {
        subtract<E, V, 1>(s, p, w[t]);
        store_panel(s, p, w[t]);
      }
    }
    for (int j = 0; j < count; j += kColumns) {
      W parts[kColumns * Panel] = {};
#pragma unroll
      for (int t = 0; t < kTile; ++t) {
        const Index p = base + t * kThreads + threadIdx.x;
        if (p >= packs) continue;
#pragma unroll
        for (int u = 0; u < kColumns; ++u) {
          if (j + u >= count) continue;
          const auto v = load<E, V>(columns + (j + u) * s.ld, p);
#pragma unroll
          for (int c = 0; c < Panel; ++c) {
#pragma unroll
            for (int l = 0; l < V; ++l) {
              parts[c * kColumns + u] += product(v.e[l], w[t][c].e[l]);
            }
          }
        }
      }
      const W sum = warp_sums(parts);
      constexpr int kLanes = 32 / (kColumns * Panel);  // that get the same
      const int c = lane / kLanes / kColumns, u = lane / kLanes % kColumns;
      const bool mine = lane % kLanes == 0 && c < width<Panel>(s) && j + u < count;
      if (mine) sums[c * count + j + u] += sum;
    }
  }
  if (rest > 0 && blockIdx.x == 0 && threadIdx.x < 32) {  // fewer rows than one pack
    const Index i = packs * V + lane;
    Pack<E, 1> w[Panel] = {};
    if (lane < rest) {
      load_panel(s, i, w);
      if constexpr (Subtract) {
        subtract<E, 1, 1>(s, i, w);
        store_panel(s, i, w);
      }
    }
#pragma unroll 1
    for (int j = 0; j < count; ++j) {
#pragma unroll
      for (int c = 0; c < Panel; ++c) {
        if (c >= width<Panel>(s)) continue;
        W part{};
        if (lane < rest) part = product(columns[j * s.ld + i], w[c].e[0]);
        part = warp_sum(part);
        if (lane == 0) sums[c * count + j] += part;
      }
    }
  }
  __syncthreads();

  constexpr int kDoubles = sizeof(W) / sizeof(double), kWarps = kThreads / 32;
  const W* const warps = reinterpret_cast<const W*>(shared);
  W* const partials = reinterpret_cast<W*>(a.partials);
  for (int j = threadIdx.x; j < all; j += kThreads) {
    W sum{};
    for (int k = 0; k < kWarps; ++k) sum += warps[k * all + j];
    partials[Index{blockIdx.x} * all + j] = sum;
  }
  if (!last_block(a.ticket)) return;
  W* const out = reinterpret_cast<W*>(s.out[0]) + a.first;
  for (int j = threadIdx.x / 32; j < all; j += kWarps) {
    W sum{};
    for (unsigned b = lane; b < gridDim.x; b += 32) {
      sum += fetch(a.partials + kDoubles * (Index{b} * all + j), W{});
    }
    sum = warp_sum(sum);
    if (lane == 0) out[j / count * s.cols + j % count] = sum;
  }
}

/// The first cols2 columns of V become V S; `count` rows at a time are held in shared memory.
template <class E>
__global__ void __launch_bounds__(kThreads) combine(const __grid_constant__ Arguments a) {
  using W = WideElement<E>;
  double* const shared = dynamic_shared();
  const Call& s = a.call;
  if (stopped<double>(a)) return;
  E* const tile = reinterpret_cast<E*>(shared);
  E* const columns = static_cast<E*>(s.v[0]);
  const W* const S = reinterpret_cast<const W*>(s.h[0]);
  const Index rows = a.count;
  for (Index base = blockIdx.x * rows; base < s.n; base += gridDim.x * rows) {
    const Index height = s.n - base < rows ? s.n - base : rows;
    for (Index k = threadIdx.x; k < rows * s.cols; k += kThreads) {
      const Index i = k % rows, j = k / rows;
      if (i < height) tile[k] = columns[base + i + j * s.ld];
    }
    __syncthreads();
    for (Index k = threadIdx.x; k < rows * s.cols2; k += kThreads) {
      const Index i = k % rows, c = k / rows;
      if (i >= height) continue;
      W sum{};
      for (Index j = 0; j < s.cols; ++j) sum += widen(tile[i + j * rows]) * S[j + c * s.ld2];
      columns[base + i + c * s.ld] = narrow<E>(sum);
    }
    __syncthreads();
  }
}

/// Eight threads a row.
template <class E>
__global__ void __launch_bounds__(kThreads) csr(const __grid_constant__ Arguments a) {
  using W = WideElement<E>;
  constexpr int kLanes = 8;
  const Call& s = a.call;
  if (stopped<double>(a)) return;
  const auto* starts = static_cast<const Index*>(s.v[0]);
  const auto* indices = static_cast<const Index*>(s.v[1]);
  const auto* values = static_cast<const E*>(s.v[2]);
  const int lane = threadIdx.x % kLanes;
  const Index rows_at_once = all_threads() / kLanes;
  // Whole warps stay in the loop, for the sums over their lanes.
  for (Index base = 0; base < s.n; base += rows_at_once) {
    const Index i = base + first_thread() / kLanes;
    const Index begin = i < s.n ? starts[i] : 0, end = i < s.n ? starts[i + 1] : 0;
    for (Index c = 0; c < s.cols; ++c) {
      const E* x = static_cast<const E*>(s.v[3]) + c * s.ld;
      W sum{};
      for (Index k = begin + lane; k < end; k += kLanes) {
        sum += widen(values[k]) * widen(x[indices[k]]);
      }
#pragma unroll
      for (int d = kLanes / 2; d > 0; d /= 2) {
        if constexpr (ElementTraits<E>::kComplex) {
          sum +=
              W(__shfl_xor_sync(0xFFFFFFFFu, sum.re, d), __shfl_xor_sync(0xFFFFFFFFu, sum.im, d));
        } else {
          sum += __shfl_xor_sync(0xFFFFFFFFu, sum, d);
        }
      }
      if (lane == 0 && i < s.n) static_cast<E*>(s.v[4])[i + c * s.ld2] = narrow<E>(sum);
    }
  }
}

}  // namespace ritz::device

#include "batch.cuh"
#include "recurrence.cuh"

namespace ritz::device {

// ---- from calls to launches ----

template <class E>
class Planner {
 public:
  Planner(const Call& call, const Resources& resources, std::vector<Launch>& to)
      : call_(call), resources_(resources), to_(to) {}

  bool plan() {
    const void* kernel = nullptr;
    if (visit_elementwise<E>(call_.kernel, [&]<class Op>() {
          kernel = reinterpret_cast<const void*>(&elementwise<E, Op>);
        })) {
      add(kernel, call_.n, kPack<E>);
      return true;
    }
    if constexpr (std::is_same_v<E, double>) {
      if (call_.kernel == Kernel::recurrence) return plan_recurrence();
    }
    switch (call_.kernel) {
      case Kernel::dots:
        add(call_.cols == 1   ? address(&dots<E, 1>)
            : call_.cols == 2 ? address(&dots<E, 2>)
            : call_.cols == 3 ? address(&dots<E, 3>)
                              : address(&dots<E, 4>),
            call_.n, kPack<E>);
        return true;
      case Kernel::cast:
        plan_cast();
        return true;
      case Kernel::random_signs:
      case Kernel::random_uniform:
      case Kernel::random_normal:
        add(address(&random<E>), call_.n, 1);
        return true;
      case Kernel::multi_shift:
        add(address(&multi_shift<E>), call_.n, 1);
        return true;
      case Kernel::subtract_columns:
        add(packed() ? address(&update_columns<E, kPack<E>, true>)
                     : address(&update_columns<E, 1, true>),
            call_.n, packed() ? kPack<E> : 1);
        return true;
      case Kernel::axpy_columns:
        add(packed() ? address(&update_columns<E, kPack<E>, false>)
                     : address(&update_columns<E, 1, false>),
            call_.n, packed() ? kPack<E> : 1);
        return true;
      case Kernel::project:
      case Kernel::subtract_project:
        sweeps(call_);
        return true;
      case Kernel::project_block:
        panels(kSweepPanel<E>, [this](Call& some, Index c) {
          some.out[0] = reinterpret_cast<double*>(reinterpret_cast<WideElement<E>*>(call_.out[0]) +
                                                  c * call_.cols);
          sweeps(some);
        });
        return true;
      case Kernel::subtract_block:
        panels(kUpdatePanel, [this](Call& some, Index c) {
          some.h[0] = reinterpret_cast<const double*>(
              reinterpret_cast<const WideElement<E>*>(call_.h[0]) + c * call_.cols);
          add(packed() ? address(&update_columns<E, kPack<E>, true, kUpdatePanel>)
                       : address(&update_columns<E, 1, true, kUpdatePanel>),
              call_.n, packed() ? kPack<E> : 1);
          to_.back().arguments.call = some;
        });
        return true;
      case Kernel::combine:
        plan_combine();
        return true;
      case Kernel::csr:
        add(address(&csr<E>), call_.n, 1, 8);
        return true;
      case Kernel::cg_batch_start:
        systems(address(&cg_batch_start<E>));
        return true;
      case Kernel::cg_batch:
        systems(address(&cg_batch<E>));
        return true;
      case Kernel::dense_batch:
        systems(address(&dense_batch<E>));
        return true;
      default:
        return false;
    }
  }

 private:
  template <class F>
  static const void* address(F* kernel) {
    return reinterpret_cast<const void*>(kernel);
  }

  /// Whether all vectors, and all columns, start at multiples of 16 bytes.
  bool packed() const {
    std::uintptr_t bits = 0;
    for (const void* v : call_.v) bits |= reinterpret_cast<std::uintptr_t>(v);
    if (call_.cols > 1) bits |= static_cast<std::uintptr_t>(call_.ld) * sizeof(E);
    if (call_.cols2 > 1) bits |= static_cast<std::uintptr_t>(call_.ld2) * sizeof(E);
    return bits % 16 == 0;
  }

  unsigned blocks(Index work, unsigned each_processor) const {
    const Index most = Index{resources_.processors} * each_processor;
    const Index wanted = (work + kThreads - 1) / kThreads;
    const Index within = wanted < most ? wanted : most;
    return static_cast<unsigned>(within < 1                    ? 1
                                 : within < Index{kMostBlocks} ? within
                                                               : Index{kMostBlocks});
  }

  /// `pack` elements a thread at once, and `threads` of them an element.
  void add(const void* kernel, Index n, int pack, int threads = 1) {
    Launch launch{};
    launch.kernel = kernel;
    launch.blocks = blocks((n + pack - 1) / pack * threads, 8);
    launch.arguments.call = call_;
    launch.arguments.partials = resources_.partials;
    launch.arguments.ticket = resources_.ticket;
    launch.arguments.packed = packed() ? 1 : 0;
    to_.push_back(launch);
  }

  /// A block a system, as long as there are not too many.
  void systems(const void* kernel) {
    add(kernel, call_.n, 1);
    to_.back().blocks = blocks(call_.cols * kThreads, 32);
  }

  /// each(call, c) for the columns of w from c on that one launch takes, `most` or fewer.
  template <class F>
  void panels(Index most, const F& each) const {
    for (Index c = 0; c < call_.cols2; c += most) {
      Call some = call_;
      some.v[1] = static_cast<E*>(call_.v[1]) + c * call_.ld2;
      some.cols2 = call_.cols2 - c < most ? call_.cols2 - c : most;
      each(some, c);
    }
  }

  template <int V>
  void sweeps(const Call& call) {
    const Index width = call.cols2 > 1 ? call.cols2 : 1, most = kSweepColumns / width;
    const int tile = V * (width > 1 ? kTile<E, V, kSweepPanel<E>> : kTile<E, V, 1>);
    for (Index first = 0; first < call.cols; first += most) {
      const bool subtracts = call.kernel == Kernel::subtract_project && first == 0;
      add(subtracts   ? address(&sweep<E, V, true>)
          : width > 1 ? address(&sweep<E, V, false, kSweepPanel<E>>)
                      : address(&sweep<E, V, false>),
          call.n, tile);
      Launch& launch = to_.back();
      launch.arguments.call = call;
      launch.arguments.first = first;
      launch.arguments.count = call.cols - first < most ? call.cols - first : most;
      launch.blocks = blocks((call.n + tile - 1) / tile, width > 1 ? 2 : 4);
      launch.shared =
          static_cast<unsigned>(static_cast<std::size_t>(launch.arguments.count * width) *
                                (kThreads / 32) * sizeof(WideElement<E>));
    }
  }
  void sweeps(const Call& call) { packed() ? sweeps<kPack<E>>(call) : sweeps<1>(call); }

  bool plan_recurrence() {
    return visit_recurrence(static_cast<std::int32_t>(call_.cols),
                            [&]<class R>() { add(address(&recurrence<R>), 1, 1); });
  }

  void plan_combine() {
    // What a block of every supported device has without asking for more.
    constexpr Index kShared = 48 * 1024;
    Index rows = 64;
    while (rows > 1 && rows * call_.cols * static_cast<Index>(sizeof(E)) > kShared) rows /= 2;
    add(address(&combine<E>), call_.n, 1);
    Launch& launch = to_.back();
    launch.arguments.count = rows;
    launch.blocks = blocks((call_.n + rows - 1) / rows * kThreads, 8);
    launch.shared = static_cast<unsigned>(rows * call_.cols * static_cast<Index>(sizeof(E)));
  }

  void plan_cast() {
    using R = std::conditional_t<std::is_same_v<RealElement<E>, float>, double, float>;
    using U = std::conditional_t<ElementTraits<E>::kComplex, Complex<R>, R>;
    add(address(&cast<E, U>), call_.n, 1);
  }

  const Call& call_;
  const Resources& resources_;
  std::vector<Launch>& to_;
};

template <class E>
bool plan(const Call& call, const Resources& resources, std::vector<Launch>& to) {
  if (call.n == 0 && call.out[0] == nullptr) return true;
  return Planner<E>(call, resources, to).plan();
}

}  // namespace ritz::device
