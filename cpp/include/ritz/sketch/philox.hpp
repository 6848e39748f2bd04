// Philox4x32-10: a random number is a function of (seed, stream, index), so any element of any
// vector can be made again without the others, on any number of threads.
//
// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>

#include "ritz/core/types.hpp"

namespace ritz::philox {

using Block = std::array<std::uint32_t, 4>;

/// Ten rounds of Philox on the counter `c` under the 64-bit key (k0, k1).
constexpr Block block(Block c, std::uint32_t k0, std::uint32_t k1) {
  // The multipliers and Weyl increments are the paper's.
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// The 128 random bits of element `i` of `stream` under `seed`.
constexpr Block bits(std::uint64_t seed, std::uint64_t stream, Index i) {
  const auto n = static_cast<std::uint64_t>(i);
  return block({static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n >> 32),
                static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
               static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
}

/// ±1 for element i: bit i mod 128 of counter i div 128, so that 128 signs cost one block.
constexpr double sign(std::uint64_t seed, std::uint64_t stream, Index i) {
  const Block b = bits(seed, stream, i / 128);
  const auto k = static_cast<std::uint32_t>(i % 128);
  return ((b[k / 32] >> (k % 32)) & 1u) != 0u ? -1.0 : 1.0;
}

/// ⌊a b / 2⁶⁴⌋
constexpr std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t kLow = 0xFFFFFFFFu;
  const std::uint64_t middle = (a >> 32) * (b & kLow) + ((a & kLow) * (b & kLow) >> 32);
  const std::uint64_t upper = (a & kLow) * (b >> 32) + (middle & kLow);
  return (a >> 32) * (b >> 32) + (middle >> 32) + (upper >> 32);
}

/// ⌊word n / 2³²⌋, an index below n for a random word. The chance of an index is off by less than
/// n / 2³² of itself: for n ≤ 2¹⁶.
constexpr Index index(std::uint32_t word, Index n) {
  return static_cast<Index>(std::uint64_t{word} * static_cast<std::uint64_t>(n) >> 32);
}
/// ⌊word n / 2⁶⁴⌋, for any n ≥ 1: off by less than n / 2⁶⁴.
constexpr Index index(std::uint64_t word, Index n) {
  return static_cast<Index>(multiply_high(word, static_cast<std::uint64_t>(n)));
}
/// The index below n of element i.
constexpr Index index(std::uint64_t seed, std::uint64_t stream, Index i, Index n) {
  const Block b = bits(seed, stream, i);
  return n <= Index{1} << 16 ? index(b[0], n) : index(std::uint64_t{b[1]} << 32 | b[0], n);
}

/// Two independent uniforms in (−1, 1) for element i, with 52 random bits each: the midpoints of
/// 2^52 equal cells, so that neither end nor zero is hit.
constexpr std::pair<double, double> uniform2(std::uint64_t seed, std::uint64_t stream, Index i) {
  const Block b = bits(seed, stream, i);
  const auto draw = [](std::uint32_t low, std::uint32_t high) {
    const std::uint64_t word = ((std::uint64_t{high} << 32) | low) >> 12;
    return (2.0 * static_cast<double>(word) + 1.0) * 0x1p-52 - 1.0;
  };
  return {draw(b[0], b[1]), draw(b[2], b[3])};
}

/// Two independent standard normals for pair i, by Box and Muller from uniforms of 53 bits:
/// |z| ≤ 8.7, and both have all the digits of a double.
inline std::pair<double, double> normal2(std::uint64_t seed, std::uint64_t stream, Index i) {
  const Block b = bits(seed, stream, i);
  const auto draw = [](std::uint32_t low, std::uint32_t high) {
    const std::uint64_t word = ((std::uint64_t{high} << 32) | low) >> 11;
    return (static_cast<double>(word) + 0.5) * 0x1p-53;
  };
  const double radius = std::sqrt(-2.0 * std::log(draw(b[0], b[1])));
  const double angle = 2.0 * std::numbers::pi * draw(b[2], b[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Elements [first, first + n) of a vector of standard normals: E |x|² = 1, real and imaginary part
/// independent when complex. Elements 2i and 2i + 1 share a pair when real.
template <Field T>
void normals(std::uint64_t seed, std::uint64_t stream, Index first, Index n, T* x) {
  if constexpr (ComplexField<T>) {
    for (Index i = 0; i < n; ++i) {
      const auto [u, v] = normal2(seed, stream, first + i);
      x[i] = static_cast<T>(std::numbers::sqrt2 / 2.0 * std::complex<double>(u, v));
    }
  } else {
    for (Index i = 0; i < n;) {
      const auto [u, v] = normal2(seed, stream, (first + i) / 2);
      if ((first + i) % 2 == 0) x[i++] = static_cast<T>(u);
      if (i < n && (first + i) % 2 == 1) x[i++] = static_cast<T>(v);
    }
  }
}

}  // namespace ritz::philox
