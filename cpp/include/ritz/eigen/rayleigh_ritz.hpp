// Rayleigh-Ritz on the basis of a thick-restart Lanczos process, on the host: which pairs there
// are, how good they are, and what is kept of them at a restart.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ritz/dense/eigh.hpp"
#include "ritz/eigen/lanczos_basis.hpp"
#include "ritz/eigen/which.hpp"

namespace ritz {

template <Space S>
class RayleighRitz {
 public:
  using Wide = WideOf<typename S::Value>;
  using Small = BlockView<Wide>;

  RayleighRitz(EigshWorkspace<S>& ws, Small projected, Which which, bool interior, double sigma)
      : T_(projected), ws_(ws), which_(which), interior_(interior), sigma_(sigma) {}

  /// The pairs of the basis, best first, of which k are wanted. Locked pairs that are not among
  /// them any more come back into the process.
  void extract(LanczosShape& shape, Index k) {
    found_ = std::min(k, shape.size);
    for (Index before = -1; before != shape.locked;) {
      before = shape.locked;
      decompose(shape);
      order_wanted(at(ws_.keys, 0, shape.size), at(ws_.order, 0, shape.size),
                   interior_ ? Which::smallest : which_);
      for (Index i = found_; i < shape.size; ++i) shape.locked = std::min(shape.locked, order(i));
    }
    for (Index i = 0; i < found_; ++i) ws_.best[index(i)] = value(order(i));
    for (Index i = 0; i < shape.size; ++i) largest_ = std::max(largest_, std::abs(value(i)));
  }

  /// Selects the best `keep` pairs: those locked stay so, and wanted ones are locked if
  /// `locks(θ, estimate)`. Sets up their combination and what T becomes.
  template <class Locks>
  void choose(const LanczosShape& shape, Index keep, const Locks& locks) {
    old_locked_ = shape.locked;
    kept_ = keep;
    width_ = shape.width;
    Index count = 0;
    for (const bool locking : {true, false}) {
      for (Index i = 0; i < keep; ++i) {
        const Index from = order(i);
        const bool fixed = i < found_ && locks(value(from), estimate(from));
        if (from < shape.locked || fixed != locking) continue;
        ws_.chosen[index(count++)] = from - shape.locked;
      }
      if (locking) new_locked_ = shape.locked + count;
    }
    if (interior_) return choose_harmonic(shape, count);
    const Index active = shape.size - shape.locked;
    rows_ = active;
    for (Index i = 0; i < count; ++i) {
      const Index from = ws_.chosen[index(i)];
      for (Index r = 0; r < active; ++r) selected()(r, i) = Y_(r, from);
      for (Index r = 0; r < width_; ++r) coupling()(r, i) = coupled(shape, r, from);
      ws_.kept_values[index(i)] = rayleigh_quotient(shape, from);
      ws_.kept_estimates[index(i)] = estimate(shape.locked + from);
    }
  }

  /// T after the vectors were combined and V₊ follows them.
  void restart(LanczosShape& shape) {
    for (Index j = old_locked_; j < T_.cols; ++j) {
      for (Index i = 0; i < T_.rows; ++i) T_(i, j) = Wide{};
    }
    for (Index i = old_locked_; i < kept_; ++i) {
      const Index from = i - old_locked_;
      T_(i, i) = ws_.kept_values[index(from)];
      ws_.estimates[index(i)] = ws_.kept_estimates[index(from)];
      if (i < new_locked_) continue;
      for (Index r = 0; r < width_; ++r) T_(kept_ + r, i) = coupling()(r, from);
    }
    shape.locked = new_locked_;
  }

  /// How the others compare with what is locked: by how much one beats the worst wanted value, and
  /// by how much one could that is not resolved yet. The residual of a Ritz pair bounds the
  /// distance to some eigenvalue, not to the one at the end: it must be far below the distance in
  /// question.
  static constexpr double kResolved = 10.0;
  struct Rivals {
    double improvement = -std::numeric_limits<double>::infinity(), reach = improvement;
  };
  Rivals rivals(const LanczosShape& shape) {
    decompose(shape);
    Rivals found;
    const auto meet = [&](Index i) {
      const double by = improvement(value(i), wanted(), which_);
      found.improvement = std::max(found.improvement, by);
      found.reach = std::max(found.reach, by + kResolved * estimate(i));
    };
    if (which_ != Which::smallest) meet(shape.size - 1);  // the values ascend
    if (which_ != Which::largest) meet(shape.locked);
    return found;
  }

  /// After `rivals`: locked pairs first, whatever their values, then the others, best first.
  void rank_behind_locked(const LanczosShape& shape) {
    const Index l = shape.locked, active = shape.size - l;
    std::iota(ws_.order.begin(), ws_.order.begin() + l, Index{0});
    const auto others = at(ws_.order, l, active);
    order_wanted(at(ws_.keys, l, active), others, which_);
    for (Index& i : others) i += l;
  }

  Index order(Index rank) const { return ws_.order[index(rank)]; }
  double value(Index i) const { return ws_.values[index(i)]; }
  /// ‖OP v − θ v‖ by the recurrence.
  double estimate(Index i) const { return ws_.estimates[index(i)]; }
  /// The wanted values when last extracted, best first.
  std::span<const double> wanted() const { return at(ws_.best, 0, found_); }
  double largest() const { return largest_; }
  void resume(double largest) { largest_ = largest; }
  Index kept() const { return kept_; }
  /// The columns by which the vectors that are not locked are to be combined: as many rows as
  /// there are of them, or V₊ as well if it takes part.
  BlockView<const Wide> combination() const {
    return {ws_.selected.data(), rows_, kept_ - old_locked_ + (rows_with_next() ? width_ : 0),
            T_.ld};
  }
  bool rows_with_next() const { return interior_; }

