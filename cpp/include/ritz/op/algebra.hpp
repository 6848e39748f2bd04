// Operators made of operators. Each works on column blocks; a vector is a block of one column.
//
// Templates over the space and the operands, which are held by value: pass AnyOperator for
// composition at run time, or concrete types to have everything inlined.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/op/scratch.hpp"

namespace ritz {

/// Gives a class with block products its single-vector ones.
template <class Self, Field T>
struct ColumnsFromBlocks {
  void apply(VectorView<const T> x, VectorView<T> y) const {
    static_cast<const Self*>(this)->apply_block(as_block(x), as_block(y));
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    static_cast<const Self*>(this)->apply_adjoint_block(as_block(x), as_block(y));
  }
};

/// I
template <Space S>
class Identity : public ColumnsFromBlocks<Identity<S>, typename S::Value> {
  using T = typename S::Value;

 public:
  Identity(S space, Index n) : space_(std::move(space)), n_(n) {}
  Index rows() const { return n_; }
  Index cols() const { return n_; }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    for (Index j = 0; j < X.cols; ++j) space_.copy(X.column(j), Y.column(j));
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const { apply_block(X, Y); }

 private:
  mutable S space_;
  Index n_;
};

/// diag(d); d is copied.
template <Space S>
class Diagonal : public ColumnsFromBlocks<Diagonal<S>, typename S::Value> {
  using T = typename S::Value;

 public:
  Diagonal(S space, VectorView<const T> d) : space_(std::move(space)), n_(d.size) {
    arena_ = std::make_shared<Arena<S>>();
    arena_->begin(space_, 2 * Arena<S>::padded(n_));
    d_ = arena_->vector(n_);
    conjugate_ = arena_->vector(n_);
    space_.fill(1.0, d_);
    space_.fill(0.0, conjugate_);
    space_.multiply_add_conjugate(1.0, d_, d, conjugate_);
    space_.copy(d, d_);
  }
  Index rows() const { return n_; }
  Index cols() const { return n_; }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    for (Index j = 0; j < X.cols; ++j) space_.multiply(d_, X.column(j), Y.column(j));
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    for (Index j = 0; j < X.cols; ++j) space_.multiply(conjugate_, X.column(j), Y.column(j));
  }

 private:
  mutable S space_;
  Index n_;
  std::shared_ptr<Arena<S>> arena_;
  VectorView<T> d_, conjugate_;
};

/// c A
template <Space S, class A>
class Scaled : public ColumnsFromBlocks<Scaled<S, A>, typename S::Value> {
  using T = typename S::Value;
  using Scalar = WideOf<T>;

 public:
  Scaled(S space, Scalar c, A a) : space_(std::move(space)), c_(c), a_(std::move(a)) {}
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }
  bool has_adjoint() const { return ritz::has_adjoint(a_); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    apply_columns(a_, X, Y);
    for (Index j = 0; j < Y.cols; ++j) space_.scale(c_, Y.column(j));
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    apply_adjoint_columns(a_, X, Y);
    for (Index j = 0; j < Y.cols; ++j) space_.scale(conjugate(c_), Y.column(j));
  }

 private:
  mutable S space_;
  Scalar c_;
  A a_;
};

/// A + c B: sums, differences, shifts (B = I) alike.
template <Space S, class A, class B>
class Sum : public ColumnsFromBlocks<Sum<S, A, B>, typename S::Value> {
  using T = typename S::Value;
  using Scalar = WideOf<T>;

 public:
  Sum(S space, A a, Scalar c, B b)
      : scratch_(std::move(space)), a_(std::move(a)), c_(c), b_(std::move(b)) {
    if (a_.rows() != b_.rows() || a_.cols() != b_.cols()) {
      throw InvalidArgument("the operators of a sum differ in shape: (" +
                            std::to_string(a_.rows()) + ", " + std::to_string(a_.cols()) +
                            ") and (" + std::to_string(b_.rows()) + ", " +
                            std::to_string(b_.cols()) + ")");
    }
  }
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }
  bool has_adjoint() const { return ritz::has_adjoint(a_) && ritz::has_adjoint(b_); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    const auto t = scratch_.take(Y.rows, Y.cols);
    apply_columns(a_, X, Y);
    apply_columns(b_, X, *t);
    for (Index j = 0; j < Y.cols; ++j) {
      scratch_.space().axpby(c_, (*t).column(j), 1.0, Y.column(j));
    }
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    const auto t = scratch_.take(Y.rows, Y.cols);
    apply_adjoint_columns(a_, X, Y);
    apply_adjoint_columns(b_, X, *t);
    for (Index j = 0; j < Y.cols; ++j) {
      scratch_.space().axpby(conjugate(c_), (*t).column(j), 1.0, Y.column(j));
    }
  }

 private:
  Scratch<S> scratch_;
  A a_;
  Scalar c_;
  B b_;
};

