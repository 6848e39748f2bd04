// The subsampled randomized Hadamard transform,
//
//   S = √(N/d) R H_N/√N D Π,   N the least power of two ≥ m, vectors padded by zeros,
//
// Π a uniformly random permutation of N places, D random signs, R a uniformly random d of N rows.
//
// Without Π it fails on vectors that live on the first n places: rows of H are periodic there, and
// a sample of d = 2 n of them repeats some and misses others, so that S loses rank. Π H D is one
// round; a second one mixes further. R is drawn without replacement and independently of the rest,
// so that E RᵀR = (d/N) I and E SᴴS = I exactly.
//
// Ailon, Chazelle: The fast Johnson–Lindenstrauss transform. SIAM J. Comput. 39, 2009. Tropp:
// Improved analysis of the subsampled randomized Hadamard transform. Adv. Adapt. Data Anal. 3,
// 2011.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ritz/sketch/hadamard_panels.hpp"
#include "ritz/sketch/signed_permutation.hpp"

namespace ritz {

/// Products with k columns cost N log₂ N additions a column and round; a panel of N rows of 128
/// bytes (two from the second round on) is the scratch memory, 8 N bytes a round say what S is:
/// they are made at the first product and shared by copies.
template <Field T>
class Srht : public HadamardPanels<Srht<T>, T> {
  using Base = HadamardPanels<Srht, T>;
  using Real = RealOf<T>;

 public:
  Srht(Index d, Index m, std::uint64_t seed, Index rounds = 1) : d_(d), m_(m) {
    check_sketch_shape(d, m);
    check_transform_length(m);
    N_ = power_of_two(m);
    if (d > N_) {
      throw InvalidArgument("the sketch has " + std::to_string(d) + " rows; over " +
                            std::to_string(m) + " coordinates an SRHT has at most " +
                            std::to_string(N_));
    }
    if (rounds < 1) {
      throw InvalidArgument("rounds is " + std::to_string(rounds) + "; pass at least 1");
    }
    scale_ = 1.0 / std::sqrt(static_cast<double>(d));
    between_ = 1.0 / std::sqrt(static_cast<double>(N_));
    drawn_ = std::make_shared<Drawn>(seed, rounds);
  }

  Index rows() const { return d_; }
  Index cols() const { return m_; }
  /// N.
  Index length() const { return N_; }

  void submatrix(Index i, Index j, MatrixView<T> Y) const {
    const auto& [rows, rounds] = drawn();
    if (rounds.size() > 1) return submatrix_by_products(i, j, Y);
    for_each_range(Y.cols, Y.rows, [&](Index first, Index last) {
      for (Index k = first; k < last; ++k) {
        const auto [place, negative] = rounds[0].target(j + k);
        for (Index r = 0; r < Y.rows; ++r) {
          const Index row = rows[static_cast<std::size_t>(i + r)];
          const bool odd = std::popcount(static_cast<std::uint64_t>(row & place)) % 2 != 0;
          Y(r, k) = static_cast<Real>(odd != negative ? -scale_ : scale_);
        }
      }
    });
  }

  template <class Load, class Store>
  void forward(const Load& load, Index width, PanelMemory<T>& scratch, const Store& store) const {
    const auto& [rows, rounds] = drawn();
    T* x = panels(scratch, width);
    T* other = x + N_ * width;
    hadamard_transform(N_, width, x, [&](Index first, Index count) {
      for (Index i = first; i < first + count; ++i) {
        constexpr Index kAhead = 32;
        const Index next = rounds[0].source((i + kAhead) % N_).index;
        if (next < m_) load.ahead(next);
        const auto [j, negative] = rounds[0].source(i);
        if (j < m_) {
          load(j, Real{negative ? Real{-1} : Real{1}}, x + i * width);
        } else {
          std::fill_n(x + i * width, width, T{});
        }
      }
    });
    for (std::size_t r = 1; r < rounds.size(); ++r) {
      hadamard_transform(N_, width, other, [&](Index first, Index count) {
        for (Index i = first; i < first + count; ++i) {
          const auto [j, negative] = rounds[r].source(i);
          scaled(negative ? -between_ : between_, x + j * width, width, other + i * width);
        }
      });
      std::swap(x, other);
    }
    for_each_range(d_, width, [&](Index first, Index last) {
      for (Index i = first; i < last; ++i) {
        store(i, static_cast<Real>(scale_), x + rows[static_cast<std::size_t>(i)] * width);
      }
    });
  }

