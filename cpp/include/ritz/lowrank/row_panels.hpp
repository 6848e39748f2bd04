// Products of a tall matrix with small ones, by panels of rows that stay in cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/krylov/block_run.hpp"
#include "ritz/sketch/philox.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// The rows are cut into chunks by the sizes alone, each with sums of its own that are added up in
/// order, so that a result has the same bits for any number of threads. Small matrices U are upper
/// triangular, and their zeros are not multiplied by.
template <Field T>
class RowPanels {
 public:
  using W = WideOf<T>;

  RowPanels(Index m, Index n, Isa isa = kernels::default_isa())
      : m_(m), kernels_(&kernels::tables(isa).template of<T>()) {
    const Index bytes = std::max<Index>(n, 1) * static_cast<Index>(sizeof(T));
    panel_ = std::clamp<Index>(kPanelBytes / bytes / 64 * 64, 64, 1024);
    // The sums of a chunk, n² numbers, are to be few beside the chunk itself.
    const Index fitting = m / std::max<Index>({4 * n, panel_, 1});
    chunks_ = std::clamp<Index>(fitting, 1, kMaxChunks);
  }

  /// Q = A_J U, and the upper triangle of G = QᴴQ.
  void multiply_gathered(MatrixView<const T> A, std::span<const Index> J, BlockView<const W> U,
                         BlockView<T> Q, SmallMatrix<W>& G) const {
    auto sums = zeros(Q.cols, Q.cols);
    each_panel(Q.cols, [&](std::size_t chunk, Index first, Index count, T* scratch) {
      const BlockView<T> P{scratch, count, Q.cols, panel_};
      gather(A.part(first, 0, count, A.cols), J, P);
      const BlockView<T> to = rows(Q, first, count);
      times_upper(P, U, to);
      add_gram(to, sums[chunk]);
    });
    add_sums(sums, Q.cols, Q.cols, G);
  }

  /// The upper triangle of G = QᴴQ.
  void gram(BlockView<T> Q, SmallMatrix<W>& G) const {
    auto sums = zeros(Q.cols, Q.cols);
    each_panel(0, [&](std::size_t chunk, Index first, Index count, T*) {
      add_gram(rows(Q, first, count), sums[chunk]);
    });
    add_sums(sums, Q.cols, Q.cols, G);
  }

  /// Q = Q U unless U is empty, and an estimate of ‖QᴴQ − I‖_F on the way: the root mean square of
  /// ‖(QᴴQ − I) g‖ over random signs g.
  double multiply(BlockView<T> Q, BlockView<const W> U) const {
    const Index n = Q.cols;
    SmallMatrix<W> g, zero;
    g.resize(n, kProbes);
    for (Index j = 0; j < kProbes; ++j) {
      for (Index i = 0; i < n; ++i) g(i, j) = philox::sign(0, static_cast<std::uint64_t>(j), i);
    }
    auto sums = zeros(n, kProbes);
    each_panel(n + kProbes, [&](std::size_t chunk, Index first, Index count, T* scratch) {
      const BlockView<T> part = rows(Q, first, count);
      if (U.cols > 0) {
        const BlockView<T> P{scratch, count, n, panel_};
        for (Index j = 0; j < n; ++j) std::copy_n(&part(0, j), count, &P(0, j));
        times_upper(P, U, part);
      }
      const BlockView<T> z{scratch + n * panel_, count, kProbes, panel_};
      for (Index j = 0; j < kProbes; ++j) std::fill_n(&z(0, j), count, T{});
      kernels_->add_product(count, n, 1.0, part.data, part.ld, g.data.data(), n, kProbes, z.data,
                            z.ld);
      kernels_->project_block(count, n, part.data, part.ld, kProbes, z.data, z.ld,
                              sums[chunk].data.data(), n);
    });
    SmallMatrix<W> total;
    add_sums(sums, n, kProbes, total);
    double squares = 0.0;
    for (std::size_t i = 0; i < total.data.size(); ++i) {
      squares += std::norm(total.data[i] - g.data[i]);
    }
    return std::sqrt(squares / static_cast<double>(kProbes));
  }

