// A dense matrix in memory as an operator.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include "ritz/core/error.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// A view of rows × cols elements, `ld` from one row (row-major) or one column to the next; the
/// data must outlive it.
///
/// A product reads the matrix once for up to 32 vectors. The work is cut by the sizes alone, so
/// a result has the same bits for any number of threads.
template <Field T>
class DenseMatrix {
 public:
  /// Throws InvalidArgument unless the sizes are at least 0 and `ld` spans a row or column.
  DenseMatrix(const T* data, Index rows, Index cols, Index ld, bool row_major,
              Isa isa = kernels::default_isa())
      : V_{data, row_major ? cols : rows, row_major ? rows : cols, ld},
        row_major_(row_major),
        kernels_(&kernels::tables(isa).template of<T>()) {
    if (rows < 0 || cols < 0) {
      throw InvalidArgument("the matrix has " + std::to_string(rows) + " rows and " +
                            std::to_string(cols) + " columns; pass sizes of at least 0");
    }
    if (ld < V_.rows) {
      throw InvalidArgument("ld is " + std::to_string(ld) + "; pass at least the length of a " +
                            (row_major ? "row, " : "column, ") + std::to_string(V_.rows));
    }
  }

  Index rows() const { return row_major_ ? V_.cols : V_.rows; }
  Index cols() const { return row_major_ ? V_.rows : V_.cols; }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    apply_block({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    apply_adjoint_block({x.data, x.size, 1, x.size}, {y.data, y.size, 1, y.size});
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    for (Index j = 0; j < X.cols; j += kGroup) {
      const Index count = std::min(kGroup, X.cols - j);
      if (row_major_) {
        contract(kernels_->project_transpose, kernels_->project_block_transpose,
                 X.columns(j, count), Y.columns(j, count));
      } else {
        expand(kernels_->add_columns, kernels_->add_product, X.columns(j, count),
               Y.columns(j, count));
      }
    }
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    for (Index j = 0; j < X.cols; j += kGroup) {
      const Index count = std::min(kGroup, X.cols - j);
      if (row_major_) {
        expand(kernels_->add_conjugate_columns, kernels_->add_conjugate_product,
               X.columns(j, count), Y.columns(j, count));
      } else {
        contract(kernels_->project, kernels_->project_block, X.columns(j, count),
                 Y.columns(j, count));
      }
    }
  }

 private:
  using Wide = WideOf<T>;
  using AddColumns = decltype(kernels::KernelTable<T>::add_columns);
  using Project = decltype(kernels::KernelTable<T>::project);
  using AddProduct = decltype(kernels::KernelTable<T>::add_product);
  using ProjectBlock = decltype(kernels::KernelTable<T>::project_block);

  // Vectors multiplied by one reading of the matrix: their sums with a panel of columns, 4 KiB at
  // most, stay in the first-level cache.
  static constexpr Index kGroup = 32;
  // Columns of the matrix whose coefficients, 64 KiB at most, are made ready at once.
  static constexpr Index kReady = 128;
  // A tile of the matrix stays in a second-level cache while the vectors of a group pass over it.
  static constexpr Index kTileBytes = 256 * 1024;
  // Where an output is too short to keep all threads busy, the sums that make it are cut into up to
  // kMaxChunks chunks, whose results stay on the stack: 128 KiB at most.
  static constexpr Index kMaxChunks = 16;
  static constexpr Index kChunkBytes = 128 * 1024;
  // Smallest pieces worth a thread: rows whose read of a column is long enough to prefetch, and
  // columns or rows whose sums are longer than it takes to start and add them up.
  static constexpr Index kMinRows = 128;
  static constexpr Index kMinChunkColumns = 256;
  static constexpr Index kMinChunkRows = 4096;

  /// [0, n) cut into `count` pieces of `size`, a multiple of `step`.
  struct Pieces {
    Index n, size, count;

    static Pieces of(Index n, Index wanted, Index step) {
      const Index size = std::max(((n + wanted - 1) / wanted + step - 1) / step * step, step);
      return {n, size, std::max<Index>((n + size - 1) / size, 1)};
    }
    Index first(Index piece) const { return piece * size; }
    Index last(Index piece) const { return std::min(n, (piece + 1) * size); }
  };

  /// The number of chunks whose partial results, of `elements` each, fit on the stack.
  static Index chunks_wanted(Index n, Index smallest, Index elements, Index element_bytes) {
    const Index fitting = kChunkBytes / (std::max<Index>(elements, 1) * element_bytes);
    return std::max<Index>(1, std::min({kMaxChunks, fitting, n / smallest}));
  }

  /// Y = V X, or its like with V conjugated: pieces of rows times chunks of columns.
  void expand(AddColumns add, AddProduct add_product, BlockView<const T> X, BlockView<T> Y) const {
    const Index m = V_.rows, n = V_.cols;
    const Pieces pieces = Pieces::of(m, std::clamp<Index>(m / kMinRows, 1, 256), 64);
    const Pieces chunks = Pieces::of(n, chunks_wanted(n, kMinChunkColumns, m * X.cols, sizeof(T)),
                                     kernels::kPanelColumns);
    alignas(64) std::byte partial[kChunkBytes];
    // Chunk 0 is summed in Y itself, so that one chunk needs no further room.
    const auto output = [&](Index chunk) -> BlockView<T> {
      if (chunk == 0) return Y;
      return {reinterpret_cast<T*>(partial) + (chunk - 1) * m * X.cols, m, X.cols, m};
    };
    threads::for_each_part(pieces.count * chunks.count, m * n, [&](Index part) {
      const Index piece = part % pieces.count, chunk = part / pieces.count;
      const Index i = pieces.first(piece), rows = pieces.last(piece) - i;
      const BlockView<T> sums = output(chunk);
      for (Index j = 0; j < X.cols; ++j) std::fill_n(&sums(i, j), rows, T{});
      const Index last = chunks.last(chunk);
      if (X.cols > 1) {
        for (Index c = chunks.first(chunk); c < last; c += kReady) {
          add_block(add_product, i, rows, c, std::min(kReady, last - c), X, sums);
        }
        return;
      }
      for (Index c = chunks.first(chunk); c < last; c += kernels::kPanelColumns) {
        const Index width = std::min(kernels::kPanelColumns, last - c);
        std::array<Wide, kernels::kPanelColumns> h;
        for (Index k = 0; k < width; ++k) {
          h[static_cast<std::size_t>(k)] = static_cast<Wide>(X(c + k, 0));
        }
        add(rows, width, &V_(i, c), V_.ld, h.data(), &sums(i, 0));
      }
    });
    for (Index chunk = 1; chunk < chunks.count; ++chunk) {
      const BlockView<T> sums = output(chunk);
      for (Index j = 0; j < X.cols; ++j) {
        for (Index i = 0; i < m; ++i) Y(i, j) += sums(i, j);
      }
    }
  }

  /// Rows [i, i + rows) of Y += V X with columns [c, c + count) of V.
  void add_block(AddProduct add_product, Index i, Index rows, Index c, Index count,
                 BlockView<const T> X, BlockView<T> Y) const {
    if constexpr (std::same_as<T, Wide>) {
      add_product(rows, count, 1.0, &V_(i, c), V_.ld, &X(c, 0), X.ld, X.cols, &Y(i, 0), Y.ld);
    } else {
      std::array<Wide, kReady * kGroup> H;
      for (Index j = 0; j < X.cols; ++j) {
        for (Index k = 0; k < count; ++k) {
          H[static_cast<std::size_t>(k + j * kReady)] = static_cast<Wide>(X(c + k, j));
        }
      }
      add_product(rows, count, 1.0, &V_(i, c), V_.ld, H.data(), kReady, X.cols, &Y(i, 0), Y.ld);
    }
  }

  /// Y = Vᴴ X or Vᵀ X: panels of columns times chunks of rows.
  void contract(Project project, ProjectBlock project_block, BlockView<const T> X,
                BlockView<T> Y) const {
    const Index m = V_.rows, n = V_.cols;
    const Index width_max = kernels::kPanelColumns;
    const Pieces panels{n, width_max, std::max<Index>((n + width_max - 1) / width_max, 1)};
    const Pieces chunks =
        Pieces::of(m, chunks_wanted(m, kMinChunkRows, n * X.cols, sizeof(Wide)), 64);
    alignas(64) std::byte partial[kChunkBytes];
    Wide* const chunk_sums = reinterpret_cast<Wide*>(partial);
    threads::for_each_part(panels.count * chunks.count, m * n, [&](Index part) {
      const Index panel = part % panels.count, chunk = part / panels.count;
      const Index c = panels.first(panel), width = panels.last(panel) - c;
      std::array<std::array<Wide, kernels::kPanelColumns>, kGroup> sums;
      for (Index j = 0; j < X.cols; ++j) sums[static_cast<std::size_t>(j)].fill(Wide{});
      const Index last = chunks.last(chunk);
      const Index tile = kTileBytes / (kernels::kPanelColumns * static_cast<Index>(sizeof(T)));
      for (Index i = chunks.first(chunk); i < last; i += tile) {
        const Index rows = std::min(tile, last - i);
        if (X.cols == 1) {
          project(rows, width, &V_(i, c), V_.ld, &X(i, 0), sums[0].data());
        } else {
          project_block(rows, width, &V_(i, c), V_.ld, X.cols, &X(i, 0), X.ld, sums[0].data(),
                        kernels::kPanelColumns);
        }
      }
      for (Index j = 0; j < X.cols; ++j) {
        for (Index k = 0; k < width; ++k) {
          const Wide s = sums[static_cast<std::size_t>(j)][static_cast<std::size_t>(k)];
          if (chunks.count == 1) {
            Y(c + k, j) = static_cast<T>(s);
          } else {
            chunk_sums[(chunk * X.cols + j) * n + c + k] = s;
          }
        }
      }
    });
    if (chunks.count == 1) return;
    for (Index j = 0; j < X.cols; ++j) {
      for (Index k = 0; k < n; ++k) {
        Wide s{};
        for (Index chunk = 0; chunk < chunks.count; ++chunk) {
          s += chunk_sums[(chunk * X.cols + j) * n + k];
        }
        Y(k, j) = static_cast<T>(s);
      }
    }
  }

  BlockView<const T> V_;  // A itself, or its transpose if A is stored by rows
  bool row_major_;
  const kernels::KernelTable<T>* kernels_;
};

}  // namespace ritz
