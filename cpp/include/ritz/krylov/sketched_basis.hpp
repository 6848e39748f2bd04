// The sketch of a Krylov basis: S V = Q R, column by column, and what it says of the basis.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "ritz/dense/small_matrix.hpp"
#include "ritz/krylov/arnoldi.hpp"
#include "ritz/sketch/vector_sketch.hpp"

namespace ritz {

/// Of a space whose vectors host code cannot read, and which has no sketch of its own.
struct NoSketch {
  void prepare(Index, Index) {}
  void draw(std::uint64_t) {}
  void apply(auto, auto) const {}
  std::size_t bytes() const { return 0; }
};

/// How a space's vectors are sketched; a space on a device may specialise it. Where vectors are
/// distributed, each rank sketches its own part into rows of its own, and the sum over ranks is
/// left to the space's reductions.
template <Space S>
struct SketchFor {
  using Type = std::conditional_t<S::kReadsAreFree, VectorSketch<typename S::Value>, NoSketch>;
};

/// For a basis of up to m + 1 unit vectors v_0 … v_m. The sketched vectors are vectors of the space
/// as well, of d = 4 (m + 1) elements: with 2 (m + 1), residuals would be 1.4 instead of 1.15 times
/// the least possible.
template <Space S>
class SketchedBasis {
 public:
  using T = typename S::Value;
  using Wide = WideOf<T>;
  using Sketch = typename SketchFor<S>::Type;
  static constexpr bool kExists = !std::same_as<Sketch, NoSketch>;

  void prepare(S& space, Index n, Index m) {
    rows_ = std::max<Index>(4 * (m + 1), kFewest);
    sketch_.prepare(rows_, n);
    arena_.begin(space, (m + 1) * Arena<S>::padded(rows_));
    Q_ = arena_.block(rows_, m + 1);
    R_.resize(m + 1, m + 1);
    H_.resize(m + 1, m);
    column_.resize(static_cast<std::size_t>(m + 1));
  }
  std::size_t bytes() const { return arena_.bytes() + sketch_.bytes(); }

  /// Draws a sketch and begins with v₀; returns ‖S v₀‖.
  double begin(S& space, std::uint64_t seed, VectorView<const T> v) {
    sketch_.draw(seed);
    std::fill(R_.data.begin(), R_.data.end(), Wide{});
    size2_ = 0.0;
    const VectorView<T> q = Q_.column(0);
    sketch_.apply(v, q);
    const double length = std::sqrt(space.read(space.norm2(q)));
    if (length > 0.0) space.scale(1.0 / length, q);
    R_(0, 0) = length;
    size2_ = length * length;
    cols_ = 1;
    return length;
  }

  /// With A v_{j−1} = Σ h_i v_{first + i} + β v, v being the j-th vector: takes v in, and turns h
  /// into R [h; β], with the last element and its length as the step returned.
  ArnoldiStep extend(S& space, VectorView<const T> v, Index first, const ArnoldiStep& step,
                     typename S::Slots slots, std::span<Wide> h) {
    const Index j = cols_;
    const auto near = static_cast<std::size_t>(j - first);
    std::fill(column_.begin(), column_.end(), Wide{});
    std::fill_n(&H_(0, j - 1), H_.rows, Wide{});
    std::copy_n(h.begin(), near, &H_(first, j - 1));
    H_(j, j - 1) = step.beta;
    for (std::size_t i = 0; i < near; ++i) add(h[i], first + static_cast<Index>(i));

    const VectorView<T> q = Q_.column(j);
    double pivot = 0.0;
    if (step.beta > 0.0) {
      sketch_.apply(v, q);
      const ArnoldiStep s = arnoldi_step<S>(space, Q_.columns(0, j), q, slots, h);
      std::copy_n(h.begin(), j, &R_(0, j));
      R_(j, j) = pivot = s.beta;
      size2_ += s.length * s.length;
      add(step.beta, j);
    }
    if (!(pivot > 0.0)) space.fill(0.0, q);
    ++cols_;
    double length2 = 0.0;
    for (Index i = 0; i <= j; ++i) length2 += std::norm(column_[static_cast<std::size_t>(i)]);
    std::copy_n(column_.begin(), j + 1, h.begin());
    return {std::sqrt(length2), step.beta * pivot};
  }

