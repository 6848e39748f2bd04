// What the eigenvectors of a low-rank approximation A ≈ U Λ Uᴴ make, for many shifts of one sketch:
// U Λ Uᴴ itself, and the preconditioner
//
//     P⁻¹ = (λ_r + μ) U (Λ + μ)⁻¹ Uᴴ + (I − U Uᴴ) = I + U D Uᴴ,   d_i = (λ_r + μ)/(λ_i + μ) − 1,
//
// of A + μI, with cond(P^{−1/2}(A + μI)P^{−1/2}) ≤ (λ_r + μ + ‖A − U Λ Uᴴ‖)/μ for 0 ⪯ U Λ Uᴴ ⪯ A.
// Frangella, Tropp, Udell: Randomized Nyström preconditioning. SIAM J. Matrix Anal. Appl. 44, 2023.
//
// A product: two sweeps over U, 2 r n of traffic. Memory: none beside U.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/op/algebra.hpp"

namespace ritz {

/// s I + U diag(d) Uᴴ for orthonormal columns U, which are not copied and must outlive it.
template <Space S>
class EigenfactorOperator : public ColumnsFromBlocks<EigenfactorOperator<S>, typename S::Value> {
  using T = typename S::Value;
  using W = WideOf<T>;

 public:
  /// Throws InvalidArgument unless d has an element for each column.
  EigenfactorOperator(S space, BlockView<const T> U, std::vector<double> d, double s)
      : scratch_(std::move(space)), U_(U), d_(std::move(d)), s_(s) {
    check_size("d", static_cast<Index>(d_.size()), U.cols);
  }
  Index rows() const { return U_.rows; }
  Index cols() const { return U_.rows; }

  void apply_block(BlockView<const T> X, BlockView<T> Y) const {
    S& space = scratch_.space();
    for (Index j = 0; j < X.cols; ++j) space.axpby(s_, X.column(j), 0.0, Y.column(j));
    if (d_.empty()) return;
    auto lease = scratch_.take(Arena<S>::slot_elements(U_.cols * X.cols), 1);
    const std::size_t count = d_.size() * static_cast<std::size_t>(X.cols);
    const typename S::Slots h(reinterpret_cast<W*>((*lease).data), count);
    if (X.cols == 1) {
      space.project(U_, X.column(0), h);
    } else {
      space.project_block(U_, X, h);
    }
    const std::span<W> minus = lease.numbers(count);
    space.read(h, minus);
    for (std::size_t i = 0; i < count; ++i) minus[i] *= -d_[i % d_.size()];
    space.subtract_block(U_, minus, Y);
  }
  void apply_adjoint_block(BlockView<const T> X, BlockView<T> Y) const { apply_block(X, Y); }

 private:
  Scratch<S> scratch_;
  BlockView<const T> U_;
  std::vector<double> d_;
  double s_;
};

/// P⁻¹ for the eigenvalues `lambda`, descending. Throws InvalidArgument unless μ ≥ 0 and λ_r + μ is
/// positive: with μ = 0 leave out the columns of zero eigenvalues.
template <Space S>
EigenfactorOperator<S> nystrom_preconditioner(S space, BlockView<const typename S::Value> U,
                                              std::vector<double> lambda, double mu) {
  check_size("lambda", static_cast<Index>(lambda.size()), U.cols);
  if (!(mu >= 0.0)) throw InvalidArgument("mu is " + std::to_string(mu) + "; pass at least 0");
  const double least = lambda.empty() ? 1.0 : lambda.back() + mu;
  if (!(least > 0.0)) throw InvalidArgument("an eigenvalue plus mu is not positive");
  for (double& x : lambda) x = least / (x + mu) - 1.0;
  return {std::move(space), U, std::move(lambda), 1.0};
}

}  // namespace ritz
