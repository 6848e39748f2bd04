// The methods on host memory with type-erased operators, compiled once into the library. Including
// this instead of letting a method be instantiated anew saves compile time and nothing else.
#pragma once

#include "ritz/eigen/eigsh.hpp"
#include "ritz/function/trace.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/lsmr.hpp"
#include "ritz/newton/levenberg_marquardt.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API CgOutcome cg(HostSpace<T>& space, const OperatorRef<T>& A, const OperatorRef<T>* M,
                      VectorView<const T> b, VectorView<T> x, CgWorkspace<HostSpace<T>>& ws,
                      const CgOptions& opt, const Monitor& monitor);

template <Field T>
RITZ_API LsmrOutcome lsmr(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<const T> b,
                          VectorView<T> x, LsmrWorkspace<HostSpace<T>>& ws, const LsmrOptions& opt,
                          const Monitor& monitor);

template <Field T>
RITZ_API EigshOutcome eigsh(HostSpace<T>& space, const OperatorRef<T>& A, std::span<double> values,
                            std::span<double> residuals, BlockView<T> vectors,
                            EigshWorkspace<HostSpace<T>>& ws, const EigshOptions& opt,
                            const Monitor& monitor);

template <Field T>
RITZ_API TraceOutcome<T> trace(HostSpace<T>& space, const OperatorRef<T>& A,
                               TraceWorkspace<HostSpace<T>>& ws, const TraceOptions& opt,
                               const Monitor& monitor);

/// `loss` null means half the sum of squares.
template <RealField T>
RITZ_API LevenbergMarquardtOutcome
levenberg_marquardt(HostSpace<T>& space, AbstractModel<T>& model, AbstractLoss<T>* loss,
                    VectorView<T> x, LevenbergMarquardtWorkspace<HostSpace<T>>& ws,
                    const LevenbergMarquardtOptions& opt, const Monitor& monitor);

}  // namespace ritz::compiled
