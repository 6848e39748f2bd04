// Non-owning views of vectors and of column blocks. They carry an address, never a device.
#pragma once

#include <span>
#include <type_traits>

#include "ritz/core/types.hpp"

namespace ritz {

/// `size` contiguous elements starting at `data`.
template <class T>
struct VectorView {
  T* data = nullptr;
  Index size = 0;

  constexpr VectorView() = default;
  constexpr VectorView(T* first, Index count) : data(first), size(count) {}
  constexpr VectorView(std::span<T> s) : data(s.data()), size(static_cast<Index>(s.size())) {}
  constexpr operator VectorView<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, size};
  }

  constexpr T& operator[](Index i) const { return data[i]; }
  constexpr T* begin() const { return data; }
  constexpr T* end() const { return data + size; }
  constexpr VectorView first(Index count) const { return {data, count}; }
  constexpr VectorView middle(Index start, Index count) const { return {data + start, count}; }
};

/// `cols` columns of `rows` elements, column-major, `ld` elements from one column to the next.
template <class T>
struct BlockView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index ld = 0;

  constexpr operator BlockView<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, rows, cols, ld};
  }

  constexpr T& operator()(Index i, Index j) const { return data[i + j * ld]; }
  constexpr VectorView<T> column(Index j) const { return {data + j * ld, rows}; }
  constexpr BlockView leading(Index k) const { return {data, k, k, ld}; }
  constexpr BlockView columns(Index start, Index count) const {
    return {data + start * ld, rows, count, ld};
  }
};

/// A matrix at any strides, counted in elements: by rows, by columns, or every other of either.
template <class T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index row_stride = 1;
  Index col_stride = 0;

  constexpr MatrixView() = default;
  constexpr MatrixView(T* first, Index m, Index n, Index by_row, Index by_col)
      : data(first), rows(m), cols(n), row_stride(by_row), col_stride(by_col) {}
  constexpr MatrixView(BlockView<T> X) : MatrixView(X.data, X.rows, X.cols, 1, X.ld) {}
  constexpr operator MatrixView<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, rows, cols, row_stride, col_stride};
  }

  constexpr T& operator()(Index i, Index j) const { return data[i * row_stride + j * col_stride]; }
  constexpr MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  constexpr MatrixView part(Index i, Index j, Index m, Index n) const {
    return {data + i * row_stride + j * col_stride, m, n, row_stride, col_stride};
  }
};

}  // namespace ritz
