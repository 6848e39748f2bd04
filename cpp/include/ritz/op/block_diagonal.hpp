// A block-diagonal matrix in memory as an operator: what block Jacobi is once its blocks are
// inverted.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/algebra.hpp"

namespace ritz {

/// diag(B_0, B_1, …) of square blocks of the given sizes; `elements` are those of the blocks one
/// after the other, each by columns, and must outlive it.
///
/// Made for many blocks small enough for a first-level cache: a product reads each once, for all
/// columns of X. Blocks are shared out among the threads and never split, so that a result has the
/// same bits for any number of threads.
template <Field T>
class BlockDiagonal : public ColumnsFromBlocks<BlockDiagonal<T>, T> {
 public:
  /// Throws InvalidArgument if a size is negative.
  BlockDiagonal(std::vector<Index> sizes, const T* elements)
      : sizes_(std::move(sizes)), elements_(elements) {
    for (std::size_t b = 0; b < sizes_.size(); ++b) {
      if (sizes_[b] < 0) {
        throw InvalidArgument("sizes holds " + std::to_string(sizes_[b]) + " at " +
                              std::to_string(b) + "; sizes are at least 0");
      }
      rows_ += sizes_[b];
      count_ += sizes_[b] * sizes_[b];
    }
    cut();
  }

  Index rows() const { return rows_; }
  Index cols() const { return rows_; }
  /// Elements of all blocks.
  Index count() const { return count_; }

  void apply_block(BlockView<const T> X, BlockView<T> Y) const { multiply<false>(X, Y); }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const { multiply<true>(X, Y); }

 private:
  using Wide = WideOf<T>;

  /// Where a thread's share begins.
  struct Start {
    Index block, row, element;
  };

  /// Cuts the blocks into runs of about equal work.
  void cut() {
    // About 10 µs each, as for sparse matrices; 1024 balance the load of a hundred threads.
    constexpr Index kPartWork = 16384, kMaxParts = 1024;
    const Index work = std::max(kPartWork, (count_ + rows_) / kMaxParts);
    Start at{0, 0, 0};
    Index last = -work;
    for (const Index size : sizes_) {
      if (at.element + at.row - last >= work) {
        starts_.push_back(at);
        last = at.element + at.row;
      }
      ++at.block;
      at.row += size;
      at.element += size * size;
    }
    starts_.push_back(at);
  }

  template <bool kAdjoint>
  void multiply(BlockView<const T> X, BlockView<T> Y) const {
    const Index parts = static_cast<Index>(starts_.size()) - 1;
    threads::for_each_part(parts, (count_ + rows_) * X.cols, [&](Index part) {
      Start at = starts_[static_cast<std::size_t>(part)];
      const Index end = starts_[static_cast<std::size_t>(part) + 1].block;
      for (; at.block < end; ++at.block) {
        const Index size = sizes_[static_cast<std::size_t>(at.block)];
        const T* B = elements_ + at.element;
        for (Index j = 0; j < X.cols; ++j) {
          multiply_one<kAdjoint>(size, B, &X(at.row, j), &Y(at.row, j));
        }
        at.row += size;
        at.element += size * size;
      }
    });
  }

  /// y = B x or Bᴴ x: the sums of eight rows stay in registers while x passes by.
  template <bool kAdjoint>
  static void multiply_one(Index size, const T* B, const T* x, T* y) {
    Index i = 0;
    for (; i + 8 <= size; i += 8) multiply_rows<8, kAdjoint>(size, B, x, y, i);
    for (; i + 4 <= size; i += 4) multiply_rows<4, kAdjoint>(size, B, x, y, i);
    for (; i + 2 <= size; i += 2) multiply_rows<2, kAdjoint>(size, B, x, y, i);
    for (; i < size; ++i) multiply_rows<1, kAdjoint>(size, B, x, y, i);
  }

  template <int R, bool kAdjoint>
  static void multiply_rows(Index size, const T* B, const T* x, T* y, Index i) {
    const Index down = kAdjoint ? size : 1, right = kAdjoint ? 1 : size;
    Wide sums[R] = {};
    const T* column = B + i * down;
    for (Index j = 0; j < size; ++j, column += right) {
      for (int r = 0; r < R; ++r) add_product<kAdjoint>(column[r * down], x[j], sums[r]);
    }
    for (int r = 0; r < R; ++r) y[i + r] = static_cast<T>(sums[r]);
  }

  template <bool kConjugate>
  static void add_product(T b, T x, Wide& sum) {
    if constexpr (ComplexField<T>) {
      // std::complex would call a function that looks for infinities.
      const double b_re = b.real(), x_re = x.real(), x_im = x.imag();
      const double b_im = kConjugate ? -static_cast<double>(b.imag()) : b.imag();
      sum = {sum.real() + b_re * x_re - b_im * x_im, sum.imag() + b_re * x_im + b_im * x_re};
    } else {
      sum += static_cast<double>(b) * static_cast<double>(x);
    }
  }

  std::vector<Index> sizes_;
  const T* elements_;
  Index rows_ = 0, count_ = 0;
  std::vector<Start> starts_;  // and the end
};

}  // namespace ritz