  /// t = β e₁ − H̄ y, of one element more than y.
  void remainder(double beta, std::span<const Wide> y, std::span<Wide> t) const {
    std::fill(t.begin(), t.end(), Wide{});
    t[0] = beta;
    for (std::size_t j = 0; j < y.size(); ++j) {
      for (std::size_t i = 0; i < j + 2; ++i) {
        t[i] -= H_(static_cast<Index>(i), static_cast<Index>(j)) * y[j];
      }
    }
  }

  /// Whether the rounding of V y is as large as S V y, or that of A V y as the residual.
  bool spoiled(const HessenbergLeastSquares<Wide>& small, double eps) {
    const double y = small.size();
    if (eps * small.longest() * y > 0.5 * small.residual()) return true;
    const Index j = small.cols();
    small.solve(column_);
    double size2 = 0.0;  // ‖R y‖²
    for (Index i = 0; i < j; ++i) {
      Wide sum{};
      for (Index k = i; k < j; ++k) sum += R_(i, k) * column_[static_cast<std::size_t>(k)];
      size2 += std::norm(sum);
    }
    return eps * std::sqrt(size2_) * y > std::sqrt(size2);
  }

  /// An estimate of cond(S V), from below: ‖R‖ and some steps of inverse iteration with RᴴR.
  double condition() {
    const Index n = cols_;
    for (Index i = 0; i < n; ++i) {
      if (!(std::abs(R_(i, i)) > 0.0)) return INFINITY;
    }
    auto z = std::span(column_).first(static_cast<std::size_t>(n));
    std::fill(z.begin(), z.end(), Wide{1.0});
    double growth = 0.0;
    for (int step = 0; step < 3; ++step) {
      normalize(z);
      for (Index i = 0; i < n; ++i) {  // z = R⁻ᴴ z
        Wide sum = z[static_cast<std::size_t>(i)];
        for (Index k = 0; k < i; ++k) sum -= conjugate(R_(k, i)) * z[static_cast<std::size_t>(k)];
        z[static_cast<std::size_t>(i)] = sum / conjugate(R_(i, i));
      }
      normalize(z);
      for (Index i = n; i-- > 0;) {  // z = R⁻¹ z
        const Wide value = z[static_cast<std::size_t>(i)] /= R_(i, i);
        for (Index k = 0; k < i; ++k) z[static_cast<std::size_t>(k)] -= R_(k, i) * value;
      }
      growth = normalize(z);
    }
    return std::sqrt(size2_) * growth;
  }

  /// What the least sketched residual over j vectors is to be multiplied by to bound the true one:
  /// d/(d − j) on average, and five times the spread of the length of d − j normal numbers more, of
  /// which the sketched solution's excess takes a part.
  double inflation(Index j) const {
    const auto d = static_cast<double>(rows_), left = d - static_cast<double>(j);
    return d / left * (1.0 + 5.0 / std::sqrt(2.0 * left));
  }

 private:
  static constexpr Index kFewest = 64;

  void add(Wide a, Index k) {
    for (Index i = 0; i <= k; ++i) column_[static_cast<std::size_t>(i)] += a * R_(i, k);
  }
  static double normalize(std::span<Wide> z) {
    double size2 = 0.0;
    for (const Wide& a : z) size2 += std::norm(a);
    const double size = std::sqrt(size2);
    for (Wide& a : z) a /= size;
    return size;
  }

  Sketch sketch_;
  Arena<S> arena_;
  Index rows_ = 0, cols_ = 0;
  BlockView<T> Q_;
  SmallMatrix<Wide> R_, H_;
  std::vector<Wide> column_;
  double size2_ = 0.0;  // ‖R‖² of Frobenius
};

}  // namespace ritz
