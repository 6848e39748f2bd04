// Golub-Kahan bidiagonalisation with both bases kept orthogonal: A P = Q B with B upper bidiagonal.
//
// Golub, Kahan: Calculating the singular values and pseudo-inverse of a matrix. SIAM J. Numer.
// Anal. 2, 1965. Each vector is taken against all before it, twice (Giraud, Langou, Rozložník, van
// den Eshof, 2005).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "ritz/core/arena.hpp"
#include "ritz/core/status.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// A, or Aᴴ if `adjoint` says so, with its products counted: a process that wants the shorter side
/// on the right has it there.
template <class A>
class Sided {
 public:
  Sided(const A& a, bool adjoint) : a_(&a), adjoint_(adjoint) {}

  Index rows() const { return adjoint_ ? a_->cols() : a_->rows(); }
  Index cols() const { return adjoint_ ? a_->rows() : a_->cols(); }
  bool has_adjoint() const { return ritz::has_adjoint(*a_); }

  template <class T>
  void apply(VectorView<const T> x, VectorView<T> y) const {
    product(adjoint_, x, y);
  }
  template <class T>
  void apply(VectorView<T> x, VectorView<T> y) const {
    product(adjoint_, VectorView<const T>(x), y);
  }
  template <class T>
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    product(!adjoint_, x, y);
  }
  template <class T>
  void apply_adjoint(VectorView<T> x, VectorView<T> y) const {
    product(!adjoint_, VectorView<const T>(x), y);
  }
  template <class T>
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    products(adjoint_, X, Y);
  }
  template <class T>
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    products(!adjoint_, X, Y);
  }

  mutable Counts counts;

 private:
  template <class T>
  void product(bool adjoint, VectorView<const T> x, VectorView<T> y) const {
    ++(adjoint ? counts.adjoint : counts.apply);
    adjoint ? a_->apply_adjoint(x, y) : a_->apply(x, y);
  }
  template <class T>
  void products(bool adjoint, BlockView<const T> X, BlockView<T> Y) const {
    if (X.cols == 1) return product(adjoint, X.column(0), Y.column(0));
    counts.columns += X.cols;
    adjoint ? apply_adjoint_columns(*a_, X, Y) : apply_columns(*a_, X, Y);
  }

  const A* a_;
  bool adjoint_;
};

/// Slots for projections on up to so many columns.
template <Space S>
struct ProjectionRoom {
  static Index elements(Index cols) { return 2 * Arena<S>::padded(Arena<S>::slot_elements(cols)); }
  void prepare(Arena<S>& arena, Index cols) {
    h = arena.slots(cols);
    g = arena.slots(cols);
  }

  typename S::Slots h, g;
};

/// v = v − V Vᴴv, twice: what once leaves on V, though no more than a few roundings, would add up
/// in A P = Q B from step to step. Returns ‖v‖. Traffic: (3 V.cols + 5) n; one read.
template <Space S>
double project_out(S& space, BlockView<const typename S::Value> V, VectorView<typename S::Value> v,
                   ProjectionRoom<S>& room) {
  if (V.cols == 0) return std::sqrt(space.read(space.norm2(v)));
  const auto count = static_cast<std::size_t>(V.cols);
  space.project(V, v, room.h.first(count));
  space.subtract_project(V, room.h.first(count), v, room.g.first(count));
  return std::sqrt(space.read(space.subtract_norm2(V, room.g.first(count), v)));
}

/// Makes the product in column `at` of V a unit vector orthogonal to the columns before it, and
/// returns the length that was left of it. If that is at most `negligible` the columns span an
/// invariant space: a random direction takes its place, which the start could not see, orthogonal
/// to `known` as well, and the length is 0. `random` is then moved on.
/// Traffic: (3 at + 7) n.
template <Space S>
double append_orthonormal(S& space, BlockView<typename S::Value> V, Index at, double negligible,
                          RandomKey& random, ProjectionRoom<S>& room,
                          BlockView<const typename S::Value> known = {}) {
  const BlockView<const typename S::Value> basis = V.columns(0, at);
  const auto v = V.column(at);
  double length = project_out<S>(space, basis, v, room);
  const bool lost = length <= negligible;  // a NaN is not
  if (lost) {
    space.random_uniform(random, v);
    ++random.stream;
    project_out<S>(space, known, v, room);
    for (int pass = 0; pass < 2; ++pass) {
      length = project_out<S>(space, basis, v, room);
    }
  }
  if (std::isfinite(length)) space.scale(1.0 / length, v);
  return lost ? 0.0 : length;
}

struct BidiagonalStep {
  double alpha;  ///< B(j, j) = ‖A p_j − Q Qᴴ A p_j‖
  double beta;   ///< B(j, j + 1) = ‖Aᴴ q_j − P Pᴴ Aᴴ q_j‖
};

/// q_j from p_j, and p_{j+1} from q_j unless P, whose first `locked` columns only P itself is kept
/// orthogonal to, spans the whole space then. New directions for Q avoid `known`. `norm_a`, a lower
/// bound of ‖A‖, is raised by what is seen. Two products; traffic (3j + 7)(m + n).
template <Space S, class A>
BidiagonalStep bidiagonal_step(S& space, const A& op, BlockView<typename S::Value> P,
                               BlockView<typename S::Value> Q, Index locked, Index j,
                               double& norm_a, RandomKey& random, ProjectionRoom<S>& room,
                               BlockView<const typename S::Value> known = {}) {
  constexpr double kEps = std::numeric_limits<RealOf<typename S::Value>>::epsilon();
  BidiagonalStep step{0.0, 0.0};
  const Index next = locked + j + 1;
  op.apply(P.column(next - 1), Q.column(j));
  step.alpha = append_orthonormal(space, Q, j, kEps * norm_a, random, room, known);
  if (!std::isfinite(step.alpha)) return step;
  norm_a = std::max(norm_a, step.alpha);
  if (next == P.rows) return step;
  op.apply_adjoint(Q.column(j), P.column(next));
  step.beta = append_orthonormal(space, P, next, kEps * norm_a, random, room);
  norm_a = std::max(norm_a, std::hypot(step.alpha, step.beta));
  return step;
}

}  // namespace ritz
