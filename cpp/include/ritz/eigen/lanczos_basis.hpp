// The basis of a block Lanczos process and its projected matrix: OP V = V T + V₊ B, with V
// orthonormal in the inner product of M, to known vectors D as well, and B the rows of T below.
//
// Golub, Underwood: The block Lanczos method for computing eigenvalues. Mathematical Software III,
// 1977. Twice is enough: Giraud, Langou, Rozložník, van den Eshof: Rounding error analysis of the
// classical Gram-Schmidt orthogonalization process. Numer. Math. 101, 2005.
#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/eigen/hermitian_problem.hpp"
#include "ritz/krylov/arnoldi.hpp"

namespace ritz {

/// Vectors of n: p known ones and the m + b of the basis; as many again, their products with M, in
/// a problem with M.
template <Space S>
struct EigshWorkspace {
  using T = typename S::Value;
  using Wide = WideOf<T>;

  void prepare(S& space, Index n, Index m, Index b = 1, Index p = 0, bool weighted = false) {
    const Index columns = p + m + b, all = weighted ? 2 * columns : columns;
    arena.begin(space,
                Arena<S>::padded(n) * all + Arena<S>::padded(Arena<S>::slot_elements(2 * columns)));
    V = arena.block(n, columns);
    MV = weighted ? arena.block(n, columns) : V;
    slots = arena.slots(2 * columns);
    coefficients.resize(static_cast<std::size_t>(2 * columns));
    const auto size = static_cast<std::size_t>(m + b);
    for (auto* a : {&projected, &ritz_vectors, &selected, &coupling}) a->resize(size * size);
    for (auto* a : {&values, &keys, &estimates, &best, &kept_values, &kept_estimates}) {
      a->resize(size);
    }
    for (auto* a : {&order, &chosen}) a->resize(size);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> V, MV;
  typename S::Slots slots;
  std::vector<Wide> coefficients, projected, ritz_vectors, selected, coupling;
  std::vector<double> values, keys, estimates, best, kept_values, kept_estimates;
  std::vector<Index> order, chosen;
};

/// What a basis is beside its vectors and T.
struct LanczosShape {
  Index known = 0;           ///< vectors of D, ahead of V
  Index locked = 0;          ///< leading vectors of V that the recurrence no longer touches
  Index size = 0;            ///< vectors of V
  Index width = 0;           ///< vectors of V₊
  double norm = 0.0;         ///< largest ‖OP v‖ seen, a lower bound of ‖OP‖
  std::uint64_t stream = 0;  ///< of the next random vector
};

template <Space S, class Problem>
class LanczosBasis {
 public:
  using T = typename S::Value;
  using Wide = WideOf<T>;
  using Block = BlockView<T>;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  /// `lags`: single vectors may be begun before the host has learned of the last ones.
  LanczosBasis(S& s, EigshWorkspace<S>& ws, const Problem& problem, Index m, Index b, RandomKey key,
               bool lags)
      : space(s),
        op(problem),
        projected{ws.projected.data(), m + b, m + b, m + b},
        ws_(ws),
        weighted_(problem.weighted()),
        seed_(key.seed),
        room_(problem.size()),
        columns_(space, ws.slots, true),
        ahead_(columns_.kMost > 1 && lags && b == 1 && !weighted_ ? columns_.kMost : 0) {
    shape.stream = key.stream;
  }

  Block vectors(Index first, Index count) { return ws_.V.columns(shape.known + first, count); }
  Block weighed(Index first, Index count) { return ws_.MV.columns(shape.known + first, count); }
  VectorView<T> vector(Index j) { return vectors(j, 1).column(0); }

  /// D = the orthonormalised `known` vectors; those that depend on others are left out.
  bool deflate(BlockView<const T> known) {
    Index kept = 0;
    for (Index j = 0; j < known.cols; ++j) {
      space.copy(known.column(j), ws_.V.column(kept));
      const double before = std::sqrt(space.read(space.norm2(ws_.V.column(kept))));
      if (!std::isfinite(before)) return false;
      if (before == 0.0) continue;
      space.scale(1.0 / before, ws_.V.column(kept));
      if (weighted_ && !weigh(kept)) return false;
      double first = 1.0;
      if (weighted_) first = std::sqrt(space.read(inner(kept)));
      const double norm = orthogonalize(kept, kept);
      if (!std::isfinite(norm)) return false;
      if (norm > 64.0 * kEps * first) normalize(kept++, norm);
    }
    shape.known = kept;
    room_ -= kept;
    return true;
  }

