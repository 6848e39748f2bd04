// A C callback as an operator.
#pragma once

#include <stdexcept>

#include "ritz/core/error.hpp"
#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"
#include "ritz/ritz.h"

namespace ritz {

/// A C callback returned nonzero.
class CallbackFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <Field T>
constexpr std::int32_t dtype_code() {
  if constexpr (std::same_as<T, float>) return RITZ_FLOAT32;
  if constexpr (std::same_as<T, double>) return RITZ_FLOAT64;
  if constexpr (std::same_as<T, std::complex<float>>) return RITZ_COMPLEX64;
  return RITZ_COMPLEX128;
}

/// Holds a copy of the description; what `ctx` points to must outlive it.
template <Field T>
class COperator {
 public:
  explicit COperator(const ritz_operator& a) : a_(a) {
    if (a.apply == nullptr) throw InvalidArgument("the operator's apply is null");
    if (a.dtype != dtype_code<T>()) throw InvalidArgument("the operator's dtype differs");
    if (a.rows < 0 || a.cols < 0) throw InvalidArgument("the operator's shape is negative");
  }
  Index rows() const { return a_.rows; }
  Index cols() const { return a_.cols; }
  bool has_adjoint() const { return a_.apply_adjoint != nullptr; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    call(a_.apply, x.data, x.size, y.data, y.size, 1);
  }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    call(a_.apply_adjoint, x.data, x.size, y.data, y.size, 1);
  }
  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    call(a_.apply, X.data, X.ld, Y.data, Y.ld, X.cols);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const {
    call(a_.apply_adjoint, X.data, X.ld, Y.data, Y.ld, X.cols);
  }

 private:
  void call(ritz_apply_fn f, const T* x, Index ldx, T* y, Index ldy, Index columns) const {
    if (const int code = f(a_.ctx, x, ldx, y, ldy, columns, nullptr); code != 0) {
      throw CallbackFailed("the operator's callback returned " + std::to_string(code));
    }
  }

  ritz_operator a_;
};

}  // namespace ritz
