// Functions of operators times vectors, on host memory with type-erased operators.
#pragma once

#include "ritz/function/funm.hpp"
#include "ritz/function/funm_arnoldi.hpp"
#include "ritz/function/funm_chebyshev.hpp"
#include "ritz/function/funm_rational.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// What every method takes: column k of Y becomes f_k(tA) b.
template <Field T>
struct FunmProblem {
  HostSpace<T>& space;
  const OperatorRef<T>& A;
  VectorView<const T> b;
  BlockView<T> Y;
  const FunmOptions& options;
  const Monitor& monitor;
  std::span<FunmAccount> accounts;
};

template <Field T>
RITZ_API FunmOutcome funm(const FunmProblem<T>& p, std::span<const NamedFunction> functions,
                          FunmWorkspace<HostSpace<T>>& ws);
template <Field T>
RITZ_API FunmOutcome funm(const FunmProblem<T>& p, const SpectralFunctions<WideOf<T>>& f,
                          FunmWorkspace<HostSpace<T>>& ws);

template <Field T>
RITZ_API FunmOutcome funm_arnoldi(const FunmProblem<T>& p, std::span<const NamedFunction> functions,
                                  FunmArnoldiWorkspace<HostSpace<T>>& ws);
template <Field T>
RITZ_API FunmOutcome funm_arnoldi(const FunmProblem<T>& p, const ComplexFunctions& f,
                                  FunmArnoldiWorkspace<HostSpace<T>>& ws);
template <Field T>
RITZ_API FunmOutcome funm_arnoldi(const FunmProblem<T>& p, const SmallFunctions& f,
                                  const SmallFacts& facts, FunmArnoldiWorkspace<HostSpace<T>>& ws);

template <Field T>
RITZ_API FunmOutcome funm_chebyshev(const FunmProblem<T>& p,
                                    std::span<const NamedFunction> functions, RandomKey seed,
                                    FunmChebyshevWorkspace<HostSpace<T>>& ws);
template <Field T>
RITZ_API FunmOutcome funm_chebyshev(const FunmProblem<T>& p, const SpectralFunctions<WideOf<T>>& f,
                                    RandomKey seed, FunmChebyshevWorkspace<HostSpace<T>>& ws);

template <Field T>
RITZ_API FunmOutcome funm_rational(const FunmProblem<T>& p, const PartialFractions& r,
                                   FunmRationalWorkspace<HostSpace<T>>& ws);

}  // namespace ritz::compiled
