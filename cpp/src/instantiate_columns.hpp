#pragma once

#include "ritz/compiled/linear.hpp"

namespace ritz::compiled {

template <Space S>
void Columns<S>::run(S& space, std::span<AbstractStepper<T>* const> runs, const OperatorRef<T>& A,
                     const OptionalOperator<T>& M, bool batched) {
  run_columns(space, runs, A, M, batched);
}

template <Space S>
void Columns<S>::block_solve(BlockMethod method, S& space, const OperatorRef<T>& A,
                             const OptionalOperator<T>& M, BlockView<const T> B, BlockView<T> X,
                             const BlockGmresOptions& opt, const Monitor& monitor,
                             std::span<Outcome> outcomes) {
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

}  // namespace ritz::compiled
