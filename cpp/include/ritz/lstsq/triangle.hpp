// The triangle of a tall matrix, whose rows come a block at a time.
//
// Demmel, Grigori, Hoemmen, Langou: Communication-optimal parallel and sequential QR and LU
// factorizations. SIAM J. Sci. Comput. 34, 2012. The block reflectors I − V T Vᴴ: Schreiber, Van
// Loan: A storage-efficient WY representation for products of Householder transformations. SIAM J.
// Sci. Stat. Comput. 10, 1989.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// Of a matrix [A B] with A of n and B of k columns: the upper triangle R of A = Q R, and the first
/// n rows of QᴴB. W is double or complex<double>.
///
/// A block of l rows costs 2 l n (n + 2k) flops, and is overwritten. Backward stable: Householder
/// reflections throughout.
template <Field W>
class Triangle {
 public:
  Triangle(Index n, Index k)
      : n_(n),
        k_(k),
        data_(static_cast<std::size_t>(n * (n + k))),
        kernels_(&kernels::tables(kernels::default_isa()).template of<W>()) {}

  BlockView<W> R() { return {data_.data(), n_, n_, n_}; }
  BlockView<const W> R() const { return {data_.data(), n_, n_, n_}; }
  BlockView<W> top() { return {data_.data() + n_ * n_, n_, k_, n_}; }

  /// R without what it carries.
  Triangle bare() const {
    Triangle copy(n_, 0);
    std::copy_n(data_.data(), n_ * n_, copy.data_.data());
    return copy;
  }

  /// Takes in the rows of C, of n + k columns or n alone; `triangular`: its first n columns are
  /// zero below the diagonal.
  void absorb(BlockView<W> C, bool triangular = false) {
    for (Index j = 0; j < n_; j += kPanel) {
      const Index width = std::min(kPanel, n_ - j);
      const Index rows = triangular ? std::min(C.rows, j + width) : C.rows;
      BlockView<W> V = C.columns(j, width);
      V.rows = rows;
      const auto T = factor_panel(V, j);
      for (Index c = j + width; c < n_ + k_; ++c) update(V, T, j, &C(0, c), &data_[at(c * n_)]);
    }
  }

 private:
  static constexpr Index kPanel = kernels::kPanelColumns;
  using Small = std::array<std::array<W, kPanel>, kPanel>;

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  /// Reflections that bring V to zero against rows j … of R; V becomes their vectors below the
  /// rows of R, and the T of their product is returned.
  Small factor_panel(BlockView<W> V, Index j) {
    Small T{};
    for (Index c = 0; c < V.cols; ++c) {
      W& pivot = data_[at(j + c + (j + c) * n_)];
      W* const v = &V(0, c);
      const double below = kernels_->norm2(V.rows, v);
      const double imaginary = std::imag(pivot);
      if (below == 0.0 && imaginary == 0.0) continue;  // H = I, τ = 0
      const double length = std::sqrt(std::norm(pivot) + below);
      const double beta = std::real(pivot) > 0.0 ? -length : length;
      const W tau = (beta - pivot) / beta;
      kernels_->scaled_copy(V.rows, 1.0 / (pivot - beta), v, v);
      pivot = beta;
      for (Index i = c + 1; i < V.cols; ++i) {
        W& head = data_[at(j + c + (j + i) * n_)];
        const W s = conjugate(tau) * (head + kernels_->dot(V.rows, v, &V(0, i)));
        head -= s;
        kernels_->axpby(V.rows, -s, v, 1.0, &V(0, i));
      }
      // T(0 … c, c) = τ [−T Vᴴv; 1]
      std::array<W, kPanel> h{};
      kernels_->project(V.rows, c, V.data, V.ld, v, h.data());
      for (Index i = 0; i < c; ++i) {
        W sum{};
        for (Index l = i; l < c; ++l) sum += T[at(i)][at(l)] * h[at(l)];
        T[at(i)][at(c)] = -tau * sum;
      }
      T[at(c)][at(c)] = tau;
    }
    return T;
  }

  /// [r; y] = (I − V Tᴴ Vᴴ) [r; y] for rows j … of r.
  void update(BlockView<const W> V, const Small& T, Index j, W* y, W* r) {
    std::array<W, kPanel> h{}, s{};
    kernels_->project(V.rows, V.cols, V.data, V.ld, y, h.data());
    for (Index i = 0; i < V.cols; ++i) h[at(i)] += r[j + i];
    for (Index i = 0; i < V.cols; ++i) {
      for (Index l = 0; l <= i; ++l) s[at(i)] -= conjugate(T[at(l)][at(i)]) * h[at(l)];
      r[j + i] += s[at(i)];
    }
    kernels_->add_columns(V.rows, V.cols, V.data, V.ld, s.data(), y);
  }

  Index n_, k_;
  std::vector<W> data_;
  const kernels::KernelTable<W>* kernels_;
};

/// The triangle of [A diag(scale) B; diag(shift) 0], by chunks of rows on the threads; the chunks
/// are cut by the sizes alone. Costs 2 m n (n + 2k) flops.
template <Field T>
Triangle<WideOf<T>> triangle_of(MatrixView<const T> A, MatrixView<const T> B,
                                std::span<const double> scale, std::span<const double> shift) {
  using W = WideOf<T>;
  constexpr Index kRows = 256;  // a block of 8 columns stays in a first-level cache
  const Index m = A.rows, n = A.cols, k = B.cols;
  const Index count = std::clamp<Index>(m / (4 * std::max(n, kRows)), 1, 16);
  std::vector<Triangle<W>> parts(static_cast<std::size_t>(count), Triangle<W>(n, k));
  threads::for_each_part(count, m * n * n, [&](Index part) {
    const Index first = m * part / count, last = m * (part + 1) / count;
    std::vector<W> memory(static_cast<std::size_t>(std::min(kRows, last - first) * (n + k)));
    for (Index i = first; i < last; i += kRows) {
      const Index rows = std::min(kRows, last - i);
      const BlockView<W> C{memory.data(), rows, n + k, rows};
      constexpr Index kTile = 8;  // columns in one cache line where A is by rows
      for (Index j = 0; j < n + k; j += kTile) {
        for (Index l = 0; l < rows; ++l) {
          for (Index c = j; c < std::min(j + kTile, n + k); ++c) {
            C(l, c) = c < n ? static_cast<W>(A(i + l, c)) * scale[static_cast<std::size_t>(c)]
                            : static_cast<W>(B(i + l, c - n));
          }
        }
      }
      parts[static_cast<std::size_t>(part)].absorb(C);
    }
  });
  Triangle<W>& all = parts.front();
  for (std::size_t part = 1; part < parts.size(); ++part) {
    // The carried columns are full: they come with the triangle's rows.
    std::vector<W> memory(static_cast<std::size_t>(n * (n + k)));
    const BlockView<W> C{memory.data(), n, n + k, n};
    for (Index j = 0; j < n; ++j) std::copy_n(&parts[part].R()(0, j), n, &C(0, j));
    for (Index j = 0; j < k; ++j) std::copy_n(&parts[part].top()(0, j), n, &C(0, n + j));
    all.absorb(C, true);
  }
  if (!shift.empty()) {
    std::vector<W> memory(static_cast<std::size_t>(n * (n + k)));
    const BlockView<W> C{memory.data(), n, n + k, n};
    for (Index j = 0; j < n; ++j) C(j, j) = shift[static_cast<std::size_t>(j)];
    all.absorb(C, true);
  }
  return std::move(all);
}

}  // namespace ritz
