// What the nonlinear methods minimise: a loss of a model's output, each by first-order closures.
#pragma once

#include <concepts>
#include <utility>

#include "ritz/core/view.hpp"
#include "ritz/op/gauss_newton.hpp"

namespace ritz {

/// z = f(x) with x of `parameters()` and z of `outputs()` elements. `evaluate` returns false where
/// f is not defined; `linearize(x)` makes x the point of `jvp` and `vjp` until the next call.
template <class F, class T>
concept Model = requires(F& f, VectorView<const T> x, VectorView<T> z) {
  { f.parameters() } -> std::convertible_to<Index>;
  { f.outputs() } -> std::convertible_to<Index>;
  { f.evaluate(x, z) } -> std::convertible_to<bool>;
  f.linearize(x);
  f.jvp(x, z);
  f.vjp(x, z);
};

/// A model that knows a better preconditioner than the diagonal: `prepare(damping)` is called once
/// a trial step, after `linearize`; then `precondition(r, z)` applies z ≈ (JᴴHJ + diag(damping))⁻¹
/// r, symmetric and positive definite.
template <class F, class T>
concept PreconditionedModel =
    Model<F, T> && requires(F& f, VectorView<const T> r, VectorView<T> z) {
      f.prepare(r);
      f.precondition(r, z);
    };

/// Whether f brings a preconditioner; a type-erased model knows only at run time.
template <class T, class F>
constexpr bool has_preconditioner(const F& f) {
  if constexpr (requires { f.has_preconditioner(); }) {
    return f.has_preconditioner();
  } else {
    return PreconditionedModel<F, T>;
  }
}

/// ℓ(z), ∇ℓ(z), and ∇²ℓ(z) u, which must be positive semidefinite.
template <class L, class T>
concept Loss = std::same_as<L, HalfSquaredLoss> ||
               requires(L& loss, VectorView<const T> z, VectorView<T> out) {
                 { loss.value(z) } -> std::convertible_to<double>;
                 loss.gradient(z, out);
                 loss.hessian_product(z, z, out);
               };

/// A model known at run time only: what the compiled methods, the C ABI and Python implement.
template <Field T>
class AbstractModel {
 public:
  virtual ~AbstractModel() = default;
  virtual Index parameters() const = 0;
  virtual Index outputs() const = 0;
  virtual bool evaluate(VectorView<const T> x, VectorView<T> z) = 0;
  virtual void linearize(VectorView<const T> x) = 0;
  virtual void jvp(VectorView<const T> v, VectorView<T> out) = 0;
  virtual void vjp(VectorView<const T> u, VectorView<T> out) = 0;
  virtual bool has_preconditioner() const { return false; }
  virtual void prepare(VectorView<const T> /*damping*/) {}
  virtual void precondition(VectorView<const T> /*r*/, VectorView<T> /*z*/) {}
};

/// Likewise a loss; passed to methods by `LossRef`.
template <Field T>
class AbstractLoss {
 public:
  virtual ~AbstractLoss() = default;
  virtual double value(VectorView<const T> z) = 0;
  virtual void gradient(VectorView<const T> z, VectorView<T> out) = 0;
  virtual void hessian_product(VectorView<const T> z, VectorView<const T> u, VectorView<T> out) = 0;
};

template <Field T>
struct LossRef {
  AbstractLoss<T>* loss = nullptr;

  double value(VectorView<const T> z) { return loss->value(z); }
  void gradient(VectorView<const T> z, VectorView<T> out) { loss->gradient(z, out); }
  void hessian_product(VectorView<const T> z, VectorView<const T> u, VectorView<T> out) {
    loss->hessian_product(z, u, out);
  }
};

/// A model from three callables: f(x, z) -> bool, jvp(x, v, out), vjp(x, u, out). `linearize`
/// keeps a view of its point, which the methods leave in place until they call it again.
template <class T, class Evaluate, class Jvp, class Vjp>
class FunctionModel {
 public:
  FunctionModel(Index outputs, Index parameters, Evaluate f, Jvp jvp, Vjp vjp)
      : outputs_(outputs),
        parameters_(parameters),
        f_(std::move(f)),
        jvp_(std::move(jvp)),
        vjp_(std::move(vjp)) {}

  Index parameters() const { return parameters_; }
  Index outputs() const { return outputs_; }
  bool evaluate(VectorView<const T> x, VectorView<T> z) { return f_(x, z); }
  void linearize(VectorView<const T> x) { x_ = x; }
  void jvp(VectorView<const T> v, VectorView<T> out) { jvp_(x_, v, out); }
  void vjp(VectorView<const T> u, VectorView<T> out) { vjp_(x_, u, out); }

 private:
  Index outputs_, parameters_;
  Evaluate f_;
  Jvp jvp_;
  Vjp vjp_;
  VectorView<const T> x_;
};

template <class T, class Evaluate, class Jvp, class Vjp>
FunctionModel<T, Evaluate, Jvp, Vjp> make_model(Index outputs, Index parameters, Evaluate f,
                                                Jvp jvp, Vjp vjp) {
  return {outputs, parameters, std::move(f), std::move(jvp), std::move(vjp)};
}

}  // namespace ritz