  /// ‖A_rest − Q R_rest‖_F over the columns order[k], … that Q of k columns was not made from.
  double left_over(MatrixView<const T> A, std::span<const Index> order, BlockView<T> Q,
                   BlockView<const W> R) const {
    const Index k = Q.cols, rest = static_cast<Index>(order.size()) - k;
    std::vector<double> sums(static_cast<std::size_t>(chunks_), 0.0);
    each_panel(rest, [&](std::size_t chunk, Index first, Index count, T* scratch) {
      const BlockView<T> P{scratch, count, rest, panel_};
      gather(A.part(first, 0, count, A.cols), order.subspan(static_cast<std::size_t>(k)), P);
      const BlockView<T> part = rows(Q, first, count);
      if (k > 0) {
        kernels_->add_product(count, k, -1.0, part.data, part.ld, &R(0, k), R.ld, rest, P.data,
                              P.ld);
      }
      for (Index j = 0; j < rest; ++j) {
        sums[chunk] += kernels_->norm2(count, &P(0, j));
      }
    });
    double total = 0.0;
    for (const double sum : sums) total += sum;
    return std::sqrt(total);
  }

 private:
  static constexpr Index kPanelBytes = 256 * 1024;  // a panel and its product stay in L2
  static constexpr Index kMaxChunks = 16;
  static constexpr Index kColumns = 32;  // of a triangle that are multiplied by at once
  static constexpr Index kProbes = 4;

  static BlockView<T> rows(BlockView<T> Q, Index first, Index count) {
    return {Q.data + first, count, Q.cols, Q.ld};
  }

  std::vector<SmallMatrix<W>> zeros(Index m, Index n) const {
    std::vector<SmallMatrix<W>> sums(static_cast<std::size_t>(chunks_));
    for (SmallMatrix<W>& sum : sums) sum.resize(m, n);
    return sums;
  }

  /// body(chunk, first, count, scratch) for every panel, with room for a panel of `width` columns.
  template <class Body>
  void each_panel(Index width, const Body& body) const {
    const Index size = ((m_ + chunks_ - 1) / chunks_ + 63) / 64 * 64, room = width * panel_;
    std::vector<T> scratch(static_cast<std::size_t>(room * chunks_));
    threads::for_each_part(chunks_, m_ * std::max<Index>(width, 64), [&](Index chunk) {
      const Index last = std::min(m_, (chunk + 1) * size);
      for (Index i = chunk * size; i < last; i += panel_) {
        body(static_cast<std::size_t>(chunk), i, std::min(panel_, last - i),
             scratch.data() + chunk * room);
      }
    });
  }

  static void gather(MatrixView<const T> A, std::span<const Index> J, BlockView<T> P) {
    if (std::abs(A.col_stride) < std::abs(A.row_stride)) {
      for (Index i = 0; i < P.rows; ++i) {
        const T* row = A.data + i * A.row_stride;
        for (Index j = 0; j < P.cols; ++j) {
          P(i, j) = row[J[static_cast<std::size_t>(j)] * A.col_stride];
        }
      }
    } else {
      for (Index j = 0; j < P.cols; ++j) {
        const T* column = A.data + J[static_cast<std::size_t>(j)] * A.col_stride;
        for (Index i = 0; i < P.rows; ++i) P(i, j) = column[i * A.row_stride];
      }
    }
  }

  /// Y = P U
  void times_upper(BlockView<T> P, BlockView<const W> U, BlockView<T> Y) const {
    for (Index j = 0; j < U.cols; j += kColumns) {
      const Index width = std::min(kColumns, U.cols - j);
      for (Index c = j; c < j + width; ++c) std::fill_n(&Y(0, c), Y.rows, T{});
      kernels_->add_product(P.rows, j + width, 1.0, P.data, P.ld, &U(0, j), U.ld, width, &Y(0, j),
                            Y.ld);
    }
  }
  /// The upper blocks of G += QᴴQ.
  void add_gram(BlockView<T> Q, SmallMatrix<W>& G) const {
    for (Index j = 0; j < Q.cols; j += kColumns) {
      const Index width = std::min(kColumns, Q.cols - j);
      kernels_->project_block(Q.rows, j + width, Q.data, Q.ld, width, &Q(0, j), Q.ld, &G(0, j),
                              G.rows);
    }
  }

  static void add_sums(std::vector<SmallMatrix<W>>& sums, Index m, Index n, SmallMatrix<W>& to) {
    to.resize(m, n);
    for (const SmallMatrix<W>& sum : sums) {
      for (std::size_t i = 0; i < sum.data.size(); ++i) to.data[i] += sum.data[i];
    }
  }
  Index m_, panel_ = 64, chunks_ = 1;
  const kernels::KernelTable<T>* kernels_;
};

}  // namespace ritz
