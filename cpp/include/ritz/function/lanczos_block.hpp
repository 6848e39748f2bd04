// The Lanczos process, or the Golub-Kahan process, from several vectors at once: each vector keeps
// a basis and a Jacobi matrix of its own, and their products go through the operator together.
//
// Golub, Kahan: Calculating the singular values and pseudo-inverse of a matrix. SIAM J. Numer.
// Anal. 2, 1965; in the order v₁ u₁ v₂ u₂ … it is the Lanczos process of [0 A; Aᴴ 0] from (0; v).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/function/gauss.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

enum class Process {
  lanczos,      ///< of the Hermitian A
  golub_kahan,  ///< of [0 A; Aᴴ 0] from vectors of the smaller side: T has no diagonal
};

/// A unit vector: random signs, or uniform on the sphere.
template <Space S>
void random_direction(S& space, bool signs, RandomKey key, VectorView<typename S::Value> x) {
  if (signs) {
    space.random_signs(key, x);
  } else {
    space.random_normal(key, x);
  }
  space.scale(1.0 / std::sqrt(space.read(space.norm2(x))), x);
}

/// Probes whose products go together: `asked`, or as many as fit into 512 MiB, at most 8.
template <class T>
Index block_width(Index asked, Index probes, Index vectors, Index n) {
  if (asked > 0) return std::min(asked, probes);
  constexpr double kRoom = 512.0 * 1024.0 * 1024.0;
  const double each = static_cast<double>(vectors) * static_cast<double>(n * Index{sizeof(T)});
  return std::clamp(static_cast<Index>(kRoom / each), Index{1}, std::min<Index>(8, probes));
}

/// Memory: `width` vectors a step with the bases, 3 `width` without (Golub-Kahan: two of each
/// kind). Without a basis T has copies of eigenvalues that have converged, and the rules of T still
/// do.
template <Space S>
class LanczosBlock {
 public:
  using T = typename S::Value;

  /// For an operator of `rows` × `cols`, at most `steps` products for each of `width` vectors.
  void prepare(S& space, Process process, Index rows, Index cols, Index width, Index steps,
               bool keep_basis) {
    process_ = process;
    width_ = width;
    keep_ = keep_basis;
    const bool two = process == Process::golub_kahan;
    const Index sources = two ? (steps + 1) / 2 + 1 : steps + 1;
    const Index least = two ? 2 : 3;
    depth_ = {keep_basis ? std::max(sources, least) : least, !two ? 0
                                                             : keep_basis
                                                                 ? std::max((steps + 1) / 2, least)
                                                                 : least};
    adjoint_first_ = two && rows < cols;
    sizes_ = {std::min(rows, cols), std::max(rows, cols)};
    const Index slots = Arena<S>::padded(Arena<S>::slot_elements(std::max(depth_[0], depth_[1])));
    Index elements = 2 * slots;
    for (std::size_t side = 0; side < 2; ++side) {
      elements += Arena<S>::padded(sizes_[side]) * depth_[side] * width;
    }
    arena_.begin(space, elements);
    for (std::size_t side = 0; side < 2; ++side) {
      bases_[side] = arena_.block(sizes_[side], depth_[side] * width);
    }
    h_ = arena_.slots(std::max(depth_[0], depth_[1]));
    g_ = arena_.slots(std::max(depth_[0], depth_[1]));
    matrices_.resize(static_cast<std::size_t>(width));
    begin();
  }
  std::size_t bytes() const { return arena_.bytes(); }

  /// Forgets the steps; then fill `start(i)` with unit vectors.
  void begin() {
    step_ = 0;
    for (Jacobi& J : matrices_) J.clear();
  }
  VectorView<T> start(Index i) { return column(0, 0, i); }
  const Jacobi& matrix(Index i) const { return matrices_[static_cast<std::size_t>(i)]; }
  Index steps() const { return step_; }

  /// One product for each of the vectors `active` (ascending): T grows by a row. False if a NaN or
  /// an infinity came. Traffic a vector at step j: (3 (j + 1) + 6) n with the basis, 6n without.
  template <class A>
  bool advance(S& space, const A& op, Counts& counts, std::span<const Index> active) {
    const bool two = process_ == Process::golub_kahan;
    const std::size_t from = two ? static_cast<std::size_t>(step_ % 2) : 0, to = two ? 1 - from : 0;
    const Index j = two ? step_ / 2 : step_;
    const Index target = two ? (step_ + 1) / 2 : step_ + 1;  // column of `to`
    apply(space, op, counts, active, from, j, to, target);
    bool finite = true;
    for (const Index i : active) {
      Jacobi& J = matrices_[static_cast<std::size_t>(i)];
      const VectorView<T> w = column(to, target, i);
      const Index before = two ? target : j + 1;  // columns of `to` to be orthogonal to
      const auto [diagonal, off] = keep_ ? orthogonalize(space, to, i, before, w, !two)
                                         : recur(space, to, i, before, w, J, !two);
      J.diagonal.push_back(diagonal);
      J.norm = std::max(J.norm, std::hypot(diagonal, off));
      const double least = std::numeric_limits<RealOf<T>>::epsilon() *
                           (16.0 + std::sqrt(static_cast<double>(sizes_[to])));
      // The Krylov space is invariant; or it is the whole space, and what is left is rounding.
      const bool full = before >= sizes_[to];
      J.exact = off <= least * J.norm || full;
      J.off.push_back(full ? 0.0 : off);
      // Of a multiple of the identity: no digit that the precision cannot tell.
      if (J.exact && step_ == 0 && !two) J.diagonal[0] = told(J.diagonal[0]);
      finite = finite && std::isfinite(diagonal) && std::isfinite(off);
      if (off > 0.0) space.scale(1.0 / off, w);
    }
    ++step_;
    return finite;
  }

