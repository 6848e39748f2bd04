// Products with a matrix that is made tile by tile, used, and forgotten.
//
// A tile of S and one of A stay in the second-level cache while their product is added up, so that
// S costs its making once for every 512 columns of A and no memory. The sizes alone cut the work.
// Goto, van de Geijn: Anatomy of high-performance matrix multiplication. ACM TOMS 34, 2008.
#pragma once

#include <algorithm>
#include <complex>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// Y = S A, or Sᴴ A where `kAdjoint`.
///
/// 2 d m n operations, d m elements made for every 512 columns of A; memory: 2.3 MB a thread at
/// most, and up to 16 MB where Y is small and added up in chunks. Sums are taken in the
/// precision of T over 128 terms, in double precision over these.
template <Field T, bool kAdjoint>
class TileProduct {
 public:
  /// `make(i, j, rows, cols, tile)` writes S[i : i + rows, j : j + cols] by rows, kTile apart.
  template <class Make>
  static void run(const Make& make, MatrixView<const T> A, MatrixView<T> Y) {
    if (Y.rows == 0 || Y.cols == 0) return;
    TileProduct product(A, Y);
    const Layout& l = product.layout_;
    threads::for_each_part(l.parts(), A.rows * Y.rows * 4, [&](Index part) {
      Lease memory(product);
      product.multiply(make, part, memory->tile.data(), memory->packed.data(),
                       l.chunks == 1 ? memory->sums.data() : product.partial(part));
    });
    if (l.chunks > 1) product.add_chunks();
  }

  static constexpr Index kTile = 128;

 private:
  using R = RealOf<T>;
  using Kernel = decltype(kernels::KernelTable<T>::tile_product);

  static constexpr Index kCols = 512;
  static constexpr Index kStrip = kernels::kStrip<R>;
  static constexpr Index kParts = ComplexField<T> ? 2 : 1;
  // Chunks of the terms, wherever the elements of Y alone make fewer parts than this.
  static constexpr Index kWantedParts = 16;
  static constexpr Index kMinChunk = 8 * kTile;

  /// How the work is cut: chunk c of the terms, block b of the columns, block r of the rows of Y
  /// are part (c · col_blocks + b) · row_blocks + r.
  struct Layout {
    Index rows, cols, terms, row_blocks, col_blocks, chunks, chunk;

    Layout(Index m, Index n, Index inner)
        : rows(m),
          cols(n),
          terms(inner),
          row_blocks((m + kTile - 1) / kTile),
          col_blocks((n + kCols - 1) / kCols) {
      const Index wanted = std::clamp<Index>(kWantedParts / (row_blocks * col_blocks), 1,
                                             std::max<Index>(inner / kMinChunk, 1));
      chunk = std::max((inner + wanted - 1) / wanted + kTile - 1, kTile) / kTile * kTile;
      chunks = std::max<Index>((inner + chunk - 1) / chunk, 1);
    }
    Index parts() const { return row_blocks * col_blocks * chunks; }
    /// Columns of the widest block, whole strips, and the doubles that a row of sums takes.
    Index packed_cols() const { return (std::min(cols, kCols) + kStrip - 1) / kStrip * kStrip; }
    Index width() const { return packed_cols() * kParts; }
    Index height() const { return std::min(rows, kTile); }
  };

  struct Memory {
    std::vector<T> tile;
    std::vector<R> packed;
    std::vector<double> sums;
  };

  TileProduct(MatrixView<const T> A, MatrixView<T> Y)
      : A_(A),
        Y_(Y),
        layout_(Y.rows, Y.cols, A.rows),
        kernel_(kAdjoint ? kernels::tables(kernels::default_isa()).of<T>().adjoint_tile_product
                         : kernels::tables(kernels::default_isa()).of<T>().tile_product) {
    const Layout& l = layout_;
    const Index inner = std::min(l.terms, kTile);
    const Index sums = l.height() * l.width();
    if (l.chunks > 1) partial_.resize(static_cast<std::size_t>(l.parts() * sums));
    const Index threads = std::min(threads::num_threads(), l.parts());
    for (Index t = 0; t < threads; ++t) {
      auto memory = std::make_unique<Memory>();
      memory->tile.resize(static_cast<std::size_t>(kTile * (kAdjoint ? inner : l.height())));
      memory->packed.resize(static_cast<std::size_t>(inner * l.width()));
      if (l.chunks == 1) memory->sums.resize(static_cast<std::size_t>(sums));
      idle_.push_back(std::move(memory));
    }
  }

