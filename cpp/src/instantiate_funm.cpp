#include "ritz/compiled/funm.hpp"

namespace ritz::compiled {

template <Field T>
FunmOutcome funm(const FunmProblem<T>& p, std::span<const NamedFunction> functions,
                 FunmWorkspace<HostSpace<T>>& ws) {
  return ritz::funm(p.space, p.A, p.b, p.Y, functions, ws, p.options, p.monitor, p.accounts);
}
template <Field T>
FunmOutcome funm(const FunmProblem<T>& p, const SpectralFunctions<WideOf<T>>& f,
                 FunmWorkspace<HostSpace<T>>& ws) {
  return ritz::funm(p.space, p.A, p.b, p.Y, f, SpectralFacts{}, ws, p.options, p.monitor,
                    p.accounts);
}

template <Field T>
FunmOutcome funm_arnoldi(const FunmProblem<T>& p, std::span<const NamedFunction> functions,
                         FunmArnoldiWorkspace<HostSpace<T>>& ws) {
  return ritz::funm_arnoldi(p.space, p.A, p.b, p.Y, functions, ws, p.options, p.monitor,
                            p.accounts);
}
template <Field T>
FunmOutcome funm_arnoldi(const FunmProblem<T>& p, const ComplexFunctions& f,
                         FunmArnoldiWorkspace<HostSpace<T>>& ws) {
  return ritz::funm_arnoldi(p.space, p.A, p.b, p.Y, f, ws, p.options, p.monitor, p.accounts);
}
template <Field T>
FunmOutcome funm_arnoldi(const FunmProblem<T>& p, const SmallFunctions& f, const SmallFacts& facts,
                         FunmArnoldiWorkspace<HostSpace<T>>& ws) {
  return ritz::funm_arnoldi(p.space, p.A, p.b, p.Y, f, facts, ws, p.options, p.monitor, p.accounts);
}

template <Field T>
FunmOutcome funm_chebyshev(const FunmProblem<T>& p, std::span<const NamedFunction> functions,
                           RandomKey seed, FunmChebyshevWorkspace<HostSpace<T>>& ws) {
  return ritz::funm_chebyshev(p.space, p.A, p.b, p.Y, functions, ws, p.options, seed, p.monitor,
                              p.accounts);
}
template <Field T>
FunmOutcome funm_chebyshev(const FunmProblem<T>& p, const SpectralFunctions<WideOf<T>>& f,
                           RandomKey seed, FunmChebyshevWorkspace<HostSpace<T>>& ws) {
  return ritz::funm_chebyshev(p.space, p.A, p.b, p.Y, f, SpectralFacts{}, ws, p.options, seed,
                              p.monitor, p.accounts);
}

template <Field T>
FunmOutcome funm_rational(const FunmProblem<T>& p, const PartialFractions& r,
                          FunmRationalWorkspace<HostSpace<T>>& ws) {
  check_size("accounts", static_cast<Index>(p.accounts.size()), 1);
  return ritz::funm_rational(p.space, p.A, p.b, p.Y.column(0), r, ws, p.options, p.monitor,
                             p.accounts[0]);
}

template FunmOutcome funm<float>(const FunmProblem<float>&, std::span<const NamedFunction>,
                                 FunmWorkspace<HostSpace<float>>&);
template FunmOutcome funm<float>(const FunmProblem<float>&, const SpectralFunctions<WideOf<float>>&,
                                 FunmWorkspace<HostSpace<float>>&);
template FunmOutcome funm_arnoldi<float>(const FunmProblem<float>&, std::span<const NamedFunction>,
                                         FunmArnoldiWorkspace<HostSpace<float>>&);
template FunmOutcome funm_arnoldi<float>(const FunmProblem<float>&, const ComplexFunctions&,
                                         FunmArnoldiWorkspace<HostSpace<float>>&);
template FunmOutcome funm_arnoldi<float>(const FunmProblem<float>&, const SmallFunctions&,
                                         const SmallFacts&,
                                         FunmArnoldiWorkspace<HostSpace<float>>&);
template FunmOutcome funm_chebyshev<float>(const FunmProblem<float>&,
                                           std::span<const NamedFunction>, RandomKey,
                                           FunmChebyshevWorkspace<HostSpace<float>>&);
template FunmOutcome funm_chebyshev<float>(const FunmProblem<float>&,
                                           const SpectralFunctions<WideOf<float>>&, RandomKey,
                                           FunmChebyshevWorkspace<HostSpace<float>>&);
template FunmOutcome funm_rational<float>(const FunmProblem<float>&, const PartialFractions&,
                                          FunmRationalWorkspace<HostSpace<float>>&);

template FunmOutcome funm<double>(const FunmProblem<double>&, std::span<const NamedFunction>,
                                  FunmWorkspace<HostSpace<double>>&);
template FunmOutcome funm<double>(const FunmProblem<double>&,
                                  const SpectralFunctions<WideOf<double>>&,
                                  FunmWorkspace<HostSpace<double>>&);
template FunmOutcome funm_arnoldi<double>(const FunmProblem<double>&,
                                          std::span<const NamedFunction>,
                                          FunmArnoldiWorkspace<HostSpace<double>>&);
template FunmOutcome funm_arnoldi<double>(const FunmProblem<double>&, const ComplexFunctions&,
                                          FunmArnoldiWorkspace<HostSpace<double>>&);
template FunmOutcome funm_arnoldi<double>(const FunmProblem<double>&, const SmallFunctions&,
                                          const SmallFacts&,
                                          FunmArnoldiWorkspace<HostSpace<double>>&);
template FunmOutcome funm_chebyshev<double>(const FunmProblem<double>&,
                                            std::span<const NamedFunction>, RandomKey,
                                            FunmChebyshevWorkspace<HostSpace<double>>&);
template FunmOutcome funm_chebyshev<double>(const FunmProblem<double>&,
                                            const SpectralFunctions<WideOf<double>>&, RandomKey,
                                            FunmChebyshevWorkspace<HostSpace<double>>&);
template FunmOutcome funm_rational<double>(const FunmProblem<double>&, const PartialFractions&,
                                           FunmRationalWorkspace<HostSpace<double>>&);

template FunmOutcome funm<std::complex<float>>(const FunmProblem<std::complex<float>>&,
                                               std::span<const NamedFunction>,
                                               FunmWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, const SpectralFunctions<WideOf<std::complex<float>>>&,
    FunmWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm_arnoldi<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, std::span<const NamedFunction>,
    FunmArnoldiWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm_arnoldi<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, const ComplexFunctions&,
    FunmArnoldiWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm_arnoldi<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, const SmallFunctions&, const SmallFacts&,
    FunmArnoldiWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm_chebyshev<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, std::span<const NamedFunction>, RandomKey,
    FunmChebyshevWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm_chebyshev<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, const SpectralFunctions<WideOf<std::complex<float>>>&,
    RandomKey, FunmChebyshevWorkspace<HostSpace<std::complex<float>>>&);
template FunmOutcome funm_rational<std::complex<float>>(
    const FunmProblem<std::complex<float>>&, const PartialFractions&,
    FunmRationalWorkspace<HostSpace<std::complex<float>>>&);

template FunmOutcome funm<std::complex<double>>(const FunmProblem<std::complex<double>>&,
                                                std::span<const NamedFunction>,
                                                FunmWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm<std::complex<double>>(
    const FunmProblem<std::complex<double>>&,
    const SpectralFunctions<WideOf<std::complex<double>>>&,
    FunmWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm_arnoldi<std::complex<double>>(
    const FunmProblem<std::complex<double>>&, std::span<const NamedFunction>,
    FunmArnoldiWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm_arnoldi<std::complex<double>>(
    const FunmProblem<std::complex<double>>&, const ComplexFunctions&,
    FunmArnoldiWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm_arnoldi<std::complex<double>>(
    const FunmProblem<std::complex<double>>&, const SmallFunctions&, const SmallFacts&,
    FunmArnoldiWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm_chebyshev<std::complex<double>>(
    const FunmProblem<std::complex<double>>&, std::span<const NamedFunction>, RandomKey,
    FunmChebyshevWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm_chebyshev<std::complex<double>>(
    const FunmProblem<std::complex<double>>&,
    const SpectralFunctions<WideOf<std::complex<double>>>&, RandomKey,
    FunmChebyshevWorkspace<HostSpace<std::complex<double>>>&);
template FunmOutcome funm_rational<std::complex<double>>(
    const FunmProblem<std::complex<double>>&, const PartialFractions&,
    FunmRationalWorkspace<HostSpace<std::complex<double>>>&);

}  // namespace ritz::compiled
