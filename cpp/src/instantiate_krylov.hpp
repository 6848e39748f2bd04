// The definitions behind compiled.hpp; one source file an element type instantiates them, so that
// they compile side by side.
#pragma once

#include "ritz/compiled/linear.hpp"

namespace ritz::compiled {

template <Space S>
std::unique_ptr<AbstractStepper<typename S::Value>> begin(
    S& space, const OperatorRef<typename S::Value>& A, const OptionalOperator<typename S::Value>& M,
    VectorView<const typename S::Value> b, VectorView<typename S::Value> x,
    const typename RequestOf<S, KrylovMethods>::Type& request, const Monitor& monitor) {
  using T = typename S::Value;
  const auto make = [&]<class Method>(const Request<Method, S>& r) {
    using Run = Stepper<Method, S, OperatorRef<T>, OptionalOperator<T>>;
    return std::unique_ptr<AbstractStepper<T>>(
        std::make_unique<Run>(space, A, b, x, r.workspace, r.options, monitor, M));
  };
  return std::visit(make, request);
}

}  // namespace ritz::compiled
