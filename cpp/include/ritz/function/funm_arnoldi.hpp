// f(A) b for an operator that need not be Hermitian, for functions by name, of eigenvalues, or of a
// small matrix: the process of funm_arnoldi_run.hpp.
#pragma once

#include <cmath>
#include <complex>
#include <span>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/dense/functions.hpp"
#include "ritz/function/funm_arnoldi_run.hpp"

namespace ritz {

/// Column k of Y becomes f_k(tA) b, `accounts[k]` its error, always an estimate, and its norm.
///
/// One product a step. Memory: min(n, max_basis) + 1 vectors. Traffic of step j: (3j + 6) n. A
/// check costs O(m³) for each function and is made every quarter of the steps.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm_arnoldi(S& space, const Op& A, VectorView<const typename S::Value> b,
                         BlockView<typename S::Value> Y, const SmallFunctions& f,
                         const SmallFacts& facts, FunmArnoldiWorkspace<S>& ws,
                         const FunmOptions& opt, const Monitor& monitor,
                         std::span<FunmAccount> accounts) {
  if (A.rows() != A.cols()) throw InvalidArgument("A must be square: only then has it functions");
  check_size("b", b.size, A.rows());
  check_size("Y", Y.rows, A.rows());
  check_size("accounts", static_cast<Index>(accounts.size()), Y.cols);
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);
  if (!std::isfinite(opt.t)) throw InvalidArgument("t must be finite");
  return detail::ArnoldiFunm<S, Op>(space, A, Y, f, facts, ws, opt, monitor, accounts).run(b);
}

/// The same for functions by name.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm_arnoldi(S& space, const Op& A, VectorView<const typename S::Value> b,
                         BlockView<typename S::Value> Y, std::span<const NamedFunction> functions,
                         FunmArnoldiWorkspace<S>& ws, const FunmOptions& opt,
                         const Monitor& monitor, std::span<FunmAccount> accounts) {
  using Complex = std::complex<double>;
  check_size("functions", static_cast<Index>(functions.size()), Y.cols);
  const auto values = [&](BlockView<const Complex> H, BlockView<Complex> to) {
    for (Index k = 0; k < to.cols; ++k) {
      const std::span<Complex> y(&to(0, k), static_cast<std::size_t>(to.rows));
      if (!dense::function_column(functions[static_cast<std::size_t>(k)], H, y)) {
        return std::numeric_limits<double>::quiet_NaN();
      }
    }
    return std::numeric_limits<double>::epsilon();
  };
  SmallFacts facts;
  facts.steps = functions.size() == 1 && functions[0].kind == Function::exp;
  for (const NamedFunction& g : functions) {
    facts.jump = facts.jump || g.kind == Function::sign;
    facts.grows = facts.grows || g.kind == Function::exp || g.kind == Function::phi;
  }
  return funm_arnoldi(space, A, b, Y, SmallFunctions(values), facts, ws, opt, monitor, accounts);
}

/// Column i of Y becomes fᵢ at the points x.
using ComplexFunctions =
    function_ref<void(std::span<const std::complex<double>> x, BlockView<std::complex<double>> Y)>;

/// The same for any functions of eigenvalues, through the eigenvectors of H: their condition number
/// times a rounding is part of the error, so that a nearly defective H ends as `precision_limit`.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm_arnoldi(S& space, const Op& A, VectorView<const typename S::Value> b,
                         BlockView<typename S::Value> Y, const ComplexFunctions& f,
                         FunmArnoldiWorkspace<S>& ws, const FunmOptions& opt,
                         const Monitor& monitor, std::span<FunmAccount> accounts) {
  using Complex = std::complex<double>;
  std::vector<Complex> theta, X, left, values;
  const auto small = [&](BlockView<const Complex> H, BlockView<Complex> to) {
    const Index m = H.rows;
    const auto size = static_cast<std::size_t>(m);
    theta.resize(size);
    left.resize(size);
    X.resize(size * size);
    values.resize(size * static_cast<std::size_t>(to.cols));
    const BlockView<Complex> vectors{X.data(), m, m, m};
    const double condition = dense::eigen(H, theta, vectors, left);
    if (!std::isfinite(condition)) return std::numeric_limits<double>::quiet_NaN();
    f(theta, {values.data(), m, to.cols, m});
    for (Index k = 0; k < to.cols; ++k) {
      for (Index i = 0; i < m; ++i) to(i, k) = 0.0;
      for (Index j = 0; j < m; ++j) {
        const Complex c = values[static_cast<std::size_t>(j + k * m)];
        if (!std::isfinite(std::abs(c))) return std::numeric_limits<double>::quiet_NaN();
        for (Index i = 0; i < m; ++i)
          to(i, k) += vectors(i, j) * c * left[static_cast<std::size_t>(j)];
      }
    }
    return condition * std::numeric_limits<double>::epsilon();
  };
  SmallFacts facts;
  facts.outside = false;
  return funm_arnoldi(space, A, b, Y, SmallFunctions(small), facts, ws, opt, monitor, accounts);
}

}  // namespace ritz
