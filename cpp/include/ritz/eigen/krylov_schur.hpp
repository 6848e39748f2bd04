// The Krylov-Schur decomposition A V = V H + β v eᵀ, (V, v) orthonormal: it grows by Arnoldi steps,
// turns until H is a Schur form T with the wanted eigenvalues first, and is cut after them.
// Stewart: A Krylov-Schur algorithm for large eigenproblems. SIAM J. Matrix Anal. Appl. 23, 2001.
//
// A real A has a real H: a pair of conjugate eigenvalues is two columns, which are never parted.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/checkpoint.hpp"
#include "ritz/dense/schur.hpp"
#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/lanczos.hpp"

namespace ritz {

template <Space S>
class KrylovSchur {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;
  using Complex = std::complex<double>;
  static constexpr bool kReal = RealField<T>;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  /// Room for m columns of n elements, and for `extra` vectors beside them.
  void prepare(S& space, Index n, Index m, Index extra) {
    n_ = n;
    m_ = m;
    const auto order = static_cast<std::size_t>(m);
    arena_.begin(space, Arena<S>::padded(n) * (m + 1 + extra) +
                            Arena<S>::padded(Arena<S>::slot_elements(2 * (m + 1))));
    V = arena_.block(n, m + 1);
    scratch = arena_.block(n, extra);
    slots_ = arena_.slots(2 * (m + 1));
    h_.resize(2 * (order + 1));
    for (auto* matrix : {&projected_, &form_, &turn_, &selected_}) matrix->resize(order * order);
    vectors_.resize(order * order);
    values_.resize(order);
  }
  std::size_t bytes() const { return arena_.bytes(); }

  /// Column 0 of V holds a unit vector if `given`; otherwise it becomes a random one.
  void begin(S& space, RandomKey seed, bool given) {
    state_ = {};
    state_.seed = seed;
    std::fill(projected_.begin(), projected_.end(), W{});
    std::fill(h_.begin(), h_.end(), W{});
    size = 0;
    if (!given) fresh_direction(space, 0);
  }

  bool full() const { return size == m_; }
  /// The largest ‖A v‖ or |θ| seen: a lower bound of ‖A‖.
  double norm() const { return state_.norm; }
  Index restarts() const { return state_.restarts; }
  Index locked() const { return state_.locked; }

  /// One Arnoldi step; `apply(x, y)` is y = A x. False if that was not finite. Cost: a product and
  /// (3j + 6) n of traffic with j columns.
  template <class Apply>
  bool grow(S& space, const Apply& apply) {
    const Index j = size;
    apply(VectorView<const T>(V.column(j)), V.column(j + 1));
    const auto step = arnoldi_step(space, BlockView<const T>(V.columns(0, j + 1)), V.column(j + 1),
                                   slots_, std::span(h_));
    if (!std::isfinite(step.length)) return false;
    const auto H = small(projected_, m_);
    for (Index i = 0; i <= j; ++i) H(i, j) = h_[static_cast<std::size_t>(i)];
    state_.norm = std::max(state_.norm, step.length);
    size = j + 1;
    beta_ = step.beta;
    if (beta_ <= 4.0 * kEps * state_.norm || size == n_) {
      // The Krylov space is invariant: go on from a new direction, so that eigenvalues that the
      // start could not see, multiple ones above all, are found too.
      beta_ = 0.0;
      if (size < n_) fresh_direction(space, size);
    }
    if (size < m_) H(size, j) = beta_;
    return true;
  }

  /// The Schur form of H in ascending order of the keys; false if the QR iteration failed.
  template <class Key>
  bool reduce(const Key& key) {
    const auto T_ = small(form_, size);
    const auto H = small(projected_, size);
    for (Index j = 0; j < size; ++j) {
      for (Index i = 0; i < size; ++i) T_(i, j) = H(i, j);
    }
    // In double precision the errors of the small problem would add up over the restarts.
    if (!dense::schur(T_, small(turn_, size), key, std::same_as<RealOf<T>, double>)) return false;
    dense::schur_values(BlockView<const W>(T_), std::span(values_));
    dense::schur_vectors(BlockView<const W>(T_), small(vectors_, size));
    for (Index i = 0; i < size; ++i) state_.norm = std::max(state_.norm, std::abs(value(i)));
    return true;
  }

