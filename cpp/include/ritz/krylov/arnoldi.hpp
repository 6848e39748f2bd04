// The Arnoldi process, and the small least-squares problem that methods over it solve.
//
// Arnoldi 1951. Two passes are enough: Giraud, Langou, Rozložník, van den Eshof: Rounding error
// analysis of the classical Gram-Schmidt orthogonalization process. Numer. Math. 101, 2005.
// Rotations: Saad, Schultz: GMRES: a generalized minimal residual algorithm for solving
// nonsymmetric linear systems. SIAM J. Sci. Stat. Comput. 7, 1986.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/krylov/arnoldi_recurrence.hpp"
#include "ritz/krylov/look.hpp"

namespace ritz {

/// What was subtracted by one or two passes, in the first half of `both`; returns ‖w‖.
template <class Wide>
double subtracted(const ArnoldiRecurrence& done, std::span<Wide> both) {
  const std::size_t count = both.size() / 2;
  for (std::size_t i = 0; i < count && done.again > 0.0; ++i) both[i] += both[count + i];
  return done.norm;
}

/// w = w − V Vᴴw, until Vᴴw is at most some roundings of w. The first V.cols of `slots` become Vᴴw,
/// the next what the first pass left of it, by which a second one is made only where it is needed,
/// as `kept` says. Traffic: (2 V.cols + 4) n, with the second pass (3 V.cols + 6) n; no reads.
template <Space S, class Kept>
void project_away(S& space, BlockView<const typename S::Value> V, VectorView<typename S::Value> w,
                  typename S::Slots slots, Kept& kept) {
  using Recurrence = ArnoldiRecurrence;
  constexpr bool kSingle = std::same_as<RealOf<typename S::Value>, float>;
  const auto count = static_cast<std::size_t>(V.cols);
  const auto h = slots.first(count), g = slots.subspan(count, count);
  space.project(V, w, h);
  space.subtract_project(V, h, w, g);
  auto norm2 = space.norm2(w);
  space.advance(kept, kSingle ? Recurrence::kFirstInSingle : Recurrence::kFirstInDouble, norm2,
                space.norm2_slots(g));
  if (!space.freeze_below(kept[&Recurrence::again], 0.0)) norm2 = space.subtract_norm2(V, g, w);
  space.thaw();
  space.advance(kept, Recurrence::kSecond, norm2);
}

/// w = w − V Vᴴw, twice in any case; returns ‖w‖². Slots as above. Traffic: (3 V.cols + 5) n; no
/// reads.
template <Space S>
auto project_away_twice(S& space, BlockView<const typename S::Value> V,
                        VectorView<typename S::Value> w, typename S::Slots slots) {
  const auto count = static_cast<std::size_t>(V.cols);
  const auto h = slots.first(count), g = slots.subspan(count, count);
  space.project(V, w, h);
  space.subtract_project(V, h, w, g);
  return space.subtract_norm2(V, g, w);
}

/// `project_away`, then ‖w‖; the first V.cols of `coefficients`, which has room for twice as many,
/// become what was subtracted, on the host. One read.
template <Space S>
double orthogonalize(S& space, BlockView<const typename S::Value> V,
                     VectorView<typename S::Value> w, typename S::Slots slots,
                     std::span<WideOf<typename S::Value>> coefficients) {
  if (V.cols == 0) return std::sqrt(space.read(space.norm2(w)));
  const auto count = static_cast<std::size_t>(V.cols);
  auto kept = space.keep(ArnoldiRecurrence{});
  project_away(space, V, w, slots, kept);
  const ArnoldiRecurrence& done = space.read(kept);
  // As they were written: so they come with the read before.
  space.read(slots.first(count), coefficients.first(count));
  space.read(slots.subspan(count, count), coefficients.subspan(count, count));
  return subtracted(done, coefficients.first(2 * count));
}

struct ArnoldiStep {
  double length;  ///< ‖A v_j‖, infinite or NaN if a product held such an element
  double beta;    ///< its part outside the basis; 0 if that is below the rounding of A v_j
};

/// The step whose vector keeps the length β outside the basis, with coefficients h inside.
template <Field T>
ArnoldiStep arnoldi_step_of(double beta, std::span<const WideOf<T>> h) {
  constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();
  double length = beta;
  for (const WideOf<T>& e : h) length = std::hypot(length, std::abs(e));
  return {length, std::isfinite(length) && beta <= kEps * length ? 0.0 : beta};
}

/// Takes w = A v_j, in the column after `basis`, against it; that column becomes w/β if β > 0.
template <Space S>
ArnoldiStep arnoldi_step(S& space, BlockView<const typename S::Value> basis,
                         VectorView<typename S::Value> w, typename S::Slots slots,
                         std::span<WideOf<typename S::Value>> h) {
  const double beta = orthogonalize(space, basis, w, slots, h);
  const auto step =
      arnoldi_step_of<typename S::Value>(beta, h.first(static_cast<std::size_t>(basis.cols)));
  if (step.beta != 0.0) space.scale(1.0 / beta, w);
  return step;
}

/// Columns of an Arnoldi process that the host may learn after more of them were begun, so that a
/// device need not wait for it.
template <Space S>
class ArnoldiColumns {
 public:
  using T = typename S::Value;
  using Wide = WideOf<T>;
  /// Columns that may wait at a time.
  static constexpr Index kMost = requires { typename S::Question; } ? Looks<S>::kLag + 1 : 1;

