// One slab of a space's memory from which a workspace takes its vectors.
#pragma once

#include <cstddef>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// Grows only: a second `begin` of the same or a smaller size allocates nothing. Vectors start at
/// 64-byte boundaries, so that every array framework can take them without a copy.
template <Space S>
class Arena {
 public:
  using T = typename S::Value;
  static constexpr Index kAlignment = 64 / static_cast<Index>(sizeof(T));

  /// Elements that a vector of n occupies.
  static constexpr Index padded(Index n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

  /// Makes room for `elements` (already padded) and forgets what was taken before.
  void begin(S& space, Index elements) {
    if (elements > capacity_) {
      buffer_ = {};
      capacity_ = 0;  // there may be no room
      buffer_ = space.allocate(static_cast<std::size_t>(elements) * sizeof(T));
      capacity_ = elements;
    }
    taken_ = 0;
  }

  VectorView<T> vector(Index n) { return {take(padded(n)), n}; }
  BlockView<T> block(Index rows, Index cols) {
    return {take(padded(rows) * cols), rows, cols, padded(rows)};
  }

  /// Reduced scalars in the space's memory: `padded(slot_elements(count))` elements.
  typename S::Slots slots(Index count) {
    return typename S::Slots(reinterpret_cast<WideOf<T>*>(take(padded(slot_elements(count)))),
                             static_cast<std::size_t>(count));
  }
  static constexpr Index slot_elements(Index count) {
    return count * static_cast<Index>(sizeof(WideOf<T>) / sizeof(T));
  }

  std::size_t bytes() const { return static_cast<std::size_t>(capacity_) * sizeof(T); }

 private:
  T* take(Index elements) {
    T* start = static_cast<T*>(buffer_.get()) + taken_;
    taken_ += elements;
    return start;
  }

  typename S::Buffer buffer_{};
  Index capacity_ = 0;
  Index taken_ = 0;
};

}  // namespace ritz
