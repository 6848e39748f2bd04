// From a call to the kernels that do it.
#pragma once

#include <vector>

#include "ritz/device/backend.hpp"

namespace ritz::device {

/// What a kernel is given: the call, and what of it this kernel does.
struct Arguments {
  Call call;
  /// Sums of the blocks, and how many blocks are done: kernels of a queue use them one by one.
  double* partials;
  unsigned* ticket;
  Index first, count;   ///< columns that are projected on
  std::int32_t packed;  ///< every vector starts at a multiple of 16 bytes
};

struct Launch {
  const void* kernel;
  unsigned blocks, shared;
  Arguments arguments;
};

inline constexpr unsigned kThreads = 256;
/// Columns whose sums fit into the shared memory of a block.
inline constexpr Index kSweepColumns = 256;
inline constexpr unsigned kMostBlocks = 1024;
/// Doubles for the sums of all blocks.
inline constexpr std::size_t kPartials = std::size_t{kMostBlocks} * 2 * kSweepColumns;

struct Resources {
  unsigned processors;
  double* partials;
  unsigned* ticket;
};

/// Appends the launches for `call`, whose element type is E; false if there is no such kernel.
template <class E>
bool plan(const Call& call, const Resources& resources, std::vector<Launch>& to);

}  // namespace ritz::device
