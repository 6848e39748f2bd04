// The seeds of the sketches that skeleton decompositions make.
#pragma once

#include "ritz/sketch/philox.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// What the streams of skeleton decompositions begin at.
inline constexpr std::uint64_t kSkeletonStream = std::uint64_t{0x23} << 56;

/// The seed of sketch `number`: not the caller's own, which may have made A.
constexpr std::uint64_t skeleton_seed(RandomKey key, Index number) {
  const std::uint64_t stream = kSkeletonStream + (std::uint64_t{1} << 55) + key.stream;
  const philox::Block b = philox::bits(key.seed, stream, number);
  return std::uint64_t{b[1]} << 32 | b[0];
}

}  // namespace ritz
