// Vectors in the memory of this computer, worked on by its vector units and its threads.
//
// Every operation is cut into blocks whose bounds depend on the sizes alone; threads share the
// blocks out among themselves, and the blocks' sums are added up by a tree of fixed shape. So a
// result has the same bits whatever the number of threads. No operation allocates heap memory
// (`combine` with more than 2048 columns excepted, and `project_block` where
// the sums of its blocks take more than 32 KiB).
#pragma once

#include <algorithm>
#include <complex>
#include <cstddef>
#include <vector>

#include "ritz/core/comm.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/sketch/philox.hpp"
#include "ritz/space/concept.hpp"
#include "ritz/space/host_memory.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

template <Field T>
class HostSpace : public HostRecurrences<WideOf<T>> {
 public:
  using Value = T;
  using Scalar = WideOf<T>;
  using Real = double;
  using Coefficient = WideOf<T>;
  using Slots = std::span<Scalar>;
  using Buffer = std::shared_ptr<void>;
  static constexpr bool kReadsAreFree = true;

  HostSpace() : HostSpace(Comm{}) {}
  explicit HostSpace(Comm comm, Isa isa = kernels::default_isa())
      : comm_(comm), kernels_(&kernels::tables(isa).template of<T>()) {}

  static Buffer allocate(std::size_t bytes) { return host_memory::allocate(bytes); }
  /// The living buffer that contains the address, null if `allocate` never gave it out.
  static std::shared_ptr<void> owner(const void* address) { return host_memory::owner(address); }

  using HostRecurrences<WideOf<T>>::read;
  static double read(double x) { return x; }
  static std::complex<double> read(std::complex<double> x) { return x; }
  static void read(Slots h, std::span<Scalar> values) {
    std::copy(h.begin(), h.end(), values.begin());
  }
  // Reads are free, so a method sees every convergence before its next operation.
  static bool freeze_below(Real x, double bound) { return x <= bound; }
  static void thaw() {}

  // ---- updates ----

  void copy(VectorView<const T> x, VectorView<T> y) {
    if (x.data == y.data) return;
    each_block(x.size, [&](Index i, Index n) { std::copy_n(x.data + i, n, y.data + i); });
  }
  void fill(Coefficient a, VectorView<T> x) {
    const T value = static_cast<T>(a);
    each_block(x.size, [&](Index i, Index n) { std::fill_n(x.data + i, n, value); });
  }
  void scale(Coefficient a, VectorView<T> x) {
    each_block(x.size,
               [&](Index i, Index n) { kernels_->scaled_copy(n, a, x.data + i, x.data + i); });
  }
  void axpby(Coefficient a, VectorView<const T> x, Coefficient b, VectorView<T> y) {
    each_block(x.size, [&](Index i, Index n) {
      if (b == Coefficient{}) {
        kernels_->scaled_copy(n, a, x.data + i, y.data + i);
      } else {
        kernels_->axpby(n, a, x.data + i, b, y.data + i);
      }
    });
  }
  void axpy_xpby(Coefficient a, VectorView<T> p, VectorView<T> x, Coefficient b,
                 VectorView<const T> r) {
    each_block(p.size, [&](Index i, Index n) {
      kernels_->axpy_xpby(n, a, p.data + i, x.data + i, b, r.data + i);
    });
  }
  void step3(Coefficient a, VectorView<const T> v, Coefficient b, VectorView<T> w, Coefficient c,
             VectorView<const T> u, Coefficient d, VectorView<T> x) {
    each_block(x.size, [&](Index i, Index n) {
      kernels_->step3(n, a, v.data + i, b, w.data + i, c, u.data + i, d, x.data + i);
    });
  }
  Real update3(Coefficient a, VectorView<T> g, Coefficient b, VectorView<T> x, Coefficient c,
               VectorView<const T> v, Coefficient d, VectorView<T> h) {
    return sum<Real>(x.size, [&](Index i, Index n) {
      return kernels_->update3(n, a, g.data + i, b, x.data + i, c, v.data + i, d, h.data + i);
    });
  }
  void rotate2(Coefficient c, Coefficient s, VectorView<T> x, VectorView<T> y) {
    each_block(x.size, [&](Index i, Index n) {
      kernels_->rotate2(n, std::real(c), s, x.data + i, y.data + i);
    });
  }
  void multi_shift(std::span<const Scalar> a, std::span<const Scalar> b, std::span<const Scalar> z,
                   VectorView<const T> r, BlockView<T> X, BlockView<T> P) {
    each_block(r.size, [&](Index i, Index n) {
      for (Index j = 0; j < X.cols; ++j) {
        const auto k = static_cast<std::size_t>(j);
        kernels_->shift_step(n, a[k], b[k], z[k], r.data + i, &X(i, j), &P(i, j));
      }
    });
  }

