// f(A) b for a Hermitian operator and one or several functions, of eigenvalues or by name: the
// process of funm_lanczos.hpp, ended by the errors of funm_error.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <span>
#include <string>
#include <type_traits>

#include "ritz/core/error.hpp"
#include "ritz/function/funm_lanczos.hpp"

namespace ritz {

/// Column k of Y becomes f_k(tA) b, `accounts[k]` its error and its norm. A is Hermitian; the
/// functions take eigenvalues of tA; `facts` tells where their domain begins (Ritz values below
/// that by a rounding are taken to lie on it) and whether they jump. Its interval is that of the
/// options.
///
/// One product a step; a step that no vector is kept for costs another one in the second pass, and
/// is not orthogonalised. Memory: min(n, max_basis) + 1 vectors, 3 more with a second pass; 16 m²
/// bytes for m steps. A check costs O(m²) for each function and is made every eighth of the steps.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm(S& space, const Op& A, VectorView<const typename S::Value> b,
                 BlockView<typename S::Value> Y,
                 const SpectralFunctions<WideOf<typename S::Value>>& f, SpectralFacts facts,
                 FunmWorkspace<S>& ws, const FunmOptions& opt, const Monitor& monitor,
                 std::span<FunmAccount> accounts) {
  if (A.rows() != A.cols()) throw InvalidArgument("A must be square: funm needs a Hermitian A");
  check_size("b", b.size, A.rows());
  check_size("Y", Y.rows, A.rows());
  check_size("accounts", static_cast<Index>(accounts.size()), Y.cols);
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);
  if (!std::isfinite(opt.t)) throw InvalidArgument("t must be finite");
  if (!(opt.low <= opt.high)) {
    throw InvalidArgument("the interval is [" + std::to_string(opt.low) + ", " +
                          std::to_string(opt.high) + "]; pass low ≤ high");
  }
  facts.low = std::min(opt.t * opt.low, opt.t * opt.high);
  facts.high = std::max(opt.t * opt.low, opt.t * opt.high);
  return detail::LanczosFunm<S, Op>(space, A, Y, f, facts, ws, opt, monitor, accounts).run(b);
}

/// The same for functions by name. Inverses and resolvents are verified: y = (tA − z)⁻¹ b has the
/// error (tA − z)⁻¹ r, at most ‖r‖ over the distance of z from the spectrum.
template <Space S, LinearOperator<typename S::Value> Op>
FunmOutcome funm(S& space, const Op& A, VectorView<const typename S::Value> b,
                 BlockView<typename S::Value> Y, std::span<const NamedFunction> functions,
                 FunmWorkspace<S>& ws, const FunmOptions& opt, const Monitor& monitor,
                 std::span<FunmAccount> accounts) {
  using Wide = WideOf<typename S::Value>;
  check_size("functions", static_cast<Index>(functions.size()), Y.cols);
  const auto values = [&](std::span<const double> x, BlockView<Wide> to) {
    evaluate<Wide>(functions, x, to);
  };
  FunmOutcome out = funm(space, A, b, Y, SpectralFunctions<Wide>(values), facts_of(functions), ws,
                         opt, monitor, accounts);
  const bool over = out.status != Status::converged && out.status != Status::precision_limit;
  if (over || !opt.verify || out.iterations == 0) return out;
  Counted A_(A);
  std::size_t verified = 0;
  for (std::size_t k = 0; k < functions.size(); ++k) {
    const NamedFunction& f = functions[k];
    if (f.kind != Function::inv && f.kind != Function::resolvent) continue;
    const auto number = [](std::complex<double> x) {
      if constexpr (std::is_same_v<Wide, double>) {
        return x.real();
      } else {
        return x;
      }
    };
    const std::complex<double> z = f.kind == Function::inv ? 0.0 : f.z;
    const auto y = Y.column(static_cast<Index>(k)), r = ws.V.column(0);
    A_.apply(y, r);
    const double residual =
        std::sqrt(space.read(space.add3_norm2(1.0, b, number(z), y, number(-f.t * opt.t), r)));
    double distance = INFINITY;
    for (const double theta : ws.eigen.values()) {
      distance = std::min(distance, std::abs(f.t * theta - z));
    }
    const double error = residual / distance;
    if (!(error <= accounts[k].error)) accounts[k].error = error;
    const double target = std::max(opt.rtol * accounts[k].norm, opt.atol);
    if (!(accounts[k].error <= target)) {
      out.status = Status::precision_limit;
      out.residual = accounts[k].error;
      out.target = target;
    }
    ++verified;
  }
  out.verified = verified == functions.size();
  out.products += A_.counts;
  return out;
}

}  // namespace ritz
