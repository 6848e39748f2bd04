// A basis that is orthonormal in the inner product xᴴBy and grows by blocks of candidates, of which
// those that depend on the others are left out.
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "ritz/core/status.hpp"
#include "ritz/eigen/pencil.hpp"
#include "ritz/krylov/arnoldi.hpp"

namespace ritz {

/// Columns V with their products B V; without B they are the same block. `slots` holds two for each
/// column, `products` counts those with B.
template <Space S, class B>
class WeightedBasis {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  WeightedBasis(S& space, const B& b, BlockView<T> columns, BlockView<T> images,
                typename S::Slots room, Index& products)
      : V(columns),
        BV(images),
        slots(room),
        space_(space),
        b_(b),
        products_(products),
        h_(room.size()) {}

  /// The `count` columns after the first `from`, made orthonormal to those and among each other;
  /// how many of them there are then, at most `limit` − from, or −1 with the reason in `failure`.
  /// One block product with B; 2 to 3 passes over the basis a column, twice that with B.
  Index extend(Index from, Index count, Index limit) {
    const Index room = std::min(count, limit - from);
    return is_given(b_) ? extend_weighted(from, count, room) : extend_plain(from, count, room);
  }
  Status failure() const { return failure_; }

  /// r = r − B Y Yᴴ r for the first q columns Y; returns ‖r‖².
  double project_residual(Index q, VectorView<T> r) {
    subtract(V.columns(0, q), BV.columns(0, q), r, {});
    return space_.read(space_.norm2(r));
  }

  BlockView<T> V, BV;
  typename S::Slots slots;

 private:
  // What is left of a candidate of unit length has no digit of its own below this.
  static constexpr double kDrop = 64.0 * std::numeric_limits<RealOf<T>>::epsilon();

  double norm(VectorView<const T> x) { return std::sqrt(space_.read(space_.norm2(x))); }
  Index fail(Status status) {
    failure_ = status;
    return -1;
  }

  /// Moves a column, scaled.
  void place(double factor, VectorView<T> x, VectorView<T> y) {
    if (x.data == y.data) {
      space_.scale(factor, y);
    } else {
      space_.axpby(factor, x, 0.0, y);
    }
  }

  Index extend_plain(Index from, Index count, Index room) {
    Index kept = 0;
    for (Index j = 0; j < count && kept < room; ++j) {
      const auto w = V.column(from + kept);
      const double length = norm(V.column(from + j));
      if (!std::isfinite(length)) return fail(Status::nonfinite);
      if (length == 0.0) continue;
      place(1.0 / length, V.column(from + j), w);
      const BlockView<const T> basis = V.columns(0, from + kept);
      double left = orthogonalize(space_, basis, w, slots, std::span(h_));
      if (!(left > kDrop)) continue;
      if (left < 1e-4) {  // what remains is small beside the rounding of what went: once more
        space_.scale(1.0 / left, w);
        left = orthogonalize(space_, basis, w, slots, std::span(h_));
        if (!(left > 0.1)) continue;
      }
      space_.scale(1.0 / left, w);
      ++kept;
    }
    return kept;
  }

  Index extend_weighted(Index from, Index count, Index room) {
    // First against the old ones, so that B is applied to what is new.
    Index fresh = 0;
    for (Index j = 0; j < count; ++j) {
      const auto w = V.column(from + fresh);
      const double length = norm(V.column(from + j));
      if (!std::isfinite(length)) return fail(Status::nonfinite);
      if (length == 0.0) continue;
      place(1.0 / length, V.column(from + j), w);
      for (int pass = 0; pass < 2; ++pass) subtract(BV.columns(0, from), V.columns(0, from), w, {});
      const double left = norm(w);
      if (!(left > kDrop)) continue;
      space_.scale(1.0 / left, w);
      ++fresh;
    }
    Counts counts;
    apply_counted(b_, BlockView<const T>(V.columns(from, fresh)), BV.columns(from, fresh), counts);
    products_ += counts.total();
    Index kept = 0;
    for (Index j = 0; j < fresh && kept < room; ++j) {
      const auto w = V.column(from + kept), z = BV.column(from + kept);
      space_.copy(V.column(from + j), w);
      space_.copy(BV.column(from + j), z);
      const double before = space_.read(space_.real_dot(w, z));
      if (!std::isfinite(before)) return fail(Status::nonfinite);
      if (!(before > 0.0)) return fail(Status::breakdown);  // B is not positive definite
      const Index size = from + kept;
      for (int pass = 0; pass < 2; ++pass) {
        subtract(BV.columns(0, size), V.columns(0, size), w, z);
      }
      const double after = space_.read(space_.real_dot(w, z));
      if (!(after > kDrop * kDrop * before)) continue;
      space_.scale(1.0 / std::sqrt(after), w);
      space_.scale(1.0 / std::sqrt(after), z);
      ++kept;
    }
    return kept;
  }

  /// w = w − R Lᴴ w, and z = z − L Lᴴ w with the w that was.
  void subtract(BlockView<T> L, BlockView<T> R, VectorView<T> w, VectorView<T> z) {
    if (L.cols == 0) return;
    const auto count = static_cast<std::size_t>(L.cols);
    const auto minus = std::span(h_).first(count);
    space_.project(L, w, slots.first(count));
    space_.read(slots.first(count), minus);
    for (W& x : minus) x = -x;
    space_.axpy_columns(R, minus, w);
    if (z.size > 0) space_.axpy_columns(L, minus, z);
  }

  S& space_;
  const B& b_;
  Index& products_;
  std::vector<W> h_;
  Status failure_ = Status::breakdown;
};

}  // namespace ritz
