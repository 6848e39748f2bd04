// The Jacobian of a model at a point, as its two directional derivatives.
#pragma once

#include <utility>

#include "ritz/op/concepts.hpp"

namespace ritz {

/// J of shape (m, n): apply is `jvp(v, out)`, apply_adjoint is `vjp(u, out)`.
template <Field T, class Jvp, class Vjp>
class Jacobian {
 public:
  Jacobian(Index m, Index n, Jvp jvp, Vjp vjp)
      : m_(m), n_(n), jvp_(std::move(jvp)), vjp_(std::move(vjp)) {}
  Index rows() const { return m_; }
  Index cols() const { return n_; }
  void apply(VectorView<const T> v, VectorView<T> out) const { jvp_(v, out); }
  void apply_adjoint(VectorView<const T> u, VectorView<T> out) const { vjp_(u, out); }

 private:
  Index m_, n_;
  Jvp jvp_;
  Vjp vjp_;
};

template <Field T, class Jvp, class Vjp>
Jacobian<T, Jvp, Vjp> make_jacobian(Index m, Index n, Jvp jvp, Vjp vjp) {
  return {m, n, std::move(jvp), std::move(vjp)};
}

/// A square or rectangular operator from a callable `f(x, y)` that fills y.
template <Field T, class F>
class FunctionOperator {
 public:
  FunctionOperator(Index m, Index n, F f) : m_(m), n_(n), f_(std::move(f)) {}
  Index rows() const { return m_; }
  Index cols() const { return n_; }
  void apply(VectorView<const T> x, VectorView<T> y) const { f_(x, y); }

 private:
  Index m_, n_;
  F f_;
};

template <Field T, class F>
FunctionOperator<T, F> make_operator(Index m, Index n, F f) {
  return {m, n, std::move(f)};
}

}  // namespace ritz
