#include "ritz/compiled/eigs.hpp"

namespace ritz::compiled {

template <Field T>
EigsOutcome eigs(HostSpace<T>& space, const OperatorRef<T>& A, const EigsPairs<T>& pairs,
                 EigsWorkspace<HostSpace<T>>& ws, const EigsOptions& opt, const Monitor& monitor,
                 const OptionalOperator<T>& M, const OptionalOperator<T>& solve,
                 Checkpoint* checkpoint) {
  return ritz::eigs(space, A, pairs, ws, opt, monitor, M, solve, checkpoint);
}

template EigsOutcome eigs<float>(HostSpace<float>&, const OperatorRef<float>&,
                                 const EigsPairs<float>&, EigsWorkspace<HostSpace<float>>&,
                                 const EigsOptions&, const Monitor&, const OptionalOperator<float>&,
                                 const OptionalOperator<float>&, Checkpoint*);
template EigsOutcome eigs<double>(HostSpace<double>&, const OperatorRef<double>&,
                                  const EigsPairs<double>&, EigsWorkspace<HostSpace<double>>&,
                                  const EigsOptions&, const Monitor&,
                                  const OptionalOperator<double>&, const OptionalOperator<double>&,
                                  Checkpoint*);
template EigsOutcome eigs<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    const EigsPairs<std::complex<float>>&, EigsWorkspace<HostSpace<std::complex<float>>>&,
    const EigsOptions&, const Monitor&, const OptionalOperator<std::complex<float>>&,
    const OptionalOperator<std::complex<float>>&, Checkpoint*);
template EigsOutcome eigs<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    const EigsPairs<std::complex<double>>&, EigsWorkspace<HostSpace<std::complex<double>>>&,
    const EigsOptions&, const Monitor&, const OptionalOperator<std::complex<double>>&,
    const OptionalOperator<std::complex<double>>&, Checkpoint*);

}  // namespace ritz::compiled
