#include "ritz/compiled/eigsh.hpp"

namespace ritz::compiled {

template <Field T>
EigshOutcome eigsh(HostSpace<T>& space, const OperatorRef<T>& A, std::span<double> values,
                   std::span<double> residuals, BlockView<T> vectors,
                   EigshWorkspace<HostSpace<T>>& ws, const EigshOptions& opt,
                   const Monitor& monitor) {
  return ritz::eigsh(space, A, values, residuals, vectors, ws, opt, monitor);
}

template EigshOutcome eigsh<float>(HostSpace<float>&, const OperatorRef<float>&, std::span<double>,
                                   std::span<double>, BlockView<float>,
                                   EigshWorkspace<HostSpace<float>>&, const EigshOptions&,
                                   const Monitor&);
template EigshOutcome eigsh<double>(HostSpace<double>&, const OperatorRef<double>&,
                                    std::span<double>, std::span<double>, BlockView<double>,
                                    EigshWorkspace<HostSpace<double>>&, const EigshOptions&,
                                    const Monitor&);
template EigshOutcome eigsh<std::complex<float>>(HostSpace<std::complex<float>>&,
                                                 const OperatorRef<std::complex<float>>&,
                                                 std::span<double>, std::span<double>,
                                                 BlockView<std::complex<float>>,
                                                 EigshWorkspace<HostSpace<std::complex<float>>>&,
                                                 const EigshOptions&, const Monitor&);
template EigshOutcome eigsh<std::complex<double>>(HostSpace<std::complex<double>>&,
                                                  const OperatorRef<std::complex<double>>&,
                                                  std::span<double>, std::span<double>,
                                                  BlockView<std::complex<double>>,
                                                  EigshWorkspace<HostSpace<std::complex<double>>>&,
                                                  const EigshOptions&, const Monitor&);

}  // namespace ritz::compiled
