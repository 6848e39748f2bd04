// Products that are recorded once and replayed: the host is asked no more.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "ritz/op/concepts.hpp"
#include "ritz/space/cuda.hpp"

namespace ritz {

/// A, for whose product y = A x the same work is to be queued every time that x and y are the same
/// memory: it is recorded when they come a second time, and replayed from then on, together with
/// the method's own kernels. `apply` of A must queue all its work on the queue's stream, depend on
/// nothing that changes on the host, and neither wait nor bring numbers from there.
template <Field T, class Op>
class Recorded {
 public:
  Recorded(CudaSpace<T> space, Op op) : space_(std::move(space)), op_(std::move(op)) {}

  Index rows() const { return op_.rows(); }
  Index cols() const { return op_.cols(); }
  bool has_adjoint() const
    requires requires(const Op& op) { op.has_adjoint(); }
  {
    return op_.has_adjoint();
  }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    run(x.data, y.data, false, [&] { op_.apply(x, y); });
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const
    requires AdjointOperator<Op, T>
  {
    run(x.data, y.data, true, [&] { op_.apply_adjoint(x, y); });
  }

 private:
  // A method works on a few vectors; those with a long basis would fill the memory with recordings.
  static constexpr std::size_t kMost = 64;

  struct Product {
    const T* x;
    T* y;
    bool adjoint;
    std::unique_ptr<device::DeviceRecording> recording;
  };

  template <class Work>
  void run(const T* x, T* y, bool adjoint, const Work& work) const {
    if (space_.queue().recording()) return work();  // part of somebody else's
    const auto known = std::find_if(known_.begin(), known_.end(), [&](const Product& p) {
      return p.x == x && p.y == y && p.adjoint == adjoint;
    });
    if (known == known_.end()) {
      if (known_.size() == kMost) known_.erase(known_.begin());  // the one unused for longest
      known_.push_back({x, y, adjoint, nullptr});
      work();
      return;
    }
    if (!known->recording) known->recording = space_.queue().record(work);
    known->recording->play();
    std::rotate(known, known + 1, known_.end());
  }

  CudaSpace<T> space_;
  Op op_;
  mutable std::vector<Product> known_;
};

}  // namespace ritz
