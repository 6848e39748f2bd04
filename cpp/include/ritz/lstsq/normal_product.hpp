// Products with AᴴA of a tall matrix in memory that read it once.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// Y = Aᴴ(A P), or Aᴴ(B − A X) with the norms of B − A X. A panel of rows is multiplied by A and,
/// while it is in a first- or second-level cache, by Aᴴ: mn elements are read for up to eight
/// columns of P, 4mn flops each. Sums in double precision, or over 512 rows in that of A; the work
/// is cut by the sizes alone, so that results have the same bits for any number of threads. Memory:
/// up to 64 n numbers a column.
template <Field T>
class NormalProduct {
 public:
  using W = WideOf<T>;

  /// Throws InvalidArgument unless rows or columns of A are contiguous.
  explicit NormalProduct(MatrixView<const T> A)
      : A_(A),
        by_rows_(A.col_stride == 1 || A.cols == 1),
        kernels_(&kernels::tables(kernels::default_isa()).template of<T>()) {
    if (!by_rows_ && A.row_stride != 1 && A.rows > 1) {
      throw InvalidArgument("the matrix has strides " + std::to_string(A.row_stride) + " and " +
                            std::to_string(A.col_stride) +
                            "; pass one whose rows or columns are contiguous");
    }
  }

  /// Y = Aᴴ A P
  void normal(BlockView<const T> P, BlockView<W> Y) { multiply(P, {}, Y, {}); }
  /// Y = Aᴴ (B − A X), norm2[j] = ‖b_j − A x_j‖²
  void residual(BlockView<const T> B, BlockView<const T> X, BlockView<W> Y,
                std::span<double> norm2) {
    multiply(X, B, Y, norm2);
  }

 private:
  static constexpr Index kGroup = 8;   // columns of P that share one reading of A
  static constexpr Index kRows = 512;  // rows whose sums are in the precision of A
  static constexpr Index kMaxParts = 64;
  static constexpr Index kPanel = kernels::kPanelColumns;
  static constexpr Index kTileBytes = 256 * 1024;  // of a second-level cache

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  void multiply(BlockView<const T> P, BlockView<const T> B, BlockView<W> Y,
                std::span<double> norm2) {
    for (Index j = 0; j < P.cols; j += kGroup) {
      const Index g = std::min(kGroup, P.cols - j);
      multiply_group(P.columns(j, g), B.data ? B.columns(j, g) : B, Y.columns(j, g),
                     norm2.empty() ? norm2 : norm2.subspan(at(j), at(g)));
    }
  }

  void multiply_group(BlockView<const T> P, BlockView<const T> B, BlockView<W> Y,
                      std::span<double> norm2) {
    const Index m = A_.rows, n = A_.cols, g = P.cols;
    const Index blocks = (m + kRows - 1) / kRows;
    const Index parts = std::clamp<Index>(blocks, 1, kMaxParts);
    sums_.assign(at(parts * n * g), W{});
    rounded_.resize(at(parts * n * g));
    norms_.assign(at(parts * g), 0.0);
    threads::for_each_part(parts, m * n, [&](Index part) {
      const BlockView<W> sums{&sums_[at(part * n * g)], n, g, n};
      const BlockView<T> rounded{&rounded_[at(part * n * g)], n, g, n};
      double* const norms = &norms_[at(part * g)];
      const Index last = std::min(m, blocks * (part + 1) / parts * kRows);
      for (Index i = blocks * part / parts * kRows; i < last; i += kRows) {
        const Index rows = std::min(kRows, last - i);
        if (by_rows_) {
          std::fill_n(rounded.data, n * g, T{});
          multiply_rows(i, rows, P, B, rounded, norms);
          for (Index k = 0; k < n * g; ++k) sums.data[k] += static_cast<W>(rounded.data[k]);
        } else {
          multiply_columns(i, rows, P, B, sums, norms);
        }
      }
    });
    for (Index part = 0; part < parts; ++part) {
      for (Index j = 0; j < g; ++j) {
        for (Index k = 0; k < n; ++k) {
          const W s = sums_[at((part * g + j) * n + k)];
          Y(k, j) = part == 0 ? s : Y(k, j) + s;
        }
        if (norm2.empty()) continue;
        const double s = norms_[at(part * g + j)];
        norm2[at(j)] = part == 0 ? s : norm2[at(j)] + s;
      }
    }
  }

  /// Adds rows [i, i + rows) of A by rows.
  void multiply_rows(Index i, Index rows, BlockView<const T> P, BlockView<const T> B,
                     BlockView<T> Y, double* norms) const {
    const Index n = A_.cols;
    for (Index end = i + rows; i < end; i += kPanel) {
      const Index width = std::min(kPanel, end - i);
      const T* panel = &A_(i, 0);
      for (Index j = 0; j < P.cols; ++j) {
        std::array<W, kPanel> t{};
        kernels_->project_transpose(n, width, panel, A_.row_stride, &P(0, j), t.data());
        if (B.data) {
          for (Index l = 0; l < width; ++l) {
            t[at(l)] = static_cast<W>(B(i + l, j)) - t[at(l)];
            norms[j] += std::norm(t[at(l)]);
          }
        }
        kernels_->add_conjugate_columns(n, width, panel, A_.row_stride, t.data(), &Y(0, j));
      }
    }
  }

  /// Adds rows [i, i + rows) of A by columns.
  void multiply_columns(Index i, Index rows, BlockView<const T> P, BlockView<const T> B,
                        BlockView<W> Y, double* norms) const {
    const Index n = A_.cols;
    const Index fitting = kTileBytes / (n * static_cast<Index>(sizeof(T)));
    const Index step = std::clamp<Index>(fitting / 64 * 64, 64, kRows);
    std::array<T, kRows * kGroup> t;
    for (Index end = i + rows; i < end; i += step) {
      const Index count = std::min(step, end - i);
      std::fill_n(t.data(), count * P.cols, T{});
      for (Index c = 0; c < n; c += kPanel) {
        const Index width = std::min(kPanel, n - c);
        for (Index j = 0; j < P.cols; ++j) {
          std::array<W, kPanel> p;
          for (Index l = 0; l < width; ++l) p[at(l)] = static_cast<W>(P(c + l, j));
          kernels_->add_columns(count, width, &A_(i, c), A_.col_stride, p.data(),
                                &t[at(j * count)]);
        }
      }
      for (Index j = 0; j < P.cols && B.data; ++j) {
        for (Index l = 0; l < count; ++l) {
          T& s = t[at(j * count + l)];
          s = static_cast<T>(static_cast<W>(B(i + l, j)) - static_cast<W>(s));
          norms[j] += std::norm(static_cast<W>(s));
        }
      }
      for (Index c = 0; c < n; c += kPanel) {
        const Index width = std::min(kPanel, n - c);
        for (Index j = 0; j < P.cols; ++j) {
          kernels_->project(count, width, &A_(i, c), A_.col_stride, &t[at(j * count)], &Y(c, j));
        }
      }
    }
  }

  MatrixView<const T> A_;
  bool by_rows_;
  const kernels::KernelTable<T>* kernels_;
  std::vector<W> sums_;
  std::vector<T> rounded_;
  std::vector<double> norms_;
};

}  // namespace ritz