  // ---- reductions ----

  Scalar dot(VectorView<const T> x, VectorView<const T> y) {
    return sum<Scalar>(x.size,
                       [&](Index i, Index n) { return kernels_->dot(n, x.data + i, y.data + i); });
  }
  Real real_dot(VectorView<const T> x, VectorView<const T> y) {
    return sum<Real>(
        x.size, [&](Index i, Index n) { return kernels_->real_dot(n, x.data + i, y.data + i); });
  }
  Real norm2(VectorView<const T> x) {
    return sum<Real>(x.size, [&](Index i, Index n) { return kernels_->norm2(n, x.data + i); });
  }
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
    return sum<std::array<Scalar, K>>(pairs[0].x.size, [&](Index i, Index n) {
      std::array<Scalar, K> sums;
      for (std::size_t k = 0; k < K; ++k) {
        const T* x = pairs[k].x.data + i;
        const T* y = pairs[k].y.data + i;
        sums[k] = x == y ? kernels_->norm2(n, x) : kernels_->dot(n, x, y);
      }
      return sums;
    });
  }

  Real axpby_norm2(Coefficient a, VectorView<const T> x, Coefficient b, VectorView<T> y) {
    return sum<Real>(x.size, [&](Index i, Index n) {
      return b == Coefficient{} ? kernels_->scaled_copy_norm2(n, a, x.data + i, y.data + i)
                                : kernels_->axpby_norm2(n, a, x.data + i, b, y.data + i);
    });
  }
  Real axpy_norm2(Coefficient a, VectorView<const T> x, VectorView<T> y) {
    return axpby_norm2(a, x, 1.0, y);
  }
  Real add3_norm2(Coefficient a, VectorView<const T> x, Coefficient b, VectorView<const T> y,
                  Coefficient c, VectorView<T> z) {
    if (b == Coefficient{}) return axpby_norm2(a, x, c, z);
    return sum<Real>(z.size, [&](Index i, Index n) {
      return kernels_->add3_norm2(n, a, x.data + i, b, y.data + i, c, z.data + i);
    });
  }

  // ---- blocks of columns ----

  void project(BlockView<const T> V, VectorView<const T> w, Slots h) {
    project_prepared(V, 1, w, h, [](Index, Index) {});
  }
  void axpy_columns(BlockView<const T> V, std::span<const Scalar> h, VectorView<T> y) {
    each_block(y.size, V.cols, [&](Index first, Index count) {
      each_strip(1, first, count, [&](Index i, Index n) { add(V, h, 1.0, i, n, y); });
    });
  }
  void subtract_project(BlockView<const T> V, std::span<const Scalar> h, VectorView<T> w, Slots g) {
    project_prepared(V, V.cols + 1, w, g, [&](Index i, Index n) { add(V, h, -1.0, i, n, w); });
  }
  Real subtract_norm2(BlockView<const T> V, std::span<const Scalar> h, VectorView<T> w) {
    const Blocks blocks = Blocks::of(w.size);
    return sum_blocks<Real>(blocks, w.size * (V.cols + 1), [&](Index first, Index count) {
      Real norm2 = 0.0;
      each_strip(1, first, count, [&](Index i, Index n) {
        add(V, h, -1.0, i, n, w);
        norm2 += kernels_->norm2(n, w.data + i);
      });
      return norm2;
    });
  }
  void project_block(BlockView<const T> V, BlockView<const T> W, Slots h) {
    const Index width = V.cols * W.cols * kDoubles;
    if (width == 0) return;
    const Index fitting = kBlockSums / width;
    const Blocks blocks =
        Blocks::of(V.rows, std::clamp<Index>(fitting, 1, kMaxSweepBlocks), kMinSweepBlock);
    double* const total = reinterpret_cast<double*>(h.data());
    double few[kFewSums];
    std::vector<double> many;
    double* partial = blocks.count > 1 ? few : total;
    if (blocks.count > 1 && blocks.count * width > kFewSums) {
      many.resize(static_cast<std::size_t>(blocks.count * width));
      partial = many.data();
    }
    std::fill_n(partial, std::max<Index>(blocks.count, 1) * width, 0.0);
    const Index groups = (V.cols + kBlockColumns - 1) / kBlockColumns;
    threads::for_each_part(blocks.count * groups, V.rows * width, [&](Index part) {
      const Index block = part % blocks.count, c = part / blocks.count * kBlockColumns;
      const Index i = blocks.first(block);
      kernels_->project_block(blocks.length(block), std::min(kBlockColumns, V.cols - c), &V(i, c),
                              V.ld, W.cols, &W(i, 0), W.ld,
                              reinterpret_cast<Scalar*>(partial + block * width) + c, V.cols);
    });
    if (blocks.count > 1) {
      add_up(partial, blocks.count, width);
      std::copy_n(partial, width, total);
    }
    allreduce(total, width);
  }
  void subtract_block(BlockView<const T> V, std::span<const Scalar> h, BlockView<T> W) {
    if (V.cols == 0) return;
    const Blocks blocks = Blocks::of(W.rows, kMaxBlocks, kMinProductBlock);
    threads::for_each_part(blocks.count, W.rows * V.cols * W.cols, [&](Index block) {
      const Index i = blocks.first(block);
      kernels_->add_product(blocks.length(block), V.cols, -1.0, &V(i, 0), V.ld, h.data(), V.cols,
                            W.cols, &W(i, 0), W.ld);
    });
  }
  void combine(BlockView<T> V, BlockView<const WideOf<T>> S) {
    constexpr Index kCapacity = kStackBytes / static_cast<Index>(sizeof(T));
    if (S.rows > kCapacity) {
      std::vector<T> row(static_cast<std::size_t>(S.rows));
      return combine_strips(V, S, 0, V.rows, 1, row.data());
    }
    const Index fitting = kCapacity / std::max<Index>(S.rows, 1);
    const Index rows = fitting < 16 ? fitting : fitting / 16 * 16;  // whole vector registers
    each_block(V.rows, S.rows, [&](Index first, Index count) {
      alignas(64) std::byte strip[kStackBytes];
      combine_strips(V, S, first, count, rows, reinterpret_cast<T*>(strip));
    });
  }

  // ---- elementwise ----

  void multiply(VectorView<const T> d, VectorView<const T> x, VectorView<T> y) {
    each_block(x.size, [&](Index i, Index n) {
      kernels_->multiply(n, d.data + i, x.data + i, y.data + i);
    });
  }
  void multiply_add(Coefficient a, VectorView<const T> d, VectorView<const T> x, VectorView<T> y) {
    each_block(x.size, [&](Index i, Index n) {
      kernels_->multiply_add(n, a, d.data + i, x.data + i, y.data + i);
    });
  }
  void multiply_add_conjugate(Coefficient a, VectorView<const T> d, VectorView<const T> x,
                              VectorView<T> y) {
    if constexpr (!ComplexField<T>) {
      multiply_add(a, d, x, y);
    } else {
      each_block(x.size, [&](Index first, Index n) {
        for (Index i = first; i < first + n; ++i) {
          y[i] = static_cast<T>(Scalar(y[i]) + a * Scalar(d[i]) * conjugate(Scalar(x[i])));
        }
      });
    }
  }
  void add_squares(Coefficient a, VectorView<const T> x, VectorView<T> y) {
    each_block(x.size,
               [&](Index i, Index n) { kernels_->add_squares(n, a, x.data + i, y.data + i); });
  }
  void reciprocal(VectorView<const T> x, VectorView<T> y) {
    each_block(x.size, [&](Index i, Index n) { kernels_->reciprocal(n, x.data + i, y.data + i); });
  }
  template <Field U>
    requires(ComplexField<U> == ComplexField<T>)
  void cast(VectorView<const T> x, VectorView<U> y) {
    if constexpr (std::same_as<U, T>) {
      copy(x, y);
    } else {
      each_block(x.size, [&](Index i, Index n) { kernels_->cast(n, x.data + i, y.data + i); });
    }
  }
  void random_signs(RandomKey key, VectorView<T> x) {
    each_block(x.size, [&](Index i, Index n) { kernels_->random_signs(key, i, n, x.data + i); });
  }
  void random_uniform(RandomKey key, VectorView<T> x) {
    each_block(x.size, [&](Index i, Index n) { kernels_->random_uniform(key, i, n, x.data + i); });
  }
  void random_normal(RandomKey key, VectorView<T> x) {
    each_block(x.size, [&](Index i, Index n) { kernels_->random_normal(key, i, n, x.data + i); });
  }

 private:
  // Blocks are long enough to hide the call of a kernel, and few enough that their sums fit on the
  // stack; 1024 of them still balance the load of a hundred threads.
  static constexpr Index kMinBlock = 8192;
  static constexpr Index kMaxBlocks = 1024;
  // A projection has one sum a column: with blocks as few as this, all sums of a sweep over
  // kSweepColumns columns take 128 KiB of stack at most. More columns take more sweeps.
  static constexpr Index kMinSweepBlock = 1024;
  static constexpr Index kMaxSweepBlocks = 64;
  static constexpr Index kSweepColumns = 128;
  // A strip of rows of what is read twice (w alone, or all columns if they are subtracted and then
  // projected on) stays in a first-level cache of 48 KiB. In single precision the conversions hide
  // the second-level cache, and a call of a kernel has half as many bytes to pay for it.
  static constexpr Index kStripBytes = (sizeof(RealOf<T>) == 4 ? 96 : 48) * 1024;
  // Columns of a block that are projected on together, and what the sums of all blocks of rows may
  // take: 4 MiB, of which 32 KiB are on the stack.
  static constexpr Index kBlockColumns = 32;
  static constexpr Index kBlockSums = Index{1} << 19;
  static constexpr Index kFewSums = 4096;
  static constexpr Index kMinProductBlock = 512;
  // A strip being combined stays in a first-level cache.
  static constexpr Index kStackBytes = 32 * 1024;
  static constexpr Index kDoubles = sizeof(Scalar) / sizeof(double);

  /// [0, n) cut into `count` blocks of `size`, a multiple of 64 so that neighbours share no line.
  struct Blocks {
    Index n, size, count;

    static Blocks of(Index n, Index max_count = kMaxBlocks, Index min_size = kMinBlock) {
      if (n <= min_size) return {n, n, n > 0 ? 1 : 0};  // spares short vectors the divisions
      const Index wanted = std::clamp<Index>((n + min_size - 1) / min_size, 1, max_count);
      const Index size = ((n + wanted - 1) / wanted + 63) / 64 * 64;
      return {n, size, n == 0 ? 0 : (n + size - 1) / size};
    }
    Index first(Index block) const { return block * size; }
    Index length(Index block) const { return std::min(size, n - first(block)); }
  };

  /// body(first, length) for every block; `cols` vectors of n elements are worked on.
  template <class Body>
  void each_block(Index n, Index cols, const Body& body) {
    const Blocks blocks = Blocks::of(n);
    threads::for_each_part(blocks.count, n * cols,
                           [&](Index block) { body(blocks.first(block), blocks.length(block)); });
  }
  template <class Body>
  void each_block(Index n, const Body& body) {
    each_block(n, 1, body);
  }

  /// body(first, length) for strips of `vectors` vectors that stay in cache.
  template <class Body>
  static void each_strip(Index vectors, Index first, Index count, const Body& body) {
    const Index fitting = kStripBytes / (vectors * static_cast<Index>(sizeof(T)));
    const Index rows = std::max<Index>(fitting / 64 * 64, 256);  // worth the call of a kernel
    for (Index i = first; i < first + count; i += rows) {
      body(i, std::min(rows, first + count - i));
    }
  }

  /// Adds up `count` rows of `width` doubles into the first, always in the same order.
  static void add_up(double* rows, Index count, Index width) {
    for (Index step = 1; step < count; step *= 2) {
      for (Index i = 0; i + step < count; i += 2 * step) {
        for (Index j = 0; j < width; ++j) rows[i * width + j] += rows[(i + step) * width + j];
      }
    }
  }
  void allreduce(double* values, Index count) {
    if (comm_.allreduce_sum) comm_.allreduce_sum(values, count);
  }

  /// Σ term(first, length) over all blocks of [0, n) and over the ranks.
  template <class Sum, class Term>
  Sum sum(Index n, const Term& term) {
    return sum_blocks<Sum>(Blocks::of(n), n, term);
  }
  template <class Sum, class Term>
  Sum sum_blocks(const Blocks& blocks, Index elements, const Term& term) {
    constexpr Index kWidth = sizeof(Sum) / sizeof(double);
    Sum total{};
    if (blocks.count == 1) {
      total = term(Index{0}, blocks.n);
    } else if (blocks.count > 1) {
      double partial[kMaxBlocks * kWidth];
      threads::for_each_part(blocks.count, elements, [&](Index block) {
        const Sum s = term(blocks.first(block), blocks.length(block));
        std::copy_n(reinterpret_cast<const double*>(&s), kWidth, partial + block * kWidth);
      });
      add_up(partial, blocks.count, kWidth);
      std::copy_n(partial, kWidth, reinterpret_cast<double*>(&total));
    }
    allreduce(reinterpret_cast<double*>(&total), kWidth);
    return total;
  }

  /// Rows [i, i + n) of y += sign V h.
  void add(BlockView<const T> V, std::span<const Scalar> h, double sign, Index i, Index n,
           VectorView<T> y) {
    for (Index c = 0; c < V.cols; c += kernels::kPanelColumns) {
      const Index width = std::min(kernels::kPanelColumns, V.cols - c);
      Scalar coefficients[kernels::kPanelColumns];
      for (Index j = 0; j < width; ++j) {
        coefficients[j] = sign * h[static_cast<std::size_t>(c + j)];
      }
      kernels_->add_columns(n, width, &V(i, c), V.ld, coefficients, y.data + i);
    }
  }

  /// h = Vᴴw in one sweep over strips of rows, each handed to `prepare` before it is projected on;
  /// `vectors` of them are read twice.
  template <class Prepare>
  void project_prepared(BlockView<const T> V, Index vectors, VectorView<const T> w, Slots h,
                        const Prepare& prepare) {
    Index cols = std::min(V.cols, kSweepColumns);
    sweep(V.columns(0, cols), vectors, w, h.data(), prepare);
    for (Index c = cols; c < V.cols; c += cols) {
      cols = std::min(V.cols - c, kSweepColumns);
      sweep(V.columns(c, cols), 1, w, h.data() + c, [](Index, Index) {});
    }
    allreduce(reinterpret_cast<double*>(h.data()), V.cols * kDoubles);
  }
  template <class Prepare>
  void sweep(BlockView<const T> V, Index vectors, VectorView<const T> w, Scalar* h,
             const Prepare& prepare) {
    const Blocks blocks = Blocks::of(w.size, kMaxSweepBlocks, kMinSweepBlock);
    const Index width = V.cols * kDoubles;
    double partial[kMaxSweepBlocks * kSweepColumns * kDoubles];
    threads::for_each_part(blocks.count, w.size * (V.cols + vectors), [&](Index block) {
      double* sums = partial + block * width;
      std::fill_n(sums, width, 0.0);
      each_strip(vectors, blocks.first(block), blocks.length(block), [&](Index i, Index n) {
        prepare(i, n);
        for (Index c = 0; c < V.cols; c += kernels::kPanelColumns) {
          kernels_->project(n, std::min(kernels::kPanelColumns, V.cols - c), &V(i, c), V.ld,
                            w.data + i, reinterpret_cast<Scalar*>(sums + c * kDoubles));
        }
      });
    });
    if (blocks.count == 0) std::fill_n(partial, width, 0.0);
    add_up(partial, blocks.count, width);
    std::copy_n(partial, width, reinterpret_cast<double*>(h));
  }

  /// Rows [first, first + count) of V = V S, `rows` at a time through `strip`.
  void combine_strips(BlockView<T> V, BlockView<const WideOf<T>> S, Index first, Index count,
                      Index rows, T* strip) {
    for (Index i = first; i < first + count; i += rows) {
      const Index n = std::min(rows, first + count - i);
      for (Index j = 0; j < S.rows; ++j) std::copy_n(&V(i, j), n, strip + j * rows);
      for (Index c = 0; c < S.cols; c += kernels::kPanelColumns) {
        kernels_->combine(n, S.rows, strip, rows, &S(0, c), S.ld,
                          std::min(kernels::kPanelColumns, S.cols - c), &V(i, c), V.ld);
      }
    }
  }

  Comm comm_;
  const kernels::KernelTable<T>* kernels_;
};

}  // namespace ritz
