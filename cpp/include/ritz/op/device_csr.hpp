// Compressed sparse matrices in device memory, as operators whose products never visit the host.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "ritz/op/sparse.hpp"
#include "ritz/space/cuda.hpp"

namespace ritz {

/// Copies the arrays to the device once. The adjoint product takes a transpose of its own, built on
/// the host when it is first asked for, so that both products read by rows: deterministic, and
/// twice the memory. One thread at a time, as the space.
template <Field T>
class DeviceCsr {
 public:
  template <std::signed_integral I>
  DeviceCsr(const CudaSpace<T>& space, const CompressedRows<T, I>& a)
      : queue_(space.queue().shared_from_this()), rows_(a.rows), cols_(a.cols) {
    a.check();
    const std::vector<Index> starts(a.indptr, a.indptr + a.rows + 1);
    const std::vector<Index> indices(a.indices, a.indices + a.entries());
    const std::vector<T> values(a.values, a.values + a.entries());
    matrix_ = {uploaded(starts), uploaded(indices), uploaded(values), a.entries()};
  }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  Index entries() const { return matrix_.entries; }

  void apply(VectorView<const T> x, VectorView<T> y) const {
    apply_block(as_block(x), as_block(y));
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    apply_adjoint_block(as_block(x), as_block(y));
  }
  /// One reading of the matrix serves several columns.
  void apply_block(BlockView<const T> X, BlockView<T> Y) const { multiply(matrix_, rows_, X, Y); }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    if (!adjoint_) adjoint_ = transposed();
    multiply(*adjoint_, cols_, X, Y);
  }

 private:
  struct Arrays {
    std::shared_ptr<void> starts, indices, values;
    Index entries = 0;
  };

  void multiply(const Arrays& a, Index rows, BlockView<const T> X, BlockView<T> Y) const {
    if (rows == 0 || X.cols == 0) return;
    device::Call call{};
    call.kernel = device::Kernel::csr;
    call.element = device::element_of<T>;
    call.n = rows;
    call.cols = X.cols;
    call.ld = X.ld;
    call.ld2 = Y.ld;
    void* const vectors[] = {a.starts.get(), a.indices.get(), a.values.get(),
                             const_cast<T*>(X.data), Y.data};
    std::copy(std::begin(vectors), std::end(vectors), call.v);
    queue_->call(call);
  }

  template <class V>
  std::shared_ptr<void> uploaded(const std::vector<V>& from) const {
    std::shared_ptr<void> to = queue_->allocate(from.size() * sizeof(V));
    queue_->upload(to.get(), from.data(), from.size() * sizeof(V));
    return to;
  }
  template <class V>
  std::vector<V> downloaded(const std::shared_ptr<void>& from, Index count) const {
    std::vector<V> to(static_cast<std::size_t>(count));
    queue_->download(from.get(), to.data(), to.size() * sizeof(V));
    return to;
  }

  /// Aᴴ, the entries of a row in the order of A's rows.
  Arrays transposed() const {
    const auto starts = downloaded<Index>(matrix_.starts, rows_ + 1);
    const auto indices = downloaded<Index>(matrix_.indices, matrix_.entries);
    const auto values = downloaded<T>(matrix_.values, matrix_.entries);
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    std::vector<Index> first(at(cols_) + 1, 0), column(indices.size());
    for (const Index j : indices) ++first[at(j) + 1];
    for (std::size_t j = 0; j < at(cols_); ++j) first[j + 1] += first[j];
    std::vector<T> entry(values.size());
    std::vector<Index> next = first;
    for (Index i = 0; i < rows_; ++i) {
      for (Index k = starts[at(i)]; k < starts[at(i) + 1]; ++k) {
        const auto to = at(next[at(indices[at(k)])]++);
        column[to] = i;
        if constexpr (ComplexField<T>) {
          entry[to] = std::conj(values[at(k)]);
        } else {
          entry[to] = values[at(k)];
        }
      }
    }
    return {uploaded(first), uploaded(column), uploaded(entry), matrix_.entries};
  }

  std::shared_ptr<device::DeviceQueue> queue_;
  Index rows_, cols_;
  Arrays matrix_;
  mutable std::optional<Arrays> adjoint_;
};

}  // namespace ritz