 private:
  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }
  template <class V>
  static auto at(V& v, Index first, Index count) {
    return std::span(v).subspan(index(first), index(count));
  }
  Small selected() const { return {ws_.selected.data(), T_.rows, T_.cols, T_.ld}; }
  Small coupling() const { return {ws_.coupling.data(), T_.rows, T_.cols, T_.ld}; }

  /// All Ritz pairs of the vectors that are not locked, with values, keys and estimates.
  void decompose(const LanczosShape& shape) {
    const Index l = shape.locked, active = shape.size - l;
    for (Index i = 0; i < l; ++i) {
      ws_.values[index(i)] = std::real(T_(i, i));
      ws_.keys[index(i)] = interior_ ? std::abs(value(i) - sigma_) : value(i);
    }
    Y_ = {ws_.ritz_vectors.data(), active, active, T_.ld};
    if (interior_) {
      full(shape);
      dense::harmonic_pairs(BlockView<const Wide>(G_), sigma_, Y_, at(ws_.keys, l, active),
                            at(ws_.values, l, active), at(ws_.estimates, l, active));
      return;
    }
    for (Index j = 0; j < active; ++j) {
      for (Index i = j; i < active; ++i) Y_(i, j) = T_(l + i, l + j);
    }
    dense::eigh(Y_, at(ws_.values, l, active));
    for (Index i = 0; i < active; ++i) {
      ws_.keys[index(l + i)] = value(l + i);
      double norm2 = 0.0;
      for (Index r = 0; r < shape.width; ++r) norm2 += std::norm(coupled(shape, r, i));
      ws_.estimates[index(l + i)] = std::sqrt(norm2);
    }
  }
  /// Row r of B Y, column i.
  Wide coupled(const LanczosShape& shape, Index r, Index i) const {
    Wide sum{};
    for (Index j = 0; j < Y_.rows; ++j) sum += T_(shape.size + r, shape.locked + j) * Y_(j, i);
    return sum;
  }

  /// G = [T; B] of the vectors that are not locked.
  void full(const LanczosShape& shape) {
    const Index l = shape.locked, active = shape.size - l;
    G_ = {ws_.selected.data(), active + shape.width, active, T_.ld};
    for (Index j = 0; j < active; ++j) {
      for (Index i = j; i < G_.rows; ++i) {
        G_(i, j) = T_(l + i, l + j);
        if (i < active) G_(j, i) = conjugate(G_(i, j));
      }
    }
  }
  void choose_harmonic(const LanczosShape& shape, Index count) {
    // G is where the combination goes: it moves to the place of the coupling, which is small.
    full(shape);
    std::copy(ws_.selected.begin(), ws_.selected.end(), ws_.coupling.begin());
    const BlockView<const Wide> G{ws_.coupling.data(), G_.rows, G_.cols, T_.ld};
    // Z to the front of Y, in increasing order, so that no column is overwritten before its use.
    std::sort(ws_.chosen.begin(), ws_.chosen.begin() + count);
    for (Index i = 0; i < count; ++i) {
      const auto from = Y_.column(ws_.chosen[index(i)]);
      std::copy(from.begin(), from.end(), Y_.column(i).begin());
    }
    rows_ = G.rows;
    std::vector<Wide> small(index(width_ * count));
    const Small found{small.data(), width_, count, width_};
    dense::harmonic_restart(G, sigma_, BlockView<const Wide>(Y_.columns(0, count)),
                            Small{ws_.selected.data(), rows_, count + width_, T_.ld},
                            at(ws_.kept_values, 0, count), found);
    for (Index i = 0; i < count; ++i) {
      double norm2 = 0.0;
      for (Index r = 0; r < width_; ++r) {
        coupling()(r, i) = found(r, i);
        norm2 += std::norm(found(r, i));
      }
      ws_.kept_estimates[index(i)] = std::sqrt(norm2);
    }
  }

  /// yᴴTy / yᴴy in extended precision. The small eigensolver errs by an ulp, at every restart with
  /// the same sign, so that after hundreds of them its own eigenvalues would be wrong by hundreds.
  double rayleigh_quotient(const LanczosShape& shape, Index column) const {
    using Long = long double;
    const auto product = [](const Wide& a, const Wide& b) {  // Re āb
      return static_cast<Long>(std::real(a)) * std::real(b) +
             static_cast<Long>(std::imag(a)) * std::imag(b);
    };
    Long above = 0.0L, below = 0.0L;
    for (Index j = 0; j < Y_.rows; ++j) {
      const Wide y = Y_(j, column);
      below += product(y, y);
      for (Index i = j; i < Y_.rows; ++i) {
        const Wide t = T_(shape.locked + i, shape.locked + j);
        if (t == Wide{}) continue;
        if (i == j) {
          above += std::real(t) * product(y, y);
          continue;
        }
        // 2 Re ȳᵢ tᵢⱼ yⱼ; a product of two rounded elements would not be in extended precision.
        const Wide x = Y_(i, column);
        const Long re = static_cast<Long>(std::real(t)) * std::real(y) -
                        static_cast<Long>(std::imag(t)) * std::imag(y);
        const Long im = static_cast<Long>(std::real(t)) * std::imag(y) +
                        static_cast<Long>(std::imag(t)) * std::real(y);
        above += 2.0L * (std::real(x) * re + std::imag(x) * im);
      }
    }
    return static_cast<double>(above / below);
  }

  Small T_, Y_, G_;
  EigshWorkspace<S>& ws_;
  Which which_;
  bool interior_;
  double sigma_;
  double largest_ = 0.0;
  Index found_ = 0, kept_ = 0, old_locked_ = 0, new_locked_ = 0, width_ = 0, rows_ = 0;
};

}  // namespace ritz