/// A + μ I without a temporary.
template <Space S, class A>
class Shifted : public ColumnsFromBlocks<Shifted<S, A>, typename S::Value> {
  using T = typename S::Value;
  using Scalar = WideOf<T>;

 public:
  Shifted(S space, A a, Scalar mu) : space_(std::move(space)), a_(std::move(a)), mu_(mu) {
    if (a_.rows() != a_.cols())
      throw InvalidArgument("only a square operator can be shifted; this one has shape (" +
                            std::to_string(a_.rows()) + ", " + std::to_string(a_.cols()) + ")");
  }
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }
  bool has_adjoint() const { return ritz::has_adjoint(a_); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    apply_columns(a_, X, Y);
    for (Index j = 0; j < Y.cols; ++j) space_.axpby(mu_, X.column(j), 1.0, Y.column(j));
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    apply_adjoint_columns(a_, X, Y);
    for (Index j = 0; j < Y.cols; ++j) space_.axpby(conjugate(mu_), X.column(j), 1.0, Y.column(j));
  }

 private:
  mutable S space_;
  A a_;
  Scalar mu_;
};

/// A B
template <Space S, class A, class B>
class Product : public ColumnsFromBlocks<Product<S, A, B>, typename S::Value> {
  using T = typename S::Value;

 public:
  Product(S space, A a, B b) : scratch_(std::move(space)), a_(std::move(a)), b_(std::move(b)) {
    if (a_.cols() != b_.rows()) {
      throw InvalidArgument("the operators of a product do not fit: the left one has " +
                            std::to_string(a_.cols()) + " columns, the right one " +
                            std::to_string(b_.rows()) + " rows");
    }
  }
  Index rows() const { return a_.rows(); }
  Index cols() const { return b_.cols(); }
  bool has_adjoint() const { return ritz::has_adjoint(a_) && ritz::has_adjoint(b_); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    const auto t = scratch_.take(b_.rows(), X.cols);
    apply_columns(b_, X, *t);
    apply_columns(a_, BlockView<const T>(*t), Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    const auto t = scratch_.take(b_.rows(), X.cols);
    apply_adjoint_columns(a_, X, *t);
    apply_adjoint_columns(b_, BlockView<const T>(*t), Y);
  }

 private:
  Scratch<S> scratch_;
  A a_;
  B b_;
};

/// Aᴴ
template <Field T, class A>
class Adjoint {
 public:
  explicit Adjoint(A a) : a_(std::move(a)) { require_adjoint(a_); }
  Index rows() const { return a_.cols(); }
  Index cols() const { return a_.rows(); }
  void apply(VectorView<const T> x, VectorView<T> y) const { a_.apply_adjoint(x, y); }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const { a_.apply(x, y); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const { apply_adjoint_columns(a_, X, Y); }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const { apply_columns(a_, X, Y); }

 private:
  A a_;
};

/// The complex conjugate of A, so that Aᵀ = conj(Aᴴ).
template <Space S, class A>
class Conjugate : public ColumnsFromBlocks<Conjugate<S, A>, typename S::Value> {
  using T = typename S::Value;

 public:
  Conjugate(S space, A a) : scratch_(std::move(space)), a_(std::move(a)) {}
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }
  bool has_adjoint() const { return ritz::has_adjoint(a_); }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    between(X, Y, [&](BlockView<const T> x, BlockView<T> y) { apply_columns(a_, x, y); });
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    between(X, Y, [&](BlockView<const T> x, BlockView<T> y) { apply_adjoint_columns(a_, x, y); });
  }

 private:
  /// Y = `apply` between two conjugations.
  template <class Apply>
  void between(BlockView<const T> X, BlockView<T> Y, const Apply& apply) const {
    if constexpr (RealField<T>) {
      apply(X, Y);
    } else {
      const auto x = scratch_.take(X.rows, X.cols), y = scratch_.take(Y.rows, Y.cols);
      const auto ones = scratch_.take(std::max(X.rows, Y.rows), 1);
      scratch_.space().fill(1.0, (*ones).column(0));
      conjugate_into(X, (*ones).column(0), *x);
      apply(*x, *y);
      conjugate_into(*y, (*ones).column(0), Y);
    }
  }
  void conjugate_into(BlockView<const T> X, VectorView<const T> ones, BlockView<T> Y) const {
    S& space = scratch_.space();
    for (Index j = 0; j < X.cols; ++j) {
      space.fill(0.0, Y.column(j));
      space.multiply_add_conjugate(1.0, ones.middle(0, X.rows), X.column(j), Y.column(j));
    }
  }

