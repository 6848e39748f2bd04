// Uniformly random permutations with random signs, and sets of places, as functions of a seed.
//
// Fisher, Yates: Statistical tables. 1938; Durstenfeld: Algorithm 235. Commun. ACM 7, 1964.
// Floyd, in Bentley: Programming pearls: a sample of brilliance. Commun. ACM 30, 1987.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/sketch/philox.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

namespace detail {

/// A number below n ≤ 2³² from a word of 64 bits: the upper half of their product, whose bias is
/// below n / 2⁶⁴.
constexpr std::uint64_t below(std::uint64_t n, std::uint64_t word) {
  return ((word >> 32) * n + (((word & 0xFFFFFFFFu) * n) >> 32)) >> 32;
}

/// Word i of a random stream.
class RandomWords {
 public:
  explicit RandomWords(RandomKey key) : key_(key) {}
  std::uint64_t operator()(Index i) {
    if (i / 2 != at_) {
      at_ = i / 2;
      bits_ = philox::bits(key_.seed, key_.stream, at_);
    }
    const std::size_t half = i % 2 == 0 ? 0 : 2;
    return (std::uint64_t{bits_[half + 1]} << 32) | bits_[half];
  }

 private:
  RandomKey key_;
  Index at_ = -1;
  philox::Block bits_{};
};

}  // namespace detail

/// (D Π x)ᵢ = ±x at `source(i)`, with all permutations of N places and all signs equally likely.
/// 8 N bytes.
class SignedPermutation {
 public:
  /// Both are packed in words of 32 bits, which limits N.
  static constexpr Index kMost = Index{1} << 31;

  SignedPermutation(Index N, RandomKey permutation, RandomKey signs)
      : from_(static_cast<std::size_t>(N)), to_(static_cast<std::size_t>(N)) {
    for (std::size_t i = 0; i < from_.size(); ++i) from_[i] = static_cast<std::uint32_t>(i);
    detail::RandomWords word(permutation);
    for (Index i = N - 1; i > 0; --i) {
      const std::uint64_t j = detail::below(static_cast<std::uint64_t>(i) + 1, word(i));
      std::swap(from_[static_cast<std::size_t>(i)], from_[j]);
    }
    philox::Block bits{};
    for (Index i = 0; i < N; ++i) {
      if (i % 128 == 0) bits = philox::bits(signs.seed, signs.stream, i / 128);
      const auto k = static_cast<std::uint32_t>(i % 128);
      const std::uint32_t sign = bits[k / 32] >> (k % 32) & 1u;
      const std::uint32_t j = from_[static_cast<std::size_t>(i)];
      from_[static_cast<std::size_t>(i)] = 2 * j + sign;
      to_[j] = 2 * static_cast<std::uint32_t>(i) + sign;
    }
  }

  /// A place and whether the sign is negative.
  struct Place {
    Index index;
    bool negative;
  };
  /// Where element i of D Π x comes from.
  Place source(Index i) const { return place(from_[static_cast<std::size_t>(i)]); }
  /// Where element j of x goes to.
  Place target(Index j) const { return place(to_[static_cast<std::size_t>(j)]); }

 private:
  static Place place(std::uint32_t word) {
    return {static_cast<Index>(word >> 1), (word & 1u) != 0};
  }
  std::vector<std::uint32_t> from_, to_;
};

/// d of N places in rising order, all sets of d equally likely.
inline std::vector<Index> random_places(Index d, Index N, RandomKey key) {
  std::vector<bool> taken(static_cast<std::size_t>(N));
  detail::RandomWords word(key);
  for (Index i = N - d; i < N; ++i) {
    const std::size_t j = detail::below(static_cast<std::uint64_t>(i) + 1, word(i - (N - d)));
    taken[taken[j] ? static_cast<std::size_t>(i) : j] = true;
  }
  std::vector<Index> places;
  places.reserve(static_cast<std::size_t>(d));
  for (Index i = 0; i < N; ++i) {
    if (taken[static_cast<std::size_t>(i)]) places.push_back(i);
  }
  return places;
}

/// Throws InvalidArgument where a vector of m numbers, padded, is more than words of 32 bits count.
inline void check_transform_length(Index m) {
  if (m > SignedPermutation::kMost) {
    throw InvalidArgument("m is " + std::to_string(m) +
                          "; sketches by Hadamard transforms take at most 2^31 coordinates");
  }
}

}  // namespace ritz
