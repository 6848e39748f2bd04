// Flexible GMRES(m): A x = b for general A with a preconditioner that may change from product to
// product, such as a few iterations of another method.
//
// Saad: A flexible inner-outer preconditioned GMRES algorithm. SIAM J. Sci. Comput. 14, 1993.
#pragma once

#include "ritz/krylov/gmres.hpp"

namespace ritz {

using FgmresOptions = GmresOptions;

/// Memory movement as GMRES, without its product with M at the end of a cycle. What M made of the
/// basis is kept: m more vectors.
using Fgmres = GmresMethod<true>;

/// Solves A x = b; M need not be the same operator in two products.
template <Space S, LinearOperator<typename S::Value> Op, class P = NoPreconditioner>
Outcome fgmres(S& space, const Op& A, VectorView<const typename S::Value> b,
               VectorView<typename S::Value> x, Fgmres::Workspace<S>& ws,
               const FgmresOptions& opt = {}, const Monitor& monitor = {}, const P& M = {}) {
  return Stepper<Fgmres, S, Op, P>(space, A, b, x, ws, opt, monitor, M).finish();
}

}  // namespace ritz