 private:
  VectorView<T> column(std::size_t side, Index j, Index i) {
    return bases_[side].column((j % depth_[side]) * width_ + i);
  }
  /// The first `count` basis vectors of vector i.
  BlockView<const T> basis(std::size_t side, Index i, Index count) {
    const auto& all = bases_[side];
    return {all.column(i).data, all.rows, count, all.ld * width_};
  }

  /// Vectors beside each other go as one block.
  template <class A>
  void apply(S&, const A& op, Counts& counts, std::span<const Index> active, std::size_t from,
             Index j, std::size_t to, Index target) {
    for (std::size_t k = 0; k < active.size();) {
      std::size_t end = k + 1;
      while (end < active.size() && active[end] == active[end - 1] + 1) ++end;
      const auto count = static_cast<Index>(end - k);
      const VectorView<T> x = column(from, j, active[k]), y = column(to, target, active[k]);
      const BlockView<const T> X{x.data, x.size, count, bases_[from].ld};
      const BlockView<T> Y{y.data, y.size, count, bases_[to].ld};
      if ((from == 0) != adjoint_first_) {
        (count > 1 && BlockOperator<A, T> ? counts.columns : counts.apply) += count;
        apply_columns(op, X, Y);
      } else {
        (count > 1 && AdjointBlockOperator<A, T> ? counts.columns : counts.adjoint) += count;
        if (count > 1) {
          apply_adjoint_columns(op, X, Y);
        } else if constexpr (AdjointOperator<A, T>) {
          op.apply_adjoint(X.column(0), Y.column(0));
        }
      }
      k = end;
    }
  }

  /// x to a relative precision of 4 eps.
  static double told(double x) {
    if (x == 0.0 || !std::isfinite(x)) return x;
    const int unit = std::ilogb(x) + 3 - std::numeric_limits<RealOf<T>>::digits;
    return std::scalbn(std::round(std::scalbn(x, -unit)), unit);
  }

  struct Row {
    double diagonal, off;
  };

  Row orthogonalize(S& space, std::size_t side, Index i, Index count, VectorView<T> w,
                    bool diagonal) {
    if (count == 0) return {0.0, std::sqrt(space.read(space.norm2(w)))};
    const auto Q = basis(side, i, count);
    const auto size = static_cast<std::size_t>(count);
    space.project(Q, w, h_.first(size));
    space.subtract_project(Q, h_.first(size), w, g_.first(size));
    const double off = std::sqrt(space.read(space.subtract_norm2(Q, g_.first(size), w)));
    if (!diagonal) return {0.0, off};
    WideOf<T> first, second;
    space.read(h_.subspan(size - 1, 1), {&first, 1});
    space.read(g_.subspan(size - 1, 1), {&second, 1});
    return {std::real(first) + std::real(second), off};
  }

  Row recur(S& space, std::size_t side, Index i, Index count, VectorView<T> w, const Jacobi& J,
            bool diagonal) {
    // Lanczos subtracts the last two columns, Golub-Kahan the last.
    const Index previous = diagonal ? count - 2 : count - 1;
    double norm2 = -1.0;
    if (previous >= 0) {
      norm2 = space.read(space.axpy_norm2(-J.off.back(), column(side, previous, i), w));
    }
    if (!diagonal) {
      if (norm2 < 0.0) norm2 = space.read(space.norm2(w));
      return {0.0, std::sqrt(norm2)};
    }
    const VectorView<T> v = column(side, count - 1, i);
    const double alpha = space.read(space.real_dot(v, w));
    return {alpha, std::sqrt(space.read(space.axpy_norm2(-alpha, v, w)))};
  }

  Arena<S> arena_;
  std::array<BlockView<T>, 2> bases_;
  std::array<Index, 2> depth_{}, sizes_{};
  typename S::Slots h_, g_;
  std::vector<Jacobi> matrices_;
  Process process_ = Process::lanczos;
  Index width_ = 1, step_ = 0;
  bool keep_ = true, adjoint_first_ = false;
};

}  // namespace ritz
