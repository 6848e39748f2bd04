// A space U with orthonormal images C = A U that is carried from one Krylov space to the next: the
// harmonic Ritz vectors of the values nearest 0.
//
// Parks, de Sturler, Mackey, Johnson, Maiti: Recycling Krylov subspaces for sequences of linear
// systems. SIAM J. Sci. Comput. 28, 2006. Morgan: GMRES with deflated restarting. SIAM J. Sci.
// Comput. 24, 2002.
#pragma once

#include "ritz/dense/harmonic_ritz.hpp"
#include "ritz/krylov/arnoldi.hpp"

namespace ritz {

/// What recycling has brought: whether the k products that set up U for a changed operator are
/// repaid, measured against the digits that a product brought in a run without it.
class RecyclingAccount {
 public:
  /// A run that took the residual down by the factor e^`digits`; false if U should be dropped.
  bool worthwhile(double digits, Index products, bool recycled, bool set_up) {
    if (!(digits > 0.0) || products == 0) return true;
    const auto spent = static_cast<double>(products);
    if (!recycled || rate_ == 0.0) {
      *this = {};
      rate_ = digits / spent;
    } else if (set_up) {
      saved_ += digits / rate_ - spent;
      if (++systems_ < kSystems) return true;
      const bool repaid = saved_ >= 0.0;
      saved_ = 0.0;
      systems_ = 0;
      return repaid;
    }
    return true;
  }

 private:
  static constexpr int kSystems = 3;  // fewer would judge by the luck of one right-hand side
  double rate_ = 0.0, saved_ = 0.0;
  int systems_ = 0;
};

/// U of at most k columns, and W = [C V] of m + 1, V the basis of the Krylov space being built.
template <Space S>
class RecycledSpace {
 public:
  using T = typename S::Value;
  using Wide = WideOf<T>;

  /// Forgets what it holds if a size has changed.
  void prepare(S& space, Index n, Index m, Index k) {
    if (U.rows == n && U.cols == k && W.cols == m + 1) return;
    arena_.begin(space, (k + m + 1) * Arena<S>::padded(n));
    const BlockView<T> slab = arena_.block(n, k + m + 1);  // adjacent: [U W] is one block
    U = slab.columns(0, k);
    W = slab.columns(k, m + 1);
    held = 0;
    for (auto* a : {&G_, &N_, &P_, &Q_}) a->resize(static_cast<std::size_t>((m + 1) * (m + 1)));
    combination_.resize(static_cast<std::size_t>((k + m + 1) * (k + 1)));
    CU_.resize(static_cast<std::size_t>(k * k));
    d_.resize(static_cast<std::size_t>(k));
  }
  std::size_t bytes() const { return arena_.bytes(); }

  /// G of A [U D, V] = W G; its columns from `held` on are the caller's to write.
  BlockView<Wide> images() { return matrix(G_, W.cols, W.cols - 1); }
  /// Where the caller writes the R of A U = C R for `normalize`.
  BlockView<Wide> triangle() { return matrix(P_, U.cols, U.cols); }

  /// U = U R⁻¹ for its first `count` columns, which it then holds.
  void normalize(S& space, Index count, typename S::Slots slots) {
    const auto R_ = triangle();
    const auto inverse = matrix(Q_, count, count);
    for (Index j = 0; j < count; ++j) {
      for (Index i = count - 1; i >= 0; --i) {
        Wide sum = i == j ? 1.0 : 0.0;
        for (Index l = i + 1; l <= j; ++l) sum -= R_(i, l) * inverse(l, j);
        inverse(i, j) = i > j ? 0.0 : sum / R_(i, i);
      }
    }
    space.combine(U.columns(0, count), inverse);
    const auto CU = cu();
    for (Index i = 0; i < count; ++i) {
      const auto h = slots.first(static_cast<std::size_t>(count));
      space.project(W.columns(0, count), U.column(i), h);
      space.read(h, {&CU(0, i), static_cast<std::size_t>(count)});
    }
    held = count;
  }

