#include "instantiate_eigsh.hpp"

namespace ritz::compiled {

template EigshOutcome eigsh<HostSpace<float>>(HostSpace<float>&, const HermitianProblem<float>&,
                                              const EigshResults<float>&,
                                              EigshWorkspace<HostSpace<float>>&,
                                              const EigshOptions&, const Monitor&,
                                              const Checkpoint&);
template EigshOutcome eigsh<HostSpace<double>>(HostSpace<double>&, const HermitianProblem<double>&,
                                               const EigshResults<double>&,
                                               EigshWorkspace<HostSpace<double>>&,
                                               const EigshOptions&, const Monitor&,
                                               const Checkpoint&);
template EigshOutcome eigsh<HostSpace<std::complex<float>>>(
    HostSpace<std::complex<float>>&, const HermitianProblem<std::complex<float>>&,
    const EigshResults<std::complex<float>>&, EigshWorkspace<HostSpace<std::complex<float>>>&,
    const EigshOptions&, const Monitor&, const Checkpoint&);
template EigshOutcome eigsh<HostSpace<std::complex<double>>>(
    HostSpace<std::complex<double>>&, const HermitianProblem<std::complex<double>>&,
    const EigshResults<std::complex<double>>&, EigshWorkspace<HostSpace<std::complex<double>>>&,
    const EigshOptions&, const Monitor&, const Checkpoint&);

}  // namespace ritz::compiled
