#include "ritz/compiled/lobpcg.hpp"

namespace ritz::compiled {

template <Field T>
LobpcgOutcome lobpcg(HostSpace<T>& space, const OperatorRef<T>& A, BlockView<T> X,
                     std::span<double> values, std::span<double> residuals,
                     LobpcgWorkspace<HostSpace<T>>& ws, const LobpcgOptions& opt,
                     const Monitor& monitor, const OptionalOperator<T>& B,
                     const OptionalOperator<T>& M, BlockView<const T> Y) {
  return ritz::lobpcg(space, A, X, values, residuals, ws, opt, monitor, B, M, Y);
}

template LobpcgOutcome lobpcg<float>(HostSpace<float>&, const OperatorRef<float>&, BlockView<float>,
                                     std::span<double>, std::span<double>,
                                     LobpcgWorkspace<HostSpace<float>>&, const LobpcgOptions&,
                                     const Monitor&, const OptionalOperator<float>&,
                                     const OptionalOperator<float>&, BlockView<const float>);
template LobpcgOutcome lobpcg<double>(HostSpace<double>&, const OperatorRef<double>&,
                                      BlockView<double>, std::span<double>, std::span<double>,
                                      LobpcgWorkspace<HostSpace<double>>&, const LobpcgOptions&,
                                      const Monitor&, const OptionalOperator<double>&,
                                      const OptionalOperator<double>&, BlockView<const double>);
template LobpcgOutcome lobpcg<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    BlockView<std::complex<float>>, std::span<double>, std::span<double>,
    LobpcgWorkspace<HostSpace<std::complex<float>>>&, const LobpcgOptions&, const Monitor&,
    const OptionalOperator<std::complex<float>>&, const OptionalOperator<std::complex<float>>&,
    BlockView<const std::complex<float>>);
template LobpcgOutcome lobpcg<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    BlockView<std::complex<double>>, std::span<double>, std::span<double>,
    LobpcgWorkspace<HostSpace<std::complex<double>>>&, const LobpcgOptions&, const Monitor&,
    const OptionalOperator<std::complex<double>>&, const OptionalOperator<std::complex<double>>&,
    BlockView<const std::complex<double>>);

}  // namespace ritz::compiled
