// Random rows with random signs, as sparse sketches draw them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ritz/sketch/philox.hpp"
#include "ritz/space/kernel_table.hpp"

namespace ritz {

/// Element k of the stream: row · 2 + sign, the row uniform in start + [0, height), the sign a bit
/// of its own.
///
/// Up to height 2¹⁶ the row takes 31 bits of one word, above 63 bits of two: the chance of a row is
/// off by less than 2⁻¹⁵ of itself, or height/2⁶³. Words are dealt out to groups of 32 counters:
/// the first word of each, then the second words, as registers hold them.
constexpr Index random_row(RandomKey key, Index k, Index height, Index start) {
  using kernels::kRowCounters;
  const auto h = static_cast<std::uint64_t>(height);
  const bool narrow = height <= kernels::kNarrowHeight;
  const Index in_group = kRowCounters * (narrow ? 4 : 2);
  const auto w = static_cast<std::size_t>(k % in_group / kRowCounters);
  const philox::Block b =
      philox::bits(key.seed, key.stream, k / in_group * kRowCounters + k % kRowCounters);
  const std::uint64_t low = narrow ? b[w] : b[2 * w];
  const std::uint64_t even = low & ~std::uint64_t{1};
  const std::uint64_t row =
      narrow ? (low >> 1) * h >> 31
             : philox::multiply_high(std::uint64_t{b[2 * w + 1]} << 32 | even, h);
  return (start + static_cast<Index>(row)) << 1 | static_cast<Index>(low & 1);
}

/// Elements first … first + n − 1 of the stream, by a compiled kernel where groups are whole.
template <Field T>
void random_rows(const kernels::KernelTable<T>& kernels, RandomKey key, Index first, Index n,
                 Index height, Index start, Index* out) {
  const Index in_group = kernels::kRowCounters * (height <= kernels::kNarrowHeight ? 4 : 2);
  const Index last = first + n;
  const Index whole = (first + in_group - 1) / in_group, groups = last / in_group - whole;
  Index k = first;
  for (; k < std::min(groups > 0 ? whole * in_group : last, last); ++k) {
    *out++ = random_row(key, k, height, start);
  }
  if (groups > 0) {
    kernels.random_row_groups(key, whole, groups, height, start, out);
    out += groups * in_group;
    k += groups * in_group;
  }
  for (; k < last; ++k) *out++ = random_row(key, k, height, start);
}

}  // namespace ritz
