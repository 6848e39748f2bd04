// Rows drawn at random with given weights, each draw a function of (seed, stream, its number).
//
// Walker: An efficient method for generating discrete random variables with general distributions.
// ACM Trans. Math. Softw. 3, 1977 (the alias table); Vose: A linear algorithm for generating random
// numbers with a given distribution. IEEE Trans. Softw. Eng. 17, 1991.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "ritz/sketch/philox.hpp"

namespace ritz {

/// What the random numbers of row-access methods are for.
enum class RowStream : std::uint64_t { rows, columns, sketches };

/// Draws an index with a probability proportional to its weight, at the cost of one counter.
class RowDraws {
 public:
  RowDraws() = default;

  /// Weights are at least 0 and finite; those of 0 are never drawn. O(m) work and memory.
  RowDraws(std::span<const double> weights, std::uint64_t seed, RowStream stream)
      : seed_(seed), stream_(std::uint64_t{0x26} << 56 | static_cast<std::uint64_t>(stream) << 48) {
    double total = 0.0, positive = 0.0;
    for (const double w : weights) {
      total += w;
      positive += w > 0.0 ? 1.0 : 0.0;
    }
    // Cells of equal probability: the lower part of a cell is its own, the rest of another that
    // has too much for one cell.
    std::vector<std::size_t> small, large;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!(weights[i] > 0.0)) continue;
      const double share = weights[i] / total * positive;
      (share < 1.0 ? small : large).push_back(cells_.size());
      cells_.push_back({share, static_cast<Index>(i), static_cast<Index>(i)});
    }
    while (!small.empty() && !large.empty()) {
      Cell& low = cells_[small.back()];
      Cell& high = cells_[large.back()];
      small.pop_back();
      low.other = high.own;
      high.share -= 1.0 - low.share;
      if (high.share < 1.0) {
        small.push_back(large.back());
        large.pop_back();
      }
    }
    // What is left differs from 1 by rounding.
    for (const std::size_t k : small) cells_[k].share = 1.0;
    for (const std::size_t k : large) cells_[k].share = 1.0;
  }

  /// Indices that can be drawn.
  Index size() const { return static_cast<Index>(cells_.size()); }

  Index draw(Index number) const {
    const philox::Block b = philox::bits(seed_, stream_, number);
    const Cell& cell =
        cells_[static_cast<std::size_t>(philox::index(std::uint64_t{b[1]} << 32 | b[0], size()))];
    const std::uint64_t word = (std::uint64_t{b[3]} << 32 | b[2]) >> 11;
    return (static_cast<double>(word) + 0.5) * 0x1p-53 < cell.share ? cell.own : cell.other;
  }

  /// Up to `count` different indices of step `step`, drawn one after another; fewer if the weight
  /// of the rest is so small that 4 count draws do not find them.
  void draw(Index step, Index count, std::vector<Index>& out) const {
    out.clear();
    if (size() == 0) return;
    if (count == 1) {
      out.push_back(draw(step));
      return;
    }
    const Index wanted = std::min(count, size());
    for (Index k = 0; k < 4 * count && static_cast<Index>(out.size()) < wanted; ++k) {
      const Index i = draw(step * 4 * count + k);
      if (std::find(out.begin(), out.end(), i) == out.end()) out.push_back(i);
    }
  }

  /// The probabilities with which `draw` gives 0 … m − 1.
  std::vector<double> probabilities(Index m) const {
    std::vector<double> p(static_cast<std::size_t>(m));
    for (const Cell& cell : cells_) {
      p[static_cast<std::size_t>(cell.own)] += cell.share / static_cast<double>(size());
      p[static_cast<std::size_t>(cell.other)] += (1.0 - cell.share) / static_cast<double>(size());
    }
    return p;
  }

 private:
  struct Cell {
    double share;
    Index own, other;
  };
  std::uint64_t seed_ = 0, stream_ = 0;
  std::vector<Cell> cells_;
};

}  // namespace ritz