  /// V₊ = b vectors: those of `from`, then random ones. Fewer if the space has no room for b.
  bool start(BlockView<const T> from, Index b) {
    columns_.restart();
    shape.width = std::min(b, room_ - shape.size);
    Index filled = 0;
    for (Index j = 0; j < from.cols && filled < shape.width; ++j) {
      const Index column = shape.known + shape.size + filled;
      space.copy(from.column(j), ws_.V.column(column));
      const double before = std::sqrt(space.read(space.norm2(ws_.V.column(column))));
      if (!std::isfinite(before)) return false;
      if (before == 0.0) continue;
      space.scale(1.0 / before, ws_.V.column(column));
      if (weighted_ && !weigh(column)) return false;
      const double first = weighted_ ? std::sqrt(space.read(inner(column))) : 1.0;
      const double norm = orthogonalize(column, column);
      if (!std::isfinite(norm)) return false;
      if (norm <= 64.0 * kEps * first) continue;
      normalize(column, norm);
      ++filled;
    }
    for (; filled < shape.width; ++filled) {
      if (!random(shape.known + shape.size + filled)) return false;
    }
    return true;
  }

  /// One block step: takes V₊ into V and makes the next one; false if something is not finite, or
  /// M is not positive definite. Cost of a column: one product, (3 j + 6) n of traffic with j
  /// vectors before it (with M: (4 j + 10) n and a product with M). Where the host lags, up to two
  /// products more, while there is room for `most` vectors and `max_products` have not been made.
  bool expand(Index most, Index max_products) {
    const Index first = shape.size, w = shape.width, next = first + w;
    if (ahead_ == 0) {
      op.product(vectors(first, w), weighed(first, w), vectors(next, w), weighed(next, w));
    } else {
      begin_columns(std::min(most, room_), max_products);
    }
    shape.size = next;
    shape.width = std::min(w, room_ - next);
    Index filled = 0, found = 0;
    for (Index j = 0; j < w; ++j) {
      const Index from = shape.known + next + j, to = shape.known + next + filled;
      double norm = ahead_ == 0 ? orthogonalize(from, to) : columns_.take_norm(ws_.coefficients);
      double column2 = norm * norm;
      for (Index i = first + j; i < next + w; ++i) {
        const bool before = i < next + filled;
        projected(i, first + j) =
            before ? ws_.coefficients[static_cast<std::size_t>(shape.known + i)] : Wide{};
        column2 += std::norm(projected(i, first + j));
      }
      if (!std::isfinite(column2)) return false;
      shape.norm = std::max(shape.norm, std::sqrt(column2));
      if (filled == shape.width) continue;  // the whole space is spanned: this is rounding
      if (norm <= kEps * shape.norm) {
        // The Krylov space is invariant: go on from a new direction, so that eigenvalues that the
        // start could not see, multiple ones above all, are found too.
        norm = 0.0;
        if (!random(to)) return false;
      } else {
        if (to != from) {
          space.copy(ws_.V.column(from), ws_.V.column(to));
          if (weighted_) space.copy(ws_.MV.column(from), ws_.MV.column(to));
        }
        if (ahead_ == 0) normalize(to, norm);
        if (norm > 64.0 * kEps * shape.norm) ++found;
      }
      projected(next + filled, first + j) = norm;
      ++filled;
    }
    invariant_ = found == 0;
    return true;
  }
  /// Whether the last step found that OP V lies in V, as far as rounding tells.
  bool invariant() const { return invariant_; }

  /// The `count` vectors from `first` on become their combinations with the columns of C.
  void combine(Index first, Index count, BlockView<const Wide> C) {
    columns_.restart();
    space.combine(vectors(first, count), C);
    if (weighted_) space.combine(weighed(first, count), C);
  }
  /// Moves V₊ so that it follows `size` vectors.
  void shrink(Index size) {
    for (Index j = 0; j < shape.width; ++j) {
      space.copy(vector(shape.size + j), vector(size + j));
      if (weighted_) {
        space.copy(weighed(shape.size + j, 1).column(0), weighed(size + j, 1).column(0));
      }
    }
    shape.size = size;
  }
  /// Adds random vectors of norm δ to those of V₊.
  bool perturb(double delta) {
    for (Index j = 0; j < shape.width; ++j) {
      const Index at = shape.known + shape.size + j;
      const VectorView<T> r = ws_.V.column(shape.known + shape.size + shape.width);
      space.random_uniform({seed_, shape.stream++}, r);
      const double norm = std::sqrt(space.read(space.norm2(r)));
      space.axpby(delta / norm, r, 1.0, ws_.V.column(at));
      const double left = orthogonalize(at, at);
      if (!std::isfinite(left)) return false;
      normalize(at, left);
    }
    return true;
  }

