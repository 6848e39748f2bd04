// Random choices made one after another, each a function of (seed, stream, number of the draw).
#pragma once

#include <cstdint>

#include "ritz/sketch/philox.hpp"

namespace ritz::selection {

/// What a stream of draws is for; streams of different purposes or rounds have nothing in common.
enum class Purpose : std::uint64_t { probes, determinantal, independent, reverse, eigenvectors };

inline std::uint64_t stream(Purpose purpose, Index round = 0) {
  return std::uint64_t{0x25} << 56 | static_cast<std::uint64_t>(purpose) << 48 |
         static_cast<std::uint64_t>(round);
}

class Draws {
 public:
  Draws(std::uint64_t seed, Purpose purpose, Index round = 0)
      : seed_(seed), stream_(stream(purpose, round)) {}

  /// Uniform in (0, 1), with all digits of a double.
  double uniform() { return (static_cast<double>(word() >> 11) + 0.5) * 0x1p-53; }
  /// Uniform in {0, …, n − 1} but for n 2⁻⁶⁴: the upper half of a product of 128 bits.
  Index below(Index n) { return philox::index(word(), n); }

 private:
  std::uint64_t word() {
    const philox::Block b = philox::bits(seed_, stream_, next_++);
    return std::uint64_t{b[1]} << 32 | b[0];
  }

  std::uint64_t seed_, stream_;
  Index next_ = 0;
};

}  // namespace ritz::selection
