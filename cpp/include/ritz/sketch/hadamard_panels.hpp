// What sketches by Hadamard transforms share: matrices at any strides go through them in panels of
// columns, which are the lanes of the vector registers.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "ritz/core/threads.hpp"
#include "ritz/sketch/hadamard.hpp"
#include "ritz/sketch/sketch.hpp"
#include "ritz/space/host_memory.hpp"

namespace ritz {

/// body(first, last) for the ranges that [0, n) is cut into, on all threads.
template <class Body>
void for_each_range(Index n, Index width, const Body& body) {
  constexpr Index kRange = 4096;
  threads::for_each_part((n + kRange - 1) / kRange, n * width, [&](Index part) {
    body(part * kRange, std::min(n, (part + 1) * kRange));
  });
}

/// Memory that panels take one after the other, in large pages where they are large.
template <Field T>
class PanelMemory {
 public:
  /// Room for `count` numbers, of any values.
  T* numbers(Index count) {
    if (count > size_) {
      memory_.reset();
      memory_ = host_memory::allocate(static_cast<std::size_t>(count) * sizeof(T));
      size_ = count;
    }
    return static_cast<T*>(memory_.get());
  }

 private:
  std::shared_ptr<void> memory_;
  Index size_ = 0;
};

/// `Derived` has the length() N of its transforms and, for panels of `width` columns,
///
///   forward(load, width, scratch, store): the panel of A to that of S A,
///   adjoint(load, width, scratch, store): likewise of Sᴴ A,
///
/// where load(i, f, row) makes `row` f times row i of what comes, and store(i, f, row) makes row i
/// of what goes f times `row`.
template <class Derived, Field T>
class HadamardPanels : public SketchOperator<Derived, T> {
 public:
  void apply_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    each_panel(A.cols, [&](Index c, Index cols, Index width, PanelMemory<T>& scratch) {
      std::vector<T> copy;
      const MatrixView<const T> a = by_rows(A.part(0, c, A.rows, cols), copy);
      self().forward(loading(a, 0, cols, width), width, scratch, storing(Y, c, cols));
    });
  }
  void apply_adjoint_matrix(MatrixView<const T> A, MatrixView<T> Y) const {
    each_panel(A.cols, [&](Index c, Index cols, Index width, PanelMemory<T>& scratch) {
      self().adjoint(loading(A, c, cols, width), width, scratch, storing(Y, c, cols));
    });
  }

  /// Sparse matrices are written out panel by panel: the cost is that of a dense one.
  template <std::signed_integral I>
  void apply_csc(const CompressedRows<T, I>& transpose, MatrixView<T> Y) const {
    std::vector<T> dense(static_cast<std::size_t>(transpose.cols * kPanel));
    for (Index c = 0; c < transpose.rows; c += kPanel) {
      const Index cols = std::min(kPanel, transpose.rows - c);
      std::fill(dense.begin(), dense.end(), T{});
      for (Index k = 0; k < cols; ++k) {
        for (I e = transpose.indptr[c + k]; e < transpose.indptr[c + k + 1]; ++e) {
          dense[static_cast<std::size_t>(transpose.indices[e] * cols + k)] += transpose.values[e];
        }
      }
      apply_matrix({dense.data(), transpose.cols, cols, cols, 1}, Y.part(0, c, Y.rows, cols));
    }
  }
  template <std::signed_integral I>
  void apply_csr(const CompressedRows<T, I>& A, MatrixView<T> Y) const {
    const TransposedCopy<T, I> transpose(A);
    apply_csc(transpose.view(), Y);
  }

 protected:
  using Real = RealOf<T>;
  /// Rows of a panel; columns beyond the last are zero, where there are fewer than a power of two.
  struct PanelRows {
    MatrixView<const T> A;
    Index width;

    void operator()(Index i, Real f, T* row) const {
      const T* const a = &A(i, 0);
      if (A.col_stride == 1) {
        for (Index k = 0; k < A.cols; ++k) row[k] = f * a[k];
      } else {
        for (Index k = 0; k < A.cols; ++k) row[k] = f * a[k * A.col_stride];
      }
      for (Index k = A.cols; k < width; ++k) row[k] = T{};
    }
    /// Asks for row i, which will be read soon.
    void ahead(Index i) const {
      __builtin_prefetch(&A(i, 0));
      __builtin_prefetch(&A(i, A.cols - 1));
    }
  };
  /// Columns of a panel: two lines of memory a row.
  static constexpr Index kPanel = 128 / static_cast<Index>(sizeof(T));

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }

  /// A panel whose rows are read in random order: of a long matrix by columns a copy by rows, since
  /// each of its columns would be read a line of memory for a number.
  static MatrixView<const T> by_rows(MatrixView<const T> A, std::vector<T>& copy) {
    constexpr Index kLong = 4096;
    if (A.col_stride == 1 || A.cols == 1 || A.rows < kLong) return A;
    copy.resize(static_cast<std::size_t>(A.rows * A.cols));
    for_each_range(A.rows, A.cols, [&](Index first, Index last) {
      for (Index k = 0; k < A.cols; ++k) {
        T* const to = copy.data() + k;
        for (Index i = first; i < last; ++i) to[i * A.cols] = A(i, k);
      }
    });
    return {copy.data(), A.rows, A.cols, A.cols, 1};
  }

  static auto loading(MatrixView<const T> A, Index c, Index cols, Index width) {
    return PanelRows{A.part(0, c, A.rows, cols), width};
  }
  static auto storing(MatrixView<T> Y, Index c, Index cols) {
    return [=](Index i, Real f, const T* row) {
      T* const y = &Y(i, c);
      for (Index k = 0; k < cols; ++k) y[k * Y.col_stride] = f * row[k];
    };
  }

  /// use(c, cols, width, scratch) for all panels: at once where they are small, one after the other
  /// with all threads on each where they are not.
  template <class Use>
  void each_panel(Index cols, const Use& use) const {
    const Index panels = (cols + kPanel - 1) / kPanel;
    const auto one = [&](Index p, PanelMemory<T>& scratch) {
      const Index c = p * kPanel, some = std::min(kPanel, cols - c);
      use(c, some, power_of_two(some), scratch);
    };
    const Index size = self().length() * kPanel;
    if (size < (Index{1} << 18)) {
      threads::for_each_part(panels, size * panels, [&](Index p) {
        PanelMemory<T> scratch;
        one(p, scratch);
      });
    } else {
      PanelMemory<T> scratch;
      for (Index p = 0; p < panels; ++p) one(p, scratch);
    }
  }
};

}  // namespace ritz