  /// What one part computes in, made before the threads begin.
  class Lease {
   public:
    explicit Lease(TileProduct& product) : product_(product) {
      const std::lock_guard lock(product_.mutex_);
      memory_ = std::move(product_.idle_.back());
      product_.idle_.pop_back();
    }
    ~Lease() {
      const std::lock_guard lock(product_.mutex_);
      product_.idle_.push_back(std::move(memory_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Memory* operator->() const { return memory_.get(); }

   private:
    TileProduct& product_;
    std::unique_ptr<Memory> memory_;
  };

  double* partial(Index part) {
    return partial_.data() + part * layout_.height() * layout_.width();
  }

  template <class Make>
  void multiply(const Make& make, Index part, T* tile, R* packed, double* sums) {
    const Layout& l = layout_;
    const Index row = part % l.row_blocks * kTile;
    const Index col = part / l.row_blocks % l.col_blocks * kCols;
    const Index first = part / (l.row_blocks * l.col_blocks) * l.chunk;
    const Index last = std::min(l.terms, first + l.chunk);
    const Index rows = std::min(kTile, l.rows - row), cols = std::min(kCols, l.cols - col);
    std::fill_n(sums, rows * l.width(), 0.0);
    for (Index k = first; k < last; k += kTile) {
      const Index inner = std::min(kTile, last - k);
      pack(A_.part(k, col, inner, cols), packed);
      if constexpr (kAdjoint) {
        make(k, row, inner, rows, tile);
        kernel_(rows, inner, tile, 1, kTile, cols, packed, l.width(), sums);
      } else {
        make(row, k, rows, inner, tile);
        kernel_(rows, inner, tile, kTile, 1, cols, packed, l.width(), sums);
      }
    }
    if (l.chunks == 1) write(sums, Y_.part(row, col, rows, cols));
  }

  /// Strips of kStrip columns, the real parts of a row of a strip before the imaginary ones.
  static void pack(MatrixView<const T> A, R* packed) {
    for (Index c = 0; c < A.cols; c += kStrip, packed += A.rows * kStrip * kParts) {
      const Index width = std::min(kStrip, A.cols - c);
      if (width < kStrip) std::fill_n(packed, A.rows * kStrip * kParts, R{});
      if (std::abs(A.row_stride) < std::abs(A.col_stride)) {
        for (Index j = 0; j < width; ++j) {
          for (Index i = 0; i < A.rows; ++i) put(A(i, c + j), packed + i * kStrip * kParts + j);
        }
      } else {
        for (Index i = 0; i < A.rows; ++i) {
          for (Index j = 0; j < width; ++j) put(A(i, c + j), packed + i * kStrip * kParts + j);
        }
      }
    }
  }
  static void put(T a, R* to) {
    if constexpr (ComplexField<T>) {
      to[0] = a.real();
      to[kStrip] = a.imag();
    } else {
      to[0] = a;
    }
  }

  void write(const double* sums, MatrixView<T> Y) const {
    const auto element = [&](Index i, Index j) {
      const double* sum = sums + i * layout_.width() + j / kStrip * kStrip * kParts + j % kStrip;
      if constexpr (ComplexField<T>) {
        Y(i, j) = static_cast<T>(std::complex<double>(sum[0], sum[kStrip]));
      } else {
        Y(i, j) = static_cast<T>(sum[0]);
      }
    };
    if (std::abs(Y.row_stride) < std::abs(Y.col_stride)) {
      for (Index j = 0; j < Y.cols; ++j) {
        for (Index i = 0; i < Y.rows; ++i) element(i, j);
      }
    } else {
      for (Index i = 0; i < Y.rows; ++i) {
        for (Index j = 0; j < Y.cols; ++j) element(i, j);
      }
    }
  }

  /// Adds the chunks of each block up, in order.
  void add_chunks() {
    const Layout& l = layout_;
    const Index blocks = l.row_blocks * l.col_blocks;
    for (Index block = 0; block < blocks; ++block) {
      const Index row = block % l.row_blocks * kTile, col = block / l.row_blocks * kCols;
      const Index rows = std::min(kTile, l.rows - row), cols = std::min(kCols, l.cols - col);
      double* sums = partial(block);
      for (Index c = 1; c < l.chunks; ++c) {
        const double* more = partial(c * blocks + block);
        for (Index k = 0; k < rows * l.width(); ++k) sums[k] += more[k];
      }
      write(sums, Y_.part(row, col, rows, cols));
    }
  }

  MatrixView<const T> A_;
  MatrixView<T> Y_;
  Layout layout_;
  Kernel kernel_;
  std::vector<double> partial_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Memory>> idle_;
};

}  // namespace ritz