  /// The next U and C from the cycle's spaces [U V] and W = [C V], A M [U D, V] = W G with U D of
  /// unit columns; `go_on`: the residual's direction follows as the first column of the next V.
  void choose(S& space, typename S::Slots slots, std::vector<Wide>& host,
              const HessenbergLeastSquares<Wide>& small, Index cols, Index rows, bool go_on) {
    const Index k = U.cols, m = W.cols - 1;
    const Index width = held + cols;
    const auto G = images(), N = matrix(N_, m + 1, m);
    const auto CU = cu();
    const auto P = matrix(P_, width, k), Q = matrix(Q_, rows, k);
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    for (Index i = 0; i < width; ++i) std::fill_n(&N(0, i), m + 1, Wide{});
    for (Index i = 0; i < held; ++i) {
      const double d = 1.0 / std::sqrt(space.read(space.norm2(U.column(i))));
      d_[at(i)] = d;
      std::fill_n(&G(0, i), m + 1, Wide{});
      G(i, i) = d;
      for (Index l = 0; l < held; ++l) N(l, i) = CU(l, i) * d;
    }
    for (Index j = held; held > 0 && j < rows; ++j) {
      const auto h = slots.first(at(held));
      space.project(U.columns(0, held), W.column(j), h);
      space.read(h, std::span(host).first(at(held)));
      for (Index i = 0; i < held; ++i) N(j, i) = conjugate(host[at(i)]) * d_[at(i)];
    }
    for (Index j = held; j < width; ++j) N(j, j) = 1.0;

    const auto part = [&](BlockView<Wide> a) {
      return BlockView<const Wide>{a.data, rows, width, a.ld};
    };
    const Index kept =
        k == 0 || width == 0 ? 0 : dense::harmonic_ritz<Wide>(part(G), part(N), k, P, Q);

    const auto product = [](auto&& left, auto&& right, Index terms, BlockView<Wide> to) {
      for (Index j = 0; j < to.cols; ++j) {
        for (Index i = 0; i < to.rows; ++i) {
          to(i, j) = 0.0;
          for (Index l = 0; l < terms; ++l) to(i, j) += left(i, l) * right(l, j);
        }
      }
    };
    // Cᴴ U = Qᴴ N P
    const auto QN = matrix(combination_, kept, width);
    product([&](Index i, Index l) { return conjugate(Q(l, i)); }, N, rows, QN);
    product(QN, P, width, {CU.data, kept, kept, CU.ld});
    if (kept > 0) {  // U = [U D, V] P
      const auto s = matrix(combination_, k + width, kept);
      for (Index j = 0; j < kept; ++j) {
        std::fill_n(&s(0, j), k + width, Wide{});
        for (Index i = 0; i < held; ++i) s(i, j) = d_[at(i)] * P(i, j);
        for (Index i = held; i < width; ++i) s(k + i, j) = P(i, j);
      }
      space.combine({U.data, U.rows, k + width, U.ld}, s);
    }
    const auto q = matrix(combination_, rows, kept + (go_on ? 1 : 0));
    for (Index j = 0; j < kept; ++j) std::copy_n(&Q(0, j), rows, &q(0, j));
    if (go_on) {
      std::fill_n(&q(0, kept), rows, Wide{});
      small.residual_direction({&q(held, kept), at(cols + 1)});
    }
    if (q.cols > 0) space.combine(W.columns(0, rows), q);
    held = kept;
  }

  BlockView<T> U, W;
  Index held = 0;  ///< columns of U and C in use

 private:
  static BlockView<Wide> matrix(std::vector<Wide>& memory, Index rows, Index cols) {
    return {memory.data(), rows, cols, rows};
  }
  BlockView<Wide> cu() { return matrix(CU_, U.cols, U.cols); }

  Arena<S> arena_;
  std::vector<Wide> G_, N_, P_, Q_, combination_, CU_;  // CU = Cᴴ U
  std::vector<double> d_;
};

}  // namespace ritz