  template <class Load, class Store>
  void adjoint(const Load& load, Index width, PanelMemory<T>& scratch, const Store& store) const {
    const auto& [rows, rounds] = drawn();
    T* x = panels(scratch, width);
    T* other = x + N_ * width;
    std::fill_n(x, N_ * width, T{});
    for (Index i = 0; i < d_; ++i) {
      load(i, static_cast<Real>(scale_), x + rows[static_cast<std::size_t>(i)] * width);
    }
    hadamard_transform(N_, width, x, [](Index, Index) {});
    for (std::size_t r = rounds.size() - 1; r > 0; --r) {
      hadamard_transform(N_, width, other, [&](Index first, Index count) {
        for (Index j = first; j < first + count; ++j) {
          const auto [i, negative] = rounds[r].target(j);
          scaled(negative ? -between_ : between_, x + i * width, width, other + j * width);
        }
      });
      std::swap(x, other);
    }
    for_each_range(m_, width, [&](Index first, Index last) {
      for (Index j = first; j < last; ++j) {
        const auto [i, negative] = rounds[0].target(j);
        store(j, negative ? Real{-1} : Real{1}, x + i * width);
      }
    });
  }

 private:
  struct Choice {
    std::vector<Index> rows;
    std::vector<SignedPermutation> rounds;
  };
  struct Drawn {
    Drawn(std::uint64_t s, Index r) : seed(s), rounds(r) {}
    std::uint64_t seed;
    Index rounds;
    std::once_flag once;
    Choice choice;
  };

  const Choice& drawn() const {
    Drawn& drawn = *drawn_;
    std::call_once(drawn.once, [&] {
      const auto key = [&](std::uint64_t purpose, Index round) {
        return RandomKey{drawn.seed, (purpose << 56) | static_cast<std::uint64_t>(round)};
      };
      for (Index r = 0; r < drawn.rounds; ++r) {
        drawn.choice.rounds.emplace_back(N_, key(0x15, r), key(0x14, r));
      }
      drawn.choice.rows = random_places(d_, N_, key(0x16, 0));
    });
    return drawn.choice;
  }

  T* panels(PanelMemory<T>& scratch, Index width) const {
    const Index count = drawn_->rounds > 1 ? 2 : 1;
    return scratch.numbers(count * N_ * width);
  }
  static void scaled(double c, const T* from, Index width, T* to) {
    const Real f = static_cast<Real>(c);
    for (Index k = 0; k < width; ++k) to[k] = f * from[k];
  }

  /// Rows of S, as the adjoint makes them of unit vectors.
  void submatrix_by_products(Index i, Index j, MatrixView<T> Y) const {
    if (Y.rows == 0 || Y.cols == 0) return;
    const Index some = std::min(Base::kPanel, Y.rows);
    PanelMemory<T> scratch;
    std::vector<T> units(static_cast<std::size_t>(d_ * some));
    for (Index r = 0; r < Y.rows; r += some) {
      const Index count = std::min(some, Y.rows - r);
      std::fill(units.begin(), units.end(), T{});
      for (Index k = 0; k < count; ++k) units[static_cast<std::size_t>((i + r + k) * some + k)] = 1;
      const auto load = [&](Index at, Real f, T* row) {
        scaled(f, units.data() + at * some, some, row);
      };
      // All is real: the adjoint of a unit vector is a row of S.
      adjoint(load, some, scratch, [&](Index at, Real f, const T* row) {
        if (at < j || at >= j + Y.cols) return;
        for (Index k = 0; k < count; ++k) Y(r + k, at - j) = f * row[k];
      });
    }
  }

  Index d_, m_, N_ = 0;
  double scale_ = 0.0, between_ = 0.0;
  std::shared_ptr<Drawn> drawn_;
};

}  // namespace ritz