  /// θ_i
  Complex value(Index i) const { return values_[static_cast<std::size_t>(i)]; }
  /// Whether θ_i is the first member of a pair.
  bool pair_at(Index i) const {
    return kReal && i >= 0 && i + 1 < size &&
           form_[static_cast<std::size_t>(i + 1 + i * m_)] != W{};
  }
  /// ‖A x − θ x‖ of the unit eigenvector x of θ_i, as the decomposition has it.
  double residual(Index i) const {
    Complex sum{};
    for (Index l = 0; l < size; ++l)
      sum += coupling(l) * vectors_[static_cast<std::size_t>(l + i * m_)];
    return std::abs(sum);
  }
  /// The condition numbers of all θ in the projected problem.
  std::vector<double> conditions() {
    std::vector<double> result(static_cast<std::size_t>(size));
    dense::schur_conditions(BlockView<const W>(small(form_, size)), std::span(result));
    return result;
  }

  /// Cuts after `keep` columns, or one more or less if that parts a pair. Traffic: (m + keep) n.
  void truncate(S& space, Index keep) {
    if (pair_at(keep - 1)) keep += keep + 1 < m_ ? 1 : -1;
    space.combine(V.columns(0, size), {turn_.data(), size, keep, m_});
    space.copy(V.column(size), V.column(keep));
    std::fill(projected_.begin(), projected_.end(), W{});
    const auto H = small(projected_, m_);
    const auto T_ = small(form_, size);
    for (Index j = 0; j < keep; ++j) {
      for (Index i = 0; i < keep; ++i) H(i, j) = T_(i, j);
      H(keep, j) = coupling(j);
    }
    // Deflation: what couples a leading vector with the rest only by rounding is rounding.
    const auto negligible = [&](Index j) { return std::abs(H(keep, j)) <= kEps * state_.norm; };
    Index& locked = state_.locked;
    for (locked = 0; locked < keep;) {
      const Index width = pair_at(locked) ? 2 : 1;
      if (!negligible(locked) || !negligible(locked + width - 1)) break;
      for (Index i = 0; i < width; ++i) H(keep, locked++) = W{};
    }
    size = state_.kept = keep;
    ++state_.restarts;
  }

  /// Cuts after the first `columns` Schur vectors, which have converged, drops what couples them
  /// with the rest, and goes on from a random direction.
  void seal(S& space, Index columns) {
    truncate(space, columns);
    const auto H = small(projected_, m_);
    for (Index j = 0; j < size; ++j) H(size, j) = W{};
    state_.locked = size;
    fresh_direction(space, size);
  }

  /// The first `columns` columns of V become eigenvectors; those of a pair the real and the
  /// imaginary part of the first member's. The decomposition ends.
  void eigenvectors(S& space, Index columns) {
    const auto turn = small(turn_, size);
    for (Index j = 0; j < columns; ++j) {
      const bool imaginary = kReal && value(j).imag() < 0.0;
      const Index from = imaginary ? j - 1 : j;
      for (Index i = 0; i < size; ++i) {
        W sum{};
        for (Index l = 0; l < size; ++l) {
          const Complex y = vectors_[static_cast<std::size_t>(l + from * m_)];
          if constexpr (kReal) {
            sum += turn(i, l) * (imaginary ? y.imag() : y.real());
          } else {
            sum += turn(i, l) * y;
          }
        }
        selected_[static_cast<std::size_t>(i + j * m_)] = sum;
      }
    }
    space.combine(V.columns(0, size), {selected_.data(), size, columns, m_});
  }

  /// Between `truncate` and `grow`, all there is to save.
  std::array<Checkpoint::Part, 3> parts(const S& space) {
    return {Checkpoint::value(state_), Checkpoint::Part(projected_),
            Checkpoint::columns(space, V.columns(0, m_ + 1))};
  }
  void resume() { size = state_.kept; }

  BlockView<T> V, scratch;
  Index size = 0;  ///< columns of V

 private:
  struct State {
    Index kept = 0, restarts = 0, locked = 0;
    double norm = 0.0;
    RandomKey seed;
  };

  template <class N>
  BlockView<N> small(std::vector<N>& data, Index order) {
    return {data.data(), order, order, m_};
  }
  /// The element of β eᵀQ in column j.
  W coupling(Index j) const { return beta_ * turn_[static_cast<std::size_t>(size - 1 + j * m_)]; }

  /// A random unit vector orthogonal to the first columns, after them.
  void fresh_direction(S& space, Index columns) {
    const auto count = static_cast<std::size_t>(columns);
    random_orthonormal(space, {state_.seed.seed, state_.seed.stream++}, V.columns(0, columns),
                       V.column(columns), slots_.first(count), slots_.subspan(count, count));
  }

  Arena<S> arena_;
  typename S::Slots slots_;
  std::vector<W> h_, projected_, form_, turn_, selected_;  // H; T and Q of H Q = Q T
  std::vector<Complex> vectors_, values_;                  // of T
  Index n_ = 0, m_ = 0;
  double beta_ = 0.0;
  State state_;
};

}  // namespace ritz