  /// Room for 2 m slots if there are to be m columns; `twice`: with a second pass in any case.
  ArnoldiColumns(S& space, typename S::Slots slots, bool twice = false)
      : space_(space), slots_(slots), kept_(space.keep(ArnoldiRecurrence{})), twice_(twice) {}

  /// From column j again; what waits is forgotten.
  void restart(Index j = 0) { begun_ = taken_ = j; }
  Index begun() const { return begun_; }
  Index waiting() const { return begun_ - taken_; }

  /// Takes w = A v_j, j being `begun()`, in the column after `basis`, against it; that column
  /// becomes a unit vector, or zero.
  void begin(BlockView<const T> basis, VectorView<T> w) {
    if (twice_) {
      space_.advance(kept_, ArnoldiRecurrence::kBoth, project_away_twice(space_, basis, w, slots_));
    } else {
      project_away(space_, basis, w, slots_, kept_);
    }
    space_.scale(kept_[&ArnoldiRecurrence::by_w], w);
    if constexpr (kMost > 1) {
      Waiting& made = waiting_[static_cast<std::size_t>(begun_ % kMost)];
      const auto columns = slots_.first(2 * static_cast<std::size_t>(basis.cols));
      made.question = space_.ask(kept_, columns);
      if (!made.question) {  // too many are open: here and now
        made.done = space_.read(kept_);
        made.h.resize(columns.size());
        space_.read(columns, made.h);
      }
    }
    ++begun_;
  }
  /// The oldest column that waits, with its coefficients, h_0 … h_j, in the first of `h`, which has
  /// room for twice as many.
  ArnoldiStep take(std::span<Wide> h) {
    const double beta = take_norm(h);
    return arnoldi_step_of<T>(beta, h.first(static_cast<std::size_t>(taken_)));
  }
  /// Likewise; what is returned is ‖w‖ alone.
  double take_norm(std::span<Wide> h) {
    const auto count = static_cast<std::size_t>(taken_ + 1);
    const auto both = h.first(2 * count);
    ArnoldiRecurrence done;
    if constexpr (kMost > 1) {
      Waiting& made = waiting_[static_cast<std::size_t>(taken_ % kMost)];
      if (made.question) {
        done = space_.answer(std::exchange(made.question, {}), kept_, both);
      } else {
        done = made.done;
        std::copy_n(made.h.begin(), both.size(), both.begin());
      }
    } else {
      done = space_.read(kept_);
      space_.read(slots_.first(2 * count), both);
    }
    ++taken_;
    return subtracted(done, both);
  }

 private:
  struct Waiting {
    typename QuestionOf<S>::Type question;
    ArnoldiRecurrence done;
    std::vector<Wide> h;
  };

