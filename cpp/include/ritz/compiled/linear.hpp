// The linear solvers with type-erased operators, on memory of the host or of a device.
#pragma once

#include <memory>
#include <tuple>
#include <variant>

#include "ritz/krylov/block_cg.hpp"
#include "ritz/krylov/block_gmres.hpp"
#include "ritz/krylov/block_minres.hpp"
#include "ritz/krylov/cg_shifts.hpp"
#include "ritz/krylov/columns.hpp"
#include "ritz/krylov/lsqr_damps.hpp"
#include "ritz/krylov/methods.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

/// A method with its options and its workspace.
template <class Method, class S>
struct Request {
  typename Method::Options options;
  typename Method::template Workspace<S>& workspace;
};

template <class S, class Methods>
struct RequestOf;
template <class S, class... Methods>
struct RequestOf<S, std::tuple<Methods...>> {
  using Type = std::variant<Request<Methods, S>...>;
};

/// A run of a linear solver, not begun yet. Everything given must outlive it; M may be absent.
template <Space S>
RITZ_API std::unique_ptr<AbstractStepper<typename S::Value>> begin(
    S& space, const OperatorRef<typename S::Value>& A, const OptionalOperator<typename S::Value>& M,
    VectorView<const typename S::Value> b, VectorView<typename S::Value> x,
    const typename RequestOf<S, KrylovMethods>::Type& request, const Monitor& monitor);

/// The same, run to its end.
template <class Method, Field T>
typename Method::Outcome solve(HostSpace<T>& space, const OperatorRef<T>& A,
                               const OptionalOperator<T>& M, VectorView<const T> b, VectorView<T> x,
                               typename Method::template Workspace<HostSpace<T>>& ws,
                               const typename Method::Options& opt, const Monitor& monitor) {
  using S = HostSpace<T>;
  const auto run = begin<S>(space, A, M, b, x, Request<Method, S>{opt, ws}, monitor);
  while (run->next()) {
  }
  return static_cast<const typename Method::Outcome&>(run->outcome());
}

enum class BlockMethod { cg, minres, gmres };

/// Many right-hand sides, over HostSpace and CudaSpace.
template <Space S>
struct RITZ_API Columns {
  using T = typename S::Value;

  /// As ritz::run_columns.
  static void run(S& space, std::span<AbstractStepper<T>* const> runs, const OperatorRef<T>& A,
                  const OptionalOperator<T>& M, bool batched);
  /// ritz::block_cg, block_minres (without M) or block_gmres, in a workspace of its own.
  static void block_solve(BlockMethod method, S& space, const OperatorRef<T>& A,
                          const OptionalOperator<T>& M, BlockView<const T> B, BlockView<T> X,
                          const BlockGmresOptions& opt, const Monitor& monitor,
                          std::span<Outcome> outcomes);
};

/// As ritz::cg_shifts and ritz::lsqr_damps.
template <Field T>
RITZ_API Outcome cg_shifts(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<const T> b,
                           BlockView<T> X, std::span<const double> shifts,
                           CgShiftsWorkspace<HostSpace<T>>& ws, const CgShiftsOptions& opt,
                           const Monitor& monitor, std::span<Outcome> outcomes);
template <Field T>
RITZ_API Outcome lsqr_damps(HostSpace<T>& space, const OperatorRef<T>& A, VectorView<const T> b,
                            BlockView<T> X, std::span<const double> damps,
                            LsqrDampsWorkspace<HostSpace<T>>& ws, const LsqrDampsOptions& opt,
                            const Monitor& monitor, std::span<LeastSquaresOutcome> outcomes);

}  // namespace ritz::compiled
