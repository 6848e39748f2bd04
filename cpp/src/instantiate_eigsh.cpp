#include "ritz/compiled/eigsh.hpp"

namespace ritz::compiled {

template <Field T>
EigshOutcome eigsh(HostSpace<T>& space, const HermitianProblem<T>& problem,
                   const EigshResults<T>& results, EigshWorkspace<HostSpace<T>>& ws,
                   const EigshOptions& opt, const Monitor& monitor, const Checkpoint& checkpoint) {
  return ritz::eigsh(space, problem, results, ws, opt, monitor, checkpoint);
}

template EigshOutcome eigsh<float>(HostSpace<float>&, const HermitianProblem<float>&,
                                   const EigshResults<float>&, EigshWorkspace<HostSpace<float>>&,
                                   const EigshOptions&, const Monitor&, const Checkpoint&);
template EigshOutcome eigsh<double>(HostSpace<double>&, const HermitianProblem<double>&,
                                    const EigshResults<double>&, EigshWorkspace<HostSpace<double>>&,
                                    const EigshOptions&, const Monitor&, const Checkpoint&);
template EigshOutcome eigsh<std::complex<float>>(HostSpace<std::complex<float>>&,
                                                 const HermitianProblem<std::complex<float>>&,
                                                 const EigshResults<std::complex<float>>&,
                                                 EigshWorkspace<HostSpace<std::complex<float>>>&,
                                                 const EigshOptions&, const Monitor&,
                                                 const Checkpoint&);
template EigshOutcome eigsh<std::complex<double>>(HostSpace<std::complex<double>>&,
                                                  const HermitianProblem<std::complex<double>>&,
                                                  const EigshResults<std::complex<double>>&,
                                                  EigshWorkspace<HostSpace<std::complex<double>>>&,
                                                  const EigshOptions&, const Monitor&,
                                                  const Checkpoint&);

}  // namespace ritz::compiled
