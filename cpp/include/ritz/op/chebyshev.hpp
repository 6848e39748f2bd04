// The polynomial p(A) ≈ A⁻¹ of a Hermitian positive definite A, of degree d, for which
// 1 − λ p(λ) is smallest on an interval [a, b] of eigenvalues:
//
//   1 − λ p(λ) = T_{d+1}((θ − λ)/δ) / T_{d+1}(θ/δ),  θ = (a + b)/2,  δ = (b − a)/2,  σ = θ/δ.
//
// Saad: Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM, 2003, algorithm 12.1 from
// x₀ = 0, with the residual taken from x instead of updated.
//
// For even d, p is positive at every λ > 0, for odd d up to a + b: beyond b the sign of T_{d+1} is
// that of (−1)^{d+1}, so that p rises for even d, and for odd d falls to zero at a + b.
//
// d products with A. Traffic: 6 vectors for each, 4 to start. Memory: 2 vectors.
#pragma once

#include <cmath>
#include <string>
#include <utility>

#include "ritz/core/error.hpp"
#include "ritz/op/algebra.hpp"

namespace ritz {

/// y = p(A) x, with p of degree `degree` for the interval [low, high]; A is held by value.
template <Space S, class A>
class Chebyshev : public ColumnsFromBlocks<Chebyshev<S, A>, typename S::Value> {
  using T = typename S::Value;

 public:
  /// Throws InvalidArgument unless A is square, degree ≥ 0 and 0 < low < high < ∞.
  Chebyshev(S space, A a, Index degree, double low, double high)
      : scratch_(std::move(space)),
        a_(std::move(a)),
        degree_(degree),
        theta_(0.5 * low + 0.5 * high),
        delta_(0.5 * high - 0.5 * low) {
    if (a_.rows() != a_.cols()) {
      throw InvalidArgument("a polynomial needs a square operator; this one has shape (" +
                            std::to_string(a_.rows()) + ", " + std::to_string(a_.cols()) + ")");
    }
    if (degree < 0) {
      throw InvalidArgument("degree is " + std::to_string(degree) + "; pass at least 0");
    }
    if (!(low > 0.0 && low < high && std::isfinite(high))) {
      throw InvalidArgument("the interval is [" + std::to_string(low) + ", " +
                            std::to_string(high) + "]; pass 0 < low < high");
    }
  }
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }

  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    S& space = scratch_.space();
    const auto lease = scratch_.take(X.rows, 2 * X.cols);
    const BlockView<T> D = (*lease).columns(0, X.cols);  // the last step of Y
    const BlockView<T> AY = (*lease).columns(X.cols, X.cols);

    const double sigma = theta_ / delta_;
    double rho = 1.0 / sigma;  // T_k(σ) / T_{k+1}(σ)
    for (Index j = 0; j < X.cols; ++j) {
      space.axpby(1.0 / theta_, X.column(j), 0.0, Y.column(j));
      space.copy(Y.column(j), D.column(j));
    }
    for (Index k = 0; k < degree_; ++k) {
      apply_columns(a_, BlockView<const T>(Y), AY);
      const double rho_next = 1.0 / (2.0 * sigma - rho);
      const double step = 2.0 * rho_next / delta_;
      for (Index j = 0; j < X.cols; ++j) {  // d = step (x − A y) + ρ₊ ρ d, y = y + d
        space.step3(step, X.column(j), rho_next * rho, D.column(j), -step, AY.column(j), 1.0,
                    Y.column(j));
      }
      rho = rho_next;
    }
  }
  /// p(A) is Hermitian as A is.
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const { apply_block(X, Y); }

 private:
  Scratch<S> scratch_;
  A a_;
  Index degree_;
  double theta_, delta_;
};

}  // namespace ritz
