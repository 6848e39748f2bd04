#include "ritz/compiled/linear.hpp"

namespace ritz::compiled {

template <Field T>
void block_solve(BlockMethod method, HostSpace<T>& space, const OperatorRef<T>& A,
                 const OptionalOperator<T>& M, BlockView<const T> B, BlockView<T> X,
                 const BlockGmresOptions& opt, const Monitor& monitor,
                 std::span<Outcome> outcomes) {
  using S = HostSpace<T>;
  switch (method) {
    case BlockMethod::cg: {
      BlockCgWorkspace<S> ws;
      return block_cg(space, A, B, X, ws, opt, monitor, outcomes, M);
    }
    case BlockMethod::minres: {
      if (M) throw InvalidArgument("block MINRES takes no preconditioner");
      BlockMinresWorkspace<S> ws;
      return block_minres(space, A, B, X, ws, opt, monitor, outcomes);
    }
    case BlockMethod::gmres: {
      BlockGmresWorkspace<S> ws;
      return block_gmres(space, A, B, X, ws, opt, monitor, outcomes, M);
    }
  }
}

template void block_solve<float>(BlockMethod, HostSpace<float>&, const OperatorRef<float>&,
                                 const OptionalOperator<float>&, BlockView<const float>,
                                 BlockView<float>, const BlockGmresOptions&, const Monitor&,
                                 std::span<Outcome>);
template void block_solve<double>(BlockMethod, HostSpace<double>&, const OperatorRef<double>&,
                                  const OptionalOperator<double>&, BlockView<const double>,
                                  BlockView<double>, const BlockGmresOptions&, const Monitor&,
                                  std::span<Outcome>);
template void block_solve<std::complex<float>>(
    BlockMethod, HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    const OptionalOperator<std::complex<float>>&, BlockView<const std::complex<float>>,
    BlockView<std::complex<float>>, const BlockGmresOptions&, const Monitor&, std::span<Outcome>);
template void block_solve<std::complex<double>>(
    BlockMethod, HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    const OptionalOperator<std::complex<double>>&, BlockView<const std::complex<double>>,
    BlockView<std::complex<double>>, const BlockGmresOptions&, const Monitor&, std::span<Outcome>);

}  // namespace ritz::compiled
