// The preconditioner P_τ(A) = Σ_i (−1)^i σ_{τ−i} A^i of a Hermitian positive definite A, with σ_k
// the elementary symmetric polynomials of its eigenvalues. Its eigenvalue beside λ_j is σ_τ of all
// the others, so that a few large eigenvalues, far from the rest, are evened out whatever their
// size: cond(A P_τ(A)) → λ_{τ+1}/λ_n as the gaps grow. Doikov, Rodomanov: Polynomial
// preconditioning for gradient methods. ICML 2023.
//
// τ products with A. Traffic: 3 vectors for each. Memory: 1 vector.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/op/algebra.hpp"

namespace ritz {

/// Beyond this degree the differences of Newton's identities lose all digits of σ.
inline constexpr Index kMostSymmetricDegree = 4;

/// c_0 … c_τ of P_τ(A) / σ_τ = Σ c_i A^i from tr(A), …, tr(A^τ), by Newton's identities
/// k σ_k = Σ_i (−1)^{i−1} σ_{k−i} tr(A^i), for A over its Schatten norm, whose σ are at most 1.
/// Throws InvalidArgument for more than kMostSymmetricDegree traces, or if σ_τ is not positive.
inline std::vector<double> symmetric_coefficients(const std::vector<double>& traces) {
  const auto degree = traces.size();
  if (degree > static_cast<std::size_t>(kMostSymmetricDegree)) {
    throw InvalidArgument("the degree is " + std::to_string(degree) + "; at most " +
                          std::to_string(kMostSymmetricDegree) +
                          ": rounding of the traces takes all digits of a higher one");
  }
  for (std::size_t i = 0; i < degree; ++i) {
    if (!(traces[i] > 0.0) || !std::isfinite(traces[i])) {
      throw InvalidArgument("the trace of power " + std::to_string(i + 1) + " is " +
                            std::to_string(traces[i]) + ": A is not positive definite");
    }
  }
  const double scale =
      degree > 0 ? std::pow(traces.back(), 1.0 / static_cast<double>(degree)) : 1.0;
  std::vector<double> sigma(degree + 1, 0.0);
  sigma[0] = 1.0;
  for (std::size_t k = 1; k <= degree; ++k) {
    for (std::size_t i = 1; i <= k; ++i) {
      const double p = traces[i - 1] / std::pow(scale, static_cast<double>(i));
      sigma[k] += (i % 2 == 1 ? 1.0 : -1.0) * sigma[k - i] * p / static_cast<double>(k);
    }
  }
  if (!(sigma[degree] > 0.0)) {
    throw InvalidArgument("the traces are not those of a positive definite A of rank " +
                          std::to_string(degree) + " or more; lower the degree");
  }
  std::vector<double> c(degree + 1);
  for (std::size_t i = 0; i <= degree; ++i) {
    c[i] = (i % 2 == 0 ? 1.0 : -1.0) * sigma[degree - i] / sigma[degree] /
           std::pow(scale, static_cast<double>(i));
  }
  return c;
}

/// y = Σ c_i A^i x, by Horner's rule; A is held by value.
template <Space S, class A>
class PowerPolynomial : public ColumnsFromBlocks<PowerPolynomial<S, A>, typename S::Value> {
  using T = typename S::Value;

 public:
  /// Throws InvalidArgument unless A is square and there is a coefficient.
  PowerPolynomial(S space, A a, std::vector<double> c)
      : scratch_(std::move(space)), a_(std::move(a)), c_(std::move(c)) {
    if (a_.rows() != a_.cols()) throw InvalidArgument("a polynomial needs a square operator");
    if (c_.empty()) throw InvalidArgument("a polynomial needs a coefficient");
  }
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }

  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    S& space = scratch_.space();
    const auto lease = scratch_.take(X.rows, X.cols);
    const std::size_t degree = c_.size() - 1;
    for (Index j = 0; j < X.cols; ++j) space.axpby(c_[degree], X.column(j), 0.0, Y.column(j));
    for (std::size_t i = degree; i-- > 0;) {
      for (Index j = 0; j < X.cols; ++j) space.copy(Y.column(j), (*lease).column(j));
      apply_columns(a_, BlockView<const T>(*lease), Y);
      for (Index j = 0; j < X.cols; ++j) space.axpby(c_[i], X.column(j), 1.0, Y.column(j));
    }
  }
  /// A is Hermitian.
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const { apply_block(X, Y); }

 private:
  Scratch<S> scratch_;
  A a_;
  std::vector<double> c_;
};

/// P_τ(A) / σ_τ from tr(A), …, tr(A^τ).
template <Space S, class A>
PowerPolynomial<S, A> symmetric_polynomial(S space, A a, const std::vector<double>& traces) {
  return {std::move(space), std::move(a), symmetric_coefficients(traces)};
}

}  // namespace ritz