  S& space_;
  typename S::Slots slots_;
  decltype(std::declval<S&>().keep(ArnoldiRecurrence{})) kept_;
  bool twice_;
  Index begun_ = 0, taken_ = 0;
  std::array<Waiting, static_cast<std::size_t>(kMost)> waiting_;
};

/// y ↦ ‖β e₁ − H̄ y‖ for a Hessenberg matrix that grows by columns: H̄ = Ωᴴ [R; 0], with rotations
/// (c, s; −s̄, c), c real, in Ω. On the host.
template <class Scalar>
class HessenbergLeastSquares {
 public:
  /// Room for m columns; β is ‖r‖.
  void begin(Index m, double beta) {
    const auto size = static_cast<std::size_t>(m);
    ld_ = size;
    R_.resize(size * size);
    c_.resize(size);
    s_.resize(size);
    g_.resize(size + 1);
    y_.resize(size);
    g_[0] = beta;
    cols_ = 0;
    largest_ = size_ = 0.0;
  }

  /// Appends the column (h; beta) of H̄, `length` being its norm; false if nothing can be gained by
  /// it in arithmetic of precision `eps`: if the column depends on the others, or if y, as it does
  /// on a singular A, has begun to grow while the residual stays, so that the rounding of A V y
  /// reaches it. Overwrites h.
  bool append(std::span<Scalar> h, double beta, double length, double eps) {
    const std::size_t k = cols_;
    largest_ = std::max(largest_, length);
    for (std::size_t i = 0; i < k; ++i) {
      const Scalar above = h[i];
      h[i] = c_[i] * above + s_[i] * h[i + 1];
      h[i + 1] = c_[i] * h[i + 1] - conjugate(s_[i]) * above;
    }
    const double pivot = std::abs(h[k]), rho = std::hypot(pivot, beta), before = residual();
    if (!(rho > eps * largest_)) return false;
    const Scalar phase = pivot > 0.0 ? h[k] / pivot : Scalar{1.0}, g = g_[k];
    c_[k] = pivot / rho;
    s_[k] = phase * (beta / rho);
    h[k] = phase * rho;
    std::copy_n(h.begin(), k + 1, &R_[k * ld_]);
    g_[k + 1] = -conjugate(s_[k]) * g;
    g_[k] = c_[k] * g;
    ++cols_;
    solve(y_);
    double size = 0.0;
    for (std::size_t i = 0; i < cols_; ++i) size += std::norm(y_[i]);
    size = std::sqrt(size);
    if (size > 2.0 * size_ && kRounding * eps * largest_ * size > before) {
      g_[k] = g;
      --cols_;
      return false;
    }
    size_ = size;
    return true;
  }

  Index cols() const { return static_cast<Index>(cols_); }
  /// Of the columns so far.
  double longest() const { return largest_; }
  /// ‖y‖ at the minimiser.
  double size() const { return size_; }
  /// ‖β e₁ − H̄ y‖ at the minimiser.
  double residual() const { return std::abs(g_[cols_]); }

  void solve(std::span<Scalar> y) const {
    for (std::size_t i = cols_; i-- > 0;) {
      Scalar sum = g_[i];
      for (std::size_t j = i + 1; j < cols_; ++j) sum -= R_[i + j * ld_] * y[j];
      y[i] = sum / R_[i + i * ld_];
    }
  }
  /// The unit vector q with β e₁ − H̄ y = residual() q, of cols() + 1 elements.
  void residual_direction(std::span<Scalar> q) const {
    const double size = residual();
    q[cols_] = size > 0.0 ? g_[cols_] / size : Scalar{1.0};
    for (std::size_t i = cols_; i-- > 0;) {
      q[i] = -s_[i] * q[i + 1];
      q[i + 1] *= c_[i];
    }
  }

 private:
  // How many roundings of size eps ‖A‖ ‖y‖ a product A V y is taken to make.
  static constexpr double kRounding = 10.0;

  std::size_t ld_ = 0, cols_ = 0;
  std::vector<Scalar> R_, s_, g_, y_;
  std::vector<double> c_;
  double largest_ = 0.0, size_ = 0.0;  // the longest column, ‖y‖
};

}  // namespace ritz
