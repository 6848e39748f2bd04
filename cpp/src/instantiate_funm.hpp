#pragma once

#include "ritz/compiled/funm.hpp"

namespace ritz::compiled {

template <Space S>
FunmOutcome Functions<S>::lanczos(const Problem& p, Names functions, FunmWorkspace<S>& ws) {
  return funm(p.space, p.A, p.b, p.Y, functions, ws, p.options, p.monitor, p.accounts);
}
template <Space S>
FunmOutcome Functions<S>::lanczos(const Problem& p, const OnLine& f, FunmWorkspace<S>& ws) {
  return funm(p.space, p.A, p.b, p.Y, f, SpectralFacts{}, ws, p.options, p.monitor, p.accounts);
}

template <Space S>
FunmOutcome Functions<S>::arnoldi(const Problem& p, Names functions, FunmArnoldiWorkspace<S>& ws) {
  return funm_arnoldi(p.space, p.A, p.b, p.Y, functions, ws, p.options, p.monitor, p.accounts);
}
template <Space S>
FunmOutcome Functions<S>::arnoldi(const Problem& p, const ComplexFunctions& f,
                                  FunmArnoldiWorkspace<S>& ws) {
  return funm_arnoldi(p.space, p.A, p.b, p.Y, f, ws, p.options, p.monitor, p.accounts);
}
template <Space S>
FunmOutcome Functions<S>::arnoldi(const Problem& p, const SmallFunctions& f,
                                  const SmallFacts& facts, FunmArnoldiWorkspace<S>& ws) {
  return funm_arnoldi(p.space, p.A, p.b, p.Y, f, facts, ws, p.options, p.monitor, p.accounts);
}

template <Space S>
FunmOutcome Functions<S>::chebyshev(const Problem& p, Names functions, RandomKey seed,
                                    FunmChebyshevWorkspace<S>& ws) {
  return funm_chebyshev(p.space, p.A, p.b, p.Y, functions, ws, p.options, seed, p.monitor,
                        p.accounts);
}
template <Space S>
FunmOutcome Functions<S>::chebyshev(const Problem& p, const OnLine& f, RandomKey seed,
                                    FunmChebyshevWorkspace<S>& ws) {
  return funm_chebyshev(p.space, p.A, p.b, p.Y, f, SpectralFacts{}, ws, p.options, seed, p.monitor,
                        p.accounts);
}

template <Space S>
FunmOutcome Functions<S>::rational(const Problem& p, const PartialFractions& r,
                                   FunmRationalWorkspace<S>& ws) {
  check_size("accounts", static_cast<Index>(p.accounts.size()), 1);
  return funm_rational(p.space, p.A, p.b, p.Y.column(0), r, ws, p.options, p.monitor,
                       p.accounts[0]);
}

}  // namespace ritz::compiled