  /// Takes the place of deflate and start, with the vectors as they were.
  void resume(const LanczosShape& saved) {
    shape = saved;
    room_ -= saved.known;
  }
  /// Vectors that the space has besides D.
  Index room() const { return room_; }
  bool indefinite() const { return indefinite_; }

  S& space;
  SpectralTransformation<T, Problem> op;
  LanczosShape shape;
  BlockView<Wide> projected;  ///< the lower triangle of T, and B in the rows below

 private:
  // All columns here are counted from the first of D.

  /// Begins the column that follows V₊, and others.
  void begin_columns(Index most, Index max_products) {
    if (columns_.waiting() == 0) columns_.restart(shape.known + shape.size);
    while (columns_.waiting() == 0 ||
           (columns_.waiting() < ahead_ && columns_.begun() - shape.known < most &&
            op.products.total() < max_products)) {
      const Index j = columns_.begun();
      op.product(ws_.V.columns(j, 1), {}, ws_.V.columns(j + 1, 1), {});
      columns_.begin(ws_.V.columns(0, j + 1), ws_.V.column(j + 1));
    }
  }
  auto inner(Index j) { return space.real_dot(ws_.V.column(j), ws_.MV.column(j)); }
  bool weigh(Index j) {
    op.mass(ws_.V.columns(j, 1), ws_.MV.columns(j, 1));
    return !(indefinite_ = space.read(inner(j)) < 0.0);
  }
  void normalize(Index j, double norm) {
    space.scale(1.0 / norm, ws_.V.column(j));
    if (weighted_) space.scale(1.0 / norm, ws_.MV.column(j));
  }

  /// Takes column j against the first `count` columns twice; the coefficients go to
  /// `coefficients`, the norm of what is left is returned.
  double orthogonalize(Index j, Index count) {
    const auto c = static_cast<std::size_t>(count);
    const VectorView<T> w = ws_.V.column(j);
    const BlockView<const T> V = ws_.V.columns(0, count), MV = ws_.MV.columns(0, count);
    const auto h = ws_.slots.first(c), g = ws_.slots.subspan(c, c);
    double norm2 = 0.0;
    if (!weighted_ && count == 0) {
      norm2 = space.read(space.norm2(w));
    } else if (!weighted_) {
      norm2 = space.read(project_away_twice(space, V, w, ws_.slots));
    } else {
      if (count > 0) {
        space.project(MV, w, h);
        space.subtract_norm2(V, h, w);
        space.project(MV, w, g);
        space.subtract_norm2(V, g, w);
      }
      op.mass(ws_.V.columns(j, 1), ws_.MV.columns(j, 1));
      norm2 = space.read(inner(j));
      // Where nothing but rounding is left, its square may come out negative.
      indefinite_ = norm2 < -kEps * shape.norm * shape.norm;
      if (indefinite_) return std::numeric_limits<double>::quiet_NaN();
      norm2 = std::max(norm2, 0.0);
    }
    const auto first = std::span(ws_.coefficients).first(c);
    const auto second = std::span(ws_.coefficients).subspan(c, c);
    if (count > 0) {
      space.read(h, first);
      space.read(g, second);
    }
    for (std::size_t i = 0; i < c; ++i) first[i] += second[i];
    return std::sqrt(norm2);
  }

  bool random(Index j) {
    columns_.restart();
    space.random_uniform({seed_, shape.stream++}, ws_.V.column(j));
    const double before = std::sqrt(space.read(space.norm2(ws_.V.column(j))));
    space.scale(1.0 / before, ws_.V.column(j));
    const double norm = orthogonalize(j, j);
    if (!(norm > 0.0) || !std::isfinite(norm)) return false;
    normalize(j, norm);
    return true;
  }

  EigshWorkspace<S>& ws_;
  bool weighted_, indefinite_ = false, invariant_ = false;
  std::uint64_t seed_;
  Index room_;
  ArnoldiColumns<S> columns_;
  Index ahead_;  // columns that may wait; 0 if each is seen to before the next
};

}  // namespace ritz
