// The Gauss-Newton matrix of loss ∘ model: G = Jᴴ H J + λ I, H the Hessian of the loss with
// respect to the model's output. Schraudolph: Fast curvature matrix-vector products for
// second-order gradient descent. Neural Computation 14, 2002.
#pragma once

#include <utility>

#include "ritz/core/error.hpp"
#include "ritz/op/concepts.hpp"
#include "ritz/op/scratch.hpp"

namespace ritz {

/// Stands for H = I: the loss is half the sum of squares.
struct HalfSquaredLoss {};

/// One JVP, one loss product and one VJP a product; two vectors of output length.
template <Space S, class J, class H = HalfSquaredLoss>
class GaussNewton {
  using T = typename S::Value;

 public:
  GaussNewton(S space, J jacobian, H loss_hessian = {}, double damping = 0.0)
      : scratch_(std::move(space)),
        jacobian_(std::move(jacobian)),
        loss_hessian_(std::move(loss_hessian)),
        damping_(damping) {
    if (!ritz::has_adjoint(jacobian_)) {
      throw InvalidArgument("the Jacobian has no adjoint product: supply its VJP");
    }
  }
  Index rows() const { return jacobian_.cols(); }
  Index cols() const { return jacobian_.cols(); }

  void apply(VectorView<const T> v, VectorView<T> y) const {
    constexpr bool kSquared = std::same_as<H, HalfSquaredLoss>;
    const auto lease = scratch_.take(jacobian_.rows(), kSquared ? 1 : 2);
    VectorView<T> u = (*lease).column(0);
    jacobian_.apply(v, u);
    if constexpr (!kSquared) {
      VectorView<T> hu = (*lease).column(1);
      loss_hessian_.apply(VectorView<const T>(u), hu);
      u = hu;
    }
    jacobian_.apply_adjoint(VectorView<const T>(u), y);
    if (damping_ != 0.0) scratch_.space().axpby(damping_, v, 1.0, y);
  }
  void apply_adjoint(VectorView<const T> v, VectorView<T> y) const { apply(v, y); }

 private:
  Scratch<S> scratch_;
  J jacobian_;
  H loss_hessian_;
  double damping_;
};

}  // namespace ritz
