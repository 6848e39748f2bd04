#pragma once

#include "ritz/compiled/eigsh.hpp"

namespace ritz::compiled {

template <class S>
EigshOutcome eigsh(S& space, const HermitianProblem<typename S::Value>& problem,
                   const EigshResults<typename S::Value>& results, EigshWorkspace<S>& ws,
                   const EigshOptions& opt, const Monitor& monitor, const Checkpoint& checkpoint) {
  return ritz::eigsh(space, problem, results, ws, opt, monitor, checkpoint);
}

}  // namespace ritz::compiled
