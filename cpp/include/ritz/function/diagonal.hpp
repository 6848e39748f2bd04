// The diagonal of an operator from its products, with the standard error of each element: by random
// signs alone, or by a method that takes a part of low rank out of the variance.
// Bekas, Kokiopoulou, Saad: An estimator for the diagonal of a matrix. Appl. Numer. Math. 57, 2007.
// The other methods: xdiag.hpp.
#pragma once

#include "ritz/function/xdiag.hpp"

namespace ritz {

template <Space S>
struct DiagonalWorkspace {
  using T = typename S::Value;

  /// The memory for sign and unit vectors; the other methods add theirs when they begin.
  void prepare(S& space, Index n, Index block = 1) {
    arena.begin(space, 2 * Arena<S>::padded(n) * block);
    z = arena.block(n, block);
    y = arena.block(n, block);
  }
  std::size_t bytes() const { return arena.bytes() + xdiag.bytes() + xnysdiag.bytes(); }

  Arena<S> arena;
  BlockView<T> z, y;
  XDiagWorkspace<S> xdiag;
  XNysDiagWorkspace<S> xnysdiag;
};

template <Space S, class A>
class DiagonalRun : ElementwiseRun<S, A> {
 public:
  using Base = ElementwiseRun<S, A>;
  using T = typename S::Value;

  DiagonalRun(S& space, const A& op, VectorView<T> value, VectorView<T> variance,
              DiagonalWorkspace<S>& workspace, const ElementwiseOptions& options,
              const Monitor& monitor)
      : Base(space, op, value, variance, options, monitor), ws_(workspace), n_(op.rows()) {}

  ElementwiseOutcome run() {
    ElementwiseMethod method = opt_.method;
    if (method == ElementwiseMethod::automatic) {
      method = opt_.positive                             ? ElementwiseMethod::nystrom
               : opt_.symmetric || has_adjoint(this->A_) ? ElementwiseMethod::leave_one_out
                                                         : ElementwiseMethod::hutchinson;
    }
    // With a tolerance the estimate may be much cheaper than the exact values, so it goes first.
    const bool tried_first = opt_.rtol > 0.0 && n_ > kSmall;
    if (method == ElementwiseMethod::exact || (opt_.samples >= n_ && !tried_first)) return exact();
    const auto signs = [&] { return hutchinson(); };
    const auto all = [&] { return exact(); };
    this->out_.method = method;
    if (method == ElementwiseMethod::nystrom) {
      XNysDiag<S> growing(this->s_, n_, opt_.seed, ws_.xnysdiag);
      return this->grow(growing, 3 * n_ / 4, n_, signs, all);
    }
    if (method == ElementwiseMethod::leave_one_out) {
      if (!opt_.symmetric) require_adjoint(this->A_);
      XDiag<S> growing(this->s_, n_, opt_.seed, ws_.xdiag);
      return this->grow(growing, (n_ - 1) / 2, n_, signs, all);
    }
    return hutchinson();
  }

 private:
  using Base::opt_;
  static constexpr Index kSmall = 32;

  /// Mean of z ∘ Az over random sign vectors z.
  ElementwiseOutcome hutchinson() {
    S& s = this->s_;
    ws_.prepare(s, n_, std::min(opt_.block, opt_.samples));
    return this->average(ws_.z, ws_.y,
                         [&](VectorView<T> y, VectorView<T> z) { s.multiply(z, y, y); });
  }

  ElementwiseOutcome exact() {
    S& s = this->s_;
    ws_.prepare(s, n_, std::clamp<Index>(opt_.block, 1, std::max<Index>(n_, 1)));
    return this->all(
        ws_.z, ws_.y, n_, [&](BlockView<T> X, BlockView<T> Y) { this->apply(X, Y); },
        [&](Index i, VectorView<T> y) { s.copy(y.middle(i, 1), this->value_.middle(i, 1)); });
  }

  DiagonalWorkspace<S>& ws_;
  Index n_;
};

/// diag(A) into `value`, and the squares of the standard errors of its elements into `variance`.
/// Random signs give the mean of z ∘ Az, with variance Σ_{j≠i} |a_ij|² a sample. `automatic` begins
/// with XDiag where there is an adjoint (XNysDiag if A is positive) and goes over to signs once
/// those promise to need fewer products.
template <Space S, LinearOperator<typename S::Value> A>
ElementwiseOutcome diagonal(S& space, const A& op, VectorView<typename S::Value> value,
                            VectorView<typename S::Value> variance, DiagonalWorkspace<S>& ws,
                            const ElementwiseOptions& opt = {}, const Monitor& monitor = {}) {
  if (op.rows() != op.cols()) throw InvalidArgument("A must be square: diagonal needs n by n");
  check_size("value", value.size, op.rows());
  check_size("variance", variance.size, op.rows());
  return DiagonalRun<S, A>(space, op, value, variance, ws, opt, monitor).run();
}

}  // namespace ritz
