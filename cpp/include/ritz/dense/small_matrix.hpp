// A small dense matrix on the host that owns its memory.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz {

/// m × n, by columns without gaps, zero at first.
template <class W>
struct SmallMatrix {
  std::vector<W> data;
  Index rows = 0, cols = 0;

  SmallMatrix() = default;
  SmallMatrix(Index m, Index n) { resize(m, n); }

  void resize(Index m, Index n) {
    rows = m;
    cols = n;
    data.assign(static_cast<std::size_t>(m * n), W{});
  }
  BlockView<W> view() { return {data.data(), rows, cols, std::max<Index>(rows, 1)}; }
  BlockView<const W> view() const { return {data.data(), rows, cols, std::max<Index>(rows, 1)}; }
  W& operator()(Index i, Index j) { return data[static_cast<std::size_t>(i + j * rows)]; }
  const W& operator()(Index i, Index j) const {
    return data[static_cast<std::size_t>(i + j * rows)];
  }
  std::span<W> column(Index j) { return {data.data() + j * rows, static_cast<std::size_t>(rows)}; }
};

}  // namespace ritz
