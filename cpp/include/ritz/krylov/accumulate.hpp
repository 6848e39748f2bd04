// A solution kept in double precision under a solver in single: what its vectors cannot hold is in
// X, and every true residual is taken there. Van der Vorst, Ye: Residual replacement strategies for
// Krylov subspace iterative methods for the convergence of true residuals. SIAM J. Sci. Comput. 22,
// 2000.
#pragma once

#include <cmath>

#include "ritz/op/concepts.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// Moves updates into X; `b` and `A` are the problem in double precision. Memory: one vector beside
/// X. A call costs one product with A.
template <Space S, Space W, LinearOperator<typename W::Value> Op>
class Accumulator {
  using T = typename S::Value;
  using Wide = typename W::Value;

 public:
  Accumulator(S space, W wide, const Op& A, VectorView<const Wide> b, VectorView<Wide> X)
      : space_(space),
        wide_(wide),
        A_(&A),
        b_(b),
        X_(X),
        buffer_(wide_.allocate(static_cast<std::size_t>(std::max(b.size, X.size)) * sizeof(Wide))) {
  }

  /// X += x, x = 0.
  void flush(VectorView<T> x) {
    const VectorView<Wide> t = work(x.size);
    space_.cast(VectorView<const T>(x), t);
    wide_.axpby(1.0, t, 1.0, X_);
    space_.fill(0.0, x);
  }
  /// X += x, x = 0, r = b − A X; returns ‖r‖.
  double operator()(VectorView<T> x, VectorView<T> r) {
    flush(x);
    const VectorView<Wide> t = work(r.size);
    A_->apply(X_, t);
    const double norm = std::sqrt(wide_.read(wide_.axpby_norm2(1.0, b_, -1.0, t)));
    wide_.cast(VectorView<const Wide>(t), r);
    return norm;
  }

 private:
  VectorView<Wide> work(Index n) const { return {static_cast<Wide*>(buffer_.get()), n}; }

  S space_;
  W wide_;
  const Op* A_;
  VectorView<const Wide> b_;
  VectorView<Wide> X_;
  typename W::Buffer buffer_;
};

}  // namespace ritz
