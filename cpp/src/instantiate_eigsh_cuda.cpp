#include "instantiate_eigsh.hpp"

namespace ritz::compiled {

template EigshOutcome eigsh<CudaSpace<float>>(CudaSpace<float>&, const HermitianProblem<float>&,
                                              const EigshResults<float>&,
                                              EigshWorkspace<CudaSpace<float>>&,
                                              const EigshOptions&, const Monitor&,
                                              const Checkpoint&);
template EigshOutcome eigsh<CudaSpace<double>>(CudaSpace<double>&, const HermitianProblem<double>&,
                                               const EigshResults<double>&,
                                               EigshWorkspace<CudaSpace<double>>&,
                                               const EigshOptions&, const Monitor&,
                                               const Checkpoint&);
template EigshOutcome eigsh<CudaSpace<std::complex<float>>>(
    CudaSpace<std::complex<float>>&, const HermitianProblem<std::complex<float>>&,
    const EigshResults<std::complex<float>>&, EigshWorkspace<CudaSpace<std::complex<float>>>&,
    const EigshOptions&, const Monitor&, const Checkpoint&);
template EigshOutcome eigsh<CudaSpace<std::complex<double>>>(
    CudaSpace<std::complex<double>>&, const HermitianProblem<std::complex<double>>&,
    const EigshResults<std::complex<double>>&, EigshWorkspace<CudaSpace<std::complex<double>>>&,
    const EigshOptions&, const Monitor&, const Checkpoint&);

}  // namespace ritz::compiled
