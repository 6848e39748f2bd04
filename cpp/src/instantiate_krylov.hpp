// The definitions behind compiled.hpp; one source file an element type instantiates them, so that
// they compile side by side.
#pragma once

#include "ritz/compiled/linear.hpp"

namespace ritz::compiled {

template <Field T>
std::unique_ptr<AbstractStepper<T>> begin(HostSpace<T>& space, const OperatorRef<T>& A,
                                          const OptionalOperator<T>& M, VectorView<const T> b,
                                          VectorView<T> x,
                                          const typename RequestOf<T, KrylovMethods>::Type& request,
                                          const Monitor& monitor) {
  const auto make = [&]<class Method>(const Request<Method, T>& r) {
    using Run = Stepper<Method, HostSpace<T>, OperatorRef<T>, OptionalOperator<T>>;
    return std::unique_ptr<AbstractStepper<T>>(
        std::make_unique<Run>(space, A, b, x, r.workspace, r.options, monitor, M));
  };
  return std::visit(make, request);
}

template <Field T>
void run_columns(HostSpace<T>& space, std::span<AbstractStepper<T>* const> runs,
                 const OperatorRef<T>& A, const OptionalOperator<T>& M, bool batched) {
  ritz::run_columns(space, runs, A, M, batched);
}

}  // namespace ritz::compiled