  Scratch<S> scratch_;
  A a_;
};

/// A grid of operators, given by rows of optional operands; an empty one stands for zero. Damping
/// min ‖Ax − b‖² + λ²‖x‖² is the grid [A; λI].
template <Space S, class A>
class Block : public ColumnsFromBlocks<Block<S, A>, typename S::Value> {
  using T = typename S::Value;

 public:
  struct Entry {
    Index row, col;
    A a;
  };

  /// Sizes of every block row and column, and the non-zero entries.
  Block(S space, std::vector<Index> heights, std::vector<Index> widths, std::vector<Entry> entries)
      : scratch_(std::move(space)), entries_(std::move(entries)) {
    row_start_ = starts("heights", heights);
    col_start_ = starts("widths", widths);
    const auto inside = [](Index k, const std::vector<Index>& sizes) {
      return k >= 0 && k < static_cast<Index>(sizes.size());
    };
    for (const Entry& e : entries_) {
      const std::string name =
          "block (" + std::to_string(e.row) + ", " + std::to_string(e.col) + ")";
      if (!inside(e.row, heights) || !inside(e.col, widths)) {
        throw InvalidArgument(name + " lies outside the grid of " + std::to_string(heights.size()) +
                              " rows and " + std::to_string(widths.size()) + " columns");
      }
      const Index h = height(row_start_, e.row), w = height(col_start_, e.col);
      if (e.a.rows() != h || e.a.cols() != w) {
        throw InvalidArgument(name + " has shape (" + std::to_string(e.a.rows()) + ", " +
                              std::to_string(e.a.cols()) + "); its row and column are (" +
                              std::to_string(h) + ", " + std::to_string(w) + ")");
      }
    }
  }
  Index rows() const { return row_start_.back(); }
  Index cols() const { return col_start_.back(); }
  bool has_adjoint() const {
    for (const Entry& e : entries_) {
      if (!ritz::has_adjoint(e.a)) return false;
    }
    return true;
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    accumulate(Y, row_start_, [&](const Entry& e, BlockView<T> t) {
      apply_columns(e.a, part(X, col_start_, e.col), t);
    });
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    accumulate(Y, col_start_, [&](const Entry& e, BlockView<T> t) {
      apply_adjoint_columns(e.a, part(X, row_start_, e.row), t);
    });
  }

 private:
  static std::vector<Index> starts(const char* what, const std::vector<Index>& sizes) {
    std::vector<Index> start(1, 0);
    for (const Index size : sizes) {
      if (size < 0) {
        throw InvalidArgument(std::string(what) + " holds " + std::to_string(size) +
                              "; sizes are at least 0");
      }
      start.push_back(start.back() + size);
    }
    return start;
  }
  static Index height(const std::vector<Index>& start, Index k) {
    return start[static_cast<std::size_t>(k) + 1] - start[static_cast<std::size_t>(k)];
  }
  template <class U>
  static BlockView<U> part(BlockView<U> X, const std::vector<Index>& start, Index k) {
    return {X.data + start[static_cast<std::size_t>(k)], height(start, k), X.cols, X.ld};
  }

  /// Y = Σ over the entries of `product(entry, t)`, each added to the entry's part of Y.
  template <class F>
  void accumulate(BlockView<T> Y, const std::vector<Index>& start, F product) const {
    for (Index j = 0; j < Y.cols; ++j) scratch_.space().fill(0.0, Y.column(j));
    const auto t = scratch_.take(Y.rows, Y.cols);
    for (const Entry& e : entries_) {
      const Index k = &start == &row_start_ ? e.row : e.col;
      BlockView<T> y = part(Y, start, k);
      BlockView<T> piece{(*t).data, y.rows, y.cols, (*t).ld};
      product(e, piece);
      for (Index j = 0; j < y.cols; ++j) {
        scratch_.space().axpby(1.0, piece.column(j), 1.0, y.column(j));
      }
    }
  }

  Scratch<S> scratch_;
  std::vector<Entry> entries_;
  std::vector<Index> row_start_, col_start_;
};

}  // namespace ritz
