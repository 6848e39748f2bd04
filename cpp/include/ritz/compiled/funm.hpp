// Functions of operators times vectors, on memory of the host or of a device, with type-erased
// operators.
#pragma once

#include "ritz/function/funm.hpp"
#include "ritz/function/funm_arnoldi.hpp"
#include "ritz/function/funm_chebyshev.hpp"
#include "ritz/function/funm_rational.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// For HostSpace and CudaSpace.
template <Space S>
struct RITZ_API Functions {
  using T = typename S::Value;

  /// What every method takes: column k of Y becomes f_k(tA) b.
  struct Problem {
    S& space;
    const OperatorRef<T>& A;
    VectorView<const T> b;
    BlockView<T> Y;
    const FunmOptions& options;
    const Monitor& monitor;
    std::span<FunmAccount> accounts;
  };
  using Names = std::span<const NamedFunction>;
  using OnLine = SpectralFunctions<WideOf<T>>;

  static FunmOutcome lanczos(const Problem& p, Names functions, FunmWorkspace<S>& ws);
  static FunmOutcome lanczos(const Problem& p, const OnLine& f, FunmWorkspace<S>& ws);
  static FunmOutcome arnoldi(const Problem& p, Names functions, FunmArnoldiWorkspace<S>& ws);
  static FunmOutcome arnoldi(const Problem& p, const ComplexFunctions& f,
                             FunmArnoldiWorkspace<S>& ws);
  static FunmOutcome arnoldi(const Problem& p, const SmallFunctions& f, const SmallFacts& facts,
                             FunmArnoldiWorkspace<S>& ws);
  static FunmOutcome chebyshev(const Problem& p, Names functions, RandomKey seed,
                               FunmChebyshevWorkspace<S>& ws);
  static FunmOutcome chebyshev(const Problem& p, const OnLine& f, RandomKey seed,
                               FunmChebyshevWorkspace<S>& ws);
  static FunmOutcome rational(const Problem& p, const PartialFractions& r,
                              FunmRationalWorkspace<S>& ws);
};

}  // namespace ritz::compiled
